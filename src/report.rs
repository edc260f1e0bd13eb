//! The report: one sorted value that every format prints.
//!
//! Field names and their order are the published contract (schema `portmortem.report/1`), so
//! serializing a [`Report`] is the JSON format. After a report is built, nothing is computed:
//! renderers only lay out what stands here.

mod capture;
mod folded;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use foldhash::fast::FixedState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capture::Severity;
use crate::diagnosis::{
    Beside, Finding, FirewallRequest, HostTries, RuleSet, Vantage, diagnose, set_clocks,
};
use crate::filter::Filter;
use crate::log::LogRecord;
use crate::matrix::{
    Assessment, GivenPort, GivenRole, HostRecord, HostsFile, Matrix, PortRange, SameHost, Sheet,
    Told, UnmatchedHost, assess_all, assess_some, ranked, same_hosts,
};
use crate::net::{Address, KnownName, Label, NameSource, Transport};
pub use crate::report::capture::{
    CaptureRecord, CommentRecord, LineRecord, LinkRecord, NameRecord, NeighbourRecord,
    ProblemRecord, ServesRecord, SkippedRecord, TakenOn,
};
pub use crate::report::folded::{FoldedFlows, FoldedRecord};
use crate::verdict::flows::{Flows, Seen};
use crate::verdict::record::{Class, JudgedFlow};
use crate::verdict::{link, weigh_origins};

/// Name and number of the JSON contract.
pub const SCHEMA: &str = "portmortem.report/1";

/// All that one run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Name and number of this contract.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The program that made it.
    pub generator: Generator,
    /// All options that can change the result.
    pub options: Options,
    /// The captures, in the order given.
    pub captures: Vec<CaptureRecord>,
    /// Logs of the failing machine (`--log`), in the order given.
    pub logs: Vec<LogRecord>,
    /// Counts over all flows.
    pub totals: Totals,
    /// Hosts that have a role or a name.
    pub hosts: Vec<HostRecord>,
    /// The requirement sheet.
    pub matrix: Sheet,
    /// What to know, worst first.
    pub findings: Vec<Finding>,
    /// What to ask the firewall team for.
    pub firewall_requests: Vec<FirewallRequest>,
    /// The fewest rules that fulfil them.
    pub rule_set: RuleSet,
    /// What to run during the next capture.
    pub to_try: Vec<HostTries>,
    /// With `--fold`: the plain flows that are counted here instead of standing among `flows`.
    pub folded: Option<FoldedFlows>,
    /// All flows, by capture and first frame; empty with `--no-flows`, and with `--fold` those that
    /// tell something of their own.
    pub flows: Flows,
}

/// The program that made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// "portmortem".
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How long silence must last before it counts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// After a SYN that is not repeated (`--syn-wait`).
    pub syn_ms: u64,
    /// After a UDP request.
    pub udp_reply_ms: u64,
    /// Between two UDP flows of the same endpoints (`--udp-idle`).
    pub udp_idle_ms: u64,
}

impl Waits {
    /// How long a UDP request must wait to count as unanswered (contract: 2 s).
    pub const UDP_REPLY_MS: u64 = 2_000;
}

/// All options that can change the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Built-in profile; `None` with a matrix of the user's own.
    pub profile: Option<String>,
    /// Path of the user's own matrix.
    pub matrix: Option<String>,
    /// Roles as given by `--role` and `--roles`.
    pub roles: Vec<GivenRole>,
    /// The files of `--hosts`, with the names that they give.
    pub hosts: Vec<HostsFile>,
    /// Ports of services that are not on their usual ones, by name (`--port` and `--roles`). The
    /// matrix that a report is built with has them already.
    pub ports: Vec<GivenPort>,
    /// Ports that dynamic RPC is meant to use, as configured and allowed on the way
    /// (`--rpc-range`); empty where nobody said.
    pub rpc_range: Vec<PortRange>,
    /// Waits.
    pub waits: Waits,
    /// What was left out.
    pub filters: Filters,
    /// Whether the captures are pieces of one (`--join`).
    pub join: bool,
    /// Bytes that one input may inflate to (`--max-inflated`); `None` for the usual bounds.
    pub max_inflated: Option<u64>,
}

/// What was left out of the analysis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Frames before this time (`--since`).
    pub since: Option<String>,
    /// Frames from this time on (`--until`).
    pub until: Option<String>,
    /// Flows that this filter does not want (`--filter`).
    pub filter: Option<Filter>,
}

