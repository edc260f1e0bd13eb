//! Packets in, flows out: who opened what, what came back, and in which frames.
//!
//! A flow is one attempt to talk. For TCP that is a pair of endpoints *and* the initial sequence
//! number of the SYN: a SYN with the same number is a retransmission however late it comes, one
//! with another number begins the next flow, and no timer splits an attempt. For UDP it is a pair
//! of endpoints without a long silence.
//!
//! What packets are wrapped in is no part of a flow's key. Requests and answers often come in
//! different VLANs or virtual networks (a router mirrored on both sides, networks that number each
//! direction), and a packet captured inside and outside of a tunnel is one packet. The price is that
//! two tenants with the same addresses *and* ports share flows: TCP attempts are still told apart by
//! their initial sequence numbers, datagrams are not.
//!
//! This module records facts (which SYN, which answer, who reset); what they mean is the matter
//! of [`crate::verdict`].

mod away;
mod begun;
mod budget;
mod duplicates;
mod evidence;
mod finished;
mod history;
mod icmp;
mod keys;
mod listen;
mod packed;
mod place;
#[cfg(test)]
pub(crate) mod script;
mod services;
mod table;
mod tcp;
mod udp;

pub use budget::Budget;
pub use evidence::{Evidence, EvidenceKind, Sender};
pub use finished::{Finished, LoneSyn, Look};
pub use history::History;
pub use services::{KnownPorts, service_name};
pub use table::{FlowTable, Hearing};
pub use tcp::{Handshake, TcpFacts};

use crate::flow::duplicates::Recent;
use crate::net::{End, Endpoint, FlowKey, FrameNumber, SeqNumber, Timestamp, Transport};
use crate::packet::{Encapsulation, Flags, Heading, Packet};
use crate::probe::Heard;

/// Who of the two endpoints opened the flow, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitiatorBy {
    /// A SYN or SYN-ACK shows it.
    Handshake,
    /// The other side's port is that of a known service, or the lower one.
    Port,
    /// Only the order of the packets tells.
    FirstPacket,
}

/// How the first packet of a side was captured: where it came from, as far as one packet tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstPacket {
    /// Link addresses, the receiver's first.
    pub link: Option<[u8; 12]>,
    /// Time to live or hop limit; 0 where it is not told.
    pub ttl: u8,
    /// Whether the capturing machine sent it.
    pub heading: Heading,
}

/// One direction of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Packets, duplicates left out.
    pub packets: u64,
    /// Payload bytes by wire length, retransmissions included.
    pub bytes: u64,
    /// Packets that the capturing machine itself dropped; they are among `packets`.
    pub dropped: u64,
    /// All TCP flags that were seen.
    pub flags: u8,
    /// Sequence number of the SYN, seen or inferred from the answer to it; where neither was
    /// captured, the one that the first segment would have had.
    pub isn: Option<SeqNumber>,
    /// The sequence number after the last byte sent.
    next_seq: Option<SeqNumber>,
    /// The highest acknowledgment number sent.
    ack: Option<SeqNumber>,
    /// How its first packet was captured.
    pub first: FirstPacket,
    recent: Recent,
}

impl Side {
    /// Whether the capturing machine itself dropped all that this side sent.
    pub fn is_dropped(&self) -> bool {
        self.packets > 0 && self.dropped >= self.packets
    }

    /// Forgets its last packets.
    #[cfg(test)]
    fn forget(&mut self) {
        self.recent = Recent::default();
    }

    /// Whether a flag was seen.
    #[inline]
    pub fn has_sent(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// One attempt to talk: both directions between two endpoints, and what was seen of it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Flow {
    key: FlowKey,
    initiator_end: End,
    /// How the initiator is known.
    pub initiator_by: InitiatorBy,
    /// The initiator's packets.
    pub initiator: Side,
    /// The responder's packets.
    pub responder: Side,
    /// What only TCP has; for UDP it stays as it began.
    pub tcp: TcpFacts,
    /// UDP: the responder sent something after the initiator did.
    pub answered: bool,
    /// The initiator's packets go to a group of hosts.
    pub to_group: bool,
    /// An ICMP error said that a packet of the initiator is administratively prohibited.
    pub prohibited: bool,
    /// An ICMP error said that a packet of the initiator cannot be delivered.
    pub unreachable: bool,
    /// Number of the first frame.
    pub first_frame: FrameNumber,
    /// Number of the last frame.
    pub last_frame: FrameNumber,
    /// Time of the first frame.
    pub first_seen: Option<Timestamp>,
    /// Time of the last frame.
    pub last_seen: Option<Timestamp>,
    /// Packets captured again; not in any other count.
    pub duplicates: u64,
    /// Letters for the packets.
    pub history: History,
    /// The packets that decide.
    pub evidence: Vec<Evidence>,
    /// What the first packet was wrapped in.
    pub encapsulation: Encapsulation,
    /// Frame and time of the initiator's first payload.
    pub asked: Option<(FrameNumber, Option<Timestamp>)>,
    /// What its payload said, as far as a probe knows its protocol.
    pub heard: Option<Box<Heard>>,
    /// What the first copy was wrapped in that was wrapped in something else.
    pub also_in: Option<Encapsulation>,
}

impl Flow {
    /// A flow of nothing, to be written over.
    pub(crate) fn blank() -> Flow {
        Flow {
            key: FlowKey::of_parts(0, [[0; 2]; 2], [0; 2]),
            initiator_end: End::Low,
            initiator_by: InitiatorBy::FirstPacket,
            initiator: Side::default(),
            responder: Side::default(),
            tcp: TcpFacts::default(),
            answered: false,
            to_group: false,
            prohibited: false,
            unreachable: false,
            first_frame: FrameNumber(0),
            last_frame: FrameNumber(0),
            first_seen: None,
            last_seen: None,
            duplicates: 0,
            history: History::default(),
            evidence: Vec::new(),
            encapsulation: Encapsulation::default(),
            asked: None,
            heard: None,
            also_in: None,
        }
    }

