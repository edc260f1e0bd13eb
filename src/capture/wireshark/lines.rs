//! Text of lines: hex dumps of every kind, with whatever stands before each dump.
//!
//! A dump may follow a line of a packet list, the details of a frame, a line of tcpdump, or just a
//! time. Where Wireshark shows several byte views of one frame (reassembled, decrypted), only the
//! frame's own counts.

use crate::capture::MOST_FRAME_BYTES;
use crate::capture::text::Text;
use crate::capture::wireshark::clock;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::guess;
use crate::capture::wireshark::hex::{self, DumpLine};
use crate::capture::wireshark::notes::{Note, Notes};

/// Lines at the beginning that are looked at to tell what the text is.
const MOST_LINES: usize = 400;

/// The shape's name, where a text begins like this.
pub(super) fn name(beginning: &str) -> Option<&'static str> {
    let mut dump: Vec<u8> = Vec::new();
    let mut other_lines = 0;
    for line in beginning.lines().take(MOST_LINES) {
        match Line::of(line) {
            Line::Dump(part) if part.offset == dump.len() => dump.extend(part.bytes),
            Line::Dump(_) | Line::Blank if !dump.is_empty() => break,
            Line::Frame(bytes) => return guess::link_type(&bytes).and(Some("hex stream")),
            Line::Array(bytes) => dump.extend(bytes),
            Line::ArrayHead { .. } => return Some("C arrays"),
            Line::Other => other_lines += 1,
            Line::Dump(_) | Line::Blank | Line::View { .. } | Line::Time(_) => {}
        }
    }
    // A dump in a log or a manual is taken only for what looks like a packet.
    let taken = guess::link_type(&dump).is_some() || (other_lines == 0 && dump.len() > 13);
    taken.then_some("hex dump")
}

pub(super) fn reader(_: &str) -> Box<dyn Drafts> {
    Box::new(Lines::default())
}

/// What a line is.
enum Line {
    Blank,
    /// Of a dump.
    Dump(DumpLine),
    /// A whole frame in digits.
    Frame(Vec<u8>),
    /// Bytes of a C array.
    Array(Vec<u8>),
    /// The beginning of a C array, of a frame or of another view of one.
    ArrayHead {
        of_frame: bool,
    },
    /// The heading of a byte view (`Frame (66 bytes):`).
    View {
        of_frame: bool,
    },
    /// Begins with a time, as `text2pcap` has it before a dump.
    Time(clock::Reading),
    Other,
}

impl Line {
    fn of(line: &str) -> Line {
        let text = line.trim();
        if text.is_empty() {
            return Line::Blank;
        }
        if let Some(part) = hex::dump_line(line) {
            return Line::Dump(part);
        }
        if let Some(bytes) = hex::stream(text) {
            return Line::Frame(bytes);
        }
        if let Some(of_frame) = view(text) {
            return Line::View { of_frame };
        }
        if text.starts_with("0x")
            && let Some(bytes) = hex::array_line(text)
        {
            return Line::Array(bytes);
        }
        if let Some(name) = array_name(text) {
            // pkt12 is a frame; pkt12_1 another view of it, peer0_0 what an application said.
            let digits = name.strip_prefix("pkt").unwrap_or_default();
            let of_frame = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
            return Line::ArrayHead { of_frame };
        }
        // text2pcap's directions.
        let text = text.strip_prefix("I ").or_else(|| text.strip_prefix("O ")).unwrap_or(text);
        // A number alone could be anything.
        match clock::read_first(text) {
            Some((time, _)) if text.contains(':') => Line::Time(time),
            Some(_) | None => Line::Other,
        }
    }
}

/// Whether a heading of a byte view (`Reassembled TCP (1460 bytes):`) is that of the frame.
fn view(text: &str) -> Option<bool> {
    let (name, count) = text.strip_suffix("):")?.rsplit_once(" (")?;
    let count = count.strip_suffix(" bytes").or_else(|| count.strip_suffix(" byte"))?;
    count.bytes().all(|digit| digit.is_ascii_digit()).then_some(name == "Frame")
}

/// The name in `static const unsigned char pkt1[54] = {`.
fn array_name(text: &str) -> Option<&str> {
    let (declaration, _) = text.split_once('[').filter(|_| text.contains('{'))?;
    let name = declaration.rsplit(' ').next()?;
    declaration.contains("char ").then_some(name)
}

#[derive(Default)]
struct Lines {
    /// What was said of the frame whose dump is to come.
    announced: Draft,
    /// The frame whose dump is being read.
    draft: Option<Draft>,
    /// Whether dumps are to be left out until the next frame: they are other views of this one.
    other_view: bool,
    /// Whether the frame's own bytes are known to be complete.
    complete: bool,
    /// A frame that is ready, behind the one that was given.
    ready: Option<Draft>,
}

impl Drafts for Lines {
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        while let Some(line) = text.line() {
            if let Some(draft) = self.take(&line, text.line_number(), notes) {
                return Some(draft);
            }
        }
        self.draft.take()
    }
}

