//! Reads pcap captures, in all the layouts that writers of it have come up with.
//!
//! Frames come in the order of the file and are marked where they lie in the piece that was
//! read. Files that were joined end to end (`cat a.pcap b.pcap`) are read as one.

use crate::capture::MOST_FRAME_BYTES;
use crate::capture::pcap::header::{Header, Record};
use crate::capture::pieces::Pieces;
use crate::capture::{CaptureReader, CaptureSummary, Error, FrameBatch, Opened, Severity};
use crate::net::{Clock, FrameNumber, Timestamp};

mod header;

/// Whether a file that begins like this is a pcap file.
pub(super) fn begins(head: &[u8]) -> bool {
    header::begins(head)
}

/// Begins to read a pcap file.
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let header = header::read(&opened.head, opened.is_whole())?;
    let mut summary = CaptureSummary::of(&opened.shown_as);
    summary.format = Some(header.name.to_owned());
    summary.clock = clock(&header);
    let unread = header.bytes;
    Ok(Box::new(PcapReader {
        pieces: Pieces::new(opened),
        summary,
        header,
        unread,
        ended: false,
        joined: false,
    }))
}

fn clock(header: &Header) -> Clock {
    if header.layout.nanoseconds { Clock::NANOSECONDS } else { Clock::MICROSECONDS }
}

struct PcapReader {
    pieces: Pieces,
    summary: CaptureSummary,
    header: Header,
    /// Bytes of the file's header that are still at the beginning of the next piece.
    unread: usize,
    ended: bool,
    /// Whether a second header was met.
    joined: bool,
}

/// What stands at a place in the file.
enum Next {
    Record(Record),
    /// The header of another file.
    Header,
    /// A record of which not all is there.
    Part,
    /// A record that claims more than a frame can have.
    Absurd(u32),
}

impl CaptureReader for PcapReader {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        if self.ended {
            return None;
        }
        spare.restart_in_place(FrameNumber(self.summary.frames.saturating_add(1)));
        let mut filled = self.pieces.fill(&mut spare.bytes);
        let mut at = std::mem::take(&mut self.unread);
        loop {
            let rest = spare.bytes.get(at..filled).unwrap_or_default();
            match self.next(rest) {
                Next::Record(record) => {
                    let time = self.time(&record);
                    let (start, link_type) = (at + record.frame_start, self.header.link_type);
                    spare.mark(start, record.captured, record.original, time, link_type);
                    self.summary.count_frame(time, link_type);
                    at += record.bytes;
                }
                Next::Header => match header::read(rest, self.pieces.ended()) {
                    Ok(header) => {
                        self.joined_at(self.pieces.offset(at));
                        at += header.bytes;
                        self.summary.clock.digits =
                            self.summary.clock.digits.max(clock(&header).digits);
                        self.header = header;
                    }
                    Err(error) => {
                        self.stop(error.to_string(), at);
                        break;
                    }
                },
                Next::Absurd(bytes) => {
                    self.stop(
                        format!(
                            "the record claims {bytes} bytes, more than a frame can have: the \
                             capture is damaged from here on, and only what stands before is read"
                        ),
                        at,
                    );
                    break;
                }
                Next::Part if spare.is_empty() => {
                    if self.pieces.ended() {
                        self.end(at, filled);
                        break;
                    }
                    filled = self.pieces.extend(&mut spare.bytes, filled);
                }
                Next::Part => {
                    self.pieces.carry(at, rest);
                    break;
                }
            }
        }
        (!spare.is_empty()).then_some(spare)
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.summary;
        (summary.bytes, summary.sha256) = self.pieces.finish();
        summary
    }
}

impl PcapReader {
    #[inline]
    fn next(&self, rest: &[u8]) -> Next {
        let Some(record) = self.header.layout.record(rest) else {
            return match self.header.layout.promised(rest) {
                Some(record) if record.captured > MOST_FRAME_BYTES => Next::Absurd(record.captured),
                Some(_) | None => Next::Part,
            };
        };
        // A header has zeros where a record has its lengths, so an empty frame is looked at twice.
        if record.captured == 0 && record.original == 0 && header::begins(rest) {
            if rest.len() < header::ENOUGH_BYTES && !self.pieces.ended() {
                return Next::Part;
            }
            if header::is_second_header(rest) {
                return Next::Header;
            }
        }
        Next::Record(record)
    }

