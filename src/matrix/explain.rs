//! Sentences about flows: what was seen first, with frame numbers, bounded in length.

use std::fmt::Write as _;

use crate::log::DropEntry;
use crate::matrix::{CellCounts, Outcome};
use crate::net::letters::Letters;
use crate::net::{FrameNumber, Transport};
use crate::verdict::record::{
    Class, Confidence, EvidenceKind, JudgedFlow, Sender, ServiceOutcome, Verdict,
};

/// Longest explanation that is taken over from a flow, in characters.
const LONGEST: usize = 400;
/// Frames of one kind that a sentence names.
const NAMED_FRAMES: usize = 4;

/// "88, 389 and 445", or "88, 389 and 7 others" beyond `most`.
pub(crate) fn list_of(parts: &[String], most: usize) -> String {
    list_and(parts.get(..most).unwrap_or(parts), parts.len().saturating_sub(most))
}

/// "88, 389 and 7 others": all that are named, and how many there are beside.
pub(crate) fn list_and(named: &[String], others: usize) -> String {
    match (named.split_last(), others) {
        (None, _) => String::new(),
        (Some((last, [])), 0) => last.clone(),
        (Some((last, rest)), 0) => format!("{} and {last}", rest.join(", ")),
        (Some(_), 1) => format!("{} and 1 other", named.join(", ")),
        (Some(_), others) => format!("{} and {others} others", named.join(", ")),
    }
}

/// "1 attempt", "3 attempts".
pub(crate) fn count_of(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// A text of at most `most` characters.
pub(crate) fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A sentence with a clause more.
pub(super) fn also(sentence: &str, clause: &str) -> String {
    match (sentence.trim_end_matches('.'), clause) {
        ("", clause) => clause.to_owned(),
        (sentence, "") => sentence.to_owned(),
        (sentence, clause) => format!("{sentence}; {clause}"),
    }
}

/// Two sentences as one text.
pub(crate) fn then(first: &str, second: &str) -> String {
    match (first.trim_end_matches('.'), second) {
        ("", second) => second.to_owned(),
        (first, "") => first.to_owned(),
        (first, second) => format!("{first}. {second}"),
    }
}

/// Whether frame numbers need their capture beside them.
pub(crate) fn several_captures(flows: &[JudgedFlow]) -> bool {
    flows.iter().any(|flow| flow.capture > 0)
}

/// " of the 2nd capture" where there are several.
pub(crate) fn capture_suffix(flow: &JudgedFlow, several: bool) -> String {
    if several { format!(" of the {}", nth_capture(flow)) } else { String::new() }
}

fn nth_capture(flow: &JudgedFlow) -> String {
    let number = flow.capture.saturating_add(1);
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending} capture")
}

/// Whether the path worked and the service above did not.
pub(crate) fn service_failed(flow: &JudgedFlow) -> bool {
    flow.class == Class::Success
        && matches!(
            flow.service.outcome,
            ServiceOutcome::Failed | ServiceOutcome::ResetBeforeAnswer
        )
}

