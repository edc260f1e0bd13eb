//! A SYN that is all there is of a flow, as few bytes.
//!
//! Its record has one length for each version of IP, so that the holes that answered SYNs leave are
//! filled by the next ones.

use crate::flow::packed::bytes::Reader;
use crate::flow::packed::read_address;
use crate::flow::{FirstPacket, Flow, InitiatorBy, LoneSyn};
use crate::net::{End, FlowKey, FrameNumber, SeqNumber, Timestamp};
use crate::packet::{Body, Encapsulation, Flags, Heading, Packet, Segment};

/// The first byte of a record: IPv4, IPv6.
const V4: u8 = 1;
const V6: u8 = 2;

// The second byte.
const FROM_HIGH: u8 = 1;
const TO_GROUP: u8 = 1 << 1;
const LEAVING: u8 = 1 << 2;
const ARRIVING: u8 = 1 << 3;

/// Room for a record of either kind.
#[derive(Clone, Copy)]
pub(super) struct Record {
    bytes: [u8; 64],
    used: usize,
}

impl Default for Record {
    fn default() -> Record {
        Record { bytes: [0; 64], used: 0 }
    }
}

impl Record {
    // By arrays: what is as long as is known beforehand is copied without a call.
    #[inline]
    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut) {
            *place = bytes;
            self.used += N;
        }
    }

    pub(super) fn get(&self, range: std::ops::RangeTo<usize>) -> Option<&[u8]> {
        self.bytes.get(range)
    }
}

/// Writes a SYN and gives the length of its record; `None` where there is more to it than a record
/// can say.
pub(super) fn write(
    packet: &Packet<'_>,
    segment: Segment,
    base: i64,
    link: u32,
    out: &mut Record,
) -> Option<usize> {
    let Packet { frame, time, key, sender, ttl, ip_id, payload, to_group, .. } = *packet;
    let kind = match (key.is_plain_tcp()?, ip_id) {
        (true, Some(_)) => V4,
        (false, None) => V6,
        _ => return None,
    };
    let plain = segment.flags.is_syn()
        && !segment.flags.has(Flags::RST)
        && segment.length == 0
        && segment.ack.0 == 0
        && payload.is_empty()
        && packet.of_row.is_none()
        && packet.note.is_none()
        && packet.encapsulation == Encapsulation::default();
    if !plain {
        return None;
    }
    let link = u16::try_from(link).ok()?;
    let frame = u32::try_from(frame.0).ok()?;
    let since_base = time?.as_nanoseconds().checked_sub(base)?;
    // 48 bits: three days.
    let since_base = u64::try_from(since_base).ok().filter(|since| since >> 48 == 0)?;
    let heading = match packet.heading {
        Heading::Unknown => 0,
        Heading::Leaving => LEAVING,
        Heading::Arriving => ARRIVING,
    };
    let from_high = if sender == End::High { FROM_HIGH } else { 0 };
    let group = if to_group { TO_GROUP } else { 0 };
    out.push([kind, from_high | group | heading, segment.flags.0, ttl]);
    let (_, addresses, ports) = key.parts();
    for [high, low] in addresses {
        let low = low.to_be_bytes();
        if kind == V4 {
            let [.., a, b, c, d] = low;
            out.push([a, b, c, d]);
        } else {
            out.push(high.to_be_bytes());
            out.push(low);
        }
    }
    for port in ports {
        out.push(port.to_be_bytes());
    }
    out.push(frame.to_le_bytes());
    let [bytes @ .., _, _] = since_base.to_le_bytes();
    out.push(bytes);
    out.push(segment.seq.0.to_le_bytes());
    out.push(segment.window.to_le_bytes());
    out.push(link.to_le_bytes());
    if kind == V4 {
        out.push(ip_id.unwrap_or_default().to_le_bytes());
    }
    Some(out.used)
}

/// Reads the key of a record from behind its first byte.
pub(super) fn key(kind: u8, from: &mut Reader<'_>) -> FlowKey {
    from.array::<3>();
    read_key(kind, from)
}

fn read_key(kind: u8, from: &mut Reader<'_>) -> FlowKey {
    let addresses = [read_address(kind == V4, from), read_address(kind == V4, from)];
    let ports = [u16::from_be_bytes(from.array()), u16::from_be_bytes(from.array())];
    FlowKey::of_parts(FlowKey::plain_tcp(kind == V4), addresses, ports)
}

/// Reads the frame of a record from behind its first byte.
pub(super) fn frame(kind: u8, from: &mut Reader<'_>) -> FrameNumber {
    key(kind, from);
    FrameNumber(u32::from_le_bytes(from.array()).into())
}

fn read_time(base: i64, from: &mut Reader<'_>) -> Option<Timestamp> {
    let mut since_base = [0; 8];
    if let Some(low) = since_base.first_chunk_mut::<6>() {
        *low = from.array();
    }
    let since_base = u64::from_le_bytes(since_base).cast_signed();
    Timestamp::from_nanoseconds(base.wrapping_add(since_base).into())
}

fn sender_of(bits: u8) -> End {
    if bits & FROM_HIGH == 0 { End::Low } else { End::High }
}

fn heading_of(bits: u8) -> Heading {
    match bits & (LEAVING | ARRIVING) {
        0 => Heading::Unknown,
        LEAVING => Heading::Leaving,
        _ => Heading::Arriving,
    }
}

/// Reads a record from behind its first byte: what most ask of such a flow.
#[inline]
pub(super) fn look(
    kind: u8,
    from: &mut Reader<'_>,
    base: i64,
    link: impl Fn(u32) -> Option<[u8; 12]>,
) -> LoneSyn {
    let [bits, _, ttl] = from.array();
    let (key, end) = (read_key(kind, from), sender_of(bits));
    from.array::<4>();
    let seen = read_time(base, from);
    from.array::<6>();
    let link = link(u16::from_le_bytes(from.array()).into());
    LoneSyn {
        initiator: key.endpoint(end),
        responder: key.endpoint(end.opposite()),
        seen,
        first: FirstPacket { link, ttl, heading: heading_of(bits) },
    }
}

/// Reads a record from behind its first byte: the flow that begins with the SYN.
pub(super) fn read(
    kind: u8,
    from: &mut Reader<'_>,
    base: i64,
    link: impl Fn(u32) -> Option<[u8; 12]>,
    flow: &mut Flow,
) {
    let [bits, flags, ttl] = from.array();
    let key = read_key(kind, from);
    let frame = FrameNumber(u32::from_le_bytes(from.array()).into());
    let time = read_time(base, from);
    let seq = SeqNumber(u32::from_le_bytes(from.array()));
    let window = u16::from_le_bytes(from.array());
    let link = link(u16::from_le_bytes(from.array()).into());
    let ip_id = (kind == V4).then(|| u16::from_le_bytes(from.array()));
    let segment = Segment { seq, ack: SeqNumber(0), flags: Flags(flags), window, length: 0 };
    let sender = sender_of(bits);
    let packet = Packet {
        frame,
        time,
        key,
        sender,
        ttl,
        ip_id,
        body: Body::Segment(segment),
        payload: &[],
        to_group: bits & TO_GROUP != 0,
        encapsulation: Encapsulation::default(),
        link: link.as_ref(),
        heading: heading_of(bits),
        of_row: None,
        note: None,
    };
    flow.restart(&packet, sender, InitiatorBy::Handshake);
    flow.observe_segment(&packet, segment);
}