/// Counts of flows by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// All.
    pub flows: u64,
    /// Of class success.
    pub success: u64,
    /// Of class timeout.
    pub timeout: u64,
    /// Of class reject.
    pub reject: u64,
    /// Of class inconclusive.
    pub inconclusive: u64,
}

impl Report {
    /// Builds the report of these captures and their flows.
    ///
    /// Flows come by capture and first frame and get their ids here. Everything outside
    /// `captures`, `logs` and `flows`, and the clocks of the logs, is found from those three, the
    /// matrix and `options` alone, so that reports can be merged.
    pub fn build(
        options: Options,
        matrix: &Matrix,
        captures: Vec<CaptureRecord>,
        logs: Vec<LogRecord>,
        flows: impl Into<Flows>,
    ) -> Report {
        let Assessed { mut report, unmatched, left_out } =
            assessed(options, matrix, captures, logs, flows.into());
        let vantages: Vec<Vantage<'_>> =
            report.captures.iter().map(CaptureRecord::vantage).collect();
        let beside = Beside {
            rpc_range: &report.options.rpc_range,
            logs: &report.logs,
            vantages: &vantages,
            left_out: &left_out,
        };
        let Report { matrix: sheet, hosts, flows, .. } = &report;
        let diagnosis = diagnose(matrix, sheet, hosts, flows, &unmatched, beside);
        report.findings = diagnosis.findings;
        report.firewall_requests = diagnosis.requests;
        report.rule_set = diagnosis.rule_set;
        report.to_try = diagnosis.to_try;
        report
    }

    /// As [`Report::build`], for whoever reads only flows and the matrix: nothing is looked for that
    /// explains or mends, so `findings`, `firewall_requests`, `rule_set` and `to_try` stay empty.
    pub fn without_diagnosis(
        options: Options,
        matrix: &Matrix,
        captures: Vec<CaptureRecord>,
        logs: Vec<LogRecord>,
        flows: impl Into<Flows>,
    ) -> Report {
        assessed(options, matrix, captures, logs, flows.into()).report
    }

    /// Checks that each of these flows is in the report.
    ///
    /// # Errors
    ///
    /// The first id that no flow has, and which there are.
    pub fn check_ids(&self, ids: &[u64]) -> Result<(), String> {
        let Some(id) = ids.iter().find(|id| self.flows.get(**id).is_none()) else { return Ok(()) };
        Err(match self.flows.span() {
            Some((first, last)) => {
                format!("there is no flow {id}: ids are {first} to {last}; list them with flows")
            }
            None => format!("there is no flow {id}: the captures hold no flow"),
        })
    }

    /// Counts plain flows instead of listing them (`--fold`); everything else stays as it is.
    pub fn fold(&mut self) {
        self.folded = Some(FoldedFlows::of(self.flows.fold()));
    }

    /// Leaves out all flows but these, and counts them again; what was found stays as it is.
    pub fn keep_flows(&mut self, ids: &[u64]) {
        self.flows.keep(ids);
        self.totals = Totals::of(&self.flows);
    }

    /// The captures that are no copies and no pieces of others.
    pub fn counted(&self) -> impl Iterator<Item = &CaptureRecord> {
        self.captures.iter().filter(|capture| capture.counts())
    }

    /// Frames in all captures, each counted once.
    pub fn frames(&self) -> u64 {
        self.counted().map(|capture| capture.frames).sum()
    }

    /// Whether a frame's number alone does not tell its capture.
    pub fn has_several(&self) -> bool {
        self.counted().nth(1).is_some()
    }

    /// Whether something that was asked for could not be read, or only in part.
    pub fn has_trouble(&self) -> bool {
        let of_captures = self.captures.iter().flat_map(|capture| &capture.problems);
        let of_logs = self.logs.iter().flat_map(|log| &log.problems);
        of_captures
            .map(|problem| problem.severity)
            .chain(of_logs.map(|problem| problem.severity))
            .any(|severity| severity != Severity::Info)
            || self.options.hosts.iter().any(|file| !file.problems.is_empty())
    }
}