/// What was seen of a flow, without its meaning: "SYN in frame 101, sent again in 108 and 131, no
/// answer".
pub(crate) fn seen(flow: &JudgedFlow, several: bool) -> String {
    let mut text = String::with_capacity(96);
    let anyone = Sender::ALL;
    match flow.verdict {
        Verdict::Answered => {
            push_first(&mut text, flow, "request", Sender::Initiator, EvidenceKind::Data);
            push_first(&mut text, flow, "answer", Sender::Responder, EvidenceKind::Data);
        }
        Verdict::Established | Verdict::Probed => {
            push_first(&mut text, flow, "SYN", Sender::Initiator, EvidenceKind::Syn);
            push_first(&mut text, flow, "SYN-ACK", Sender::Responder, EvidenceKind::SynAck);
        }
        Verdict::EstablishedUnseen
        | Verdict::NoReply
        | Verdict::Unconfirmed
        | Verdict::Refused
        | Verdict::Prohibited
        | Verdict::Unreachable
        | Verdict::Challenged
        | Verdict::HalfOpen
        | Verdict::Abandoned
        | Verdict::CaptureEnded
        | Verdict::OneWay
        | Verdict::HeadersCut => {
            let mut part = |what: &str, again: &str, from: &[Sender], kind: EvidenceKind| {
                push_frames(&mut text, what, again, &frames_of(flow, from, kind));
            };
            if flow.transport == Transport::Udp {
                part("request", "sent again", &[Sender::Initiator], EvidenceKind::Data);
            }
            part("SYN", "sent again", anyone, EvidenceKind::Syn);
            part("SYN-ACK", "sent again", anyone, EvidenceKind::SynAck);
            part("RST", "again", anyone, EvidenceKind::Rst);
            part("ICMP error", "again", anyone, EvidenceKind::Icmp);
            if let Some(machine) = dropping_machine(flow) {
                push_comma(&mut text);
                let _ = write!(text, "dropped by {machine} itself");
            }
        }
    }
    if text.is_empty() {
        let (first, last) = (flow.first_frame, flow.last_frame);
        let _ = if first == last {
            write!(text, "frame {first}")
        } else {
            write!(text, "frames {first} to {last}")
        };
    }
    if several {
        text.push_str(&capture_suffix(flow, several));
    }
    text.push_str(match flow.verdict {
        Verdict::NoReply | Verdict::CaptureEnded => ", no answer",
        Verdict::Unconfirmed | Verdict::HalfOpen => ", never confirmed",
        Verdict::Established
        | Verdict::EstablishedUnseen
        | Verdict::Probed
        | Verdict::Answered
        | Verdict::Refused
        | Verdict::Prohibited
        | Verdict::Unreachable
        | Verdict::Challenged
        | Verdict::Abandoned
        | Verdict::OneWay
        | Verdict::HeadersCut => "",
    });
    text
}

/// Frames of one kind of evidence from these senders, in order.
fn frames_of(flow: &JudgedFlow, from: &[Sender], kind: EvidenceKind) -> Vec<FrameNumber> {
    if !flow.evidence.has(kind) {
        return Vec::new();
    }
    let of_kind =
        flow.evidence.iter().filter(|packet| packet.kind == kind && from.contains(&packet.from));
    let mut frames: Vec<FrameNumber> = of_kind.map(|packet| packet.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    frames
}

fn push_comma(text: &mut String) {
    if !text.is_empty() {
        text.push_str(", ");
    }
}

/// "SYN in frame 101": the first one.
fn push_first(text: &mut String, flow: &JudgedFlow, what: &str, from: Sender, kind: EvidenceKind) {
    let of_kind = flow.evidence.iter().filter(|it| it.kind == kind && it.from == from);
    if let Some(frame) = of_kind.map(|packet| packet.frame).min() {
        push_frames(text, what, "", &[frame]);
    }
}

/// "SYN in frame 101, sent again in 108 and 131".
fn push_frames(text: &mut String, what: &str, again: &str, frames: &[FrameNumber]) {
    let Some((first, more)) = frames.split_first() else { return };
    push_comma(text);
    for part in [what, " in frame ", Letters::of_number(first.0).as_str()] {
        text.push_str(part);
    }
    let mut named: Vec<String> = more.iter().map(FrameNumber::to_string).collect();
    if let Some(last) = named.pop_if(|_| more.len() > NAMED_FRAMES) {
        // Evidence keeps the first ones and the last, so there is no telling how many.
        named.truncate(NAMED_FRAMES - 1);
        let _ = write!(text, ", {again} in {}, ..., {last}", named.join(", "));
    } else if !named.is_empty() {
        let _ = write!(text, ", {again} in {}", list_of(&named, NAMED_FRAMES));
    }
}

/// Who dropped packets, where the evidence tells of drops.
fn dropping_machine(flow: &JudgedFlow) -> Option<&'static str> {
    if !flow.evidence.has(EvidenceKind::Drop) {
        return None;
    }
    let mut drops = flow.evidence.iter().filter(|packet| packet.kind == EvidenceKind::Drop);
    let note = drops.next()?.note.unwrap_or_default();
    Some(if note.starts_with(DropEntry::ON_ARRIVAL) {
        "the receiver"
    } else if note.starts_with(DropEntry::ON_LEAVING) {
        "the sender"
    } else {
        "the capturing machine"
    })
}

