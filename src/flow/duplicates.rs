//! Tells a packet that was captured twice from one that was sent twice.
//!
//! Captures on several adapters, mirror ports and router interfaces hold copies of packets; so
//! do teams and virtual switches, and both sides of a host that wraps packets in packets. A copy has
//! the same sequence numbers, flags, length and IP identification, comes within milliseconds, and
//! may have another TTL, MAC, VLAN tag or tunnel. A true retransmission has a new IP identification
//! and comes hundreds of milliseconds later.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::flow::Flow;
use crate::net::Timestamp;
use crate::packet::{Body, Encapsulation, Flags, Packet};
use crate::probe::Memory;

/// Copies with the same IP identification come this close, in microseconds; and those that are
/// wrapped in something else, because a host does not send one packet in two ways.
const PROVEN: u32 = 50_000;
/// Where there is neither (no identification in IPv6, or 0), in microseconds.
const LIKELY: u32 = 1_000;

/// Copies stand this close in a capture, in frames. Where a flow was silent for longer, its last
/// packets are not compared, and what its datagrams said before does not help to understand the next
/// ones: so both may be forgotten of flows that lie idle.
pub(super) const NEAR: u64 = 1 << 18;

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
    /// What it was wrapped in.
    wrapping: u32,
}

impl Recent {
    /// Whether the packet is a copy of one of the last; if not, remembers it.
    #[inline]
    pub(super) fn is_copy(&mut self, packet: &Packet<'_>) -> bool {
        if matches!(packet.body, Body::CutSegment | Body::IcmpError(_)) {
            return false;
        }
        let has_id = packet.ip_id.is_some_and(|id| id != 0);
        if !has_id && packet.time.is_none() {
            // There is nothing to go by.
            return false;
        }
        let signature = signature(packet, has_id);
        let wrapping = wrapping(&packet.encapsulation);
        let microseconds = packet.time.map_or(0, wrapping_microseconds);
        // Hardly any signature is there already, so that is asked first, of all at once.
        let same = self.packets.iter().map(|seen| u8::from(seen.signature == signature));
        let known = same.sum::<u8>() > 0;
        let copy = known && {
            let alike = if has_id { PROVEN } else { window_without_id(packet) };
            self.packets.iter().any(|seen| {
                let window = if seen.wrapping == wrapping { alike } else { PROVEN };
                let way = microseconds.wrapping_sub(seen.microseconds).cast_signed();
                seen.signature == signature && way.unsigned_abs() < window
            })
        };
        // Only what is no copy is remembered, so that a true repeat is not compared with the copy
        // of what it repeats.
        if !copy && let Some(slot) = self.packets.get_mut(usize::from(self.next)) {
            *slot = Seen { signature, microseconds, wrapping };
            self.next = (self.next + 1) % 4;
        }
        copy
    }
}

/// What helps with the next packets of flows that were put away, as long as they are not silent for
/// too long.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// How many were forgotten.
    forgotten: u64,
    flows: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    last_frame: u64,
    /// The last packets of the initiator and of the responder.
    recent: [Recent; 2],
    memory: Option<Memory>,
}

impl Remembered {
    /// Keeps this of a flow, and gives the number to [`Remembered::recall`] it by.
    pub(super) fn keep(&mut self, flow: &Flow, memory: Option<Memory>) -> u64 {
        let last_frame = flow.last_frame.0;
        while self.flows.front().is_some_and(|old| old.last_frame + NEAR < last_frame) {
            self.flows.pop_front();
            self.forgotten += 1;
        }
        let recent = [flow.initiator.recent, flow.responder.recent];
        self.flows.push_back(Kept { last_frame, recent, memory });
        self.forgotten + self.flows.len() as u64
    }

    /// Bytes of memory, but for what probes remember.
    pub(super) fn bytes(&self) -> usize {
        self.flows.capacity() * size_of::<Kept>()
    }

    /// Gives a flow its last packets back, and what its probe remembered. Number 0 stands for none that
    /// were kept.
    pub(super) fn recall(&mut self, number: u64, flow: &mut Flow) -> Option<Memory> {
        if number == 0 {
            return None;
        }
        let place = number.checked_sub(self.forgotten + 1).map(usize::try_from);
        let kept = place.and_then(Result::ok).and_then(|place| self.flows.get_mut(place));
        let (recent, memory) = match kept {
            Some(Kept { recent, memory, .. }) => (*recent, memory.take()),
            None => Default::default(),
        };
        [flow.initiator.recent, flow.responder.recent] = recent;
        memory
    }
}

