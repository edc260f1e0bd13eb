//! What a frame begins with, where nothing tells but its bytes.

use crate::capture::LinkType;
use crate::capture::byte_order::ByteOrder;

/// Types of Ethernet frames that captures are full of: IPv4, ARP, VLAN tags, IPv6, MPLS, PPPoE.
const ETHER_TYPES: [u16; 9] =
    [0x0800, 0x0806, 0x8100, 0x88a8, 0x86dd, 0x8847, 0x8848, 0x8863, 0x8864];

/// The link type that fits; `None` where none does.
pub(super) fn link_type(bytes: &[u8]) -> Option<LinkType> {
    if is_ip(bytes) {
        return Some(LinkType::RAW);
    }
    let order = ByteOrder::Big;
    let kind_at = |offset| order.u16(bytes, offset).is_some_and(|kind| ETHER_TYPES.contains(&kind));
    if kind_at(12) {
        return Some(LinkType::ETHERNET);
    }
    // Linux cooked captures begin with the direction, 0 to 4, and the kind of device.
    if order.u16(bytes, 0).is_some_and(|direction| direction <= 4) && kind_at(14) {
        return Some(LinkType::LINUX_SLL);
    }
    // The address family of the machine that captured, in either order, and an IP packet.
    let family = bytes.first_chunk::<4>();
    if family.is_some_and(|family| matches!(family, [_, 0, 0, 0] | [0, 0, 0, _]))
        && bytes.get(4..).is_some_and(is_ip)
    {
        return Some(LinkType::NULL);
    }
    if kind_at(0) && bytes.get(20..).is_some_and(is_ip) {
        return Some(LinkType::LINUX_SLL2);
    }
    None
}

/// Whether this is an IP packet: its version and lengths agree with each other.
fn is_ip(bytes: &[u8]) -> bool {
    let order = ByteOrder::Big;
    match bytes.first() {
        Some(first @ 0x45..=0x4f) => {
            let header = usize::from(first & 0xf) * 4;
            let total = order.u16(bytes, 2).map_or(0, usize::from);
            // 0 with large send offload.
            let fits = total == 0 || (header..=bytes.len().saturating_mul(2)).contains(&total);
            bytes.len() >= header && fits && order.u16(bytes, 12).is_some_and(|net| net != 0)
        }
        Some(0x60..=0x6f) => {
            let payload = order.u16(bytes, 4).map(usize::from);
            bytes.len() >= 40 && payload.is_some_and(|payload| payload + 40 <= bytes.len())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 header of a datagram without payload, from 10.0.0.5 to 10.1.0.10.
    const IPV4: [u8; 28] = [
        0x45, 0, 0, 28, 0, 1, 0x40, 0, 128, 17, 0, 0, 10, 0, 0, 5, 10, 1, 0, 10, 0xc0, 0, 0, 53, 0,
        8, 0, 0,
    ];

    #[test]
    fn headers_are_told_by_what_they_hold() {
        let behind = |header: &[u8]| [header, &IPV4].concat();
        assert_eq!(link_type(&IPV4), Some(LinkType::RAW));
        let ethernet = [&[2; 12][..], &[8, 0]].concat();
        assert_eq!(link_type(&behind(&ethernet)), Some(LinkType::ETHERNET));
        // An address that begins like an IP packet.
        let unlucky = [&[0x45; 6][..], &[2; 6], &[8, 0]].concat();
        assert_eq!(link_type(&behind(&unlucky)), Some(LinkType::ETHERNET));
        let cooked = [&[0, 4, 0, 1, 0, 6][..], &[2; 6], &[0, 0, 8, 0]].concat();
        assert_eq!(link_type(&behind(&cooked)), Some(LinkType::LINUX_SLL));
        assert_eq!(link_type(&behind(&[2, 0, 0, 0])), Some(LinkType::NULL));
        let cooked = [&[8, 0, 0, 0, 0, 0, 0, 2][..], &[0, 1, 4, 6], &[2; 8]].concat();
        assert_eq!(link_type(&behind(&cooked)), Some(LinkType::LINUX_SLL2));
        assert_eq!(link_type(&[]), None);
    }
}
