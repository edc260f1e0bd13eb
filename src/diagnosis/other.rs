//! Failures that no requirement is about: one finding for each way to fail.

use std::collections::BTreeMap;

use crate::capture::Severity;
use crate::diagnosis::cause::{answer_of, cause_of};
use crate::diagnosis::wording::{Words, meaning};
use crate::diagnosis::{Evidence, Finding, FindingKind, Ids, Known};
use crate::matrix::{bounded, count_of, is_weak, list_of, seen, then};
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, JudgedFlow};

/// Destinations that a title names.
const TITLED_DESTINATIONS: usize = 2;
/// Destinations that an explanation tells.
const TOLD_DESTINATIONS: usize = 4;
/// Flows of each of them that the finding lists.
const SHOWN_FLOWS: usize = 3;

/// SMB over NetBIOS, which Windows tries beside SMB itself, and gives up for it.
const SMB_OVER_NETBIOS: u16 = 139;
const SMB: u16 = 445;

/// Who was called, and where.
type Destination = (Address, Transport, u16);

/// Failures of flows that no row is about, by what went wrong and by destination, the most
/// frequent first. Flows of cells, and those of `told`, are told by other findings.
pub(super) fn other_failures(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    told: &Ids,
) -> Vec<Finding> {
    let untold = untold(evidence, told);
    let over_smb = if untold.iter().any(|(_, flow)| flow.responder.port == SMB_OVER_NETBIOS) {
        over_smb(evidence)
    } else {
        Known::default()
    };
    let mut causes: BTreeMap<FindingKind, BTreeMap<Destination, Vec<&JudgedFlow>>> =
        BTreeMap::new();
    for (cause, flow) in untold {
        let pair = (flow.initiator.address, flow.responder.address);
        if flow.responder.port != SMB_OVER_NETBIOS || !over_smb.contains(&pair) {
            let called = (flow.responder.address, flow.transport, flow.responder.port);
            causes.entry(cause).or_default().entry(called).or_default().push(flow);
        }
    }
    let finding = |(cause, destinations)| of_cause(evidence, words, cause, destinations);
    causes.into_iter().map(finding).collect()
}

/// Failing flows that neither a cell nor another finding is about, by id, with what went wrong.
fn untold<'a>(evidence: &Evidence<'a>, told: &Ids) -> Vec<(FindingKind, &'a JudgedFlow)> {
    let failed = evidence.flows.iter().filter(|flow| !is_weak(flow) && !told.contains(&flow.id));
    let mut failed: Vec<(FindingKind, &JudgedFlow)> =
        failed.filter_map(|flow| Some((cause_of(flow)?, *flow))).collect();
    let mut left: Ids = failed.iter().map(|(_, flow)| flow.id).collect();
    for flow in evidence.sheet.cells.iter().flat_map(|cell| &cell.flows) {
        if left.is_empty() {
            break;
        }
        left.remove(flow);
    }
    failed.retain(|(_, flow)| left.contains(&flow.id));
    failed
}

/// Pairs of hosts of which one was reached by SMB itself.
fn over_smb(evidence: &Evidence<'_>) -> Known<(Address, Address)> {
    let flows = evidence.flows.iter();
    let served = flows.filter(|flow| flow.class == Class::Success && flow.responder.port == SMB);
    served.map(|flow| (flow.initiator.address, flow.responder.address)).collect()
}

fn of_cause(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    cause: FindingKind,
    destinations: BTreeMap<Destination, Vec<&JudgedFlow>>,
) -> Finding {
    let mut most: Vec<_> = destinations.into_iter().collect();
    // Stable: destinations of one count stay in order.
    most.sort_by_key(|(_, flows)| std::cmp::Reverse(flows.len()));
    let attempts: usize = most.iter().map(|(_, flows)| flows.len()).sum();
    let named = |(to, flows): &(Destination, Vec<&JudgedFlow>)| {
        let (address, transport, port) = to;
        let code = flows.first().and_then(|flow| flow.service.code.as_deref());
        let code = code.filter(|_| cause == FindingKind::ServiceFailed);
        let answer = code.map(|code| format!(": {}", bounded(code, 60))).unwrap_or_default();
        format!("{} ({transport}/{port}{answer})", words.host(*address))
    };
    let told = |(to, flows): &(Destination, Vec<&JudgedFlow>)| {
        let (address, transport, port) = to;
        let host = words.host(*address);
        let Some(first) = flows.first() else { return host };
        let what = seen(first, evidence.several);
        let what = if cause == FindingKind::ServiceFailed {
            format!("{what}, the service answered: {}", answer_of(first))
        } else {
            what
        };
        match flows.len() {
            1 => format!("{host} on {transport}/{port}: {what}"),
            many => format!("{host} on {transport}/{port}, {many} times, the first: {what}"),
        }
    };
    let titled: Vec<String> = most.iter().map(named).collect();
    let told: Vec<String> = most.iter().take(TOLD_DESTINATIONS).map(told).collect();
    let more = most.len().saturating_sub(TOLD_DESTINATIONS);
    let more = if more == 0 { String::new() } else { format!("; and {more} others") };
    let shown = most.iter().take(TOLD_DESTINATIONS);
    let mut flows: Vec<u64> =
        shown.flat_map(|(_, flows)| flows.iter().take(SHOWN_FLOWS)).map(|flow| flow.id).collect();
    flows.sort_unstable();
    let explanation = then(&format!("{}{more}", told.join("; ")), meaning(cause, cause));
    let unjudged = format!(
        "No requirement of the matrix \"{}\" is about them, so they are not judged",
        evidence.sheet.profile
    );
    let severity = if evidence.sheet.cells.is_empty() { Severity::Warning } else { Severity::Info };
    Finding {
        title: format!(
            "{} outside the matrix {}: {}",
            count_of(attempts, "attempt"),
            what_became(cause),
            list_of(&titled, TITLED_DESTINATIONS)
        ),
        explanation: then(&explanation, &unjudged),
        attempts: attempts as u64,
        flows,
        next_step: "list them with the command flows; if one of them is needed, add it to a \
                    matrix of your own (--matrix FILE)"
            .to_owned(),
        ..Finding::of(FindingKind::OtherFailures, severity)
    }
}

/// What became of attempts, as the end of a sentence about them.
fn what_became(cause: FindingKind) -> &'static str {
    const ENDS: [(FindingKind, &str); 7] = [
        (FindingKind::DroppedHere, "were dropped by the machine itself"),
        (FindingKind::Prohibited, "were told that a rule forbids them"),
        (FindingKind::Refused, "were refused"),
        (FindingKind::RefusedByHost, "were refused by the host itself"),
        (FindingKind::Unconfirmed, "stayed half open"),
        (FindingKind::Unreachable, "were told that there is no way"),
        (FindingKind::ServiceFailed, "reached a service that failed"),
    ];
    let end = ENDS.iter().find(|(kind, _)| *kind == cause);
    end.map_or("got no answer", |(_, end)| end)
}
