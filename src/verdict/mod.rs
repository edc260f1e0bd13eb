//! Flows in, verdicts out: what a flow did, as facts and as a sentence.

mod brief;
mod display_filter;
mod elsewhere;
mod evidence;
mod explanation;
pub mod flows;
mod icmp;
mod lane;
mod origin;
mod plain;
pub mod record;
mod rpc;
mod schedule;
mod service;

pub use origin::weigh_origins;
pub use plain::{Glances, Glancing, Sorted, Sorting};
pub use rpc::{FIXED_RPC_PORTS, link};

use std::fmt;

use smol_str::ToSmolStr;
use thin_vec::ThinVec;

use crate::capture::FrameNote;
use crate::flow::{Evidence, EvidenceKind, Flow, Handshake, KnownPorts};
use crate::net::letters::Letters;
use crate::net::{Clock, FrameNumber, Time, Timestamp, Transport};
use crate::verdict::record::{
    Brief, Class, Closing, Confidence, DisplayFilter, EvidenceList, EvidenceRecord, JudgedFlow,
    PerSide, Sender, Verdict,
};

/// What judging needs to know beside the flow.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// Latest time of a frame in the capture: until then an answer could have been seen.
    pub capture_end: Option<Timestamp>,
    /// How the capture tells time.
    pub clock: Clock,
    /// Nanoseconds after which a SYN that is not repeated counts as unanswered.
    pub syn_wait: i64,
    /// Nanoseconds after which a UDP request counts as unanswered.
    pub udp_reply_wait: i64,
    /// UDP ports whose requests are to be answered.
    pub known_ports: KnownPorts,
    /// The words of the notes that frames have.
    pub notes: Vec<String>,
}

impl Circumstances {
    /// The words of a frame's note.
    fn words(&self, note: FrameNote) -> &str {
        self.notes.get(note.index()).map_or(FrameNote::SOMEWHERE, String::as_str)
    }
}

impl Verdict {
    /// The class that the verdict belongs to.
    pub fn class(self) -> Class {
        match self {
            Verdict::Established
            | Verdict::EstablishedUnseen
            | Verdict::Probed
            | Verdict::Answered => Class::Success,
            Verdict::NoReply | Verdict::Unconfirmed => Class::Timeout,
            Verdict::Refused | Verdict::Prohibited | Verdict::Unreachable => Class::Reject,
            Verdict::Challenged
            | Verdict::HalfOpen
            | Verdict::Abandoned
            | Verdict::CaptureEnded
            | Verdict::OneWay
            | Verdict::HeadersCut => Class::Inconclusive,
        }
    }
}

/// What a flow did, and how sure that is.
///
/// The one function that turns facts into a name. Both halves are read from top to bottom: the
/// first line that fits decides.
pub fn verdict_of(flow: &Flow, circumstances: &Circumstances) -> (Verdict, Confidence) {
    match flow.transport() {
        Transport::Tcp => tcp_verdict(flow, circumstances),
        Transport::Udp => udp_verdict(flow, circumstances),
    }
}

