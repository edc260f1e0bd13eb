//! Text files as UTF-8, whatever they are stored as: UTF-8, UTF-16 in either order, Windows-1252.
//!
//! The text comes as bytes ([`Text`] is a [`BufRead`], for JSON and XML) or line by line
//! ([`Text::line`]). Nothing is held but one piece of the file and one line, and a line that is
//! longer than any that a program writes is cut.

use std::io::{self, BufRead, Read};

use crate::capture::Opened;
use crate::capture::pieces::Pieces;

/// Bytes of a line that are looked at. The longest lines in earnest are frames of 64 KiB written
/// as hexadecimal digits.
const MOST_LINE_BYTES: usize = 1 << 20;

/// How a file stores its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// UTF-8; a line that is none is taken for Windows-1252.
    Bytes,
    /// UTF-16, as PowerShell's `>` and Windows' clipboard write it.
    Utf16 { big: bool },
}

/// A file of text, read from its beginning to its end, once.
pub(super) struct Text {
    pieces: Pieces,
    encoding: Encoding,
    /// The piece as it was read.
    raw: Vec<u8>,
    begun: bool,
    /// The piece as UTF-8, where it was stored otherwise; else as it was read.
    decoded: Vec<u8>,
    at: usize,
    /// A high surrogate whose other half is in the next piece.
    surrogate: Option<u16>,
    line: Vec<u8>,
    line_number: u64,
    lines_cut: u64,
}

impl Text {
    /// Begins to read.
    pub(super) fn new(opened: Opened) -> Text {
        let encoding = encoding(&opened.head);
        Text {
            pieces: Pieces::new(opened),
            encoding,
            raw: Vec::new(),
            begun: false,
            decoded: Vec::new(),
            at: 0,
            surrogate: None,
            line: Vec::new(),
            line_number: 0,
            lines_cut: 0,
        }
    }

    /// The next line without its end, or `None` at the end of the file.
    pub(super) fn line(&mut self) -> Option<String> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let mut ended = false;
        let mut any = false;
        let mut cut = false;
        while !ended {
            let piece = self.piece();
            if piece.is_empty() {
                break;
            }
            any = true;
            let (part, used) = match piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    ended = true;
                    (piece.get(..end).unwrap_or_default(), end + 1)
                }
                None => (piece, piece.len()),
            };
            let space = MOST_LINE_BYTES.saturating_sub(line.len());
            cut |= part.len() > space;
            line.extend_from_slice(part.get(..space).unwrap_or(part));
            self.at += used;
        }
        if !any {
            return None;
        }
        self.line_number += 1;
        self.lines_cut += u64::from(cut);
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        let text = to_string(&line);
        self.line = line;
        Some(text)
    }

    /// Counts the lines that end in the bytes that were used, and passes over them.
    fn pass(&mut self, count: usize) {
        let end = self.at.saturating_add(count);
        let used = self.decoded.get(self.at..end).unwrap_or_default();
        self.line_number += used.split(|byte| *byte == b'\n').skip(1).count() as u64;
        self.at = end;
    }

    /// Lines that were used up: the number of the line that [`Text::line`] gave last, from 1.
    pub(super) fn line_number(&self) -> u64 {
        self.line_number
    }

    /// Lines that were longer than any that a program writes, and were cut.
    pub(super) fn lines_cut(&self) -> u64 {
        self.lines_cut
    }

    /// Why reading stopped before the end of the file, if it did.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.pieces.failure()
    }

    /// Reads what is left. Gives the size of the file, and its digest where it was read whole.
    pub(super) fn finish(self) -> (u64, Option<String>) {
        self.pieces.finish()
    }

    /// The bytes that are there and were not used; none at the end of the file.
    fn piece(&mut self) -> &[u8] {
        while self.at >= self.decoded.len() && self.read_piece() {}
        self.decoded.get(self.at..).unwrap_or_default()
    }

    /// Reads the next piece, false where there is none.
    fn read_piece(&mut self) -> bool {
        let filled = if self.begun {
            self.pieces.extend(&mut self.raw, 0)
        } else {
            self.pieces.fill(&mut self.raw)
        };
        let first = !std::mem::replace(&mut self.begun, true);
        self.at = 0;
        self.decoded.clear();
        if filled == 0 {
            return false;
        }
        match self.encoding {
            Encoding::Bytes => {
                self.raw.truncate(filled);
                std::mem::swap(&mut self.raw, &mut self.decoded);
                if first && self.decoded.starts_with(b"\xef\xbb\xbf") {
                    self.at = 3;
                }
            }
            Encoding::Utf16 { big } => self.decode_utf16(filled, big),
        }
        true
    }

    fn decode_utf16(&mut self, filled: usize, big: bool) {
        // The second half of a unit may still be missing.
        let mut filled = filled;
        if filled % 2 == 1 {
            let more = self.pieces.read_byte();
            self.raw.truncate(filled);
            self.raw.extend(more);
            filled = self.raw.len();
        }
        let (units, _) = self.raw.get(..filled).unwrap_or_default().as_chunks::<2>();
        let units = units
            .iter()
            .map(|unit| if big { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) });
        let held = self.surrogate.take();
        let mut units: Vec<u16> = held.into_iter().chain(units).collect();
        if let Some(last) = units.last().copied()
            && (0xd800..0xdc00).contains(&last)
        {
            self.surrogate = Some(last);
            units.pop();
        }
        for letter in char::decode_utf16(units) {
            let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
            if letter != '\u{feff}' {
                self.decoded.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
}

impl Read for Text {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.piece();
        let count = piece.read(space)?;
        self.pass(count);
        Ok(count)
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.piece())
    }

    fn consume(&mut self, count: usize) {
        self.pass(count);
    }
}

