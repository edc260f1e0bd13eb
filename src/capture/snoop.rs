//! Reads snoop captures, as Solaris' snoop writes them (RFC 1761), and those of Shomiti's Surveyor.
//!
//! Frames come in the order of the file. Both programs use the same records, but other numbers
//! for what frames begin with; Surveyor is known by what it keeps behind each frame.

use crate::capture::MOST_FRAME_BYTES;
use crate::capture::byte_order::ByteOrder;
use crate::capture::pieces::Pieces;
use crate::capture::{
    CaptureReader, CaptureSummary, Error, FrameBatch, LinkType, Opened, Severity,
};
use crate::net::{Clock, FrameNumber, Timestamp};

/// Bytes of the file's header: the magic, the version, the data link type.
const HEADER_BYTES: usize = 16;
/// Bytes of a record's header.
const RECORD_BYTES: u32 = 24;
/// Bytes that Surveyor keeps behind a frame. snoop itself pads with at most a few.
const SURVEYOR_BYTES: u32 = 16;
/// Bytes behind a frame that we believe in.
const MOST_PADDING: u32 = 64 << 10;

/// Whether a file that begins like this is a snoop file.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(b"snoop\0\0\0")
}

/// Begins to read a snoop file.
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let head = opened.head.as_slice();
    let (Some(version), Some(data_link)) = (number(head, 8), number(head, 12)) else {
        return Err(Error::CutOff { format: "snoop", bytes: head.len() });
    };
    // Surveyor writes 3 to 5 for captures that its own hardware took.
    if !(2..=5).contains(&version) {
        return Err(Error::Version {
            format: "snoop",
            major: u16::try_from(version).unwrap_or(u16::MAX),
            minor: 0,
            known: "2 to 5",
        });
    }
    let surveyor = head
        .get(HEADER_BYTES..)
        .and_then(Record::read)
        .is_some_and(|first| first.padding() >= SURVEYOR_BYTES);
    let mut summary = CaptureSummary::of(&opened.shown_as);
    summary.format = Some(if surveyor { "snoop (Surveyor)" } else { "snoop" }.to_owned());
    summary.clock = Clock::MICROSECONDS;
    Ok(Box::new(SnoopReader {
        pieces: Pieces::new(opened),
        summary,
        link_type: if surveyor { surveyor_link_type(data_link) } else { link_type(data_link) },
        unread: HEADER_BYTES,
        drops: 0,
        ended: false,
    }))
}

/// Data link types by RFC 1761, its registry at IANA, and Solaris' `sys/dlpi.h`.
fn link_type(data_link: u32) -> LinkType {
    match data_link {
        // IEEE 802.3 and Ethernet: they differ only in what the type field may hold.
        0 | 4 => LinkType::ETHERNET,
        2 => LinkType::pcap(6),
        8 => LinkType::pcap(10),
        // "Other" and loopback, which UNICOS uses.
        9 | 14 => LinkType::NULL,
        // Fibre Channel, ATM, InfiniBand.
        16 => LinkType::pcap(122),
        18 => LinkType::pcap(123),
        26 => LinkType::pcap(242),
        // Solaris' own: the ends of IP tunnels, and what its zones say to each other.
        0x8000_0001 => LinkType::IPV4,
        0x8000_0002 => LinkType::IPV6,
        0x8000_0005 => LinkType::pcap(226),
        other => LinkType::snoop(other),
    }
}

/// What Surveyor means by the numbers, which it took for its own from 10 on.
fn surveyor_link_type(data_link: u32) -> LinkType {
    match data_link {
        // Ethernet of 100 Mbit/s, 1 and 10 Gbit/s.
        0 | 4 | 10 | 12 | 19 => LinkType::ETHERNET,
        // Token Ring of 4 and 16 Mbit/s.
        2 | 11 | 13 | 14 => LinkType::pcap(6),
        8 => LinkType::pcap(10),
        other => LinkType::snoop(other),
    }
}

/// The number at `offset`: every number of the format has its most significant byte first.
fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    ByteOrder::Big.u32(bytes, offset)
}

struct SnoopReader {
    pieces: Pieces,
    summary: CaptureSummary,
    link_type: LinkType,
    /// Bytes of the file's header that are still at the beginning of the next piece.
    unread: usize,
    /// Packets that the capturing machine lost before the last frame.
    drops: u32,
    ended: bool,
}

/// The header of a record.
struct Record {
    original: u32,
    captured: u32,
    /// Bytes from this header to the next.
    bytes: u32,
    drops: u32,
    seconds: u32,
    microseconds: u32,
}