fn tcp_verdict(flow: &Flow, circumstances: &Circumstances) -> (Verdict, Confidence) {
    let tcp = &flow.tcp;
    let handshake_seen = tcp.syns > 0 && (tcp.syn_acks > 0 || tcp.simultaneous);
    let payload_both_ways = flow.initiator.bytes > 0 && flow.responder.bytes > 0;
    match tcp.handshake {
        Handshake::Confirmed if handshake_seen => (Verdict::Established, Confidence::Proven),
        Handshake::Confirmed if payload_both_ways => {
            (Verdict::EstablishedUnseen, Confidence::Proven)
        }
        Handshake::Confirmed => (Verdict::EstablishedUnseen, Confidence::Likely),
        Handshake::Refused => (Verdict::Refused, Confidence::Proven),
        Handshake::Probed if tcp.syns > 0 => (Verdict::Probed, Confidence::Proven),
        Handshake::Answered if tcp.syns > 0 && (tcp.syns > 1 || tcp.syn_acks > 1) => {
            // Only a repeat of the SYN-ACK shows that its confirmation is missing.
            let proven = tcp.syn_acks > 1;
            (Verdict::Unconfirmed, if proven { Confidence::Proven } else { Confidence::Likely })
        }
        // Probed without a SYN: whoever gets a SYN-ACK that he did not ask for resets it too (RFC
        // 9293 3.10.7.1), and somebody else may have sent a SYN in his name.
        Handshake::Answered | Handshake::Withdrawn | Handshake::Probed => {
            (Verdict::HalfOpen, Confidence::Proven)
        }
        Handshake::SynSent | Handshake::Abandoned | Handshake::Unseen => match icmp_verdict(flow) {
            Some(verdict) => (verdict, Confidence::Proven),
            // What came back may be anything.
            None if tcp.cut && flow.responder.packets > 0 => {
                (Verdict::HeadersCut, Confidence::Proven)
            }
            None if tcp.challenged => (Verdict::Challenged, Confidence::Proven),
            None if tcp.simultaneous => (Verdict::HalfOpen, Confidence::Likely),
            None if tcp.syns > 1 => (Verdict::NoReply, Confidence::Proven),
            None if tcp.handshake == Handshake::Abandoned => {
                (Verdict::Abandoned, Confidence::Proven)
            }
            // Whatever the capture would show later, this one did not come through.
            None if tcp.syns == 1 && flow.initiator.is_dropped() => {
                (Verdict::NoReply, Confidence::Proven)
            }
            None if tcp.syns == 1 && waited(flow, circumstances, circumstances.syn_wait) => {
                (Verdict::NoReply, Confidence::Weak)
            }
            None if tcp.syns == 1 => (Verdict::CaptureEnded, Confidence::Proven),
            None if tcp.cut && flow.history.is_empty() => (Verdict::HeadersCut, Confidence::Proven),
            None => (Verdict::OneWay, Confidence::Proven),
        },
    }
}

fn udp_verdict(flow: &Flow, circumstances: &Circumstances) -> (Verdict, Confidence) {
    let answer_due = circumstances.known_ports.answers(flow.responder_endpoint().port)
        && !flow.to_group
        && flow.initiator.packets > 0;
    match icmp_verdict(flow) {
        _ if flow.answered => (Verdict::Answered, Confidence::Proven),
        Some(verdict) => (verdict, Confidence::Proven),
        None if answer_due && flow.is_dropped_here() => (Verdict::NoReply, Confidence::Proven),
        None if !answer_due || flow.responder.packets > 0 => (Verdict::OneWay, Confidence::Proven),
        None if !waited(flow, circumstances, circumstances.udp_reply_wait) => {
            (Verdict::CaptureEnded, Confidence::Proven)
        }
        None if flow.initiator.packets > 1 => (Verdict::NoReply, Confidence::Likely),
        None => (Verdict::NoReply, Confidence::Weak),
    }
}

/// What an ICMP error made of the flow. It never overrides an answer of the responder.
fn icmp_verdict(flow: &Flow) -> Option<Verdict> {
    match (flow.prohibited, flow.unreachable) {
        _ if has_answer(flow) => None,
        (true, _) => Some(Verdict::Prohibited),
        (false, true) => Some(Verdict::Unreachable),
        (false, false) => None,
    }
}

/// Whether the responder answered. A reset that does not acknowledge the SYN is no answer: the
/// initiator ignores it (RFC 9293 3.10.7.3).
fn has_answer(flow: &Flow) -> bool {
    let tcp = &flow.tcp;
    let only_resets = flow.responder.packets == u64::from(tcp.ignored_resets);
    flow.responder.packets > 0 && !only_resets
}

/// Whether the capture goes on for `wait` after the flow's first packet.
fn waited(flow: &Flow, circumstances: &Circumstances, wait: i64) -> bool {
    is_past(flow.first_seen, circumstances, wait)
}

/// Whether the capture goes on for `wait` after this time.
fn is_past(first: Option<Timestamp>, circumstances: &Circumstances, wait: i64) -> bool {
    match (first, circumstances.capture_end) {
        (Some(first), Some(end)) => end.since(first) >= wait,
        _ => false,
    }
}

fn closing_of(flow: &Flow, verdict: Verdict) -> Option<Closing> {
    match verdict {
        Verdict::Established | Verdict::EstablishedUnseen => {}
        Verdict::Probed => return Some(Closing::ResetByInitiator),
        Verdict::Answered
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
        | Verdict::HeadersCut => return None,
    }
    Some(match flow.tcp.reset_by {
        Some(Sender::Initiator) => Closing::ResetByInitiator,
        Some(Sender::Responder | Sender::Network) => Closing::ResetByResponder,
        None if flow.is_finished() => Closing::Fin,
        None => Closing::Open,
    })
}

