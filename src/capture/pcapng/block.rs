//! Takes the blocks of a pcapng capture apart.
//!
//! pcap-parser frames and reads the blocks that come once in a while. Packets are read here: it
//! has no reader for the obsolete Packet Block, allocates a list of options for each Enhanced
//! one, and takes a captured length beyond the block for a sign that more of the file is needed.

use pcap_parser::{Block, parse_block_be, parse_block_le};

use crate::capture::byte_order::ByteOrder;

/// Type of the section header: the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// Type of an interface description.
pub(super) const INTERFACE: u32 = 1;
/// Type of the obsolete packet.
pub(super) const OBSOLETE_PACKET: u32 = 2;
/// Type of the simple packet.
pub(super) const SIMPLE_PACKET: u32 = 3;
/// Type of name resolutions.
pub(super) const NAMES: u32 = 4;
/// Type of interface statistics.
pub(super) const STATISTICS: u32 = 5;
/// Type of the enhanced packet.
pub(super) const ENHANCED_PACKET: u32 = 6;
/// Type of a systemd journal entry.
pub(super) const JOURNAL: u32 = 9;
/// Type of a Sysdig event.
pub(super) const SYSTEM_CALL: u32 = 0x204;
/// Type of a vendor's block.
pub(super) const CUSTOM: u32 = 0xbad;
/// Type of a vendor's block that tools shall not copy.
pub(super) const CUSTOM_PRIVATE: u32 = 0x4000_0bad;

/// Bytes of type and length before the body.
pub(super) const BEFORE_BODY: usize = 8;

/// What stands at a place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outline {
    /// A block with all its bytes.
    Whole {
        /// Its type.
        kind: u32,
        /// Its length, both length fields included.
        length: usize,
    },
    /// A block of which not all is there.
    Part,
    /// A block longer than any that we read, and longer than `bytes`: its length.
    Long(u32),
    /// Something that cannot be a block, and why.
    Damaged(&'static str),
}

/// Looks at the block that `bytes` begin with, in a section of that byte order. The block may
/// have `most` bytes.
#[inline]
pub(super) fn outline(bytes: &[u8], order: ByteOrder, most: u32) -> Outline {
    let (Some(kind), Some(mut length)) = (order.u32(bytes, 0), order.u32(bytes, 4)) else {
        return Outline::Part;
    };
    let mut order = order;
    if kind == SECTION_HEADER {
        order = match bytes.get(8..12) {
            None => return Outline::Part,
            Some(word) => match byte_order(word) {
                Some(order) => order,
                None => return Outline::Damaged("its byte-order word is none"),
            },
        };
        length = order.u32(bytes, 4).unwrap_or(0);
    }
    if length < 12 || length % 4 != 0 {
        return Outline::Damaged("its length is none that a block can have");
    }
    if length > most && length as usize > bytes.len() {
        return Outline::Long(length);
    }
    let length = length as usize;
    match order.u32(bytes, length - 4) {
        None => Outline::Part,
        Some(again) if again as usize != length => {
            Outline::Damaged("the lengths at its two ends differ")
        }
        Some(_) => Outline::Whole { kind, length },
    }
}

/// The byte order that the first word of a section header tells.
pub(super) fn byte_order(word: &[u8]) -> Option<ByteOrder> {
    match word {
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(ByteOrder::Little),
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(ByteOrder::Big),
        _ => None,
    }
}

/// Reads a whole block with pcap-parser; `None` where its inside does not make sense.
pub(super) fn read(block: &[u8], order: ByteOrder) -> Option<Block<'_>> {
    let read = match order {
        ByteOrder::Little => parse_block_le(block),
        ByteOrder::Big => parse_block_be(block),
    };
    // "Incomplete" means a length inside that points out of the block, which is all there.
    read.ok().map(|(_, block)| block)
}

/// A packet of an Enhanced or obsolete Packet Block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) interface: u32,
    pub(super) ticks: u64,
    /// Bytes from the beginning of the block to the frame.
    pub(super) frame_start: usize,
    /// Bytes of the frame that the block says it has.
    pub(super) captured: u32,
    pub(super) original: u32,
}

/// Bytes of both packet blocks from the beginning to the frame.
const BEFORE_FRAME: usize = 28;

/// Reads the fields of an Enhanced Packet Block.
#[inline]
pub(super) fn enhanced_packet(block: &[u8], order: ByteOrder) -> Option<Packet> {
    packet(block, order, order.u32(block, BEFORE_BODY)?)
}

