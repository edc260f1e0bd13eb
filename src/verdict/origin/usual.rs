//! What packets of a host usually look like, as one capture shows them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use rayon::iter::{IntoParallelIterator, IntoParallelRefMutIterator, ParallelIterator};

use crate::flow::{Evidence, EvidenceKind, Sender};
use crate::net::{Address, Endpoint, FrameNumber, Timestamp, Transport};
use crate::verdict::flows::{Flows, Lane};
use crate::verdict::origin::{Answer, Beside, ForeignTtl, is_same_way};
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
pub(super) struct Usual {
    /// By capture and host: the place of what it sent, whoever got it.
    hosts: Arc<HashMap<(usize, Address), usize, FixedState>>,
    /// By capture, host, and the caller that it refused: the place of what that caller got.
    callers: Arc<HashMap<(usize, Address, Address), usize, FixedState>>,
    /// What hosts sent, by place.
    sent: Vec<TimesToLive>,
    /// What callers got, by place.
    heard: Vec<Heard>,
}

/// The best packet with each time to live. Packets are those that are no reset.
// Nearly every host has one, which stands in place: there are millions of packets to look at.
#[derive(Default)]
struct TimesToLive {
    first: Option<(u8, Sent)>,
    others: Vec<(u8, Sent)>,
}

impl TimesToLive {
    fn add(&mut self, ttl: u8, sent: Sent) {
        let (first, best) = self.first.get_or_insert((ttl, sent));
        if *first == ttl {
            *best = sent.min(*best);
        } else if let Some((_, best)) = self.others.iter_mut().find(|(known, _)| *known == ttl) {
            *best = sent.min(*best);
        } else {
            self.others.push((ttl, sent));
        }
    }

    fn append(&mut self, others: &TimesToLive) {
        others.all().for_each(|(ttl, sent)| self.add(ttl, sent));
    }

    fn all(&self) -> impl Iterator<Item = (u8, Sent)> + '_ {
        self.first.iter().chain(&self.others).copied()
    }

    /// The best of all.
    fn best(&self) -> Option<(u8, Sent)> {
        self.all().min_by_key(|(ttl, sent)| (*sent, *ttl))
    }

    /// The best of those that may have come the same way.
    fn alike(&self, ttl: u8) -> Option<(u8, Sent)> {
        let near = self.all().filter(|(other, _)| is_same_way(ttl, *other));
        near.min_by_key(|(ttl, sent)| (*sent, *ttl))
    }
}

/// Where what the two sides of a flow sent is kept.
#[derive(Clone, Copy)]
struct Sides {
    initiator: Option<Place>,
    responder: Option<Place>,
}

/// Where what a host sent is kept, if it is one that refused.
#[derive(Clone, Copy)]
struct Place {
    /// Among [`Usual::sent`].
    sent: usize,
    /// Among [`Usual::heard`], if it refused this caller.
    heard: Option<usize>,
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
    times_to_live: TimesToLive,
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
    kind: EvidenceKind,
}

/// A time to live beside what is usual.
enum Compared {
    /// It, the usual one, and a packet that has that: both may have come the same way.
    Alike(u8, u8, Sent),
    /// It is none of the host's.
    Foreign(ForeignTtl),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    TcpAnswer,
    UdpAnswer,
    Call,
}

impl Usual {
    pub(super) fn of(flows: &Flows) -> Usual {
        let nothing = Usual::of_refusers(flows.telling());
        if nothing.is_empty() {
            return nothing;
        }
        let parts = rayon::current_num_threads();
        let seen = (0..parts).into_par_iter().map(|part| nothing.and_part(flows, part, parts));
        let mut seen = seen.collect::<Vec<_>>().into_iter();
        let mut usual = seen.next().unwrap_or_default();
        seen.for_each(|part| usual.append(part));
        usual.heard.par_iter_mut().for_each(Heard::see_whether_it_counts);
        usual
    }

    /// Who refused whom, and nothing else of them yet.
    fn of_refusers(telling: &[JudgedFlow]) -> Usual {
        let mut hosts: HashMap<_, usize, FixedState> = HashMap::default();
        let mut callers: HashMap<_, usize, FixedState> = HashMap::default();
        for flow in telling.iter().filter(|flow| flow.verdict == Verdict::Refused) {
            let (caller, host) = (flow.initiator.address, flow.responder.address);
            let next = hosts.len();
            hosts.entry((flow.capture, host)).or_insert(next);
            let next = callers.len();
            callers.entry((flow.capture, host, caller)).or_insert(next);
        }
        let (hosts, callers) = (Arc::new(hosts), Arc::new(callers));
        Usual { hosts, callers, sent: Vec::new(), heard: Vec::new() }
    }

