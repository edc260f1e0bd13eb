//! Reads compressed captures as they are, piece by piece; nothing is unpacked to disk.
//!
//! What is inside is told by content again, so a `.pcap.gz` needs no name, and may be a capture,
//! an archive, or compressed once more. Each format may hold several streams end to end, as the
//! tools that work in parallel write them, and as `cat` makes.
//!
//! The decoders are safe Rust but for bzip2's and a buffer of zstd's. Each holds its window and
//! no more: at most [`MOST_WINDOW_KIB`], which is also the most that `zstd -d` grants.

use std::io::{self, BufReader, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::capture::bounds::Budget;
use crate::capture::error::Error;
use crate::capture::inflate::frames::Lz4Frames;
use crate::capture::tap::Tap;
use crate::capture::{
    CaptureReader, CaptureSummary, Found, FrameBatch, Opened, Pipe, Reading, Severity, begin,
};

mod frames;

pub(super) use frames::ZstdFrames;

/// Compressed files in compressed files that are opened. Nobody nests them deeper by accident.
const MOST_LAYERS: u8 = 3;

/// Bytes of a compressed file read at a time.
const CHUNK: usize = 128 << 10;

/// Memory that a stream may ask for to be decompressed, in KiB. `xz -9` asks for 64 MiB, and
/// `zstd --ultra -22` for 128 MiB.
pub(super) const MOST_WINDOW_KIB: u32 = 128 << 10;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lz4,
}

/// Beginnings that tell a compression. They exclude each other.
const BEGINNINGS: [(&[u8], Compression); 5] = [
    // RFC 1952, with the only method there is.
    (b"\x1f\x8b\x08", Compression::Gzip),
    // RFC 8878.
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    // The .xz File Format, 2.1.1.1.
    (b"\xfd7zXZ\0", Compression::Xz),
    (b"BZh", Compression::Bzip2),
    // LZ4 Frame Format, 1.6.
    (b"\x04\x22\x4d\x18", Compression::Lz4),
];

impl Compression {
    /// The compression of a file that begins like this.
    pub(super) fn of(head: &[u8]) -> Option<Compression> {
        let begins = |(magic, _): &&(&[u8], Compression)| head.starts_with(magic);
        let Some((_, compression)) = BEGINNINGS.iter().find(begins) else {
            return is_noted_zstd(head).then_some(Compression::Zstd);
        };
        let compression = *compression;
        (compression != Compression::Bzip2 || is_bzip2(head)).then_some(compression)
    }

    /// The word of the reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Xz => "xz",
            Compression::Bzip2 => "bzip2",
            Compression::Lz4 => "lz4",
        }
    }

    fn decoder(self, compressed: BufReader<Tap>) -> Box<dyn Read + Send> {
        match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(compressed)),
            Compression::Zstd => Box::new(ZstdFrames::new(compressed)),
            Compression::Xz => {
                Box::new(XzReader::new_mem_limit(compressed, true, MOST_WINDOW_KIB + 1024))
            }
            Compression::Bzip2 => Box::new(MultiBzDecoder::new(compressed)),
            Compression::Lz4 => Box::new(Lz4Frames::new(compressed)),
        }
    }
}

/// Whether what begins with bzip2's three letters is no text: the block size and the number of
/// the first block, or that of the end, must follow.
fn is_bzip2(head: &[u8]) -> bool {
    let numbers = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];
    matches!(head.get(3), Some(b'1'..=b'9'))
        && head.get(4..).is_some_and(|block| numbers.iter().any(|it| block.starts_with(*it)))
}

/// Whether this is a note (RFC 8878 3.1.2) with a frame of zstd behind it, as pzstd writes.
fn is_noted_zstd(head: &[u8]) -> bool {
    let [0x50..=0x5f, 0x2a, 0x4d, 0x18, length @ ..] = head else { return false };
    let Some((length, rest)) = length.split_first_chunk() else { return false };
    let behind = usize::try_from(u32::from_le_bytes(*length)).ok();
    behind
        .and_then(|length| rest.get(length..))
        .is_some_and(|rest| rest.starts_with(b"\x28\xb5\x2f\xfd"))
}

/// Opens what is in a compressed file.
pub(super) fn open(opened: Opened, compression: Compression) -> Result<Found, Error> {
    let digest = opened.reading.digest;
    let (inside, tap) = inside(opened, compression)?;
    Ok(match begin(inside)? {
        Found::Capture(reader) => {
            Found::Capture(Box::new(Inflated { reader, compression, tap, digest }))
        }
        // Its members have digests of their own.
        Found::Archive(archive) => Found::Archive(archive),
    })
}

