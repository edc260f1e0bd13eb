//! Outcomes in, findings and firewall requests out.
//!
//! A finding says what was seen, then what it may mean, then what to do. What has one cause is
//! one finding, and what a finding explains points to it. A firewall request is the smallest rule
//! that can mend what was seen. Both are pure functions of the sheet, the hosts and the flows.
//!
//! ```text
//! cells -> shares (what went wrong with each) -> groups (one cause each) -> findings, linked with
//!          their causes, and ranked
//! ```

mod cause;
mod causes;
mod facts;
mod findings;
mod grouping;
mod heard;
mod logs;
mod names;
mod other;
mod place;
pub mod record;
mod requests;
mod roles;
mod rpc;
mod rules;
mod shares;
mod silence;
mod tries;
mod wording;

pub use logs::set_clocks;
pub use record::{
    Finding, FindingKind, FirewallRequest, FramePlace, HostTries, LinePlace, Rule, RuleCheck,
    RulePorts, RuleSet, Rung, Try,
};

pub(crate) use tries::is_host_name;

use std::net::IpAddr;

use foldhash::fast::FixedState;

use crate::diagnosis::cause::Weights;
use crate::diagnosis::heard::Heard;
use crate::diagnosis::place::Places;
use crate::log::LogRecord;
use crate::matrix::{HostRecord, Matrix, PortRange, Sheet, UnmatchedHost, several_captures};
use crate::net::Address;
use crate::packet::NeighbourRecord;
use crate::verdict::flows::Seen;
use crate::verdict::record::JudgedFlow;

/// What is wrong, which rules mend it, and what nobody tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What to know, worst first; of what is equally bad, causes before what they explain.
    pub findings: Vec<Finding>,
    /// What to ask the firewall team for, by source, destination, transport and ports.
    pub requests: Vec<FirewallRequest>,
    /// Rules that fulfil the requests.
    pub rule_set: RuleSet,
    /// Lines to run during the next capture.
    pub to_try: Vec<HostTries>,
}

/// What is known beside the flows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Ports that dynamic RPC is meant to use; empty where nobody said.
    pub rpc_range: &'a [PortRange],
    /// Logs of the failing machine.
    pub logs: &'a [LogRecord],
    /// From where the captures saw what they saw, by index of the capture.
    pub vantages: &'a [Vantage<'a>],
    /// Flows that the user's filter leaves out. No finding is about them; whoever answers in one
    /// of them is not silent.
    pub left_out: &'a [JudgedFlow],
}

/// From where a capture saw what it saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vantage<'a> {
    /// Addresses of the machine that captured, as far as known.
    pub taken_on: &'a [IpAddr],
    /// Neighbours that were asked for and never answered.
    pub silent_neighbours: &'a [NeighbourRecord],
}

/// What everything here is found from.
struct Evidence<'a> {
    matrix: &'a Matrix,
    sheet: &'a Sheet,
    hosts: &'a [HostRecord],
    /// By id.
    flows: Vec<&'a JudgedFlow>,
    /// The plain flows, which are known by the lane. None of a cell has failed.
    plain: Seen<'a>,
    /// Flows that the user's filter leaves out, by id.
    left_out: &'a [JudgedFlow],
    /// Whether frame numbers need their capture beside them.
    several: bool,
    places: Places,
    /// Ports that dynamic RPC is meant to use; empty where nobody said.
    rpc_range: &'a [PortRange],
    /// Logs of the failing machine.
    logs: &'a [LogRecord],
    /// From where the captures saw what they saw.
    vantages: &'a [Vantage<'a>],
    /// What was heard of hosts that leave calls unanswered.
    heard: Heard<'a>,
    /// What is asked of each cell.
    weights: Weights<'a>,
}

/// What is looked up, and never walked: its order is nobody's.
type Table<K, V> = std::collections::HashMap<K, V, FixedState>;
/// What is only asked for what it holds.
type Known<T> = std::collections::HashSet<T, FixedState>;
/// Ids of flows.
type Ids = Known<u64>;

