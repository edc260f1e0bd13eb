//! GRE, and what is spoken over it only: mirrors of switches (ERSPAN) and PPTP.

use crate::packet::encapsulation::{Encapsulation, LayerKind};
use crate::packet::link::{self, Stripped, number, to_one};
use crate::packet::skipped::Skipped;
use crate::packet::tunnel::is_ip;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// PPTP only.
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;

/// ERSPAN types I and II.
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

/// The fixed part of a GRE header.
#[derive(Clone, Copy)]
struct Header<'a> {
    flags: u16,
    protocol: u16,
    rest: &'a [u8],
}

fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let ([f0, f1, p0, p1], rest) = bytes.split_first_chunk::<4>()?;
    let flags = u16::from_be_bytes([*f0, *f1]);
    Some(Header { flags, protocol: u16::from_be_bytes([*p0, *p1]), rest })
}

/// Whether UDP to GRE's port carries GRE (RFC 8086): known bits, a known protocol.
pub(super) fn is_plausible(bytes: &[u8]) -> bool {
    header(bytes).is_some_and(|header| {
        header.flags & !(CHECKSUM | KEY | SEQUENCE) == 0
            && matches!(
                header.protocol,
                number::IPV4 | number::IPV6 | number::BRIDGED | number::MPLS | ERSPAN | ERSPAN_III
            )
    })
}

/// Opens GRE (RFC 2784 2, RFC 2890 2; the routing part is that of RFC 1701).
pub(super) fn open<'a>(
    bytes: &'a [u8],
    layers: &mut Encapsulation,
) -> Result<Stripped<'a>, Skipped> {
    let broken = Skipped::Broken("GRE");
    let header = header(bytes).ok_or(broken)?;
    match header.flags & VERSION {
        0 => {}
        1 => return pptp(header, layers),
        _ => return Err(broken),
    }
    let mut rest = header.rest;
    let has = |flag: u16| header.flags & flag != 0;
    if has(CHECKSUM | ROUTING) {
        word(&mut rest).ok_or(broken)?;
    }
    let key = if has(KEY) { Some(word(&mut rest).ok_or(broken)?) } else { None };
    if has(SEQUENCE) {
        word(&mut rest).ok_or(broken)?;
    }
    if has(ROUTING) {
        rest = after_routes(rest).ok_or(broken)?;
    }
    if let ERSPAN | ERSPAN_III = header.protocol {
        return erspan(header, rest, layers);
    }
    match key {
        Some(key) => layers.push_numbered(LayerKind::Gre, key),
        None => layers.push(LayerKind::Gre),
    }
    inside(header.protocol, rest)
}

/// Takes 32 bits.
fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*word))
}

/// Routes: family in two bytes, offset, length of what follows; all zero is the last.
fn after_routes(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let ([_, _, _, length], after) = rest.split_first_chunk::<4>()?;
        rest = after.get(usize::from(*length)..)?;
        if *length == 0 {
            return Some(rest);
        }
    }
}

/// GRE's protocol numbers are those of Ethernet, but for a few.
fn inside(protocol: u16, bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match protocol {
        // Web caches (WCCP): version 2 has four bytes of its own before the packet.
        0x883e if !is_ip(bytes) => link::raw_ip(bytes.get(4..).unwrap_or_default()),
        0x883e => link::raw_ip(bytes),
        // Aruba's access points: 802.11, with the tunnel's number in the protocol.
        0x8200..=0x8370 if protocol.is_multiple_of(16) => link::wireless(bytes),
        // A router that asks itself whether the tunnel works sends no protocol.
        0 => Err(Skipped::LinkControl("GRE keepalive")),
        // Not the lengths that they would be in Ethernet.
        other @ 1..number::LEAST => Err(Skipped::EtherType(other)),
        other => Ok(to_one(other, bytes)),
    }
}

/// A switch's mirror of what passes a port (draft-foschiano-erspan 4).
fn erspan<'a>(
    header: Header<'a>,
    bytes: &'a [u8],
    layers: &mut Encapsulation,
) -> Result<Stripped<'a>, Skipped> {
    // Type I has no sequence number in GRE and no header of its own.
    if header.protocol == ERSPAN && header.flags & SEQUENCE == 0 {
        layers.push(LayerKind::Erspan);
        return link::ethernet(bytes);
    }
    let broken = Skipped::Broken("ERSPAN");
    // Version and VLAN; class, flags and 10 bits that tell the mirror.
    let (&[version, _, m0, m1], _) = bytes.split_first_chunk::<4>().ok_or(broken)?;
    let mirror = u16::from_be_bytes([m0, m1]) & 0x3ff;
    layers.push_numbered(LayerKind::Erspan, mirror.into());
    match version >> 4 {
        1 => link::ethernet(bytes.get(8..).ok_or(broken)?),
        2 => {
            let (&[.., kind, more], rest) = bytes.split_first_chunk::<12>().ok_or(broken)?;
            // The last bit: eight bytes of the platform follow.
            let rest = if more & 1 != 0 { rest.get(8..).ok_or(broken)? } else { rest };
            // Bits 1 to 5 of the byte before: what kind of frame it is.
            match kind >> 2 & 0x1f {
                0 => link::ethernet(rest),
                2 => link::raw_ip(rest),
                _ => Err(Skipped::Tunnel("ERSPAN")),
            }
        }
        _ => Err(broken),
    }
}

