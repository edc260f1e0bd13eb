//! Lines between two points: PPP, Cisco's HDLC and Frame Relay.

use crate::packet::link::{Stripped, number, snap, to_one};
use crate::packet::skipped::Skipped;

/// PPP (RFC 1661), with or without the address and control bytes of RFC 1662.
pub(in crate::packet) fn ppp(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    // The two bytes are always the same, so both ends may agree to leave them out.
    let bytes = bytes.strip_prefix(&[0xff, 3]).unwrap_or(bytes);
    let (protocol, rest) = match bytes {
        // Protocol numbers are odd in their low byte and even in their high byte, so that the
        // high byte may be left out where it is zero (RFC 1661 6.5).
        [low, rest @ ..] if low & 1 != 0 => (u16::from(*low), rest),
        [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
        _ => return Err(Skipped::Broken("PPP")),
    };
    match protocol {
        0x0021 => Ok(to_one(number::IPV4, rest)),
        0x0057 => Ok(to_one(number::IPV6, rest)),
        0x0281 | 0x0283 => Ok(to_one(number::MPLS, rest)),
        // Headers compressed by what came before (RFC 1144, 2507, 3095).
        0x0003 | 0x0005 | 0x002d | 0x002f | 0x0061..=0x0069 | 0x2061..=0x2069 => {
            Err(Skipped::Encrypted("PPP headers"))
        }
        // Encryption (RFC 1968); compression (RFC 1962), which is also how MPPE encrypts (RFC 3078).
        0x0053 | 0x0055 | 0x00fb | 0x00fd => Err(Skipped::Encrypted("PPP")),
        0x8000.. => Err(Skipped::LinkControl("PPP negotiation")),
        other => Err(Skipped::PppProtocol(other)),
    }
}

/// PPP in HDLC framing, or Cisco's HDLC, which the same interfaces may speak: the first byte tells
/// (`LINKTYPE_PPP_HDLC`).
pub(super) fn ppp_or_hdlc(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match bytes {
        [0x0f | 0x8f, 0, ..] => cisco_hdlc(bytes),
        // pppd writes the direction in place of the address (`LINKTYPE_PPP_PPPD`).
        [0 | 1, 3, rest @ ..] => ppp(rest),
        _ => ppp(bytes),
    }
}

/// Cisco's HDLC: address, control, EtherType.
pub(super) fn cisco_hdlc(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    match bytes {
        [_, _, 0x80, 0x35, ..] => Err(Skipped::LinkControl("Cisco HDLC keepalive")),
        [address, _, high, low, rest @ ..] => {
            let stripped = to_one(u16::from_be_bytes([*high, *low]), rest);
            Ok(Stripped { to_group: *address == 0x8f, ..stripped })
        }
        _ => Err(Skipped::Broken("Cisco HDLC")),
    }
}

/// Frame Relay: an address of two to four bytes, then RFC 2427, or an EtherType as Cisco does it.
pub(super) fn frame_relay(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("Frame Relay");
    // The lowest bit marks the last byte of the address (ITU-T Q.922 3.3.2).
    let address = match bytes {
        [a, b, ..] if a & 1 == 0 && b & 1 != 0 => 2,
        [a, b, c, ..] if a & 1 == 0 && b & 1 == 0 && c & 1 != 0 => 3,
        [a, b, c, d, ..] if a & 1 == 0 && b & 1 == 0 && c & 1 == 0 && d & 1 != 0 => 4,
        _ => return Err(broken),
    };
    match bytes.get(address..).unwrap_or_default() {
        // Unnumbered information; a zero may pad the header to an even length.
        [3, 0, protocol, rest @ ..] | [3, protocol, rest @ ..] => match protocol {
            0xcc => Ok(to_one(number::IPV4, rest)),
            0x8e => Ok(to_one(number::IPV6, rest)),
            0xcf => ppp(rest),
            0x80 => snap(rest),
            _ => Err(Skipped::LinkControl("Frame Relay")),
        },
        [high, low, rest @ ..] => {
            let tag = u16::from_be_bytes([*high, *low]);
            if tag < number::LEAST { Err(broken) } else { Ok(to_one(tag, rest)) }
        }
        _ => Err(broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ether_type_of(stripped: Result<Stripped<'_>, Skipped>) -> Result<u16, Skipped> {
        stripped.map(|stripped| stripped.ether_type.0)
    }

    #[test]
    fn ppp_headers_may_be_shortened() {
        for header in [&[0xff, 3, 0, 0x21][..], &[0, 0x21], &[0xff, 3, 0x21], &[0x21]] {
            let bytes = [header, &[0x45, 0]].concat();
            let stripped = ppp(&bytes).unwrap();
            assert_eq!((stripped.ether_type.0, stripped.bytes), (0x800, &[0x45, 0][..]));
        }
        assert_eq!(ether_type_of(ppp(&[0, 0x57, 0x60])), Ok(0x86dd));
        assert_eq!(ether_type_of(ppp(&[2, 0x81, 0])), Ok(0x8847));
    }

    #[test]
    fn ppp_without_a_readable_packet_says_why() {
        for (bytes, skipped) in [
            (&[0xff, 3, 0xc0, 0x21][..], Skipped::LinkControl("PPP negotiation")),
            (&[0, 0xfd], Skipped::Encrypted("PPP")),
            (&[0, 0x2d], Skipped::Encrypted("PPP headers")),
            (&[0, 0x2b], Skipped::PppProtocol(0x2b)),
            (&[0xff, 3], Skipped::Broken("PPP")),
            (&[0], Skipped::Broken("PPP")),
        ] {
            assert_eq!(ether_type_of(ppp(bytes)), Err(skipped));
        }
    }

    #[test]
    fn serial_lines_speak_ppp_or_cisco_hdlc() {
        for header in
            [&[0xff, 3, 0, 0x21][..], &[0x0f, 0, 8, 0], &[0x8f, 0, 8, 0], &[0, 3, 0, 0x21]]
        {
            assert_eq!(ether_type_of(ppp_or_hdlc(header)), Ok(0x800));
        }
        assert!(cisco_hdlc(&[0x8f, 0, 8, 0]).unwrap().to_group);
        let keepalive = cisco_hdlc(&[0x8f, 0, 0x80, 0x35, 0, 0]);
        assert_eq!(ether_type_of(keepalive), Err(Skipped::LinkControl("Cisco HDLC keepalive")));
    }

    #[test]
    fn frame_relay_tells_its_protocol_in_several_ways() {
        for (header, number) in [
            (&[0x18, 0x41, 3, 0xcc][..], 0x800),
            (&[0x18, 0x40, 0x01, 3, 0xcc], 0x800),
            (&[0x18, 0x40, 0x00, 0x01, 3, 0x8e], 0x86dd),
            (&[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 6], 0x806),
            (&[0x18, 0x41, 3, 0, 0x80, 0, 0x80, 0xc2, 0, 7], 0x6558),
            (&[0x18, 0x41, 8, 0], 0x800),
        ] {
            assert_eq!(ether_type_of(frame_relay(header)), Ok(number), "{header:x?}");
        }
        for broken in [&[][..], &[0x18], &[0x19, 0x41, 3, 0xcc], &[0, 0, 0, 0, 1], &[0x18, 0x41, 3]]
        {
            assert_eq!(ether_type_of(frame_relay(broken)), Err(Skipped::Broken("Frame Relay")));
        }
    }
}
