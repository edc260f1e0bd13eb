//! What can be wrong with a pcapng capture that is read to its end all the same.
//!
//! Each kind is told once, with its first place and how often it was met: a capture can have a
//! million of one.

use crate::capture::{Problem, Severity};
use crate::net::FrameNumber;

/// What is wrong with a block while the blocks after it can still be found.
#[derive(Clone, Copy)]
pub(super) enum Oddity {
    /// A packet of an interface that was never described.
    Undeclared,
    /// A packet that claims more bytes than its block has.
    Overlong,
    /// A block of a type that we read, whose inside makes no sense.
    Unreadable,
    /// A block that is too long to be read.
    Long,
    /// A section of an unknown version.
    Version,
    /// More interfaces than we keep.
    Interfaces,
}

impl Oddity {
    const ALL: [Oddity; 6] = [
        Oddity::Undeclared,
        Oddity::Overlong,
        Oddity::Unreadable,
        Oddity::Long,
        Oddity::Version,
        Oddity::Interfaces,
    ];

    fn message(self, count: u64) -> String {
        let (what, effect) = match self {
            Oddity::Undeclared => (
                "packet of an interface that the capture never describes",
                "what such a frame holds cannot be known; it keeps its number and is not decoded",
            ),
            Oddity::Overlong => (
                "packet that claims more bytes than its block has",
                "the bytes that are there were read",
            ),
            Oddity::Unreadable => {
                ("block that makes no sense inside", "it was left out, the rest was read")
            }
            Oddity::Long => {
                ("block longer than any packet can be", "it was left out, the rest was read")
            }
            Oddity::Version => (
                "section of a pcapng version other than 1.0 and 1.2",
                "its frames were left out and not numbered",
            ),
            Oddity::Interfaces => (
                "interface more than are kept of one section",
                "frames of these interfaces keep their number and are not decoded",
            ),
        };
        if count == 1 {
            format!("a {what}: {effect}")
        } else {
            format!("{count} times a {what}: {effect}")
        }
    }
}

/// The oddities of a capture.
#[derive(Default)]
pub(super) struct Oddities([Option<Met>; Oddity::ALL.len()]);

/// Where an oddity was first met, and how often.
#[derive(Clone, Copy)]
struct Met {
    offset: u64,
    frame: FrameNumber,
    count: u64,
}

impl Oddities {
    /// Notes that an oddity was met.
    pub(super) fn note(&mut self, oddity: Oddity, offset: u64, frame: FrameNumber) {
        if let Some(met) = self.0.get_mut(oddity as usize) {
            met.get_or_insert(Met { offset, frame, count: 0 }).count += 1;
        }
    }

    /// The oddities for people, in the order of their kinds.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        Oddity::ALL.into_iter().zip(self.0).filter_map(|(oddity, met)| {
            met.map(|met| Problem {
                severity: Severity::Warning,
                message: oddity.message(met.count),
                offset: Some(met.offset),
                frame: Some(met.frame),
            })
        })
    }
}
