//! Reads zip archives: PKWARE's APPNOTE.TXT, with members stored, or compressed with Deflate,
//! Deflate64, bzip2, zstd or xz, of any size.
//!
//! A file is read by its directory at the end, which is what counts in a zip archive. What can
//! only be read from front to back (standard input, a zip in another archive), and a file
//! whose end is missing, is read by the headers before each member. Encrypted members are named
//! and passed over.

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};

use flate2::Crc;

use crate::capture::archive::zip::headers::{
    CENTRAL, CENTRAL_BYTES, DESCRIPTOR, Directory, END, EXTRA, Header, LOCAL, LOCAL_BYTES,
    MOST_END_BYTES, end_64, find_end, method_name,
};
use crate::capture::archive::zip::unpack::{Stream, Unpacker};
use crate::capture::archive::{Archive, Member, cut_off, names, stopped};
use crate::capture::bounds::Budget;
use crate::capture::byte_order::ByteOrder;
use crate::capture::error::Error;
use crate::capture::{Opened, Pipe, Source};

mod headers;
mod unpack;

/// Bytes of the archive read at a time.
const CHUNK: usize = 64 << 10;

/// Whether a file begins with a member, with the end of an empty archive, or with the mark of
/// one that was split or might have been.
pub(super) fn begins(head: &[u8]) -> bool {
    [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08PK\x03\x04"]
        .iter()
        .any(|magic| head.starts_with(magic))
}

pub(super) fn open(opened: Opened) -> Result<Box<dyn Archive>, Error> {
    let Opened { head, mut source, size, budget, .. } = opened;
    let directory = match size {
        Some(size) => find_directory(source.as_mut(), size).map_err(Error::Unreadable)?,
        None => None,
    };
    if size.is_some() {
        source.rewind().map_err(Error::Unreadable)?;
    } else {
        source = Box::new(Pipe(Box::new(Cursor::new(head).chain(source))));
    }
    let way = match directory {
        Some(directory) => Way::Directory(directory),
        None => Way::Headers { complete: size.is_none(), first: true },
    };
    let stream = BufReader::with_capacity(CHUNK, source).take(u64::MAX);
    let place = Place::Between(stream);
    Ok(Box::new(Zip {
        place,
        way,
        header: Header::default(),
        progress: Progress::default(),
        budget,
    }))
}

/// Finds the directory of a file, if the file has its end.
fn find_directory(source: &mut dyn Source, size: u64) -> io::Result<Option<Entries>> {
    let start = size.saturating_sub(MOST_END_BYTES);
    source.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    source.take(MOST_END_BYTES).read_to_end(&mut tail)?;
    let Some(mut directory) = find_end(&tail, start) else { return Ok(None) };
    if let Some(better) = directory.better {
        let mut record = Vec::new();
        source.seek(SeekFrom::Start(better))?;
        source.take(56).read_to_end(&mut record)?;
        directory = end_64(&record, better).unwrap_or(directory);
    }
    let Directory { entries, offset, bytes, end, .. } = directory;
    // Where something was put before the archive, all offsets are too small by the same number.
    let at = end.checked_sub(bytes).unwrap_or(offset);
    let shift = at.saturating_sub(offset);
    Ok(Some(Entries { left: entries, at: if shift == 0 { offset } else { at }, shift }))
}

/// What is left of the directory.
#[derive(Clone, Copy)]
struct Entries {
    left: u64,
    /// Where the next entry is.
    at: u64,
    /// To be added to every offset.
    shift: u64,
}

/// How members are found.
enum Way {
    /// By the directory.
    Directory(Entries),
    /// By the header before each.
    Headers {
        /// Whether nothing is wrong with that: of a file, the end is missing.
        complete: bool,
        /// Whether none was read yet.
        first: bool,
    },
}

enum Place {
    Between(Stream),
    Within(Unpacker),
    /// After a failure.
    Lost,
}

/// What was read of a member.
#[derive(Default)]
struct Progress {
    crc: Crc,
    inflated: u64,
    /// Bytes of the archive that the decoder may read.
    granted: u64,
    ended: bool,
}

struct Zip {
    place: Place,
    way: Way,
    /// Of the member.
    header: Header,
    progress: Progress,
    budget: Budget,
}

impl Archive for Zip {
    fn next_member(&mut self) -> Result<Option<Member>, Error> {
        loop {
            let stream = self.leave().map_err(unreadable)?;
            let (mut stream, found) = match self.way {
                Way::Directory(entries) => self.by_directory(stream, entries)?,
                Way::Headers { complete, first } => self.by_header(stream, complete, first)?,
            };
            let Some(Found { header, name }) = found else {
                self.place = Place::Between(stream);
                return Ok(None);
            };
            let is_folder = name.ends_with(['/', '\\']) && header.inflated == 0;
            let has_size = self.is_by_directory() || !header.has_descriptor() || header.stored > 0;
            let has_end = has_size || header.method != 0 && !header.is_encrypted();
            if !has_end && !is_folder {
                return Err(damaged(
                    "a file in it is stored without its length, which only the archive's end tells: \
                     give the archive as a file of its own",
                ));
            }
            let granted = match (has_size, is_folder) {
                (true, _) => header.stored,
                (false, true) => 0,
                (false, false) => u64::MAX,
            };
            stream.set_limit(granted);
            let mut unread = header.is_encrypted().then_some(Error::Encrypted);
            let method = if unread.is_some() { 0 } else { header.method };
            let unpacker = Unpacker::new(method, stream).unwrap_or_else(|stream| {
                unread = Some(Error::MemberNotRead { why: method_name(method) });
                Unpacker::Stored(stream)
            });
            if unread.is_some() && !has_size {
                return Err(damaged("a file in it is compressed in a way that is not known here"));
            }
            self.header = header;
            self.progress = Progress { granted, ended: unread.is_some(), ..Progress::default() };
            self.place = Place::Within(unpacker);
            if !is_folder {
                return Ok(Some(Member { name, unread }));
            }
        }
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Place::Within(unpacker) = &mut self.place else { return Ok(0) };
        if self.progress.ended || space.is_empty() {
            return Ok(0);
        }
        let count = unpacker.read(space).map_err(|error| {
            let is_cut_off = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_cut_off { cut_off() } else { error }
        })?;
        if unpacker.is_compressed() {
            self.budget.count_inflated(count)?;
        }
        self.progress.crc.update(space.get(..count).unwrap_or_default());
        self.progress.inflated = self.progress.inflated.saturating_add(count as u64);
        if count == 0 {
            self.check()?;
        }
        Ok(count)
    }
}

/// A member that was found, and its name.
struct Found {
    header: Header,
    name: String,
}

impl Zip {
    fn is_by_directory(&self) -> bool {
        matches!(self.way, Way::Directory(_))
    }

    /// At the end of a member: whether what was read of it is what the archive says.
    fn check(&mut self) -> io::Result<()> {
        self.progress.ended = true;
        let expected = if self.header.has_descriptor() && !self.is_by_directory() {
            let stream = self.leave()?;
            self.place = Place::Between(stream);
            self.header.crc
        } else {
            if let Place::Within(Unpacker::Stored(stream)) = &self.place
                && stream.limit() > 0
            {
                return Err(cut_off());
            }
            self.header.crc
        };
        if self.progress.crc.sum() == expected {
            return Ok(());
        }
        let why = "its checksum in the archive does not fit: it is damaged";
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }

    /// Leaves the member; gives the archive, where it is read from front to back behind the
    /// member's contents.
    fn leave(&mut self) -> io::Result<Stream> {
        let unpacker = match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Between(stream) => return Ok(stream),
            Place::Within(unpacker) => unpacker,
            Place::Lost => return Err(io::Error::other("nothing more can be read of it")),
        };
        if self.is_by_directory() {
            return Ok(unpacker.into_stream());
        }
        let mut stream = if self.progress.granted == u64::MAX {
            self.pass_over(unpacker)?
        } else {
            // Without decompressing it.
            let mut stream = unpacker.into_stream();
            io::copy(&mut stream, &mut io::sink())?;
            if stream.limit() > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            stream
        };
        let stored = self.progress.granted - stream.limit();
        stream.set_limit(u64::MAX);
        if self.header.has_descriptor() {
            self.header.crc = past_descriptor(&mut stream, stored)?;
        }
        Ok(stream)
    }

    /// Decompresses the rest of a member, to find its end.
    fn pass_over(&mut self, mut unpacker: Unpacker) -> io::Result<Stream> {
        let mut scratch = vec![0; CHUNK];
        loop {
            let count = match unpacker.read(&mut scratch) {
                Ok(0) => return Ok(unpacker.into_stream()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.budget.count_inflated(count)?;
        }
    }

    /// The next entry of the directory.
    fn by_directory(
        &mut self,
        mut stream: Stream,
        mut entries: Entries,
    ) -> Result<(Stream, Option<Found>), Error> {
        if entries.left == 0 {
            return Ok((stream, None));
        }
        stream.set_limit(u64::MAX);
        go_to(&mut stream, entries.at)?;
        let bytes = take::<CENTRAL_BYTES>(&mut stream)?;
        let header = Header::central(&bytes).filter(|_| signature(&bytes) == Some(CENTRAL));
        let mut header = header.ok_or_else(|| damaged("its directory is not what it should be"))?;
        let name = take_variable(&mut stream, header.name_bytes)?;
        let extra = take_variable(&mut stream, header.extra_bytes)?;
        header.take_extra(&extra);
        let variable = header.name_bytes + header.extra_bytes + header.comment_bytes;
        entries.at = entries.at.saturating_add((CENTRAL_BYTES + variable) as u64);
        entries.left -= 1;
        self.way = Way::Directory(entries);
        go_to(&mut stream, header.offset.saturating_add(entries.shift))?;
        let local = take::<LOCAL_BYTES>(&mut stream)?;
        let found = Header::local(&local).filter(|_| signature(&local) == Some(LOCAL));
        let found = found.ok_or_else(|| damaged("its directory points to no file"))?;
        take_variable(&mut stream, found.name_bytes)?;
        take_variable(&mut stream, found.extra_bytes)?;
        Ok((stream, Some(Found { header, name: names::utf8_or_437(&name) })))
    }

    /// The next header before a member.
    fn by_header(
        &mut self,
        mut stream: Stream,
        complete: bool,
        first: bool,
    ) -> Result<(Stream, Option<Found>), Error> {
        stream.set_limit(u64::MAX);
        self.way = Way::Headers { complete, first: false };
        let cut =
            || damaged("it is cut off: it was not copied whole, and its directory is missing");
        let mut word = take::<4>(&mut stream).map_err(|_| cut())?;
        if first && signature(&word) == Some(DESCRIPTOR) {
            word = take(&mut stream)?;
        }
        match signature(&word) {
            Some(LOCAL) => {}
            Some(sign) if sign == CENTRAL || sign == END || EXTRA.contains(&sign) => {
                return if complete { Ok((stream, None)) } else { Err(cut()) };
            }
            _ => return Err(damaged("no header stands where one should")),
        }
        let rest = take::<{ LOCAL_BYTES - 4 }>(&mut stream)?;
        let header = Header::local(&[&word[..], &rest].concat());
        let mut header = header.ok_or_else(|| damaged("a header is cut off"))?;
        let name = take_variable(&mut stream, header.name_bytes)?;
        let extra = take_variable(&mut stream, header.extra_bytes)?;
        header.take_extra(&extra);
        Ok((stream, Some(Found { header, name: names::utf8_or_437(&name) })))
    }
}

/// Goes past the descriptor behind a member; gives its checksum. It has an optional signature, and
/// sizes of 32 or 64 bits, which only the sizes themselves can tell apart.
fn past_descriptor(stream: &mut Stream, stored: u64) -> io::Result<u32> {
    let mut word = || {
        let mut word = [0; 4];
        stream.read_exact(&mut word).map(|()| u32::from_le_bytes(word))
    };
    let first = word()?;
    let crc = if first == DESCRIPTOR { word()? } else { first };
    let size = word()?;
    word()?;
    let following = ByteOrder::Little.u32(stream.fill_buf()?, 0);
    // Behind a descriptor of 32 bits the next header follows at once.
    let headers = [LOCAL, CENTRAL, END, EXTRA[0], EXTRA[1]];
    let is_short = u64::from(size) == stored & u64::from(u32::MAX)
        && following.is_none_or(|word| headers.contains(&word));
    if !is_short {
        stream.read_exact(&mut [0; 8])?;
    }
    Ok(crc)
}

/// Moves to an offset of the file.
fn go_to(stream: &mut Stream, offset: u64) -> Result<(), Error> {
    stream.get_mut().seek(SeekFrom::Start(offset)).map(|_| ()).map_err(unreadable)
}

fn signature(bytes: &[u8]) -> Option<u32> {
    ByteOrder::Little.u32(bytes, 0)
}

fn take<const BYTES: usize>(stream: &mut Stream) -> Result<[u8; BYTES], Error> {
    let mut bytes = [0; BYTES];
    stream.read_exact(&mut bytes).map(|()| bytes).map_err(unreadable)
}

/// Bytes of a length that has 16 bits.
fn take_variable(stream: &mut Stream, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map(|()| bytes).map_err(unreadable)
}

fn damaged(why: &'static str) -> Error {
    Error::ArchiveDamaged { what: "zip archive", why: why.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn unreadable(error: io::Error) -> Error {
    stopped("zip archive", &error)
}
