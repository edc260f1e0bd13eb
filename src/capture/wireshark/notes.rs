//! What is to be said of a text besides its frames: what was left out, what was inferred.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::capture::{CaptureSummary, LinkType, Severity};

/// Something in a text that is worth a word. Each kind is told once, with its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// A line of a dump whose offset does not follow the line before.
    Gap,
    /// An element of JSON or XML that cannot be read.
    Element,
    /// A row whose ports were found in the rows around it.
    PortsOfNeighbours,
    /// A row of which only the port of its protocol is known.
    PortOfProtocol,
    /// An ICMP error whose packet was found in the rows before it.
    QuoteOfNeighbours,
    /// A TCP row without flags.
    NoFlags,
    /// A link word of K12 that stands for something else than Ethernet.
    LinkWord,
}

/// Letters of a line that are kept.
const MOST_LETTERS: usize = 300;

/// Reasons for drops that are told. Windows has some hundred.
const MOST_REASONS: usize = 32;

/// What is to be said of a text, in the making.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Count, and the first line.
    counted: BTreeMap<Note, (u64, u64)>,
    /// Link types that were found by looking at bytes.
    guessed: BTreeMap<LinkType, u64>,
    /// Frames that look like nothing.
    strange: u64,
    /// Lines that look like rows and cannot be read: the first of them, and their count.
    not_understood: (Vec<(u64, String)>, u64),
    /// Whether the text ends in the middle of a frame.
    cut_off: bool,
    /// Packets that pktmon saw dropped, by what it says of the reason: count and first line.
    dropped: BTreeMap<String, (u64, u64)>,
}

impl Notes {
    /// Counts something at a line.
    pub(super) fn count(&mut self, note: Note, line: u64) {
        self.counted.entry(note).or_insert((0, line)).0 += 1;
    }

    /// Keeps a line that looks like a row and cannot be read.
    pub(super) fn not_understood(&mut self, line: u64, text: &str) {
        let (kept, count) = &mut self.not_understood;
        *count += 1;
        if kept.len() < CaptureSummary::MOST_LINES {
            kept.push((line, text.chars().take(MOST_LETTERS).collect()));
        }
    }

    /// Counts a frame whose link type was found by looking at its bytes.
    pub(super) fn guessed(&mut self, link_type: Option<LinkType>) {
        match link_type {
            Some(link_type) => *self.guessed.entry(link_type).or_default() += 1,
            None => self.strange += 1,
        }
    }

    /// Counts a packet that the capturing machine dropped.
    pub(super) fn dropped(&mut self, reason: &str, line: u64) {
        if self.dropped.len() < MOST_REASONS || self.dropped.contains_key(reason) {
            self.dropped.entry(reason.to_owned()).or_insert((0, line)).0 += 1;
        }
    }

    /// Notes that the text ends in the middle of a frame.
    pub(super) fn cut_off(&mut self) {
        self.cut_off = true;
    }

    /// Tells it all.
    pub(super) fn tell(self, lines_cut: u64, summary: &mut CaptureSummary) {
        for (note, (count, line)) in self.counted {
            let lines = if count == 1 { "line" } else { "lines" };
            let (severity, message) = match note {
                Note::Gap => (
                    Severity::Warning,
                    format!(
                        "{count} {lines} of hex dumps do not follow the line before (the first \
                         is line {line}): lines are missing or mixed up, and the frames end there"
                    ),
                ),
                Note::Element => (
                    Severity::Warning,
                    format!("{count} elements are damaged and left out (the first in line {line})"),
                ),
                Note::PortsOfNeighbours => (
                    Severity::Info,
                    format!(
                        "{count} rows of applications tell no ports (the first is line {line}): \
                         they are counted to the connection that their hosts have open"
                    ),
                ),
                Note::PortOfProtocol => (
                    Severity::Info,
                    format!(
                        "{count} rows of applications tell no ports (the first is line {line}): \
                         the usual port of the protocol is taken, and the other left open as 0"
                    ),
                ),
                Note::QuoteOfNeighbours => (
                    Severity::Info,
                    format!(
                        "{count} ICMP errors do not tell what they are about (the first is line \
                         {line}): they are counted to the last unanswered packet of their receiver"
                    ),
                ),
                Note::NoFlags => (
                    Severity::Warning,
                    format!(
                        "{count} TCP rows tell no flags and are left out (the first is line \
                         {line}): export again with tcp.flags, or with the column Info"
                    ),
                ),
                Note::LinkWord => (
                    Severity::Info,
                    format!(
                        "{count} frames are not Ethernet (the first is in line {line}): they are \
                         counted and not decoded"
                    ),
                ),
            };
            summary.problem(severity, message, None, None);
        }
        let (kept, count) = self.not_understood;
        if let Some((line, _)) = kept.first() {
            let lines = if count == 1 { "line looks" } else { "lines look" };
            let message = format!(
                "{count} {lines} like rows and cannot be read (the first is line {line}): \
                 --verbose shows them"
            );
            summary.problem(Severity::Warning, message, None, None);
        }
        for (line, text) in kept {
            summary.not_understood(u32::try_from(line).unwrap_or(u32::MAX), &text);
        }
        for (reason, (count, line)) in self.dropped {
            let message = format!("{count} packets {reason} (the first is line {line})");
            summary.problem(Severity::Info, message, None, None);
        }
        if !self.guessed.is_empty() || self.strange > 0 {
            let names: Vec<_> = self.guessed.keys().map(|link_type| link_type.name()).collect();
            let mut message = "the text does not tell what its frames begin with".to_owned();
            if !names.is_empty() {
                let list = names.join(" or ");
                let _ = write!(message, "; they look like {list} and are read as that");
            }
            if self.strange > 0 {
                let count = self.strange;
                let _ = write!(message, "; {count} look like nothing known, read as Ethernet");
            }
            summary.problem(Severity::Info, message, None, None);
        }
        if self.cut_off {
            let message = "the text ends in the middle of a frame: it was not written or copied \
                           to its end; everything before is read";
            summary.problem(Severity::Warning, message, None, None);
        }
        if lines_cut > 0 {
            let message = format!("{lines_cut} lines are too long and were cut");
            summary.problem(Severity::Warning, message, None, None);
        }
    }
}
