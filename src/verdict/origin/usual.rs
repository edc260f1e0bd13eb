//! What packets of a host usually look like, as one capture shows them.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::{Evidence, EvidenceKind, Sender};
use crate::net::{Address, Endpoint, FrameNumber, Timestamp, Transport};
use crate::verdict::flows::Flows;
use crate::verdict::origin::{Answer, Beside, ForeignTtl, SAME_WAY};
use crate::verdict::record::{EvidenceRecord, JudgedFlow, Verdict};

/// Protocols that write a time to live of their own: SSDP, web services discovery, multicast DNS,
/// link-local name resolution.
const OWN_TTL: [u16; 4] = [1900, 3702, 5353, 5355];

/// Identifications that a host must be seen to count up through.
const LEAST_COUNTED: usize = 4;
/// How far a host counts from one packet of the evidence to the next, at most.
const FARTHEST_COUNT: u16 = 4096;
/// Answers that must be known before one is called too fast.
const LEAST_ANSWERS: usize = 3;
/// Below so many nanoseconds, hosts are too near to tell.
const LEAST_DELAY: i64 = 2_000_000;

/// Hosts that refused somebody, with what else each sent in the same capture.
#[derive(Default)]
pub(super) struct Usual(BTreeMap<(usize, Address), Host>);

/// What a host sent that is no reset.
#[derive(Default)]
struct Host {
    /// The best packet with each time to live, whoever got it.
    times_to_live: BTreeMap<u8, Sent>,
    by_receiver: BTreeMap<Address, Heard>,
}

/// Between whom a flow is.
#[derive(Clone, Copy)]
struct Ends {
    capture: usize,
    transport: Transport,
    initiator: Endpoint,
    responder: Endpoint,
}

/// A packet of the evidence, as far as it tells what is usual.
#[derive(Clone, Copy)]
struct Packet {
    from: Sender,
    kind: EvidenceKind,
    frame: FrameNumber,
    time: Option<Timestamp>,
    ttl: Option<u8>,
    ip_id: Option<u16>,
}

impl Packet {
    fn of_record(record: &EvidenceRecord) -> Packet {
        let EvidenceRecord { frame, time, from, kind, ttl, ip_id, .. } = *record;
        Packet { from, kind, frame, time: time.map(|time| time.at), ttl, ip_id }
    }

    fn of_evidence(evidence: &Evidence) -> Packet {
        let Evidence { frame, time, sender: from, kind, ttl, ip_id, .. } = *evidence;
        Packet { from, kind, frame, time, ttl: (ttl != 0).then_some(ttl), ip_id }
    }
}

/// What one receiver got from a host.
#[derive(Default)]
struct Heard {
    times_to_live: BTreeMap<u8, Sent>,
    /// Identifications by frame.
    ids: Vec<(FrameNumber, u16)>,
    /// Whether they count up.
    counts_up: bool,
    /// Answers whose delay is known.
    answers: usize,
    /// The least of the delays, in nanoseconds.
    least_delay: i64,
}

/// A packet; the lowest tells best what a refusal would look like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    rank: Rank,
    frame: FrameNumber,
    what: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    TcpAnswer,
    UdpAnswer,
    Call,
}

impl Usual {
    pub(super) fn of(flows: &Flows) -> Usual {
        let refused = flows.telling().iter().filter(|flow| flow.verdict == Verdict::Refused);
        let refusers =
            refused.map(|flow| ((flow.capture, flow.responder.address), Host::default()));
        let mut usual = Usual(refusers.collect());
        if usual.is_empty() {
            return usual;
        }
        for flow in flows.telling() {
            let ends = Ends {
                capture: flow.capture,
                transport: flow.transport,
                initiator: flow.initiator,
                responder: flow.responder,
            };
            usual.see(ends, flow.evidence.iter().map(Packet::of_record));
        }
        let refusers: BTreeSet<(usize, Address)> = usual.0.keys().copied().collect();
        let plain = flows.facts_of_lanes(move |capture, lane| {
            let is_refuser = |host| refusers.contains(&(capture, host));
            is_refuser(lane.from()) || !lane.is_unanswered() && is_refuser(lane.to())
        });
        for (capture, flow) in plain {
            let ends = Ends {
                capture,
                transport: flow.transport(),
                initiator: flow.initiator_endpoint(),
                responder: flow.responder_endpoint(),
            };
            usual.see(ends, flow.evidence.iter().map(Packet::of_evidence));
        }
        for heard in usual.0.values_mut().flat_map(|host| host.by_receiver.values_mut()) {
            heard.see_whether_it_counts();
        }
        usual
    }