/// How we know the outcome of a cell, from its flows in order of time.
pub(super) fn explain(
    outcome: Outcome,
    counts: CellCounts,
    flows: &[&JudgedFlow],
    several: bool,
) -> String {
    match (outcome, flows) {
        (_, []) => "no attempt in any capture".to_owned(),
        (_, [flow]) => one(flow, several),
        (Outcome::Mixed, flows) => mixed(counts, flows, several),
        (Outcome::Open, _) => many(counts, flows, several, "the first that worked", works),
        (Outcome::ServiceFailed, _) => {
            let text = many(counts, flows, several, "the first", service_failed);
            let failing = flows.iter().copied().find(|flow| service_failed(flow));
            also(&text, &failing.map(answer_of).unwrap_or_default())
        }
        (Outcome::Dropped, _) => many(counts, flows, several, "the first unanswered", |flow| {
            flow.class == Class::Timeout && !is_weak(flow)
        }),
        (Outcome::Refused, _) => {
            many(counts, flows, several, "the first refused", |flow| flow.class == Class::Reject)
        }
        (Outcome::CannotTell | Outcome::NotExercised, _) => {
            many(counts, flows, several, "the first", |_| true)
        }
    }
}

/// One silent SYN, which proves little.
pub(crate) fn is_weak(flow: &JudgedFlow) -> bool {
    flow.verdict == Verdict::NoReply && flow.confidence == Confidence::Weak
}

fn works(flow: &JudgedFlow) -> bool {
    flow.class == Class::Success && !service_failed(flow)
}

fn one(flow: &JudgedFlow, several: bool) -> String {
    let explanation = flow.explanation.text();
    let own = bounded(explanation.trim(), LONGEST);
    let text = match (own.is_empty(), several) {
        (true, _) => seen(flow, several),
        (false, true) => format!("{}: {own}", nth_capture(flow)),
        (false, false) => own,
    };
    if service_failed(flow) { also(&text, &answer_of(flow)) } else { text }
}

/// What the service answered, where that is a failure.
fn answer_of(flow: &JudgedFlow) -> String {
    let frame = flow.service.frame.map(|frame| format!(" in frame {frame}")).unwrap_or_default();
    if flow.service.outcome == ServiceOutcome::ResetBeforeAnswer {
        return format!("the service reset the connection{frame} before it sent a byte");
    }
    let code = flow.service.code.as_deref().unwrap_or("an error");
    let detail = match flow.service.detail.as_deref() {
        Some(detail) if !detail.is_empty() => format!(" ({})", bounded(detail, 400)),
        Some(_) | None => String::new(),
    };
    format!("the service answered {}{detail}{frame}", bounded(code, 60))
}

fn many(
    counts: CellCounts,
    flows: &[&JudgedFlow],
    several: bool,
    which: &str,
    shows: impl Fn(&JudgedFlow) -> bool,
) -> String {
    let flow = flows.iter().copied().find(|flow| shows(flow)).or(flows.first().copied());
    let packets = flow.map(|flow| seen(flow, several)).unwrap_or_default();
    format!("{}; {which}: {packets}", tally(counts, flows))
}

