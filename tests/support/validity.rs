//! What must be true of every flow and every report, whatever the capture held.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Cursor;

use portmortem::capture::{
    CaptureSummary, Error, FrameBatch, Reading, Severity, TextFile, open_source,
};
use portmortem::flow::{Flow, FlowTable, KnownPorts};
use portmortem::log::{HostPairs, LogEntry, LogRecord, read_file};
use portmortem::matrix::{DEFAULT_PROFILE, Matrix, Outcome};
use portmortem::net::Transport;
use portmortem::packet::{FragmentTable, Skipped, SkippedTally, decode};
use portmortem::render::{Format, Style, View, render};
use portmortem::report::{CaptureRecord, Options, Report, Waits};
use portmortem::verdict::record::{
    Brief, Class, EvidenceKind, JudgedFlow, Sender, ServiceOutcome, Verdict,
};
use portmortem::verdict::{Circumstances, judge};

/// What a capture held: how far the pipeline comes without a report.
pub struct Read {
    pub flows: Vec<JudgedFlow>,
    pub summary: CaptureSummary,
    pub skipped: SkippedTally,
}

/// Nanoseconds that `flows` waits by default.
const SYN_WAIT: i64 = 3_000_000_000;
const UDP_REPLY_WAIT: i64 = 2_000_000_000;
const UDP_IDLE: i64 = 60_000_000_000;

/// The options of a run without any.
pub fn options() -> Options {
    Options {
        profile: Some(DEFAULT_PROFILE.to_owned()),
        matrix: None,
        roles: Vec::new(),
        hosts: Vec::new(),
        ports: Vec::new(),
        rpc_range: Vec::new(),
        waits: Waits { syn_ms: 3_000, udp_reply_ms: 2_000, udp_idle_ms: 60_000 },
        filters: portmortem::report::Filters::default(),
        join: false,
        max_inflated: None,
    }
}

/// Reads a capture in memory, `piece` bytes at a time.
pub fn read(bytes: &[u8], piece: usize, known_ports: &KnownPorts) -> Result<Read, Error> {
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let mut reader =
        open_source(source, "hostile", Reading { piece, digest: true, progress: None })?;
    let mut table = FlowTable::new(known_ports.clone(), UDP_IDLE);
    let mut skipped = SkippedTally::default();
    let mut fragments = FragmentTable::default();
    let mut spare = FrameBatch::default();
    while let Some(batch) = reader.next_batch(spare) {
        assert!(!batch.is_empty(), "a batch without frames");
        for frame in batch.frames() {
            match decode(&frame) {
                Ok(packet) => table.observe(&packet),
                Err(Skipped::Fragment) => {
                    if let Some(packet) = fragments.decode(frame) {
                        table.observe(&packet);
                    }
                }
                Err(reason) => skipped.count(reason, frame.number),
            }
        }
        spare = batch;
    }
    let summary = reader.finish();
    let (flows, unassigned) = table.into_flows();
    skipped += unassigned;
    skipped += fragments.into_skipped();
    let circumstances = circumstances(&summary, known_ports);
    let flows = (1..).zip(&flows).map(|(id, flow)| judged(id, flow, &circumstances)).collect();
    Ok(Read { flows, summary, skipped })
}

fn circumstances(summary: &CaptureSummary, known_ports: &KnownPorts) -> Circumstances {
    Circumstances {
        capture_end: summary.last_seen,
        clock: summary.clock,
        syn_wait: SYN_WAIT,
        udp_reply_wait: UDP_REPLY_WAIT,
        known_ports: known_ports.clone(),
        notes: summary.notes.clone(),
    }
}

/// Judges a flow and checks the judgement.
pub fn judged(id: u64, flow: &Flow, circumstances: &Circumstances) -> JudgedFlow {
    let judged = JudgedFlow { id, ..judge(flow, 0, circumstances) };
    check_flow(&judged);
    judged
}

/// What the contract says of every flow.
pub fn check_flow(flow: &JudgedFlow) {
    assert_eq!(flow.class, flow.verdict.class());
    assert_eq!(flow.origin.is_some(), flow.verdict == Verdict::Refused, "{}", brief(flow));
    assert_eq!(flow.origin_reasons.is_empty(), flow.origin.is_none(), "{}", brief(flow));
    check_words(flow);
    check_evidence(flow);
    check_verdict(flow);
    let open =
        matches!(flow.verdict, Verdict::Established | Verdict::EstablishedUnseen | Verdict::Probed);
    assert_eq!(flow.closing.is_some(), open, "{}", brief(flow));
    let reset = flow.service.outcome == ServiceOutcome::ResetBeforeAnswer;
    assert!(!reset || flow.verdict == Verdict::Established, "{}", brief(flow));
    let back: JudgedFlow = serde_json::from_str(&serde_json::to_string(flow).unwrap()).unwrap();
    assert_eq!(back, *flow, "read back");
}

