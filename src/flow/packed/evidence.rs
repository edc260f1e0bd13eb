//! The packets that decide, as few bytes.

use std::num::NonZeroU32;

use crate::capture::FrameNote;
use crate::flow::packed::bytes::{Reader, Writer};
use crate::flow::packed::{Origin, bit};
use crate::flow::{Evidence, EvidenceKind, Flow, Sender};
use crate::net::{Address, FrameNumber, SeqNumber, Timestamp};
use crate::packet::IcmpError;

// The first byte: two bits of sender, three of kind, and these.
const TIME: u8 = 1 << 5;
const OTHER_TTL: u8 = 1 << 6;
const RARE: u8 = 1 << 7;

// The second byte.
const SEQ: u8 = 1;
const ACK: u8 = 1 << 1;
const WINDOW: u8 = 1 << 2;
const IP_ID: u8 = 1 << 3;
const ICMP: u8 = 1 << 4;
const LINE: u8 = 1 << 5;
const NOTE: u8 = 1 << 6;

/// What the numbers of one side's packets are near to.
struct Near {
    seq: u32,
    ack: u32,
    ttl: u8,
}

fn near(flow: &Flow, sender: Sender) -> Near {
    let (own, other) = match sender {
        Sender::Initiator | Sender::Network => (&flow.initiator, &flow.responder),
        Sender::Responder => (&flow.responder, &flow.initiator),
    };
    let number = |isn: Option<SeqNumber>| isn.map_or(0, |isn| isn.0);
    Near { seq: number(own.isn), ack: number(other.isn), ttl: own.first.ttl }
}

/// Writes the evidence of a flow.
pub(super) fn write(flow: &Flow, origin: Origin, out: &mut Writer<'_>) {
    out.number(flow.evidence.len() as u64);
    let mut before = origin;
    for evidence in &flow.evidence {
        let Evidence { frame, time, sender, kind, seq, ack, window, ttl, ip_id, icmp, line, note } =
            *evidence;
        let near = near(flow, sender);
        let rare = icmp.is_some() || line.is_some() || note.is_some();
        let head = sender as u8
            | (kind as u8) << 2
            | bit(TIME, time.is_some())
            | bit(OTHER_TTL, ttl != near.ttl)
            | bit(RARE, rare);
        let parts = bit(SEQ, seq.is_some())
            | bit(ACK, ack.is_some())
            | bit(WINDOW, window.is_some())
            | bit(IP_ID, ip_id.is_some())
            | bit(ICMP, icmp.is_some())
            | bit(LINE, line.is_some())
            | bit(NOTE, note.is_some());
        out.bytes(&[head, parts]);
        out.signed(frame.0.wrapping_sub(before.frame).cast_signed());
        before.frame = frame.0;
        if let Some(time) = time {
            before.write_time(time, out);
            before.time = time.as_nanoseconds();
        }
        if ttl != near.ttl {
            out.byte(ttl);
        }
        if let Some(seq) = seq {
            out.step(near.seq, seq.0);
        }
        if let Some(ack) = ack {
            out.step(near.ack, ack.0);
        }
        if let Some(window) = window {
            out.bytes(&window.to_le_bytes());
        }
        if let Some(id) = ip_id {
            out.bytes(&id.to_le_bytes());
        }
        if let Some(icmp) = icmp {
            out.bytes(&icmp.reporter.to_bytes());
            out.bytes(&[icmp.icmp_type, icmp.code, icmp.quoted_seq.is_some().into()]);
            out.bytes(&icmp.quoted_seq.map_or(0, |seq| seq.0).to_le_bytes());
        }
        if let Some(line) = line {
            out.number(line.get().into());
        }
        if let Some(note) = note {
            out.number(note.index() as u64);
        }
    }
}

/// Reads the evidence of a flow, whose sides were read.
pub(super) fn read(from: &mut Reader<'_>, origin: Origin, flow: &mut Flow) {
    let mut list = std::mem::take(&mut flow.evidence);
    list.clear();
    let count = from.number();
    let mut before = origin;
    for _ in 0..count {
        list.push(read_one(from, &mut before, flow));
    }
    flow.evidence = list;
}

fn read_one(from: &mut Reader<'_>, before: &mut Origin, flow: &Flow) -> Evidence {
    let [head, parts] = from.array();
    let sender = Sender::ALL.get(usize::from(head & 3)).copied().unwrap_or(Sender::Network);
    let kind = EvidenceKind::ALL.get(usize::from(head >> 2 & 7)).copied();
    let near = near(flow, sender);
    before.frame = before.frame.wrapping_add(from.signed().cast_unsigned());
    let time = if head & TIME != 0 { before.read_time(from) } else { None };
    before.time = time.map_or(before.time, Timestamp::as_nanoseconds);
    let has = |part: u8| parts & part != 0;
    Evidence {
        frame: FrameNumber(before.frame),
        time,
        sender,
        kind: kind.unwrap_or(EvidenceKind::Data),
        ttl: if head & OTHER_TTL != 0 { from.byte() } else { near.ttl },
        seq: has(SEQ).then(|| SeqNumber(from.step(near.seq))),
        ack: has(ACK).then(|| SeqNumber(from.step(near.ack))),
        window: has(WINDOW).then(|| u16::from_le_bytes(from.array())),
        ip_id: has(IP_ID).then(|| u16::from_le_bytes(from.array())),
        icmp: if has(ICMP) { read_icmp(from) } else { None },
        line: if has(LINE) { NonZeroU32::new(from.small()) } else { None },
        note: has(NOTE).then(|| FrameNote::dropped(from.small())),
    }
}

fn read_icmp(from: &mut Reader<'_>) -> Option<IcmpError> {
    let reporter = Address::from_bytes(from.array());
    let [icmp_type, code, quoted] = from.array();
    let seq = SeqNumber(u32::from_le_bytes(from.array()));
    let quoted_seq = (quoted != 0).then_some(seq);
    Some(IcmpError { reporter: reporter?, icmp_type, code, quoted_seq })
}
