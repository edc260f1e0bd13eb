//! Where hosts and arrows of the map stand.
//!
//! Those that mostly call stand on the left, those that are mostly called on the right, in groups by
//! domain. Each arrow leaves its box at a place of its own, with room for its label, so no label
//! lies on another, whatever the traffic. Whole numbers and sorted order alone: the same report
//! gives the same drawing everywhere.

use std::collections::BTreeMap;

/// Width of a box.
pub(super) const BOX_WIDTH: i32 = 216;
/// Height of a place for an arrow.
const SLOT: i32 = 24;
/// Room at the edge of the drawing.
const EDGE: i32 = 20;
/// Room within a box beside its arrows.
const LEAST_HEIGHT: i32 = 64;
/// Between boxes.
const GAP: i32 = 18;
/// Above the boxes of a group, for its name.
const GROUP_HEAD: i32 = 26;
/// Room for a label.
pub(super) const LABEL: i32 = 206;
/// Room for the curves between the two sides.
const CURVES: i32 = 170;

/// Which side of the map a host stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Mostly calls.
    Left,
    /// Is mostly called.
    Right,
}

/// A host to place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The group that it stands in; empty for none.
    pub(super) group: String,
    /// By what it is sorted within its group.
    pub(super) order: String,
}

/// An arrow to place, between hosts by their places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrow {
    /// Who calls.
    pub(super) from: usize,
    /// Who is called.
    pub(super) to: usize,
    /// At how many ports.
    pub(super) ports: usize,
}

/// A box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its side.
    pub(super) side: Side,
    /// Its left edge.
    pub(super) x: i32,
    /// Its upper edge.
    pub(super) y: i32,
    /// Its height.
    pub(super) height: i32,
}

/// A frame around hosts of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its name.
    pub(super) name: String,
    /// Its left edge.
    pub(super) x: i32,
    /// Its upper edge.
    pub(super) y: i32,
    /// Its height.
    pub(super) height: i32,
}

/// A line with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it leaves its box.
    pub(super) start: (i32, i32),
    /// Where the room for its label ends.
    pub(super) bend: (i32, i32),
    /// Where the curve ends.
    pub(super) arrive: (i32, i32),
    /// Where it meets the other box.
    pub(super) end: (i32, i32),
    /// How far the curve swings out.
    pub(super) swing: (i32, i32),
}

/// The drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Its width.
    pub(super) width: i32,
    /// Its height.
    pub(super) height: i32,
    /// Boxes, in the order of the hosts.
    pub(super) boxes: Vec<Placed>,
    /// Frames around groups.
    pub(super) groups: Vec<Group>,
    /// Lines, in the order of the arrows.
    pub(super) lines: Vec<Line>,
}