    /// The same hosts and callers, of which nothing is known.
    fn blank(&self) -> Usual {
        let (mut sent, mut heard) = (Vec::new(), Vec::new());
        sent.resize_with(self.hosts.len(), TimesToLive::default);
        heard.resize_with(self.callers.len(), Heard::default);
        let (hosts, callers) = (Arc::clone(&self.hosts), Arc::clone(&self.callers));
        Usual { hosts, callers, sent, heard }
    }

    /// What one of so many parts of the flows shows.
    fn and_part(&self, flows: &Flows, part: usize, parts: usize) -> Usual {
        let mut usual = self.blank();
        let telling = flows.telling();
        let wanted = telling.len() * part / parts..telling.len() * (part + 1) / parts;
        let mut packets = Vec::new();
        for flow in telling.get(wanted).unwrap_or_default() {
            let JudgedFlow { capture, transport, initiator, responder, .. } = *flow;
            let sides = self.sides(capture, initiator.address, responder.address);
            if let Some(sides) = sides {
                packets.clear();
                packets.extend(flow.evidence.iter().map(|record| Packet::of_record(&record)));
                usual.see(sides, (transport, initiator, responder), &packets);
            }
        }
        let sides_of = |capture, lane: &Lane| {
            let sides = self.sides(capture, lane.from(), lane.to())?;
            // Who does not answer sends nothing.
            (sides.initiator.is_some() || !lane.is_unanswered()).then_some(sides)
        };
        flows.each_of_lanes(part, parts, sides_of, |sides, flow| {
            let ends = (flow.transport(), flow.initiator_endpoint(), flow.responder_endpoint());
            packets.clear();
            packets.extend(flow.evidence.iter().map(Packet::of_evidence));
            usual.see(sides, ends, &packets);
        });
        usual
    }

    /// Where to keep what the sides of a flow between these hosts sent; `None` if neither refused.
    fn sides(&self, capture: usize, initiator: Address, responder: Address) -> Option<Sides> {
        let place = |host, to| {
            let sent = *self.hosts.get(&(capture, host))?;
            Some(Place { sent, heard: self.callers.get(&(capture, host, to)).copied() })
        };
        let (initiator, responder) = (place(initiator, responder), place(responder, initiator));
        (initiator.is_some() || responder.is_some()).then_some(Sides { initiator, responder })
    }

    /// Adds what another part of the flows shows of the same hosts.
    fn append(&mut self, part: Usual) {
        for (sent, more) in self.sent.iter_mut().zip(part.sent) {
            sent.append(&more);
        }
        for (heard, more) in self.heard.iter_mut().zip(part.heard) {
            heard.append(more);
        }
    }

    /// Whether nobody refused anything.
    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Adds what the sides of a flow sent.
    fn see(
        &mut self,
        sides: Sides,
        (transport, initiator, responder): (Transport, Endpoint, Endpoint),
        packets: &[Packet],
    ) {
        let own_ttl = transport == Transport::Udp
            && [initiator.port, responder.port].iter().any(|it| OWN_TTL.contains(it));
        if own_ttl {
            return;
        }
        let answer = match transport {
            Transport::Tcp => Rank::TcpAnswer,
            Transport::Udp => Rank::UdpAnswer,
        };
        if let Some(place) = sides.initiator {
            self.add(place, Rank::Call, Sender::Initiator, packets);
        }
        if let Some(place) = sides.responder {
            self.add(place, answer, Sender::Responder, packets);
        }
    }