/// The text that a file begins with, or `None` where these bytes are no text. A line that may be
/// cut off at the end is left standing.
pub(super) fn beginning(head: &[u8]) -> Option<String> {
    let text = match encoding(head) {
        Encoding::Bytes if head.contains(&0) => return None,
        Encoding::Bytes => to_string(head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head)),
        Encoding::Utf16 { big } => {
            let (units, _) = head.as_chunks::<2>();
            let units = units.iter().map(|unit| {
                if big { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) }
            });
            let letters = char::decode_utf16(units);
            letters
                .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
                .filter(|letter| *letter != '\u{feff}')
                .collect()
        }
    };
    Some(text)
}

fn encoding(head: &[u8]) -> Encoding {
    match head {
        // Without a mark: what is copied out of a window begins with ASCII.
        [0xff, 0xfe, ..] | [1..0x80, 0, 1..0x80, 0, ..] => Encoding::Utf16 { big: false },
        [0xfe, 0xff, ..] | [0, 1..0x80, 0, 1..0x80, ..] => Encoding::Utf16 { big: true },
        _ => Encoding::Bytes,
    }
}

/// Windows-1252 from 0x80 to 0x9f; above, it is Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn to_string(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    // A character cut off at the end of a line that was too long, or of the head, is no reason
    // to take all of it for another encoding.
    if let Err(error) = std::str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        return String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default())
            .into_owned();
    }
    let letter = |byte: &u8| match byte {
        0x80..=0x9f => WINDOWS_1252.get(usize::from(byte - 0x80)).copied().unwrap_or(' '),
        other => char::from(*other),
    };
    bytes.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::capture::Reading;
    use crate::capture::bounds::{Bounds, Budget};

    fn text(bytes: &[u8], piece: usize) -> Text {
        Text::new(Opened {
            shown_as: "trial".to_owned(),
            head: bytes.to_vec(),
            source: Box::new(Cursor::new(Vec::new())),
            size: None,
            reading: Reading { piece, digest: false, progress: None },
            layers: 0,
            is_member: false,
            budget: Budget::new(Bounds::default(), None),
        })
    }

    /// As [`text`], with only so many bytes in the head.
    fn split(bytes: &[u8], head: usize, piece: usize) -> Text {
        let (head, rest) = bytes.split_at(head);
        Text::new(Opened {
            shown_as: "trial".to_owned(),
            head: head.to_vec(),
            source: Box::new(Cursor::new(rest.to_vec())),
            size: None,
            reading: Reading { piece, digest: false, progress: None },
            layers: 0,
            is_member: false,
            budget: Budget::new(Bounds::default(), None),
        })
    }

    fn lines(mut text: Text) -> Vec<String> {
        std::iter::from_fn(|| text.line()).collect()
    }

    const SAMPLE: &str = "10.0.0.5 → 10.1.0.10\r\n\nDC1 \u{1d11e} x";

    #[test]
    fn every_encoding_gives_the_same_lines() {
        let expected = ["10.0.0.5 → 10.1.0.10", "", "DC1 \u{1d11e} x"];
        let marked: String = format!("\u{feff}{SAMPLE}");
        let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let stored: [Vec<u8>; 6] = [
            SAMPLE.into(),
            marked.clone().into(),
            little(&marked),
            big(&marked),
            little(SAMPLE),
            big(SAMPLE),
        ];
        for bytes in stored {
            assert_eq!(lines(text(&bytes, 1 << 20)), expected);
            for head in 4..bytes.len() {
                for piece in [1, 2, 3, 7] {
                    let found = lines(split(&bytes, head, piece));
                    assert_eq!(found, expected, "head of {head}, pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_utf8_is_windows_1252() {
        assert_eq!(lines(text(b"Flags=\x85S\n10.0.0.5 \xbb", 9)), ["Flags=…S", "10.0.0.5 »"]);
    }

    #[test]
    fn lines_have_numbers_and_a_bound() {
        let mut bytes = vec![b'x'; MOST_LINE_BYTES + 5];
        bytes.extend(b"\nsecond");
        let mut text = text(&bytes, 4096);
        assert_eq!(text.line().unwrap().len(), MOST_LINE_BYTES);
        assert_eq!(text.line().unwrap(), "second");
        assert_eq!((text.line_number(), text.lines_cut()), (2, 1));
        assert_eq!(text.line(), None);
    }

    #[test]
    fn binary_files_are_no_text() {
        assert_eq!(beginning(b"\xd4\xc3\xb2\xa1\x02\0\x04\0"), None);
        assert_eq!(beginning(b"\xff\xfea\0b\0").unwrap(), "ab");
        assert_eq!(beginning("→".as_bytes()).unwrap(), "→");
    }
}