impl<'a> Evidence<'a> {
    fn flow(&self, id: u64) -> Option<&'a JudgedFlow> {
        self.flows.get(self.places.place(id)?).copied()
    }

    fn flows_of(&self, ids: &[u64]) -> Vec<&'a JudgedFlow> {
        ids.iter().filter_map(|id| self.flow(*id)).collect()
    }

    /// All flows, also those that are left out: for what nobody may have seen.
    fn all_flows(&self) -> impl Iterator<Item = &'a JudgedFlow> {
        self.flows.iter().copied().chain(self.left_out)
    }

    /// Whether a packet of this host was seen.
    fn is_heard(&self, address: Address) -> bool {
        self.all_flows().any(|flow| {
            flow.initiator.address == address
                || flow.responder.address == address && grouping::has_answer(flow)
        })
    }

    /// Whether neighbours looked for this address in vain.
    fn is_missed(&self, address: Address) -> bool {
        let mut neighbours = self.vantages.iter().flat_map(|vantage| vantage.silent_neighbours);
        neighbours.any(|neighbour| Address::from(neighbour.address) == address)
    }
}

/// Finds what is wrong, and which rules can mend it.
///
/// `sheet`, `hosts` and `unmatched` are parts of the assessment of `flows`; the clocks of the logs
/// beside them are set ([`set_clocks`]). Findings come worst first; requests by source, destination,
/// transport and ports.
pub fn diagnose<'a>(
    matrix: &'a Matrix,
    sheet: &'a Sheet,
    hosts: &'a [HostRecord],
    flows: impl Into<Seen<'a>>,
    unmatched: &[UnmatchedHost],
    beside: Beside<'a>,
) -> Diagnosis {
    let plain: Seen<'a> = flows.into();
    let flows = plain.telling;
    let Beside { rpc_range, logs, vantages, left_out } = beside;
    // What the log of a host's firewall proves counts like what the capturing machine tells.
    let proven = logs::proven(logs, flows);
    let mut by_id: Vec<&JudgedFlow> =
        flows.iter().map(|flow| proven.get(&flow.id).unwrap_or(flow)).collect();
    by_id.sort_by_key(|flow| flow.id);
    let several = several_captures(flows);
    let mut all: Vec<&JudgedFlow> = by_id.iter().copied().chain(left_out).collect();
    all.sort_by_key(|flow| flow.id);
    let (heard, places) = rayon::join(|| Heard::of(&all), || Places::of(&by_id));
    let evidence = Evidence {
        matrix,
        sheet,
        hosts,
        places,
        flows: by_id,
        plain,
        left_out,
        several,
        rpc_range,
        logs,
        vantages,
        heard,
        weights: Weights::of(matrix, sheet),
    };
    let (requests, to_try) =
        rayon::join(|| requests::requests(&evidence), || tries::to_try(&evidence));
    let findings = || {
        let mut findings = findings::findings(&evidence, &requests);
        findings.extend(roles::findings(&evidence, unmatched));
        let mut findings = findings::ranked(findings);
        logs::beside(&evidence, &mut findings);
        findings
    };
    let (findings, rule_set) = rayon::join(findings, || rules::rule_set(&evidence, &requests));
    Diagnosis { findings, requests, rule_set, to_try }
}

/// Rules for requests that were made by hand.
#[cfg(test)]
pub(crate) fn rule_set_of(requests: &[FirewallRequest]) -> RuleSet {
    let mut rules = rules::rules(requests, |request| request.service.clone());
    for rule in &mut rules {
        let first = rule.requests.first().and_then(|place| requests.get(*place));
        rule.reason = first.map(|request| request.reason.clone()).unwrap_or_default();
    }
    let flows: std::collections::BTreeSet<u64> =
        requests.iter().flat_map(|request| &request.flows).copied().collect();
    let mendable = flows.len() as u64;
    RuleSet { rules, check: RuleCheck { mendable, mended: mendable, opened_unasked: 0 } }
}

#[cfg(test)]
mod tests;
