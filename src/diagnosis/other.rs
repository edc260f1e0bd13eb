//! Failures that no requirement is about.

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::Severity;
use crate::diagnosis::wording::Words;
use crate::diagnosis::{Evidence, Finding, FindingKind};
use crate::matrix::{bounded, count_of, is_weak, list_of, service_failed};
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, JudgedFlow};

/// Destinations that the finding names.
const NAMED_DESTINATIONS: usize = 5;
/// Flows of each of them that it lists.
const SHOWN_FLOWS: usize = 3;

/// Failures of flows that no row is about, by their most frequent destinations.
pub(super) fn other_failures(
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