    /// Adds what one side of a flow sent.
    fn add(&mut self, place: Place, rank: Rank, side: Sender, packets: &[Packet]) {
        let Some(of_host) = self.sent.get_mut(place.sent) else { return };
        let mut heard = place.heard.and_then(|heard| self.heard.get_mut(heard));
        let mut before: Option<(u8, FrameNumber)> = None;
        for packet in packets.iter().filter(|it| it.from == side && is_its_own(it.kind)) {
            let sent = Sent { rank, frame: packet.frame, kind: packet.kind };
            // What comes later with the same time to live is no better.
            let is_known = |ttl| before.is_some_and(|it| it.0 == ttl && it.1 <= packet.frame);
            if let Some(ttl) = packet.ttl.filter(|ttl| !is_known(*ttl)) {
                before = Some((ttl, packet.frame));
                of_host.add(ttl, sent);
                if let Some(heard) = &mut heard {
                    heard.times_to_live.add(ttl, sent);
                }
            }
            if let Some(heard) = &mut heard {
                heard.ids.extend(packet.ip_id.map(|id| (packet.frame, id)));
            }
        }
        if let Some(heard) = heard
            && side == Sender::Responder
            && let Some(delay) = delay(packets)
        {
            heard.answered(1, delay);
        }
    }

    /// What else the host sent tells of its refusal.
    pub(super) fn beside(&self, flow: &JudgedFlow, answer: Answer<'_>) -> Beside {
        let mut beside = Beside::default();
        match self.compared(flow, answer.reset) {
            Some(Compared::Alike(ttl, usual, Sent { kind, frame, .. })) => {
                beside.fits.push(format!(
                    "its time to live is {ttl}, and that of the host's {} in frame {frame} is \
                     {usual}",
                    name_of(kind)
                ));
            }
            Some(Compared::Foreign(foreign)) => beside.foreign_ttl = Some(foreign),
            None => {}
        }
        if let Some(heard) = self.heard_by_caller(flow) {
            beside.against.extend(heard.out_of_line(answer.reset));
            beside.against.extend(heard.too_fast(answer));
        }
        beside
    }

    /// Whether the time to live of a reset is none of the host's.
    pub(super) fn is_foreign(&self, flow: &JudgedFlow, answer: Answer<'_>) -> bool {
        matches!(self.compared(flow, answer.reset), Some(Compared::Foreign(_)))
    }

    /// Whether anything with a time to live is known of the host.
    pub(super) fn knows(&self, flow: &JudgedFlow) -> bool {
        self.sent_by_host(flow).is_some_and(|times_to_live| times_to_live.first.is_some())
    }

    /// The time to live of a reset beside those of what else the host sent.
    fn compared(&self, flow: &JudgedFlow, reset: &EvidenceRecord) -> Option<Compared> {
        let ttl = reset.ttl?;
        // What the caller itself got tells best.
        let got = self.heard_by_caller(flow).map(|heard| &heard.times_to_live);
        let known = || got.into_iter().chain(self.sent_by_host(flow));
        if let Some((usual, sent)) = known().find_map(|known| known.alike(ttl)) {
            return Some(Compared::Alike(ttl, usual, sent));
        }
        let (usual, Sent { kind, frame, .. }) = known().find_map(TimesToLive::best)?;
        Some(Compared::Foreign(ForeignTtl { ttl, usual, what: name_of(kind), frame }))
    }

    fn sent_by_host(&self, flow: &JudgedFlow) -> Option<&TimesToLive> {
        self.sent.get(*self.hosts.get(&(flow.capture, flow.responder.address))?)
    }

    fn heard_by_caller(&self, flow: &JudgedFlow) -> Option<&Heard> {
        let (caller, host) = (flow.initiator.address, flow.responder.address);
        self.heard.get(*self.callers.get(&(flow.capture, host, caller))?)
    }
}

impl Heard {
    fn answered(&mut self, answers: usize, least_delay: i64) {
        let none = self.answers == 0;
        self.least_delay = if none { least_delay } else { least_delay.min(self.least_delay) };
        self.answers += answers;
    }

    fn append(&mut self, more: Heard) {
        self.times_to_live.append(&more.times_to_live);
        self.ids.extend(more.ids);
        if more.answers > 0 {
            self.answered(more.answers, more.least_delay);
        }
    }

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
fn delay(packets: &[Packet]) -> Option<i64> {
    let mut of_responder = packets.iter().filter(|it| it.from == Sender::Responder);
    let answer = of_responder.find(|it| is_its_own(it.kind))?;
    let is_call = |it: &&Packet| {
        it.from == Sender::Initiator && matches!(it.kind, EvidenceKind::Syn | EvidenceKind::Data)
    };
    let mut before = packets.iter().filter(|it| it.frame < answer.frame);
    let call = before.rfind(is_call)?;
    Some(answer.time?.since(call.time?))
}

/// "0.3 ms".
fn milliseconds(nanoseconds: i64) -> String {
    let tenths = nanoseconds / 100_000;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}
