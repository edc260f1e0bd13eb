//! What people and Network Monitor wrote into a capture: comments, and the filters in force.

use std::io;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::capture::byte_order::ByteOrder;
use crate::capture::{CaptureSummary, Source};

/// Bytes kept of a title or a text.
const MOST_BYTES: u32 = 64 << 10;

/// Comments looked at. Beyond those nobody reads or counts.
const MOST_COMMENTS: usize = 100_000;

/// The comments of a capture.
#[derive(Debug, Default)]
pub(super) struct Comments {
    /// The first of them: the offset of the frame's record, and the text.
    pub(super) kept: Vec<(u32, String)>,
    /// The number of the others.
    pub(super) left_out: u64,
}

/// Reads the comments, which stand in `length` bytes at `offset`. Stops at what makes no sense.
///
/// A comment has a list of frames (always one), a title in UTF-16, and a text in RTF.
pub(super) fn read_comments(
    source: &mut BufReader<Box<dyn Source>>,
    offset: u32,
    length: u32,
) -> Comments {
    let mut comments = Comments::default();
    // What is cut off is simply not there.
    let _ = source.seek(SeekFrom::Start(offset.into())).and_then(|_| {
        let mut rest = source.by_ref().take(length.into());
        for _ in 0..MOST_COMMENTS {
            read_comment(&mut rest, &mut comments)?;
        }
        Ok(())
    });
    comments
}

fn read_comment(rest: &mut impl Read, comments: &mut Comments) -> io::Result<()> {
    let frames = number(rest)?;
    let frame = if frames > 0 { number(rest)? } else { 0 };
    pass_over(rest, u64::from(frames.saturating_sub(1)) * 4)?;
    if comments.kept.len() >= CaptureSummary::MOST_COMMENTS {
        for _ in 0..2 {
            let length = number(rest)?;
            pass_over(rest, length.into())?;
        }
        comments.left_out += 1;
        return Ok(());
    }
    let title = utf16(&text(rest)?);
    let description = plain_text(&text(rest)?);
    let text = match (title.trim(), description.trim()) {
        (title, "") => title.to_owned(),
        ("", description) => description.to_owned(),
        (title, description) => format!("{title}: {description}"),
    };
    comments.kept.push((frame, text));
    Ok(())
}