/// How close a copy without an identification must come, where it is wrapped in the same.
fn window_without_id(packet: &Packet<'_>) -> u32 {
    match packet.body {
        // A receiver that misses data sends the same ACK many times in a row.
        Body::Segment(segment)
            if segment.length == 0 && !segment.flags.has(Flags::SYN | Flags::FIN | Flags::RST) =>
        {
            0
        }
        Body::Segment(_) | Body::Datagram { .. } | Body::LaterFragment { .. } => LIKELY,
        Body::CutSegment | Body::IcmpError(_) => 0,
    }
}

/// A number for what a packet is wrapped in; most are in nothing.
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn wrapping(encapsulation: &Encapsulation) -> u32 {
    if *encapsulation == Encapsulation::default() {
        0
    } else {
        FixedState::default().hash_one(encapsulation) as u32 | 1
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "wraps on purpose")]
fn wrapping_microseconds(time: Timestamp) -> u32 {
    (time.as_nanoseconds() / 1_000) as u32
}

/// A hash of what copies have in common, never 0 (which stands for an empty slot).
#[inline]
fn signature(packet: &Packet<'_>, has_id: bool) -> u32 {
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
            // The snap length leaves less of a copy that is wrapped in more.
            let cut = head.len() < MOST_HASHED && head.len() < length as usize;
            let head = if has_id && cut { &[] } else { head };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::{flows, packets};
    use crate::packet::LayerKind;

    /// The same packets once more, a little later and inside a tunnel.
    fn inside_a_tunnel(packets: &[Packet<'static>], microseconds: i128) -> Vec<Packet<'static>> {
        let mut vxlan = Encapsulation::default();
        vxlan.push_numbered(LayerKind::Vxlan, 5_001);
        let later = |time: Timestamp| {
            let nanoseconds = i128::from(time.as_nanoseconds()) + microseconds * 1_000;
            Timestamp::from_nanoseconds(nanoseconds)
        };
        let copy = |packet: &Packet<'static>| Packet {
            ttl: packet.ttl - 1,
            time: packet.time.and_then(later),
            encapsulation: vxlan,
            ..*packet
        };
        packets.iter().map(copy).collect()
    }

    #[test]
    fn a_packet_inside_and_outside_of_a_tunnel_counts_once() {
        // Also without an identification, as in IPv6, and also a mere ACK.
        for with_id in [true, false] {
            let mut outside = packets("SShA");
            for packet in &mut outside {
                packet.ip_id = packet.ip_id.filter(|_| with_id);
            }
            let inside = inside_a_tunnel(&outside, 20_000);
            let both: Vec<_> = outside.iter().zip(&inside).flat_map(|(a, b)| [*a, *b]).collect();
            let flows = flows(&both);
            assert_eq!(flows.len(), 1);
            assert_eq!((flows[0].history.to_string(), flows[0].duplicates), ("SShA".into(), 4));
            assert_eq!(flows[0].encapsulation, Encapsulation::default());
            assert_eq!(flows[0].also_in, Some(inside[0].encapsulation));
            // The other way round the tunnel is where it was seen first.
            let both: Vec<_> = inside.iter().zip(&outside).flat_map(|(a, b)| [*a, *b]).collect();
            let flows = crate::flow::script::flows(&both);
            assert_eq!(flows[0].encapsulation, inside[0].encapsulation);
            assert_eq!(flows[0].also_in, Some(Encapsulation::default()));
        }
    }

    #[test]
    fn a_repeat_in_another_tunnel_is_a_repeat() {
        let syns = packets("S");
        let mut again = inside_a_tunnel(&syns, 1_000_000);
        again[0].ip_id = Some(99);
        let flows = flows(&[syns[0], again[0]]);
        assert_eq!((flows[0].tcp.syns, flows[0].duplicates), (2, 0));
    }

    #[test]
    fn requests_and_answers_may_be_wrapped_in_different_things() {
        let mut all = packets("ShA");
        all[1] = inside_a_tunnel(&all[1..2], 0)[0];
        let flows = flows(&all);
        assert_eq!((flows.len(), flows[0].history.to_string()), (1, "ShA".into()));
        assert_eq!((flows[0].duplicates, flows[0].also_in), (0, None));
    }
}