/// Reads the fields of an obsolete Packet Block, whose interface has half a word: the other half
/// counts drops.
pub(super) fn obsolete_packet(block: &[u8], order: ByteOrder) -> Option<Packet> {
    packet(block, order, order.u16(block, BEFORE_BODY)?.into())
}

#[inline]
fn packet(block: &[u8], order: ByteOrder, interface: u32) -> Option<Packet> {
    // The high word of the time comes first in either byte order.
    let (high, low) = (order.u32(block, 12)?, order.u32(block, 16)?);
    Some(Packet {
        interface,
        ticks: u64::from(high) << 32 | u64::from(low),
        frame_start: BEFORE_FRAME,
        captured: order.u32(block, 20)?,
        original: order.u32(block, 24)?,
    })
}

impl Packet {
    /// Bytes of the frame that the block really has. The last four are its length.
    #[inline]
    pub(super) fn present(&self, block: &[u8]) -> u32 {
        let room = block.len().saturating_sub(BEFORE_FRAME + 4);
        self.captured.min(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// The options behind the frame.
    #[inline]
    pub(super) fn options<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        let padded = (self.captured as usize).checked_next_multiple_of(4);
        let start = padded.and_then(|padded| BEFORE_FRAME.checked_add(padded));
        let end = block.len().saturating_sub(4);
        start.and_then(|start| block.get(start..end)).unwrap_or_default()
    }
}

/// The options in `bytes`: code and value, without padding, up to the end mark, which may be
/// missing, or the first that does not fit.
pub(super) fn options(bytes: &[u8], order: ByteOrder) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let code = order.u16(rest, 0)?;
        let length = usize::from(order.u16(rest, 2)?);
        let value = rest.get(4..length.checked_add(4)?)?;
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_parser::nom;
    use pcap_parser::parse_enhancedpacketblock_le;

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_block_is_framed_by_its_two_lengths() {
        let order = ByteOrder::Little;
        let block = words(&[5, 16, 0, 16]);
        assert_eq!(outline(&block, order, 64), Outline::Whole { kind: 5, length: 16 });
        assert_eq!(outline(&block[..15], order, 64), Outline::Part);
        assert_eq!(outline(&block[..3], order, 64), Outline::Part);
        assert_eq!(outline(&block[..12], order, 12), Outline::Long(16));
        for bad in [[5, 16, 0, 20], [5, 8, 0, 8], [5, 15, 0, 15], [5, 0, 0, 0]] {
            assert!(matches!(outline(&words(&bad), order, 64), Outline::Damaged(_)), "{bad:?}");
        }
    }

    #[test]
    fn a_section_header_is_framed_in_its_own_order() {
        let mut block = vec![0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d];
        block.resize(24, 0);
        block.extend([0, 0, 0, 28]);
        let expected = Outline::Whole { kind: SECTION_HEADER, length: 28 };
        assert_eq!(outline(&block, ByteOrder::Little, 64), expected);
        block[8] = 0;
        assert!(matches!(outline(&block, ByteOrder::Little, 64), Outline::Damaged(_)));
    }

    #[test]
    fn a_captured_length_beyond_the_block_is_seen_where_pcap_parser_waits_for_more() {
        let block = words(&[6, 36, 0, 0, 7, 100, 100, 0, 36]);
        assert!(matches!(parse_enhancedpacketblock_le(&block), Err(nom::Err::Incomplete(_))));
        let packet = enhanced_packet(&block, ByteOrder::Little).unwrap();
        assert_eq!((packet.captured, packet.present(&block)), (100, 4));
        assert!(packet.options(&block).is_empty());
    }

    #[test]
    fn obsolete_packets_are_read_though_pcap_parser_does_not() {
        let block = words(&[2, 36, 0xffff_0003, 1, 7, 4, 60, 0, 36]);
        assert!(matches!(read(&block, ByteOrder::Little), Some(Block::Unknown(_))));
        let expected = Packet {
            interface: 3,
            ticks: (1 << 32) + 7,
            frame_start: 28,
            captured: 4,
            original: 60,
        };
        assert_eq!(obsolete_packet(&block, ByteOrder::Little), Some(expected));
    }

    #[test]
    fn options_end_at_their_end_mark_or_at_the_first_that_does_not_fit() {
        let order = ByteOrder::Little;
        let bytes = [1, 0, 3, 0, b'a', b'b', b'c', 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 9];
        let read: Vec<_> = options(&bytes, order).collect();
        assert_eq!(read, [(1, b"abc".as_slice()), (2, b"")]);
        assert_eq!(options(&bytes[..7], order).count(), 1);
        assert_eq!(options(&bytes[..6], order).count(), 0);
    }
}