/// Places hosts and arrows. An arrow between hosts that are not there is left out of the lines, so
/// there are to be none.
pub(super) fn lay_out(nodes: &[Node], arrows: &[Arrow]) -> Layout {
    let sides = sides(nodes.len(), arrows);
    let side_of = |node: usize| sides.get(node).copied().unwrap_or(Side::Right);
    let right_calls = arrows.iter().any(|arrow| side_of(arrow.from) == Side::Right);
    let right_label = if right_calls { LABEL } else { 18 };
    let right_edge = EDGE + BOX_WIDTH + LABEL + CURVES + right_label;
    let width = right_edge + BOX_WIDTH + EDGE;

    // Places for arrows, by host: those that leave, and those that arrive.
    let mut slots: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
    for (place, arrow) in arrows.iter().enumerate() {
        slots.entry(arrow.from).or_default().push((place, true));
        slots.entry(arrow.to).or_default().push((place, false));
    }
    let mut boxes = vec![Placed { side: Side::Left, x: 0, y: 0, height: 0 }; nodes.len()];
    let mut groups = Vec::new();
    let mut height = 0;
    // Heights of the hosts that have their place, by order.
    let mut rank: BTreeMap<usize, i64> = BTreeMap::new();
    for (side, x) in [(Side::Left, EDGE), (Side::Right, right_edge)] {
        let mut column: Vec<usize> = (0..nodes.len()).filter(|it| side_of(*it) == side).collect();
        sort_column(&mut column, nodes, &near(&rank, arrows));
        for (height, node) in (0..).zip(&column) {
            rank.insert(*node, height);
        }
        let mut y = EDGE;
        let mut current: Option<Group> = None;
        for node in column {
            let Some(Node { group, .. }) = nodes.get(node) else { continue };
            if current.as_ref().is_none_or(|open| open.name != *group) {
                y = close(current.take(), y, &mut groups);
                current = Some(Group { name: group.clone(), x: x - 10, y, height: 0 });
                y += if group.is_empty() { 0 } else { GROUP_HEAD };
            }
            let many = slots.get(&node).map_or(0, Vec::len);
            let room = i32::try_from(many).unwrap_or(i32::MAX / SLOT).saturating_mul(SLOT);
            let tall = room.saturating_add(16).max(LEAST_HEIGHT);
            if let Some(place) = boxes.get_mut(node) {
                *place = Placed { side, x, y, height: tall };
            }
            y = y.saturating_add(tall).saturating_add(GAP);
        }
        y = close(current, y, &mut groups);
        height = height.max(y);
    }

    let slot_of = slot_heights(&boxes, slots, arrows);
    let lines = arrows
        .iter()
        .enumerate()
        .filter_map(|(place, arrow)| {
            let (from, to) = (boxes.get(arrow.from)?, boxes.get(arrow.to)?);
            let leaves = *slot_of.get(&(place, true))?;
            let arrives = *slot_of.get(&(place, false))?;
            Some(line(*from, *to, leaves, arrives, right_label))
        })
        .collect();
    Layout { width, height: height + EDGE - GAP, boxes, groups, lines }
}

/// Hosts that call more ports than they are called at stand on the left.
fn sides(nodes: usize, arrows: &[Arrow]) -> Vec<Side> {
    (0..nodes)
        .map(|node| {
            let ports = |end: fn(&Arrow) -> usize| -> usize {
                arrows.iter().filter(|arrow| end(arrow) == node).map(|arrow| arrow.ports).sum()
            };
            let (calls, called) = (ports(|arrow| arrow.from), ports(|arrow| arrow.to));
            if calls > called { Side::Left } else { Side::Right }
        })
        .collect()
}

/// How high the hosts stand that each host talks with, as far as those have their place: a mean,
/// in thousandths.
fn near(rank: &BTreeMap<usize, i64>, arrows: &[Arrow]) -> BTreeMap<usize, i64> {
    let mut sums: BTreeMap<usize, (i64, i64)> = BTreeMap::new();
    for arrow in arrows {
        for (node, other) in [(arrow.from, arrow.to), (arrow.to, arrow.from)] {
            if let Some(height) = rank.get(&other) {
                let sum = sums.entry(node).or_default();
                *sum = (sum.0 + height * 1_000, sum.1 + 1);
            }
        }
    }
    sums.into_iter().map(|(node, (sum, many))| (node, sum / many)).collect()
}

/// Groups together, and groups and hosts near those that they talk with, so that few lines cross.
fn sort_column(column: &mut [usize], nodes: &[Node], near: &BTreeMap<usize, i64>) {
    let height = |node: &usize| near.get(node).copied().unwrap_or(0);
    let group_of = |node: &usize| nodes.get(*node).map_or("", |it| it.group.as_str());
    let mut groups: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for node in column.iter() {
        let sum = groups.entry(group_of(node).to_owned()).or_default();
        *sum = (sum.0 + height(node), sum.1 + 1);
    }
    column.sort_by_key(|node| {
        let (sum, many) = groups.get(group_of(node)).copied().unwrap_or((0, 1));
        let order = nodes.get(*node).map(|it| &it.order);
        (sum / many, group_of(node), height(node), order)
    });
}

/// Ends a frame, and tells where what follows may begin.
fn close(group: Option<Group>, y: i32, groups: &mut Vec<Group>) -> i32 {
    match group {
        Some(mut group) if !group.name.is_empty() => {
            group.height = y - GAP + 10 - group.y;
            groups.push(group);
            y + 14
        }
        _ => y,
    }
}

