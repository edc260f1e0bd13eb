//! Tells a packet that was captured twice from one that was sent twice.
//!
//! Captures on several adapters, mirror ports and router interfaces hold copies of packets; so
//! do teams and virtual switches. A copy has the same sequence numbers, flags, length and IP
//! identification, comes within milliseconds, and may have another TTL, MAC or VLAN tag. A true
//! retransmission has a new IP identification and comes hundreds of milliseconds later.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::net::Timestamp;
use crate::packet::{Body, Flags, Packet};

/// Copies with the same IP identification come this close, in microseconds.
const WITH_ID: u32 = 50_000;
/// Where there is no identification (IPv6, or 0), in microseconds.
const WITHOUT_ID: u32 = 1_000;

/// Bytes of a datagram that are looked at.
const MOST_HASHED: usize = 256;

/// The last packets of one side, by signature.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    packets: [Seen; 4],
    next: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    signature: u32,
    /// Microseconds, wrapping after 71 minutes: only short differences are asked for.
    microseconds: u32,
}

impl Recent {
    /// Whether the packet is a copy of one of the last; if not, remembers it.
    pub(super) fn is_copy(&mut self, packet: &Packet<'_>) -> bool {
        let signature = signature(packet);
        let has_id = packet.ip_id.is_some_and(|id| id != 0);
        let Some(window) = window(packet, has_id) else {
            return false;
        };
        let microseconds = packet.time.map_or(0, wrapping_microseconds);
        let copy = self.packets.iter().any(|seen| {
            seen.signature == signature
                && microseconds.wrapping_sub(seen.microseconds).cast_signed().unsigned_abs()
                    <= window
        });
        if !copy && let Some(slot) = self.packets.get_mut(usize::from(self.next)) {
            *slot = Seen { signature, microseconds };
            self.next = (self.next + 1) % 4;
        }
        copy
    }
}

/// How close a copy must come; `None` where copies cannot be told from repeats.
fn window(packet: &Packet<'_>, has_id: bool) -> Option<u32> {
    if has_id {
        return Some(WITH_ID);
    }
    // Without a time or an identification there is nothing to go by.
    packet.time?;
    match packet.body {
        // A receiver that misses data sends the same ACK many times in a row.
        Body::Segment(segment)
            if segment.length == 0 && !segment.flags.has(Flags::SYN | Flags::FIN | Flags::RST) =>
        {
            None
        }
        Body::Segment(_) | Body::Datagram { .. } | Body::LaterFragment { .. } => Some(WITHOUT_ID),
        Body::CutSegment | Body::IcmpError(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "wraps on purpose")]
fn wrapping_microseconds(time: Timestamp) -> u32 {
    (time.as_nanoseconds() / 1_000) as u32
}

/// A hash of what copies have in common, never 0 (which stands for an empty slot).
fn signature(packet: &Packet<'_>) -> u32 {
    let id = u64::from(packet.ip_id.unwrap_or_default());
    let (first, second) = match packet.body {
        Body::Segment(segment) => (
            u64::from(segment.seq.0) << 32 | u64::from(segment.ack.0),
            u64::from(segment.length) << 24 | u64::from(segment.flags.0) << 16 | id,
        ),
        Body::Datagram { length } => {
            // Only the payload tells datagrams apart; protocols number them near its beginning.
            let whole = packet.of_row.map_or(packet.payload, |row| row.note().as_bytes());
            let head = whole.get(..MOST_HASHED).unwrap_or(whole);
            (FixedState::default().hash_one(head), u64::from(length) << 24 | id)
        }
        Body::LaterFragment { at, length } => (u64::from(at.0), u64::from(length) << 24 | id),
        Body::CutSegment | Body::IcmpError(_) => (0, id),
    };
    // Multiplicative mixing (Fibonacci hashing): any difference reaches the upper half.
    let mixed = (first ^ second.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ second).wrapping_mul(0xd6e8_feb8_6659_fd93);
    u32::try_from(mixed >> 32).unwrap_or_default() | 1
}
