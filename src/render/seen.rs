//! What was seen, in a few words with the frames to open.
//!
//! Says only what the evidence records hold. What it may mean is said elsewhere, in other
//! sentences.

use crate::matrix::{Cell, Outcome};
use crate::net::{FrameNumber, Label};
use crate::render::phrase;
use crate::report::Report;
use crate::verdict::record::{
    Class, EvidenceKind, EvidenceRecord, JudgedFlow, Sender, ServiceOutcome, Verdict,
};

/// Frames of one kind that are named; of more, the first ones and the last.
const MOST_FRAMES: usize = 4;

/// The telling flow of an id, if the report holds it (it does not with `--no-flows`). Of plain flows
/// the first and the last of a kind tell.
pub(super) fn flow_of(report: &Report, id: u64) -> Option<&JudgedFlow> {
    report.flows.telling_of(id)
}

/// Whether the application above a flow failed.
pub(super) fn service_failed(flow: &JudgedFlow) -> bool {
    match flow.service.outcome {
        ServiceOutcome::Failed | ServiceOutcome::ResetBeforeAnswer => true,
        ServiceOutcome::Served | ServiceOutcome::Silent | ServiceOutcome::NotExamined => false,
    }
}

/// Where a requirement is a range of ports: the port of the first flow, and whether there were
/// others.
pub(super) fn called_port(report: &Report, cell: &Cell) -> Option<String> {
    if cell.ports.parse::<u16>().is_ok() {
        return None;
    }
    let mut ports =
        cell.flows.iter().filter_map(|id| flow_of(report, *id)).map(|flow| flow.responder.port);
    let first = ports.next()?;
    let others = ports.any(|port| port != first);
    Some(if others { format!("{first}, …") } else { first.to_string() })
}

/// What was seen of a cell: of the first flow that shows its outcome, and how many more there
/// are. Where flows are left out, the first sentence of its explanation.
pub(super) fn of_cell(report: &Report, cell: &Cell) -> String {
    let shows = |flow: &&JudgedFlow| match cell.outcome {
        Outcome::Open => flow.class == Class::Success,
        Outcome::Dropped => flow.class == Class::Timeout,
        Outcome::Refused => flow.class == Class::Reject,
        Outcome::ServiceFailed => service_failed(flow),
        Outcome::Mixed => flow.class == Class::Timeout || flow.class == Class::Reject,
        Outcome::CannotTell | Outcome::NotExercised => true,
    };
    let mut flows = cell.flows.iter().filter_map(|id| flow_of(report, *id));
    let Some(flow) = flows.find(shows) else {
        return phrase::first_sentence(&cell.explanation.text()).to_owned();
    };
    let seen = of_flow(report, flow);
    let more = phrase::count(cell.flows.len()).saturating_sub(1);
    if cell.outcome == Outcome::Mixed {
        let worked = phrase::number(cell.counts.success);
        let of = phrase::number(phrase::count(cell.flows.len()));
        return format!("{worked} of {of} flows worked; failed: {seen}");
    }
    if more == 0 { seen } else { format!("{seen} (+{})", phrase::counted(more, "flow")) }
}

/// What was seen of a flow.
pub(super) fn of_flow(report: &Report, flow: &JudgedFlow) -> String {
    let mut parts = Vec::new();
    if service_failed(flow) {
        parts.push(service(flow));
    } else if flow.class == Class::Success {
        parts.push(frames_of_success(flow));
        parts.extend(heard(flow));
    } else {
        for (kind, from) in kinds(flow) {
            parts.push(of_kind(flow, kind, from));
        }
        if let Some(ending) = ending(flow) {
            parts.push(ending.to_owned());
        }
    }
    if report.has_several() {
        format!("[{}] {}", flow.capture.saturating_add(1), parts.join(", "))
    } else {
        parts.join(", ")
    }
}

