//! Tunnels in UDP datagrams: VXLAN, Geneve, GTP-U, Teredo, GRE and MPLS.
//!
//! A port alone proves nothing: any program may use it. So a datagram is a tunnel only if it also
//! begins as the tunnel's header must, down to what is reserved, and has something inside.

use crate::packet::encapsulation::{Encapsulation, LayerKind};
use crate::packet::link::{self, Stripped, number, to_one};
use crate::packet::network::Ip;
use crate::packet::skipped::Skipped;
use crate::packet::tunnel::{gre, is_ip, mpls};

const TEREDO: u16 = 3544;

/// Whether a datagram between these ports may be a tunnel: [`open`] opens no others.
pub(in crate::packet) fn may_be_in_udp(source: u16, destination: u16) -> bool {
    let tunnels = matches!(destination, 4789 | 8472 | 4790 | 6081 | 2152 | 4754 | 6635 | TEREDO);
    tunnels || source == TEREDO
}

/// Opens a datagram; `None` is an ordinary one.
pub(super) fn open<'a>(
    ip: &Ip<'a>,
    layers: &mut Encapsulation,
) -> Result<Option<Stripped<'a>>, Skipped> {
    let Some((&[s0, s1, d0, d1, l0, l1, _, _], body)) = ip.payload.split_first_chunk::<8>() else {
        return Ok(None);
    };
    // Source ports are drawn to spread the load (RFC 7348 5); the destination's is the tunnel's.
    match u16::from_be_bytes([d0, d1]) {
        4789 | 8472 => Ok(vxlan(body, layers)),
        4790 => Ok(vxlan_gpe(body, layers)),
        6081 => Ok(geneve(body, layers)),
        2152 => gtp_u(body, u16::from_be_bytes([l0, l1]), layers),
        4754 if gre::is_plausible(body) => gre::open(body, layers).map(Some),
        6635 if is_labelled_ip(body) => mpls::open(body, layers).map(Some),
        TEREDO => Ok(teredo(body, layers)),
        _ if u16::from_be_bytes([s0, s1]) == TEREDO => Ok(teredo(body, layers)),
        _ => Ok(None),
    }
}

/// VXLAN (RFC 7348 5): flags of which only the one that the network is valid is set, reserved, 24
/// bits of network, reserved; an Ethernet frame.
fn vxlan<'a>(body: &'a [u8], layers: &mut Encapsulation) -> Option<Stripped<'a>> {
    match body {
        // 0x88: a group policy stands where else is zero (draft-smith-vxlan-group-policy 2).
        [0x08, 0, 0, 0, n0, n1, n2, 0, rest @ ..] | [0x88, _, _, _, n0, n1, n2, 0, rest @ ..] => {
            let inner = bridged(rest)?;
            layers.push_numbered(LayerKind::Vxlan, u32::from_be_bytes([0, *n0, *n1, *n2]));
            Some(inner)
        }
        _ => None,
    }
}

/// A whole header of Ethernet, which the caller opens next.
fn bridged(bytes: &[u8]) -> Option<Stripped<'_>> {
    (bytes.len() >= 14).then_some(to_one(number::BRIDGED, bytes))
}

/// VXLAN with other protocols inside (draft-ietf-nvo3-vxlan-gpe 3): version 0, network and
/// protocol valid.
fn vxlan_gpe<'a>(body: &'a [u8], layers: &mut Encapsulation) -> Option<Stripped<'a>> {
    let [flags, 0, 0, protocol, n0, n1, n2, 0, rest @ ..] = body else { return None };
    if flags & 0xfc != 0x0c {
        return None;
    }
    let inner = match protocol {
        1 | 2 if is_ip(rest) => link::raw_ip(rest).ok()?,
        3 => bridged(rest)?,
        5 => to_one(number::MPLS, rest),
        _ => return None,
    };
    layers.push_numbered(LayerKind::Vxlan, u32::from_be_bytes([0, *n0, *n1, *n2]));
    Some(inner)
}

