//! Opens tunnels: from one header to what stands inside it.
//!
//! Each function takes off one wrapping and keeps its name; the caller comes again, up to a bound,
//! until TCP, UDP or ICMP remains. A tunnel whose inside is not readable is [`Skipped`] by name.
//! UDP is a tunnel only where port and header agree (see [`udp`]): else it stays a datagram.
//!
//! To add a tunnel, add an arm to [`above_link`], [`above_ip`] or [`udp::open`].

mod gre;
mod mpls;
mod udp;

pub(super) use udp::may_be_in_udp;

use etherparse::{EtherType, IpNumber, LaxMacsecSlice, SingleVlanSlice, ip_number};

use crate::packet::encapsulation::{Encapsulation, LayerKind};
use crate::packet::link::{self, Stripped, number, to_one};
use crate::packet::network::Ip;
use crate::packet::skipped::Skipped;

/// Opens what stands above a link header and is not IP.
pub(super) fn above_link<'a>(
    outer: Stripped<'a>,
    layers: &mut Encapsulation,
) -> Result<Stripped<'a>, Skipped> {
    let EtherType(ether_type) = outer.ether_type;
    let bytes = outer.bytes;
    // The receiver of the link header stays that of what is inside, but for inner Ethernet.
    let within = |stripped| Stripped { to_group: outer.to_group, ..stripped };
    match ether_type {
        0x0806 => Err(Skipped::Arp),
        0..number::LEAST => link::llc(bytes).map(within),
        // IEEE 802.1Q and 802.1ad, and numbers that some switches use for them.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => vlan(bytes, layers).map(within),
        0x88e5 => macsec(bytes, layers).map(within),
        number::BRIDGED => link::ethernet(bytes),
        number::MPLS | 0x8848 => mpls::open(bytes, layers)
            .map(|inner| Stripped { to_group: outer.to_group || inner.to_group, ..inner }),
        number::PPPOE => pppoe(bytes, layers).map(within),
        0x880b => link::ppp(bytes).map(within),
        // Four bytes of interfaces.
        0x8926 => tag(bytes, 4, LayerKind::VnTag, layers).map(within),
        // Four bytes of priority and channel, two of their extensions.
        0x893f => tag(bytes, 6, LayerKind::ETag, layers).map(within),
        0x8909 => security_group(bytes, layers).map(within),
        0x88e7 => service_tag(bytes, layers),
        other => Err(Skipped::EtherType(other)),
    }
}

/// Whether a header that says in which VLAN a frame is stands between the link addresses and this
/// packet, or nothing does that would make them those of others.
pub(super) fn is_vlan(ether_type: EtherType) -> bool {
    matches!(ether_type.0, 0..number::LEAST | 0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300)
}

fn vlan<'a>(bytes: &'a [u8], layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    let tag = SingleVlanSlice::from_slice(bytes).map_err(|_| Skipped::Broken("VLAN"))?;
    layers.push_numbered(LayerKind::Vlan, tag.vlan_identifier().value().into());
    Ok(to_one(tag.ether_type().0, tag.payload_slice()))
}

/// MACsec (IEEE 802.1AE), where it only signs and does not encrypt.
fn macsec<'a>(bytes: &'a [u8], layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    let tag = LaxMacsecSlice::from_slice(bytes).map_err(|_| Skipped::Broken("MACsec"))?;
    let inside = tag.ether_payload().ok_or(Skipped::Encrypted("MACsec"))?;
    layers.push(LayerKind::Macsec);
    Ok(to_one(inside.ether_type.0, inside.payload))
}

/// A tag of fixed length, and the EtherType of what follows.
fn tag<'a>(
    bytes: &'a [u8],
    length: usize,
    kind: LayerKind,
    layers: &mut Encapsulation,
) -> Result<Stripped<'a>, Skipped> {
    match bytes.get(length..) {
        Some([high, low, rest @ ..]) => {
            layers.push(kind);
            Ok(to_one(u16::from_be_bytes([*high, *low]), rest))
        }
        _ => Err(Skipped::Broken("tag")),
    }
}

