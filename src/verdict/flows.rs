//! All flows of a report: those that tell something whole, the plain ones by the lane.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::flow::{Finished, Flow};
use crate::net::{Address, Label, PortCounts};
pub(crate) use crate::verdict::lane::LaneIds;
use crate::verdict::lane::TELLING;
pub use crate::verdict::lane::{Lane, Way};
use crate::verdict::record::JudgedFlow;
use crate::verdict::{Circumstances, judge};

/// The plain flows of a capture.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    pub(super) finished: Arc<Finished>,
    pub(super) circumstances: Circumstances,
    pub(super) lanes: Vec<Lane>,
    /// The lane of each flow, or [`TELLING`].
    pub(super) lane_of: Vec<u32>,
}

impl From<Vec<JudgedFlow>> for CaptureFlows {
    /// Flows that all tell something, in order.
    fn from(mut telling: Vec<JudgedFlow>) -> CaptureFlows {
        for (id, flow) in (1..).zip(&mut telling) {
            flow.id = id;
        }
        CaptureFlows { count: telling.len() as u64, telling, hidden: None }
    }
}

/// The flows of one capture, judged.
#[derive(Clone, Debug, Default)]
pub struct CaptureFlows {
    /// Flows that tell, in order; their ids count from 1 within the capture.
    pub(super) telling: Vec<JudgedFlow>,
    /// How many flows there are.
    pub(super) count: u64,
    pub(super) hidden: Option<Hidden>,
}

impl CaptureFlows {
    /// How many flows there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All flows in order, as they were judged.
    fn in_order(&self) -> Vec<Cow<'_, JudgedFlow>> {
        let mut telling = self.telling.iter();
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let flow_at = |place| {
            let plain = self.hidden.as_ref().and_then(|hidden| {
                let is_plain = hidden.lane_of.get(place).is_some_and(|lane| *lane != TELLING);
                let flow = is_plain.then(|| hidden.finished.get(place)).flatten()?;
                Some(judge(&flow, 0, &hidden.circumstances))
            });
            plain.map(Cow::Owned).or_else(|| telling.next().map(Cow::Borrowed))
        };
        (0..count).filter_map(flow_at).collect()
    }
}

impl Serialize for CaptureFlows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Some formats want to know how many there are.
        serializer.collect_seq(self.in_order())
    }
}

impl<'de> Deserialize<'de> for CaptureFlows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CaptureFlows, D::Error> {
        Vec::deserialize(deserializer).map(CaptureFlows::from)
    }
}

/// The service of a row of the matrix, for flows that are made when they are wanted.
#[derive(Clone, Debug, Default)]
struct RowName {
    id: Label,
    service: Label,
}

/// Who called whom, and at which port.
pub type Called = (Address, Address, u16);

/// The plain flows of a capture, in a report.
#[derive(Clone, Debug)]
struct OfCapture {
    capture: usize,
    /// Id of its first flow.
    first_id: u64,
    hidden: Hidden,
}

/// All flows of a report, by id.
///
/// Flows that tell something of their own are there whole. Plain ones, of which a capture may
/// hold millions, are counted by [`Lane`] and made when they are asked for; what is made is the same
/// as if it had always been there.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    telling: Vec<JudgedFlow>,
    hidden: Vec<OfCapture>,
    rows: BTreeMap<usize, RowName>,
}

impl From<Vec<JudgedFlow>> for Flows {
    /// Flows that stand by capture and first frame; they get their ids.
    fn from(mut telling: Vec<JudgedFlow>) -> Flows {
        for (id, flow) in (1..).zip(&mut telling) {
            flow.id = id;
        }
        Flows { telling, ..Flows::default() }
    }
}

impl Flows {
    /// The flows of captures, each with the index of its capture, in their order.
    pub fn of(captures: impl IntoIterator<Item = (usize, CaptureFlows)>) -> Flows {
        let mut flows = Flows::default();
        let mut before = 0;
        for (capture, of_capture) in captures {
            let CaptureFlows { mut telling, count, hidden } = of_capture;
            for flow in &mut telling {
                flow.id += before;
                flow.capture = capture;
            }
            if flows.telling.is_empty() {
                flows.telling = telling;
            } else {
                flows.telling.append(&mut telling);
            }
            let first_id = before + 1;
            flows.hidden.extend(hidden.map(|hidden| OfCapture { capture, first_id, hidden }));
            before += count;
        }
        flows
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let hidden: u64 = self.lanes().map(|(_, lane)| lane.hidden).sum();
        self.telling.len().saturating_add(usize::try_from(hidden).unwrap_or(usize::MAX))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.telling.is_empty()
    }