impl Lines {
    /// Takes a line; gives the frame that it ends.
    fn take(&mut self, line: &str, number: u64, notes: &mut Notes) -> Option<Draft> {
        match Line::of(line) {
            Line::Blank => None,
            Line::Dump(part) => self.dump(part, number, notes),
            Line::Frame(bytes) => {
                let frame = Draft { bytes, ..std::mem::take(&mut self.announced) };
                match self.draft.take() {
                    Some(before) => {
                        self.ready = Some(frame);
                        Some(before)
                    }
                    None => Some(frame),
                }
            }
            Line::Array(bytes) => {
                if let Some(draft) = self.draft.as_mut().filter(|_| !self.other_view) {
                    append(draft, &bytes);
                }
                None
            }
            Line::ArrayHead { of_frame } => {
                self.other_view = !of_frame;
                if of_frame { self.draft.replace(Draft::default()) } else { None }
            }
            Line::View { of_frame } => {
                self.other_view = !of_frame;
                self.complete = true;
                None
            }
            Line::Time(time) => {
                self.announced = Draft { time: Some(time), ..Draft::default() };
                self.other_view = false;
                self.complete = true;
                None
            }
            Line::Other => None,
        }
    }

    fn dump(&mut self, part: DumpLine, line: u64, notes: &mut Notes) -> Option<Draft> {
        if self.other_view {
            return None;
        }
        if part.offset == 0 {
            self.complete = false;
            let mut next = std::mem::take(&mut self.announced);
            append(&mut next, &part.bytes);
            return self.draft.replace(next);
        }
        let Some(draft) = self.draft.as_mut().filter(|_| !self.complete) else {
            notes.count(Note::Gap, line);
            return None;
        };
        if part.offset > draft.bytes.len() {
            notes.count(Note::Gap, line);
            self.complete = true;
            return None;
        }
        // A line that was longer than its own bytes: text was taken for some.
        draft.bytes.truncate(part.offset);
        append(draft, &part.bytes);
        None
    }
}

/// Adds bytes, up to what a frame can have.
fn append(draft: &mut Draft, bytes: &[u8]) {
    let space = (MOST_FRAME_BYTES as usize).saturating_sub(draft.bytes.len());
    draft.bytes.extend_from_slice(bytes.get(..space).unwrap_or(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use crate::capture::tests::{problems, read};

    /// An Ethernet frame of IPv4 with 30 bytes, in the layout of `tshark -x`.
    const DUMP: &str = "\
0000  02 00 0a 01 00 07 02 00 0a 00 00 05 08 00 45 00   ..............E.
0010  00 10 05 01 40 00 80 11 e1 9a 0a 00 00 05         ....@.........
";

    fn lengths(text: &str) -> Vec<usize> {
        let (frames, _) = read(text.as_bytes());
        frames.iter().map(|frame| frame.3.len()).collect()
    }

    #[test]
    fn an_offset_of_zero_begins_the_next_frame() {
        assert_eq!(lengths(&format!("{DUMP}\n{DUMP}")), [30, 30]);
        assert_eq!(lengths(&format!("{DUMP}{DUMP}")), [30, 30]);
    }

    #[test]
    fn other_views_of_a_frame_are_no_frames() {
        let text = format!(
            "Frame (30 bytes):\n\n{DUMP}\nReassembled TCP (1460 bytes):\n\n{DUMP}\n\
             Frame (30 bytes):\n\n{DUMP}\nDecrypted Kerberos (7 bytes):\n\n{DUMP}"
        );
        assert_eq!(lengths(&text), [30, 30]);
    }

    #[test]
    fn a_time_before_a_dump_is_that_of_the_frame() {
        let (frames, summary) = read(format!("2012-11-13 09:30:00.000250\n{DUMP}").as_bytes());
        // date -u -d @1352799000
        assert_eq!(frames[0].1, Some(1_352_799_000_000_250_000));
        assert_eq!(frames[0].2, LinkType::ETHERNET);
        let said = problems(&summary)[0].1;
        assert!(said.contains("look like Ethernet"), "{said}");
    }

    #[test]
    fn a_missing_line_ends_the_frame_and_is_told() {
        let lines: Vec<&str> = DUMP.lines().collect();
        let text = format!("{}\n0020  00 11\n{DUMP}", lines[0]);
        let (frames, summary) = read(text.as_bytes());
        assert_eq!(frames.iter().map(|frame| frame.3.len()).collect::<Vec<_>>(), [16, 30]);
        assert!(problems(&summary)[0].1.contains("line 2"), "{:?}", problems(&summary));
    }

    #[test]
    fn arrays_and_streams_are_frames() {
        let bytes = hex::decode(&"0a".repeat(12)).unwrap();
        let digits = format!("{}0800{}", "0a".repeat(12), "45".repeat(20));
        assert_eq!(lengths(&digits), [34]);
        let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
        let array = format!(
            "/* Frame (12 bytes) */\nstatic const unsigned char pkt1[12] = {{\n{}, /* .. */\n{}\n}};\n\
             /* Reassembled TCP (2 bytes) */\nstatic const unsigned char pkt1_1[2] = {{\n0x01, 0x02\n}};\n",
            bytes[..8].join(", "),
            bytes[8..].join(", ")
        );
        assert_eq!(lengths(&array), [12]);
    }

    #[test]
    fn other_text_is_no_hex_dump() {
        for text in [
            "",
            "hello",
            "Some manual:\n0000  61 62 63 64 65 66 67 68   abcdefgh\nand on it goes",
            "2012-11-13 09:30:00 ERROR 0x80004005: no such port",
            "name,port\nldap,389",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(name(DUMP), Some("hex dump"));
    }
}
