//! Takes the link header off a frame: what is left is an EtherType and its payload.
//!
//! To add a link type, add an arm to [`strip`].

mod linux;
mod ring;
mod serial;
mod wireless;

pub(super) use serial::ppp;
pub(super) use wireless::wireless;

use etherparse::EtherType;

use crate::capture::LinkType;
use crate::packet::Heading;
use crate::packet::skipped::Skipped;

/// A frame without its link header, or a packet without what it was wrapped in.
#[derive(Clone, Copy)]
pub(super) struct Stripped<'a> {
    /// The network protocol.
    pub(super) ether_type: EtherType,
    /// The bytes from its header on.
    pub(super) bytes: &'a [u8],
    /// Whether the link header names more than one receiver.
    pub(super) to_group: bool,
    /// Link addresses, the receiver's first, where the header has them as Ethernet does.
    pub(super) link: Option<&'a [u8; 12]>,
    /// Which way it went, where the header tells it.
    pub(super) heading: Heading,
}

/// What an EtherType of this number and its payload are, sent to one host.
pub(super) fn to_one(number: u16, bytes: &[u8]) -> Stripped<'_> {
    Stripped {
        ether_type: EtherType(number),
        bytes,
        to_group: false,
        link: None,
        heading: Heading::Unknown,
    }
}

/// `EtherType`s that are met in more than one place.
pub(super) mod number {
    /// IPv4.
    pub(in crate::packet) const IPV4: u16 = 0x0800;
    /// IPv6.
    pub(in crate::packet) const IPV6: u16 = 0x86dd;
    /// An Ethernet frame follows (transparent Ethernet bridging, RFC 7637).
    pub(in crate::packet) const BRIDGED: u16 = 0x6558;
    /// MPLS.
    pub(in crate::packet) const MPLS: u16 = 0x8847;
    /// PPP over Ethernet, once agreed on.
    pub(in crate::packet) const PPPOE: u16 = 0x8864;
    /// Numbers below are lengths (IEEE 802.3 3.2.6).
    pub(in crate::packet) const LEAST: u16 = 0x600;
}

/// Takes the link header off.
pub(super) fn strip(link_type: LinkType, bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match link_type {
        LinkType::ETHERNET => ethernet(bytes),
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => raw_ip(bytes),
        LinkType::NULL | LinkType::LOOP => loopback(bytes),
        LinkType::LINUX_SLL => linux::cooked_v1(bytes),
        LinkType::LINUX_SLL2 => linux::cooked_v2(bytes),
        other if !other.holds_traffic() => Err(Skipped::NoTraffic(other)),
        other => match other.netmon_media() {
            Some(media) => netmon(media, bytes).unwrap_or(Err(Skipped::LinkType(other))),
            None => rare(other, bytes),
        },
    }
}

