//! The map: hosts as boxes, by domain and role, and arrows between them with the ports that were
//! called. What does not work is dashed and ends in its sign.

use std::collections::{BTreeMap, BTreeSet};

use crate::net::{Address, Transport};
use crate::render::html::layout::{Arrow, BOX_WIDTH, LABEL, Layout, Line, Node, Side, lay_out};
use crate::render::html::markup::Markup;
use crate::render::html::sign::Sign;
use crate::render::phrase;
use crate::render::text::cut;
use crate::render::triage;
use crate::render::triage::Triage;
use crate::report::Report;

/// Hosts in the drawing.
const MOST_HOSTS: usize = 18;
/// Arrows in the drawing.
const MOST_ARROWS: usize = 30;
/// Letters of a label, of the name in a box, and of an address or role in it.
const LABEL_LETTERS: usize = 27;
const NAME_LETTERS: usize = 22;
const SMALL_LETTERS: usize = 30;

/// Ports by what became of them, between two hosts.
type Roads<'a> = BTreeMap<(Address, Address, Sign), BTreeSet<(Transport, Port<'a>)>>;

/// A port or range, sorted by number.
type Port<'a> = (u32, &'a str);

/// Draws the map; nothing where nobody called anybody.
pub(super) fn map(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    let ports: Vec<String> = triage::uncovered(report, usize::MAX)
        .0
        .iter()
        .map(|group| group.first.responder.port.to_string())
        .collect();
    let roads =
        if report.matrix.cells.is_empty() { of_failures(report, &ports) } else { of_cells(report) };
    if roads.is_empty() {
        return;
    }
    let all = roads.len();
    let roads = most_telling(roads);
    let hosts: Vec<Address> = roads
        .iter()
        .flat_map(|((from, to, _), _)| [*from, *to])
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let place = |address: &Address| hosts.binary_search(address).unwrap_or_default();
    let nodes: Vec<Node> = hosts.iter().map(|host| node(report, triage, *host)).collect();
    let arrows: Vec<Arrow> = roads
        .iter()
        .map(|((from, to, _), ports)| Arrow {
            from: place(from),
            to: place(to),
            ports: ports.len(),
        })
        .collect();
    let layout = lay_out(&nodes, &arrows);
    drawing(&layout, (&hosts, &nodes), &roads, report, triage, page);
    if all > roads.len() {
        page.raw("<p class=\"more\">The map shows what fails most; ")
            .text(&phrase::counted(phrase::count(all - roads.len()), "more arrow"))
            .raw(" would not fit.</p>");
    }
}

/// What the sheet says.
fn of_cells(report: &Report) -> Roads<'_> {
    let mut roads = Roads::new();
    for cell in &report.matrix.cells {
        let sign = Sign::of_outcome(cell.outcome);
        if sign != Sign::Untried {
            let road = roads.entry((cell.from.address, cell.to.address, sign)).or_default();
            road.insert((cell.transport, (first_number(&cell.ports), &cell.ports)));
        }
    }
    roads
}

/// Where no requirement was judged: what failed. `ports` are those of the failures, as text.
fn of_failures<'a>(report: &Report, ports: &'a [String]) -> Roads<'a> {
    let mut roads = Roads::new();
    for (group, port) in triage::uncovered(report, usize::MAX).0.iter().zip(ports) {
        let flow = &*group.first;
        let key = (flow.initiator.address, flow.responder.address, Sign::of_flow(flow));
        let port: Port<'a> = (u32::from(flow.responder.port), port);
        roads.entry(key).or_default().insert((flow.transport, port));
    }
    roads
}

fn first_number(ports: &str) -> u32 {
    let digits = ports.split(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

type Road<'a> = ((Address, Address, Sign), BTreeSet<(Transport, Port<'a>)>);