/// A report before its diagnosis, and what that needs beside it.
struct Assessed {
    report: Report,
    /// Hosts that were given a role and that no capture shows.
    unmatched: Vec<UnmatchedHost>,
    /// Flows that the filter does not want.
    left_out: Vec<JudgedFlow>,
}

/// What the flows did, beside each other and against the matrix.
fn assessed(
    options: Options,
    matrix: &Matrix,
    captures: Vec<CaptureRecord>,
    mut logs: Vec<LogRecord>,
    mut flows: Flows,
) -> Assessed {
    if options.filters.filter.is_some() || !logs.is_empty() {
        // Each flow is asked, or may be what a log tells of.
        flows.promote_all();
    }
    tell_conversations_apart(flows.telling_mut());
    tell_announced(&mut flows);
    link(flows.telling_mut());
    weigh_origins(&mut flows);
    let (names, same_host) = identities(&options.hosts, &captures, &flows);
    let serves: Vec<(String, String)> = captures
        .iter()
        .flat_map(|capture| &capture.serves)
        .map(|record| (record.purpose.clone(), record.host.clone()))
        .collect();
    let told = Told { names: &names, same_host: &same_host, serves: &serves };
    let Assessment { mut hosts, mut sheet, requirement_of, unmatched } =
        assess_all(matrix, &options.roles, told, &mut flows);
    let rows = matrix.requirements.iter();
    let rows: Vec<(Label, Label, bool)> = rows
        .map(|row| (row.id.as_str().into(), row.service.as_str().into(), row.rpc_dynamic))
        .collect();
    for (flow, place) in flows.telling_mut().iter_mut().zip(requirement_of) {
        if let Some((id, service, rpc_dynamic)) = place.and_then(|place| rows.get(place)) {
            flow.requirement = Some(id.clone());
            flow.service.name = Some(service.clone());
            if *rpc_dynamic {
                name_interface(flow, service);
            }
        } else if flow.rpc.as_ref().is_some_and(|rpc| rpc.announced_frame.is_some()) {
            name_interface(flow, "RPC dynamic");
        }
    }
    let mut left_out = Vec::new();
    if let Some(filter) = &options.filters.filter {
        // Asked of flows that are whole: what others tell of them is known by now.
        let flows = flows.telling_mut();
        let wanted = flows.iter().filter(|flow| filter.matches(flow));
        let wanted: BTreeSet<u64> = wanted.map(|flow| flow.id).collect();
        sheet = assess_some(matrix, &options.roles, told, flows, &wanted).sheet;
        (*flows, left_out) =
            std::mem::take(flows).into_iter().partition(|flow| wanted.contains(&flow.id));
        let ends = flows.iter().flat_map(|flow| [flow.initiator, flow.responder]);
        let shown: BTreeSet<Address> = ends.map(|end| end.address).collect();
        hosts.retain(|host| shown.contains(&host.address));
    }
    set_clocks(&mut logs, flows.telling());
    let report = Report {
        schema: SCHEMA.to_owned(),
        generator: Generator {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        options,
        captures,
        logs,
        totals: Totals::of(&flows),
        hosts,
        matrix: sheet,
        findings: Vec::new(),
        firewall_requests: Vec::new(),
        rule_set: RuleSet::default(),
        to_try: Vec::new(),
        folded: None,
        flows,
    };
    Assessed { report, unmatched, left_out }
}

/// The names of all addresses, the best of each first, and the addresses that are one host.
fn identities(
    files: &[HostsFile],
    captures: &[CaptureRecord],
    flows: &Flows,
) -> (Vec<(Address, String)>, Vec<SameHost>) {
    let source = NameSource::HostsFile;
    let given = files.iter().flat_map(|file| &file.hosts).flat_map(|host| {
        let known = |name: &String| KnownName { address: host.address, source, name: name.clone() };
        host.names.iter().map(known)
    });
    let told = captures.iter().flat_map(|capture| &capture.names).map(|record| KnownName {
        address: record.address,
        source: record.source,
        name: record.name.clone(),
    });
    let names: Vec<KnownName> = given.chain(told).collect();
    let cards: Vec<(IpAddr, &str)> = captures
        .iter()
        .flat_map(|capture| &capture.links)
        .map(|link| (link.address, link.mac.as_str()))
        .collect();
    // Looked for only where two addresses may be one host.
    let talk = LazyCell::new(|| -> HashSet<Address, FixedState> {
        let telling = flows.telling().iter();
        let ends = telling.flat_map(|flow| [flow.initiator.address, flow.responder.address]);
        let plain = Seen::from(flows).lanes().flat_map(|lane| [lane.from(), lane.to()]);
        // One by one: hosts are few, and a set that is to hold that many takes memory for all at once.
        let mut talk = HashSet::default();
        ends.chain(plain).for_each(|host| {
            talk.insert(host);
        });
        talk
    });
    let same_host = same_hosts(&names, &cards, |address| talk.contains(&address));
    (ranked(names), same_host)
}

/// Says of hosts that are known by the number of a conversation which capture numbered it, where
/// there are several: the same number in another capture is another conversation.
fn tell_conversations_apart(flows: &mut [JudgedFlow]) {
    let numbered = |flow: &JudgedFlow| {
        [flow.initiator, flow.responder].iter().any(|end| end.address.conversation().is_some())
    };
    let mut captures = flows.iter().filter(|flow| numbered(flow)).map(|flow| flow.capture);
    let Some(first) = captures.next() else { return };
    let several = captures.any(|capture| capture != first);
    for flow in flows.iter_mut() {
        let capture = match u32::try_from(flow.capture) {
            Ok(capture) if several => capture.saturating_add(1),
            _ => 0,
        };
        for end in [&mut flow.initiator, &mut flow.responder] {
            if let Address::Conversation(host) = end.address {
                end.address = Address::Conversation(host.in_capture(capture));
            }
        }
    }
}

/// Makes flows to ports telling ones that an endpoint mapper announced: they are what it told of.
fn tell_announced(flows: &mut Flows) {
    let mut announced: BTreeMap<Address, BTreeSet<(Transport, u16)>> = BTreeMap::new();
    for flow in flows.telling() {
        for record in &flow.announced {
            let port = (record.transport, record.port);
            for host in [Some(flow.responder.address), record.address].into_iter().flatten() {
                announced.entry(host).or_default().insert(port);
            }
        }
    }
    flows.promote(|_, lane| {
        announced.get(&lane.to()).is_some_and(|ports| {
            ports
                .iter()
                .any(|(transport, port)| *transport == lane.transport() && lane.has_port(*port))
        })
    });
}

/// "RPC dynamic, DRSUAPI", where the interface is known.
fn name_interface(flow: &mut JudgedFlow, service: &str) {
    if let Some(interface) = flow.rpc.as_ref().and_then(|rpc| rpc.interface.as_deref()) {
        flow.service.name = Some(format!("{service}, {interface}").into());
    }
}

impl Totals {
    fn of(flows: &Flows) -> Totals {
        let mut totals = Totals::default();
        for lane in Seen::from(flows).lanes() {
            totals.flows += lane.hidden;
            let count =
                if lane.is_unanswered() { &mut totals.timeout } else { &mut totals.success };
            *count += lane.hidden;
        }
        for flow in flows.telling() {
            totals.flows += 1;
            match flow.class {
                Class::Success => totals.success += 1,
                Class::Timeout => totals.timeout += 1,
                Class::Reject => totals.reject += 1,
                Class::Inconclusive => totals.inconclusive += 1,
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::sample;
    use crate::net::{ConversationHost, Network, Part};
    use crate::verdict::record::Verdict;

    fn initiators(captures: &[usize]) -> Vec<String> {
        let host = ConversationHost::new(Network::V4, 13, Part::Initiator);
        let mut flows: Vec<JudgedFlow> = captures
            .iter()
            .map(|capture| {
                let mut flow =
                    sample::flow(1, "10.0.0.5", "10.1.0.10", "tcp", 135, Verdict::NoReply);
                flow.capture = *capture;
                flow.initiator.address = Address::Conversation(host);
                flow
            })
            .collect();
        tell_conversations_apart(&mut flows);
        // Of a report that is built again from its flows.
        tell_conversations_apart(&mut flows);
        flows.iter().map(|flow| flow.initiator.address.to_string()).collect()
    }

    #[test]
    fn the_same_conversation_number_in_two_captures_is_two_hosts() {
        assert_eq!(initiators(&[2, 2]), ["IPv4:13 initiator", "IPv4:13 initiator"]);
        assert_eq!(
            initiators(&[0, 2]),
            ["IPv4:13 initiator of capture 1", "IPv4:13 initiator of capture 3"]
        );
    }
}