/// Cisco's tag of security groups: version 1, length 1 (in words of 4 after the first two bytes),
/// option 1, the group, and the EtherType of what follows.
fn security_group<'a>(
    bytes: &'a [u8],
    layers: &mut Encapsulation,
) -> Result<Stripped<'a>, Skipped> {
    match bytes {
        [1, 1, 0, 1, g0, g1, high, low, rest @ ..] => {
            layers.push_numbered(LayerKind::SecurityGroup, u16::from_be_bytes([*g0, *g1]).into());
            Ok(to_one(u16::from_be_bytes([*high, *low]), rest))
        }
        _ => Err(Skipped::EtherType(0x8909)),
    }
}

/// A backbone's service tag: flags, 24 bits of service, and a customer's whole Ethernet frame.
fn service_tag<'a>(bytes: &'a [u8], layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    let Some(([_, s0, s1, s2], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Skipped::Broken("tag"));
    };
    layers.push_numbered(LayerKind::ITag, u32::from_be_bytes([0, *s0, *s1, *s2]));
    link::ethernet(rest)
}

/// PPP over Ethernet (RFC 2516 4): version and type 1, code 0, identifier, length, PPP.
fn pppoe<'a>(bytes: &'a [u8], layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    match bytes {
        [0x11, 0, i0, i1, _, _, rest @ ..] => {
            layers.push_numbered(LayerKind::Pppoe, u16::from_be_bytes([*i0, *i1]).into());
            link::ppp(rest)
        }
        // Discovery, which has an EtherType of its own but shares this link type of pcap.
        [0x11, code, ..] if *code != 0 => Err(Skipped::EtherType(0x8863)),
        _ => Err(Skipped::Broken("PPPoE")),
    }
}

/// Opens what stands above an IP header; `None` is no tunnel.
pub(super) fn above_ip<'a>(
    ip: &Ip<'a>,
    layers: &mut Encapsulation,
) -> Result<Option<Stripped<'a>>, Skipped> {
    const ETHER_IP: IpNumber = IpNumber(97);
    const MPLS: IpNumber = IpNumber(137);
    match ip.protocol {
        ip_number::UDP => udp::open(ip, layers),
        ip_number::IPV4 | ip_number::IPV6 => ip_in_ip(ip, layers).map(Some),
        ip_number::GRE => gre::open(ip.payload, layers).map(Some),
        MPLS => mpls::open(ip.payload, layers).map(Some),
        ETHER_IP => ether_ip(ip.payload, layers).map(Some),
        _ => Ok(None),
    }
}

fn ip_in_ip<'a>(ip: &Ip<'a>, layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    // The version tells better than the protocol number, which some senders mix up.
    let inner = link::raw_ip(ip.payload)?;
    layers.push(match (ip.source.is_ipv4(), inner.ether_type.0 == number::IPV4) {
        (true, true) => LayerKind::Ipip,
        (true, false) => LayerKind::SixInFour,
        (false, true) => LayerKind::FourInSix,
        (false, false) => LayerKind::SixInSix,
    });
    Ok(inner)
}

/// Version 3 in the upper four of 16 bits, and an Ethernet frame.
fn ether_ip<'a>(bytes: &'a [u8], layers: &mut Encapsulation) -> Result<Stripped<'a>, Skipped> {
    match bytes {
        [0x30, 0, rest @ ..] => {
            layers.push(LayerKind::EtherIp);
            link::ethernet(rest)
        }
        _ => Err(Skipped::Broken("EtherIP")),
    }
}

