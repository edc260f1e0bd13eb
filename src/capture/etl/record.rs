//! Records: the events in a buffer, one behind the other, each at a multiple of eight bytes.
//!
//! The third byte of a record tells its kind, and with it where its length and its time stand.

use std::fmt;

use crate::capture::byte_order::ByteOrder;

/// The fourth byte of every record but those of WPP.
pub(super) const MARKER: u8 = 0xc0;
/// The fourth byte of a WPP trace message.
const WPP_MARKER: u8 = 0x90;
/// Length of the header of a system record.
pub(super) const SYSTEM_HEADER: usize = 0x20;
const CLASSIC_HEADER: usize = 0x30;
const EVENT_HEADER: usize = 0x50;

/// Items between the header and the data of an event.
const MOST_ITEMS: usize = 64;

/// A GUID, as it stands in memory: its first three groups have their bytes swapped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Guid([u8; 16]);

impl Guid {
    /// From its groups, as they are written.
    pub(super) const fn of(a: u32, b: u16, c: u16, d: [u8; 8]) -> Guid {
        let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        Guid([
            a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5],
            d[6], d[7],
        ])
    }

    /// The GUID at `offset`.
    pub(super) fn at(bytes: &[u8], offset: usize) -> Option<Guid> {
        bytes.get(offset..)?.first_chunk().copied().map(Guid)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, rest @ ..] = self.0;
        let (a, b) = (u32::from_le_bytes([a0, a1, a2, a3]), u16::from_le_bytes([b0, b1]));
        let (c, d) = (u16::from_le_bytes([c0, c1]), u16::from_be_bytes([d0, d1]));
        write!(out, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-")?;
        rest.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// When, by the trace's own clock; 0 where the kind has no time that we know of.
    pub(super) time: i64,
    pub(super) body: Body<'a>,
}

/// What a record is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    /// Written by the system; group 0 with opcode 0 is the trace's own header.
    System { group: u8, opcode: u8, data: &'a [u8] },
    /// An event with a GUID of its own, as before Windows Vista.
    Classic { guid: Guid, opcode: u8, data: &'a [u8] },
    /// An event of a provider.
    Event(Event<'a>),
    /// Any other.
    Other,
}

/// An event of a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub(super) provider: Guid,
    pub(super) id: u16,
    pub(super) version: u8,
    pub(super) keyword: u64,
    pub(super) process: u32,
    pub(super) thread: u32,
    /// What the provider wrote.
    pub(super) data: &'a [u8],
    /// Where that begins, behind the beginning of the first record.
    pub(super) offset: usize,
}

/// The records of a buffer.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    damaged: bool,
}

impl<'a> Records<'a> {
    /// The records in the bytes behind a buffer's header, up to where it is filled.
    pub(super) fn of(bytes: &'a [u8]) -> Records<'a> {
        Records { bytes, at: 0, damaged: false }
    }

    /// Where reading stopped before the end because something made no sense.
    pub(super) fn damage(&self) -> Option<usize> {
        self.damaged.then_some(self.at)
    }
}

/// Whether bytes begin with a record.
pub(super) fn is_plausible(bytes: &[u8]) -> bool {
    matches!(bytes.get(2..4), Some(&[kind, MARKER]) if kind_of(kind).is_some())
        || matches!(bytes.get(3), Some(&WPP_MARKER))
}

/// A kind of record: length of its header, and where its length and its time stand.
struct Kind {
    header: usize,
    length: usize,
    time: Option<usize>,
}

/// What is known of a kind, by the third byte of its records.
fn kind_of(byte: u8) -> Option<Kind> {
    let (header, length, time) = match byte {
        1 | 2 => (SYSTEM_HEADER, 4, Some(0x10)),
        3 | 4 => (0x18, 4, Some(0x10)),
        0x0a | 0x14 => (CLASSIC_HEADER, 0, Some(0x10)),
        0x0b | 0x15 => (0x48, 0, Some(0x10)),
        0x0d => (8, 0, None),
        0x10 | 0x11 => (0x10, 4, Some(8)),
        0x12 | 0x13 => (EVENT_HEADER, 0, Some(0x10)),
        _ => return None,
    };
    Some(Kind { header, length, time })
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let order = ByteOrder::Little;
        // What is left of an older use of the buffer, or nothing at all.
        if matches!(order.u32(rest, 0)?, 0 | u32::MAX) {
            return None;
        }
        self.damaged = true;
        let &[_, _, byte, marker] = rest.first_chunk()?;
        let kind = match marker {
            MARKER => kind_of(byte)?,
            WPP_MARKER => Kind { header: 8, length: 0, time: None },
            _ => return None,
        };
        let length = usize::from(order.u16(rest, kind.length)?);
        let record = rest.get(..length).filter(|_| length >= kind.header)?;
        let time = kind.time.and_then(|at| order.u64(record, at)).unwrap_or(0).cast_signed();
        let body = body(record, marker, byte, self.at);
        self.damaged = false;
        self.at = self.at.checked_add(length.checked_next_multiple_of(8)?)?;
        Some(Record { time, body: body.unwrap_or(Body::Other) })
    }
}

