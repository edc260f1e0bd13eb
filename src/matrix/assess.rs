//! Flows against requirements: what the captures prove of each.
//!
//! One pass over the flows: those between two hosts that play the roles of a row, to its ports,
//! exercise it. Each requirement and pair of hosts is a cell; each cell gets one outcome and says
//! from which frames. Rows that say the same of two hosts, which play several roles, are one cell. The
//! result does not depend on the order of the flows, only on their ids.

use std::collections::BTreeSet;
use std::hint::black_box;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use crate::matrix::Matrix;
use crate::matrix::exercised::{Laid, OfCell, laid};
use crate::matrix::explain::{also, explain, is_weak, service_failed, several_captures};
use crate::matrix::roles::{Cast, GivenRole, HostRecord, Part, Told, UnmatchedHost};
use crate::matrix::rows::Rows;
use crate::matrix::sheet::{Cell, CellCounts, CellEnd, Outcome, Sheet};
use crate::matrix::untried::{Untried, untried};
use crate::net::Address;
use crate::verdict::flows::{Flows, Lane, LaneIds, Seen};
use crate::verdict::record::{Class, JudgedFlow};

/// What the flows prove of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Hosts with a role or a name, by address.
    pub hosts: Vec<HostRecord>,
    /// The requirement sheet.
    pub sheet: Sheet,
    /// For each flow, in the order they were handed in, the place of the row it exercises in
    /// [`Matrix::requirements`]; the first such row where there are several.
    pub requirement_of: Vec<Option<usize>>,
    /// Host names and blocks that were given a role and that no capture shows.
    pub unmatched: Vec<UnmatchedHost>,
}

/// Lays flows over a matrix.
///
/// `told` is what the captures tell of hosts. Fields that are filled from the
/// result (`requirement` and the service's name) are not read, so that it can be found again
/// from the flows of a report.
pub fn assess(
    matrix: &Matrix,
    given: &[GivenRole],
    told: Told<'_>,
    flows: &[JudgedFlow],
) -> Assessment {
    let cast = Cast::new(matrix, given, told, flows.into());
    lay(matrix, cast, flows, &Plain::default(), None).0
}

/// As [`assess()`], of telling flows and of plain ones, which learn the row that they exercise. Calls
/// that nobody answered between hosts that have roles become telling ones.
pub(crate) fn assess_all(
    matrix: &Matrix,
    given: &[GivenRole],
    told: Told<'_>,
    flows: &mut Flows,
) -> Assessment {
    let cast = Cast::new(matrix, given, told, Seen::from(&*flows));
    let has_part = |host| cast.parts_of(host).is_some();
    flows.promote(|_, lane| lane.is_unanswered() && has_part(lane.from()) && has_part(lane.to()));
    let lanes: Vec<&Lane> = flows.lanes().map(|(_, lane)| lane).collect();
    let plain = Plain { lanes: &lanes, ids: flows.ids_by_lane() };
    let (assessment, rows_of_lanes) = lay(matrix, cast, flows.telling(), &plain, None);
    let row = |row: usize| matrix.requirements.get(row);
    flows.exercise(rows_of_lanes, |place| {
        row(place).map(|row| (row.id.clone(), row.service.clone()))
    });
    assessment
}

/// As [`assess()`], and only the flows of these ids count; all tell who is who. What they do not
/// exercise is not listed, as others may.
pub(crate) fn assess_some(
    matrix: &Matrix,
    given: &[GivenRole],
    told: Told<'_>,
    flows: &[JudgedFlow],
    wanted: &BTreeSet<u64>,
) -> Assessment {
    let cast = Cast::new(matrix, given, told, flows.into());
    lay(matrix, cast, flows, &Plain::default(), Some(wanted)).0
}

/// Plain flows.
#[derive(Default)]
struct Plain<'a> {
    lanes: &'a [&'a Lane],
    /// The ids of those that worked, by lane.
    ids: LaneIds,
}

