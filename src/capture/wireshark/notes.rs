//! What is to be said of a text besides its frames: what was left out, what was inferred.

use std::collections::BTreeMap;

use crate::capture::{CaptureSummary, LinkType, Severity};

/// Something in a text that is worth a word. Each kind is told once, with its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// A line of a dump whose offset does not follow the line before.
    Gap,
    /// An element of JSON or XML that cannot be read. In place of its line it has its number.
    Element,
    /// A link word of K12 that stands for something else than Ethernet.
    LinkWord,
}

/// What is to be said of a text, in the making.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Count, and the first line.
    counted: BTreeMap<Note, (u64, u64)>,
    /// Link types that were found by looking at bytes.
    guessed: BTreeMap<LinkType, u64>,
    /// Frames that look like nothing.
    strange: u64,
    /// Whether the text ends in the middle of a frame.
    cut_off: bool,
}

impl Notes {
    /// Counts something at a line.
    pub(super) fn count(&mut self, note: Note, line: u64) {
        self.counted.entry(note).or_insert((0, line)).0 += 1;
    }

    /// Counts a frame whose link type was found by looking at its bytes.
    pub(super) fn guessed(&mut self, link_type: Option<LinkType>) {
        match link_type {
            Some(link_type) => *self.guessed.entry(link_type).or_default() += 1,
            None => self.strange += 1,
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
                    format!(
                        "{count} elements are damaged and left out (the first is element {line})"
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
        if !self.guessed.is_empty() || self.strange > 0 {
            let names: Vec<_> = self.guessed.keys().map(|link_type| link_type.name()).collect();
            let mut message = "the text does not tell what its frames begin with".to_owned();
            if !names.is_empty() {
                let list = names.join(" or ");
                message.push_str(&format!("; they look like {list} and are read as that"));
            }
            if self.strange > 0 {
                let count = self.strange;
                message.push_str(&format!("; {count} look like nothing known, read as Ethernet"));
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