/// The link types of pcap that few captures have, by the names of pcap-linktype(7).
fn rare(link_type: LinkType, bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    const TOKEN_RING: LinkType = LinkType::pcap(6);
    const PPP: LinkType = LinkType::pcap(9);
    const FDDI: LinkType = LinkType::pcap(10);
    // What BSD and OpenBSD kernels call raw IP.
    const RAW_BSD: LinkType = LinkType::pcap(12);
    const RAW_OPENBSD: LinkType = LinkType::pcap(14);
    const PPP_HDLC: LinkType = LinkType::pcap(50);
    const PPP_ETHER: LinkType = LinkType::pcap(51);
    const C_HDLC: LinkType = LinkType::pcap(104);
    const IEEE802_11: LinkType = LinkType::pcap(105);
    const FRELAY: LinkType = LinkType::pcap(107);
    const IEEE802_11_PRISM: LinkType = LinkType::pcap(119);
    const IEEE802_11_RADIOTAP: LinkType = LinkType::pcap(127);
    const IEEE802_11_AVS: LinkType = LinkType::pcap(163);
    const PPP_PPPD: LinkType = LinkType::pcap(166);
    const PPI: LinkType = LinkType::pcap(192);
    const PPP_WITH_DIR: LinkType = LinkType::pcap(204);
    const C_HDLC_WITH_DIR: LinkType = LinkType::pcap(205);
    const FRELAY_WITH_DIR: LinkType = LinkType::pcap(206);
    const IPNET: LinkType = LinkType::pcap(226);
    const IP_OVER_FC: LinkType = LinkType::pcap(122);
    const NFLOG: LinkType = LinkType::pcap(239);
    match link_type {
        TOKEN_RING => ring::token_ring(bytes),
        FDDI => ring::fddi(bytes),
        RAW_BSD | RAW_OPENBSD => raw_ip(bytes),
        PPP | PPP_HDLC | PPP_PPPD => serial::ppp_or_hdlc(bytes),
        PPP_ETHER => Ok(to_one(number::PPPOE, bytes)),
        C_HDLC => serial::cisco_hdlc(bytes),
        FRELAY => serial::frame_relay(bytes),
        IEEE802_11 => wireless(bytes),
        IEEE802_11_PRISM | IEEE802_11_AVS => wireless::after_prism(bytes),
        IEEE802_11_RADIOTAP => wireless::after_radiotap(bytes),
        PPI => per_packet_information(bytes),
        // One byte, the direction, stands first.
        PPP_WITH_DIR => serial::ppp_or_hdlc(bytes.get(1..).unwrap_or_default()),
        C_HDLC_WITH_DIR => serial::cisco_hdlc(bytes.get(1..).unwrap_or_default()),
        FRELAY_WITH_DIR => serial::frame_relay(bytes.get(1..).unwrap_or_default()),
        NFLOG => linux::nflog(bytes),
        // 24 bytes: version, family, lengths, interfaces and zones.
        IPNET => raw_ip(bytes.get(24..).unwrap_or_default()),
        // The addresses, of eight bytes each (RFC 2625 3.1), and LLC.
        IP_OVER_FC => llc(bytes.get(16..).unwrap_or_default()),
        other => Err(Skipped::LinkType(other)),
    }
}

/// The media of Network Monitor that pcap has no number for; `None` for what is not decoded.
fn netmon(media: u16, bytes: &[u8]) -> Option<Result<Stripped<'_>, Skipped>> {
    match media {
        2 => Some(ring::token_ring(bytes)),
        3 => Some(ring::fddi(bytes)),
        6 => Some(wireless::after_netmon(bytes)),
        _ => None,
    }
}

/// A header that names the link type of what follows it (CACE, Per-Packet Information 1.0.7).
fn per_packet_information(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("Per-Packet Information");
    let Some(&[0, _, low, high, t0, t1, t2, t3]) = bytes.first_chunk::<8>() else {
        return Err(broken);
    };
    let length = usize::from(u16::from_le_bytes([low, high]));
    let rest = bytes.get(length.max(8)..).ok_or(broken)?;
    match u16::try_from(u32::from_le_bytes([t0, t1, t2, t3])) {
        // One inside another would let a frame decide how deep we call.
        Ok(inner) if inner != 192 => strip(LinkType::pcap(inner), rest),
        _ => Err(broken),
    }
}

/// Ethernet II, or 802.3 with LLC and SNAP (IEEE 802.3 3.2.6: below 0x600 it is a length).
pub(super) fn ethernet(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let (header, rest) = bytes.split_first_chunk::<14>().ok_or(Skipped::Broken("Ethernet"))?;
    let [first, .., high, low] = *header;
    let tag = u16::from_be_bytes([high, low]);
    let stripped = if tag < number::LEAST { llc(rest)? } else { to_one(tag, rest) };
    // The lowest bit of the first byte marks a group address (IEEE 802 8.2.2).
    Ok(Stripped { to_group: first & 1 != 0, link: bytes.first_chunk(), ..stripped })
}

