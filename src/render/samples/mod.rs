//! Reports made by hand, for the tests of every format.

mod stories;
mod trouble;

pub(super) use stories::{busy, good, seed, strangers};
pub(super) use trouble::{hostile, large};

use thin_vec::ThinVec;

use crate::capture::Severity;
use crate::diagnosis::{FirewallRequest, RuleSet, rule_set_of};
use crate::matrix::{
    Cell, CellCounts, CellEnd, HostRecord, Outcome, RoleRecord, RoleSource, Sheet,
};
use crate::net::{Address, Endpoint, FrameNumber, SeqNumber, Time, Transport};
use crate::report::{
    CaptureRecord, CommentRecord, Generator, Options, ProblemRecord, Report, SCHEMA, SkippedRecord,
    Totals, Waits,
};
use crate::verdict::flows::Flows;
use crate::verdict::record::{
    Brief, Class, Closing, Confidence, DisplayFilter, EvidenceKind, EvidenceRecord, JudgedFlow,
    Origin, PerSide, Sender, ServiceOutcome, ServiceRecord, Verdict,
};

/// Every kind of sample.
pub(super) fn all() -> Vec<Report> {
    vec![empty(), seed(), good(), busy(), strangers(), hostile(), large(20, 50)]
}

fn ip(text: &str) -> Address {
    text.parse().unwrap()
}

fn time(seconds: u64) -> Time {
    format!("2014-05-27T10:{:02}:{:02}.120000Z", 15 + seconds / 60, seconds % 60).parse().unwrap()
}

/// A report of no input at all.
pub(super) fn empty() -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        generator: Generator { name: "portmortem".to_owned(), version: "0.1.0".to_owned() },
        options: Options {
            profile: Some("configmgr-dc".to_owned()),
            matrix: None,
            roles: Vec::new(),
            hosts: Vec::new(),
            ports: Vec::new(),
            rpc_range: Vec::new(),
            waits: Waits { syn_ms: 3000, udp_reply_ms: 2000, udp_idle_ms: 60_000 },
            filters: crate::report::Filters::default(),
            join: false,
            max_inflated: None,
        },
        captures: Vec::new(),
        logs: Vec::new(),
        totals: Totals::default(),
        hosts: Vec::new(),
        matrix: Sheet {
            profile: "configmgr-dc".to_owned(),
            title: "Site servers and domain controllers across a two-way trust".to_owned(),
            cells: Vec::new(),
            not_exercised_unlisted: 0,
            never_exercised: Vec::new(),
        },
        findings: Vec::new(),
        firewall_requests: Vec::new(),
        rule_set: RuleSet::default(),
        to_try: Vec::new(),
        folded: None,
        flows: Flows::default(),
    }
}

/// A capture that was read without trouble.
pub(super) fn capture(path: &str, frames: u64) -> CaptureRecord {
    CaptureRecord {
        path: path.to_owned(),
        sha256: Some("5f2c".repeat(16)),
        format: Some("Network Monitor 2.3".to_owned()),
        compression: None,
        link_types: vec!["ethernet".to_owned()],
        frames,
        bytes: 412_022,
        first_seen: Some(time(0)),
        last_seen: Some(time(449)),
        zone: "utc".to_owned(),
        skipped: Vec::new(),
        problems: Vec::new(),
        names: Vec::new(),
        links: Vec::new(),
        serves: Vec::new(),
        taken_on: None,
        silent_neighbours: Vec::new(),
        comments: Vec::new(),
        comments_left_out: 0,
        not_understood: Vec::new(),
        lines_not_understood: 0,
        left_out: Vec::new(),
        same_as: None,
        part_of: None,
    }
}

fn host(address: &str, name: &str, role: &str, inferred_from: Option<&str>) -> HostRecord {
    HostRecord {
        address: ip(address),
        names: if name.is_empty() { Vec::new() } else { vec![name.to_owned()] },
        same_host: Vec::new(),
        same_host_evidence: None,
        roles: vec![RoleRecord {
            role: role.to_owned(),
            source: if inferred_from.is_some() { RoleSource::Inferred } else { RoleSource::Given },
            confidence: None,
            evidence: inferred_from.map(str::to_owned),
        }],
    }
}

/// A packet of evidence.
pub(super) fn packet(frame: u64, from: Sender, kind: EvidenceKind) -> EvidenceRecord {
    EvidenceRecord {
        frame: FrameNumber(frame),
        time: Some(time(frame % 400)),
        from,
        kind,
        seq: Some(SeqNumber(2_557_920_356)),
        ack: None,
        window: Some(8192),
        ttl: Some(128),
        ip_id: Some(7),
        note: None,
    }
}

/// A SYN and its repeats.
fn syns(frames: &[u64]) -> Vec<EvidenceRecord> {
    frames.iter().map(|frame| packet(*frame, Sender::Initiator, EvidenceKind::Syn)).collect()
}

fn handshake(first: u64) -> Vec<EvidenceRecord> {
    vec![
        packet(first, Sender::Initiator, EvidenceKind::Syn),
        packet(first + 1, Sender::Responder, EvidenceKind::SynAck),
        packet(first + 2, Sender::Initiator, EvidenceKind::Ack),
    ]
}

fn refusal(syn: u64, rst: u64) -> Vec<EvidenceRecord> {
    vec![
        packet(syn, Sender::Initiator, EvidenceKind::Syn),
        packet(rst, Sender::Responder, EvidenceKind::Rst),
    ]
}

const NO_REPLY: &str = "A firewall that drops looks like this; so does a host that is down.";

