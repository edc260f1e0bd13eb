//! The records of logs, as reports hold them.
//!
//! Field names, their order and the words are the published contract (schema
//! `portmortem.report/1`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capture::Severity;
use crate::log::HostPairs;
use crate::net::{Endpoint, Time, Transport};
use crate::words::words;

words! {
    /// What wrote a log.
    LogKind {
        /// Setup of Configuration Manager, or its check of prerequisites.
        Setup = "setup",
        /// Another part of Configuration Manager.
        Component = "component",
        /// The firewall of Windows (`pfirewall.log`).
        Firewall = "firewall",
    }
}

/// A log, or a file that could not be read as one.
///
/// What its lines say is hostile, as everything from a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRecord {
    /// Path as given.
    pub path: String,
    /// SHA-256 of the file, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// What wrote it; `None` where it is no log that we read.
    pub kind: Option<LogKind>,
    /// Lines read.
    pub lines: u64,
    /// Earliest time of a line.
    pub first_seen: Option<Time>,
    /// Latest time of a line.
    pub last_seen: Option<Time>,
    /// How far its clock is off that of the captures; `None` where nothing tells.
    pub clock_offset: Option<ClockOffset>,
    /// Lines that matter: errors and warnings, drops and what they name. In order.
    pub entries: Vec<LogEntry>,
    /// Lines that matter and are not among them, because there are too many.
    pub entries_left_out: u64,
    /// What could not be read.
    pub problems: Vec<LogProblem>,
}

/// How far the clock of a log is off that of the captures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockOffset {
    /// Milliseconds to add to a time of the log to have that of the captures. A zone that the log
    /// does not tell is a part of it.
    pub milliseconds: i64,
    /// From what it is estimated, as a sentence.
    pub evidence: String,
}

/// A line of a log that matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Number of its first line, from 1.
    pub line: u64,
    /// When it was written, as the log tells it.
    pub time: Option<Time>,
    /// How bad, by its mark or, without one, by its words.
    pub severity: Severity,
    /// The component that wrote it, as far as the line tells.
    pub component: Option<String>,
    /// What it says, cut to a bounded length.
    pub text: String,
    /// What a line of a firewall is about.
    pub drop: Option<DropEntry>,
}

/// What a firewall's line says it dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropEntry {
    /// Transport.
    pub transport: Transport,
    /// Who sent.
    pub source: Endpoint,
    /// To whom.
    pub destination: Endpoint,
    /// Whether the packet was on its way out of the machine that logged; `None` where the line does
    /// not tell.
    pub sent: Option<bool>,
}

/// Something wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogProblem {
    /// How bad.
    pub severity: Severity,
    /// What, why, and what to do.
    pub message: String,
    /// Where, from 1; `None` where it is about the whole file.
    pub line: Option<u64>,
}

impl LogRecord {
    /// Lines kept that tell of a failure of the network, or of a drop between hosts of the
    /// captures.
    pub const MOST_TELLING: usize = 4_000;
    /// Other errors, warnings and drops kept.
    pub const MOST_OTHERS: usize = 500;

    /// A log of which nothing is read yet.
    pub fn of(path: &str) -> LogRecord {
        LogRecord {
            path: path.to_owned(),
            sha256: None,
            kind: None,
            lines: 0,
            first_seen: None,
            last_seen: None,
            clock_offset: None,
            entries: Vec::new(),
            entries_left_out: 0,
            problems: Vec::new(),
        }
    }

    /// Name of the file, without its folders.
    pub fn file_name(&self) -> &str {
        self.path.rsplit(['/', '\\']).next().unwrap_or(&self.path)
    }

    /// The entry that begins at a line.
    pub fn entry(&self, line: u64) -> Option<&LogEntry> {
        let place = self.entries.binary_search_by_key(&line, |entry| entry.line).ok()?;
        self.entries.get(place)
    }

    /// Chooses the entries that are kept again, beside other pairs of hosts than those that were
    /// known when it was read. False where it cannot, because some are not there any more.
    pub fn choose_again(&mut self, pairs: &HostPairs) -> bool {
        // What messages tell does not hang on the captures.
        if self.kind != Some(LogKind::Firewall) {
            return true;
        }
        if self.entries_left_out > 0 {
            return false;
        }
        let (mut telling, mut others) = (0, 0);
        let before = self.entries.len();
        self.entries.retain(|entry| {
            let is_telling = entry.drop.is_some_and(|drop| pairs.has(&drop));
            let (count, most) = if is_telling {
                (&mut telling, LogRecord::MOST_TELLING)
            } else {
                (&mut others, LogRecord::MOST_OTHERS)
            };
            *count += 1;
            *count <= most
        });
        self.entries_left_out = before.saturating_sub(self.entries.len()) as u64;
        true
    }

    pub(super) fn problem(
        &mut self,
        severity: Severity,
        message: impl Into<String>,
        line: Option<u64>,
    ) {
        self.problems.push(LogProblem { severity, message: message.into(), line });
    }
}

impl LogEntry {
    /// Letters of a line that are kept.
    pub const MOST_LETTERS: usize = 600;
}

impl DropEntry {
    /// Begins the words about a packet that came from the network, as evidence of a diagnosis.
    pub(crate) const ON_ARRIVAL: &str = "dropped by its receiver on arrival";
    /// Begins the words about a packet that was on its way to the network.
    pub(crate) const ON_LEAVING: &str = "dropped by its sender before it left";
}
