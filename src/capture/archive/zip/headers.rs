//! The headers of zip archives (PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16 and 4.5.3).

use crate::capture::byte_order::ByteOrder;

/// Signature of the header before each member.
pub(super) const LOCAL: u32 = 0x0403_4b50;
/// Signature of a member in the central directory.
pub(super) const CENTRAL: u32 = 0x0201_4b50;
/// Signature of what tells the sizes behind a member, where a program writes it.
pub(super) const DESCRIPTOR: u32 = 0x0807_4b50;
/// Signatures of what ends an archive: the end record and those of 64 bits before it.
pub(super) const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// Signatures of what may stand between the last member and the directory.
pub(super) const EXTRA: [u32; 2] = [0x0806_4b50, 0x0505_4b50];

/// Bytes of a local header, and of a directory's entry, without their variable parts.
pub(super) const LOCAL_BYTES: usize = 30;
pub(super) const CENTRAL_BYTES: usize = 46;
/// Bytes of the end record without its comment, and of the 64-bit locator before it.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
/// Bytes that the end record with the longest comment takes, and the locator before it.
pub(super) const MOST_END_BYTES: u64 = (END_BYTES + LOCATOR_BYTES + 0xffff) as u64;

const ORDER: ByteOrder = ByteOrder::Little;

/// What a header tells of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) stored: u64,
    pub(super) inflated: u64,
    /// Where the local header is; 0 in a local header itself.
    pub(super) offset: u64,
    /// Bytes of the name, the extra field and the comment, which follow.
    pub(super) name_bytes: usize,
    pub(super) extra_bytes: usize,
    pub(super) comment_bytes: usize,
}

impl Header {
    /// Reads a local header.
    pub(super) fn local(bytes: &[u8]) -> Option<Header> {
        Header::at(bytes, 6, 26).map(|header| Header { offset: 0, comment_bytes: 0, ..header })
    }

    /// Reads an entry of the directory.
    pub(super) fn central(bytes: &[u8]) -> Option<Header> {
        let offset = ORDER.u32(bytes, 42)?.into();
        let comment_bytes = ORDER.u16(bytes, 32)?.into();
        Header::at(bytes, 8, 28).map(|header| Header { offset, comment_bytes, ..header })
    }

    /// The two kinds of header have the same fields at other places.
    fn at(bytes: &[u8], flags: usize, lengths: usize) -> Option<Header> {
        Some(Header {
            flags: ORDER.u16(bytes, flags)?,
            method: ORDER.u16(bytes, flags + 2)?,
            crc: ORDER.u32(bytes, flags + 8)?,
            stored: ORDER.u32(bytes, flags + 12)?.into(),
            inflated: ORDER.u32(bytes, flags + 16)?.into(),
            offset: 0,
            name_bytes: ORDER.u16(bytes, lengths)?.into(),
            extra_bytes: ORDER.u16(bytes, lengths + 2)?.into(),
            comment_bytes: 0,
        })
    }

    /// Takes the numbers that do not fit 32 bits from the extra field, in the order that is laid
    /// down: only those are there that are needed.
    pub(super) fn take_extra(&mut self, mut extra: &[u8]) {
        while let (Some(id), Some(length)) = (ORDER.u16(extra, 0), ORDER.u16(extra, 2)) {
            let end = usize::from(length).saturating_add(4);
            let field = extra.get(4..end).unwrap_or_default();
            if id == 1 {
                let mut at = 0;
                for number in [&mut self.inflated, &mut self.stored, &mut self.offset] {
                    if *number == u64::from(u32::MAX)
                        && let Some(long) = ORDER.u64(field, at)
                    {
                        *number = long;
                        at += 8;
                    }
                }
            }
            extra = extra.get(end..).unwrap_or_default();
        }
    }

    /// Whether the contents are encrypted, in one way or another.
    pub(super) fn is_encrypted(&self) -> bool {
        const ENCRYPTED: u16 = 1;
        const STRONGLY: u16 = 1 << 6;
        const AES: u16 = 99;
        self.flags & (ENCRYPTED | STRONGLY) != 0 || self.method == AES
    }

    /// Whether sizes and checksum stand behind the contents.
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & (1 << 3) != 0
    }
}

/// Where the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) entries: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Where the records behind it begin.
    pub(super) end: u64,
    /// Place of a record of 64 bits that tells better.
    pub(super) better: Option<u64>,
}