/// Sentences are whole, one line each, and name frames where they say "frame".
fn check_words(flow: &JudgedFlow) {
    let shown = brief(flow);
    let texts = flow.origin_reasons.iter().chain([&flow.explanation]);
    for text in texts.map(Brief::text) {
        assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
        assert!(!text.contains("  "), "{text:?}");
        for word in ["frame ", "frames "] {
            for (at, _) in text.match_indices(word) {
                let next = text[at + word.len()..].chars().next();
                let names_one = next.is_some_and(|next| next.is_ascii_digit());
                let pushed_out = text[..at].ends_with("a ") && flow.evidence.iter().len() > 8;
                assert!(names_one || pushed_out, "{shown}");
            }
        }
    }
    assert!(flow.explanation.text().ends_with('.'), "{:?}", flow.explanation);
    assert!(!flow.explanation.text().contains("blocks"), "{:?}", flow.explanation);
    let letters = flow.history.strip_suffix('+').unwrap_or(&flow.history);
    assert!(letters.chars().all(|letter| "SHADFRshadfr".contains(letter)), "{letters}");
}

/// Evidence stands in the order of the frames, inside the flow, at most nine of a kind.
fn check_evidence(flow: &JudgedFlow) {
    assert!(flow.first_frame <= flow.last_frame);
    let frames: Vec<_> = flow.evidence.iter().map(|evidence| evidence.frame).collect();
    // That a packet was dropped stands behind the packet.
    let in_order = flow.evidence.list().is_sorted_by(|a, b| {
        a.frame < b.frame || (a.frame == b.frame && b.kind == EvidenceKind::Drop)
    });
    assert!(in_order, "{frames:?}");
    assert!(frames.iter().all(|frame| (flow.first_frame..=flow.last_frame).contains(frame)));
    assert!(!frames.is_empty(), "nothing to open: {}", brief(flow));
    for kind in EvidenceKind::ALL {
        let of_kind = flow.evidence.iter().filter(|evidence| evidence.kind == *kind).count();
        assert!(of_kind <= 9, "{of_kind} of kind {kind}");
    }
}

/// Section 3 of the contract, as far as the record shows it.
fn check_verdict(flow: &JudgedFlow) {
    let has = |from: Sender, kind: EvidenceKind| {
        let of_kind = || flow.evidence.iter().filter(|evidence| evidence.kind == kind);
        // Of each kind nine are kept, so what one side sent may push out what the other did.
        of_kind().any(|evidence| evidence.from == from) || of_kind().count() == 9
    };
    let (initiator, responder) = (flow.packets.initiator, flow.packets.responder);
    let expected = match flow.verdict {
        Verdict::Established => has(Sender::Initiator, EvidenceKind::Syn),
        Verdict::Probed => {
            has(Sender::Initiator, EvidenceKind::Rst)
                && has(Sender::Responder, EvidenceKind::SynAck)
        }
        Verdict::Answered => initiator > 0 && responder > 0,
        // A reset that acknowledges nothing is no answer (RFC 9293 3.10.7.3), and must be told.
        Verdict::NoReply | Verdict::CaptureEnded => {
            let later = flow.evidence.iter().skip_while(|seen| seen.kind != EvidenceKind::Syn);
            let mut answers = later.filter(|seen| seen.from == Sender::Responder);
            let reset = flow.explanation.text().contains("does not acknowledge it");
            let icmp = flow.explanation.text().contains("ICMP");
            initiator > 0
                && answers.all(|seen| match seen.kind {
                    EvidenceKind::Rst => reset,
                    EvidenceKind::Icmp => icmp,
                    EvidenceKind::Syn
                    | EvidenceKind::SynAck
                    | EvidenceKind::Ack
                    | EvidenceKind::Fin
                    | EvidenceKind::Data => false,
                    EvidenceKind::Drop => true,
                })
        }
        Verdict::Unconfirmed => {
            has(Sender::Initiator, EvidenceKind::Syn)
                && has(Sender::Responder, EvidenceKind::SynAck)
        }
        Verdict::Refused => {
            has(Sender::Initiator, EvidenceKind::Syn) && has(Sender::Responder, EvidenceKind::Rst)
        }
        Verdict::Prohibited | Verdict::Unreachable => {
            // A reset that acknowledges nothing is no answer.
            let answers = flow.evidence.iter().any(|seen| {
                let no_answer = [EvidenceKind::Rst, EvidenceKind::Icmp, EvidenceKind::Drop];
                seen.from == Sender::Responder && !no_answer.contains(&seen.kind)
            });
            !answers && flow.evidence.iter().any(|seen| seen.kind == EvidenceKind::Icmp)
        }
        Verdict::Challenged => has(Sender::Initiator, EvidenceKind::Syn) && responder > 0,
        Verdict::Abandoned => has(Sender::Initiator, EvidenceKind::Rst),
        Verdict::EstablishedUnseen | Verdict::HalfOpen | Verdict::OneWay | Verdict::HeadersCut => {
            true
        }
    };
    assert!(expected, "{}", brief(flow));
    let of_udp = matches!(
        flow.verdict,
        Verdict::Answered
            | Verdict::NoReply
            | Verdict::Prohibited
            | Verdict::Unreachable
            | Verdict::CaptureEnded
            | Verdict::OneWay
    );
    let of_transport = match flow.transport {
        Transport::Tcp => flow.verdict != Verdict::Answered,
        Transport::Udp => of_udp,
    };
    assert!(of_transport, "{}", brief(flow));
}

