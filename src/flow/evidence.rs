//! The packets that decide what became of a flow.

use std::num::NonZeroU32;

use crate::capture::{FrameNote, RowContent};
use crate::net::{FrameNumber, SeqNumber, Timestamp};
use crate::packet::{Body, Flags, IcmpError, Packet};
use crate::words::words;

words! {
    /// Who sent a packet of evidence.
    Sender {
        /// The side that opened the flow.
        Initiator = "initiator",
        /// The side that was called.
        Responder = "responder",
        /// Something between or beside them.
        Network = "network",
    }
}

words! {
    /// What a packet of evidence is.
    EvidenceKind {
        /// SYN without ACK.
        Syn = "syn",
        /// SYN with ACK.
        SynAck = "syn_ack",
        /// ACK without payload.
        Ack = "ack",
        /// RST.
        Rst = "rst",
        /// ICMP error.
        Icmp = "icmp",
        /// FIN.
        Fin = "fin",
        /// Payload, TCP or UDP.
        Data = "data",
        /// Dropped by the capturing machine itself.
        Drop = "drop",
    }
}

/// A packet that decides, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Frame to open.
    pub frame: FrameNumber,
    /// When it was captured.
    pub time: Option<Timestamp>,
    /// Who sent it.
    pub sender: Sender,
    /// What it is.
    pub kind: EvidenceKind,
    /// TCP sequence number; of an ICMP error that of the quoted segment.
    pub seq: Option<SeqNumber>,
    /// TCP acknowledgment number, where the ACK flag is set.
    pub ack: Option<SeqNumber>,
    /// TCP window, not scaled.
    pub window: Option<u16>,
    /// Time to live or hop limit; 0 where it is not told.
    pub ttl: u8,
    /// IPv4 identification.
    pub ip_id: Option<u16>,
    /// What an ICMP error says, and who says it.
    pub icmp: Option<IcmpError>,
    /// Line of the text that tells of the packet, from 1, where it was read from one.
    pub line: Option<NonZeroU32>,
    /// What the capture knows of its frame.
    pub note: Option<FrameNote>,
}

impl Evidence {
    /// The evidence that a packet is. `sender` is who sent it; of an ICMP error, who sent the packet
    /// that it quotes.
    pub(super) fn of(packet: &Packet<'_>, sender: Sender) -> Evidence {
        let mut evidence = Evidence {
            frame: packet.frame,
            time: packet.time,
            sender,
            kind: EvidenceKind::Data,
            seq: None,
            ack: None,
            window: None,
            ttl: packet.ttl,
            ip_id: packet.ip_id,
            icmp: None,
            line: None,
            note: packet.note,
        };
        match packet.body {
            Body::Segment(segment) => {
                let flags = segment.flags;
                evidence.kind = if flags.has(Flags::RST) {
                    EvidenceKind::Rst
                } else if flags.is_syn() {
                    EvidenceKind::Syn
                } else if flags.is_syn_ack() {
                    EvidenceKind::SynAck
                } else if segment.length > 0 {
                    EvidenceKind::Data
                } else if flags.has(Flags::FIN) {
                    EvidenceKind::Fin
                } else {
                    EvidenceKind::Ack
                };
                evidence.seq = Some(segment.seq);
                evidence.ack = flags.has(Flags::ACK).then_some(segment.ack);
                evidence.window = Some(segment.window);
            }
            Body::CutSegment | Body::Datagram { .. } | Body::LaterFragment { .. } => {}
            Body::IcmpError(error) => {
                let addresses = |end| packet.key.endpoint(end).address;
                evidence.sender = match error.reporter {
                    from if from == addresses(packet.sender) => sender,
                    // The quoted packet was going there.
                    from if from == addresses(packet.sender.opposite()) => opposite(sender),
                    _ => Sender::Network,
                };
                evidence.kind = EvidenceKind::Icmp;
                evidence.seq = error.quoted_seq;
                evidence.icmp = Some(error);
            }
        }
        if let Some(row) = packet.row() {
            evidence.line = NonZeroU32::new(row.line);
            // What was put in to follow the flow is not what was seen.
            if let RowContent::Segment { segment, .. } = row.content {
                evidence.seq = segment.seq.on_wire();
                evidence.ack = evidence.ack.and(segment.ack.on_wire());
                evidence.window = segment.window;
            }
        }
        evidence
    }

    /// The evidence that a packet was dropped by the capturing machine, as its note says.
    pub(super) fn of_drop(packet: &Packet<'_>, sender: Sender) -> Evidence {
        Evidence { kind: EvidenceKind::Drop, ..Evidence::of(packet, sender) }
    }
}

pub(super) fn opposite(sender: Sender) -> Sender {
    match sender {
        Sender::Initiator => Sender::Responder,
        Sender::Responder => Sender::Initiator,
        Sender::Network => Sender::Network,
    }
}

/// Evidence kept of each kind: the first ones, and after them the last one.
const FIRST_OF_A_KIND: usize = 8;

/// Keeps evidence: the first eight of each kind and the last.
pub(super) fn keep(list: &mut Vec<Evidence>, evidence: Evidence) {
    let is_of_kind = |kept: &&Evidence| kept.kind == evidence.kind;
    if list.len() > FIRST_OF_A_KIND
        && list.iter().filter(is_of_kind).count() > FIRST_OF_A_KIND
        && let Some(last) = list.iter().rposition(|kept| kept.kind == evidence.kind)
    {
        list.remove(last);
    }
    list.push(evidence);
}