/// What is in a compressed file, of which nothing is read yet, and the file around it.
pub(super) fn inside(opened: Opened, compression: Compression) -> Result<(Opened, Tap), Error> {
    let Opened { shown_as, head, source, reading, layers, is_member, budget, .. } = opened;
    if layers >= MOST_LAYERS {
        return Err(Error::TooDeep);
    }
    // The digest is that of the file, not of what is in it.
    let tap = Tap::new(Box::new(Cursor::new(head).chain(source)), reading.digest);
    let decoder = compression.decoder(BufReader::with_capacity(CHUNK, tap.clone()));
    let inflating = Inflating { decoder, failure: None, tap: tap.clone(), budget: budget.clone() };
    let inside = Opened {
        shown_as,
        head: Vec::new(),
        source: Box::new(Pipe(Box::new(inflating))),
        size: None,
        reading: Reading { digest: false, ..reading },
        layers: layers + 1,
        is_member,
        budget,
    };
    Ok((inside, tap))
}

/// A stream that fails again at every read after it failed once, so that damage is not mistaken
/// for the end.
struct Inflating {
    decoder: Box<dyn Read + Send>,
    failure: Option<(io::ErrorKind, String)>,
    tap: Tap,
    budget: Budget,
}

impl Read for Inflating {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, message)) = &self.failure {
            return Err(io::Error::new(*kind, message.clone()));
        }
        let read = self.decoder.read(space);
        read.and_then(|count| self.budget.count_inflated(count).map(|()| count)).inspect_err(
            |error| {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.failure = Some((error.kind(), error.to_string()));
                    self.tap.complain(error.to_string());
                }
            },
        )
    }
}

/// A capture inside a compressed file.
struct Inflated {
    reader: Box<dyn CaptureReader>,
    compression: Compression,
    /// The compressed file.
    tap: Tap,
    digest: bool,
}

