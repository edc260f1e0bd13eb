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

/// What is kept of a SYN.
pub(super) struct Syn {
    kind: u8,
    bits: u8,
    flags: u8,
    ttl: u8,
    key: FlowKey,
    frame: u32,
    since_base: u64,
    seq: u32,
    window: u16,
    link: u16,
    ip_id: u16,
}

impl Syn {
    /// What is kept of this one; `None` where there is more to it than a record can say.
    #[inline]
    pub(super) fn of(packet: &Packet<'_>, segment: Segment, base: i64, link: u32) -> Option<Syn> {
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
        let since_base = time?.as_nanoseconds().checked_sub(base)?;
        let heading = match packet.heading {
            Heading::Unknown => 0,
            Heading::Leaving => LEAVING,
            Heading::Arriving => ARRIVING,
        };
        let from_high = if sender == End::High { FROM_HIGH } else { 0 };
        let group = if to_group { TO_GROUP } else { 0 };
        Some(Syn {
            kind,
            bits: from_high | group | heading,
            flags: segment.flags.0,
            ttl,
            key,
            frame: u32::try_from(frame.0).ok()?,
            // 48 bits: three days.
            since_base: u64::try_from(since_base).ok().filter(|since| since >> 48 == 0)?,
            seq: segment.seq.0,
            window: segment.window,
            link: u16::try_from(link).ok()?,
            ip_id: ip_id.unwrap_or_default(),
        })
    }

    /// Bytes of its record.
    pub(super) fn length(&self) -> usize {
        if self.kind == V4 { 36 } else { 58 }
    }

    /// Writes its record, of [`Syn::length`] bytes, to where it is to stay: of twelve million, none is
    /// copied.
    #[inline]
    pub(super) fn write(&self, to: &mut [u8]) {
        let mut out = Out(to);
        out.push([self.kind, self.bits, self.flags, self.ttl]);
        let (_, addresses, ports) = self.key.parts();
        for [high, low] in addresses {
            let low = low.to_be_bytes();
            if self.kind == V4 {
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
        out.push(self.frame.to_le_bytes());
        let [since_base @ .., _, _] = self.since_base.to_le_bytes();
        out.push(since_base);
        out.push(self.seq.to_le_bytes());
        out.push(self.window.to_le_bytes());
        out.push(self.link.to_le_bytes());
        if self.kind == V4 {
            out.push(self.ip_id.to_le_bytes());
        }
    }
}

/// The rest of where a record is written.
struct Out<'a>(&'a mut [u8]);

impl Out<'_> {
    // By arrays: what is as long as is known beforehand is copied without a call.
    #[inline]
    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((place, rest)) = std::mem::take(&mut self.0).split_first_chunk_mut() {
            *place = bytes;
            self.0 = rest;
        }
    }
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