    /// All flows, whole.
    pub fn into_whole(mut self) -> Vec<JudgedFlow> {
        self.promote_all();
        self.telling
    }

    /// Flows that tell something of their own, by id.
    pub fn telling(&self) -> &[JudgedFlow] {
        &self.telling
    }

    /// The same, to be changed; nothing may be added between them.
    pub fn telling_mut(&mut self) -> &mut Vec<JudgedFlow> {
        &mut self.telling
    }

    /// The lanes of the plain flows, with the index of their capture.
    pub fn lanes(&self) -> impl Iterator<Item = (usize, &Lane)> + Clone {
        self.hidden.iter().flat_map(|it| it.hidden.lanes.iter().map(|lane| (it.capture, lane)))
    }

    /// Forgets plain flows, and counts them by way and verdict, then by port.
    pub fn fold(&mut self) -> BTreeMap<Way, PortCounts> {
        let mut counts: BTreeMap<Way, PortCounts> = BTreeMap::new();
        for (_, lane) in self.lanes().filter(|(_, it)| it.hidden > 0) {
            let ports = counts.entry(lane.way()).or_default();
            if !lane.is_unanswered() {
                ports.add(lane.port(), lane.hidden);
            } else if lane.called_each_once() {
                ports.add_each(&lane.ports);
            }
        }
        let again =
            |_, lane: &Lane| (lane.is_unanswered() && !lane.called_each_once()).then(|| lane.way());
        self.each_of_lanes(0, 1, again, |way, flow| {
            counts.entry(way).or_default().add(flow.responder_endpoint().port, 1);
        });
        counts.values_mut().for_each(PortCounts::settle);
        self.hidden.clear();
        counts
    }

    /// The first id and the last.
    pub fn span(&self) -> Option<(u64, u64)> {
        let first = self.telling.first()?.id;
        let telling = self.telling.last()?.id;
        let end = |it: &OfCapture| it.first_id + it.hidden.finished.len() as u64 - 1;
        Some((first, self.hidden.last().map_or(telling, end).max(telling)))
    }

    /// Leaves out all flows but these.
    pub fn keep(&mut self, ids: &[u64]) {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let kept = ids.iter().filter_map(|id| self.get(*id)).map(Cow::into_owned).collect();
        *self = Flows { telling: kept, ..Flows::default() };
    }

    /// Forgets all flows.
    pub fn clear(&mut self) {
        *self = Flows::default();
    }

    /// Makes the flows of these lanes telling ones. `wanted` gets the index of the capture.
    pub fn promote(&mut self, wanted: impl Fn(usize, &Lane) -> bool) {
        let before = self.telling.len();
        for of_capture in &mut self.hidden {
            let chosen: Vec<bool> = of_capture
                .hidden
                .lanes
                .iter()
                .map(|lane| lane.hidden > 0 && wanted(of_capture.capture, lane))
                .collect();
            if !chosen.contains(&true) {
                continue;
            }
            let is_chosen = |lane: &u32| chosen.get(*lane as usize) == Some(&true);
            let mut places = Vec::new();
            for (place, lane) in of_capture.hidden.lane_of.iter().enumerate() {
                if is_chosen(lane) {
                    places.push(place);
                }
            }
            for place in places {
                let lane = of_capture.hidden.lane_of.get_mut(place);
                let lane = lane.map_or(TELLING, |lane| std::mem::replace(lane, TELLING));
                let made = of_capture.made(place);
                self.telling.extend(made.map(|flow| {
                    let mut flow = named(&self.rows, of_capture, flow, lane);
                    flow.pack();
                    flow
                }));
            }
            for (lane, chosen) in of_capture.hidden.lanes.iter_mut().zip(chosen) {
                if chosen {
                    lane.hidden = 0;
                }
            }
        }
        if self.telling.len() > before {
            self.telling.sort_by_key(|flow| flow.id);
        }
    }

    /// Makes all flows telling ones.
    pub fn promote_all(&mut self) {
        self.promote(|_, _| true);
        self.hidden.clear();
    }

    /// Says which row of the matrix the flows of each lane exercise, by place of the lane among
    /// [`Flows::lanes`], and what rows are called: their id and service.
    pub(crate) fn exercise(
        &mut self,
        rows: impl IntoIterator<Item = Option<usize>>,
        name: impl Fn(usize) -> Option<(String, String)>,
    ) {
        let lanes = self.hidden.iter_mut().flat_map(|it| &mut it.hidden.lanes);
        for (lane, row) in lanes.zip(rows) {
            lane.row = row;
            if let Some((id, service)) = row.and_then(&name) {
                self.rows
                    .entry(row.unwrap_or_default())
                    .or_insert_with(|| RowName { id: id.into(), service: service.into() });
            }
        }
    }

