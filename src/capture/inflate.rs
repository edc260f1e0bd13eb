//! Reads compressed captures as they are, piece by piece; nothing is unpacked to disk.
//!
//! What is inside is told by content again, so a `.pcap.gz` needs no name. So far gzip (RFC 1952)
//! is read, with any number of members; the others are named by `foreign.rs`.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

use crate::capture::error::Error;
use crate::capture::{
    CaptureReader, CaptureSummary, FrameBatch, Opened, Pipe, Reading, begin, pieces,
};

/// Compressed files in compressed files that are opened. Nobody nests them deeper by accident.
const MOST_LAYERS: u8 = 3;

/// Whether a file begins like a gzip member with the only method there is.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b\x08")
}

pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let Opened { shown_as, head, mut source, size, reading, layers } = opened;
    if layers >= MOST_LAYERS {
        return Err(Error::NotReadYet {
            what: "a file that was compressed several times over",
            advice: "decompress it and give the capture itself",
        });
    }
    let mut sha256 = None;
    let compressed: Box<dyn Read + Send> = if size.is_some() {
        // The digest is that of the file, not of what is in it.
        if reading.digest {
            sha256 = Some(pieces::digest(source.as_mut()).map_err(Error::Unreadable)?);
        }
        source.rewind().map_err(Error::Unreadable)?;
        Box::new(source)
    } else {
        Box::new(Cursor::new(head).chain(source))
    };
    let inflating = Inflating { decoder: MultiGzDecoder::new(compressed), failure: None };
    let inside = Box::new(Pipe(Box::new(inflating)));
    let reading = Reading { digest: false, ..reading };
    let reader = begin(inside, &shown_as, None, reading, layers + 1)?;
    Ok(Box::new(Inflated { reader, sha256, bytes: size }))
}

/// A stream that fails again at every read after it failed once, so that damage is not mistaken
/// for the end.
struct Inflating<R> {
    decoder: MultiGzDecoder<R>,
    failure: Option<(io::ErrorKind, String)>,
}

impl<R: Read> Read for Inflating<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, message)) = &self.failure {
            return Err(io::Error::new(*kind, message.clone()));
        }
        self.decoder.read(space).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some((error.kind(), error.to_string()));
            }
        })
    }
}

/// A capture inside a compressed file.
struct Inflated {
    reader: Box<dyn CaptureReader>,
    /// Digest of the compressed file; a pipe cannot be read twice and has none.
    sha256: Option<String>,
    /// Size of the compressed file.
    bytes: Option<u64>,
}

impl CaptureReader for Inflated {
    fn next_batch(&mut self, spare: FrameBatch) -> Option<FrameBatch> {
        self.reader.next_batch(spare)
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.reader.finish();
        summary.compression = Some(match summary.compression {
            Some(inner) => format!("gzip, {inner}"),
            None => "gzip".to_owned(),
        });
        summary.sha256 = self.sha256;
        if let Some(bytes) = self.bytes {
            summary.bytes = bytes;
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::capture::open_source;
    use crate::capture::{Severity, open_pipe};

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
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: Vec<u8>) -> Result<CaptureSummary, Error> {
        let mut reader = open_source(Box::new(Cursor::new(bytes)), "trial", Reading::default())?;
        while reader.next_batch(FrameBatch::default()).is_some() {}
        Ok(reader.finish())
    }

    #[test]
    fn a_compressed_capture_is_read_and_says_so() {
        let file = gzip(&pcap());
        let summary = read(file.clone()).unwrap();
        assert_eq!(summary.frames, 2);
        assert_eq!(summary.compression.as_deref(), Some("gzip"));
        assert_eq!(summary.bytes, file.len() as u64);
        let digest = pieces::digest(&mut Cursor::new(file.clone())).unwrap();
        assert_eq!(summary.sha256, Some(digest));
        let pipe = Box::new(Cursor::new(file));
        let mut piped = open_pipe(pipe, "-", Reading::default()).unwrap();
        while piped.next_batch(FrameBatch::default()).is_some() {}
        assert_eq!(piped.finish().frames, 2);
    }

    #[test]
    fn members_follow_each_other() {
        let whole = pcap();
        let (first, second) = whole.split_at(30);
        assert_eq!(read([gzip(first), gzip(second)].concat()).unwrap().frames, 2);
    }

    #[test]
    fn a_damaged_stream_gives_what_comes_before() {
        let mut bytes = gzip(&pcap());
        // The checksum at the end (RFC 1952 2.3.1).
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        let summary = read(bytes).unwrap();
        assert_eq!(summary.frames, 2);
        assert!(summary.problems.iter().any(|problem| problem.severity == Severity::Error));
    }

    #[test]
    fn nesting_has_a_bound() {
        let mut bytes = pcap();
        for _ in 0..3 {
            bytes = gzip(&bytes);
        }
        assert_eq!(read(bytes.clone()).unwrap().compression.as_deref(), Some("gzip, gzip, gzip"));
        assert!(matches!(read(gzip(&bytes)), Err(Error::NotReadYet { .. })));
    }
}