/// Geneve (RFC 8926 3.4): version 0 and length of options in words of four bytes, flags,
/// EtherType, 24 bits of network, reserved, options.
fn geneve<'a>(body: &'a [u8], layers: &mut Encapsulation) -> Option<Stripped<'a>> {
    let [options @ 0..=0x3f, flags, p0, p1, n0, n1, n2, 0, rest @ ..] = body else { return None };
    if flags & 0x3f != 0 {
        return None;
    }
    let rest = rest.get(usize::from(*options) * 4..)?;
    let inner = match u16::from_be_bytes([*p0, *p1]) {
        number::BRIDGED => bridged(rest)?,
        number::IPV4 | number::IPV6 if is_ip(rest) => link::raw_ip(rest).ok()?,
        number::MPLS => to_one(number::MPLS, rest),
        _ => return None,
    };
    layers.push_numbered(LayerKind::Geneve, u32::from_be_bytes([0, *n0, *n1, *n2]));
    Some(inner)
}

/// GTP-U (3GPP TS 29.281 5.1): version 1 and three flags, type, length, endpoint. Other types than
/// a packet (echo, errors) are ordinary datagrams.
fn gtp_u<'a>(
    body: &'a [u8],
    datagram_length: u16,
    layers: &mut Encapsulation,
) -> Result<Option<Stripped<'a>>, Skipped> {
    const PACKET: u8 = 0xff;
    let [flags @ 0x30..=0x37, PACKET, l0, l1, t0, t1, t2, t3, rest @ ..] = body else {
        return Ok(None);
    };
    // Both headers are eight bytes that their lengths count or do not; large sends write 0.
    let length = u16::from_be_bytes([*l0, *l1]);
    if datagram_length != 0 && length.checked_add(16) != Some(datagram_length) {
        return Ok(None);
    }
    layers.push_numbered(LayerKind::GtpU, u32::from_be_bytes([*t0, *t1, *t2, *t3]));
    let inner = if *flags == 0x30 { rest } else { after_extensions(rest)? };
    // It may also be Ethernet or nothing known, which only the signalling tells.
    if is_ip(inner) { link::raw_ip(inner).map(Some) } else { Err(Skipped::Tunnel("GTP-U")) }
}

/// Sequence number and another, then the type of the first extension, each of which begins with
/// its length in words of four bytes and ends with the next type (3GPP TS 29.281 5.2.1).
fn after_extensions(bytes: &[u8]) -> Result<&[u8], Skipped> {
    let broken = Skipped::Broken("GTP-U");
    let (&[.., mut next], mut rest) = bytes.split_first_chunk::<4>().ok_or(broken)?;
    while next != 0 {
        let length = usize::from(*rest.first().ok_or(broken)?) * 4;
        let (extension, after) = rest.split_at_checked(length).ok_or(broken)?;
        next = *extension.last().ok_or(broken)?;
        rest = after;
    }
    Ok(rest)
}

/// Labels that lead to IP within a few steps.
fn is_labelled_ip(body: &[u8]) -> bool {
    let (labels, _) = body.as_chunks::<4>();
    let bottom = labels.iter().take(8).position(|[_, _, low, _]| low & 1 != 0);
    bottom.and_then(|bottom| body.get((bottom + 1) * 4..)).is_some_and(is_ip)
}