fn body(record: &[u8], marker: u8, kind: u8, at: usize) -> Option<Body<'_>> {
    let order = ByteOrder::Little;
    Some(match kind {
        _ if marker != MARKER => Body::Other,
        1 | 2 => Body::System {
            opcode: *record.get(6)?,
            group: *record.get(7)?,
            data: record.get(SYSTEM_HEADER..)?,
        },
        0x0a | 0x14 => Body::Classic {
            guid: Guid::at(record, 0x18)?,
            opcode: *record.get(4)?,
            data: record.get(CLASSIC_HEADER..)?,
        },
        0x12 | 0x13 => {
            let has_items = order.u16(record, 4)? & 1 != 0;
            let start = if has_items { behind_items(record)? } else { EVENT_HEADER };
            Body::Event(Event {
                provider: Guid::at(record, 0x18)?,
                id: order.u16(record, 0x28)?,
                version: *record.get(0x2a)?,
                keyword: order.u64(record, 0x30)?,
                thread: order.u32(record, 8)?,
                process: order.u32(record, 12)?,
                data: record.get(start..)?,
                offset: at.checked_add(start)?,
            })
        }
        _ => Body::Other,
    })
}

/// Where an event's data begins behind its extended items (related activity, stack, schema …).
fn behind_items(record: &[u8]) -> Option<usize> {
    let order = ByteOrder::Little;
    let mut at = EVENT_HEADER;
    for _ in 0..MOST_ITEMS {
        let length = usize::from(order.u16(record, at)?);
        let has_next = order.u16(record, at + 4)? & 1 != 0;
        if length < 8 {
            return None;
        }
        at = at.checked_add(length.checked_next_multiple_of(8)?)?;
        if !has_next {
            return Some(at);
        }
    }
    None
}

/// Letters of a text that are kept. The names of drivers and interfaces are shorter.
const LONGEST_TEXT: usize = 120;