/// Finds the end record in the last bytes of a file, which begin at `start`.
pub(super) fn find_end(tail: &[u8], start: u64) -> Option<Directory> {
    // From the end: a comment may hold anything, even another archive.
    for at in (0..=tail.len().checked_sub(END_BYTES)?).rev() {
        let record = tail.get(at..).unwrap_or_default();
        let comment = ORDER.u16(record, 20).map(usize::from);
        if ORDER.u32(record, 0) != Some(END) || comment != record.len().checked_sub(END_BYTES) {
            continue;
        }
        let locator =
            at.checked_sub(LOCATOR_BYTES).and_then(|before| tail.get(before..)).unwrap_or_default();
        let has_locator = ORDER.u32(locator, 0) == Some(LOCATOR_64);
        return Some(Directory {
            entries: ORDER.u16(record, 10)?.into(),
            bytes: ORDER.u32(record, 12)?.into(),
            offset: ORDER.u32(record, 16)?.into(),
            end: start.saturating_add(at as u64),
            better: if has_locator { ORDER.u64(locator, 8) } else { None },
        });
    }
    None
}

/// Reads the end record of 64 bits, which stands at `place`.
pub(super) fn end_64(record: &[u8], place: u64) -> Option<Directory> {
    if ORDER.u32(record, 0) != Some(END_64) {
        return None;
    }
    Some(Directory {
        entries: ORDER.u64(record, 32)?,
        bytes: ORDER.u64(record, 40)?,
        offset: ORDER.u64(record, 48)?,
        end: place,
        better: None,
    })
}

/// Why the contents of a method cannot be read.
pub(super) fn method_name(method: u16) -> &'static str {
    match method {
        1 => "it is compressed with Shrink",
        2..=5 => "it is compressed with Reduce",
        6 => "it is compressed with Implode",
        10 => "it is compressed with PKWARE's DCL Implode",
        14 => "it is compressed with LZMA",
        96 => "it is compressed as a JPEG picture",
        97 => "it is compressed with WavPack",
        98 => "it is compressed with PPMd",
        _ => "it is compressed in a way that is not known here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An end record with a comment.
    fn end(entries: u16, bytes: u32, offset: u32, comment: &[u8]) -> Vec<u8> {
        let mut record = END.to_le_bytes().to_vec();
        record.extend([0; 4]);
        record.extend(entries.to_le_bytes());
        record.extend(entries.to_le_bytes());
        record.extend(bytes.to_le_bytes());
        record.extend(offset.to_le_bytes());
        record.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
        record.extend(comment);
        record
    }

    #[test]
    fn the_end_is_found_behind_anything_and_before_any_comment() {
        // The comment looks like the end of an archive, but is not as long as it says.
        let inner = end(7, 7, 7, b"")[..21].to_vec();
        let file = [b"junk".to_vec(), end(2, 92, 1000, &inner)].concat();
        let found = find_end(&file, 5000).unwrap();
        assert_eq!((found.entries, found.bytes, found.offset, found.end), (2, 92, 1000, 5004));
        assert_eq!(found.better, None);
        assert_eq!(find_end(&file[..20], 0), None);
        assert_eq!(find_end(b"", 0), None);
    }

    #[test]
    fn an_archive_of_64_bits_has_a_better_record_elsewhere() {
        let mut locator = LOCATOR_64.to_le_bytes().to_vec();
        locator.extend([0; 4]);
        locator.extend(0x1_0000_0000_u64.to_le_bytes());
        locator.extend([1, 0, 0, 0]);
        let file = [locator, end(0xffff, u32::MAX, u32::MAX, b"")].concat();
        assert_eq!(find_end(&file, 0).unwrap().better, Some(0x1_0000_0000));
    }

    #[test]
    fn only_the_numbers_that_need_it_have_64_bits() {
        let mut header = Header {
            stored: 5,
            inflated: u64::from(u32::MAX),
            offset: 0xffff_ffff,
            ..Header::default()
        };
        let mut extra = vec![9, 9, 2, 0, 0xaa, 0xbb];
        extra.extend([1, 0, 16, 0]);
        extra.extend(0x1_0000_0001_u64.to_le_bytes());
        extra.extend(0x2_0000_0002_u64.to_le_bytes());
        header.take_extra(&extra);
        assert_eq!(
            (header.inflated, header.stored, header.offset),
            (0x1_0000_0001, 5, 0x2_0000_0002)
        );
        // A field that ends too early changes nothing.
        let mut header = Header { inflated: u64::from(u32::MAX), ..Header::default() };
        header.take_extra(&[1, 0, 8, 0, 1, 2, 3]);
        assert_eq!(header.inflated, u64::from(u32::MAX));
    }
}
