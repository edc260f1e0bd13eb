//! Who refused: the host itself, or a device that speaks in its name.
//!
//! RFC 9293 3.10.7.1: a closed port answers a SYN with sequence number 0 and acknowledges the SYN; a
//! window of 0 is usual. Devices that build the reset from the SYN copy its fields, and send it with
//! their own time to live, from where they stand. One odd field is no proof (stacks differ); two
//! signs that agree are taken for a device's work, and so is a time to live that none of the host's
//! other packets has.
//!
//! [`of_refusal`] looks at the packets of one flow. [`weigh_origins`] looks again, beside all that
//! was seen of the host in the same capture: another capture may have been taken elsewhere on the
//! way. It needs nothing but the records, and doing it again changes nothing.

mod alike;
mod usual;

use std::borrow::Cow;

use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

use crate::flow::{EvidenceKind, Sender};
use crate::net::{FrameNumber, SeqNumber};
use crate::verdict::flows::Flows;
use crate::verdict::origin::alike::Alike;
use crate::verdict::origin::usual::Usual;
use crate::verdict::record::{Brief, EvidenceRecord, Origin, Verdict};
use crate::verdict::sentences;

/// Routers that a path may have more or less from one packet to the next.
const SAME_WAY: u8 = 1;

/// Whether packets with these times to live may have come the same way.
fn is_same_way(one: u8, other: u8) -> bool {
    one.abs_diff(other) <= SAME_WAY
}

/// What is to be said of a refusal.
pub(super) struct Refusal {
    pub(super) origin: Origin,
    /// Signs for it, a sentence each.
    pub(super) reasons: Vec<String>,
    /// What it may mean, a sentence without its full stop.
    pub(super) meaning: Cow<'static, str>,
}

/// A reset that refuses, and the SYN that it answers.
#[derive(Clone, Copy)]
struct Answer<'a> {
    syn: &'a EvidenceRecord,
    reset: &'a EvidenceRecord,
}