/// The report on what was read.
pub fn report_of(read: Read, matrix: &Matrix) -> Report {
    let record = CaptureRecord::of(read.summary, &read.skipped);
    Report::build(options(), matrix, vec![record], Vec::new(), read.flows)
}

/// Reads bytes as a log, beside what a capture held; what is said of it must be true.
pub fn check_log(bytes: &[u8], beside: Read, matrix: &Matrix) {
    let Ok(file) = TextFile::open_source(Box::new(Cursor::new(bytes.to_vec()))) else { return };
    let mut pairs = HostPairs::default();
    for flow in &beside.flows {
        pairs.add(flow.initiator.address, flow.responder.address);
    }
    let log = read_file(file, "hostile.log", &pairs);
    assert!(log.entries.len() <= LogRecord::MOST_TELLING + LogRecord::MOST_OTHERS);
    assert!(log.kind.is_some() || log.entries.is_empty() && !log.problems.is_empty());
    assert!(log.entries.is_sorted_by_key(|entry| entry.line));
    for entry in &log.entries {
        assert!((1..=log.lines).contains(&entry.line), "{entry:?}");
        assert!(entry.text.chars().count() <= LogEntry::MOST_LETTERS);
    }
    let record = CaptureRecord::of(beside.summary, &beside.skipped);
    let report = Report::build(options(), matrix, vec![record], vec![log], beside.flows);
    for place in report.findings.iter().flat_map(|finding| &finding.log_lines) {
        assert!(report.logs[place.log].entry(place.line).is_some(), "{place:?}");
    }
    check_report(&report, matrix);
}

/// What must be true of every report, made with `matrix`.
pub fn check_report(report: &Report, matrix: &Matrix) {
    for (id, flow) in (1..).zip(report.flows.iter()) {
        assert_eq!(flow.id, id, "ids are dense");
        assert!(flow.capture < report.captures.len());
    }
    let places = || report.flows.iter().map(|flow| (flow.capture, flow.first_frame));
    assert!(places().zip(places().skip(1)).all(|(a, b)| a < b), "flows in order");
    check_counts(report);
    check_cells(report, matrix);
    let known = |ids: &[u64]| {
        ids.is_sorted_by(|a, b| a < b)
            && ids.iter().all(|id| (1..=report.flows.len() as u64).contains(id))
    };
    for finding in &report.findings {
        assert!(known(&finding.flows), "{finding:#?}");
        assert!(finding.cells.iter().all(|index| *index < report.matrix.cells.len()));
        assert!(!finding.title.is_empty() && !finding.explanation.is_empty());
        for text in [&finding.title, &finding.explanation, &finding.next_step] {
            assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'));
        }
    }
    for request in &report.firewall_requests {
        assert!(known(&request.flows) && !request.flows.is_empty(), "{request:#?}");
        assert!(!request.reason.is_empty() && !request.ports.is_empty());
    }
    for capture in &report.captures {
        for problem in &capture.problems {
            assert!(!problem.message.is_empty());
            assert!(!problem.message.contains("a fault in portmortem"), "{problem:#?}");
        }
    }
    check_formats(report);
}