    /// A fraction of a second or more is carried over: some writers let it overflow.
    #[inline]
    fn time(&self, record: &Record) -> Option<Timestamp> {
        let unit = if self.header.layout.nanoseconds { 1 } else { 1000 };
        let seconds = u64::from(record.seconds) * 1_000_000_000;
        Timestamp::from_nanoseconds(i128::from(seconds + u64::from(record.fraction) * unit))
    }

    /// Notes that the file holds more than one.
    fn joined_at(&mut self, offset: u64) {
        if !self.joined {
            self.joined = true;
            self.summary.problem(
                Severity::Info,
                "another pcap header follows here: captures were joined end to end; all are read, \
                 and numbered on from one to the next",
                Some(offset),
                Some(self.next_frame()),
            );
        }
    }

    /// Ends at damage.
    fn stop(&mut self, message: String, at: usize) {
        self.ended = true;
        let (offset, frame) = (self.pieces.offset(at), self.next_frame());
        self.summary.problem(Severity::Error, message, Some(offset), Some(frame));
    }

    /// Ends where the file does, in good order or in the middle of a record.
    fn end(&mut self, at: usize, filled: usize) {
        self.ended = true;
        let (offset, frame) = (self.pieces.offset(at), self.next_frame());
        if let Some(failure) = self.pieces.failure() {
            let message = format!("reading stopped before the end of the file: {failure}");
            let offset = self.pieces.offset(filled);
            self.summary.problem(Severity::Error, message, Some(offset), Some(frame));
        } else if at < filled {
            self.summary.cut_off(offset, frame);
        }
    }

