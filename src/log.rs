//! Logs of a failed install: what `ConfigMgrSetup.log` and its kin, and the firewall of Windows,
//! wrote while the capture was taken.

use serde::{Deserialize, Serialize};

use crate::capture::Severity;
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRecord {
    /// Path as given.
    pub path: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: Option<String>,
    /// What wrote it; `None` where it is no log that we read.
    pub kind: Option<LogKind>,
    /// Lines read.
    pub lines: u64,
    /// Earliest time of a line.
    pub first_seen: Option<Time>,
    /// Latest time of a line.
    pub last_seen: Option<Time>,
    /// Seconds to add to the times of the log to have those of the captures, with the lines and
    /// frames that tell, as a sentence; `None` where nothing tells.
    pub clock_offset: Option<ClockOffset>,
    /// Lines that matter: errors and warnings, drops and what they name. In order.
    pub entries: Vec<LogEntry>,
    /// Lines that matter beyond the first so many.
    pub entries_left_out: u64,
    /// What could not be read.
    pub problems: Vec<LogProblem>,
}

/// How far the clock of a log is off that of the captures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockOffset {
    /// Milliseconds to add to a time of the log.
    pub milliseconds: i64,
    /// From what it is estimated.
    pub evidence: String,
}

/// A line of a log that matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Number of its first line, from 1.
    pub line: u64,
    /// When it was written, as the log tells it.
    pub time: Option<Time>,
    /// How bad.
    pub severity: Severity,
    /// The component that wrote it, as far as the line tells.
    pub component: Option<String>,
    /// What it says, cut to a bounded length.
    pub text: String,
    /// What a line of a firewall is about.
    pub drop: Option<DropEntry>,
}

/// What a firewall's line says it dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogProblem {
    /// How bad.
    pub severity: Severity,
    /// What, why, and what to do.
    pub message: String,
    /// Where, from 1; `None` where it is about the whole file.
    pub line: Option<u64>,
}
