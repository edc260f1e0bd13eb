//! Logs of a failed install: what `ConfigMgrSetup.log` and its kin, and the firewall of Windows,
//! wrote while the capture was taken.
//!
//! A log is told by content, never by name, and read from front to back in bounded memory: kept
//! are the lines that matter (errors, warnings, signs that a host was not reached, dropped
//! packets), up to a bound, those first that have to do with hosts of the captures. Lines that
//! cannot be read are counted with their numbers, and never stop the others.
//!
//! What a line means beside the flows is found in the diagnosis, from the records alone.

mod cmtrace;
mod firewall;
mod message;
mod naming;
mod read;
mod record;
mod setup;
mod sign;
mod when;

pub use naming::Named;
pub use read::{HostPairs, is_log, read_all, read_file};
pub use record::{ClockOffset, DropEntry, LogEntry, LogKind, LogProblem, LogRecord};
pub use sign::{Sign, Tells, signs};
