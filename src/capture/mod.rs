//! Captures: files in, numbered frames out.
//!
//! [`open`] tells the format by content and gives a [`CaptureReader`], which hands out the
//! frames in batches and ends with a [`CaptureSummary`]. A reader never fails midway: damage
//! becomes a [`Problem`] of the summary, with its offset, and everything before it is given.
//! [`Contents`] does the same for whatever an input holds: one capture, or an archive of many,
//! compressed or not.
//!
//! To add a format: write `src/capture/<name>.rs` with a reader and an `open` function, and add
//! a line to `FORMATS`. Nothing else learns of it, because readers give [`FrameBatch`]es.

use std::fs::File;
use std::io;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use crate::capture::archive::Members;
use crate::capture::bounds::{Budget, Counted};
use crate::capture::progress::Watched;
use crate::capture::waiting::Waiting;

mod archive;
mod batch;
mod bounds;
mod byte_order;
mod contents;
mod error;
mod etl;
mod foreign;
mod inflate;
mod inputs;
mod joined;
mod netmon;
mod netmon_text;
mod note;
mod pcap;
mod pcapng;
mod pieces;
mod progress;
mod row;
mod snoop;
mod summary;
mod tap;
mod text;
mod text_file;
mod waiting;
mod wireshark;

pub use batch::{Frame, FrameBatch, LinkType};
pub use bounds::Bounds;
pub use contents::{Content, Contents, is_packed};
pub use error::Error;
pub use inputs::{Input, expand};
pub use joined::{Joined, JoinedPart, Part};
pub use note::FrameNote;
pub use pcapng::PcapngWriter;
pub use progress::{Progress, Reached};
pub use row::{Row, RowContent, RowNumber, RowOther, RowPath, RowRepeat, RowSegment};
pub use summary::{CaptureSummary, CapturingHost, Comment, Problem, Severity, TextLine};
pub use text_file::{TextEnd, TextFile};

/// Bytes of a frame that we believe a length field for. A longer frame is damage: the largest
/// that a capture can hold in earnest (large segment offload) is far below a mebibyte.
const MOST_FRAME_BYTES: u32 = 16 << 20;

/// Bytes that are looked at to tell the format.
const HEAD_BYTES: u64 = 64 << 10;

/// Reads the frames of one capture, in order.
pub trait CaptureReader: Send {
    /// The next batch, never empty, or `None` at the end of what can be read.
    ///
    /// `spare` is a batch that was done with: its memory is used again.
    fn next_batch(&mut self, spare: FrameBatch) -> Option<FrameBatch>;

    /// What is known of the capture. To be called after the last batch: reads what is left of
    /// the file (for its digest).
    fn finish(self: Box<Self>) -> CaptureSummary;
}

/// What a capture can be read from: a file, or bytes in memory.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// A format that we read.
struct Format {
    /// Whether a file that begins like this is of this format.
    begins: fn(&[u8]) -> bool,
    open: fn(Opened) -> Result<Box<dyn CaptureReader>, Error>,
}

/// Every format that we read. Their beginnings exclude each other.
const FORMATS: &[Format] = &[
    Format { begins: pcap::begins, open: pcap::open },
    Format { begins: pcapng::begins, open: pcapng::open },
    Format { begins: netmon::begins, open: netmon::open },
    Format { begins: etl::begins, open: etl::open },
    Format { begins: snoop::begins, open: snoop::open },
    Format { begins: netmon_text::begins, open: netmon_text::open },
    Format { begins: wireshark::begins, open: wireshark::open },
];

/// A file whose first bytes were read.
struct Opened {
    shown_as: String,
    /// The first bytes: all there are, where there are fewer than [`HEAD_BYTES`].
    head: Vec<u8>,
    /// The file, at the end of `head`.
    source: Box<dyn Source>,
    /// Size of the file; `None` for a pipe, which cannot be sought in either.
    size: Option<u64>,
    reading: Reading,
    /// Compressed files around it.
    layers: u8,
    /// Whether it stands in an archive.
    is_member: bool,
    /// What the input that it is a part of may inflate to.
    budget: Budget,
}

/// What was opened.
enum Found {
    Capture(Box<dyn CaptureReader>),
    Archive(Members),
}

/// How a capture is read. None of it changes the frames.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Bytes to read at a time.
    pub piece: usize,
    /// Whether to compute the file's digest, which costs more than everything else together.
    pub digest: bool,
    /// Who counts what is read of the input, if anybody does. What is in it is not counted again.
    pub progress: Option<Progress>,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { piece: pieces::PIECE, digest: true, progress: None }
    }
}