    /// The ids of plain flows that worked, by their lane.
    pub(crate) fn ids_by_lane(&self) -> LaneIds {
        let worked = |lane: &Lane| if lane.is_unanswered() { 0 } else { lane.hidden };
        let mut ends = Vec::new();
        let mut sum = 0;
        for (_, lane) in self.lanes() {
            sum += usize::try_from(worked(lane)).unwrap_or_default();
            ends.push(sum);
        }
        let first = std::iter::once(0).chain(ends.iter().copied());
        let mut next: Vec<usize> = first.take(ends.len()).collect();
        let mut ids = vec![0; sum];
        let mut base = 0;
        for of_capture in &self.hidden {
            let of_flows = (of_capture.first_id..).zip(&of_capture.hidden.lane_of);
            for (id, lane) in of_flows.filter(|(_, lane)| **lane != TELLING) {
                let lane = base + *lane as usize;
                if let (Some(next), Some(end)) = (next.get_mut(lane), ends.get(lane))
                    && *next < *end
                    && let Some(into) = ids.get_mut(*next)
                {
                    *into = id;
                    *next += 1;
                }
            }
            base += of_capture.hidden.lanes.len();
        }
        LaneIds { ids, ends }
    }

    /// The telling flow with this id.
    pub fn telling_of(&self, id: u64) -> Option<&JudgedFlow> {
        // Ids count from 1 in the order of the flows; a report of chosen flows has gaps.
        let guess = usize::try_from(id).ok()?.checked_sub(1)?;
        self.telling.get(guess).filter(|flow| flow.id == id).or_else(|| {
            let at = self.telling.binary_search_by_key(&id, |flow| flow.id).ok()?;
            self.telling.get(at)
        })
    }

    /// The flow with this id.
    pub fn get(&self, id: u64) -> Option<Cow<'_, JudgedFlow>> {
        if let Some(flow) = self.telling_of(id) {
            return Some(Cow::Borrowed(flow));
        }
        let after = self.hidden.partition_point(|it| it.first_id <= id);
        let of_capture = self.hidden.get(after.checked_sub(1)?)?;
        let place = usize::try_from(id - of_capture.first_id).ok()?;
        let lane = *of_capture.hidden.lane_of.get(place)?;
        (lane != TELLING).then(|| self.whole(of_capture, place, lane)).flatten().map(Cow::Owned)
    }

    /// A plain flow, with what the report knows of it.
    fn whole(&self, of_capture: &OfCapture, place: usize, lane: u32) -> Option<JudgedFlow> {
        of_capture.made(place).map(|flow| named(&self.rows, of_capture, flow, lane))
    }

    /// Why flows that are made when they are asked for could not be read, if that happened: see
    /// [`Finished::lost`].
    pub fn lost(&self) -> Option<&str> {
        self.hidden.iter().find_map(|it| it.hidden.finished.lost())
    }

    /// Whether there are flows that are made when they are asked for.
    pub fn has_plain(&self) -> bool {
        self.lanes().any(|(_, lane)| lane.hidden > 0)
    }

    /// The first of the calls of each of these ports that nobody answered and that are no telling
    /// flows, and how many there are. Ports come with who called, and whom.
    pub fn unanswered(&self, ports: &[Called]) -> BTreeMap<Called, (JudgedFlow, u64)> {
        let ports: BTreeSet<Called> = ports.iter().copied().collect();
        let calls = self.of_lanes(|_, lane| {
            let of_way = (lane.from(), lane.to(), 0)..=(lane.from(), lane.to(), u16::MAX);
            lane.is_unanswered() && ports.range(of_way).any(|(_, _, port)| lane.has_port(*port))
        });
        let mut found: BTreeMap<Called, (JudgedFlow, u64)> = BTreeMap::new();
        for flow in calls {
            let called = (flow.initiator.address, flow.responder.address, flow.responder.port);
            if ports.contains(&called) {
                found.entry(called).or_insert((flow, 0)).1 += 1;
            }
        }
        found
    }

    /// All flows, by id. Plain ones are made one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, JudgedFlow>> {
        let mut telling = self.telling.iter().peekable();
        let mut captures = self.hidden.iter();
        let mut hidden = captures.next().map(|it| (it, it.plain()));
        let mut next_hidden: Option<(u64, JudgedFlow)> = None;
        std::iter::from_fn(move || {
            while next_hidden.is_none() {
                let Some((of_capture, plain)) = &mut hidden else { break };
                match plain.next() {
                    Some((lane, flow)) => {
                        next_hidden = Some((flow.id, named(&self.rows, of_capture, flow, lane)));
                    }
                    None => hidden = captures.next().map(|it| (it, it.plain())),
                }
            }
            match (telling.peek(), &next_hidden) {
                (Some(flow), Some((id, _))) if flow.id > *id => {
                    next_hidden.take().map(|(_, flow)| Cow::Owned(flow))
                }
                (Some(_), _) => telling.next().map(Cow::Borrowed),
                (None, _) => next_hidden.take().map(|(_, flow)| Cow::Owned(flow)),
            }
        })
    }

    /// The plain flows of the lanes that are wanted, made one after the other, without what the
    /// report adds to them.
    fn of_lanes<'a>(
        &'a self,
        wanted: impl Fn(usize, &Lane) -> bool + 'a,
    ) -> impl Iterator<Item = JudgedFlow> + 'a {
        places_of_lanes(&self.hidden, wanted)
            .filter_map(|(of_capture, place)| of_capture.made(place))
    }

    /// Shows what was recorded of the plain flows of the lanes that are wanted, but for what was
    /// heard, with what `wanted` says of their lane: those of one of so many parts of the flows, from
    /// 0. `wanted` gets the index of the capture.
    pub(super) fn each_of_lanes<T: Copy>(
        &self,
        part: usize,
        parts: usize,
        wanted: impl Fn(usize, &Lane) -> Option<T>,
        mut show: impl FnMut(T, &Flow),
    ) {
        let mut flow = Flow::blank();
        for (of_capture, place, of_lane) in part_of_lanes(&self.hidden, part, parts, wanted) {
            if of_capture.hidden.finished.read_unheard(place, &mut flow) {
                show(of_lane, &flow);
            }
        }
    }
}