impl CaptureReader for Inflated {
    fn next_batch(&mut self, spare: FrameBatch) -> Option<FrameBatch> {
        self.reader.next_batch(spare)
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.reader.finish();
        // A reader that held everything in memory did not see why there was no more of it.
        if let Some(why) = self.tap.complaint()
            && !summary.problems.iter().any(|problem| problem.message.contains(&why))
        {
            let name = self.compression.name();
            let message = format!("the {name} stream is damaged ({why}): the rest was not read");
            summary.problem(Severity::Error, message, None, None);
        }
        let name = self.compression.name();
        summary.compression = Some(match summary.compression {
            Some(inner) => format!("{name}, {inner}"),
            None => name.to_owned(),
        });
        let (bytes, sha256) = self.tap.finish();
        (summary.bytes, summary.sha256) = (bytes, sha256.filter(|_| self.digest));
        summary
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::capture::{Bounds, Content, Contents, open_pipe, open_source, pieces};

    /// A pcap of two frames of four bytes.
    fn pcap() -> Vec<u8> {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0, 0, 1, 0, 1, 0, 0, 0]);
        for second in [1, 2] {
            bytes.extend([second, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]);
        }
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Gzip => gzip(bytes),
            Compression::Zstd => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                ruzstd::encoding::compress_to_vec(bytes, level)
            }
            Compression::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(1);
                let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder =
                    bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Lz4 => {
                let form = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max64KB)
                    .content_checksum(true);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(form, Vec::new());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    const ALL: [Compression; 5] = [
        Compression::Gzip,
        Compression::Zstd,
        Compression::Xz,
        Compression::Bzip2,
        Compression::Lz4,
    ];

    fn read(bytes: Vec<u8>) -> Result<CaptureSummary, Error> {
        let mut reader = open_source(Box::new(Cursor::new(bytes)), "trial", Reading::default())?;
        while reader.next_batch(FrameBatch::default()).is_some() {}
        Ok(reader.finish())
    }

    fn has_error(summary: &CaptureSummary) -> bool {
        summary.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    #[test]
    fn a_compressed_capture_is_read_and_says_so() {
        for compression in ALL {
            let file = compressed(compression, &pcap());
            let summary = read(file.clone()).unwrap();
            assert_eq!(summary.problems, [], "{compression:?}");
            assert_eq!(summary.frames, 2, "{compression:?}");
            assert_eq!(summary.compression.as_deref(), Some(compression.name()));
            assert_eq!(summary.bytes, file.len() as u64);
            let digest = pieces::digest(&mut Cursor::new(file.clone())).unwrap();
            assert_eq!(summary.sha256.as_ref(), Some(&digest), "{compression:?}");
            let pipe = Box::new(Cursor::new(file.clone()));
            let mut piped = open_pipe(pipe, "-", Reading::default()).unwrap();
            while piped.next_batch(FrameBatch::default()).is_some() {}
            let piped = piped.finish();
            assert_eq!((piped.frames, piped.bytes), (2, file.len() as u64));
            assert_eq!(piped.sha256, Some(digest), "{compression:?}");
        }
    }

    #[test]
    fn streams_follow_each_other() {
        let whole = pcap();
        let (first, second) = whole.split_at(30);
        for compression in ALL {
            let streams = [compressed(compression, first), compressed(compression, second)];
            let summary = read(streams.concat()).unwrap();
            assert_eq!((summary.frames, summary.problems), (2, vec![]), "{compression:?}");
        }
    }

    #[test]
    fn a_note_before_and_between_frames_of_zstd_is_passed_over() {
        let note = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"note"].concat();
        let whole = pcap();
        let (first, second) = whole.split_at(30);
        let frame = |bytes| compressed(Compression::Zstd, bytes);
        let file = [note.clone(), frame(first), note.clone(), frame(second), note].concat();
        let summary = read(file).unwrap();
        assert_eq!((summary.frames, summary.problems), (2, vec![]));
    }

    #[test]
    fn a_stream_that_is_cut_off_gives_what_comes_before_and_says_so() {
        let mut capture = pcap();
        for second in 3..40_000_u32 {
            capture.extend(second.to_le_bytes());
            // A little noise, so that there is more than one block of any compression.
            let noise = second.wrapping_mul(2_654_435_761).to_le_bytes();
            capture.extend([0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]);
            capture.extend(noise);
        }
        for compression in ALL {
            let file = compressed(compression, &capture);
            for part in [file.len() - 1, file.len() / 4 * 3] {
                let summary = read(file[..part].to_vec()).unwrap();
                assert!(has_error(&summary), "{compression:?} cut at {part} of {}", file.len());
                assert!(part != file.len() - 1 || summary.frames == 39_999, "{compression:?}");
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_told() {
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Bzip2] {
            let mut bytes = compressed(compression, &pcap());
            // That of the whole is in the last eight bytes (RFC 1952 2.3.1), or four.
            let back = if compression == Compression::Gzip { 8 } else { 2 };
            let place = bytes.len() - back;
            bytes[place] ^= 1;
            let summary = read(bytes);
            assert!(summary.is_ok_and(|summary| has_error(&summary)), "{compression:?}");
        }
    }

    #[test]
    fn layers_have_a_bound() {
        let mut bytes = pcap();
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            bytes = compressed(compression, &bytes);
        }
        assert_eq!(read(bytes.clone()).unwrap().compression.as_deref(), Some("zstd, xz, gzip"));
        assert!(matches!(read(gzip(&bytes)), Err(Error::TooDeep)));
    }

    #[test]
    fn what_inflates_beyond_the_bound_is_stopped_with_a_word() {
        let mut capture = pcap();
        capture.resize(3 << 20, 0);
        for compression in ALL {
            let pipe = Box::new(Cursor::new(compressed(compression, &capture)));
            let bounds = Bounds::of_bytes(1 << 20);
            let mut contents = Contents::of_pipe(pipe, "-", Reading::default(), bounds);
            let Some(Content { opened: Ok(mut reader), .. }) = contents.next() else { panic!() };
            while reader.next_batch(FrameBatch::default()).is_some() {}
            let problems = reader.finish().problems;
            let told = problems.iter().any(|problem| {
                problem.message.contains("1 MiB") && problem.message.contains("--max-inflated")
            });
            assert!(told, "{compression:?}: {problems:?}");
        }
    }

    #[test]
    fn a_text_that_begins_like_bzip2_is_no_bzip2() {
        assert_eq!(Compression::of(b"BZh is not a name"), None);
        assert_eq!(Compression::of(b"BZh9\x31\x41\x59\x26\x53\x59"), Some(Compression::Bzip2));
        // An empty file.
        assert_eq!(Compression::of(b"BZh9\x17\x72\x45\x38\x50\x90"), Some(Compression::Bzip2));
    }
}