    /// Whether nobody refused anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what the sides of a flow sent.
    fn see(&mut self, ends: Ends, packets: impl Iterator<Item = Packet> + Clone) {
        let own_ttl = ends.transport == Transport::Udp
            && [ends.initiator.port, ends.responder.port].iter().any(|it| OWN_TTL.contains(it));
        if !own_ttl {
            self.add(ends, Sender::Initiator, packets.clone());
            self.add(ends, Sender::Responder, packets);
        }
    }

    /// Adds what one side of a flow sent, if it is a host that refused.
    fn add(&mut self, ends: Ends, side: Sender, packets: impl Iterator<Item = Packet> + Clone) {
        let (initiator, responder) = (ends.initiator.address, ends.responder.address);
        let (host, to, rank) = match (side, ends.transport) {
            (Sender::Initiator | Sender::Network, _) => (initiator, responder, Rank::Call),
            (Sender::Responder, Transport::Tcp) => (responder, initiator, Rank::TcpAnswer),
            (Sender::Responder, Transport::Udp) => (responder, initiator, Rank::UdpAnswer),
        };
        let Some(host) = self.0.get_mut(&(ends.capture, host)) else { return };
        let heard = host.by_receiver.entry(to).or_default();
        for packet in packets.clone().filter(|it| it.from == side && is_its_own(it.kind)) {
            let sent = Sent { rank, frame: packet.frame, what: name_of(packet.kind) };
            if let Some(ttl) = packet.ttl {
                for known in [&mut heard.times_to_live, &mut host.times_to_live] {
                    let best = known.entry(ttl).or_insert(sent);
                    *best = sent.min(*best);
                }
            }
            heard.ids.extend(packet.ip_id.map(|id| (packet.frame, id)));
        }
        if side == Sender::Responder
            && let Some(delay) = delay(packets)
        {
            let none = heard.answers == 0;
            heard.least_delay = if none { delay } else { delay.min(heard.least_delay) };
            heard.answers += 1;
        }
    }

    /// What else the host sent tells of its refusal.
    pub(super) fn beside(&self, flow: &JudgedFlow, answer: Answer<'_>) -> Beside {
        let mut beside = Beside::default();
        let Some(host) = self.0.get(&(flow.capture, flow.responder.address)) else { return beside };
        let heard = host.by_receiver.get(&flow.initiator.address);
        // What the caller itself got tells best.
        let known = || heard.map(|it| &it.times_to_live).into_iter().chain([&host.times_to_live]);
        if let Some(ttl) = answer.reset.ttl {
            let alike = |known: &BTreeMap<u8, Sent>| {
                let near = known.range(ttl.saturating_sub(SAME_WAY)..=ttl.saturating_add(SAME_WAY));
                near.min_by_key(|(_, sent)| **sent).map(|(ttl, sent)| (*ttl, *sent))
            };
            let best = |known: &BTreeMap<u8, Sent>| {
                known.iter().min_by_key(|(_, sent)| **sent).map(|(ttl, sent)| (*ttl, *sent))
            };
            if let Some((usual, sent)) = known().find_map(alike) {
                let Sent { what, frame, .. } = sent;
                beside.fits.push(format!(
                    "its time to live is {ttl}, and that of the host's {what} in frame {frame} is \
                     {usual}"
                ));
            } else if let Some((usual, Sent { what, frame, .. })) = known().find_map(best) {
                beside.foreign_ttl = Some(ForeignTtl { ttl, usual, what, frame });
            }
        }
        if let Some(heard) = heard {
            beside.against.extend(heard.out_of_line(answer.reset));
            beside.against.extend(heard.too_fast(answer));
        }
        beside
    }

