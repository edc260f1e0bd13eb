//! Reads tar archives: POSIX ustar and pax (IEEE Std 1003.1, pax), GNU's long names and sizes, and
//! those from before ustar.
//!
//! Directories, links and devices are passed over. Sparse files, whose holes are described in
//! ways of their own, are named as unread.

use std::io::{self, BufRead, BufReader, Read, Seek};

use crate::capture::archive::{Archive, Member, cut_off, names, stopped};
use crate::capture::error::Error;
use crate::capture::{Opened, Source};

/// Everything in a tar archive comes in blocks of this size.
const BLOCK: usize = 512;

/// Bytes of a name, or of a set of pax records, that are kept.
const MOST_NOTE_BYTES: u64 = 64 << 10;

/// Whether a file begins with a header: its checksum must fit.
pub(super) fn begins(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(checksum_fits)
}

pub(super) fn open(opened: Opened) -> Result<Box<dyn Archive>, Error> {
    let head = opened.head;
    // A file is sought in, so that what is no capture is not read.
    let seekable = opened.size.is_some();
    let mut source: Box<dyn Source> = opened.source;
    if seekable {
        source.rewind().map_err(Error::Unreadable)?;
    } else {
        source = Box::new(crate::capture::Pipe(Box::new(io::Cursor::new(head).chain(source))));
    }
    let source = BufReader::with_capacity(64 << 10, source);
    Ok(Box::new(Tar { source, seekable, left: 0, padding: 0, ended: false }))
}

struct Tar {
    source: BufReader<Box<dyn Source>>,
    seekable: bool,
    /// Bytes of the member that were not read yet, and of the padding behind them.
    left: u64,
    padding: u64,
    ended: bool,
}

