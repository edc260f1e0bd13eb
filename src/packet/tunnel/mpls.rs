//! MPLS: a stack of labels, and what is under it, which the stack does not tell.

use crate::packet::encapsulation::{Encapsulation, LayerKind};
use crate::packet::link::{self, Stripped, number};
use crate::packet::skipped::Skipped;
use crate::packet::tunnel::is_ip;

/// Opens a label stack (RFC 3032 2.1): label in 20 bits, class in 3, bottom of stack, time to live.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    layers: &mut Encapsulation,
) -> Result<Stripped<'a>, Skipped> {
    let mut rest = bytes;
    while let Some(([l0, l1, l2, _], after)) = rest.split_first_chunk::<4>() {
        layers.push_numbered(LayerKind::Mpls, u32::from_be_bytes([0, *l0, *l1, *l2]) >> 4);
        rest = after;
        if l2 & 1 != 0 {
            return under(rest);
        }
    }
    Err(Skipped::Broken("MPLS"))
}

/// Tells by the first four bits (RFC 4385 3, RFC 4928 3): 4 and 6 are IP, 0 is the control word of
/// a wire, 1 is the network's own; but a wire without control word may begin with any.
fn under(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    if is_ip(bytes) {
        return link::raw_ip(bytes);
    }
    let after_control_word = match bytes {
        [0..=0x0f, _, _, _, rest @ ..] => Some(rest),
        _ => None,
    };
    [after_control_word, Some(bytes)]
        .into_iter()
        .flatten()
        .find_map(wire)
        .ok_or(Skipped::Tunnel("MPLS"))
}

/// Reads Ethernet, if what it carries begins as its EtherType says.
fn wire(bytes: &[u8]) -> Option<Stripped<'_>> {
    let stripped = link::ethernet(bytes).ok()?;
    let known = match stripped.ether_type.0 {
        number::IPV4 | number::IPV6 => is_ip(stripped.bytes),
        // Hardware type Ethernet (RFC 826); tags; MPLS; PPPoE.
        0x0806 => stripped.bytes.starts_with(&[0, 1, 8, 0]),
        0x8100 | 0x88a8 | number::MPLS | 0x8863 | number::PPPOE => true,
        _ => false,
    };
    known.then_some(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: [u8; 4] = [0x45, 0, 0, 20];

    /// Label 1234 above label 16, which is the bottom.
    const STACK: [u8; 8] = [0x00, 0x4d, 0x20, 64, 0x00, 0x01, 0x01, 64];

    fn open_above(inner: &[u8]) -> (Result<(u16, usize), Skipped>, Vec<String>) {
        let bytes = [&STACK, inner].concat();
        let mut layers = Encapsulation::default();
        let opened =
            open(&bytes, &mut layers).map(|stripped| (stripped.ether_type.0, stripped.bytes.len()));
        (opened, layers.layers().map(|layer| layer.to_string()).collect())
    }

    #[test]
    fn ip_under_labels_is_known_by_its_version() {
        let layers = vec!["mpls 1234".to_owned(), "mpls 16".to_owned()];
        assert_eq!(open_above(&IP), (Ok((0x800, 4)), layers.clone()));
        assert_eq!(open_above(&[0x60, 0]), (Ok((0x86dd, 2)), layers));
    }

    #[test]
    fn wires_may_have_a_control_word() {
        // Addresses that look like a control word, like IPv4, and like nothing.
        for first in [0x00, 0x40, 0xa0] {
            let ethernet = [&[first, 1, 2, 3, 4, 5, 2, 1, 2, 3, 4, 5, 8, 0][..], &IP].concat();
            let with_word = [&[0, 0, 0, 0][..], &ethernet].concat();
            assert_eq!(open_above(&ethernet).0, Ok((0x800, 4)), "{first:x}");
            assert_eq!(open_above(&with_word).0, Ok((0x800, 4)), "{first:x}");
        }
    }

    #[test]
    fn what_is_neither_is_not_opened() {
        assert_eq!(open_above(&[0x10, 0, 0, 7, 1, 2, 3]).0, Err(Skipped::Tunnel("MPLS")));
        assert_eq!(open_above(&[]).0, Err(Skipped::Tunnel("MPLS")));
        let endless = [0, 1, 0, 64].repeat(100);
        let opened = open(&endless, &mut Encapsulation::default());
        assert_eq!(opened.err(), Some(Skipped::Broken("MPLS")));
    }
}