impl Record {
    fn read(bytes: &[u8]) -> Option<Record> {
        Some(Record {
            original: number(bytes, 0)?,
            captured: number(bytes, 4)?,
            bytes: number(bytes, 8)?,
            drops: number(bytes, 12)?,
            seconds: number(bytes, 16)?,
            microseconds: number(bytes, 20)?,
        })
    }

    /// Bytes between the frame and the next record.
    fn padding(&self) -> u32 {
        self.bytes.saturating_sub(self.captured).saturating_sub(RECORD_BYTES)
    }

    /// What is wrong with its lengths, if anything.
    fn fault(&self) -> Option<String> {
        let Record { captured, bytes, .. } = self;
        let least = u64::from(RECORD_BYTES) + u64::from(*captured);
        if *captured > MOST_FRAME_BYTES {
            Some(format!("the record claims {captured} bytes, more than a frame can have"))
        } else if u64::from(*bytes) < least || self.padding() > MOST_PADDING {
            Some(format!("a record of {bytes} bytes claims to hold a frame of {captured}"))
        } else {
            None
        }
    }

    fn time(&self) -> Option<Timestamp> {
        let seconds = i128::from(self.seconds) * 1_000_000_000;
        Timestamp::from_nanoseconds(seconds + i128::from(self.microseconds) * 1_000)
    }
}

impl CaptureReader for SnoopReader {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        if self.ended {
            return None;
        }
        spare.restart_in_place(self.next_frame());
        let mut filled = self.pieces.fill(&mut spare.bytes);
        let mut at = std::mem::take(&mut self.unread);
        loop {
            let rest = spare.bytes.get(at..filled).unwrap_or_default();
            let record = Record::read(rest);
            if let Some(fault) = record.as_ref().and_then(Record::fault) {
                self.stop(&fault, at);
                break;
            }
            let length = |record: &Record| usize::try_from(record.bytes).unwrap_or(usize::MAX);
            match record {
                Some(record) if length(&record) <= rest.len() => {
                    let (time, link_type) = (record.time(), self.link_type);
                    let start = at + RECORD_BYTES as usize;
                    spare.mark(start, record.captured, record.original, time, link_type);
                    self.summary.count_frame(time, link_type);
                    self.drops = self.drops.max(record.drops);
                    at += length(&record);
                }
                Some(_) | None if spare.is_empty() => {
                    if self.pieces.ended() {
                        self.end(at, filled);
                        break;
                    }
                    filled = self.pieces.extend(&mut spare.bytes, filled);
                }
                Some(_) | None => {
                    self.pieces.carry(at, rest);
                    break;
                }
            }
        }
        (!spare.is_empty()).then_some(spare)
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.summary;
        if self.drops > 0 {
            let message = format!(
                "the capturing machine lost {} packets that it could not keep up with: what is \
                 missing here may have been on the wire",
                self.drops
            );
            summary.problem(Severity::Info, message, None, None);
        }
        (summary.bytes, summary.sha256) = self.pieces.finish();
        summary
    }
}

impl SnoopReader {
    /// Ends at damage.
    fn stop(&mut self, fault: &str, at: usize) {
        self.ended = true;
        let message = format!(
            "{fault}: the capture is damaged from here on, and only what stands before is read"
        );
        let (offset, frame) = (self.pieces.offset(at), self.next_frame());
        self.summary.problem(Severity::Error, message, Some(offset), Some(frame));
    }

    /// Ends where the file does, in good order or in the middle of a record.
    fn end(&mut self, at: usize, filled: usize) {
        self.ended = true;
        let frame = self.next_frame();
        if let Some(failure) = self.pieces.failure() {
            let message = format!("reading stopped before the end of the file: {failure}");
            let offset = self.pieces.offset(filled);
            self.summary.problem(Severity::Error, message, Some(offset), Some(frame));
        } else if at < filled {
            self.summary.cut_off(self.pieces.offset(at), frame);
        }
    }