/// Opens a capture, which may be compressed. `shown_as` is the path that the reports show.
pub fn open(
    path: &Path,
    shown_as: &str,
    reading: Reading,
) -> Result<Box<dyn CaptureReader>, Error> {
    capture(begin(Opened::path(path, shown_as, reading, Bounds::default())?)?)
}

/// Opens a capture that is not a file of its own: bytes in memory.
pub fn open_source(
    source: Box<dyn Source>,
    shown_as: &str,
    reading: Reading,
) -> Result<Box<dyn CaptureReader>, Error> {
    capture(begin(Opened::source(source, shown_as, reading, Bounds::default())?)?)
}

/// Opens a capture that can be read only once, from front to back, such as standard input.
///
/// pcap, pcapng and snoop are read as they come. Network Monitor's files and Windows event traces
/// need their end before their beginning, and are held in memory.
pub fn open_pipe(
    pipe: Box<dyn Read + Send>,
    shown_as: &str,
    reading: Reading,
) -> Result<Box<dyn CaptureReader>, Error> {
    capture(begin(Opened::pipe(pipe, shown_as, reading, Bounds::default()))?)
}

fn capture(found: Found) -> Result<Box<dyn CaptureReader>, Error> {
    match found {
        Found::Capture(reader) => Ok(reader),
        Found::Archive(_) => Err(Error::Archive),
    }
}

/// Reads the first bytes, and opens what they tell.
fn begin(mut opened: Opened) -> Result<Found, Error> {
    opened.read_head()?;
    let head = &opened.head;
    if let Some(compression) = inflate::Compression::of(head) {
        return inflate::open(opened.counted(), compression);
    }
    if let Some(kind) = archive::Kind::of(head) {
        return kind.open(opened.counted()).map(Found::Archive);
    }
    match FORMATS.iter().find(|format| (format.begins)(head)) {
        Some(format) => (format.open)(opened).map(Found::Capture),
        None => Err(foreign::recognise(head).unwrap_or(Error::Unknown)),
    }
}

impl Opened {
    /// A file, of which nothing is read yet.
    fn path(
        path: &Path,
        shown_as: &str,
        reading: Reading,
        bounds: Bounds,
    ) -> Result<Opened, Error> {
        let file = File::open(path).map_err(Error::Unreadable)?;
        if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            Opened::source(Box::new(file), shown_as, reading, bounds)
        } else {
            // A named pipe, as a shell's `<(...)`: seeking fails, or worse, pretends to work.
            Ok(Opened::pipe(Box::new(file), shown_as, reading, bounds))
        }
    }

    fn source(
        mut source: Box<dyn Source>,
        shown_as: &str,
        mut reading: Reading,
        bounds: Bounds,
    ) -> Result<Opened, Error> {
        let size = source.seek(SeekFrom::End(0)).map_err(Error::Unreadable)?;
        source.rewind().map_err(Error::Unreadable)?;
        let budget = Budget::new(bounds, Some(size));
        if let Some(progress) = reading.progress.take() {
            source = Box::new(Watched::new(source, progress, Some(size)));
        }
        let opened = Opened::pipe(Box::new(io::empty()), shown_as, reading, bounds);
        Ok(Opened { source, size: Some(size), budget, ..opened })
    }

    fn pipe(
        pipe: Box<dyn Read + Send>,
        shown_as: &str,
        mut reading: Reading,
        bounds: Bounds,
    ) -> Opened {
        let heeded = reading.progress.as_ref().filter(|progress| progress.heeds_interrupts());
        let pipe = match heeded {
            Some(progress) => Box::new(Waiting::new(pipe, progress.clone())),
            None => pipe,
        };
        let mut source: Box<dyn Source> = Box::new(Pipe(pipe));
        if let Some(progress) = reading.progress.take() {
            source = Box::new(Watched::new(source, progress, None));
        }
        Opened {
            shown_as: shown_as.to_owned(),
            head: Vec::new(),
            source,
            size: None,
            reading,
            layers: 0,
            is_member: false,
            budget: Budget::new(bounds, None),
        }
    }

    /// The same; where it is the input itself, it counts what is read of it.
    fn counted(self) -> Opened {
        if self.layers > 0 || self.is_member {
            return self;
        }
        let counted = Counted::new(self.source, self.budget.clone(), self.head.len());
        Opened { source: Box::new(counted), ..self }
    }

    /// Reads the first bytes, unless they are read already.
    fn read_head(&mut self) -> Result<(), Error> {
        if !self.head.is_empty() {
            return Ok(());
        }
        // Where reading fails further on, the reader meets it again and tells what came before.
        match self.source.by_ref().take(HEAD_BYTES).read_to_end(&mut self.head) {
            Err(error) if self.head.is_empty() => Err(Error::Unreadable(error)),
            Ok(_) if self.head.is_empty() => Err(Error::Empty),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether nothing follows the first bytes.
    fn is_whole(&self) -> bool {
        (self.head.len() as u64) < HEAD_BYTES
            || self.size.is_some_and(|size| size <= self.head.len() as u64)
    }

    /// The source at its beginning, and its size. Reads a pipe into memory, at most `limit`
    /// bytes of it.
    fn into_seekable(mut self, limit: u64) -> Result<(Box<dyn Source>, u64), Error> {
        if let Some(size) = self.size {
            self.source.rewind().map_err(Error::Unreadable)?;
            return Ok((self.source, size));
        }
        let mut bytes = self.head;
        let left = limit.saturating_sub(bytes.len() as u64);
        let read = self.source.take(left).read_to_end(&mut bytes);
        // What comes before damage is worth reading. Who inflates tells of it.
        if self.layers == 0 && !self.is_member {
            read.map_err(Error::Unreadable)?;
        }
        let size = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), size))
    }
}