/// The places of the flows of the lanes that are wanted, in order.
fn places_of_lanes(
    hidden: &[OfCapture],
    wanted: impl Fn(usize, &Lane) -> bool,
) -> impl Iterator<Item = (&OfCapture, usize)> {
    let wanted = move |capture, lane: &Lane| wanted(capture, lane).then_some(());
    part_of_lanes(hidden, 0, 1, wanted).map(|(of_capture, place, ())| (of_capture, place))
}

/// The same, of one of so many parts of the flows, with what `wanted` says of their lane.
fn part_of_lanes<T: Copy>(
    hidden: &[OfCapture],
    part: usize,
    parts: usize,
    wanted: impl Fn(usize, &Lane) -> Option<T>,
) -> impl Iterator<Item = (&OfCapture, usize, T)> {
    hidden.iter().flat_map(move |of_capture| {
        let lanes = of_capture.hidden.lanes.iter();
        let of_lane = |lane: &Lane| wanted(of_capture.capture, lane).filter(|_| lane.hidden > 0);
        let wanted: Vec<Option<T>> = lanes.map(of_lane).collect();
        let none = wanted.iter().all(Option::is_none);
        let lane_of = if none { &[][..] } else { &of_capture.hidden.lane_of[..] };
        let (start, end) = (lane_of.len() * part / parts, lane_of.len() * (part + 1) / parts);
        (start..end).zip(lane_of.get(start..end).unwrap_or_default()).filter_map(
            move |(place, lane)| Some((of_capture, place, (*wanted.get(*lane as usize)?)?)),
        )
    })
}

/// A plain flow with the row that it exercises.
fn named(
    rows: &BTreeMap<usize, RowName>,
    of_capture: &OfCapture,
    mut flow: JudgedFlow,
    lane: u32,
) -> JudgedFlow {
    let row = of_capture.hidden.lanes.get(lane as usize).and_then(|lane| lane.row);
    if let Some(row) = row.and_then(|row| rows.get(&row)) {
        flow.requirement = Some(row.id.clone());
        flow.service.name = Some(row.service.clone());
    }
    flow
}

impl OfCapture {
    fn lane(&self, place: usize) -> Option<&Lane> {
        let lane = *self.hidden.lane_of.get(place)?;
        self.hidden.lanes.get(lane as usize)
    }

    /// The flow at a place, as it was judged.
    fn made(&self, place: usize) -> Option<JudgedFlow> {
        let flow = self.hidden.finished.get(place)?;
        Some(self.judged(place, &flow))
    }