/// GRE as PPTP has it (RFC 2637 4.1): the key is a length and a call; without a sequence number it
/// only acknowledges.
fn pptp<'a>(header: Header<'a>, layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    let broken = Skipped::Broken("PPTP");
    if header.flags & KEY == 0 || header.protocol != 0x880b {
        return Err(broken);
    }
    let mut rest = header.rest;
    let call = word(&mut rest).ok_or(broken)? & 0xffff;
    layers.push_numbered(LayerKind::Pptp, call);
    if header.flags & SEQUENCE == 0 {
        return Err(Skipped::LinkControl("PPTP acknowledgment"));
    }
    word(&mut rest).ok_or(broken)?;
    if header.flags & ACKNOWLEDGMENT != 0 {
        word(&mut rest).ok_or(broken)?;
    }
    link::ppp(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: [u8; 4] = [0x45, 0, 0, 20];
    const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

    /// EtherType, length left, and layers.
    fn opened(parts: &[&[u8]]) -> (Result<(u16, usize), Skipped>, Vec<String>) {
        let bytes = parts.concat();
        let mut layers = Encapsulation::default();
        let opened =
            open(&bytes, &mut layers).map(|stripped| (stripped.ether_type.0, stripped.bytes.len()));
        (opened, layers.layers().map(|layer| layer.to_string()).collect())
    }

    fn ip_in(layer: &str) -> (Result<(u16, usize), Skipped>, Vec<String>) {
        (Ok((0x800, 4)), vec![layer.to_owned()])
    }

    #[test]
    fn optional_fields_are_there_where_the_flags_say() {
        assert_eq!(opened(&[&[0, 0, 8, 0], &IP]), ip_in("gre"));
        assert_eq!(opened(&[&[0x80, 0, 8, 0], &[1; 4], &IP]), ip_in("gre"));
        assert_eq!(opened(&[&[0x20, 0, 8, 0, 0, 1, 0, 0], &IP]), ip_in("gre 65536"));
        assert_eq!(opened(&[&[0x10, 0, 8, 0], &[1; 4], &IP]), ip_in("gre"));
        let all = [0xb0, 0, 8, 0, 9, 9, 0, 0, 0, 0, 0, 42, 0, 0, 0, 1];
        assert_eq!(opened(&[&all, &IP]), ip_in("gre 42"));
        // Checksum and offset, then a route of two bytes and the end of routes.
        let routed = [0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 2, 1, 1, 0, 0, 0, 0];
        assert_eq!(opened(&[&routed, &IP]), ip_in("gre"));
        for cut in 0..all.len() {
            assert_eq!(opened(&[&all[..cut]]).0, Err(Skipped::Broken("GRE")), "{cut}");
        }
    }

    #[test]
    fn the_protocol_says_what_is_inside() {
        assert_eq!(opened(&[&[0, 0, 0x65, 0x58], &ETHERNET, &IP]).0, Ok((0x6558, 18)));
        assert_eq!(opened(&[&[0, 0, 0x88, 0x47], &IP]).0, Ok((0x8847, 4)));
        // WCCP versions 1 and 2; the second's flags may look like IPv4's version.
        assert_eq!(opened(&[&[0, 0, 0x88, 0x3e], &IP]), ip_in("gre"));
        assert_eq!(opened(&[&[0, 0, 0x88, 0x3e, 0x40, 0, 0, 1], &IP]), ip_in("gre"));
        assert_eq!(opened(&[&[0; 4], &IP]).0, Err(Skipped::LinkControl("GRE keepalive")));
        assert_eq!(opened(&[&[0, 2, 8, 0], &IP]).0, Err(Skipped::Broken("GRE")));
    }

    #[test]
    fn mirrors_of_all_three_types_are_opened() {
        assert_eq!(opened(&[&[0, 0, 0x88, 0xbe], &ETHERNET, &IP]), ip_in("erspan"));
        // Version 1, VLAN 5, mirror 100 (and the truncated bit), index 0.
        let second = [0x10, 5, 0x04, 100, 0, 0, 0, 0];
        let gre = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1];
        assert_eq!(opened(&[&gre, &second, &ETHERNET, &IP]), ip_in("erspan 100"));
        let gre = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1];
        let third = [0x20, 5, 0, 100, 0, 0, 0, 1, 0, 0, 0x80, 0];
        assert_eq!(opened(&[&gre, &third, &ETHERNET, &IP]), ip_in("erspan 100"));
        let platform = [0x20, 5, 0, 100, 0, 0, 0, 1, 0, 0, 0x80, 1];
        assert_eq!(opened(&[&gre, &platform, &[0; 8], &ETHERNET, &IP]), ip_in("erspan 100"));
        let plain_ip = [0x20, 5, 0, 100, 0, 0, 0, 1, 0, 0, 0x88, 0];
        assert_eq!(opened(&[&gre, &plain_ip, &IP]), ip_in("erspan 100"));
        assert_eq!(opened(&[&gre, &[0x30; 12]]).0, Err(Skipped::Broken("ERSPAN")));
        assert_eq!(opened(&[&gre, &third[..11]]).0, Err(Skipped::Broken("ERSPAN")));
    }

    #[test]
    fn pptp_calls_carry_ppp() {
        let call = [0x30, 0x81, 0x88, 0x0b, 0, 6, 0, 17, 0, 0, 0, 1, 0, 0, 0, 1];
        assert_eq!(opened(&[&call, &[0xff, 3, 0, 0x21], &IP]), ip_in("pptp 17"));
        assert_eq!(opened(&[&call, &[0, 0xfd, 1, 2]]).0, Err(Skipped::Encrypted("PPP")));
        let acknowledgment = [0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 17, 0, 0, 0, 1];
        let skipped = Skipped::LinkControl("PPTP acknowledgment");
        assert_eq!(opened(&[&acknowledgment]).0, Err(skipped));
    }
}