fn number(rest: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    rest.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A length and so many bytes, of which no more than the bound are kept.
fn text(rest: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = number(rest)?;
    let kept = length.min(MOST_BYTES);
    let mut bytes = Vec::new();
    if rest.take(kept.into()).read_to_end(&mut bytes)? < kept as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    pass_over(rest, u64::from(length - kept))?;
    Ok(bytes)
}

fn pass_over(rest: &mut impl Read, count: u64) -> io::Result<()> {
    let passed = io::copy(&mut rest.take(count), &mut io::sink())?;
    if passed < count { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Text in UTF-16, up to its first zero.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks().0.iter().map(|pair: &[u8; 2]| u16::from_le_bytes(*pair));
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The text in a Rich Text Format document, or the bytes themselves where they are none.
fn plain_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let bytes = bytes.get(..end).unwrap_or_default();
    if !bytes.starts_with(b"{\\rtf") {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = String::new();
    let mut rest = bytes;
    // Depth of the group, and of the outermost one whose text is not for reading (fonts, colours).
    let (mut depth, mut hidden) = (0_u32, None);
    // Characters to leave out: one follows each `\u`, for readers that do not know that word.
    let mut stand_ins = 0_u8;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let shown = match *first {
            b'{' => {
                depth = depth.saturating_add(1);
                None
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                hidden = hidden.filter(|hidden| depth >= *hidden);
                None
            }
            b'\r' | b'\n' => None,
            b'\\' => {
                let (word, parameter, tail) = control(rest);
                rest = tail;
                match word {
                    b"par" | b"line" | b"tab" | b"cell" | b"row" | b"~" => Some(' '),
                    b"\\" | b"{" | b"}" => word.first().copied().map(char::from),
                    // Windows-1252 and Latin-1 differ in 27 characters that nobody will miss.
                    b"'" => u8::try_from(parameter).ok().map(char::from),
                    b"u" => {
                        // Written as a signed number of 16 bits.
                        let unit = u32::try_from(parameter.rem_euclid(0x1_0000)).unwrap_or(0);
                        if hidden.is_none() {
                            text.extend(char::from_u32(unit));
                        }
                        stand_ins = 1;
                        continue;
                    }
                    b"fonttbl" | b"colortbl" | b"stylesheet" | b"info" | b"pict" | b"*" => {
                        hidden = hidden.or(Some(depth));
                        None
                    }
                    _ => None,
                }
            }
            byte => Some(char::from(byte)),
        };
        if shown.is_some() && stand_ins > 0 {
            stand_ins -= 1;
        } else if hidden.is_none() {
            text.extend(shown);
        }
    }
    text
}

/// The control word after a backslash, its number, and what follows both: a blank after a word
/// belongs to it.
fn control(bytes: &[u8]) -> (&[u8], i32, &[u8]) {
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if letters == 0 {
        let (word, rest) = bytes.split_at_checked(1).unwrap_or((bytes, &[]));
        if word == b"'" {
            let (digits, rest) = rest.split_at_checked(2).unwrap_or((rest, &[]));
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            return (word, i32::from_str_radix(digits, 16).unwrap_or(0), rest);
        }
        return (word, 0, rest);
    }
    let (word, rest) = bytes.split_at_checked(letters).unwrap_or((bytes, &[]));
    let sign = usize::from(rest.starts_with(b"-"));
    let digits = rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(sign + digits).unwrap_or((rest, &[]));
    let number = std::str::from_utf8(number).unwrap_or_default().parse().unwrap_or(0);
    (word, number, rest.strip_prefix(b" ").unwrap_or(rest))
}

/// What a filter frame says: that a filter was in force, and which.
///
/// Its numbers, unlike all others of the format, have their most significant byte first: version,
/// kind of filter, version of the program; then name of the program and filter in UTF-16.
pub(super) fn filter(frame: &[u8]) -> Option<String> {
    let kind = ByteOrder::Big.u32(frame, 2)?;
    let strings = frame.get(14..)?;
    let name_units = strings.as_chunks().0.iter().position(|unit: &[u8; 2]| *unit == [0, 0])?;
    let text = utf16(strings.get((name_units + 1) * 2..)?);
    match (text.trim(), kind) {
        // "None" is what Network Monitor writes where there is none.
        ("" | "None", _) => None,
        (text, 0) => Some(format!("saved with display filter {text}")),
        (text, _) => Some(format!("captured with filter {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn rich_text_is_stripped_to_what_was_typed() {
        let rtf = br"{\rtf1\ansi{\fonttbl{\f0 Segoe UI;}}{\*\generator x;}\f0\fs18 Caf\'e9 \u8212? 5\par on \{port\}\par}";
        assert_eq!(plain_text(rtf).trim(), "Caf\u{e9} \u{2014} 5 on {port}");
        assert_eq!(plain_text(b"plain\0rest"), "plain");
        assert_eq!(plain_text(b"{\\rtf1 \\"), "");
    }

    #[test]
    fn comments_are_read_until_their_bytes_end() {
        let mut bytes = vec![0xaa; 4];
        for (frame, title, text) in [(72_u32, "late", "{\\rtf1 no answer}"), (200, "", "x")] {
            let title: Vec<u8> =
                format!("{title}\0").encode_utf16().flat_map(u16::to_le_bytes).collect();
            let title_bytes = u32::try_from(title.len()).unwrap();
            let text_bytes = u32::try_from(text.len()).unwrap();
            bytes.extend([1, frame, title_bytes].map(u32::to_le_bytes).concat());
            bytes.extend(title);
            bytes.extend(text_bytes.to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        let length = u32::try_from(bytes.len() - 4).unwrap();
        let read = |length| {
            let source: Box<dyn Source> = Box::new(Cursor::new(bytes.clone()));
            read_comments(&mut BufReader::new(source), 4, length).kept
        };
        let expected = [(72, "late: no answer".to_owned()), (200, "x".to_owned())];
        assert_eq!(read(length), expected);
        assert_eq!(read(length - 1), expected[..1]);
        assert_eq!(read(u32::MAX), expected);
    }

    #[test]
    fn filter_frames_say_which_filter_was_in_force() {
        let mut frame = vec![0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 4];
        frame.extend("NetMon\0tcp.port == 88\0".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(filter(&frame).unwrap(), "captured with filter tcp.port == 88");
        frame[5] = 0;
        assert_eq!(filter(&frame).unwrap(), "saved with display filter tcp.port == 88");
        assert_eq!(filter(&frame[..20]), None);
        frame.truncate(14);
        frame.extend("NetMon\0None\0".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(filter(&frame), None);
    }
}