/// Judges a flow of the capture with this index. Its id is given when all flows are known.
pub fn judge(flow: &Flow, capture: usize, circumstances: &Circumstances) -> JudgedFlow {
    let (verdict, confidence) = verdict_of(flow, circumstances);
    let time = |at: Timestamp| Time { at, clock: circumstances.clock };
    let evidence = evidence_records(flow, circumstances);
    let refusal = (verdict == Verdict::Refused).then(|| origin::of_refusal(&evidence));
    let followed = schedule::followed(flow, verdict, circumstances.capture_end);
    let told = explanation::Told {
        refusal: refusal.as_ref(),
        followed: followed.as_ref(),
        evidence: &evidence,
    };
    let explanation = explanation::of(flow, verdict, told, circumstances);
    let (origin, origin_reasons) = refusal.map(|refusal| (refusal.origin, refusal.reasons)).unzip();
    let initiator = flow.initiator_endpoint();
    let responder = flow.responder_endpoint();
    JudgedFlow {
        id: 0,
        capture,
        transport: flow.transport(),
        initiator,
        responder,
        class: verdict.class(),
        verdict,
        confidence,
        explanation,
        origin,
        origin_reasons: sentences(origin_reasons.unwrap_or_default()),
        history: flow.history.to_smolstr(),
        evidence: EvidenceList::whole(evidence),
        schedule: followed.map(|followed| Box::new(followed.record)),
        first_frame: flow.first_frame,
        last_frame: flow.last_frame,
        first_seen: flow.first_seen.map(time),
        last_seen: flow.last_seen.map(time),
        packets: PerSide { initiator: flow.initiator.packets, responder: flow.responder.packets },
        bytes: PerSide { initiator: flow.initiator.bytes, responder: flow.responder.bytes },
        duplicates: flow.duplicates,
        closing: closing_of(flow, verdict),
        service: service::service_of(flow, verdict, circumstances),
        rpc: rpc::own(flow).map(Box::new),
        announced: rpc::announced(flow),
        not_registered: rpc::not_registered(flow),
        duties: service::duties(flow),
        encapsulation: flow.encapsulation.layers().map(|layer| layer.to_string()).collect(),
        requirement: None,
        display_filter: DisplayFilter::of(flow.transport(), [initiator, responder]),
    }
}

fn sentences(texts: Vec<String>) -> ThinVec<Brief> {
    texts.into_iter().map(Brief::whole).collect()
}

fn evidence_record(evidence: &Evidence, circumstances: &Circumstances) -> EvidenceRecord {
    EvidenceRecord {
        frame: evidence.frame,
        time: evidence.time.map(|at| Time { at, clock: circumstances.clock }),
        from: evidence.sender,
        kind: evidence.kind,
        seq: evidence.seq,
        ack: evidence.ack,
        window: evidence.window,
        ttl: (evidence.ttl != 0).then_some(evidence.ttl),
        ip_id: evidence.ip_id,
        note: note_of(evidence, circumstances),
    }
}

/// What else there is to say of a packet: what an ICMP error says, why it was dropped, and where a
/// text tells of it.
fn note_of(evidence: &Evidence, circumstances: &Circumstances) -> Option<String> {
    let said = evidence
        .icmp
        .map(icmp::note)
        .or_else(|| drop_note(evidence).map(|note| circumstances.words(note).into()));
    let line = evidence.line.map(|line| format!("line {line}"));
    match (said, line) {
        (Some(said), Some(line)) => Some(format!("{said}, {line}")),
        (said, line) => said.or(line),
    }
}

/// The evidence, a drop behind the packet that was dropped.
fn evidence_records(flow: &Flow, circumstances: &Circumstances) -> Vec<EvidenceRecord> {
    let is_drop = |evidence: &Evidence| evidence.kind == EvidenceKind::Drop;
    let record = |evidence: &Evidence| evidence_record(evidence, circumstances);
    if flow.evidence.iter().any(is_drop) {
        let mut evidence: Vec<&Evidence> = flow.evidence.iter().collect();
        evidence.sort_by_key(|evidence| (evidence.frame, is_drop(evidence)));
        return evidence.into_iter().map(record).collect();
    }
    flow.evidence.iter().map(record).collect()
}

/// The note of evidence that is there for it.
fn drop_note(evidence: &Evidence) -> Option<FrameNote> {
    evidence.note.filter(|_| evidence.kind == EvidenceKind::Drop)
}

/// Frames of one kind of evidence from one side: "frame 7", or "frames 7, 9 and 12", at most six
/// of them.
#[derive(Clone, Copy)]
struct Frames<'a> {
    evidence: &'a [Evidence],
    sender: Sender,
    kind: EvidenceKind,
    /// How many of the first are left out.
    skipped: usize,
    /// How many of the others count.
    most: usize,
}