fn explained(verdict: Verdict, evidence: &[EvidenceRecord]) -> String {
    let frames: Vec<String> = evidence.iter().map(|packet| packet.frame.to_string()).collect();
    let frames = frames.join(", ");
    if verdict == Verdict::NoReply {
        format!("SYN in frames {frames}, no answer in 21.0 s. {NO_REPLY}")
    } else {
        format!("Seen in frames {frames}.")
    }
}

/// Adds a flow and returns its id.
fn add_flow(
    report: &mut Report,
    from: (&str, u16),
    to: (&str, u16),
    service: &str,
    verdict: Verdict,
    evidence: Vec<EvidenceRecord>,
) -> u64 {
    let id = report.flows.len() as u64 + 1;
    let class = verdict.class();
    let totals = &mut report.totals;
    totals.flows += 1;
    match class {
        Class::Success => totals.success += 1,
        Class::Timeout => totals.timeout += 1,
        Class::Reject => totals.reject += 1,
        Class::Inconclusive => totals.inconclusive += 1,
    }
    let sent = |side: Sender| evidence.iter().filter(|packet| packet.from == side).count() as u64;
    let history: String = evidence
        .iter()
        .map(|packet| match (packet.kind, packet.from) {
            (EvidenceKind::Syn, _) => 'S',
            (EvidenceKind::SynAck, _) => 'h',
            (EvidenceKind::Rst, _) => 'r',
            (_, Sender::Initiator) => 'A',
            _ => 'a',
        })
        .collect();
    report.flows.telling_mut().push(JudgedFlow {
        id,
        capture: 0,
        transport: Transport::Tcp,
        initiator: Endpoint { address: ip(from.0), port: from.1 },
        responder: Endpoint { address: ip(to.0), port: to.1 },
        class,
        verdict,
        confidence: Confidence::Proven,
        explanation: explained(verdict, &evidence).into(),
        origin: (verdict == Verdict::Refused).then_some(Origin::Unknown),
        origin_reasons: ThinVec::new(),
        history: history.into(),
        schedule: None,
        first_frame: evidence.first().map_or(FrameNumber(1), |packet| packet.frame),
        last_frame: evidence.last().map_or(FrameNumber(1), |packet| packet.frame),
        first_seen: evidence.first().and_then(|packet| packet.time),
        last_seen: evidence.last().and_then(|packet| packet.time),
        packets: PerSide { initiator: sent(Sender::Initiator), responder: sent(Sender::Responder) },
        bytes: PerSide::default(),
        duplicates: 0,
        closing: (class == Class::Success).then_some(Closing::Fin),
        service: ServiceRecord {
            name: Some(service.into()),
            outcome: ServiceOutcome::NotExamined,
            code: None,
            detail: None,
            frame: None,
        },
        rpc: None,
        announced: ThinVec::new(),
        not_registered: ThinVec::new(),
        duties: ThinVec::new(),
        encapsulation: ThinVec::new(),
        requirement: None,
        display_filter: DisplayFilter::of_texts(
            &format!(
                "ip.addr=={} && ip.addr=={} && tcp.port=={} && tcp.port=={}",
                from.0, to.0, from.1, to.1
            ),
            &format!("IPv4.Address == {} AND TCP.Port == {}", to.0, to.1),
        ),
        evidence: evidence.into(),
    });
    id
}

/// The row of a matrix that a cell is made for.
struct RowOf<'a> {
    id: &'a str,
    service: &'a str,
    transport: Transport,
    ports: &'a str,
    need: &'a str,
}

/// Adds a cell for flows that are there already, and marks them as exercising it.
fn add_cell(
    report: &mut Report,
    from: (&str, &str),
    to: (&str, &str),
    row: &RowOf<'_>,
    outcome: Outcome,
    flows: &[u64],
) {
    let mut counts = CellCounts::default();
    let mut explanation = Brief::default();
    for flow in report.flows.telling_mut().iter_mut().filter(|flow| flows.contains(&flow.id)) {
        flow.requirement = Some(row.id.into());
        if explanation.is_empty() {
            explanation.clone_from(&flow.explanation);
        }
        match flow.class {
            Class::Success => counts.success += 1,
            Class::Timeout => counts.timeout += 1,
            Class::Reject => counts.reject += 1,
            Class::Inconclusive => counts.inconclusive += 1,
        }
    }
    if flows.is_empty() {
        explanation = "No attempt in the captures.".into();
    }
    report.matrix.cells.push(Cell {
        requirement: row.id.into(),
        service: row.service.into(),
        transport: row.transport,
        ports: row.ports.into(),
        from: CellEnd { address: ip(from.0), role: from.1.into() },
        to: CellEnd { address: ip(to.0), role: to.1.into() },
        need: row.need.into(),
        condition: None,
        listener_known: true,
        outcome,
        flows: flows.to_vec(),
        counts,
        explanation,
    });
}

fn tcp<'a>(id: &'a str, service: &'a str, ports: &'a str) -> RowOf<'a> {
    RowOf { id, service, transport: Transport::Tcp, ports, need: "required" }
}

fn udp<'a>(id: &'a str, service: &'a str, ports: &'a str, need: &'a str) -> RowOf<'a> {
    RowOf { id, service, transport: Transport::Udp, ports, need }
}

fn request(
    source: &str,
    destination: &str,
    ports: &str,
    service: &str,
    flow: u64,
) -> FirewallRequest {
    FirewallRequest {
        source: ip(source),
        destination: ip(destination),
        transport: Transport::Tcp,
        ports: ports.to_owned(),
        direction: "one-way".to_owned(),
        service: service.to_owned(),
        reason: format!("{service} on tcp/{ports} failed: flow {flow}"),
        flows: vec![flow],
    }
}