/// Teredo (RFC 4380 5.1.1): perhaps an authentication, perhaps an origin, then IPv6 with not more
/// than the datagram.
fn teredo<'a>(body: &'a [u8], layers: &mut Encapsulation) -> Option<Stripped<'a>> {
    let after_authentication = match body {
        // Lengths of identifier and authentication, which are followed by a nonce and a byte.
        [0, 1, identifier, authentication, rest @ ..] => {
            rest.get(usize::from(*identifier) + usize::from(*authentication) + 9..)?
        }
        _ => body,
    };
    let inner = match after_authentication {
        // Port and address, turned over.
        [0, 0, rest @ ..] => rest.get(6..)?,
        rest => rest,
    };
    let header = inner.first_chunk::<40>()?;
    let [first, _, _, _, _, _, _, _, source @ ..] = header;
    // One end at least is a Teredo address (2001:0::/32) or, while it asks for one, link-local.
    let (source, destination) = source.split_at_checked(16)?;
    let fits = |address: &[u8]| {
        address.starts_with(&[0x20, 1, 0, 0]) || address.starts_with(&[0xfe, 0x80])
    };
    if first >> 4 != 6 || !(fits(source) || fits(destination)) {
        return None;
    }
    layers.push(LayerKind::Teredo);
    link::raw_ip(inner).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::ip_number;

    const IP: [u8; 4] = [0x45, 0, 0, 20];
    const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

    /// What a datagram to (or from) `port` is, and its layers.
    fn opened(
        ports: (u16, u16),
        body: &[&[u8]],
    ) -> (Result<Option<(u16, usize)>, Skipped>, String) {
        let body = body.concat();
        let length = u16::try_from(body.len() + 8).unwrap().to_be_bytes();
        let header = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), length, [0, 0]].concat();
        let payload = [header, body].concat();
        let ip = Ip {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            ttl: 64,
            id: None,
            protocol: ip_number::UDP,
            payload: &payload,
            length: payload.len(),
            fragment: None,
            unsummed: false,
        };
        let mut layers = Encapsulation::default();
        let opened = open(&ip, &mut layers)
            .map(|inner| inner.map(|inner| (inner.ether_type.0, inner.bytes.len())));
        let layers: Vec<String> = layers.layers().map(|layer| layer.to_string()).collect();
        (opened, layers.join(", "))
    }

    fn ip_in(layer: &str) -> (Result<Option<(u16, usize)>, Skipped>, String) {
        (Ok(Some((0x800, 4))), layer.to_owned())
    }

    fn ethernet_in(layer: &str) -> (Result<Option<(u16, usize)>, Skipped>, String) {
        (Ok(Some((0x6558, 18))), layer.to_owned())
    }

    const DATAGRAM: (Result<Option<(u16, usize)>, Skipped>, String) = (Ok(None), String::new());

    #[test]
    fn vxlan_is_opened_on_both_of_its_ports() {
        let header = [8, 0, 0, 0, 0, 0x13, 0x89, 0];
        for port in [4789, 8472] {
            assert_eq!(opened((1, port), &[&header, &ETHERNET, &IP]), ethernet_in("vxlan 5001"));
        }
        let policy = [0x88, 0, 0, 7, 0, 0x13, 0x89, 0];
        assert_eq!(opened((1, 4789), &[&policy, &ETHERNET, &IP]), ethernet_in("vxlan 5001"));
        // Answers to a program that happens to have this port, and a lookalike without a frame.
        let dns = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1];
        assert_eq!(opened((53, 4789), &[&dns, &ETHERNET, &IP]), DATAGRAM);
        assert_eq!(opened((1, 4789), &[&header, &IP]), DATAGRAM);
        assert_eq!(opened((4789, 1), &[&header, &ETHERNET, &IP]), DATAGRAM);
    }

    #[test]
    fn vxlan_gpe_names_what_is_inside() {
        let ethernet = [0x0c, 0, 0, 3, 0, 0x13, 0x89, 0];
        assert_eq!(opened((1, 4790), &[&ethernet, &ETHERNET, &IP]), ethernet_in("vxlan 5001"));
        assert_eq!(opened((1, 4790), &[&[0x0c, 0, 0, 1, 0, 0, 7, 0], &IP]), ip_in("vxlan 7"));
        assert_eq!(opened((1, 4790), &[&[0x08, 0, 0, 1, 0, 0, 7, 0], &IP]), DATAGRAM);
    }

    #[test]
    fn geneve_options_are_passed_over() {
        let plain = [0, 0, 0x65, 0x58, 0, 0x13, 0x89, 0];
        assert_eq!(opened((1, 6081), &[&plain, &ETHERNET, &IP]), ethernet_in("geneve 5001"));
        let options = [2, 0x40, 8, 0, 0, 0x13, 0x89, 0];
        assert_eq!(opened((1, 6081), &[&options, &[1; 8], &IP]), ip_in("geneve 5001"));
        for lookalike in
            [[0x40, 0, 8, 0, 0, 0, 1, 0], [0, 1, 8, 0, 0, 0, 1, 0], [0, 0, 8, 0, 0, 0, 1, 9]]
        {
            assert_eq!(opened((1, 6081), &[&lookalike, &IP]), DATAGRAM);
        }
        assert_eq!(opened((1, 6081), &[&[0x3f, 0, 8, 0, 0, 0, 1, 0], &IP]), DATAGRAM);
    }

    #[test]
    fn gtp_u_packets_are_opened_and_its_own_messages_are_datagrams() {
        let plain = [0x30, 0xff, 0, 4, 0, 0, 0, 0x1a];
        assert_eq!(opened((2152, 2152), &[&plain, &IP]), ip_in("gtp-u 0x0000001a"));
        // Sequence number only; then an extension of four bytes and one of eight.
        let sequence = [0x32, 0xff, 0, 8, 0, 0, 0, 0x1a, 0, 1, 0, 0];
        assert_eq!(opened((1, 2152), &[&sequence, &IP]), ip_in("gtp-u 0x0000001a"));
        let extended = [
            0x34, 0xff, 0, 20, 0xff, 0, 0, 1, 0, 0, 0, 0x85, 1, 9, 9, 0xc0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(opened((1, 2152), &[&extended, &IP]), ip_in("gtp-u 0xff000001"));
        let echo = [0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(opened((1, 2152), &[&echo]), DATAGRAM);
        let other_length = [0x30, 0xff, 0, 5, 0, 0, 0, 0x1a];
        assert_eq!(opened((1, 2152), &[&other_length, &IP]), DATAGRAM);
        let (unknown, layer) = opened((1, 2152), &[&plain, &[0xaa, 0, 0, 0]]);
        assert_eq!((unknown, layer.as_str()), (Err(Skipped::Tunnel("GTP-U")), "gtp-u 0x0000001a"));
        // An extension of no length would never end.
        let endless = [0x34, 0xff, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 0];
        assert_eq!(opened((1, 2152), &[&endless]).0, Err(Skipped::Broken("GTP-U")));
    }

    #[test]
    fn teredo_may_begin_with_authentication_and_origin() {
        let mut ip = [0; 40];
        ip[0] = 0x60;
        ip[6] = 59;
        ip[8..12].copy_from_slice(&[0x20, 1, 0, 0]);
        let authentication = [0, 1, 1, 2, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let origin = [0, 0, 1, 2, 3, 4, 5, 6];
        let teredo = (Ok(Some((0x86dd, 40))), "teredo".to_owned());
        for ports in [(3544, 50_000), (50_000, 3544)] {
            assert_eq!(opened(ports, &[&ip]), teredo);
            assert_eq!(opened(ports, &[&origin, &ip]), teredo);
            assert_eq!(opened(ports, &[&authentication, &origin, &ip]), teredo);
        }
        ip[8..12].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        assert_eq!(opened((1, 3544), &[&ip]), DATAGRAM);
    }

    #[test]
    fn gre_and_mpls_stand_in_datagrams_too() {
        assert_eq!(opened((1, 4754), &[&[0, 0, 8, 0], &IP]), ip_in("gre"));
        assert_eq!(opened((1, 4754), &[&[0, 8, 8, 0], &IP]), DATAGRAM);
        assert_eq!(opened((1, 6635), &[&[0, 0x4d, 0x21, 64], &IP]), ip_in("mpls 1234"));
        assert_eq!(opened((1, 6635), &[&[0, 0x4d, 0x20, 64], &IP]), DATAGRAM);
    }
}