/// What the headers before a member's own say of it.
#[derive(Default)]
struct Notes {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Archive for Tar {
    fn next_member(&mut self) -> Result<Option<Member>, Error> {
        let mut notes = Notes::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.get(156).copied().unwrap_or_default();
            let size = size(&header).ok_or_else(|| damaged("a size is no number"))?;
            // Only files have contents; older programs gave links the size of what they lead to.
            let has_contents = !matches!(kind, b'1'..=b'6');
            let size = if has_contents { notes.size.unwrap_or(size) } else { 0 };
            self.left = size;
            self.padding = size.wrapping_neg() % BLOCK as u64;
            match kind {
                b'L' => notes.name = Some(until_zero(&self.note()?).to_vec()),
                b'x' => self.pax(&mut notes)?,
                0 | b'0' | b'7' | b'S' => {
                    let name = match notes.name.take() {
                        Some(name) => name,
                        None => name(&header),
                    };
                    // Before ustar, a directory was a file whose name ends like this.
                    if name.ends_with(b"/") && size == 0 {
                        notes = Notes::default();
                        continue;
                    }
                    let sparse = notes.sparse || kind == b'S';
                    return Ok(Some(Member {
                        name: names::utf8(&name),
                        unread: sparse.then_some(Error::MemberNotRead {
                            why: "it is stored as a sparse file",
                        }),
                    }));
                }
                // Global records, long names of links, volume labels.
                b'g' | b'K' | b'V' | b'M' | b'N' => {}
                _ => notes = Notes::default(),
            }
        }
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(space.len());
        let space = space.get_mut(..most).unwrap_or_default();
        let count = self.source.read(space)?;
        if count == 0 && most > 0 {
            return Err(cut_off());
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

impl Tar {
    /// Passes over what is left of the member.
    fn pass_over(&mut self) -> Result<(), Error> {
        let bytes = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        let buffered = self.source.buffer().len() as u64;
        if self.seekable && bytes > buffered {
            // To the last byte only, which reading then finds missing where the file is cut off.
            let distance = i64::try_from(bytes - 1).map_err(|_| damaged("a size is absurd"))?;
            self.source.seek_relative(distance).map_err(unreadable)?;
            return self.pass_over_by_reading(1);
        }
        self.pass_over_by_reading(bytes)
    }

    fn pass_over_by_reading(&mut self, bytes: u64) -> Result<(), Error> {
        let passed = io::copy(&mut self.source.by_ref().take(bytes), &mut io::sink());
        if passed.map_err(unreadable)? < bytes {
            return Err(damaged("it is cut off: it was not copied whole"));
        }
        Ok(())
    }

    /// The next header; `None` at the end, which is a block of zeros or simply the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        if self.ended || self.source.fill_buf().map_err(unreadable)?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.source.read_exact(&mut block).map_err(unreadable)?;
        if block == [0; BLOCK] {
            self.ended = true;
            return Ok(None);
        }
        if !checksum_fits(&block) {
            return Err(damaged("the checksum of a header does not fit"));
        }
        Ok(Some(block))
    }

    /// The contents of a header's own member, as much as is kept of such.
    fn note(&mut self) -> Result<Vec<u8>, Error> {
        let mut note = Vec::new();
        let wanted = self.left.min(MOST_NOTE_BYTES);
        self.source.by_ref().take(wanted).read_to_end(&mut note).map_err(unreadable)?;
        self.left = self.left.saturating_sub(note.len() as u64);
        Ok(note)
    }

    /// Reads pax records: "LENGTH KEY=VALUE\n" each, where the length is that of all of it.
    fn pax(&mut self, notes: &mut Notes) -> Result<(), Error> {
        let note = self.note()?;
        let mut rest = note.as_slice();
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let (length, _) = rest.split_at(space);
            let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
            let Some((record, behind)) = length.and_then(|length| rest.split_at_checked(length))
            else {
                break;
            };
            rest = behind;
            let record = record.get(space + 1..).unwrap_or_default();
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            match key {
                b"path" => notes.name = Some(value.to_vec()),
                b"size" => {
                    notes.size =
                        std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                }
                _ if key.starts_with(b"GNU.sparse.") => notes.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

fn damaged(why: &'static str) -> Error {
    Error::ArchiveDamaged { what: "tar archive", why: why.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn unreadable(error: io::Error) -> Error {
    stopped("tar archive", &error)
}

/// Whether the checksum of a header fits: the sum of its bytes, those of the checksum itself
/// taken for spaces. Some old programs took the bytes for signed.
fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let Some(stored) = block.get(148..156).and_then(octal) else { return false };
    let mut unsigned = 0_u64;
    let mut signed = 0_i64;
    for (place, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&place) { b' ' } else { *byte };
        unsigned += u64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    // 0 is the checksum of nothing, but what a field without digits says.
    stored != 0 && (stored == unsigned || i64::try_from(stored) == Ok(signed))
}

/// Size of a member: octal digits or, for more than 8 GiB, GNU's binary number.
fn size(header: &[u8; BLOCK]) -> Option<u64> {
    let field = header.get(124..136)?;
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let (upper, lower) = rest.split_at_checked(3)?;
    // Negative numbers, and those beyond any disk.
    let sane = *first == 0x80 && upper.iter().all(|byte| *byte == 0);
    lower.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)).filter(|_| sane)
}

/// Octal digits between spaces and zeros; an empty field is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_zero(field.trim_ascii_start())).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Name of a member: in ustar, what does not fit stands in a field of its own.
fn name(header: &[u8; BLOCK]) -> Vec<u8> {
    let field = |from: usize, to: usize| until_zero(header.get(from..to).unwrap_or_default());
    let prefix = if header.get(257..263) == Some(b"ustar\0") { field(345, 500) } else { b"" };
    match prefix {
        b"" => field(0, 100).to_vec(),
        prefix => [prefix, b"/", field(0, 100)].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &[u8], size: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name);
        block[124..124 + size.len()].copy_from_slice(size);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    #[test]
    fn a_header_is_told_by_its_checksum() {
        let mut block = header(b"a.pcap", b"00000000017\0");
        assert!(begins(&block));
        block[0] = b'b';
        assert!(!begins(&block));
        assert!(!begins(&[0; BLOCK]));
        assert!(!begins(&block[..100]));
    }

    #[test]
    fn sizes_are_octal_or_binary() {
        assert_eq!(size(&header(b"a", b"00000000017\0")), Some(15));
        assert_eq!(size(&header(b"a", b"       17 \0")), Some(15));
        assert_eq!(size(&header(b"a", b"\x80\0\0\0\0\0\0\x03\0\0\0\x01")), Some((3 << 32) + 1));
        for wrong in [&b"0000000009x\0"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(size(&header(b"a", wrong)), None);
        }
    }
}