    /// Whether anything with a time to live is known of the host.
    pub(super) fn knows(&self, flow: &JudgedFlow) -> bool {
        let host = self.0.get(&(flow.capture, flow.responder.address));
        host.is_some_and(|host| !host.times_to_live.is_empty())
    }
}

impl Heard {
    fn see_whether_it_counts(&mut self) {
        self.ids.sort_unstable();
        self.counts_up = self.ids.len() >= LEAST_COUNTED
            && self.ids.windows(2).all(|pair| match pair {
                [(_, before), (_, after)] => {
                    (1..=FARTHEST_COUNT).contains(&after.wrapping_sub(*before))
                }
                _ => false,
            });
    }

    /// An identification that does not stand between those before and after it, where the host
    /// counts them up. 0 is what stacks send that may not be fragmented.
    fn out_of_line(&self, reset: &EvidenceRecord) -> Option<String> {
        let id = reset.ip_id.filter(|&id| id != 0 && self.counts_up)?;
        let place = self.ids.partition_point(|(frame, _)| *frame < reset.frame);
        let before = place.checked_sub(1).and_then(|place| self.ids.get(place));
        let after = self.ids.get(place);
        let follows = |before: &(FrameNumber, u16)| id.wrapping_sub(before.1) <= FARTHEST_COUNT;
        let precedes = |after: &(FrameNumber, u16)| after.1.wrapping_sub(id) <= FARTHEST_COUNT;
        let fits = before.is_none_or(follows) && after.is_none_or(precedes);
        let (frame, near) = *before.or(after)?;
        (!fits).then(|| {
            format!(
                "its IP identification {id} is out of line with the host's, which counts up and is \
                 {near} in frame {frame}"
            )
        })
    }

    /// A reset that came in less than half the time of any other answer.
    fn too_fast(&self, answer: Answer<'_>) -> Option<String> {
        let own = answer.reset.time?.at.since(answer.syn.time?.at);
        let (count, least) = (self.answers, self.least_delay);
        let is_early = least >= LEAST_DELAY && (0..least / 2).contains(&own);
        (count >= LEAST_ANSWERS && is_early).then(|| {
            format!(
                "it came {} after the SYN, and none of {count} other answers of the host in less \
                 than {}",
                milliseconds(own),
                milliseconds(least)
            )
        })
    }
}

/// Whether it can be held that the host itself sent a packet of this kind.
fn is_its_own(kind: EvidenceKind) -> bool {
    match kind {
        EvidenceKind::Syn
        | EvidenceKind::SynAck
        | EvidenceKind::Ack
        | EvidenceKind::Fin
        | EvidenceKind::Data => true,
        // A reset is what is in question, a drop is a packet told again, and stacks give their ICMP
        // errors a time to live of their own.
        EvidenceKind::Rst | EvidenceKind::Icmp | EvidenceKind::Drop => false,
    }
}

/// What a packet is called in a sentence.
pub(super) fn name_of(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Syn => "SYN",
        EvidenceKind::SynAck => "SYN-ACK",
        EvidenceKind::Ack | EvidenceKind::Drop => "packet",
        EvidenceKind::Rst => "reset",
        EvidenceKind::Icmp => "ICMP error",
        EvidenceKind::Fin => "FIN",
        EvidenceKind::Data => "payload",
    }
}

/// Nanoseconds from the last call before the first answer to that answer.
fn delay(packets: impl Iterator<Item = Packet> + Clone) -> Option<i64> {
    let answer = packets.clone().find(|it| it.from == Sender::Responder && is_its_own(it.kind))?;
    let is_call = |it: &Packet| {
        it.from == Sender::Initiator && matches!(it.kind, EvidenceKind::Syn | EvidenceKind::Data)
    };
    let call = packets.filter(|it| it.frame < answer.frame).filter(is_call).last()?;
    Some(answer.time?.since(call.time?))
}

/// "0.3 ms".
fn milliseconds(nanoseconds: i64) -> String {
    let tenths = nanoseconds / 100_000;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}