    fn next_frame(&self) -> FrameNumber {
        FrameNumber(self.summary.frames.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use crate::capture::tests::{problems, read};

    fn header(magic: u32, link: u32) -> Vec<u8> {
        [magic, 0x0004_0002, 0, 0, 65535, link].map(u32::to_le_bytes).concat()
    }

    fn record(seconds: u32, fraction: u32, bytes: &[u8], original: u32) -> Vec<u8> {
        let captured = u32::try_from(bytes.len()).unwrap();
        let mut record = [seconds, fraction, captured, original].map(u32::to_le_bytes).concat();
        record.extend(bytes);
        record
    }

    /// The same numbers with their most significant byte first.
    fn swapped(words: &[u8]) -> Vec<u8> {
        words.chunks(4).flat_map(|word| word.iter().rev().copied()).collect()
    }

    const PLAIN: u32 = 0xa1b2_c3d4;
    const NANOSECONDS: u32 = 0xa1b2_3c4d;

    #[test]
    fn frames_come_with_number_time_lengths_and_link_type() {
        let mut file = header(PLAIN, 1);
        file.extend(record(1_700_000_000, 150, b"abcd", 60));
        file.extend(record(0xffff_ffff, 999_999, b"", 0));
        let (frames, summary) = read(&file);
        assert_eq!(
            frames,
            [
                (1, Some(1_700_000_000_000_150_000), LinkType::ETHERNET, b"abcd".to_vec(), 60),
                (2, Some(4_294_967_295_999_999_000), LinkType::ETHERNET, vec![], 0),
            ]
        );
        assert_eq!(summary.format.as_deref(), Some("pcap"));
        assert_eq!(summary.clock, Clock::MICROSECONDS);
        assert_eq!(summary.link_types, [LinkType::ETHERNET]);
        assert_eq!(summary.problems, []);
    }

    #[test]
    fn a_header_alone_is_a_capture_without_frames() {
        let (frames, summary) = read(&header(PLAIN, 1));
        assert_eq!((frames.len(), summary.problems.len()), (0, 0));
    }

    #[test]
    fn nanoseconds_and_the_other_byte_order() {
        let mut file = header(NANOSECONDS, 101);
        file.extend(record(1, 5, b"", 0));
        let (frames, summary) = read(&file);
        assert_eq!(frames, [(1, Some(1_000_000_005), LinkType::RAW, vec![], 0)]);
        assert_eq!(summary.clock, Clock::NANOSECONDS);

        let mut file = [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4].to_vec();
        file.extend(swapped(&header(NANOSECONDS, 101)[8..]));
        file.extend(swapped(&record(1, 5, b"", 0)));
        let (others, _) = read(&file);
        assert_eq!(others, frames);
    }

    #[test]
    fn a_fraction_of_more_than_a_second_is_carried() {
        let mut file = header(PLAIN, 1);
        file.extend(record(1000, 2_500_000, b"", 0));
        assert_eq!(read(&file).0[0].1, Some(1_002_500_000_000));
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_frames_before_and_says_so_mildly() {
        let mut file = header(PLAIN, 1);
        let mut ends = vec![file.len()];
        for frame in [b"abcd".as_slice(), b"", b"0123456789"] {
            file.extend(record(7, 7, frame, 60));
            ends.push(file.len());
        }
        for cut in 24..=file.len() {
            let (frames, summary) = read(&file[..cut]);
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(frames.len(), whole, "cut at {cut}");
            if ends.contains(&cut) {
                assert_eq!(summary.problems, []);
            } else {
                let message = format!(
                    "the capture ends in the middle of frame {}: it was probably stopped while \
                     writing; everything before is read",
                    whole + 1
                );
                let expected = (Severity::Warning, &*message, ends[whole] as u64, whole as u64 + 1);
                assert_eq!(problems(&summary), [expected], "cut at {cut}");
            }
        }
    }

    #[test]
    fn an_absurd_length_ends_the_capture_and_is_not_believed() {
        let mut file = header(PLAIN, 1);
        file.extend(record(1, 0, b"abcd", 4));
        file.extend([1_u32, 0, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat());
        file.extend([0; 100]);
        let (frames, summary) = read(&file);
        assert_eq!(frames.len(), 1);
        let [(Severity::Error, message, 44, 2)] = problems(&summary)[..] else {
            panic!("{:?}", summary.problems)
        };
        assert!(message.contains("4294967295 bytes"), "{message}");
    }

    #[test]
    fn a_frame_larger_than_a_piece_is_read_whole() {
        let large = vec![7; 3 << 20];
        let mut file = header(PLAIN, 1);
        file.extend(record(1, 0, &large, 3 << 20));
        file.extend(record(2, 0, b"abcd", 4));
        let (frames, summary) = crate::capture::tests::read_in(&file, 1 << 20);
        assert_eq!(frames.iter().map(|frame| frame.3.len()).collect::<Vec<_>>(), [3 << 20, 4]);
        assert_eq!(summary.problems, []);
    }

    #[test]
    fn files_joined_end_to_end_are_read_as_one() {
        let mut file = header(PLAIN, 1);
        file.extend(record(1, 1, b"abcd", 4));
        let second = file.len() as u64;
        file.extend(header(NANOSECONDS, 101));
        file.extend(record(2, 2, b"efgh", 4));
        let (frames, summary) = read(&file);
        assert_eq!(
            frames,
            [
                (1, Some(1_000_001_000), LinkType::ETHERNET, b"abcd".to_vec(), 4),
                (2, Some(2_000_000_002), LinkType::RAW, b"efgh".to_vec(), 4),
            ]
        );
        assert_eq!(summary.clock, Clock::NANOSECONDS);
        let [(Severity::Info, _, offset, 2)] = problems(&summary)[..] else {
            panic!("{:?}", summary.problems)
        };
        assert_eq!(offset, second);
    }

    #[test]
    fn an_empty_frame_is_no_second_header() {
        let mut file = header(PLAIN, 1);
        file.extend(record(PLAIN, 5, b"", 0));
        file.extend(record(1, 5, b"abcd", 4));
        assert_eq!(read(&file).0.len(), 2);
    }
}
