//! What Linux itself puts before a packet: "cooked" captures, and packets from its firewall's log.

use crate::capture::LinkType;
use crate::packet::Heading;
use crate::packet::link::{Stripped, llc, raw_ip, serial, to_one, wireless};
use crate::packet::skipped::Skipped;

/// Linux cooked v1: 16 bytes, the protocol in the last two.
pub(super) fn cooked_v1(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let (header, rest) = bytes.split_first_chunk::<16>().ok_or(Skipped::Broken("Linux cooked"))?;
    let [type_high, type_low, kind_high, kind_low, .., high, low] = *header;
    cooked(
        u16::from_be_bytes([type_high, type_low]),
        u16::from_be_bytes([kind_high, kind_low]),
        u16::from_be_bytes([high, low]),
        rest,
    )
}

/// Linux cooked v2: 20 bytes, the protocol in the first two, the hardware type at offset 8.
pub(super) fn cooked_v2(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let (header, rest) =
        bytes.split_first_chunk::<20>().ok_or(Skipped::Broken("Linux cooked v2"))?;
    let [high, low, _, _, _, _, _, _, kind_high, kind_low, packet_type, ..] = *header;
    cooked(
        packet_type.into(),
        u16::from_be_bytes([kind_high, kind_low]),
        u16::from_be_bytes([high, low]),
        rest,
    )
}

/// The hardware type says how to read the protocol (pcap-linktype(7), `LINKTYPE_LINUX_SLL`).
fn cooked(
    packet_type: u16,
    hardware: u16,
    protocol: u16,
    rest: &[u8],
) -> Result<Stripped<'_>, Skipped> {
    const FRAME_RELAY: u16 = 770;
    const WIRELESS: u16 = 801;
    const WIRELESS_PRISM: u16 = 802;
    const WIRELESS_RADIOTAP: u16 = 803;
    const NETLINK: u16 = 824;
    let stripped = match (hardware, protocol) {
        (NETLINK, _) => return Err(Skipped::LinkType(LinkType::pcap(253))),
        // The protocol says nothing; the frame begins with its own link header.
        (FRAME_RELAY, _) => serial::frame_relay(rest)?,
        (WIRELESS, _) => wireless::wireless(rest)?,
        (WIRELESS_PRISM, _) => wireless::after_prism(rest)?,
        (WIRELESS_RADIOTAP, _) => wireless::after_radiotap(rest)?,
        // 1 is "802.3 frame without LLC", 4 "with LLC"; neither is an EtherType.
        (_, 1) => return Err(Skipped::Llc),
        (_, 4) => llc(rest)?,
        // On a GRE interface (778) this is GRE's protocol, which is an EtherType too (RFC 2784
        // 2.4): the GRE header itself is not captured.
        _ => to_one(protocol, rest),
    };
    // Packet types 1 and 2 are broadcast and multicast.
    let to_group = stripped.to_group || matches!(packet_type, 1 | 2);
    let heading = match packet_type {
        0 => Heading::Arriving,
        4 => Heading::Leaving,
        _ => Heading::Unknown,
    };
    Ok(Stripped { to_group, heading, ..stripped })
}

/// NFLOG: a family, and attributes of which one is the packet (`LINKTYPE_NFLOG`).
///
/// Lengths and types are in the byte order of the capturing machine, which the frame does not
/// tell; types are small, so the order in which one is below 256 is the right one.
pub(super) fn nflog(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    const PAYLOAD: u16 = 9;
    let broken = Skipped::Broken("NFLOG");
    // Family, version 0, resource.
    let Some(&[_, 0, _, _]) = bytes.first_chunk::<4>() else { return Err(broken) };
    let mut rest = bytes.get(4..).unwrap_or_default();
    while let Some(&[l0, l1, t0, t1]) = rest.first_chunk::<4>() {
        let (length, kind) = match u16::from_le_bytes([t0, t1]) {
            kind @ 0..256 => (u16::from_le_bytes([l0, l1]), kind),
            _ => (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([t0, t1])),
        };
        let length = usize::from(length);
        if length < 4 {
            return Err(broken);
        }
        if kind == PAYLOAD {
            // Cut by the snap length it is shorter than it says.
            let end = length.min(rest.len());
            return raw_ip(rest.get(4..end).unwrap_or_default());
        }
        // The next one begins at a multiple of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: [u8; 2] = [0x45, 0];

    fn ether_type_of(stripped: Result<Stripped<'_>, Skipped>) -> Result<(u16, usize), Skipped> {
        stripped.map(|stripped| (stripped.ether_type.0, stripped.bytes.len()))
    }

    #[test]
    fn gre_interfaces_give_the_protocol_inside() {
        let header = [0, 0, 0x03, 0x0a, 0, 4, 10, 0, 0, 1, 0, 0, 0, 0, 0x86, 0xdd];
        let bytes = [&header[..], &[0x60, 0]].concat();
        assert_eq!(ether_type_of(cooked_v1(&bytes)), Ok((0x86dd, 2)));
    }

    #[test]
    fn other_hardware_brings_its_own_link_header() {
        let frame_relay = [0, 0, 0x03, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let bytes = [&frame_relay[..], &[0x18, 0x41, 3, 0xcc], &IPV4].concat();
        assert_eq!(ether_type_of(cooked_v1(&bytes)), Ok((0x800, 2)));
        let mut netlink = [0; 16];
        netlink[2..4].copy_from_slice(&[0x03, 0x38]);
        let skipped = ether_type_of(cooked_v1(&netlink)).unwrap_err();
        assert_eq!(skipped, Skipped::LinkType(LinkType::pcap(253)));
    }

    #[test]
    fn the_firewall_log_is_read_in_both_byte_orders() {
        // Family IPv4; attribute 10 (a prefix of two bytes, padded to four); attribute 9.
        let little = [2, 0, 0, 1, 6, 0, 10, 0, b'a', 0, 0, 0, 6, 0, 9, 0, 0x45, 0];
        let big = [2, 0, 0, 1, 0, 6, 0, 10, b'a', 0, 0, 0, 0, 6, 0, 9, 0x45, 0];
        assert_eq!(ether_type_of(nflog(&little)), Ok((0x800, 2)));
        assert_eq!(ether_type_of(nflog(&big)), Ok((0x800, 2)));
    }

    #[test]
    fn an_attribute_shorter_than_its_header_is_broken() {
        let none = [2, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(ether_type_of(nflog(&none)), Err(Skipped::Broken("NFLOG")));
    }
}