/// LLC (IEEE 802.2): a SNAP header, or IP by its own service access point (RFC 948).
pub(super) fn llc(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match bytes {
        [0xaa, 0xaa, 3, rest @ ..] => snap(rest),
        [6, 6, 3, rest @ ..] => Ok(to_one(number::IPV4, rest)),
        _ => Err(Skipped::Llc),
    }
}

/// SNAP: an organization, and a protocol number of its own.
fn snap(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match bytes {
        // EtherTypes (RFC 1042), also as bridges mark some of them (IEEE 802.1H).
        [0, 0, 0 | 0xf8, high, low, rest @ ..] => {
            Ok(to_one(u16::from_be_bytes([*high, *low]), rest))
        }
        // Bridged Ethernet, with and without check sequence (RFC 2427 4.2).
        [0, 0x80, 0xc2, 0, 1 | 7, rest @ ..] => Ok(to_one(number::BRIDGED, rest)),
        _ => Err(Skipped::Llc),
    }
}

/// No link header: the IP version tells.
pub(super) fn raw_ip(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => Ok(to_one(number::IPV4, bytes)),
        Some(6) => Ok(to_one(number::IPV6, bytes)),
        _ => Err(Skipped::Broken("IP")),
    }
}

/// BSD loopback: an address family in the byte order of the capturing machine, which pcap does
/// not tell, so both are tried; what the family means differs by system, the IP version does not.
fn loopback(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let (family, rest) = bytes.split_first_chunk::<4>().ok_or(Skipped::Broken("loopback"))?;
    let family = u32::from_le_bytes(*family);
    // 2 is AF_INET everywhere; AF_INET6 is 10 on Linux, 23 on Windows, 24, 28 and 30 on the BSDs.
    match family.min(family.swap_bytes()) {
        2 | 10 | 23 | 24 | 28 | 30 => raw_ip(rest),
        other => match u16::try_from(other) {
            // Some writers put an EtherType here.
            Ok(tag) if tag >= number::LEAST => Ok(to_one(tag, rest)),
            _ => Err(Skipped::Broken("loopback")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: [u8; 2] = [0x45, 0];

    fn ether_type_of(link_type: LinkType, header: &[u8]) -> Result<(u16, usize), Skipped> {
        let bytes = [header, &IPV4].concat();
        strip(link_type, &bytes).map(|stripped| (stripped.ether_type.0, stripped.bytes.len()))
    }

    #[test]
    fn each_link_type_gives_its_ether_type() {
        let ethernet = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8, 0];
        let snap = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 10, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        let sll = [0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
        let sll2 = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0];
        for (link_type, header) in [
            (LinkType::ETHERNET, &ethernet[..]),
            (LinkType::ETHERNET, &snap),
            (LinkType::RAW, &[]),
            (LinkType::pcap(12), &[]),
            (LinkType::IPV4, &[]),
            (LinkType::NULL, &[2, 0, 0, 0]),
            (LinkType::NULL, &[0, 0, 0, 2]),
            (LinkType::LOOP, &[0, 0, 0, 2]),
            (LinkType::LINUX_SLL, &sll),
            (LinkType::LINUX_SLL2, &sll2),
            (LinkType::pcap(226), &[1; 24]),
            (LinkType::pcap(122), &[[1; 16].as_slice(), &snap[14..]].concat()),
        ] {
            assert_eq!(ether_type_of(link_type, header), Ok((0x800, 2)), "{link_type}");
        }
    }

    #[test]
    fn what_is_no_network_packet_is_named() {
        let spanning_tree = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 38, 0x42, 0x42, 3];
        assert_eq!(ether_type_of(LinkType::ETHERNET, &spanning_tree), Err(Skipped::Llc));
        assert_eq!(ether_type_of(LinkType::ETHERNET, &[1]), Err(Skipped::Broken("Ethernet")));
        let event = LinkType::netmon(0xffe0);
        assert_eq!(ether_type_of(event, &[]), Err(Skipped::NoTraffic(event)));
        let usb = LinkType::pcap(249);
        assert_eq!(ether_type_of(usb, &[]), Err(Skipped::LinkType(usb)));
    }
}