/// Also gives the first row that the flows of each lane exercise.
fn lay(
    matrix: &Matrix,
    cast: Cast<'_>,
    flows: &[JudgedFlow],
    plain: &Plain<'_>,
    wanted: Option<&BTreeSet<u64>>,
) -> (Assessment, Vec<Option<usize>>) {
    let rows = Rows::new(matrix);
    let counts = |flow: &JudgedFlow| wanted.is_none_or(|wanted| wanted.contains(&flow.id));
    let Laid { cells: exercised, rows_of_flows, rows_of_lanes } =
        laid(&rows, &cast, flows, plain.lanes, counts);
    let keys: Vec<CellKey> = exercised.iter().map(|(key, _)| *key).collect();
    let (keys, not_exercised_unlisted, never_exercised) = match wanted {
        None => {
            let Untried { keys, unlisted, never } = untried(&rows, &cast, &keys);
            (keys, unlisted, never)
        }
        Some(_) => (keys, 0, Vec::new()),
    };
    let several = several_captures(flows);
    let none = OfCell::default();
    let mut rest = exercised.iter().peekable();
    let of_cell = |key: &CellKey| rest.next_if(|(own, _)| own == key).map_or(&none, |(_, it)| it);
    let of_cells: Vec<&OfCell<'_>> = keys.iter().map(of_cell).collect();
    let made = keys.par_iter().zip(&of_cells).enumerate();
    let made = made.map(|(place, (key, of_cell))| {
        if place.is_multiple_of(TOGETHER) {
            touch(of_cells.iter().skip(place).take(TOGETHER));
        }
        cell(&rows, &cast, *key, of_cell, plain, several)
    });
    let made: Vec<Option<Cell>> = made.collect();
    #[expect(clippy::filter_map_identity, reason = "done in place, which flattening is not")]
    let cells = made.into_iter().filter_map(|cell| cell).collect();
    let sheet = Sheet {
        profile: matrix.name.clone(),
        title: matrix.title.clone(),
        cells,
        not_exercised_unlisted,
        never_exercised,
    };
    let Cast { hosts, unmatched, .. } = cast;
    let assessment = Assessment { hosts, sheet, requirement_of: rows_of_flows, unmatched };
    (assessment, rows_of_lanes)
}

/// From, to, and place of the row. Their order is that of the sheet.
pub(super) type CellKey = (Address, Address, usize);

/// Cells whose flows are read at once.
const TOGETHER: usize = 16;

/// Reads something of the flows of cells, which stand anywhere, to have them in the processor's cache:
/// none of these waits for the one before it.
fn touch<'a>(cells: impl Iterator<Item = &'a &'a OfCell<'a>>) {
    let flows = cells.flat_map(|cell| &cell.flows);
    black_box(flows.fold(0, |sum, flow| {
        let seen = flow.first_seen.map_or(0, |time| time.at.as_nanoseconds().cast_unsigned());
        sum ^ flow.id ^ seen ^ flow.class as u64 ^ flow.service.outcome as u64
    }));
}

/// A cell; `None` only for a key that belongs to no row.
fn cell(
    rows: &Rows<'_>,
    cast: &Cast<'_>,
    (from, to, index): CellKey,
    of_cell: &OfCell<'_>,
    plain: &Plain<'_>,
    several: bool,
) -> Option<Cell> {
    let row = rows.all.get(index)?;
    let (from_parts, to_parts) = (cast.parts_of(from)?, cast.parts_of(to)?);
    let (from_part, to_part) = row
        .directions()
        .find_map(|(opens, called)| Some((from_parts.get(&opens)?, to_parts.get(&called)?)))?;
    let mut flows = of_cell.flows.clone();
    let hidden = of_cell.lanes.iter().map(|lane| plain.ids.of_lane(*lane));
    let count = flows.len() + hidden.clone().map(<[u64]>::len).sum::<usize>();
    let mut ids: Vec<u64> = Vec::with_capacity(count);
    ids.extend(flows.iter().map(|flow| flow.id));
    ids.extend(hidden.flatten());
    ids.sort_unstable();
    in_order_of_time(&mut flows);
    let mut counts = CellCounts::default();
    for flow in &flows {
        let count = match flow.class {
            Class::Success => &mut counts.success,
            Class::Timeout => &mut counts.timeout,
            Class::Reject => &mut counts.reject,
            Class::Inconclusive => &mut counts.inconclusive,
        };
        *count += 1;
    }
    let lanes = of_cell.lanes.iter().filter_map(|lane| plain.lanes.get(*lane));
    counts.success += lanes.map(|lane| lane.hidden).sum::<u64>();
    let outcome = outcome_of(counts, &flows);
    let mut explanation = explain(outcome, counts, &flows, several);
    let (requirement, texts) = (row.requirement, &row.texts);
    if let Some(first) = flows.first()
        && !rows.is_fixed(requirement, first.responder.port)
    {
        explanation = then_rpc(&explanation, &flows, several);
    }
    let end = |address, part: &Part<'_>| CellEnd { address, role: part.role.into() };
    Some(Cell {
        requirement: texts.id.clone(),
        service: texts.service.clone(),
        transport: requirement.transport,
        ports: texts.ports.clone(),
        from: end(from, from_part),
        to: end(to, to_part),
        need: texts.need.clone(),
        condition: texts.condition.clone(),
        listener_known: requirement.listener_known,
        outcome,
        flows: ids,
        counts,
        explanation: explanation.into(),
    })
}

