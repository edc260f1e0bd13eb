//! Rings: Token Ring and FDDI.
//!
//! Both send the bits of an address in the other order than Ethernet, and captures keep that or
//! not, so the group bit is not believed: only the broadcast is the same both ways.

use crate::packet::link::{Stripped, llc};
use crate::packet::skipped::Skipped;

const BROADCAST: [u8; 6] = [0xff; 6];

/// Token Ring (IEEE 802.5): access control, frame control, addresses, the route, LLC.
pub(super) fn token_ring(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("Token Ring");
    let (header, rest) = bytes.split_first_chunk::<14>().ok_or(broken)?;
    let [_, control, d0, d1, d2, d3, d4, d5, s0, ..] = *header;
    // The upper two bits: 0 is the ring's own, 1 is LLC.
    if control >> 6 != 1 {
        return Err(Skipped::LinkControl("Token Ring"));
    }
    // A route follows where the first bit of the source address is set; its length, which counts
    // itself, lies in the lower five bits of its first byte.
    let route = match rest.first() {
        Some(first) if s0 & 0x80 != 0 => usize::from(first & 0x1f),
        _ => 0,
    };
    let stripped = llc(rest.get(route..).ok_or(broken)?)?;
    // Functional addresses (c0-00-…) and the broadcast by functional address are groups too, but
    // carry no unicast IP.
    Ok(Stripped { to_group: [d0, d1, d2, d3, d4, d5] == BROADCAST, ..stripped })
}

/// FDDI (ISO 9314): frame control, addresses, LLC.
pub(super) fn fddi(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let (header, rest) = bytes.split_first_chunk::<13>().ok_or(Skipped::Broken("FDDI"))?;
    let [control, d0, d1, d2, d3, d4, d5, ..] = *header;
    // The middle bits: 01 is LLC, with the class before and the priority after them.
    if control & 0x30 != 0x10 {
        return Err(Skipped::LinkControl("FDDI"));
    }
    let stripped = llc(rest)?;
    Ok(Stripped { to_group: [d0, d1, d2, d3, d4, d5] == BROADCAST, ..stripped })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

    #[test]
    fn token_ring_frames_may_carry_their_route() {
        let direct = [0x10, 0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let routed = [0x10, 0x40, 1, 2, 3, 4, 5, 6, 0x87, 8, 9, 10, 11, 12];
        let bytes = [&direct[..], &SNAP, &[0x45]].concat();
        let stripped = token_ring(&bytes).unwrap();
        assert_eq!((stripped.ether_type.0, stripped.bytes), (0x800, &[0x45][..]));
        // Route of six bytes: two of control and two segments.
        let bytes = [&routed[..], &[6, 0x30, 0, 0x11, 0, 0x20], &SNAP, &[0x45]].concat();
        let stripped = token_ring(&bytes).unwrap();
        assert_eq!((stripped.ether_type.0, stripped.bytes), (0x800, &[0x45][..]));
        let cut = [&routed[..], &[30, 0x30]].concat();
        assert_eq!(token_ring(&cut).err(), Some(Skipped::Broken("Token Ring")));
        let claim = [0x10, 0x03, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0];
        assert_eq!(token_ring(&claim).err(), Some(Skipped::LinkControl("Token Ring")));
    }

    #[test]
    fn fddi_frames_hold_llc_or_manage_the_ring() {
        let header = [0x50, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7, 8, 9, 10, 11, 12];
        let bytes = [&header[..], &SNAP, &[0x45]].concat();
        let stripped = fddi(&bytes).unwrap();
        assert_eq!((stripped.ether_type.0, stripped.bytes), (0x800, &[0x45][..]));
        assert!(stripped.to_group);
        let management = [&[0x41][..], &header[1..], &SNAP].concat();
        assert_eq!(fddi(&management).err(), Some(Skipped::LinkControl("FDDI")));
        assert_eq!(fddi(&header[..12]).err(), Some(Skipped::Broken("FDDI")));
    }
}
