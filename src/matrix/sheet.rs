//! The requirement sheet: one cell for each requirement and pair of hosts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::{Address, Label, Transport};
use crate::verdict::record::Brief;
use crate::words::words;

words! {
    /// What the captures prove about a requirement between two hosts.
    Outcome {
        /// A success, and no service failure.
        Open = "open",
        /// Timeouts, no success.
        Dropped = "dropped",
        /// Rejects, no success.
        Refused = "refused",
        /// The path works; the service answered an error, or reset before a byte.
        ServiceFailed = "service_failed",
        /// Some attempts work, some fail.
        Mixed = "mixed",
        /// Only flows that do not tell.
        CannotTell = "cannot_tell",
        /// No attempt in any capture: never a failure, never a pass.
        NotExercised = "not_exercised",
    }
}

/// One end of a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellEnd {
    /// The host.
    pub address: Address,
    /// The role it plays in this requirement: the narrowest that it has.
    pub role: Label,
}

/// Flows of a cell, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellCounts {
    /// Of class success.
    pub success: u64,
    /// Of class timeout.
    pub timeout: u64,
    /// Of class reject.
    pub reject: u64,
    /// Of class inconclusive.
    pub inconclusive: u64,
}

/// A requirement between two hosts, and what the captures prove about it.
// There may be 100,000 of them, which repeat the texts of a few rows: those are kept once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Id of the matrix row.
    pub requirement: Label,
    /// Service, as "LDAP".
    pub service: Label,
    /// Transport.
    pub transport: Transport,
    /// Ports, as "389" or "49152-65535".
    #[schemars(regex(pattern = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"))]
    pub ports: Label,
    /// The side that opens.
    pub from: CellEnd,
    /// The side that is called.
    pub to: CellEnd,
    /// "required", "optional" or `one_of GROUP`.
    pub need: Label,
    /// When it applies; `None` for always. Where a flow exercises it, it does.
    pub condition: Option<Label>,
    /// Whether anything is known to listen there; where nothing is, silence is no fault.
    pub listener_known: bool,
    /// What the captures prove.
    pub outcome: Outcome,
    /// Ids of the flows that exercise it.
    pub flows: Vec<u64>,
    /// How many of each class.
    pub counts: CellCounts,
    /// How we know, as one or two sentences with frame numbers.
    pub explanation: Brief,
}

/// The requirement sheet: which rows of the matrix were exercised, and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// Built-in profile, or path of the user's own matrix.
    pub profile: String,
    /// Title of the matrix.
    pub title: String,
    /// One for each requirement and pair of hosts. Where two hosts play several roles and rows
    /// have the same service, transport and ports for them, one row stands for all.
    pub cells: Vec<Cell>,
    /// Requirements between hosts whose roles are only inferred, that no flow exercised: counted,
    /// not listed.
    pub not_exercised_unlisted: u64,
    /// Rows of the matrix whose roles two hosts play and that no flow of any hosts exercised, by id.
    /// Those with a condition are not among them.
    pub never_exercised: Vec<String>,
}
