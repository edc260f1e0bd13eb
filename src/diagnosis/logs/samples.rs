//! Logs and flows for the tests of this module.

use crate::capture::Severity;
use crate::log::{DropEntry, LogEntry, LogRecord};
use crate::net::{Clock, Endpoint, FrameNumber, Time, Timestamp, Transport};
use crate::verdict::record::{EvidenceKind, EvidenceRecord, JudgedFlow};

pub(super) fn time(at: Timestamp, zone_known: bool) -> Time {
    Time { at, clock: Clock { digits: 0, zone_known } }
}

/// A time of 27 May 2014, as "10:15:02".
fn at(text: &str) -> Timestamp {
    format!("2014-05-27T{text}").parse::<Time>().unwrap().at
}

fn endpoint(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: address.ip().into(), port: address.port() }
}

pub(super) fn drop_line(
    line: u64,
    when: &str,
    source: &str,
    destination: &str,
    sent: bool,
) -> LogEntry {
    let (source, destination) = (endpoint(source), endpoint(destination));
    let drop = DropEntry { transport: Transport::Tcp, source, destination, sent: Some(sent) };
    LogEntry { drop: Some(drop), severity: Severity::Warning, ..error_line(line, when, "DROP TCP") }
}

pub(super) fn error_line(line: u64, when: &str, text: &str) -> LogEntry {
    LogEntry {
        line,
        time: Some(time(at(when), false)),
        severity: Severity::Error,
        component: None,
        text: text.to_owned(),
        drop: None,
    }
}

pub(super) fn log(entries: Vec<LogEntry>) -> LogRecord {
    let first_seen = entries.first().and_then(|entry| entry.time);
    LogRecord { first_seen, entries, ..LogRecord::of("logs/trial.log") }
}

/// The flow with its calls at these milliseconds after 10:15:00.
pub(super) fn syns(mut flow: JudgedFlow, milliseconds: &[i64]) -> JudgedFlow {
    let when = |offset: i64| {
        let start = i128::from(at("10:15:00").as_nanoseconds());
        let clock = Clock { digits: 3, zone_known: true };
        let at = Timestamp::from_nanoseconds(start + i128::from(offset) * 1_000_000).unwrap();
        Time { at, clock }
    };
    let (syns, answers): (Vec<_>, Vec<_>) =
        flow.evidence.iter().partition(|packet| packet.kind == EvidenceKind::Syn);
    let sent = (flow.first_frame.0..).zip(milliseconds).map(|(frame, offset)| EvidenceRecord {
        frame: FrameNumber(frame),
        time: Some(when(*offset)),
        ..syns[0].clone()
    });
    let answers = answers.iter().cloned();
    let answers = answers.map(|packet| EvidenceRecord { time: Some(when(5_300)), ..packet });
    flow.evidence = sent.chain(answers).collect::<Vec<_>>().into();
    flow.first_seen = milliseconds.first().map(|offset| when(*offset));
    flow.last_seen = milliseconds.last().map(|offset| when(*offset));
    flow
}