    fn judged(&self, place: usize, flow: &Flow) -> JudgedFlow {
        let judged = judge(flow, self.capture, &self.hidden.circumstances);
        JudgedFlow { id: self.first_id + place as u64, ..judged }
    }

    /// The plain flows, each with its lane.
    fn plain(&self) -> impl Iterator<Item = (u32, JudgedFlow)> + use<'_> {
        let mut flow = Flow::blank();
        let lanes = self.hidden.lane_of.iter().enumerate();
        lanes.filter(|(_, lane)| **lane != TELLING).filter_map(move |(place, lane)| {
            let is_there = self.hidden.finished.read(place, &mut flow);
            is_there.then(|| (*lane, self.judged(place, &flow)))
        })
    }
}

impl PartialEq for Flows {
    fn eq(&self, other: &Flows) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Serialize for Flows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Flows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flows, D::Error> {
        // Ids stay as they are: a report of chosen flows has gaps.
        Ok(Flows { telling: Vec::deserialize(deserializer)?, ..Flows::default() })
    }
}

impl JsonSchema for Flows {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Flows".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<JudgedFlow>::json_schema(generator)
    }
}

/// Flows that tell, and the lanes of the plain ones beside them.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Flows that tell something of their own.
    pub telling: &'a [JudgedFlow],
    hidden: &'a [OfCapture],
}

impl<'a> Seen<'a> {
    /// The lanes of the plain flows.
    pub fn lanes(self) -> impl Iterator<Item = &'a Lane> + Clone {
        self.hidden.iter().flat_map(|it| &it.hidden.lanes).filter(|lane| lane.hidden > 0)
    }

    /// Calls that nobody answered and that are known by their lane alone.
    pub fn unanswered(self) -> impl Iterator<Item = &'a Lane> + Clone {
        self.lanes().filter(|lane| lane.is_unanswered())
    }

    /// Whom each of the calls went to that were repeated and that nobody answered, in no order.
    /// `wanted` gets the lane, and the port that was called.
    pub fn repeated(self, wanted: impl Fn(&Lane, u16) -> bool) -> Vec<(Address, u16)> {
        let lanes = self.lanes().filter(|lane| lane.is_repeated() && lane.called_each_once());
        let ports = lanes.clone().map(|lane| lane.ports.len()).sum();
        let mut calls: Vec<(Address, u16)> = Vec::with_capacity(ports);
        for lane in lanes {
            let ports = lane.ports.iter().filter(|port| wanted(lane, **port));
            calls.extend(ports.map(|port| (lane.to(), *port)));
        }
        let others = |_, lane: &Lane| lane.is_repeated() && !lane.called_each_once();
        let mut flow = Flow::blank();
        for (of_capture, place) in places_of_lanes(self.hidden, others) {
            let lane = of_capture.lane(place);
            if of_capture.hidden.finished.read_unheard(place, &mut flow) {
                let to = flow.responder_endpoint();
                if lane.is_some_and(|lane| wanted(lane, to.port)) {
                    calls.push((to.address, to.port));
                }
            }
        }
        calls
    }

    /// The first of these calls of a host's port, as they were judged.
    pub fn first_repeated(
        self,
        to: Address,
        port: u16,
        wanted: impl Fn(&Lane, u16) -> bool,
    ) -> impl Iterator<Item = JudgedFlow> {
        let of_port = move |_, lane: &Lane| {
            lane.is_repeated() && lane.to() == to && lane.has_port(port) && wanted(lane, port)
        };
        places_of_lanes(self.hidden, of_port)
            .filter_map(|(of_capture, place)| of_capture.made(place))
            .filter(move |flow| flow.responder.port == port)
    }
}

impl<'a> From<&'a [JudgedFlow]> for Seen<'a> {
    fn from(telling: &'a [JudgedFlow]) -> Seen<'a> {
        Seen { telling, hidden: &[] }
    }
}

impl<'a> From<&'a Vec<JudgedFlow>> for Seen<'a> {
    fn from(telling: &'a Vec<JudgedFlow>) -> Seen<'a> {
        telling.as_slice().into()
    }
}

impl<'a, const N: usize> From<&'a [JudgedFlow; N]> for Seen<'a> {
    fn from(telling: &'a [JudgedFlow; N]) -> Seen<'a> {
        telling.as_slice().into()
    }
}

impl<'a> From<&'a Flows> for Seen<'a> {
    fn from(flows: &'a Flows) -> Seen<'a> {
        Seen { telling: &flows.telling, hidden: &flows.hidden }
    }
}

#[cfg(test)]
mod tests;
