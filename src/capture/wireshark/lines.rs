//! Text of lines: packet lists, details and hex dumps, alone or one after the other for each frame.
//!
//! A frame may be a row of a packet list, then its details, then a dump of its bytes: each adds to
//! it. Where Wireshark shows several byte views of one frame (reassembled, decrypted), only the
//! frame's own counts.

use crate::capture::MOST_FRAME_BYTES;
use crate::capture::text::Text;
use crate::capture::wireshark::account::{Account, Icmp, Number};
use crate::capture::wireshark::clock;
use crate::capture::wireshark::columns::Columns;
use crate::capture::wireshark::detail::{self, Detail};
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::guess;
use crate::capture::wireshark::hex::{self, DumpLine};
use crate::capture::wireshark::list;
use crate::capture::wireshark::notes::{Note, Notes};
use crate::capture::wireshark::tcpdump::{self, Bases, PacketId, Part};

/// Lines at the beginning that are looked at to tell what the text is.
const MOST_LINES: usize = 400;

/// The shape's name, where a text begins like this.
pub(super) fn name(beginning: &str) -> Option<&'static str> {
    let mut dump: Vec<u8> = Vec::new();
    let mut dump_ended = false;
    let mut other_lines = 0;
    let (mut row, mut details, mut tcpdump, mut pktmon) = (false, false, false, false);
    for line in beginning.lines().take(MOST_LINES) {
        match Line::of(line, None) {
            Line::Dump(part) if part.offset == dump.len() && !dump_ended => dump.extend(part.bytes),
            Line::Dump(_) | Line::Blank => dump_ended |= !dump.is_empty(),
            Line::Frame(bytes) => return guess::link_type(&bytes).and(Some("hex stream")),
            Line::Array(bytes) => dump.extend(bytes),
            Line::ArrayHead { .. } => return Some("C arrays"),
            Line::Other => other_lines += 1,
            Line::Row(_) | Line::Titles(_) => row = true,
            Line::DetailHead => details = true,
            Line::Tcpdump(part) => match *part {
                Part::Head { packet, .. } => {
                    tcpdump = true;
                    pktmon |= packet.is_some();
                }
                Part::Rest(_) => {}
            },
            Line::View { .. } | Line::Time(_) => {}
        }
    }
    // A dump in a log or a manual is taken only for what looks like a packet.
    let looks_right = guess::link_type(&dump).is_some() || (other_lines == 0 && dump.len() > 13);
    match () {
        () if looks_right => Some("hex dump"),
        () if details => Some("packet details as text"),
        () if row => Some("packet list as text"),
        () if pktmon => Some("pktmon text"),
        () if tcpdump => Some("tcpdump text"),
        () => None,
    }
}

pub(super) fn reader(_: &str) -> Box<dyn Drafts> {
    Box::new(Lines::default())
}