/// Something that can only be read.
struct Pipe(Box<dyn Read + Send>);

impl Read for Pipe {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.read(space)
    }
}

impl Seek for Pipe {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::NotSeekable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame with its own bytes: number, time in nanoseconds, link type, bytes, length on the
    /// wire.
    pub(super) type Owned = (u64, Option<i64>, LinkType, Vec<u8>, u32);

    /// Reads a whole capture, `piece` bytes at a time.
    pub(super) fn read_in(bytes: &[u8], piece: usize) -> (Vec<Owned>, CaptureSummary) {
        let source = Box::new(Cursor::new(bytes.to_vec()));
        drain(
            open_source(source, "trial", Reading { piece, digest: true, progress: None }).unwrap(),
        )
    }

    /// Reads a whole capture, and sees to it that neither the size of the pieces nor a pipe in
    /// place of a file makes a difference.
    pub(super) fn read(bytes: &[u8]) -> (Vec<Owned>, CaptureSummary) {
        let (frames, summary) = read_in(bytes, pieces::PIECE);
        for piece in [1, 7, 64, 1000] {
            let (others, other) = read_in(bytes, piece);
            assert_eq!(others, frames, "in pieces of {piece}");
            assert_eq!(format!("{other:?}"), format!("{summary:?}"), "in pieces of {piece}");
        }
        let pipe = Box::new(Cursor::new(bytes.to_vec()));
        let (others, other) = drain(open_pipe(pipe, "trial", Reading::default()).unwrap());
        assert_eq!(others, frames, "from a pipe");
        assert_eq!(format!("{other:?}"), format!("{summary:?}"), "from a pipe");
        (frames, summary)
    }

    fn drain(mut reader: Box<dyn CaptureReader>) -> (Vec<Owned>, CaptureSummary) {
        let mut frames = Vec::new();
        let mut spare = FrameBatch::default();
        while let Some(batch) = reader.next_batch(spare) {
            assert!(!batch.is_empty(), "a batch is never empty");
            frames.extend(batch.frames().map(|frame| {
                let time = frame.time.map(crate::net::Timestamp::as_nanoseconds);
                let bytes = frame.bytes.to_vec();
                (frame.number.0, time, frame.link_type, bytes, frame.original_length)
            }));
            spare = batch;
        }
        let summary = reader.finish();
        assert_eq!(summary.frames, frames.len() as u64);
        if frames.iter().any(|frame| frame.2 == LinkType::ROW) {
            assert!(frames.is_sorted_by(|a, b| a.0 < b.0), "rows may have numbers of their own");
        } else {
            assert!(frames.iter().map(|frame| frame.0).eq(1..=summary.frames));
        }
        (frames, summary)
    }

    /// Severity, message, offset and frame of each problem.
    pub(super) fn problems(summary: &CaptureSummary) -> Vec<(Severity, &str, u64, u64)> {
        let number = |problem: &Problem| problem.frame.map_or(0, |frame| frame.0);
        let problems = summary.problems.iter();
        problems
            .map(|it| (it.severity, it.message.as_str(), it.offset.unwrap_or(0), number(it)))
            .collect()
    }

