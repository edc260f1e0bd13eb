//! What the application above a flow answered, out of what its probe heard.

use std::borrow::Cow;

use thin_vec::ThinVec;

use crate::flow::{Flow, service_name};
use crate::net::{Label, Timestamp};
use crate::probe::{Answer, Code, CodeSet, Heard, Speaker, Standing};
use crate::verdict::Circumstances;
use crate::verdict::explanation::seconds;
use crate::verdict::record::{
    Class, DutyRecord, EvidenceKind, NO_ANSWER_TO, Sender, ServiceOutcome, ServiceRecord, Verdict,
};
use crate::verdict::rpc::is_elsewhere;

/// `KRB_AP_ERR_SKEW` (RFC 4120 7.5.9).
const CLOCK_SKEW: Code = Code { set: CodeSet::Kerberos, number: 37 };

/// What the application answered. A flow whose path does not work has no answer to examine.
pub(super) fn service_of(
    flow: &Flow,
    verdict: Verdict,
    circumstances: &Circumstances,
) -> ServiceRecord {
    let record = answered(flow, verdict, circumstances);
    ServiceRecord { code: record.code.map(visible), detail: record.detail.map(visible), ..record }
}

/// What was said stands in sentences from here on: control characters become visible.
fn visible<T: AsRef<str> + From<String>>(text: T) -> T {
    let told = text.as_ref();
    if !told.contains(char::is_control) {
        return text;
    }
    let mut shown = String::with_capacity(told.len() + 16);
    for letter in told.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown.into()
}

fn answered(flow: &Flow, verdict: Verdict, circumstances: &Circumstances) -> ServiceRecord {
    let heard = flow.heard.as_deref();
    let name = service_name(flow.responder_endpoint().port)
        .or(heard.and_then(|heard| heard.protocol))
        .map(Label::of);
    let record = |outcome| ServiceRecord { name, outcome, code: None, detail: None, frame: None };
    if verdict.class() != Class::Success {
        let asked = heard.and_then(|heard| heard.asked.as_ref());
        let asked = asked.filter(|_| verdict == Verdict::NoReply);
        return ServiceRecord {
            detail: asked.map(|asked| format!("{NO_ANSWER_TO}{}", asked.subject).into()),
            frame: asked.map(|asked| asked.frame),
            ..record(ServiceOutcome::NotExamined)
        };
    }
    if verdict == Verdict::Established && flow.tcp.reset_before_answer {
        return ServiceRecord {
            frame: reset_frame(flow),
            detail: heard
                .and_then(|heard| heard.asked.as_ref())
                .map(|asked| format!("reset in place of an answer to: {}", asked.subject).into()),
            ..record(ServiceOutcome::ResetBeforeAnswer)
        };
    }
    if let Some((outcome, answer)) = heard.and_then(answer_of) {
        return ServiceRecord {
            code: answer.code.map(|code| Label::of(&code.name())),
            detail: Some(match heard.and_then(|heard| skew(heard, answer, circumstances)) {
                Some(skew) => format!("{}; {skew}", detail_of(answer, outcome)).into(),
                None => detail_of(answer, outcome),
            }),
            frame: Some(answer.frame),
            ..record(outcome)
        };
    }
    if verdict == Verdict::Established
        && flow.responder.bytes == 0
        && let Some((frame, asked)) = flow.asked
        && let Some(waited) = silence(flow, asked, circumstances)
        && waited >= circumstances.syn_wait
    {
        return ServiceRecord {
            detail: Some(format!("nothing came back in {}", seconds(waited)).into()),
            frame: Some(frame),
            ..record(ServiceOutcome::Silent)
        };
    }
    record(ServiceOutcome::NotExamined)
}

/// The answer that decides: a failure that nothing made good, else the newest one. An answer that
/// is a normal step shows that the service is there, and so does one about another service.
fn answer_of(heard: &Heard) -> Option<(ServiceOutcome, &Answer)> {
    let (elsewhere, own): (Vec<&Answer>, Vec<&Answer>) =
        heard.failures.iter().partition(|failure| is_elsewhere(failure));
    let served = heard.served.as_ref().or(heard.step.as_ref()).or(elsewhere.first().copied());
    let failed = own.first().map(|answer| (ServiceOutcome::Failed, *answer));
    failed.or(served.map(|answer| (ServiceOutcome::Served, answer)))
}