/// What a line is.
enum Line {
    Blank,
    /// Titles of columns.
    Titles(Columns),
    /// A row of a packet list.
    Row(Box<Draft>),
    /// Of tcpdump or pktmon.
    Tcpdump(Box<Part>),
    /// The first line of a frame's details.
    DetailHead,
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
    /// What a line is, under these titles.
    fn of(line: &str, columns: Option<&Columns>) -> Line {
        let text = line.trim();
        if text.is_empty() {
            return Line::Blank;
        }
        if detail::is_head(line) {
            return Line::DetailHead;
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
        if let Some(columns) = list::titles(line) {
            return Line::Titles(columns);
        }
        if let Some(draft) = list::row(line, columns) {
            return Line::Row(Box::new(draft));
        }
        if let Some(part) = tcpdump::part(line) {
            return Line::Tcpdump(Box::new(part));
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

/// A frame that is being read.
#[derive(Default)]
struct Pending {
    draft: Draft,
    /// Its details, which tell more than its row.
    detail: Option<Detail>,
    /// Whether its own bytes are complete.
    complete: bool,
}

impl Pending {
    fn account(&mut self) -> Option<&mut Account> {
        self.draft.account.as_mut()
    }

    /// The frame, where anything was said of it.
    fn finish(self) -> Option<Draft> {
        let Pending { mut draft, detail, .. } = self;
        if let Some(detail) = detail {
            let told = detail.packet.finish();
            let row = draft.account.take();
            draft.number = told.number.or(draft.number);
            draft.time = told.time.or(draft.time);
            draft.original = told.original.or(draft.original);
            draft.link_type = told.link_type.or(draft.link_type);
            draft.account = told.account.map(|mut account| {
                if let Some(row) = row {
                    (account.protocol, account.info) = (row.protocol, row.info);
                    account.repeat = row.repeat;
                }
                account
            });
        }
        (draft.account.is_some() || !draft.bytes.is_empty()).then_some(draft)
    }
}

#[derive(Default)]
struct Lines {
    /// The columns of the titles that were met last.
    columns: Option<Columns>,
    /// The frame that is being read.
    pending: Option<Pending>,
    /// Whether lines are details of it.
    in_details: bool,
    /// Whether dumps are to be left out until the next frame: they are other views of this one.
    other_view: bool,
    /// The numbers from which tcpdump counts.
    bases: Bases,
    /// The packet that pktmon showed last, and whether its lines are left out.
    packet: Option<PacketId>,
}

impl Drafts for Lines {
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft> {
        while let Some(line) = text.line() {
            if let Some(draft) = self.take(&line, text.line_number(), notes) {
                return Some(draft);
            }
        }
        self.pending.take().and_then(Pending::finish)
    }
}

impl Lines {
    /// Takes a line; gives the frame that it ends.
    fn take(&mut self, text: &str, number: u64, notes: &mut Notes) -> Option<Draft> {
        if self.in_details && self.takes_detail(text) {
            return None;
        }
        match Line::of(text, self.columns.as_ref()) {
            Line::Blank => None,
            Line::Other => {
                if looks_like_a_row(text) {
                    notes.not_understood(number, text);
                }
                None
            }
            Line::Titles(columns) => {
                self.columns = Some(columns);
                None
            }
            Line::Row(draft) => self.begin(Draft { line: number, ..*draft }),
            Line::Tcpdump(part) => self.tcpdump(*part, number, notes),
            Line::DetailHead => {
                let mut detail = Detail::default();
                detail.take(text);
                self.in_details = true;
                let of_row = |pending: &&mut Pending| {
                    let same = pending.draft.number == detail.packet.draft.number;
                    same && pending.detail.is_none() && pending.draft.bytes.is_empty()
                };
                if let Some(pending) = self.pending.as_mut().filter(of_row) {
                    pending.detail = Some(detail);
                    return None;
                }
                let before = self.begin(Draft { line: number, ..Draft::default() });
                if let Some(pending) = &mut self.pending {
                    pending.detail = Some(detail);
                }
                self.in_details = true;
                before
            }
            Line::Dump(part) => self.dump(&part, number, notes),
            Line::Frame(bytes) => {
                let before = self.begin(Draft { line: number, bytes, ..Draft::default() });
                if let Some(pending) = &mut self.pending {
                    pending.complete = true;
                }
                before
            }
            Line::Array(bytes) => {
                if let Some(pending) = self.pending.as_mut().filter(|_| !self.other_view) {
                    append(&mut pending.draft, &bytes);
                }
                None
            }
            Line::ArrayHead { of_frame } => {
                let before =
                    of_frame.then(|| self.begin(Draft { line: number, ..Draft::default() }));
                self.other_view = !of_frame;
                before.flatten()
            }
            Line::View { of_frame } => {
                self.other_view = !of_frame;
                None
            }
            Line::Time(time) => {
                self.begin(Draft { line: number, time: Some(time), ..Draft::default() })
            }
        }
    }

    fn tcpdump(&mut self, part: Part, line: u64, notes: &mut Notes) -> Option<Draft> {
        match part {
            Part::Head { draft, packet } => {
                let again = packet.zip(self.packet).is_some_and(|(now, last)| now.is_again(last));
                self.packet = packet.or(self.packet);
                if packet.is_some_and(|packet| packet.dropped) {
                    let reason = draft.account.as_ref().map(|account| account.info.as_str());
                    notes.dropped(reason.unwrap_or_default(), line);
                }
                if again {
                    // One frame, however many components it passes.
                    if let Some(pending) = &mut self.pending {
                        pending.complete = true;
                    }
                    return None;
                }
                let before = self.begin(Draft { line, ..draft });
                if let Some(account) = self.pending.as_mut().and_then(Pending::account) {
                    self.bases.count_on(account);
                }
                before
            }
            Part::Rest(told) => {
                self.go_on(told);
                None
            }
        }
    }

    /// Takes the second line of a packet, or what an ICMP error quotes.
    fn go_on(&mut self, told: Account) {
        let pending = self.pending.as_mut().filter(|pending| !pending.complete);
        let Some(account) = pending.and_then(Pending::account) else { return };
        if account.source.is_none() {
            let (ttl, ip_id) = (account.ttl, account.ip_id);
            let info = std::mem::take(&mut account.info);
            *account = Account { ttl, ip_id, ..told };
            if !info.is_empty() {
                account.info = info;
            }
            self.bases.count_on(account);
        } else if account.icmp.is_some_and(Icmp::is_error) && account.quoted.is_none() {
            // Numbers in a quote are those of the wire.
            let seq = told.seq.map(|seq| Number { relative: false, ..seq });
            account.quoted = Some(Box::new(Account { seq, ..told }));
        }
    }

    /// Takes a line as one of the details, unless it is something else for certain.
    fn takes_detail(&mut self, text: &str) -> bool {
        let ends = text.trim().is_empty()
            || detail::is_head(text)
            || hex::dump_line(text).is_some()
            || view(text.trim()).is_some()
            || list::titles(text).is_some();
        self.in_details = !ends;
        if !ends && let Some(detail) = self.pending.as_mut().and_then(|it| it.detail.as_mut()) {
            detail.take(text);
        }
        !ends
    }

    /// Begins a frame; gives the one before.
    fn begin(&mut self, draft: Draft) -> Option<Draft> {
        self.other_view = false;
        self.in_details = false;
        let next = Pending { draft, ..Pending::default() };
        self.pending.replace(next).and_then(Pending::finish)
    }

    fn dump(&mut self, part: &DumpLine, line: u64, notes: &mut Notes) -> Option<Draft> {
        if self.other_view {
            return None;
        }
        let mut before = None;
        if part.offset == 0 {
            let announced = self.pending.as_ref().is_some_and(|it| it.draft.bytes.is_empty());
            if !announced {
                before = self.begin(Draft { line, ..Draft::default() });
            }
        }
        let open = self.pending.as_mut().filter(|pending| !pending.complete);
        let fits = |pending: &&mut Pending| part.offset <= pending.draft.bytes.len();
        let Some(pending) = open.filter(fits) else {
            notes.count(Note::Gap, line);
            if let Some(pending) = &mut self.pending {
                pending.complete = true;
            }
            return before;
        };
        // A line that was longer than its own bytes: text was taken for some.
        pending.draft.bytes.truncate(part.offset);
        append(&mut pending.draft, &part.bytes);
        before
    }
}

/// Whether a line that was not understood has the addresses of two hosts.
fn looks_like_a_row(text: &str) -> bool {
    let words = text.split([' ', '\t', ',', '"']);
    words.filter(|word| word.parse::<std::net::IpAddr>().is_ok()).nth(1).is_some()
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