    fn next_frame(&self) -> FrameNumber {
        FrameNumber(self.summary.frames.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::open_source;
    use crate::capture::tests::{problems, read};
    use crate::capture::{Reading, Severity};
    use std::io::Cursor;

    fn header(version: u32, data_link: u32) -> Vec<u8> {
        [&b"snoop\0\0\0"[..], &version.to_be_bytes(), &data_link.to_be_bytes()].concat()
    }

    /// A record at a second, with `padding` bytes behind the frame.
    fn record(second: u32, frame: &[u8], padding: u32, drops: u32) -> Vec<u8> {
        let captured = u32::try_from(frame.len()).unwrap();
        let bytes = 24 + captured + padding;
        let header = [60, captured, bytes, drops, second, 250].map(u32::to_be_bytes).concat();
        [header, frame.to_vec(), vec![0; padding as usize]].concat()
    }

    #[test]
    fn frames_come_with_number_time_lengths_and_link_type() {
        // RFC 1761: frames are padded to a multiple of four bytes.
        let file = [header(2, 4), record(1, b"abcd", 0, 0), record(u32::MAX, b"x", 3, 0)].concat();
        let (frames, summary) = read(&file);
        assert_eq!(
            frames,
            [
                (1, Some(1_000_250_000), LinkType::ETHERNET, b"abcd".to_vec(), 60),
                (2, Some(4_294_967_295_000_250_000), LinkType::ETHERNET, b"x".to_vec(), 60),
            ]
        );
        assert_eq!(summary.format.as_deref(), Some("snoop"));
        assert_eq!((summary.clock, summary.problems.len()), (Clock::MICROSECONDS, 0));
    }

    #[test]
    fn a_header_alone_is_a_capture_without_frames() {
        let (frames, summary) = read(&header(2, 4));
        assert_eq!((frames.len(), summary.problems.len()), (0, 0));
    }

    #[test]
    fn data_link_types_are_those_of_the_program_that_wrote_them() {
        let of = |data_link, padding| {
            let (frames, summary) =
                read(&[header(2, data_link), record(1, b"abcd", padding, 0)].concat());
            (frames[0].2, summary.format.unwrap())
        };
        for (data_link, expected) in [
            (0, LinkType::ETHERNET),
            (2, LinkType::pcap(6)),
            (8, LinkType::pcap(10)),
            (10, LinkType::snoop(10)),
            (0x8000_0001, LinkType::IPV4),
        ] {
            assert_eq!(of(data_link, 4), (expected, "snoop".to_owned()), "{data_link}");
        }
        for (data_link, expected) in
            [(10, LinkType::ETHERNET), (11, LinkType::pcap(6)), (18, LinkType::snoop(18))]
        {
            assert_eq!(of(data_link, 16), (expected, "snoop (Surveyor)".to_owned()), "{data_link}");
        }
    }

    #[test]
    fn lost_packets_are_told() {
        let records = [record(1, b"abcd", 0, 0), record(2, b"abcd", 0, 3), record(2, b"", 0, 7)];
        let (_, summary) = read(&[header(2, 4), records.concat()].concat());
        let [(Severity::Info, message, 0, 0)] = problems(&summary)[..] else {
            panic!("{:?}", summary.problems)
        };
        assert!(message.contains("lost 7 packets"), "{message}");
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_frames_before_and_says_so_mildly() {
        let file = [header(2, 4), record(1, b"abcd", 0, 0), record(2, b"efg", 1, 0)].concat();
        let ends = [16, 44, 72];
        for cut in 16..=file.len() {
            let (frames, summary) = read(&file[..cut]);
            assert_eq!(frames.len(), ends.iter().filter(|end| **end <= cut).count() - 1, "{cut}");
            let severities: Vec<Severity> =
                summary.problems.iter().map(|problem| problem.severity).collect();
            let expected = if ends.contains(&cut) { vec![] } else { vec![Severity::Warning] };
            assert_eq!(severities, expected, "{cut}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_end_the_capture_and_are_not_believed() {
        let good = record(1, b"abcd", 0, 0);
        for (captured, bytes) in [(u32::MAX, u32::MAX), (4, 27), (4, u32::MAX), (0, 0)] {
            let bad = [60, captured, bytes, 0, 1, 1].map(u32::to_be_bytes).concat();
            let (frames, summary) = read(&[header(2, 4), good.clone(), bad, vec![0; 99]].concat());
            assert_eq!(frames.len(), 1);
            let [(Severity::Error, message, 44, 2)] = problems(&summary)[..] else {
                panic!("{:?}", summary.problems)
            };
            assert!(message.contains("damaged from here on"), "{message}");
        }
    }

    #[test]
    fn what_is_no_known_version_is_refused_with_the_version() {
        let error = |bytes: Vec<u8>| {
            let source = Box::new(Cursor::new(bytes));
            open_source(source, "trial", Reading::default()).err().unwrap()
        };
        assert!(matches!(error(header(1, 4)), Error::Version { major: 1, .. }));
        assert!(matches!(error(b"snoop\0\0\0\0\0\0\x02".to_vec()), Error::CutOff { .. }));
    }
}
