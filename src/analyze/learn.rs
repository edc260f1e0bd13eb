//! What the packets of a capture tell of hosts, beside its flows.

use std::collections::BTreeSet;

use crate::capture::CaptureSummary;
use crate::flow::Flow;

/// Names and purposes kept of those that the packets of one capture tell.
const MOST_LEARNED: usize = 10_000;

/// Adds what the packets tell of hosts to what the capture stores of them, each once.
pub(super) fn learn(summary: &mut CaptureSummary, flows: &[Flow]) {
    let heard = || flows.iter().filter_map(|flow| flow.heard.as_deref());
    let mut known: BTreeSet<_> = summary.names.iter().cloned().collect();
    let names = heard().flat_map(|heard| &heard.names);
    let new = names.filter(|name| known.insert((*name).clone())).take(MOST_LEARNED);
    summary.names.extend(new.cloned());
    let mut known = BTreeSet::new();
    let serves = heard().flat_map(|heard| &heard.serves);
    let new = serves.filter(|serves| known.insert((*serves).clone())).take(MOST_LEARNED);
    summary.serves.extend(new.cloned());
}