fn frames_of_success(flow: &JudgedFlow) -> String {
    let mut frames: Vec<FrameNumber> = flow.evidence.iter().map(|packet| packet.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    if frames.is_empty() {
        frames.extend([flow.first_frame, flow.last_frame]);
        frames.dedup();
    }
    if let ([first, _, .., last], Ok(span)) = (frames.as_slice(), u64::try_from(frames.len() - 1))
        && last.0 - first.0 == span
    {
        return format!("frames {first}-{last}");
    }
    let word = if frames.len() == 1 { "frame" } else { "frames" };
    format!("{word} {}", named(&frames))
}

/// What is known of the service of a flow whose path works.
fn heard(flow: &JudgedFlow) -> Option<String> {
    let service = &flow.service;
    match service.outcome {
        ServiceOutcome::Served => Some(format!("served in frame {}", service.frame?)),
        ServiceOutcome::Silent => service.detail.as_ref().map(ToString::to_string),
        ServiceOutcome::Failed
        | ServiceOutcome::ResetBeforeAnswer
        | ServiceOutcome::NotExamined => None,
    }
}

fn service(flow: &JudgedFlow) -> String {
    let service = &flow.service;
    let mut text = match service.outcome {
        ServiceOutcome::ResetBeforeAnswer => "reset before an answer".to_owned(),
        ServiceOutcome::Failed
        | ServiceOutcome::Served
        | ServiceOutcome::Silent
        | ServiceOutcome::NotExamined => match (&service.code, &service.detail) {
            (Some(code), Some(detail)) => format!("answered {code} ({detail})"),
            (Some(answer), None) | (None, Some(answer)) => format!("answered {answer}"),
            (None, None) => "answered with an error".to_owned(),
        },
    };
    if let Some(frame) = service.frame {
        text = format!("{text} in frame {frame}");
    }
    text
}

/// What the service did, whatever it was: "service served: A dc1.example.com, NOERROR, frame 7".
pub(super) fn service_of(flow: &JudgedFlow) -> String {
    let service = &flow.service;
    let frame = service.frame.map(|frame| format!("frame {frame}").into());
    let told: Vec<Label> =
        [service.detail.clone(), service.code.clone(), frame].into_iter().flatten().collect();
    let outcome = phrase::words(service.outcome.as_str());
    if told.is_empty() {
        format!("service {outcome}")
    } else {
        format!("service {outcome}: {}", told.join(", "))
    }
}

/// The kinds of packets and their senders, by first appearance.
fn kinds(flow: &JudgedFlow) -> Vec<(EvidenceKind, Sender)> {
    let mut kinds = Vec::new();
    for packet in &flow.evidence {
        if !kinds.contains(&(packet.kind, packet.from)) {
            kinds.push((packet.kind, packet.from));
        }
    }
    kinds
}

fn of_kind(flow: &JudgedFlow, kind: EvidenceKind, from: Sender) -> String {
    let packets: Vec<EvidenceRecord> =
        flow.evidence.iter().filter(|packet| packet.kind == kind && packet.from == from).collect();
    let frames: Vec<FrameNumber> = packets.iter().map(|packet| packet.frame).collect();
    let note = packets.iter().find_map(|packet| packet.note.as_deref());
    if let (EvidenceKind::Drop, Some(note)) = (kind, note) {
        // The frames stand beside it already, unless only some of them were dropped.
        let mut others = flow.evidence.iter().filter(|it| it.from == from && it.kind != kind);
        let all = others.all(|packet| frames.contains(&packet.frame));
        return if all { note.to_owned() } else { format!("{} {note}", named(&frames)) };
    }
    let name = match (kind, from) {
        (EvidenceKind::Syn, _) => "SYN",
        (EvidenceKind::SynAck, _) => "SYN-ACK",
        (EvidenceKind::Ack, _) => "ACK",
        (EvidenceKind::Rst, Sender::Initiator) => "the initiator's own RST",
        (EvidenceKind::Rst, Sender::Responder | Sender::Network) => "RST",
        (EvidenceKind::Icmp, _) => "ICMP",
        (EvidenceKind::Fin, _) => "FIN",
        (EvidenceKind::Data, Sender::Initiator) => "sent",
        (EvidenceKind::Data, Sender::Responder | Sender::Network) => "answer",
        (EvidenceKind::Drop, _) => "dropped by the capturing machine",
    };
    let again = if matches!(kind, EvidenceKind::Syn | EvidenceKind::SynAck | EvidenceKind::Data) {
        ", again "
    } else {
        ", "
    };
    let mut text = match frames.split_first() {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{name} {first}{again}{}", named(rest))
        }
        _ => format!("{name} {}", named(&frames)),
    };
    if let (EvidenceKind::Icmp, Some(note)) = (kind, note) {
        text = format!("{text} ({note})");
    }
    text
}

/// Frame numbers, in full or the first ones and the last. As Wireshark takes them: no commas
/// within a number.
fn named(frames: &[FrameNumber]) -> String {
    let text = |frames: &[FrameNumber]| {
        frames.iter().map(FrameNumber::to_string).collect::<Vec<_>>().join(", ")
    };
    match (frames.get(..MOST_FRAMES - 1), frames.last()) {
        (Some(first), Some(last)) if frames.len() > MOST_FRAMES => {
            format!("{} ... {last}", text(first))
        }
        _ => text(frames),
    }
}

/// What did not come, or cannot be known.
fn ending(flow: &JudgedFlow) -> Option<&'static str> {
    match flow.verdict {
        Verdict::NoReply => Some("no answer"),
        Verdict::Unconfirmed => Some("never confirmed"),
        Verdict::Challenged => Some("answered for another connection"),
        Verdict::HalfOpen => Some("no confirmation yet"),
        Verdict::CaptureEnded if flow.first_seen.is_none() => {
            Some("no answer, but no times to tell how long it was waited for")
        }
        Verdict::CaptureEnded => Some("the capture ends too early"),
        Verdict::OneWay => Some("one way only"),
        Verdict::HeadersCut => Some("headers cut off by the snap length"),
        Verdict::Established
        | Verdict::EstablishedUnseen
        | Verdict::Probed
        | Verdict::Answered
        | Verdict::Refused
        | Verdict::Prohibited
        | Verdict::Unreachable
        | Verdict::Abandoned => None,
    }
}