    /// Becomes a flow that begins with this packet, before the packet is counted.
    fn restart(&mut self, packet: &Packet<'_>, initiator_end: End, initiator_by: InitiatorBy) {
        // In place, for it is large.
        self.key = packet.key;
        self.initiator_end = initiator_end;
        self.initiator_by = initiator_by;
        self.initiator = Side::default();
        self.responder = Side::default();
        self.tcp = TcpFacts::default();
        self.answered = false;
        self.to_group = false;
        self.prohibited = false;
        self.unreachable = false;
        self.first_frame = packet.frame;
        self.last_frame = packet.frame;
        self.first_seen = packet.time;
        self.last_seen = packet.time;
        self.duplicates = 0;
        self.history = History::default();
        self.evidence.clear();
        self.encapsulation = packet.encapsulation;
        self.asked = None;
        self.heard = None;
        self.also_in = None;
    }

    /// Whether nothing more is to be expected of it, though something may come.
    fn is_over(&self) -> bool {
        self.said_no() || self.took_leave() || self.answered
    }

    /// Whether a reset came before there was a connection.
    fn said_no(&self) -> bool {
        matches!(self.tcp.handshake, Handshake::Refused | Handshake::Probed)
    }

    /// Whether both sides said FIN, or one broke off what both had. A refused SYN is no leave: it is
    /// sent again.
    fn took_leave(&self) -> bool {
        let both = self.initiator.has_sent(Flags::FIN) && self.responder.has_sent(Flags::FIN);
        both || self.tcp.reset_by.is_some()
    }

    /// Transport.
    #[inline]
    pub fn transport(&self) -> Transport {
        self.key.transport()
    }

    /// Who opened it.
    pub fn initiator_endpoint(&self) -> Endpoint {
        self.key.endpoint(self.initiator_end)
    }

    /// Who was called.
    pub fn responder_endpoint(&self) -> Endpoint {
        self.key.endpoint(self.initiator_end.opposite())
    }

    #[inline]
    fn is_from_initiator(&self, packet: &Packet<'_>) -> bool {
        packet.sender == self.initiator_end
    }

    /// The side that sent a packet, and the other.
    #[inline]
    fn sides(&mut self, from_initiator: bool) -> (&mut Side, &mut Side) {
        if from_initiator {
            (&mut self.initiator, &mut self.responder)
        } else {
            (&mut self.responder, &mut self.initiator)
        }
    }

    /// Counts a packet; false where it is a copy of one that was counted.
    fn count(&mut self, packet: &Packet<'_>, length: u32) -> bool {
        let from_initiator = self.is_from_initiator(packet);
        self.last_frame = packet.frame;
        self.last_seen = packet.time.or(self.last_seen);
        if packet.note.is_some() {
            // Of a packet that was captured twice, only one copy may say so.
            self.sides(from_initiator).0.dropped += 1;
            let sender = if from_initiator { Sender::Initiator } else { Sender::Responder };
            evidence::keep(&mut self.evidence, Evidence::of_drop(packet, sender));
        }
        let (sender, _) = self.sides(from_initiator);
        if sender.recent.is_copy(packet) {
            self.duplicates += 1;
            if self.also_in.is_none() && packet.encapsulation != self.encapsulation {
                self.also_in = Some(packet.encapsulation);
            }
            return false;
        }
        if sender.packets == 0 {
            let Packet { link, ttl, heading, .. } = *packet;
            sender.first = FirstPacket { link: link.copied(), ttl, heading };
        }
        sender.packets += 1;
        sender.bytes += u64::from(length);
        if from_initiator && length > 0 && self.asked.is_none() {
            self.asked = Some((packet.frame, packet.time));
        }
        true
    }

    /// Counts a fragment of a packet whose first fragment belongs to this flow.
    fn observe_later_fragment(&mut self, packet: &Packet<'_>, at: SeqNumber, length: u32) {
        if !self.count(packet, length) {
            return;
        }
        let (sender, _) = self.sides(self.is_from_initiator(packet));
        // Only TCP has these numbers, and only after a segment.
        let end = at.plus(length);
        sender.next_seq = sender.next_seq.map(|next| if end.is_after(next) { end } else { next });
    }

    fn keep_evidence(&mut self, packet: &Packet<'_>) {
        let sender =
            if self.is_from_initiator(packet) { Sender::Initiator } else { Sender::Responder };
        evidence::keep(&mut self.evidence, Evidence::of(packet, sender));
    }

    /// Makes the other endpoint the initiator.
    fn swap_sides(&mut self) {
        self.initiator_end = self.initiator_end.opposite();
        std::mem::swap(&mut self.initiator, &mut self.responder);
        self.history.swap_sides();
        self.tcp.reset_by = self.tcp.reset_by.map(evidence::opposite);
        // These were said of the packets of what is the responder now.
        self.tcp.reset_before_answer = false;
        self.asked = None;
        self.prohibited = false;
        self.unreachable = false;
        for evidence in &mut self.evidence {
            evidence.sender = evidence::opposite(evidence.sender);
        }
    }

    /// Whether the capturing machine itself dropped all that one of the sides sent: what is missing
    /// then is not the network's doing.
    pub fn is_dropped_here(&self) -> bool {
        self.initiator.is_dropped() || self.responder.is_dropped()
    }

    /// Whether both sides said FIN, or the only side that was captured did.
    pub fn is_finished(&self) -> bool {
        let finished = |side: &Side| side.packets == 0 || side.has_sent(Flags::FIN);
        finished(&self.initiator) && finished(&self.responder)
    }
}
