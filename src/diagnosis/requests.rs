//! Firewall requests: the smallest rules that can mend what was seen.
//!
//! A rule can mend what was dropped, prohibited, or refused by something that is not plainly the
//! host itself. A handshake that was never confirmed is no such thing: its SYN did arrive. Nor is a
//! port that was reached at another time.
//!
//! Optional requirements are asked for too, and marked: one round with the firewall team is
//! cheaper than two, and they can be declined. Where nothing is known to listen (UDP 135), and
//! where an alternative is open, nothing is asked.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::diagnosis::cause::{Weight, failures, is_mendable};
use crate::diagnosis::{Evidence, FindingKind, FirewallRequest};
use crate::matrix::{
    Cell, Direction, Need, Outcome, PortRange, Requirement, count_of, in_order_of_time, list_of,
    seen,
};
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, JudgedFlow};

/// Services and reasons that one request names.
const NAMED: usize = 4;

/// Source, destination, transport, ports.
type Key = (Address, Address, Transport, Vec<PortRange>);

/// A request that still grows.
#[derive(Default)]
struct Draft {
    both: bool,
    services: Vec<String>,
    reasons: Vec<String>,
    flows: Vec<u64>,
}

/// What a cell has to ask for.
struct Ask<'a> {
    cell: &'a Cell,
    requirement: &'a Requirement,
    /// Ids of the flows that it would mend.
    flows: Vec<u64>,
    ports: Vec<PortRange>,
    reason: String,
}

impl<'a> Ask<'a> {
    fn of(evidence: &Evidence<'a>, cell: &'a Cell) -> Option<Ask<'a>> {
        let requirement = evidence.weights.requirement(cell)?;
        let flows = mendable(evidence, cell);
        (!flows.is_empty()).then(|| Ask {
            cell,
            requirement,
            flows: flows.iter().map(|flow| flow.id).collect(),
            ports: ports(evidence, requirement, &flows),
            reason: reason(evidence, requirement, &flows),
        })
    }
}

pub(super) fn requests(evidence: &Evidence<'_>) -> Vec<FirewallRequest> {
    let asks = evidence.sheet.cells.par_iter().filter_map(|cell| Ask::of(evidence, cell));
    let asks: Vec<Ask<'_>> = asks.collect();
    let mut drafts: BTreeMap<Key, Draft> = BTreeMap::new();
    for Ask { cell, requirement, flows, ports, reason } in asks {
        let both = requirement.rpc_dynamic && requirement.direction == Direction::Both;
        let (mut from, mut to) = (cell.from.address, cell.to.address);
        // The way of the row, whoever called: so rules of several pairs are alike.
        if both
            && evidence.matrix.plays(&cell.from.role, &requirement.to)
            && !evidence.matrix.plays(&cell.to.role, &requirement.to)
        {
            (from, to) = (to, from);
        }
        let back = (to, from, cell.transport, ports.clone());
        // One rule for both directions, whichever failed first.
        let key = if both && drafts.get(&back).is_some_and(|draft| draft.both) {
            back
        } else {
            (from, to, cell.transport, ports)
        };
        let draft = drafts.entry(key).or_default();
        draft.both |= both;
        if !draft.services.contains(&requirement.service) {
            draft.services.push(requirement.service.clone());
        }
        draft.reasons.push(reason);
        draft.flows.extend(flows);
    }
    drafts.into_iter().map(|(key, draft)| request(key, draft)).collect()
}

/// The ports to ask for.
fn ports(
    evidence: &Evidence<'_>,
    requirement: &Requirement,
    flows: &[&JudgedFlow],
) -> Vec<PortRange> {
    // Where it is known what RPC is meant to use, a rule for anything else would mend nothing.
    if requirement.rpc_dynamic && !evidence.rpc_range.is_empty() {
        return evidence.rpc_range.to_vec();
    }
    // Of several ranges only those that failed.
    let called = |range: &PortRange| flows.iter().any(|flow| range.contains(flow.responder.port));
    let mut ports: Vec<PortRange> = requirement.ports.iter().copied().filter(called).collect();
    // A port may be announced that lies in none of them.
    for port in flows.iter().map(|flow| flow.responder.port) {
        if !ports.iter().any(|range| range.contains(port)) {
            ports.push(PortRange { first: port, last: port });
        }
    }
    ports.sort_unstable();
    ports
}