/// No flow and no frame is lost on the way.
fn check_counts(report: &Report) {
    let mut classes: BTreeMap<Class, u64> = BTreeMap::new();
    for flow in report.flows.iter() {
        *classes.entry(flow.class).or_default() += 1;
    }
    let of = |class| classes.get(&class).copied().unwrap_or_default();
    let totals = report.totals;
    assert_eq!(
        [totals.flows, totals.success, totals.timeout, totals.reject, totals.inconclusive],
        [
            report.flows.len() as u64,
            of(Class::Success),
            of(Class::Timeout),
            of(Class::Reject),
            of(Class::Inconclusive),
        ]
    );
    for (index, capture) in report.captures.iter().enumerate() {
        let flows = || report.flows.iter().filter(|flow| flow.capture == index);
        if !capture.counts() {
            // A copy, or a file whose frames are counted in the joined capture.
            assert_eq!(flows().count(), 0, "{capture:#?}");
            continue;
        }
        let packets: u64 = flows()
            .map(|flow| flow.packets.initiator + flow.packets.responder + flow.duplicates)
            .sum();
        let skipped: u64 = capture.skipped.iter().map(|skipped| skipped.count).sum();
        let icmp = flows().flat_map(|flow| flow.evidence.list());
        let icmp = icmp.filter(|evidence| evidence.kind == EvidenceKind::Icmp).count() as u64;
        // Of ICMP errors about one flow only nine are kept.
        let told = packets + skipped + icmp;
        assert!(told <= capture.frames, "{capture:#?}");
        assert!(told == capture.frames || icmp >= 9, "{told} of {} frames", capture.frames);
        // Rows of text may keep the numbers that they tell.
        let own_numbers = capture.link_types == ["row of text"];
        assert!(own_numbers || flows().all(|flow| flow.last_frame.0 <= capture.frames));
        assert!(skipped == 0 || capture.skipped.iter().all(|row| row.first_frame.0 > 0));
    }
}

fn check_cells(report: &Report, matrix: &Matrix) {
    for cell in &report.matrix.cells {
        assert!(matrix.requirements.iter().any(|row| row.id == *cell.requirement), "{cell:#?}");
        let mut counts: BTreeMap<Class, u64> = BTreeMap::new();
        for id in &cell.flows {
            let flow = report.flows.get(*id).unwrap();
            assert_eq!(flow.id, *id);
            assert_eq!((flow.initiator.address, flow.responder.address), {
                (cell.from.address, cell.to.address)
            });
            *counts.entry(flow.class).or_default() += 1;
        }
        let of = |class| counts.get(&class).copied().unwrap_or_default();
        assert_eq!(
            [cell.counts.success, cell.counts.timeout, cell.counts.reject],
            [of(Class::Success), of(Class::Timeout), of(Class::Reject)]
        );
        assert_eq!(cell.counts.inconclusive, of(Class::Inconclusive));
        assert_eq!(cell.outcome == Outcome::NotExercised, cell.flows.is_empty());
        assert!(!cell.explanation.is_empty());
    }
}

/// Every format can be written, holds no character that acts, and JSON reads back.
fn check_formats(report: &Report) {
    let style = Style { width: 100, color: false, unicode: true, verbose: true, links: None };
    for format in Format::texts() {
        for view in [View::Analysis, View::Flows, View::Ladders] {
            let mut bytes = Vec::new();
            render(report, view, format, style, &mut bytes).unwrap();
            let text = String::from_utf8(bytes).expect("UTF-8");
            let acts = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r');
            assert!(!text.contains(acts), "{format}: {text:?}");
            match (format, view) {
                (Format::Json, View::Analysis) => {
                    let back: Report = serde_json::from_str(&text).expect("reads back");
                    assert_eq!(back, *report, "reads back as it was");
                }
                (Format::Json, View::Flows | View::Ladders) => {
                    let back: Vec<JudgedFlow> = serde_json::from_str(&text).expect("reads back");
                    assert!(report.flows.iter().map(Cow::into_owned).eq(back));
                }
                (Format::Ndjson, _) => {
                    for line in text.lines() {
                        serde_json::from_str::<serde_json::Value>(line).expect("a value a line");
                    }
                }
                (
                    Format::Table | Format::Csv | Format::Markdown | Format::Html | Format::Parquet,
                    _,
                ) => {}
            }
        }
    }
}

/// Whether a capture that was read said that something is wrong with it.
pub fn has_trouble(read: &Read) -> bool {
    read.summary.problems.iter().any(|problem| problem.severity != Severity::Info)
}

/// A flow in a few lines, for the message of a test that failed.
fn brief(flow: &JudgedFlow) -> String {
    let mut text = format!(
        "{} {} -> {} {} {} [{}] {:?} {:?}: {}",
        flow.transport,
        flow.initiator,
        flow.responder,
        flow.verdict,
        flow.confidence,
        flow.history,
        (flow.packets.initiator, flow.packets.responder),
        flow.closing,
        flow.explanation
    );
    for evidence in &flow.evidence {
        let (seq, ack) = (evidence.seq.map(|seq| seq.0), evidence.ack.map(|ack| ack.0));
        write!(
            text,
            "\n  frame {} {} {} seq {seq:?} ack {ack:?}",
            evidence.frame, evidence.from, evidence.kind
        )
        .unwrap();
    }
    text
}