/// As many roads as fit, pairs with the most failures first, whole pairs together.
fn most_telling(roads: Roads<'_>) -> Vec<Road<'_>> {
    let mut bad: BTreeMap<(Address, Address), usize> = BTreeMap::new();
    let mut arrows_of: BTreeMap<(Address, Address), usize> = BTreeMap::new();
    for ((from, to, sign), ports) in &roads {
        *bad.entry((*from, *to)).or_default() += if sign.is_bad() { ports.len() } else { 0 };
        *arrows_of.entry((*from, *to)).or_default() += 1;
    }
    let mut pairs: Vec<_> = bad.into_iter().collect();
    pairs.sort_by_key(|(_, bad)| std::cmp::Reverse(*bad));
    let mut shown: BTreeSet<(Address, Address)> = BTreeSet::new();
    let mut hosts: BTreeSet<Address> = BTreeSet::new();
    let mut arrows = 0;
    for ((from, to), _) in pairs {
        let many = arrows_of.get(&(from, to)).copied().unwrap_or_default();
        let new = [from, to].iter().filter(|host| !hosts.contains(host)).count();
        if arrows + many > MOST_ARROWS || hosts.len() + new > MOST_HOSTS {
            continue;
        }
        arrows += many;
        hosts.extend([from, to]);
        shown.insert((from, to));
    }
    roads.into_iter().filter(|((from, to, _), _)| shown.contains(&(*from, *to))).collect()
}

fn node(report: &Report, triage: &Triage<'_>, address: Address) -> Node {
    let names = report.hosts.iter().find(|host| host.address == address).map(|host| &host.names);
    let domain = names
        .into_iter()
        .flatten()
        .filter(|name| name.parse::<std::net::IpAddr>().is_err())
        .find_map(|name| name.split_once('.').map(|(_, domain)| domain))
        .map(|domain| domain.trim_end_matches('.').to_lowercase())
        .filter(|domain| domain.contains(char::is_alphabetic))
        .unwrap_or_default();
    let role = role_of(report, address).unwrap_or_default();
    Node { group: domain, order: format!("{role} {}", triage.name(address)) }
}

/// The roles that a host has, else those that it plays in the sheet.
fn role_of(report: &Report, address: Address) -> Option<String> {
    let host = report.hosts.iter().find(|host| host.address == address)?;
    let roles: Vec<&str> = host.roles.iter().map(|role| role.role.as_str()).collect();
    (!roles.is_empty()).then(|| roles.join(", "))
}

fn drawing(
    layout: &Layout,
    (hosts, nodes): (&[Address], &[Node]),
    roads: &[Road<'_>],
    report: &Report,
    triage: &Triage<'_>,
    page: &mut Markup,
) {
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"map\"><svg class=\"map\" role=\"img\" aria-labelledby=\"map-title map-desc\" viewBox=\"0 0 ")
        .number(layout.width)
        .raw(" ")
        .number(layout.height)
        .raw("\" width=\"")
        .number(layout.width)
        .raw("\" height=\"")
        .number(layout.height)
        .raw("\"><title id=\"map-title\">Who called whom</title><desc id=\"map-desc\">");
    for ((from, to, sign), ports) in roads {
        page.text(&triage.name(*from))
            .raw(" to ")
            .text(&triage.name(*to))
            .raw(": ")
            .raw(sign.word())
            .raw(" ")
            .text(&label(ports, usize::MAX))
            .raw(". ");
    }
    page.raw("</desc>\n");
    for group in &layout.groups {
        rectangle(page, "domain", (group.x, group.y), (BOX_WIDTH + 20, group.height));
        words(page, "domain-name", (group.x + 10, group.y + 17), &group.name, SMALL_LETTERS);
    }
    // Good roads first, so that broken ones lie above them.
    for wanted in [false, true] {
        for (line, (key, ports)) in layout.lines.iter().zip(roads) {
            if key.2.is_bad() == wanted {
                arrow(line, key.2, page);
                arrow_label(line, key.2, ports, page);
            }
        }
    }
    for ((place, host), node) in layout.boxes.iter().zip(hosts).zip(nodes) {
        page.raw("<g><title>").text(&triage.title(*host)).raw("</title>");
        rectangle(page, "host", (place.x, place.y), (BOX_WIDTH, place.height));
        let title = triage.name(*host);
        let address = host.to_string();
        let name = title.strip_suffix(&address).unwrap_or_default().trim();
        // Its domain is named above it.
        let name = match name.split_once('.') {
            Some((label, _)) if !node.group.is_empty() => label,
            _ => name,
        };
        let x = place.x + 14;
        let middle = place.y + place.height / 2;
        let role = role_of(report, *host).map(|role| phrase::words(&role)).unwrap_or_default();
        if name.is_empty() {
            words(page, "host-name", (x, middle - 3), &address, NAME_LETTERS);
        } else {
            words(page, "host-name", (x, middle - 10), name, NAME_LETTERS);
            words(page, "host-address", (x, middle + 7), &address, SMALL_LETTERS);
        }
        let below = if name.is_empty() { 14 } else { 23 };
        words(page, "host-role", (x, middle + below), &role, SMALL_LETTERS);
        page.raw("</g>\n");
    }
    page.raw("</svg></div>\n");
}

fn rectangle(page: &mut Markup, class: &'static str, at: (i32, i32), size: (i32, i32)) {
    page.raw("<rect class=\"").raw(class).raw("\" x=\"").number(at.0).raw("\" y=\"").number(at.1);
    page.raw("\" width=\"").number(size.0).raw("\" height=\"").number(size.1);
    page.raw("\" rx=\"3\"/>");
}

fn words(page: &mut Markup, class: &'static str, at: (i32, i32), text: &str, most: usize) {
    if !text.is_empty() {
        page.raw("<text class=\"").raw(class).raw("\" x=\"").number(at.0).raw("\" y=\"");
        page.number(at.1).raw("\">").text(&cut(text, most, "…")).raw("</text>");
    }
}

fn point(page: &mut Markup, at: (i32, i32)) {
    page.number(at.0).raw(" ").number(at.1);
}

fn arrow(line: &Line, sign: Sign, page: &mut Markup) {
    // Leaves room for the sign where the arrow is broken.
    let towards = if line.end.0 >= line.arrive.0 { 1 } else { -1 };
    let end = if sign.is_bad() { line.end.0 - 18 * towards } else { line.end.0 - towards };
    page.raw("<path class=\"road ").raw(sign.class()).raw("\"");
    page.raw(match sign {
        Sign::Good => " marker-end=\"url(#tip-good)\"",
        Sign::Doubt => " marker-end=\"url(#tip-doubt)\"",
        Sign::Dropped | Sign::Refused | Sign::Failed | Sign::Mixed | Sign::Untried => "",
    });
    page.raw(" d=\"M");
    point(page, line.start);
    page.raw(" H").number(line.bend.0).raw(" C");
    point(page, (line.swing.0, line.bend.1));
    page.raw(" ");
    point(page, (line.swing.1, line.arrive.1));
    page.raw(" ");
    point(page, line.arrive);
    page.raw(" H").number(end).raw("\"/>");
    if sign.is_bad() {
        sign.draw_at(page, line.end.0 - 9 * towards, line.end.1, 14);
    }
}

fn arrow_label(
    line: &Line,
    sign: Sign,
    ports: &BTreeSet<(Transport, Port<'_>)>,
    page: &mut Markup,
) {
    let side = if line.bend.0 >= line.start.0 { Side::Left } else { Side::Right };
    let x = match side {
        Side::Left => line.start.0 + 8,
        Side::Right => line.start.0 - LABEL + 8,
    };
    sign.draw_at(page, x + 6, line.start.1 - 8, 11);
    page.raw("<text class=\"label ").raw(sign.class()).raw("\" x=\"").number(x + 16);
    page.raw("\" y=\"").number(line.start.1 - 4).raw("\">");
    page.text(&label(ports, LABEL_LETTERS)).raw("</text>\n");
}

/// "tcp 53, 88 udp 389", and how many more there are.
fn label(ports: &BTreeSet<(Transport, Port<'_>)>, most: usize) -> String {
    let mut text = String::new();
    let mut transport = None;
    let mut left = ports.len();
    for (of, (_, port)) in ports {
        let next = match transport {
            Some(same) if same == of => format!(", {port}"),
            Some(_) => format!(" {of} {port}"),
            None => format!("{of} {port}"),
        };
        let rest = if left > 1 { 4 } else { 0 };
        if !text.is_empty() && text.len().saturating_add(next.len()).saturating_add(rest) > most {
            text = format!("{text} +{left}");
            break;
        }
        text.push_str(&next);
        transport = Some(of);
        left -= 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn labels_say_what_they_leave_out() {
        let ports: BTreeSet<_> = [
            (Transport::Tcp, (53, "53")),
            (Transport::Tcp, (49152, "49152-65535")),
            (Transport::Udp, (389, "389")),
        ]
        .into();
        assert_eq!(label(&ports, 80), "tcp 53, 49152-65535 udp 389");
        assert_eq!(label(&ports, 26), "tcp 53, 49152-65535 +1");
        assert_eq!(label(&ports, 1), "tcp 53 +2");
    }

    #[test]
    fn every_sample_can_be_drawn_and_broken_arrows_have_no_tip() {
        for report in samples::all() {
            let mut page = Markup::new();
            map(&report, &Triage::of(&report), &mut page);
            for road in page.as_str().split("<path class=\"road ").skip(1) {
                let tip = road.split_once("/>").unwrap().0.contains("marker-end");
                assert_eq!(tip, road.starts_with("good") || road.starts_with("doubt"), "{road}");
            }
        }
    }
}