/// The text that begins at `offset`: UTF-16 up to a zero; and where what follows it begins. Texts
/// become part of sentences, so they are one line without control characters.
pub(super) fn text(bytes: &[u8], offset: usize) -> Option<(String, usize)> {
    let (pairs, _) = bytes.get(offset..)?.as_chunks();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    let letters: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    let end = offset.checked_add(letters.len().checked_mul(2)?)?.checked_add(2)?;
    let text = String::from_utf16_lossy(letters.get(..LONGEST_TEXT).unwrap_or(&letters));
    let words: Vec<&str> = text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    Some((words.join(" "), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PKTMON: Guid =
        Guid::of(0x4d4f_80d9, 0xc8bd, 0x4d73, [0xbb, 0x5b, 0x19, 0xc9, 0x04, 0x02, 0xc5, 0xac]);

    /// An event with a header of zeros but for what is given.
    fn event(flags: u16, behind_header: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; EVENT_HEADER];
        bytes.extend(behind_header);
        let length = u16::try_from(bytes.len()).unwrap();
        bytes[..2].copy_from_slice(&length.to_le_bytes());
        bytes[2..4].copy_from_slice(&[0x13, MARKER]);
        bytes[4..6].copy_from_slice(&flags.to_le_bytes());
        bytes[0x10..0x18].copy_from_slice(&77_i64.to_le_bytes());
        bytes[0x18..0x28].copy_from_slice(&PKTMON.0);
        bytes[0x28] = 160;
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// Data of the events among the records.
    fn data(bytes: &[u8]) -> Vec<&[u8]> {
        Records::of(bytes)
            .filter_map(|record| match record.body {
                Body::Event(event) => Some(event.data),
                Body::System { .. } | Body::Classic { .. } | Body::Other => None,
            })
            .collect()
    }

    #[test]
    fn guids_are_written_as_windows_writes_them() {
        assert_eq!(PKTMON.to_string(), "4d4f80d9-c8bd-4d73-bb5b-19c90402c5ac");
        assert_eq!(PKTMON.0[..4], [0xd9, 0x80, 0x4f, 0x4d]);
    }

    #[test]
    fn events_follow_each_other_at_multiples_of_eight() {
        let bytes =
            [event(0, b"abc"), event(0, b"12345678"), vec![0; 16], event(0, b"old")].concat();
        assert_eq!(data(&bytes), [&b"abc"[..], b"12345678"]);
        let offsets: Vec<usize> = Records::of(&bytes)
            .filter_map(|record| match record.body {
                Body::Event(event) => Some(event.offset),
                Body::System { .. } | Body::Classic { .. } | Body::Other => None,
            })
            .collect();
        assert_eq!(offsets, [80, 88 + 80]);
        assert!(Records::of(&bytes).all(|record| record.time == 77));
    }

    #[test]
    fn extended_items_are_no_data() {
        // Two items, of 24 and of 16 bytes; the first says that another follows.
        let mut items = vec![24, 0, 1, 0, 1, 0, 16, 0];
        items.resize(24, 0xee);
        items.extend([16, 0, 0x0b, 0, 0, 0, 8, 0]);
        items.resize(40, 0xee);
        items.extend(b"data");
        assert_eq!(data(&event(1, &items)), [b"data"]);
        // Items without an end: the event is there, and not read.
        let endless = [8, 0, 1, 0, 1, 0, 0, 0].repeat(100);
        assert_eq!(Records::of(&event(1, &endless)).count(), 1);
        assert!(data(&event(1, &endless)).is_empty());
    }

    #[test]
    fn a_record_that_is_shorter_than_its_header_ends_the_buffer() {
        let mut bytes = [event(0, b"good"), event(0, b"bad")].concat();
        let second = event(0, b"good").len();
        bytes[second] = 0x4f;
        let mut records = Records::of(&bytes);
        assert_eq!(records.by_ref().count(), 1);
        assert_eq!(records.damage(), Some(second));
        let whole = event(0, b"good");
        let mut records = Records::of(&whole);
        assert_eq!(records.by_ref().count(), 1);
        assert_eq!(records.damage(), None);
    }

    #[test]
    fn texts_end_with_a_zero_or_with_the_bytes() {
        let bytes: Vec<u8> = "Ab\0c".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&bytes, 0), Some(("Ab".to_owned(), 6)));
        assert_eq!(text(&bytes, 6), Some(("c".to_owned(), 10)));
        assert_eq!(text(&bytes, 9), None);
        let hostile: Vec<u8> =
            " a\u{1b}[2J\n\tb  c ".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&hostile, 0), Some(("a [2J b c".to_owned(), hostile.len() + 2)));
    }

    proptest! {
        #[test]
        fn hostile_bytes_end(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            kind in prop::sample::select(vec![1_u8, 3, 0x0a, 0x0b, 0x0d, 0x10, 0x12, 0x13]),
        ) {
            if let Some(place) = bytes.get_mut(2..4) {
                place.copy_from_slice(&[kind, MARKER]);
            }
            let length = bytes.len();
            for record in Records::of(&bytes) {
                if let Body::Event(event) = record.body {
                    prop_assert!(event.offset + event.data.len() <= length);
                }
            }
        }
    }
}
