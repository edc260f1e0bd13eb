//! What is known of a capture besides its frames.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::capture::batch::LinkType;
use crate::net::{Clock, FrameNumber, KnownName, Timestamp};
use crate::words::words;

words! {
    /// How much a problem takes away from the result.
    Severity {
        /// The capture, or the rest of it, was not read.
        Error = "error",
        /// Something is missing or doubtful; what was read stands.
        Warning = "warning",
        /// Good to know.
        Info = "info",
    }
}

/// Something wrong with a capture, said for the person who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is. [`Severity::Error`] and [`Severity::Warning`] make exit status 2.
    pub severity: Severity,
    /// What, why, and what to do; lower case, no full stop, without the path.
    pub message: String,
    /// Where in the file, in bytes from its beginning.
    pub offset: Option<u64>,
    /// At which frame.
    pub frame: Option<FrameNumber>,
}

/// A remark that somebody, or the capturing program, left in the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The frame it belongs to; `None` for one about the capture.
    pub frame: Option<FrameNumber>,
    /// The text as it was stored: hostile, as everything from a capture.
    pub text: String,
}

/// A line of a text that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLine {
    /// Its number, from 1.
    pub line: u32,
    /// What of it could not be read, cut where it is long: hostile, as everything from a capture.
    pub text: String,
}

/// The machine that captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturingHost {
    /// Its addresses, as far as known, sorted.
    pub addresses: Vec<IpAddr>,
    /// What tells so, as a sentence.
    pub evidence: String,
}

/// What is known of a capture besides its frames. Complete only when the reader has ended.
#[derive(Clone, Debug)]
pub struct CaptureSummary {
    /// Path as the user gave it, or found below the folder that he gave.
    pub path: String,
    /// SHA-256 of the whole file, in hexadecimal; `None` where it could not be read to its end.
    pub sha256: Option<String>,
    /// Format, as "pcap" or "Network Monitor 2.3"; `None` where it was not recognised.
    pub format: Option<String>,
    /// What it is compressed with, outermost first; `None` for nothing.
    pub compression: Option<String>,
    /// Link types met, each once, in order of their first frame.
    pub link_types: Vec<LinkType>,
    /// The same, to be looked up: a pcapng file may have one for each of its interfaces.
    known_link_types: BTreeSet<LinkType>,
    /// Frames read.
    pub frames: u64,
    /// Size of the file.
    pub bytes: u64,
    /// How the capture tells time.
    pub clock: Clock,
    /// Earliest time of a frame.
    pub first_seen: Option<Timestamp>,
    /// Latest time of a frame.
    pub last_seen: Option<Timestamp>,
    /// Names for addresses, in order: those that the capture stores (pcapng name resolution
    /// blocks), then those that its packets tell.
    pub names: Vec<KnownName>,
    /// Addresses of the interface that captured, where the capture stores them.
    pub own_addresses: Vec<IpAddr>,
    /// Addresses and the network cards that alone have them, as the packets tell, by address.
    pub links: Vec<(IpAddr, [u8; 6])>,
    /// The machine that captured, as far as the packets tell.
    pub taken_on: Option<CapturingHost>,
    /// Purposes and the names of the hosts that serve them, as its packets tell (DNS SRV records).
    pub serves: Vec<(String, String)>,
    /// Comments in order, the first [`CaptureSummary::MOST_COMMENTS`] of them.
    pub comments: Vec<Comment>,
    /// Comments beyond those.
    pub comments_left_out: u64,
    /// Texts that look as if they told of a frame and could not be read, the first
    /// [`CaptureSummary::MOST_LINES`] of them.
    pub not_understood: Vec<TextLine>,
    /// How many there are.
    pub lines_not_understood: u64,
    /// What went wrong, in order.
    pub problems: Vec<Problem>,
    /// The words of the notes that frames have, by [`FrameNote::index`](super::FrameNote::index).
    pub notes: Vec<String>,
}

impl CaptureSummary {
    /// Comments kept of one capture. Converters comment every frame.
    pub const MOST_COMMENTS: usize = 32;

    /// The summary of a capture of which nothing is read yet.
    pub fn of(path: &str) -> CaptureSummary {
        CaptureSummary {
            path: path.to_owned(),
            sha256: None,
            format: None,
            compression: None,
            link_types: Vec::new(),
            known_link_types: BTreeSet::new(),
            frames: 0,
            bytes: 0,
            clock: Clock::MICROSECONDS,
            first_seen: None,
            last_seen: None,
            names: Vec::new(),
            own_addresses: Vec::new(),
            links: Vec::new(),
            taken_on: None,
            serves: Vec::new(),
            comments: Vec::new(),
            comments_left_out: 0,
            not_understood: Vec::new(),
            lines_not_understood: 0,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Lines kept that could not be read.
    pub const MOST_LINES: usize = 100;

    /// Keeps a text that could not be read, or counts it where there are too many.
    pub(super) fn not_understood(&mut self, line: u32, text: &str) {
        const MOST_LETTERS: usize = 300;
        self.lines_not_understood += 1;
        if self.not_understood.len() < CaptureSummary::MOST_LINES {
            let text = text.trim().chars().take(MOST_LETTERS).collect();
            self.not_understood.push(TextLine { line, text });
        }
    }

    /// Counts a frame.
    pub(super) fn count_frame(&mut self, time: Option<Timestamp>, link_type: LinkType) {
        self.frames += 1;
        if self.link_types.last() != Some(&link_type) && self.known_link_types.insert(link_type) {
            self.link_types.push(link_type);
        }
        if let Some(time) = time {
            self.first_seen = Some(self.first_seen.map_or(time, |first| first.min(time)));
            self.last_seen = Some(self.last_seen.map_or(time, |last| last.max(time)));
        }
    }

    /// Adds what counts of a capture that is joined to those before it.
    pub(super) fn add(&mut self, part: &CaptureSummary) {
        for link_type in &part.link_types {
            if self.known_link_types.insert(*link_type) {
                self.link_types.push(*link_type);
            }
        }
        self.clock = match self.frames {
            0 => part.clock,
            _ => Clock {
                digits: self.clock.digits.max(part.clock.digits),
                zone_known: self.clock.zone_known && part.clock.zone_known,
            },
        };
        self.frames = self.frames.saturating_add(part.frames);
        self.bytes = self.bytes.saturating_add(part.bytes);
        self.first_seen = self.first_seen.into_iter().chain(part.first_seen).min();
        self.last_seen = self.last_seen.into_iter().chain(part.last_seen).max();
    }

    /// Keeps a comment, or counts it where there are too many. Empty ones are none.
    pub(super) fn comment(&mut self, frame: Option<FrameNumber>, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if self.comments.len() < CaptureSummary::MOST_COMMENTS {
            self.comments.push(Comment { frame, text: text.to_owned() });
        } else {
            self.comments_left_out += 1;
        }
    }

    /// Notes that the file ends in the middle of a frame, as it does when the capturing program
    /// was killed, or the disk was full.
    pub(super) fn cut_off(&mut self, offset: u64, frame: FrameNumber) {
        self.problem(
            Severity::Warning,
            format!(
                "the capture ends in the middle of frame {frame}: it was probably stopped while \
                 writing; everything before is read"
            ),
            Some(offset),
            Some(frame),
        );
    }

    /// Notes a problem.
    pub fn problem(
        &mut self,
        severity: Severity,
        message: impl Into<String>,
        offset: Option<u64>,
        frame: Option<FrameNumber>,
    ) {
        self.problems.push(Problem { severity, message: message.into(), offset, frame });
    }
}