fn request((source, destination, transport, ports): Key, mut draft: Draft) -> FirewallRequest {
    draft.flows.sort_unstable();
    draft.flows.dedup();
    draft.reasons.dedup();
    let ports: Vec<String> = ports.iter().map(PortRange::to_string).collect();
    let others = draft.reasons.len().saturating_sub(NAMED);
    draft.reasons.truncate(NAMED);
    let mut reason = draft.reasons.join("; ");
    if others > 0 {
        reason = format!("{reason}; and {}", count_of(others, "more requirement"));
    }
    let direction = if draft.both { Direction::Both } else { Direction::OneWay };
    FirewallRequest {
        source,
        destination,
        transport,
        ports: ports.join(","),
        direction: direction.to_string(),
        service: list_of(&draft.services, NAMED),
        reason,
        flows: draft.flows,
    }
}

/// The flows of a cell that a rule can mend.
fn mendable<'a>(evidence: &Evidence<'a>, cell: &Cell) -> Vec<&'a JudgedFlow> {
    let open_ports: BTreeSet<u16> = match cell.outcome {
        Outcome::Dropped | Outcome::Refused => BTreeSet::new(),
        // A port that was reached once needs no rule; another one of its range may.
        Outcome::Mixed => {
            let flows = evidence.flows_of(&cell.flows).into_iter();
            let reached = flows.filter(|flow| flow.class == Class::Success);
            reached.map(|flow| flow.responder.port).collect()
        }
        Outcome::Open | Outcome::ServiceFailed | Outcome::CannotTell | Outcome::NotExercised => {
            return Vec::new();
        }
    };
    if matches!(evidence.weights.weight(cell), Weight::NoListener | Weight::Cleared) {
        return Vec::new();
    }
    let mut flows: Vec<&JudgedFlow> = failures(evidence, cell)
        .into_iter()
        .filter(|(cause, _)| is_mendable(*cause))
        .flat_map(|(_, flows)| flows)
        .filter(|flow| !open_ports.contains(&flow.responder.port))
        .collect();
    if flows.len() > 1 {
        in_order_of_time(&mut flows);
    }
    flows
}

/// "3 attempts without an answer; the first: SYN in frame 101, …; LDAP is required".
fn reason(evidence: &Evidence<'_>, requirement: &Requirement, flows: &[&JudgedFlow]) -> String {
    let service = &requirement.service;
    let need = match &requirement.need {
        Need::Required => format!("{service} is required"),
        Need::Optional => format!("{service} is optional here"),
        Need::OneOf(group) => format!("{service} is one of the alternatives \"{group}\""),
    };
    format!("{}{}; {need}", what_failed(flows), first_seen(evidence, flows))
}

/// "3 attempts without an answer and 1 attempt prohibited by a device on the way".
pub(super) fn what_failed(flows: &[&JudgedFlow]) -> String {
    let mut what = Vec::new();
    for (verdict, words) in [
        (FindingKind::Dropped, "without an answer"),
        (FindingKind::Prohibited, "prohibited by a device on the way"),
        (FindingKind::Refused, "refused, and not plainly by the host"),
    ] {
        let of_kind = |flow: &&&JudgedFlow| super::cause::cause_of(flow) == Some(verdict);
        let count = flows.iter().filter(of_kind).count();
        if count > 0 {
            what.push(format!("{} {words}", count_of(count, "attempt")));
        }
    }
    list_of(&what, 3)
}

/// "; the first: SYN in frame 101, sent again in 108, no answer", of flows in order of time.
pub(super) fn first_seen(evidence: &Evidence<'_>, flows: &[&JudgedFlow]) -> String {
    let first = flows.first().map(|flow| seen(flow, evidence.several)).unwrap_or_default();
    let shown = if flows.len() > 1 { "; the first: " } else { ": " };
    format!("{shown}{first}")
}