impl<'a> Answer<'a> {
    fn of(evidence: &'a [EvidenceRecord]) -> Option<Answer<'a>> {
        let resets = || {
            let of_responder = evidence.iter().filter(|it| it.from == Sender::Responder);
            of_responder.filter(|it| it.kind == EvidenceKind::Rst)
        };
        // One without ACK refuses no SYN.
        let reset = resets().find(|it| it.ack.is_some()).or_else(|| resets().next())?;
        let syns = || {
            let of_initiator = evidence.iter().filter(|it| it.from == Sender::Initiator);
            of_initiator.filter(|it| it.kind == EvidenceKind::Syn)
        };
        let before = syns().filter(|it| it.frame < reset.frame).max_by_key(|it| it.frame);
        Some(Answer { syn: before.or_else(|| syns().next())?, reset })
    }

    fn copied_window(self) -> Option<u16> {
        self.reset.window.filter(|&window| window != 0 && self.syn.window == Some(window))
    }

    fn copied_id(self) -> Option<u16> {
        self.reset.ip_id.filter(|&id| id != 0 && self.syn.ip_id == Some(id))
    }

    fn odd_seq(self) -> Option<SeqNumber> {
        self.reset.seq.filter(|seq| seq.0 != 0)
    }
}

/// What the rest of a capture tells of a refusal: sentences about its reset.
#[derive(Default)]
struct Beside {
    /// Its time to live is none of the host's.
    foreign_ttl: Option<ForeignTtl>,
    /// Other signs that it is not the host's.
    against: Vec<String>,
    /// Signs that it is.
    fits: Vec<String>,
}

/// A time to live that none of a host's other packets has.
#[derive(Clone, Copy)]
struct ForeignTtl {
    ttl: u8,
    usual: u8,
    what: &'static str,
    frame: FrameNumber,
}

/// Origin of the refusal that these packets show.
pub(super) fn of_refusal(evidence: &[EvidenceRecord]) -> Refusal {
    weighed(evidence, Beside::default())
}

fn weighed(evidence: &[EvidenceRecord], beside: Beside) -> Refusal {
    let Some(answer) = Answer::of(evidence) else {
        let reasons = vec!["the SYN or the reset is not in the evidence".to_owned()];
        return Refusal { origin: Origin::Unknown, reasons, meaning: SOMEBODY.into() };
    };
    let Beside { foreign_ttl, against, mut fits } = beside;
    let Answer { syn, reset } = answer;
    let mut signs = Vec::new();
    if let Some(foreign) = foreign_ttl {
        signs.push(format!(
            "the reset in frame {} has a time to live of {}, the host's {} in frame {} one of {}, \
             and none of its packets a like one",
            reset.frame, foreign.ttl, foreign.what, foreign.frame, foreign.usual
        ));
    }
    if let Some(seq) = answer.odd_seq() {
        signs.push(format!(
            "the reset in frame {} has sequence number {seq}; a closed port sends 0 (RFC 9293, \
             3.10.7.1)",
            reset.frame
        ));
    }
    if let Some(window) = answer.copied_window() {
        signs.push(format!(
            "its window {window} is that of the SYN in frame {}; a closed port usually sends 0",
            syn.frame
        ));
    }
    if let Some(id) = answer.copied_id() {
        let of_syn = format!("that of the SYN in frame {}", syn.frame);
        signs.push(format!("its IP identification {id} is {of_syn}"));
    }
    signs.extend(against.iter().cloned());
    if foreign_ttl.is_some() || signs.len() >= 2 {
        signs.append(&mut fits);
        let meaning = made_up(answer, foreign_ttl, &against).into();
        return Refusal { origin: Origin::Middlebox, reasons: signs, meaning };
    }
    let (origin, mut reasons) =
        if signs.is_empty() { closed_port(reset) } else { (Origin::Unknown, signs) };
    let meaning = if origin == Origin::Host { CLOSED } else { SOMEBODY }.into();
    reasons.append(&mut fits);
    Refusal { origin, reasons, meaning }
}

const CLOSED: &str =
    "That is what a closed port sends: the host was reached and nothing listens there";
const SOMEBODY: &str = "The host may not listen there, or a device on the way may refuse";

/// A reset with nothing against it.
fn closed_port(reset: &EvidenceRecord) -> (Origin, Vec<String>) {
    if reset.seq.is_none() {
        let untold = format!(
            "the sequence number that the reset in frame {} had on the wire is not told",
            reset.frame
        );
        return (Origin::Unknown, vec![untold]);
    }
    let fits = format!(
        "the reset in frame {} has sequence number 0 and acknowledges the SYN, as a closed port \
         answers (RFC 9293, 3.10.7.1)",
        reset.frame
    );
    match reset.window {
        Some(0) => (Origin::Host, vec![fits]),
        Some(window) => {
            (Origin::Host, vec![fits, format!("its window is {window} rather than the usual 0")])
        }
        None => (Origin::Unknown, vec![fits, "its window is cut off".to_owned()]),
    }
}

/// Why a reset is not the host's, and what that may mean.
fn made_up(answer: Answer<'_>, foreign_ttl: Option<ForeignTtl>, against: &[String]) -> String {
    if let Some(ForeignTtl { ttl, usual, what, frame }) = foreign_ttl {
        return format!(
            "The reset comes with a time to live of {ttl}, the host's {what} in frame {frame} with \
             {usual}, so a device on the way may have sent it in the host's name"
        );
    }
    let mut unlike = Vec::new();
    if let Some(seq) = answer.odd_seq() {
        unlike.push(format!("sequence number {seq}"));
    }
    if let Some(window) = answer.reset.window.filter(|&window| window != 0) {
        let copied = if answer.copied_window().is_some() { " (the SYN's own)" } else { "" };
        unlike.push(format!("window {window}{copied}"));
    }
    if let Some(id) = answer.copied_id() {
        unlike.push(format!("the SYN's IP identification {id}"));
    }
    let beside = against.first().map(|sign| format!(", and {sign}")).unwrap_or_default();
    if unlike.is_empty() {
        let signs = against.join(", and ");
        return format!("A device on the way may have sent the reset in the host's name: {signs}");
    }
    format!(
        "A closed port answers with sequence number 0 and usually window 0 (RFC 9293, 3.10.7.1); \
         this reset has {}{beside}, so a device on the way may have made it up",
        unlike.join(" and ")
    )
}

/// Weighs every refusal once more, beside all that its capture shows of the host that refused, and
/// of the resets of others.
///
/// Plain flows tell nothing but what their hosts usually send.
pub fn weigh_origins(flows: &mut Flows) {
    let usual = Usual::of(flows);
    if usual.is_empty() {
        return;
    }
    let flows = flows.telling_mut();
    let alike = Alike::of(flows, &usual);
    let refused = flows.par_iter_mut().filter(|flow| flow.verdict == Verdict::Refused);
    refused.for_each(|flow| {
        let packets = flow.evidence.list();
        let Some(answer) = Answer::of(&packets) else { return };
        let mut beside = usual.beside(flow, answer);
        let is_foreign = beside.foreign_ttl.is_some();
        beside.against.extend(alike.sign(flow, answer, is_foreign, usual.knows(flow)));
        let refusal = weighed(&packets, beside);
        // The explanation ends with what it may mean, as it is told now or as it was first told. What
        // the capturing machine dropped itself needs no such guess.
        let explanation = flow.explanation.text();
        if seen_before(&explanation, &refusal.meaning).is_none() {
            let before = of_refusal(&packets).meaning;
            if let Some(seen) = seen_before(&explanation, &before) {
                let seen = explanation.get(..seen).unwrap_or_default();
                flow.explanation = format!("{seen}{}.", refusal.meaning).into();
            }
        }
        flow.origin = Some(refusal.origin);
        // Most say the same as before, and memory that is not touched costs nothing.
        let mut reasons = sentences(refusal.reasons);
        reasons.iter_mut().for_each(Brief::pack);
        if flow.origin_reasons != reasons {
            flow.origin_reasons = reasons;
        }
    });
}

/// Where in an explanation that ends with this meaning the meaning begins.
fn seen_before(explanation: &str, meaning: &str) -> Option<usize> {
    Some(explanation.strip_suffix('.')?.strip_suffix(meaning)?.len())
}

/// Says of a reset that ended an open connection that its time to live is none of the side's in
/// whose name it came, with the packet that shows it.
pub(super) fn foreign_end(evidence: &[EvidenceRecord], by: Sender) -> Option<String> {
    let sent = || evidence.iter().filter(|packet| packet.from == by);
    let is_reset = |packet: &&EvidenceRecord| packet.kind == EvidenceKind::Rst;
    let opens =
        |packet: &&EvidenceRecord| matches!(packet.kind, EvidenceKind::Syn | EvidenceKind::SynAck);
    let opened = evidence.iter().filter(opens).map(|packet| packet.frame).max();
    let reset = sent().filter(is_reset).find(|reset| Some(reset.frame) > opened)?;
    let ttl = reset.ttl?;
    let others = || {
        let packets = sent().filter(|it| !is_reset(it) && it.kind != EvidenceKind::Icmp);
        packets.filter_map(|packet| Some((packet, packet.ttl?)))
    };
    let (usual, usual_ttl) = others().next()?;
    if others().any(|(_, other)| is_same_way(ttl, other)) {
        return None;
    }
    Some(format!(
        "the reset in frame {} comes with a time to live of {ttl}, the {} in frame {} with \
         {usual_ttl}",
        reset.frame,
        usual::name_of(usual.kind),
        usual.frame
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::play;
    use crate::net::{Clock, SeqNumber, Time, Timestamp};
    use crate::verdict::judge;
    use crate::verdict::record::JudgedFlow;
    use crate::verdict::tests::long_after;

    /// Flows of one capture, each with the letters of a script, to these hosts in the order of time.
    fn flows(scripts: &[(&str, &str)]) -> Vec<JudgedFlow> {
        let mut flows = Vec::new();
        for (place, (host, script)) in (0..).zip(scripts) {
            let mut flow = judge(&play(script), 0, &long_after());
            flow.responder.address = host.parse().unwrap();
            flow.evidence.change(|packets| {
                for packet in packets {
                    packet.frame.0 += place * 100;
                }
            });
            flows.push(flow);
        }
        flows
    }

    fn change(flow: &mut JudgedFlow, from: Sender, change: impl Fn(&mut EvidenceRecord)) {
        flow.evidence.change(|packets| {
            packets.iter_mut().filter(|packet| packet.from == from).for_each(change);
        });
    }

    fn weigh(flows: &mut [JudgedFlow]) {
        let ids: Vec<u64> = flows.iter().map(|flow| flow.id).collect();
        let mut all = Flows::from(flows.to_vec());
        weigh_origins(&mut all);
        flows.clone_from_slice(all.telling());
        flows.iter_mut().zip(ids).for_each(|(flow, id)| flow.id = id);
    }

    fn origins(flows: &mut [JudgedFlow]) -> Vec<Option<Origin>> {
        weigh(flows);
        let once = flows.to_vec();
        weigh(flows);
        assert_eq!(flows, once, "doing it again changes nothing");
        flows.iter().map(|flow| flow.origin).collect()
    }

    const DC: &str = "10.1.0.10";

    #[test]
    fn a_time_to_live_that_no_other_packet_of_the_host_has_is_a_device_s() {
        for (usual, reset, origin) in [
            (126, 126, Origin::Host),
            (126, 125, Origin::Host), // one router more
            (126, 62, Origin::Middlebox),
            (126, 128, Origin::Middlebox),
        ] {
            let mut flows = flows(&[(DC, "ShA"), (DC, "Sr")]);
            change(&mut flows[0], Sender::Responder, |packet| packet.ttl = Some(usual));
            change(&mut flows[1], Sender::Responder, |packet| packet.ttl = Some(reset));
            assert_eq!(origins(&mut flows)[1], Some(origin), "{usual} {reset}");
        }
    }

    #[test]
    fn the_explanation_names_the_packet_that_contradicts() {
        let mut flows = flows(&[(DC, "ShA"), (DC, "Sr")]);
        change(&mut flows[1], Sender::Responder, |packet| packet.ttl = Some(62));
        weigh(&mut flows);
        assert_eq!(
            flows[1].explanation,
            "SYN in frame 1, reset in frame 2. The reset comes with a time to live of 62, the \
             host's SYN-ACK in frame 2 with 128, so a device on the way may have sent it in the \
             host's name."
        );
        let expected = "the reset in frame 102 has a time to live of 62, the host's SYN-ACK in frame \
                        2 one of 128, and none of its packets a like one";
        assert_eq!(flows[1].origin_reasons, [expected]);
    }

    #[test]
    fn what_another_capture_shows_of_a_host_was_seen_from_elsewhere() {
        let mut flows = flows(&[(DC, "ShA"), (DC, "Sr")]);
        flows[0].capture = 1;
        change(&mut flows[1], Sender::Responder, |packet| packet.ttl = Some(62));
        assert_eq!(origins(&mut flows)[1], Some(Origin::Host));
    }

    #[test]
    fn a_packet_of_the_host_with_the_like_time_to_live_clears_the_reset() {
        // Two machines share the address; one of them refuses.
        let mut flows = flows(&[(DC, "ShA"), (DC, "ShA"), (DC, "Sr")]);
        change(&mut flows[1], Sender::Responder, |packet| packet.ttl = Some(62));
        change(&mut flows[2], Sender::Responder, |packet| packet.ttl = Some(62));
        assert_eq!(origins(&mut flows)[2], Some(Origin::Host));
    }

    #[test]
    fn two_signs_that_agree_are_a_device_s_and_one_proves_nothing() {
        for (seq, window, ip_id, origin) in [
            (0, 0, 2, Origin::Host),
            (0, 64, 2, Origin::Host), // not the usual window, and not the SYN's
            (251_831_252, 0, 2, Origin::Unknown),
            (0, 512, 2, Origin::Unknown),
            (0, 0, 1, Origin::Unknown),
            (251_831_252, 512, 2, Origin::Middlebox), // the seed
            (0, 512, 1, Origin::Middlebox),
        ] {
            let mut flows = flows(&[(DC, "Sr")]);
            change(&mut flows[0], Sender::Responder, |packet| {
                packet.seq = Some(SeqNumber(seq));
                packet.window = Some(window);
                packet.ip_id = Some(ip_id);
            });
            assert_eq!(origins(&mut flows)[0], Some(origin), "{seq} {window} {ip_id}");
        }
    }

    #[test]
    fn an_identification_out_of_line_is_one_sign() {
        for (id, origin) in [(130, Origin::Host), (0, Origin::Host), (40_000, Origin::Unknown)] {
            let answered = [(DC, "ShA"); 4];
            let mut flows = flows(&[&answered[..], &[(DC, "Sr")]].concat());
            for (place, flow) in (0..).zip(&mut flows) {
                change(flow, Sender::Responder, |packet| packet.ip_id = Some(90 + place * 10));
            }
            change(&mut flows[4], Sender::Responder, |packet| packet.ip_id = Some(id));
            assert_eq!(origins(&mut flows)[4], Some(origin), "{id}");
        }
        // A host that does not count proves nothing.
        let mut flows = flows(&[(DC, "ShA"), (DC, "ShA"), (DC, "ShA"), (DC, "ShA"), (DC, "Sr")]);
        for (flow, id) in flows.iter_mut().zip([700, 60_000, 9, 31_000, 5_000]) {
            change(flow, Sender::Responder, |packet| packet.ip_id = Some(id));
        }
        assert_eq!(origins(&mut flows)[4], Some(Origin::Host));
    }

    #[test]
    fn an_answer_faster_than_any_other_is_one_sign() {
        for (microseconds, origin) in [(12_000, Origin::Host), (300, Origin::Unknown)] {
            let mut flows = flows(&[(DC, "ShA"), (DC, "ShA"), (DC, "ShA"), (DC, "Sr")]);
            for flow in &mut flows {
                change(flow, Sender::Initiator, |packet| packet.time = Some(at(0)));
                change(flow, Sender::Responder, |packet| packet.time = Some(at(12_500)));
            }
            change(&mut flows[3], Sender::Responder, |packet| packet.time = Some(at(microseconds)));
            assert_eq!(origins(&mut flows)[3], Some(origin), "{microseconds}");
        }
    }

    fn at(microseconds: i128) -> Time {
        let at = Timestamp::from_nanoseconds(microseconds * 1_000).unwrap();
        Time { at, clock: Clock::MICROSECONDS }
    }

    #[test]
    fn the_same_odd_reset_for_many_hosts_is_one_device_s() {
        let hosts = ["10.1.0.10", "10.1.0.11", "10.1.0.12"];
        let odd = |seq: u32, hosts: &[&'static str]| {
            let scripts: Vec<(&str, &str)> = hosts.iter().map(|host| (*host, "Sr")).collect();
            let mut flows = flows(&scripts);
            for flow in &mut flows {
                change(flow, Sender::Responder, |packet| packet.seq = Some(SeqNumber(seq)));
            }
            flows
        };
        let mut many = odd(7, &hosts);
        assert_eq!(origins(&mut many), [Some(Origin::Middlebox); 3]);
        let sign = "the same kind of reset (time to live 128, a sequence number other than 0, window \
                    0) came for 3 hosts, first for 10.1.0.10 in frame 2";
        assert_eq!(many[2].origin_reasons[1], sign);
        assert_eq!(origins(&mut odd(7, &hosts[..2])), [Some(Origin::Unknown); 2]);
        // Closed ports of hosts that are equally far away are alike too.
        assert_eq!(origins(&mut odd(0, &hosts)), [Some(Origin::Host); 3]);
    }

    #[test]
    fn a_reset_like_one_that_a_device_sent_in_another_s_name_is_in_doubt() {
        let mut flows = flows(&[
            ("10.1.0.10", "ShA"),
            ("10.1.0.10", "Sr"),
            ("10.1.0.11", "Sr"),
            ("10.1.0.12", "ShA"),
            ("10.1.0.12", "Sr"),
        ]);
        change(&mut flows[0], Sender::Responder, |packet| packet.ttl = Some(120));
        let host = Some(Origin::Host);
        // Of 10.1.0.11 nothing else is known; 10.1.0.12 is as far away as the device.
        let expected = [None, Some(Origin::Middlebox), Some(Origin::Unknown), None, host];
        assert_eq!(origins(&mut flows), expected);
    }

    #[test]
    fn a_reset_of_an_open_connection_is_told_where_its_time_to_live_is_foreign() {
        let explained = |ttl: u8, script: &str| {
            let mut flow = play(script);
            for packet in &mut flow.evidence {
                if packet.kind == EvidenceKind::Rst {
                    packet.ttl = ttl;
                }
            }
            judge(&flow, 0, &long_after()).explanation.text().into_owned()
        };
        let foreign = explained(254, "ShADr");
        let expected = "The path works, and a device on the way may have ended the connection: the \
                        reset in frame 5 comes with a time to live of 254, the SYN-ACK in frame 2 \
                        with 128.";
        assert!(foreign.ends_with(expected), "{foreign}");
        // In the initiator's name.
        assert!(explained(254, "ShADdR").contains("the SYN in frame 1 with 128"));
        assert!(explained(128, "ShADr").ends_with("ended it."));
        // What the initiator ignored did not end it.
        assert!(explained(254, "SzShADF").ends_with("confirmed in frame 5."));
    }
}
