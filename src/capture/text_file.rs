//! Texts beside captures, such as logs: line by line, in any encoding that Windows writes, and
//! compressed or not.

use std::path::Path;

use crate::capture::bounds::Bounds;
use crate::capture::error::Error;
use crate::capture::inflate::{self, Compression};
use crate::capture::tap::Tap;
use crate::capture::text::{self, Text};
use crate::capture::{Opened, Reading, Source};

/// A text that is read from its beginning to its end, once. Nothing is held but one piece of the
/// file and one line.
pub struct TextFile {
    text: Text,
    beginning: Option<String>,
    /// The file around it, where it is compressed.
    compressed: Option<Tap>,
}

/// How the reading of a text ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEnd {
    /// SHA-256 of the file, in hexadecimal; `None` where it could not be read to its end.
    pub sha256: Option<String>,
    /// Why reading stopped before the end, if it did.
    pub failure: Option<String>,
}

impl TextFile {
    /// Opens a file. `bounds` are those of what it may inflate to.
    pub fn open(path: &Path, bounds: Bounds) -> Result<TextFile, Error> {
        TextFile::begin(Opened::path(path, "", Reading::default(), bounds)?)
    }

    /// Opens a text that is not a file of its own: bytes in memory.
    pub fn open_source(source: Box<dyn Source>) -> Result<TextFile, Error> {
        TextFile::begin(Opened::source(source, "", Reading::default(), Bounds::default())?)
    }

    fn begin(mut opened: Opened) -> Result<TextFile, Error> {
        let mut compressed = None;
        opened.read_head()?;
        if let Some(compression) = Compression::of(&opened.head) {
            let (inside, tap) = inflate::inside(opened.counted(), compression)?;
            (opened, compressed) = (inside, Some(tap));
            opened.read_head()?;
        }
        let beginning = text::beginning(&opened.head);
        Ok(TextFile { text: Text::new(opened), beginning, compressed })
    }

    /// The first lines, to tell what it is; `None` where it is no text. The last one may be cut
    /// off.
    pub fn beginning(&self) -> Option<&str> {
        self.beginning.as_deref()
    }

    /// The next line without its end, or `None` at the end of what can be read.
    pub fn line(&mut self) -> Option<String> {
        self.text.line()
    }

    /// Number of the line that [`TextFile::line`] gave last, from 1.
    pub fn line_number(&self) -> u64 {
        self.text.line_number()
    }

    /// Lines that were longer than any that a program writes, and were cut.
    pub fn lines_cut(&self) -> u64 {
        self.text.lines_cut()
    }

    /// Reads what is left, for the digest, and tells how it ended.
    pub fn finish(self) -> TextEnd {
        let failure = self.text.failure().map(ToString::to_string);
        let (_, whole) = self.text.finish();
        match self.compressed {
            None => TextEnd { sha256: whole, failure },
            Some(tap) => {
                let failure = tap.complaint().or(failure);
                TextEnd { sha256: tap.finish().1, failure }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> (Vec<String>, TextEnd) {
        let mut file = TextFile::open_source(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
        let lines = std::iter::from_fn(|| file.line()).collect();
        (lines, file.finish())
    }

    #[test]
    fn a_compressed_text_has_the_digest_of_the_file() {
        // printf 'a\nb\n' | sha256sum
        let plain = "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2";
        let (lines, end) = read(b"a\nb\n");
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(end.failure, None);
        let packed = gzip(b"a\nb\n");
        let (lines, packed_end) = read(&packed);
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(packed_end.failure, None);
        assert!(packed_end.sha256.is_some_and(|digest| digest != plain));
        assert_eq!(end.sha256.as_deref(), Some(plain));
    }

    #[test]
    fn a_compressed_text_that_is_cut_off_says_so() {
        let packed = gzip(&b"a line that goes on\n".repeat(2_000));
        let (lines, end) = read(&packed[..packed.len() - 4]);
        assert!(!lines.is_empty());
        assert!(end.failure.is_some());
    }

    #[test]
    fn binary_files_have_no_first_lines() {
        let file = TextFile::open_source(Box::new(Cursor::new(b"MZ\0\x03\0".to_vec()))).unwrap();
        assert_eq!(file.beginning(), None);
    }
}
