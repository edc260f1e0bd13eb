//! What a report says of a capture: how it was read, and what it tells of hosts beside its flows.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capture::{CaptureSummary, Severity};
use crate::diagnosis::Vantage;
use crate::net::{FrameNumber, KnownName, NameSource, Time};
pub use crate::packet::NeighbourRecord;
use crate::packet::SkippedTally;

/// Frames that hold no packet of a flow, by what they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkippedRecord {
    /// What they hold.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first_frame: FrameNumber,
}

/// Something wrong with a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemRecord {
    /// How bad.
    pub severity: Severity,
    /// What, why, and what to do.
    pub message: String,
    /// Where in the file, in bytes from its beginning.
    pub offset: Option<u64>,
    /// At which frame.
    pub frame: Option<FrameNumber>,
}

/// A remark stored in a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentRecord {
    /// The frame it belongs to; `None` for one about the capture.
    pub frame: Option<FrameNumber>,
    /// The text.
    pub text: String,
}

/// A capture, or an input that could not be read as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureRecord {
    /// Path as given, or as found below a folder or in an archive that was given.
    pub path: String,
    /// SHA-256 of the file, in hexadecimal; of a member of an archive, as it comes out of it.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Format; `None` where it is not one that we read.
    pub format: Option<String>,
    /// Compression; `None` for none.
    pub compression: Option<String>,
    /// Link types, in order of their first frame.
    pub link_types: Vec<String>,
    /// Frames read.
    pub frames: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Earliest time of a frame.
    pub first_seen: Option<Time>,
    /// Latest time of a frame.
    pub last_seen: Option<Time>,
    /// "utc", or "unknown" where times are local to the capturing machine.
    #[schemars(extend("enum" = ["utc", "unknown"]))]
    pub zone: String,
    /// Frames that hold no packet of a flow, by first frame.
    pub skipped: Vec<SkippedRecord>,
    /// What went wrong, in order.
    pub problems: Vec<ProblemRecord>,
    /// Names for addresses that the capture stores, or that its packets tell.
    pub names: Vec<NameRecord>,
    /// Addresses and the network cards that alone have them, as its packets tell, by address.
    pub links: Vec<LinkRecord>,
    /// Hosts that serve a purpose, as its packets tell (DNS SRV records).
    pub serves: Vec<ServesRecord>,
    /// The machine that captured, as far as the packets tell.
    pub taken_on: Option<TakenOn>,
    /// Neighbours on the same network that were asked for and never answered (ARP, neighbour
    /// discovery), by first frame.
    pub silent_neighbours: Vec<NeighbourRecord>,
    /// Remarks stored in the capture.
    pub comments: Vec<CommentRecord>,
    /// Remarks beyond the first few.
    pub comments_left_out: u64,
    /// Lines of a text that look as if they told of a frame and could not be read, the first few.
    pub not_understood: Vec<LineRecord>,
    /// How many there are.
    pub lines_not_understood: u64,
    /// Files of a folder or archive that are no captures, where the record is about that.
    pub left_out: Vec<String>,
    /// Index of the capture that this one is a copy of. It was analysed once, and nothing of a copy
    /// is in any count.
    pub same_as: Option<usize>,
    /// Index of the joined capture that this file is a piece of (`--join`). Its frames are
    /// counted there.
    pub part_of: Option<usize>,
}

/// The machine that captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakenOn {
    /// Its addresses, as far as known, sorted.
    pub addresses: Vec<IpAddr>,
    /// What tells so, as a sentence.
    pub evidence: String,
}

/// A line of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineRecord {
    /// Its number, from 1.
    pub line: u32,
    /// What stands there.
    pub text: String,
}

/// A name that a capture stores for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameRecord {
    /// The address.
    pub address: IpAddr,
    /// Its name.
    pub name: String,
    /// Who says so.
    pub source: NameSource,
}

/// An address and the network card that alone has it, on the capture's own network.
///
/// The card sends for no other IPv4 address, and for none from beyond a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRecord {
    /// The address.
    pub address: IpAddr,
    /// The card's, as `02:00:0a:00:00:05`.
    pub mac: String,
}

/// A host that serves a purpose, by the word of a name server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServesRecord {
    /// The purpose, as it is asked for: `_ldap._tcp.dc._msdcs.example.com`.
    pub purpose: String,
    /// Name of the host.
    pub host: String,
}

impl CaptureRecord {
    /// The record of a capture that was read.
    pub fn of(summary: CaptureSummary, skipped: &SkippedTally) -> CaptureRecord {
        let clock = summary.clock;
        let told = |at| Time { at, clock };
        CaptureRecord {
            path: summary.path,
            sha256: summary.sha256,
            format: summary.format,
            compression: summary.compression,
            link_types: summary.link_types.iter().map(ToString::to_string).collect(),
            frames: summary.frames,
            bytes: summary.bytes,
            first_seen: summary.first_seen.map(told),
            last_seen: summary.last_seen.map(told),
            zone: if clock.zone_known { "utc" } else { "unknown" }.to_owned(),
            skipped: skipped
                .rows()
                .into_iter()
                .map(|(what, count, first_frame)| SkippedRecord {
                    what: what.to_string(),
                    count,
                    first_frame,
                })
                .collect(),
            problems: summary
                .problems
                .into_iter()
                .map(|problem| ProblemRecord {
                    severity: problem.severity,
                    message: problem.message,
                    offset: problem.offset,
                    frame: problem.frame,
                })
                .collect(),
            names: summary
                .names
                .into_iter()
                .map(|KnownName { address, source, name }| NameRecord { address, name, source })
                .collect(),
            links: summary
                .links
                .into_iter()
                .map(|(address, mac)| LinkRecord { address, mac: mac_text(mac) })
                .collect(),
            serves: summary
                .serves
                .into_iter()
                .map(|(purpose, host)| ServesRecord { purpose, host })
                .collect(),
            taken_on: summary
                .taken_on
                .map(|host| TakenOn { addresses: host.addresses, evidence: host.evidence }),
            silent_neighbours: skipped.neighbours.silent(summary.last_seen),
            comments: summary
                .comments
                .into_iter()
                .map(|comment| CommentRecord { frame: comment.frame, text: comment.text })
                .collect(),
            comments_left_out: summary.comments_left_out,
            not_understood: summary
                .not_understood
                .into_iter()
                .map(|line| LineRecord { line: line.line, text: line.text })
                .collect(),
            lines_not_understood: summary.lines_not_understood,
            left_out: Vec::new(),
            same_as: None,
            part_of: None,
        }
    }

    /// From where it saw what it saw.
    pub(super) fn vantage(&self) -> Vantage<'_> {
        Vantage {
            taken_on: self.taken_on.as_ref().map_or(&[], |taken_on| &taken_on.addresses),
            silent_neighbours: &self.silent_neighbours,
        }
    }

    /// Whether its frames are in no other record.
    pub fn counts(&self) -> bool {
        self.same_as.is_none() && self.part_of.is_none()
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
