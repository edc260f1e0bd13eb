//! Cells in, findings out: one for each pair of hosts and kind.

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::Severity;
use crate::diagnosis::cause::{Weight, Weights, fails_at_last, failures};
use crate::diagnosis::wording::{Words, explanation, next_step, title};
use crate::diagnosis::{Evidence, Finding, FindingKind, FirewallRequest, rpc};
use crate::matrix::{
    Cell, Outcome, Requirement, bounded, count_of, is_weak, list_of, service_failed,
};
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, JudgedFlow, ServiceOutcome};

/// Destinations that the finding about other failures names.
const NAMED_DESTINATIONS: usize = 5;
/// Flows of each of them that it lists.
const SHOWN_FLOWS: usize = 3;

/// One cell's part of a finding.
pub(super) struct Share<'a> {
    pub(super) index: usize,
    pub(super) cell: &'a Cell,
    pub(super) requirement: &'a Requirement,
    pub(super) weight: Weight,
    /// The flows that show it, in order of time.
    pub(super) flows: Vec<&'a JudgedFlow>,
}

/// From, to, kind, and whether it is only good to know.
type Key = (Address, Address, FindingKind, bool);

pub(super) fn findings(
    evidence: &Evidence<'_>,
    requests: &[FirewallRequest],
) -> Vec<(FindingKind, Finding)> {
    let unreached = rpc::unreached(evidence);
    let groups = groups(evidence, &unreached);
    let words = Words::new(evidence, &groups);
    let asked: BTreeSet<u64> =
        requests.iter().flat_map(|request| &request.flows).copied().collect();
    let mut findings = Vec::new();
    for ((_, _, kind, _), shares) in &groups {
        let severity = shares.iter().map(|share| severity_of(evidence, *kind, share)).min();
        let mut flows: Vec<u64> =
            shares.iter().flat_map(|share| &share.flows).map(|flow| flow.id).collect();
        flows.sort_unstable();
        let is_asked = flows.iter().any(|flow| asked.contains(flow));
        let finding = Finding {
            title: title(&words, *kind, shares),
            explanation: explanation(&words, *kind, shares),
            cells: shares.iter().map(|share| share.index).collect(),
            flows,
            next_step: next_step(&words, *kind, shares, is_asked),
            ..Finding::of(*kind, severity.unwrap_or(Severity::Info))
        };
        findings.push((*kind, finding));
    }
    findings.extend(rpc::findings(evidence, &words, &unreached, &asked));
    findings.extend(
        other_failures(evidence, &words, &unreached)
            .map(|found| (FindingKind::OtherFailures, found)),
    );
    findings
}

/// What each finding is made of.
/// `told` are flows that another finding tells.
fn groups<'a>(evidence: &Evidence<'a>, told: &BTreeSet<u64>) -> BTreeMap<Key, Vec<Share<'a>>> {
    let weights = Weights::new(evidence);
    let mut groups: BTreeMap<Key, Vec<Share<'_>>> = BTreeMap::new();
    for (index, cell) in evidence.sheet.cells.iter().enumerate() {
        let Some(requirement) = weights.requirement(cell) else { continue };
        let weight = weights.of(cell);
        let mut add = |kind: FindingKind, flows: Vec<&'a JudgedFlow>| {
            let good_to_know = weight == Weight::NoListener && kind != FindingKind::NotExercised;
            let key = (cell.from.address, cell.to.address, kind, good_to_know);
            let share = Share { index, cell, requirement, weight, flows };
            groups.entry(key).or_default().push(share);
        };
        let failures = || failures(evidence, cell);
        let all = || failures().into_values().flatten().collect();
        match cell.outcome {
            Outcome::Open => {
                let flows = evidence.flows_of(&cell.flows);
                let with = |outcome| move |flow: &&JudgedFlow| flow.service.outcome == outcome;
                if !flows.iter().any(with(ServiceOutcome::Served)) {
                    let silent: Vec<_> =
                        flows.into_iter().filter(with(ServiceOutcome::Silent)).collect();
                    if !silent.is_empty() {
                        add(FindingKind::ServiceSilent, silent);
                    }
                }
            }
            Outcome::CannotTell => add(FindingKind::CannotTell, evidence.flows_of(&cell.flows)),
            Outcome::NotExercised => add(FindingKind::NotExercised, Vec::new()),
            Outcome::Mixed => add(FindingKind::Mixed, all()),
            Outcome::Dropped | Outcome::Refused | Outcome::ServiceFailed
                if weight == Weight::Cleared =>
            {
                add(FindingKind::AlternativeOpen, all());
            }
            Outcome::Dropped | Outcome::Refused | Outcome::ServiceFailed => {
                for (kind, mut flows) in failures() {
                    flows.retain(|flow| !told.contains(&flow.id));
                    if !flows.is_empty() {
                        add(kind, flows);
                    }
                }
            }
        }
    }
    groups
}