/// What is known of the remote procedure calls of a cell: the announcement of a flow that failed
/// first.
fn then_rpc(explanation: &str, flows: &[&JudgedFlow], several: bool) -> String {
    let failed = flows.iter().filter(|flow| flow.class != Class::Success);
    let mut ordered = failed.chain(flows.iter().filter(|flow| flow.class == Class::Success));
    let announced = ordered.find_map(|flow| {
        let rpc = flow.rpc.as_ref()?;
        Some((flow.responder.port, rpc, rpc.announced_frame?))
    });
    let note = match announced {
        Some((port, rpc, frame)) => {
            let what = rpc.interface.as_deref().or(rpc.uuid.as_deref());
            let what = what.map(|what| format!(" for {what}")).unwrap_or_default();
            let place = rpc.endpoint_mapper_flow.filter(|_| several);
            let place = place.map(|flow| format!(" of flow {flow}")).unwrap_or_default();
            format!("port {port} was announced{what} in frame {frame}{place}")
        }
        None => match flows.iter().find_map(|flow| Some((flow.responder.port, flow.rpc.as_ref()?)))
        {
            Some((port, rpc)) => match rpc.interface.as_deref().or(rpc.uuid.as_deref()) {
                Some(interface) => format!("port {port} was called for {interface}"),
                None => return explanation.to_owned(),
            },
            None => "the port lies in the dynamic range, and the captures do not show whether it \
                     was announced for RPC"
                .to_owned(),
        },
    };
    also(explanation, &note)
}

/// Orders flows by time where all have one and all tell it the same way, else by id, which is
/// the order of captures and frames.
pub(crate) fn in_order_of_time(flows: &mut [&JudgedFlow]) {
    // Sorting takes memory, and nearly all stand in order.
    if !flows.is_sorted_by_key(|flow| flow.id) {
        flows.sort_by_key(|flow| flow.id);
    }
    let zone = |flow: &&JudgedFlow| flow.first_seen.map(|time| time.clock.zone_known);
    let first = flows.first().and_then(zone);
    let time = |flow: &&JudgedFlow| flow.first_seen.map(|time| time.at);
    if first.is_some()
        && flows.iter().all(|flow| zone(flow) == first)
        && !flows.is_sorted_by_key(time)
    {
        flows.sort_by_key(time);
    }
}

/// What the flows of a cell prove.
///
/// One silent SYN that nobody repeated proves nothing, beside successes as little as alone.
/// Where attempts were dropped and refused and none worked, the more frequent of the two names
/// the outcome, a refusal where they are even: it is something that was seen.
fn outcome_of(counts: CellCounts, flows: &[&JudgedFlow]) -> Outcome {
    let failed_service = flows.iter().filter(|flow| service_failed(flow)).count() as u64;
    let works = counts.success.saturating_sub(failed_service);
    let lone_weak = counts.timeout == 1 && flows.iter().any(|flow| is_weak(flow));
    let timeouts = if lone_weak { 0 } else { counts.timeout };
    match (works, failed_service, timeouts, counts.reject) {
        _ if flows.is_empty() => Outcome::NotExercised,
        (0, 0, 0, 0) => Outcome::CannotTell,
        (1.., 0, 0, 0) => Outcome::Open,
        (0, 1.., 0, 0) => Outcome::ServiceFailed,
        (0, 0, timeouts, rejects) if timeouts > rejects => Outcome::Dropped,
        (0, 0, _, _) => Outcome::Refused,
        _ => Outcome::Mixed,
    }
}

#[cfg(test)]
mod tests;