/// Whether bytes begin as an IP header does.
fn is_ip(bytes: &[u8]) -> bool {
    match bytes {
        // At least five words of header (RFC 791 3.1), and a length that covers them, or 0 where
        // the card splits the segment.
        [first @ 0x45..=0x4f, _, high, low, ..] => {
            let length = u16::from_be_bytes([*high, *low]);
            length == 0 || length >= u16::from(first & 0x0f) * 4
        }
        [0x60..=0x6f, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Frame, LinkType};
    use crate::net::FrameNumber;
    use crate::packet::{Body, FragmentTable, Packet, decode};
    use etherparse::PacketBuilder;
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
    use std::fmt::Write;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const INNER: [[u8; 4]; 2] = [[10, 0, 0, 5], [10, 1, 0, 10]];
    const OUTER: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];

    fn frame(link_type: LinkType, bytes: &[u8]) -> Frame<'_> {
        let original_length = u32::try_from(bytes.len()).unwrap();
        Frame { number: FrameNumber(1), time: None, link_type, bytes, original_length, note: None }
    }

    /// The packet that all tunnels here carry: a segment with 100 bytes.
    fn inner() -> Vec<u8> {
        let mut bytes = Vec::new();
        let [source, destination] = INNER;
        PacketBuilder::ipv4(source, destination, 77)
            .tcp(52702, 135, 1_000, 8192)
            .write(&mut bytes, &[0; 100])
            .unwrap();
        bytes
    }

    /// An Ethernet header to `destination`.
    fn ethernet(destination: [u8; 6], ether_type: u16, rest: &[u8]) -> Vec<u8> {
        [&destination[..], &MAC, &ether_type.to_be_bytes(), rest].concat()
    }

    fn in_ipv4(protocol: IpNumber, rest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let [source, destination] = OUTER;
        PacketBuilder::ipv4(source, destination, 64).write(&mut bytes, protocol, rest).unwrap();
        bytes
    }

    fn in_udp(port: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let [source, destination] = OUTER;
        PacketBuilder::ipv4(source, destination, 64)
            .udp(50_000, port)
            .write(&mut bytes, rest)
            .unwrap();
        bytes
    }

    fn in_vxlan(network: u8, rest: &[u8]) -> Vec<u8> {
        in_udp(4789, &[&[8, 0, 0, 0, 0, 0, network, 0], rest].concat())
    }

    fn layers(packet: &Packet<'_>) -> String {
        packet.encapsulation.layers().fold(String::new(), |mut text, layer| {
            let gap = if text.is_empty() { "" } else { ", " };
            write!(text, "{gap}{layer}").unwrap();
            text
        })
    }

    /// Checks that the inner packet is found whole.
    fn assert_inner(link_type: LinkType, bytes: &[u8], expected: &str) {
        let packet = decode(&frame(link_type, bytes)).unwrap_or_else(|e| panic!("{expected}: {e}"));
        assert_eq!(layers(&packet), expected);
        let sender = packet.key.endpoint(packet.sender);
        assert_eq!(
            (sender.address, sender.port),
            (std::net::Ipv4Addr::from(INNER[0]).into(), 52702),
            "{expected}"
        );
        assert_eq!(packet.key.endpoint(packet.sender.opposite()).port, 135, "{expected}");
        let Body::Segment(segment) = packet.body else { panic!("{expected}") };
        assert_eq!((segment.length, packet.payload.len()), (100, 100), "{expected}");
        assert_eq!((packet.ttl, packet.to_group), (77, false), "{expected}");
    }

    #[test]
    fn tags_and_lines_above_ethernet_are_opened() {
        let ip = inner();
        let after = |header: &[u8]| [header, &ip].concat();
        for (ether_type, rest, expected) in [
            (0x8864, after(&[0x11, 0, 0, 17, 0, 142, 0, 0x21]), "pppoe 17"),
            // Protocol field compression.
            (0x8864, after(&[0x11, 0, 0, 17, 0, 141, 0x21]), "pppoe 17"),
            (0x8847, after(&[0, 0x4d, 0x21, 64]), "mpls 1234"),
            (0x8848, after(&[0, 0x4d, 0x21, 64]), "mpls 1234"),
            (0x8926, after(&[0x80, 1, 2, 3, 8, 0]), "vn-tag"),
            (0x893f, after(&[0, 0, 0, 1, 0, 0, 8, 0]), "e-tag"),
            (0x8909, after(&[1, 1, 0, 1, 0, 17, 8, 0]), "sgt 17"),
            (0x88e7, [&[0, 0, 1, 0][..], &ethernet(MAC, 0x800, &ip)].concat(), "i-tag 256"),
            (0x9200, after(&[0, 42, 8, 0]), "vlan 42"),
            (0x8100, after(&[0, 42, 0, 148, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]), "vlan 42"),
            // More tags than etherparse reads at once.
            (
                0x88a8,
                after(&[0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x81, 0, 0, 4, 8, 0]),
                "vlan 1, vlan 2, vlan 3, vlan 4",
            ),
        ] {
            assert_inner(LinkType::ETHERNET, &ethernet(MAC, ether_type, &rest), expected);
        }
        let on_its_own = after(&[0x11, 0, 0, 17, 0, 142, 0, 0x21]);
        assert_inner(LinkType::pcap(51), &on_its_own, "pppoe 17");
    }

    #[test]
    fn tunnels_above_ip_are_opened() {
        let ip = inner();
        let bridged = ethernet(MAC, 0x800, &ip);
        let [mut v6, mut v6_in_v6] = [Vec::new(), Vec::new()];
        PacketBuilder::ipv6([0x20; 16], [0x30; 16], 64)
            .write(&mut v6, ip_number::IPV4, &ip)
            .unwrap();
        PacketBuilder::ipv6([0x20; 16], [0x30; 16], 64)
            .write(&mut v6_in_v6, ip_number::IPV6, &v6)
            .unwrap();
        for (bytes, expected) in [
            (in_ipv4(ip_number::IPV4, &ip), "ipip"),
            (in_ipv4(ip_number::IPV6, &v6), "6in4, 4in6"),
            (v6_in_v6, "6in6, 4in6"),
            (in_ipv4(ip_number::GRE, &[&[0, 0, 8, 0], &ip[..]].concat()), "gre"),
            (in_ipv4(ip_number::GRE, &[&[0, 0, 0x65, 0x58], &bridged[..]].concat()), "gre"),
            (in_ipv4(IpNumber(97), &[&[0x30, 0], &bridged[..]].concat()), "etherip"),
            (in_ipv4(IpNumber(137), &[&[0, 0x4d, 0x21, 64], &ip[..]].concat()), "mpls 1234"),
            (in_vxlan(7, &bridged), "vxlan 7"),
            (in_udp(6081, &[&[0, 0, 8, 0, 0, 0, 9, 0], &ip[..]].concat()), "geneve 9"),
            (
                in_udp(2152, &[&[0x30, 255, 0, 140, 0, 0, 0, 3], &ip[..]].concat()),
                "gtp-u 0x00000003",
            ),
        ] {
            assert_inner(LinkType::RAW, &bytes, expected);
        }
    }

    #[test]
    fn tunnels_stand_inside_tunnels() {
        let bridged = ethernet(MAC, 0x800, &inner());
        let gre =
            in_ipv4(ip_number::GRE, &[&[0x20, 0, 0x65, 0x58, 0, 0, 0, 5], &bridged[..]].concat());
        let tagged = ethernet(MAC, 0x8100, &[&[0, 42, 8, 0], &gre[..]].concat());
        let vxlan = in_vxlan(7, &tagged);
        let labelled = ethernet(MAC, 0x8847, &[&[0, 0x4d, 0x21, 64], &vxlan[..]].concat());
        assert_inner(LinkType::ETHERNET, &labelled, "mpls 1234, vxlan 7, vlan 42, gre 5");
    }

    #[test]
    fn no_frame_decides_how_deep_we_go() {
        let mut bytes = inner();
        for _ in 0..7 {
            bytes = in_vxlan(7, &ethernet(MAC, 0x800, &bytes));
        }
        assert!(decode(&frame(LinkType::RAW, &bytes)).is_ok());
        bytes = in_vxlan(7, &ethernet(MAC, 0x800, &bytes));
        let deep = decode(&frame(LinkType::RAW, &bytes));
        assert_eq!(deep.unwrap_err(), Skipped::Tunnel("too deep"));
        let tags = [0, 1, 0x81, 0].repeat(2_000);
        let deep = decode(&frame(LinkType::ETHERNET, &ethernet(MAC, 0x8100, &tags))).map(|_| ());
        assert_eq!(deep, Err(Skipped::Tunnel("too deep")));
        // Per-Packet Information inside itself.
        let nested = [0, 0, 8, 0, 192, 0, 0, 0].repeat(30_000);
        let broken = decode(&frame(LinkType::pcap(192), &nested)).map(|_| ());
        assert_eq!(broken, Err(Skipped::Broken("Per-Packet Information")));
    }

    #[test]
    fn the_inner_receiver_counts_where_there_is_one() {
        let ip = inner();
        let group = [1, 0, 0x5e, 0, 0, 1];
        let to_group = |bytes: &[u8]| decode(&frame(LinkType::ETHERNET, bytes)).unwrap().to_group;
        let inner_group = in_vxlan(7, &ethernet(group, 0x800, &ip));
        assert!(to_group(&ethernet(MAC, 0x800, &inner_group)));
        let inner_one = in_vxlan(7, &ethernet(MAC, 0x800, &ip));
        assert!(!to_group(&ethernet(group, 0x800, &inner_one)));
        assert!(!to_group(&ethernet(group, 0x800, &in_ipv4(ip_number::IPV4, &ip))));
        let tagged = ethernet(group, 0x8926, &[&[0, 0, 0, 1, 8, 0], &ip[..]].concat());
        assert!(to_group(&tagged));
    }

    #[test]
    fn lengths_inside_a_tunnel_are_those_of_the_wire() {
        let length = |frame: Frame<'_>| {
            let packet = decode(&frame).ok().or_else(|| FragmentTable::default().decode(frame));
            let Some(Body::Segment(segment)) = packet.map(|packet| packet.body) else {
                panic!("{packet:?}")
            };
            segment.length
        };
        let whole = in_vxlan(7, &ethernet(MAC, 0x800, &inner()));
        let original_length = u32::try_from(whole.len()).unwrap();
        let cut_at = whole.len() - 90;
        let cut = Frame { original_length, ..frame(LinkType::RAW, &whole[..cut_at]) };
        assert_eq!(length(cut), 100);
        // A large send inside: the outer header tells what the inner one does not.
        let mut ip = inner();
        ip[2..4].copy_from_slice(&[0, 0]);
        let large = in_vxlan(7, &ethernet(MAC, 0x800, &ip));
        assert_eq!(length(frame(LinkType::RAW, &large)), 100);
        assert_eq!(
            length(Frame { original_length, ..frame(LinkType::RAW, &large[..cut_at]) }),
            100
        );
        // The first fragment of a tunnel holds a part of the inner packet.
        let mut fragment = whole[..cut_at].to_vec();
        fragment[2..4].copy_from_slice(&u16::try_from(cut_at).unwrap().to_be_bytes());
        fragment[6] = 0x20;
        assert_eq!(length(frame(LinkType::RAW, &fragment)), 100);
    }

    #[test]
    fn what_cannot_be_read_inside_is_counted_by_name() {
        let above = |ether_type, rest: &[u8]| {
            decode(&frame(LinkType::ETHERNET, &ethernet(MAC, ether_type, rest))).map(|_| ())
        };
        for (ether_type, rest, skipped) in [
            (
                0x8864,
                &[0x11, 0, 0, 17, 0, 2, 0xc0, 0x21][..],
                Skipped::LinkControl("PPP negotiation"),
            ),
            (0x8864, &[0x11, 0, 0, 17, 0, 2, 0, 0xfd], Skipped::Encrypted("PPP")),
            (0x8864, &[0x21, 0, 0, 17], Skipped::Broken("PPPoE")),
            (0x8847, &[0, 0, 0, 0], Skipped::Broken("MPLS")),
            (0x8847, &[0, 0, 1, 0, 0x10, 0], Skipped::Tunnel("MPLS")),
            (0x8100, &[0, 1, 8], Skipped::Broken("VLAN")),
            (0x8909, &[1, 1, 0, 2], Skipped::EtherType(0x8909)),
            (0x88e7, &[0, 0], Skipped::Broken("tag")),
            (0x6558, &[0, 0], Skipped::Broken("Ethernet")),
            // MACsec, encrypted (IEEE 802.1AE 9.5: the E bit).
            (0x88e5, &[0x0c, 0, 0, 0, 0, 1, 9, 9, 9, 9], Skipped::Encrypted("MACsec")),
        ] {
            assert_eq!(above(ether_type, rest), Err(skipped), "{ether_type:#x} {rest:x?}");
        }
        let gre = in_ipv4(ip_number::GRE, &[0x80, 0, 8, 0]);
        assert_eq!(above(0x800, &gre), Err(Skipped::Broken("GRE")));
        let empty = in_ipv4(ip_number::IPV4, &[]);
        assert_eq!(above(0x800, &empty), Err(Skipped::Broken("IP")));
        // An address resolution inside is what it is.
        let arp = [0, 1, 8, 0, 6, 4, 0, 1];
        let arp = in_vxlan(7, &ethernet(MAC, 0x806, &[&arp[..], &[0; 20]].concat()));
        assert_eq!(above(0x800, &arp), Err(Skipped::Arp));
    }

    #[test]
    fn a_datagram_that_only_has_a_tunnels_port_stays_one() {
        for port in [4789, 8472, 4790, 6081, 2152, 4754, 6635, 3544] {
            for payload in [&[0xab; 60][..], &[0; 60], &[8, 0, 0, 0, 0, 0, 7, 0], &[]] {
                let bytes = in_udp(port, payload);
                let packet = decode(&frame(LinkType::RAW, &bytes)).unwrap();
                let length = u32::try_from(payload.len()).unwrap();
                assert_eq!(packet.body, Body::Datagram { length }, "{port}");
                assert_eq!(layers(&packet), "");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_bytes_never_stop_us(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            number in 0u16..300,
        ) {
            for link_type in [LinkType::pcap(number), LinkType::netmon(number % 12)] {
                if let Ok(packet) = decode(&frame(link_type, &bytes)) {
                    prop_assert!(packet.payload.len() <= bytes.len());
                }
            }
        }

        #[test]
        fn damaged_tunnels_never_stop_us(
            which in 0usize..13,
            at in any::<proptest::sample::Index>(),
            value in any::<u8>(),
            keep in any::<proptest::sample::Index>(),
        ) {
            let ip = inner();
            let bridged = ethernet(MAC, 0x800, &ip);
            let authentication = [0, 1, 1, 2, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
            let tunnels = [
                in_vxlan(7, &bridged),
                in_udp(4790, &[&[0x0c, 0, 0, 3, 0, 0, 7, 0][..], &bridged[..]].concat()),
                in_udp(6081, &[&[2, 0, 0x65, 0x58, 0, 0, 7, 0], &[0; 8], &bridged[..]].concat()),
                in_udp(2152, &[&[0x34, 255, 0, 148, 0, 0, 0, 3, 0, 0, 0, 0x85, 1, 0, 0, 0], &ip[..]].concat()),
                in_udp(3544, &[&authentication, &ip[..]].concat()),
                in_udp(4754, &[&[0, 0, 8, 0], &ip[..]].concat()),
                in_udp(6635, &[&[0, 0x4d, 0x21, 64], &ip[..]].concat()),
                in_ipv4(ip_number::IPV4, &ip),
                in_ipv4(IpNumber(97), &[&[0x30, 0], &bridged[..]].concat()),
                in_ipv4(IpNumber(137), &[&[0, 0x4d, 0x21, 64, 0, 0, 0, 0], &bridged[..]].concat()),
                in_ipv4(ip_number::GRE, &[&[0xf0, 0, 8, 0][..], &[0; 16], &ip[..]].concat()),
                in_ipv4(ip_number::GRE, &[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20][..], &[0; 11], &bridged[..]].concat()),
                in_ipv4(ip_number::GRE, &[&[0x30, 0x81, 0x88, 0x0b, 0, 6, 0, 17, 0, 0, 0, 1, 0, 0, 0, 1, 0x21], &ip[..]].concat()),
            ];
            let mut bytes = tunnels[which].clone();
            let place = at.index(bytes.len());
            bytes[place] = value;
            bytes.truncate(keep.index(bytes.len() + 1));
            if let Ok(packet) = decode(&frame(LinkType::RAW, &bytes)) {
                prop_assert!(packet.payload.len() <= bytes.len());
            }
        }
    }
}
