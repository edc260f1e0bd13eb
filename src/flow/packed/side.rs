//! One direction of a flow as few bytes.

use crate::flow::packed::bit;
use crate::flow::packed::bytes::{Reader, Writer};
use crate::flow::{FirstPacket, Side};
use crate::net::SeqNumber;
use crate::packet::Heading;

const ISN: u8 = 1;
const NEXT: u8 = 1 << 1;
const ACK: u8 = 1 << 2;
const LINK: u8 = 1 << 3;
const LEAVING: u8 = 1 << 4;
const ARRIVING: u8 = 1 << 5;
const DROPPED: u8 = 1 << 6;
/// Nothing else is there.
const EMPTY: u8 = 1 << 7;

/// Writes all but what is remembered of its last packets. `other` is the other side's first
/// sequence number.
pub(super) fn write(
    side: &Side,
    other: Option<SeqNumber>,
    link: Option<u32>,
    is_tcp: bool,
    out: &mut Writer<'_>,
) {
    let Side { packets, bytes, dropped, flags, isn, next_seq, ack, first, recent: _ } = *side;
    let has_numbers = isn.is_some() || next_seq.is_some() || ack.is_some();
    if packets == 0 && bytes == 0 && dropped == 0 && flags == 0 && !has_numbers {
        out.byte(EMPTY);
        return;
    }
    out.byte(
        bit(ISN, isn.is_some())
            | bit(NEXT, next_seq.is_some())
            | bit(ACK, ack.is_some())
            | bit(LINK, link.is_some())
            | bit(LEAVING, first.heading == Heading::Leaving)
            | bit(ARRIVING, first.heading == Heading::Arriving)
            | bit(DROPPED, dropped != 0),
    );
    out.number(packets);
    out.number(bytes);
    out.byte(first.ttl);
    if let Some(link) = link {
        out.number(link.into());
    }
    if dropped != 0 {
        out.number(dropped);
    }
    if is_tcp {
        out.byte(flags);
    }
    let start = isn.unwrap_or(SeqNumber(0));
    if let Some(isn) = isn {
        out.bytes(&isn.0.to_le_bytes());
    }
    if let Some(next) = next_seq {
        out.step(start.0, next.0);
    }
    if let Some(ack) = ack {
        out.step(other.unwrap_or(SeqNumber(0)).0, ack.0);
    }
}

/// Reads a side. Its acknowledgment number is still told from 0: [`resolve`] mends that. Gives
/// whether there is one.
pub(super) fn read(
    from: &mut Reader<'_>,
    is_tcp: bool,
    link: impl Fn(u32) -> Option<[u8; 12]>,
    side: &mut Side,
) -> bool {
    *side = Side::default();
    let parts = from.byte();
    if parts & EMPTY != 0 {
        return false;
    }
    side.packets = from.number();
    side.bytes = from.number();
    let ttl = from.byte();
    let heading = match parts & (LEAVING | ARRIVING) {
        0 => Heading::Unknown,
        LEAVING => Heading::Leaving,
        _ => Heading::Arriving,
    };
    let link = if parts & LINK != 0 { link(from.small()) } else { None };
    side.first = FirstPacket { link, ttl, heading };
    if parts & DROPPED != 0 {
        side.dropped = from.number();
    }
    if is_tcp {
        side.flags = from.byte();
    }
    if parts & ISN != 0 {
        side.isn = Some(SeqNumber(u32::from_le_bytes(from.array())));
    }
    let start = side.isn.unwrap_or(SeqNumber(0));
    if parts & NEXT != 0 {
        side.next_seq = Some(SeqNumber(from.step(start.0)));
    }
    if parts & ACK != 0 {
        side.ack = Some(SeqNumber(from.step(0)));
    }
    parts & ACK != 0
}

/// Tells the acknowledgment number from the other side's first sequence number.
pub(super) fn resolve(side: &mut Side, has_ack: bool, other: Option<SeqNumber>) {
    if has_ack {
        side.ack = side.ack.map(|way| other.unwrap_or(SeqNumber(0)).plus(way.0));
    }
}
