//! Buffers: what an event trace is made of, from its first byte to its last.
//!
//! Each begins with 72 bytes (`WMI_BUFFER_HEADER`), whose first number is the distance to the next.
//! A buffer belongs to one processor. Of a compressed one the header is stored plain.

use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::{lznt1, record, xpress};

/// Length of a buffer's header.
pub(super) const HEADER: usize = 72;
/// Length of the largest buffer that is believed in. The largest seen are of 16 MiB.
pub(super) const LARGEST: u32 = 64 << 20;
/// Length of the smallest.
const SMALLEST: u32 = 0x100;

/// The header of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes from this buffer to the next in the file.
    pub(super) size: u32,
    /// Bytes that are used, header included; of a compressed buffer once it is inflated.
    pub(super) filled: u32,
    flags: u16,
    /// What the buffer is for; 4 is that of the trace's own header.
    kind: u16,
    /// The processor that it belongs to.
    pub(super) processor: u16,
}

impl Header {
    const EVENTS_LOST: u16 = 2;
    const BUFFERS_LOST: u16 = 4;
    const COMPRESSED: u16 = 0x40;
    const OF_TRACE: u16 = 4;

    /// Reads a header; `None` where this is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Header> {
        let order = ByteOrder::Little;
        let header = Header {
            size: order.u32(bytes, 0)?,
            processor: order.u16(bytes, 0x28)?,
            filled: order.u32(bytes, 0x30)?,
            flags: order.u16(bytes, 0x34)?,
            kind: order.u16(bytes, 0x36)?,
        };
        let is_sane = header.size as usize >= HEADER
            && header.size <= LARGEST
            && header.filled <= LARGEST
            && (header.is_compressed() || header.filled <= header.size);
        is_sane.then_some(header)
    }

    /// Whether what follows the header is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.flags & Header::COMPRESSED != 0
    }

    /// Whether events were lost while the buffer was filled, or buffers before it.
    pub(super) fn says_lost(&self) -> bool {
        self.flags & (Header::EVENTS_LOST | Header::BUFFERS_LOST) != 0
    }
}

/// Whether a file that begins like this is an event trace. It has no magic: the header of its first
/// buffer, and that of the first record in it, must be as they always are.
pub(super) fn begins_trace(head: &[u8]) -> bool {
    let order = ByteOrder::Little;
    let check = || {
        let header = Header::read(head)?;
        let [_, _, kind, marker, _, _, opcode, group] = *head.get(HEADER..)?.first_chunk()?;
        // Of a trace that was written anew the nominal size is the larger.
        let nominal = order.u32(head, HEADER + record::SYSTEM_HEADER)?;
        Some(
            header.size >= SMALLEST
                && header.kind == Header::OF_TRACE
                && !header.is_compressed()
                && matches!(kind, 1 | 2)
                && (marker, opcode, group) == (record::MARKER, 0, 0)
                && nominal >= header.size,
        )
    };
    check().unwrap_or(false)
}

/// How the buffers of a trace are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Xpress,
    Lznt1,
    XpressHuffman,
}

impl Compression {
    const ALL: [Compression; 3] =
        [Compression::Xpress, Compression::Lznt1, Compression::XpressHuffman];

    fn inflate(self, input: &[u8], length: usize, output: &mut Vec<u8>) -> usize {
        match self {
            Compression::Xpress => xpress::plain(input, length, output),
            Compression::Lznt1 => lznt1::inflate(input, length, output),
            Compression::XpressHuffman => xpress::huffman(input, length, output),
        }
    }
}

/// Inflates a buffer's bytes behind its header into at most `length` bytes.
///
/// No field says for certain which compression it is, so that each is tried: the right one gives
/// exactly the length that is told, and records. Of a buffer that is damaged or cut off, what most
/// came of is taken, if it begins with a record. `true` where all came out.
pub(super) fn inflate(input: &[u8], length: usize, output: &mut Vec<u8>) -> bool {
    let mut best = Vec::new();
    for compression in Compression::ALL {
        output.clear();
        let used = compression.inflate(input, length, output);
        if record::is_plausible(output) {
            // The codes of Huffman's end with padding.
            let all_used = used == input.len() || compression == Compression::XpressHuffman;
            if output.len() == length && all_used {
                return true;
            }
            if output.len() > best.len() {
                best = std::mem::take(output);
            }
        }
    }
    *output = best;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a trace: a buffer's header and that of its first record.
    fn beginning() -> Vec<u8> {
        let mut head = vec![0; 0x200];
        head[..4].copy_from_slice(&0x1000_u32.to_le_bytes());
        head[0x30..0x34].copy_from_slice(&0x200_u32.to_le_bytes());
        head[0x36] = 4;
        head[0x4a] = 2;
        head[0x4b] = 0xc0;
        head[0x68..0x6c].copy_from_slice(&0x1000_u32.to_le_bytes());
        head
    }

    #[test]
    fn an_event_trace_is_told_by_its_first_buffer() {
        assert!(begins_trace(&beginning()));
        for (at, value) in [(0x4b, 0xc1), (0x36, 0), (0x4a, 3), (0x4f, 1), (0x34, 0x40)] {
            let mut other = beginning();
            other[at] = value;
            assert!(!begins_trace(&other), "byte {at:#x} is {value:#x}");
        }
        for end in 0..0x6c {
            assert!(!begins_trace(&beginning()[..end]));
        }
        assert!(!begins_trace(&[0; 4096]));
    }

    #[test]
    fn a_buffer_that_is_fuller_than_large_is_none_unless_compressed() {
        let mut bytes = beginning();
        bytes[0x30..0x34].copy_from_slice(&0x1001_u32.to_le_bytes());
        assert_eq!(Header::read(&bytes), None);
        bytes[0x34] = 0x40;
        assert_eq!(Header::read(&bytes).map(|header| header.filled), Some(0x1001));
        bytes[0x30..0x34].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Header::read(&bytes), None);
    }

    /// A record of 48 bytes, as bytes that compress.
    fn record() -> Vec<u8> {
        let mut record = vec![0x30, 0, 0x14, 0xc0];
        record.resize(48, 7);
        record
    }

    #[test]
    fn each_compression_is_found_by_what_comes_out() {
        let record = record();
        // Plain XPRESS: 32 literals and 16.
        let plain = [&[0; 4], &record[..32], &[0xff, 0xff, 0, 0], &record[32..]].concat();
        // LZNT1: one chunk as it is.
        let stored = [&[47, 0x30], &record[..]].concat();
        for (name, input) in [("XPRESS", plain), ("LZNT1", stored)] {
            let mut output = Vec::new();
            assert!(inflate(&input, 48, &mut output), "{name}");
            assert_eq!(output, record, "{name}");
        }
    }

    #[test]
    fn of_a_buffer_that_is_cut_off_the_beginning_is_given() {
        let record = record();
        let plain = [&[0; 4], &record[..32], &[0xff, 0xff, 0, 0], &record[32..]].concat();
        let mut output = Vec::new();
        assert!(!inflate(&plain[..30], 48, &mut output));
        assert_eq!(output, record[..26]);
        assert!(!inflate(b"rubbish!", 48, &mut output));
        assert!(output.is_empty());
    }
}