/// "5 attempts: 3 worked, 2 without an answer".
fn tally(counts: CellCounts, flows: &[&JudgedFlow]) -> String {
    let failed = flows.iter().filter(|flow| service_failed(flow)).count() as u64;
    let parts: Vec<String> = [
        (counts.success.saturating_sub(failed), "worked"),
        (failed, "reached a service that failed"),
        (counts.timeout, "without an answer or confirmation"),
        (counts.reject, "refused"),
        (counts.inconclusive, "that do not tell"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let all = counts.success + counts.timeout + counts.reject + counts.inconclusive;
    let all = usize::try_from(all).unwrap_or(usize::MAX);
    format!("{}: {}", count_of(all, "attempt"), parts.join(", "))
}

/// Which attempts worked, which failed, and when.
fn mixed(counts: CellCounts, flows: &[&JudgedFlow], several: bool) -> String {
    let decisive: Vec<(bool, &JudgedFlow)> = flows
        .iter()
        .filter(|flow| flow.class != Class::Inconclusive)
        .map(|flow| (works(flow), *flow))
        .collect();
    let (Some((starts_working, first)), Some((ends_working, last))) =
        (decisive.first(), decisive.last())
    else {
        return tally(counts, flows);
    };
    let turn = decisive.iter().position(|(working, _)| working != starts_working);
    let turned = turn.and_then(|turn| decisive.get(turn));
    let one_turn = turn.is_some_and(|turn| {
        decisive.iter().skip(turn).all(|(working, _)| working != starts_working)
    });
    let moment = |flow: &JudgedFlow| {
        let time = flow.first_seen.map(|time| format!(" at {time}")).unwrap_or_default();
        format!("{}{time}", seen(flow, several))
    };
    let story = if let (Some((_, turned)), true) = (turned, one_turn) {
        let (before, after) =
            if *starts_working { ("worked", "failed") } else { ("failed", "worked") };
        format!("{before} first: {}; {after} from then on: {}", moment(first), moment(turned))
    } else {
        let failure = decisive.iter().find(|(working, _)| !working).map_or(first, |(_, flow)| flow);
        let end = if *ends_working { "worked" } else { "failed" };
        let failure = moment(failure);
        format!("in turns; the first failure: {failure}; the last {end}: {}", moment(last))
    };
    let text = format!("{}; {story}", tally(counts, flows));
    match flows.iter().copied().find(|flow| service_failed(flow)) {
        Some(failing) => also(&text, &answer_of(failing)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::sample::flow;

    #[test]
    fn lists_name_a_few_and_count_the_rest() {
        let parts = |count: usize| -> Vec<String> { (1..=count).map(|n| n.to_string()).collect() };
        for (count, most, text) in [
            (0, 3, ""),
            (1, 3, "1"),
            (2, 3, "1 and 2"),
            (3, 3, "1, 2 and 3"),
            (4, 3, "1, 2, 3 and 1 other"),
            (9, 3, "1, 2, 3 and 6 others"),
            (3, 1, "1 and 2 others"),
        ] {
            assert_eq!(list_of(&parts(count), most), text);
        }
    }

    #[test]
    fn what_was_seen_names_the_frames_first() {
        for (verdict, transport, text) in [
            (Verdict::NoReply, "tcp", "SYN in frame 70, sent again in 71 and 72, no answer"),
            (Verdict::NoReply, "udp", "request in frame 70, no answer"),
            (Verdict::Refused, "tcp", "SYN in frame 70, RST in frame 71"),
            (Verdict::Prohibited, "tcp", "SYN in frame 70, ICMP error in frame 71"),
            (Verdict::Unconfirmed, "tcp", "SYN in frame 70, SYN-ACK in frame 71, never confirmed"),
            (Verdict::Established, "tcp", "SYN in frame 70, SYN-ACK in frame 71"),
            (Verdict::Answered, "udp", "request in frame 70, answer in frame 71"),
            (Verdict::OneWay, "udp", "frames 70 to 72"),
        ] {
            let flow = flow(7, "10.0.0.5", "10.1.0.10", transport, 389, verdict);
            assert_eq!(seen(&flow, false), text);
        }
    }

    #[test]
    fn captures_are_told_apart_where_there_are_several() {
        let mut flow = flow(7, "10.0.0.5", "10.1.0.10", "tcp", 389, Verdict::Refused);
        for (capture, text) in [
            (0, "of the 1st capture"),
            (1, "of the 2nd capture"),
            (2, "of the 3rd capture"),
            (10, "of the 11th capture"),
            (20, "of the 21st capture"),
            (111, "of the 112th capture"),
        ] {
            flow.capture = capture;
            assert!(seen(&flow, true).ends_with(text), "{}", seen(&flow, true));
        }
    }

    #[test]
    fn a_long_hostile_explanation_is_cut() {
        let mut flow = flow(7, "10.0.0.5", "10.1.0.10", "tcp", 389, Verdict::Refused);
        flow.explanation = "ä".repeat(100_000).into();
        assert_eq!(one(&flow, false).chars().count(), LONGEST + 1);
    }
}