/// "AS-REQ krbtgt/EXAMPLE.COM: the clocks of the two hosts are too far apart".
fn detail_of(answer: &Answer, outcome: ServiceOutcome) -> Label {
    let meaning = match (answer.code.and_then(Code::meaning), &answer.detail) {
        (Some(meaning), Some(detail)) => Some(Cow::from(format!("{meaning} ({detail})"))),
        (Some(meaning), None) => Some(meaning.into()),
        (None, Some(detail)) => Some(detail.as_str().into()),
        (None, None) => None,
    };
    match meaning {
        Some(meaning)
            if outcome == ServiceOutcome::Failed
                || answer.detail.is_some()
                || answer.code.is_some_and(|code| code.standing() != Standing::Served) =>
        {
            format!("{}: {meaning}", answer.subject).into()
        }
        Some(_) | None => answer.subject.clone(),
    }
}

/// Where clocks are the trouble: how far the responder's is from the capturing machine's. `None`
/// where the capture does not tell its zone.
fn skew(heard: &Heard, answer: &Answer, circumstances: &Circumstances) -> Option<String> {
    if answer.code != Some(CLOCK_SKEW) || !circumstances.clock.zone_known {
        return None;
    }
    let reading = heard.clock?;
    let ahead = reading.says.since(reading.captured?);
    let apart = ahead.unsigned_abs() / 1_000_000_000;
    let direction = if ahead < 0 { "behind" } else { "ahead of" };
    Some(format!(
        "the responder's clock is {} min {} s {direction} the capturing machine's (frame {})",
        apart / 60,
        apart % 60,
        reading.frame
    ))
}

/// What hosts proved to do for others.
pub(super) fn duties(flow: &Flow) -> ThinVec<DutyRecord> {
    let heard = flow.heard.as_deref().into_iter().flat_map(|heard| &heard.duties);
    heard
        .map(|told| DutyRecord {
            frame: told.frame,
            address: match told.whose() {
                Ok(Speaker::Initiator) => flow.initiator_endpoint().address,
                Ok(Speaker::Responder) => flow.responder_endpoint().address,
                Err(address) => address.into(),
            },
            duty: told.duty,
            how: visible(told.how.clone()),
        })
        .collect()
}

fn reset_frame(flow: &Flow) -> Option<crate::net::FrameNumber> {
    let reset = |kind, sender| kind == EvidenceKind::Rst && sender == Sender::Responder;
    let mut evidence = flow.evidence.iter();
    evidence.find(|it| reset(it.kind, it.sender)).map(|it| it.frame)
}

/// Nanoseconds for which the initiator waited: until it left, or the capture ended.
fn silence(flow: &Flow, asked: Option<Timestamp>, circumstances: &Circumstances) -> Option<i64> {
    let over = flow.tcp.reset_by.is_some() || flow.initiator.has_sent(crate::packet::Flags::FIN);
    let until = if over { flow.last_seen } else { circumstances.capture_end };
    Some(until?.since(asked?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::KnownPorts;
    use crate::flow::script::play;
    use crate::net::{Clock, FrameNumber, Time};
    use crate::probe::ClockReading;

    fn time(text: &str) -> Timestamp {
        text.parse::<Time>().unwrap().at
    }

    /// A flow to a controller whose clock shows 10:24:13 when it is 10:15:00, and which says so.
    fn told(zone_known: bool) -> Label {
        let answer = Answer {
            protocol: "Kerberos",
            subject: "TGS-REQ krbtgt/EXAMPLE.COM".into(),
            code: Some(CLOCK_SKEW),
            detail: None,
            frame: FrameNumber(5),
            time: None,
        };
        let clock = ClockReading {
            says: time("2026-03-02T10:24:13Z"),
            captured: Some(time("2026-03-02T10:15:00Z")),
            frame: FrameNumber(5),
        };
        let heard = Heard { failures: vec![answer].into(), clock: Some(clock), ..Heard::default() };
        let mut flow = play("ShADd");
        flow.heard = Some(Box::new(heard));
        let circumstances = Circumstances {
            capture_end: None,
            clock: Clock { digits: 6, zone_known },
            syn_wait: 0,
            udp_reply_wait: 0,
            known_ports: KnownPorts::default(),
            notes: Vec::new(),
        };
        service_of(&flow, Verdict::Established, &circumstances).detail.unwrap()
    }

    #[test]
    fn a_clock_skew_is_told_against_the_capture_where_its_zone_is_known() {
        let skew = "the responder's clock is 9 min 13 s ahead of the capturing machine's (frame 5)";
        assert!(told(true).ends_with(skew), "{}", told(true));
        assert!(!told(false).contains("capturing"), "{}", told(false));
    }
}