impl<'a> Frames<'a> {
    fn of(flow: &'a Flow, sender: Sender, kind: EvidenceKind) -> Frames<'a> {
        Frames { evidence: &flow.evidence, sender, kind, skipped: 0, most: usize::MAX }
    }

    fn numbers(self) -> impl Iterator<Item = FrameNumber> + 'a {
        let of = move |it: &&Evidence| it.sender == self.sender && it.kind == self.kind;
        let frames = self.evidence.iter().filter(of).map(|it| it.frame);
        frames.skip(self.skipped).take(self.most)
    }

    fn first(self) -> Option<FrameNumber> {
        self.numbers().next()
    }

    fn is_empty(self) -> bool {
        self.first().is_none()
    }

    fn count(self) -> usize {
        self.numbers().count()
    }

    /// Without the first one.
    fn after_first(self) -> Frames<'a> {
        Frames { skipped: self.skipped + 1, ..self }
    }

    /// The first ones.
    fn up_to(self, most: usize) -> Frames<'a> {
        Frames { most, ..self }
    }
}

impl fmt::Display for Frames<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_frames(out, self.count(), self.numbers())
    }
}

/// Writes "frame 7", or "frames 7, 9 and 12": at most six of them.
fn write_frames(
    out: &mut dyn fmt::Write,
    count: usize,
    frames: impl Iterator<Item = FrameNumber>,
) -> fmt::Result {
    const MOST: usize = 6;
    if count == 0 {
        // Of evidence of one kind only so much is kept, whoever sent it.
        return out.write_str("a frame that is not listed");
    }
    out.write_str(if count == 1 { "frame " } else { "frames " })?;
    for (index, frame) in frames.take(MOST).enumerate() {
        let between = match index {
            0 => "",
            _ if index + 1 == count => " and ",
            _ => ", ",
        };
        out.write_str(between)?;
        out.write_str(Letters::of_number(frame.0).as_str())?;
    }
    if count > MOST {
        write!(out, " and {} more", count - MOST)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::{flows, packets, play, second};
    use crate::packet::Packet;
    use crate::verdict::record::ServiceOutcome;

    /// A capture that ends long after the packets of a script.
    pub(super) fn long_after() -> Circumstances {
        Circumstances {
            capture_end: Some(second(100)),
            clock: Clock::MICROSECONDS,
            syn_wait: 3_000_000_000,
            udp_reply_wait: 2_000_000_000,
            known_ports: KnownPorts::default(),
            notes: Vec::new(),
        }
    }

    /// The flow of a script whose packets at these places were dropped by the capturing machine.
    fn play_with_drops(script: &str, places: &[usize]) -> Flow {
        let packets: Vec<Packet<'_>> = (0..)
            .zip(packets(script))
            .map(|(place, packet)| Packet {
                note: places.contains(&place).then(|| FrameNote::dropped(0)),
                ..packet
            })
            .collect();
        flows(&packets).remove(0)
    }

    #[test]
    fn what_this_machine_dropped_needs_no_wait_and_no_guess() {
        let circumstances = Circumstances {
            capture_end: Some(second(0)),
            notes: vec![format!("{}: WHY, at WHERE", FrameNote::ON_ARRIVAL)],
            ..long_after()
        };
        let dropped = judge(&play_with_drops("S", &[0]), 0, &circumstances);
        assert_eq!((dropped.verdict, dropped.confidence), (Verdict::NoReply, Confidence::Proven));
        assert_eq!(
            dropped.explanation,
            "SYN in frame 1, no answer in 0 ms. Frame 1 was dropped by the capturing machine on \
             arrival: WHY, at WHERE."
        );
        let kinds: Vec<_> = dropped.evidence.iter().map(|it| (it.frame.0, it.kind)).collect();
        assert_eq!(kinds, [(1, EvidenceKind::Syn), (1, EvidenceKind::Drop)]);
        // One of two may have been lost anywhere.
        let one = judge(&play_with_drops("SS", &[1]), 0, &circumstances);
        assert!(one.explanation.text().contains("; frame 2 was dropped"), "{}", one.explanation);
        assert!(one.explanation.text().contains("looks like this"), "{}", one.explanation);
    }

    #[test]
    fn a_drop_that_only_a_copy_tells_is_told_and_counts_once() {
        let mut twice = packets("SS");
        // The same packet, captured at two places.
        twice[1] = Packet { ip_id: twice[0].ip_id, time: twice[0].time, ..twice[1] };
        twice[1].note = Some(FrameNote::dropped(0));
        let flow = flows(&twice).remove(0);
        assert_eq!((flow.initiator.packets, flow.duplicates, flow.tcp.syns), (1, 1, 1));
        assert!(flow.is_dropped_here());
        assert!(flow.evidence.iter().any(|evidence| evidence.kind == EvidenceKind::Drop));
    }

    #[test]
    fn the_explanation_says_where_copies_were_captured() {
        use crate::packet::{Encapsulation, LayerKind};
        let mut flow = play("Sr");
        let mut tagged = Encapsulation::default();
        tagged.push_numbered(LayerKind::Vlan, 42);
        flow.also_in = Some(tagged);
        let told = |flow: &Flow| judge(flow, 0, &long_after()).explanation.text().into_owned();
        let inside = "SYN in frame 1, reset in frame 2; packets of it were also captured inside \
                      vlan 42. ";
        assert!(told(&flow).starts_with(inside), "{}", told(&flow));
        (flow.encapsulation, flow.also_in) = (tagged, Some(Encapsulation::default()));
        assert!(told(&flow).contains("; packets of it were also captured outside of vlan 42. "));
    }

    #[test]
    fn verdicts_of_tcp_histories() {
        use Confidence::{Likely, Proven, Weak};
        for (script, verdict, confidence) in [
            ("SSS", Verdict::NoReply, Proven), // the seed: SYN, SynReTransmit, SynReTransmit
            ("Sr", Verdict::Refused, Proven),  // the seed: LDAP, Flags=...A.R..
            ("ShA", Verdict::Established, Proven),
            ("ShAR", Verdict::Established, Proven),
            ("ShAr", Verdict::Established, Proven),
            ("ShD", Verdict::Established, Proven),
            ("ShADdFf", Verdict::Established, Proven),
            ("ShADdFAfAR", Verdict::Established, Proven),
            ("SShA", Verdict::Established, Proven),
            ("SSr", Verdict::Refused, Proven),
            ("SrSrSr", Verdict::Refused, Proven), // Windows repeats a refused SYN
            ("SrS", Verdict::Refused, Proven),
            ("SrShA", Verdict::Established, Proven),
            ("SrSh", Verdict::Unconfirmed, Likely),
            ("Shh", Verdict::Unconfirmed, Proven),
            ("ShS", Verdict::Unconfirmed, Likely),
            ("ShhA", Verdict::Established, Proven),
            ("Sh", Verdict::HalfOpen, Proven),
            ("Shr", Verdict::HalfOpen, Proven),
            ("h", Verdict::HalfOpen, Proven),
            ("hh", Verdict::HalfOpen, Proven),
            ("hR", Verdict::HalfOpen, Proven),
            ("ShR", Verdict::Probed, Proven),
            ("SR", Verdict::Abandoned, Proven),
            ("SSSR", Verdict::NoReply, Proven),
            ("S", Verdict::NoReply, Weak),
            ("SxRShA", Verdict::Established, Proven), // a challenge ACK, then success
            ("Sx", Verdict::Challenged, Proven),
            ("SxR", Verdict::Challenged, Proven),
            ("SxRSr", Verdict::Refused, Proven),
            ("Sz", Verdict::NoReply, Weak), // a reset without ACK refuses no SYN (RFC 9293 3.10.7.3)
            ("Sp", Verdict::Prohibited, Proven),
            ("SSpS", Verdict::Prohibited, Proven),
            ("Su", Verdict::Unreachable, Proven),
            ("SpShA", Verdict::Established, Proven), // ICMP never overrides an answer
            ("Spr", Verdict::Refused, Proven),
            ("Spz", Verdict::Prohibited, Proven), // the reset is ignored, so it is no answer
            ("ShAu", Verdict::Established, Proven),
            ("DdA", Verdict::EstablishedUnseen, Proven),
            ("Da", Verdict::EstablishedUnseen, Likely),
            ("SA", Verdict::EstablishedUnseen, Likely), // one direction only
            ("SDDF", Verdict::EstablishedUnseen, Likely),
            ("Sda", Verdict::EstablishedUnseen, Likely), // the SYN-ACK is missing
            ("hd", Verdict::EstablishedUnseen, Likely),
            ("hA", Verdict::EstablishedUnseen, Likely),
            ("D", Verdict::OneWay, Proven),
            ("DD", Verdict::OneWay, Proven),
            ("r", Verdict::OneWay, Proven),
            ("R", Verdict::OneWay, Proven),
        ] {
            let flow = play(script);
            assert_eq!(verdict_of(&flow, &long_after()), (verdict, confidence), "{script}");
        }
    }

    #[test]
    fn the_wait_decides_what_a_lone_syn_means() {
        for (end, verdict) in
            [(2, Verdict::CaptureEnded), (3, Verdict::NoReply), (30, Verdict::NoReply)]
        {
            let circumstances = Circumstances { capture_end: Some(second(end)), ..long_after() };
            assert_eq!(verdict_of(&play("S"), &circumstances).0, verdict, "{end}");
        }
    }

    #[test]
    fn closings_of_open_connections() {
        for (script, closing) in [
            ("ShA", Some(Closing::Open)),
            ("ShADdFf", Some(Closing::Fin)),
            ("ShADdFfR", Some(Closing::Fin)),
            ("ShADdFr", Some(Closing::ResetByResponder)),
            ("ShADr", Some(Closing::ResetByResponder)),
            ("ShADdR", Some(Closing::ResetByInitiator)),
            ("ShR", Some(Closing::ResetByInitiator)),
            ("SDDF", Some(Closing::Fin)), // only one direction was captured
            ("Sr", None),
            ("SSS", None),
        ] {
            let judged = judge(&play(script), 0, &long_after());
            assert_eq!(judged.closing, closing, "{script}");
        }
    }

    #[test]
    fn a_service_that_resets_before_a_byte_is_told_from_a_port_probe() {
        for (script, outcome) in [
            ("ShADr", ServiceOutcome::ResetBeforeAnswer),
            ("ShAr", ServiceOutcome::ResetBeforeAnswer),
            ("ShADdr", ServiceOutcome::NotExamined),
            ("ShAD", ServiceOutcome::Silent),
            ("ShADAAAAF", ServiceOutcome::Silent),
            ("ShADF", ServiceOutcome::NotExamined), // it left after a second
            ("ShAFr", ServiceOutcome::NotExamined), // the initiator left without a byte
            ("ShAR", ServiceOutcome::NotExamined),
        ] {
            let judged = judge(&play(script), 0, &long_after());
            assert_eq!(judged.service.outcome, outcome, "{script}");
        }
    }

    #[test]
    fn explanations_tell_what_was_seen_before_what_it_may_mean() {
        for (script, expected) in [
            (
                "SSS",
                "SYN in frame 1, sent again in frames 2 and 3, no answer in 100.0 s. A firewall \
                 that drops looks like this; so does a host that is down, or whose own firewall \
                 drops.",
            ),
            (
                "Sr",
                "SYN in frame 1, reset in frame 2. That is what a closed port sends: the host \
                 was reached and nothing listens there.",
            ),
            (
                "SSSSSSSSSSSSSSSSSSSS",
                "SYN in frame 1, sent again 19 times, first in frames 2, 3 and 4, last in frame \
                 20, no answer in 100.0 s. A firewall that drops looks like this; so does a host \
                 that is down, or whose own firewall drops.",
            ),
            ("ShA", "SYN in frame 1, SYN-ACK in frame 2, confirmed in frame 3."),
            (
                "Sz",
                "SYN in frame 1, no answer in 100.0 s; the reset in frame 2 does not acknowledge \
                 it, so the initiator ignores it. One lost packet would look like this, and so \
                 would a firewall that drops or a host that is down.",
            ),
            (
                "hR",
                "SYN-ACK in frame 1, without the SYN that it answers, and reset in frame 2 by the \
                 side it was sent to. The capture does not show whether the connection came about.",
            ),
            (
                "Au",
                "Packet in frame 1, answered in frame 2 by ICMP 3/1 (host unreachable) from \
                 10.0.0.1. A router or a device on the way says that it could not or would not \
                 deliver the packet.",
            ),
            (
                "Sp",
                "SYN in frame 1, answered in frame 2 by ICMP 3/13 (communication \
                 administratively prohibited) from 10.0.0.1. A filter on the way, or on the \
                 host, says that it refuses.",
            ),
        ] {
            assert_eq!(judge(&play(script), 0, &long_after()).explanation, expected);
        }
    }

    #[test]
    fn histories_are_written_in_zeeks_letters() {
        for script in ["SSS", "SrShA", "ShADdFf", "DdA", "hd"] {
            assert_eq!(play(script).history.to_string(), script);
        }
    }
}