/// The height of each arrow's places. Within a box they are in the order of the boxes at their
/// other ends, so that lines cross as little as they need to.
fn slot_heights(
    boxes: &[Placed],
    slots: BTreeMap<usize, Vec<(usize, bool)>>,
    arrows: &[Arrow],
) -> BTreeMap<(usize, bool), i32> {
    let mut heights = BTreeMap::new();
    for (node, mut places) in slots {
        places.sort_by_key(|(place, leaves)| {
            let arrow = arrows.get(*place);
            let other = arrow.map(|arrow| if *leaves { arrow.to } else { arrow.from });
            let y = other.and_then(|other| boxes.get(other)).map(|other| other.y);
            (y, *place, *leaves)
        });
        let Some(home) = boxes.get(node) else { continue };
        let many = i32::try_from(places.len()).unwrap_or(0);
        let mut y = home.y + (home.height - many * SLOT) / 2 + SLOT / 2;
        for place in places {
            heights.insert(place, y);
            y += SLOT;
        }
    }
    heights
}

fn line(from: Placed, to: Placed, leaves: i32, arrives: i32, right_label: i32) -> Line {
    let start = match from.side {
        Side::Left => from.x + BOX_WIDTH,
        Side::Right => from.x,
    };
    let bend = match from.side {
        Side::Left => start + LABEL,
        Side::Right => start - LABEL,
    };
    let (end, arrive) = match to.side {
        Side::Left => (to.x + BOX_WIDTH, to.x + BOX_WIDTH + LABEL),
        Side::Right => (to.x, to.x - right_label),
    };
    // Between hosts of one side the line swings out and comes back.
    let swing = match (from.side, to.side) {
        (Side::Left, Side::Left) => (bend + 70, arrive + 70),
        (Side::Right, Side::Right) => (bend - 70, arrive - 70),
        _ => (i32::midpoint(bend, arrive), i32::midpoint(bend, arrive)),
    };
    Line {
        start: (start, leaves),
        bend: (bend, leaves),
        arrive: (arrive, arrives),
        end: (end, arrives),
        swing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(group: &str, order: &str) -> Node {
        Node { group: group.to_owned(), order: order.to_owned() }
    }

    #[test]
    fn callers_stand_on_the_left_and_boxes_do_not_overlap() {
        let nodes = [node("", "a"), node("corp", "b"), node("corp", "c"), node("lab", "d")];
        let arrows: Vec<Arrow> = [(0, 1), (0, 2), (0, 3), (0, 3), (3, 2)]
            .iter()
            .map(|(from, to)| Arrow { from: *from, to: *to, ports: 1 })
            .collect();
        let drawing = lay_out(&nodes, &arrows);
        assert_eq!(drawing.boxes[0].side, Side::Left);
        assert!(drawing.boxes[1..].iter().all(|it| it.side == Side::Right));
        let mut column = drawing.boxes[1..].to_vec();
        column.sort_by_key(|it| it.y);
        assert!(column.windows(2).all(|two| two[0].y + two[0].height < two[1].y));
        assert!(column.iter().all(|it| it.y + it.height < drawing.height));
        assert_eq!(drawing.groups.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["corp", "lab"]);
    }

    #[test]
    fn who_calls_more_ports_stands_on_the_left_though_both_call() {
        let nodes = [node("", "controller"), node("", "site server")];
        let arrows = [Arrow { from: 0, to: 1, ports: 1 }, Arrow { from: 1, to: 0, ports: 10 }];
        let drawing = lay_out(&nodes, &arrows);
        assert_eq!((drawing.boxes[0].side, drawing.boxes[1].side), (Side::Right, Side::Left));
    }

    #[test]
    fn no_two_arrows_leave_or_meet_a_box_at_one_place() {
        let nodes = [node("", "a"), node("", "b")];
        let arrow = |from, to| Arrow { from, to, ports: 1 };
        let arrows = [arrow(0, 1), arrow(0, 1), arrow(1, 0)];
        let drawing = lay_out(&nodes, &arrows);
        for x in [drawing.boxes[0].x + BOX_WIDTH, drawing.boxes[1].x] {
            let ends = drawing.lines.iter().flat_map(|line| [line.start, line.end]);
            let mut heights: Vec<i32> = ends.filter(|end| end.0 == x).map(|end| end.1).collect();
            assert_eq!(heights.len(), 3);
            heights.sort_unstable();
            heights.dedup();
            assert_eq!(heights.len(), 3);
        }
    }
}
