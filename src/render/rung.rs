//! What the rungs of a ladder say, whatever draws it: the deciding packets of a flow one by one.

use crate::net::{Time, Transport};
use crate::verdict::record::{EvidenceKind, EvidenceRecord, JudgedFlow, Sender, Verdict};

/// What the packet at `place` of a flow's evidence is: "SYN again".
pub(super) fn label(flow: &JudgedFlow, place: usize, packet: &EvidenceRecord) -> String {
    let again = if is_repeat(flow, place, packet) { " again" } else { "" };
    format!("{}{again}", kind(flow.transport, packet))
}

/// The numbers that tell who sent a packet, as they stand in it.
pub(super) fn facts(packet: &EvidenceRecord) -> Vec<String> {
    let mut facts: Vec<String> = Vec::new();
    facts.extend(packet.seq.map(|seq| format!("seq {}", seq.0)));
    facts.extend(packet.ack.map(|ack| format!("ack {}", ack.0)));
    facts.extend(packet.window.map(|window| format!("window {window}")));
    facts.extend(packet.ttl.map(|ttl| format!("TTL {ttl}")));
    facts.extend(packet.ip_id.map(|id| format!("IP ID {id:#06x}")));
    facts
}

/// Whether a packet of this kind ends an attempt.
pub(super) fn says_no(kind: EvidenceKind) -> bool {
    match kind {
        EvidenceKind::Rst | EvidenceKind::Icmp | EvidenceKind::Drop => true,
        EvidenceKind::Syn
        | EvidenceKind::SynAck
        | EvidenceKind::Ack
        | EvidenceKind::Fin
        | EvidenceKind::Data => false,
    }
}

/// Whether a packet of its kind and sender stands before it.
pub(super) fn is_repeat(flow: &JudgedFlow, place: usize, packet: &EvidenceRecord) -> bool {
    let repeats = match packet.kind {
        EvidenceKind::Syn | EvidenceKind::SynAck => true,
        EvidenceKind::Data => flow.transport == Transport::Udp,
        EvidenceKind::Ack
        | EvidenceKind::Rst
        | EvidenceKind::Icmp
        | EvidenceKind::Fin
        | EvidenceKind::Drop => false,
    };
    let mut earlier = flow.evidence.iter().take(place);
    repeats && earlier.any(|it| it.kind == packet.kind && it.from == packet.from)
}

fn kind(transport: Transport, packet: &EvidenceRecord) -> &'static str {
    match (packet.kind, packet.from, transport) {
        (EvidenceKind::Syn, _, _) => "SYN",
        (EvidenceKind::SynAck, _, _) => "SYN-ACK",
        (EvidenceKind::Ack, _, _) => "ACK",
        (EvidenceKind::Rst, _, _) => "RST",
        (EvidenceKind::Icmp, _, _) => "ICMP",
        (EvidenceKind::Fin, _, _) => "FIN",
        (EvidenceKind::Drop, _, _) => "dropped here",
        (EvidenceKind::Data, Sender::Initiator, Transport::Udp) => "request",
        (EvidenceKind::Data, Sender::Responder, Transport::Udp) => "answer",
        (EvidenceKind::Data, _, _) => "data",
    }
}

/// Nanoseconds from one time to another, if both are known.
pub(super) fn pause(from: Option<Time>, to: Option<Time>) -> Option<i64> {
    Some(to?.at.since(from?.at).max(0))
}

/// What did not come. `None` where the last packet says it all.
pub(super) fn ending(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::NoReply => Some("no answer"),
        Verdict::Unconfirmed => Some("never confirmed"),
        Verdict::HalfOpen => Some("no confirmation"),
        Verdict::CaptureEnded => Some("the capture ends too early to tell"),
        Verdict::OneWay => Some("one way only"),
        Verdict::HeadersCut => Some("headers cut off by the snap length"),
        Verdict::Established
        | Verdict::EstablishedUnseen
        | Verdict::Probed
        | Verdict::Answered
        | Verdict::Refused
        | Verdict::Prohibited
        | Verdict::Unreachable
        | Verdict::Challenged
        | Verdict::Abandoned => None,
    }
}

/// "10:15:03.120", to the millisecond or as exact as the capture is.
pub(super) fn time_of_day(time: Time) -> String {
    let text = time.to_string();
    let clock = text.split_once('T').map_or(&*text, |(_, clock)| clock).trim_end_matches('Z');
    match clock.split_once('.') {
        Some((seconds, fraction)) => {
            format!("{seconds}.{}", fraction.get(..6).unwrap_or(fraction))
        }
        None => clock.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_microseconds() {
        for (time, expected) in [
            ("2014-05-27T10:15:03.1234567Z", "10:15:03.123456"),
            ("2014-05-27T10:15:03", "10:15:03"),
            ("2014-05-27T10:15:03.120Z", "10:15:03.120"),
        ] {
            assert_eq!(time_of_day(time.parse().unwrap()), expected);
        }
    }
}