    fn error(bytes: &[u8]) -> Error {
        match open_source(Box::new(Cursor::new(bytes.to_vec())), "trial", Reading::default()) {
            Ok(_) => panic!("opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn what_is_no_capture_is_told_from_what_is_not_read_yet() {
        assert!(matches!(error(b""), Error::Empty));
        assert!(matches!(error(b"hello"), Error::Unknown));
        assert!(error(b"hello").is_no_capture());
        assert!(matches!(error(b"XCP\0"), Error::NotReadYet { .. }));
        assert!(!error(b"XCP\0").is_no_capture());
        assert!(matches!(error(b"\x0a\x0d\x0d\x0a"), Error::CutOff { bytes: 4, .. }));
    }

    #[test]
    fn a_file_that_is_not_there_is_unreadable() {
        let error =
            open(Path::new("no/such/file.pcap"), "file.pcap", Reading::default()).err().unwrap();
        assert!(matches!(error, Error::Unreadable(_)));
    }

    #[test]
    fn the_digest_is_that_of_the_whole_file() {
        // sha256sum of a pcap header with link type 1 and 24 bytes "x" behind it, of which the
        // reader looks at no more than the first record's header.
        let mut bytes =
            [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1].map(u32::to_le_bytes).concat();
        bytes.extend([b'x'; 24]);
        let (_, summary) = read(&bytes);
        assert_eq!(summary.bytes, 48);
        assert_eq!(
            summary.sha256.unwrap(),
            "f4067efaff783f801c6dc64f9c66a2724b72f663c1753fb0b69cbb2c691f9c4f"
        );
    }

    /// A source that fails once so many bytes were read.
    struct Failing(Cursor<Vec<u8>>, u64);

    impl Read for Failing {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            let left = usize::try_from(self.1.saturating_sub(self.0.position())).unwrap();
            if left == 0 {
                return Err(io::Error::other("the disk is gone"));
            }
            let length = space.len().min(left);
            self.0.read(&mut space[..length])
        }
    }

    impl Seek for Failing {
        fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
            self.0.seek(place)
        }
    }

    #[test]
    fn a_disk_that_fails_midway_leaves_what_was_read() {
        let mut bytes =
            [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1].map(u32::to_le_bytes).concat();
        for second in 0..20_000_u32 {
            bytes.extend([second, 0, 4, 4, 0].map(u32::to_le_bytes).concat());
        }
        let source = Failing(Cursor::new(bytes), 24 + 20 * 10_000 + 5);
        let (frames, summary) =
            drain(open_source(Box::new(source), "trial", Reading::default()).unwrap());
        assert_eq!(frames.len(), 10_000);
        assert_eq!(summary.sha256, None);
        assert_eq!(
            problems(&summary),
            [(
                Severity::Error,
                "reading stopped before the end of the file: the disk is gone",
                24 + 20 * 10_000 + 5,
                10_001
            )]
        );
    }

    /// Words that make sense in one format or another, and some that make none.
    fn words() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => 0..80_u32,
            1 => any::<u32>(),
            1 => prop::sample::select(vec![
                0x0a0d_0d0a, 0x1a2b_3c4d, 0xa1b2_c3d4, 0x0004_0002, 6 << 24, 72, 1 << 16, u32::MAX,
            ]),
        ];
        prop::collection::vec(word, 0..60)
            .prop_map(|words| words.into_iter().flat_map(u32::to_le_bytes).collect())
    }

    proptest! {
        #[test]
        fn hostile_bytes_stop_no_reader_and_read_alike_in_any_piece(
            beginning in prop::sample::select(vec![
                b"\xd4\xc3\xb2\xa1\x02\0\x04\0".as_slice(),
                b"\xa1\xb2\xcd\x34\0\x02\0\x04",
                b"\x12\xcb\xe2\xa1\x02\0\x04\0",
                b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
                b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\x01\0\0",
                b"RTSS\x01\x01\x01\0",
                b"GMBU\x00\x02\x01\0",
                b"GMBU\x03\x02\x01\0",
                b"snoop\0\0\0\0\0\0\x02\0\0\0\x04",
            ]),
            words in words(),
            cut in 0..8_usize,
        ) {
            let mut bytes = [beginning, &words].concat();
            bytes.truncate(bytes.len().saturating_sub(cut));
            let opened = open_source(Box::new(Cursor::new(bytes.clone())), "trial", Reading::default());
            if opened.is_ok() {
                read(&bytes);
            }
        }

        #[test]
        fn no_length_field_is_believed_with_memory(
            beginning in prop::sample::select(vec![
                b"\xd4\xc3\xb2\xa1\x02\0\x04\0".as_slice(),
                b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
                b"GMBU\x03\x02\x01\0",
            ]),
            words in words(),
        ) {
            let bytes = [beginning, &words].concat();
            if let Ok(mut reader) = open_source(Box::new(Cursor::new(bytes.clone())), "trial", Reading::default()) {
                let mut spare = FrameBatch::default();
                while let Some(batch) = reader.next_batch(spare) {
                    // A table can name one frame many times, but a batch ends at its bound.
                    prop_assert!(batch.bytes.capacity() <= 2 * pieces::PIECE);
                    spare = batch;
                }
            }
        }
    }
}