fn severity_of(evidence: &Evidence<'_>, kind: FindingKind, share: &Share<'_>) -> Severity {
    let failed = match share.weight {
        Weight::Required => Severity::Error,
        Weight::Optional => Severity::Warning,
        Weight::NoListener | Weight::Cleared => Severity::Info,
    };
    match kind {
        FindingKind::DroppedHere
        | FindingKind::RpcPortDropped
        | FindingKind::Dropped
        | FindingKind::Prohibited
        | FindingKind::Refused
        | FindingKind::Unconfirmed
        | FindingKind::Unreachable
        | FindingKind::RefusedByHost
        | FindingKind::ServiceFailed => failed,
        // What works at last is no error any more; and where the path always worked, the service
        // served some of what it was asked for.
        FindingKind::Mixed
            if fails_at_last(evidence, share.cell)
                && !share.flows.iter().all(|flow| service_failed(flow)) =>
        {
            failed
        }
        // That the connection was accepted and nothing came is not enough to call it a fault.
        FindingKind::Mixed | FindingKind::ServiceSilent => failed.max(Severity::Warning),
        FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles => Severity::Warning,
        FindingKind::CannotTell
        | FindingKind::OtherFailures
        | FindingKind::AlternativeOpen
        | FindingKind::RolesInferred
        | FindingKind::NotExercised => Severity::Info,
    }
}

/// Failures of flows that no row is about, by their most frequent destinations.
fn other_failures(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    told: &BTreeSet<u64>,
) -> Option<Finding> {
    let of_cells = evidence.sheet.cells.iter().flat_map(|cell| &cell.flows);
    let mut covered: Vec<u64> = of_cells.chain(told).copied().collect();
    covered.sort_unstable();
    let mut destinations: BTreeMap<(Address, Transport, u16), Vec<&JudgedFlow>> = BTreeMap::new();
    let (mut unanswered, mut rejected, mut unserved) = (0_usize, 0_usize, 0_usize);
    for flow in &evidence.flows {
        let count = match flow.class {
            Class::Timeout if !is_weak(flow) => &mut unanswered,
            Class::Reject => &mut rejected,
            Class::Success if service_failed(flow) => &mut unserved,
            Class::Success | Class::Timeout | Class::Inconclusive => continue,
        };
        if covered.binary_search(&flow.id).is_err() {
            *count += 1;
            let called = (flow.responder.address, flow.transport, flow.responder.port);
            destinations.entry(called).or_default().push(flow);
        }
    }
    if destinations.is_empty() {
        return None;
    }
    let mut most: Vec<_> = destinations.into_iter().collect();
    // Stable: destinations of one count stay in order.
    most.sort_by_key(|(_, flows)| std::cmp::Reverse(flows.len()));
    let text = |(to, flows): &((Address, Transport, u16), Vec<&JudgedFlow>)| {
        let (address, transport, port) = to;
        let failing = flows.iter().find(|flow| service_failed(flow));
        let code = failing.and_then(|flow| flow.service.code.as_deref());
        let answer = code.map(|code| format!(", answered {}", bounded(code, 60)));
        let (host, count) = (words.host(*address), flows.len());
        format!("{host} {transport}/{port} ({count}{})", answer.unwrap_or_default())
    };
    let named: Vec<String> = most.iter().map(text).collect();
    let shown = most.iter().take(NAMED_DESTINATIONS);
    let mut flows: Vec<u64> =
        shown.flat_map(|(_, flows)| flows.iter().take(SHOWN_FLOWS)).map(|flow| flow.id).collect();
    flows.sort_unstable();
    let severity = if evidence.sheet.cells.is_empty() { Severity::Warning } else { Severity::Info };
    let all = count_of(unanswered + rejected + unserved, "attempt");
    let services = match unserved {
        0 => String::new(),
        _ => format!(", and {unserved} reached a service that failed"),
    };
    Some(Finding {
        title: format!("{all} outside the matrix failed: {}", list_of(&named, 2)),
        explanation: format!(
            "{unanswered} got no answer and {rejected} were rejected{services}, by destination: {}. No \
             requirement of the matrix \"{}\" is about them, so they are not judged",
            list_of(&named, NAMED_DESTINATIONS),
            evidence.sheet.profile
        ),
        flows,
        next_step: "list them with the command flows; if one of them is needed, add it to a \
                    matrix of your own (--matrix FILE)"
            .to_owned(),
        ..Finding::of(FindingKind::OtherFailures, severity)
    })
}
