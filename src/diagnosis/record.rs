//! The records of a diagnosis, as reports hold them.
//!
//! Field names, their order and the words are the published contract (schema
//! `portmortem.report/1`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capture::Severity;
use crate::net::{Address, FrameNumber, Time, Transport};
use crate::words::words;

words! {
    /// The kinds of findings, in the order in which they are told.
    FindingKind {
        /// Nobody whom a host called answered it.
        CallerCutOff = "caller_cut_off",
        /// A host answered nobody on any port.
        HostUnreachable = "host_unreachable",
        /// A name server answered none of the questions of a host.
        NameServerSilent = "name_server_silent",
        /// The capturing machine itself dropped what was sent.
        DroppedHere = "dropped_here",
        /// The same ports fail alike towards every host on which they were called.
        PortBlocked = "port_blocked",
        /// A port that the endpoint mapper announced cannot be reached, and the mapper can.
        RpcPortDropped = "rpc_port_dropped",
        /// Nothing came back.
        Dropped = "dropped",
        /// ICMP said that a rule forbids it.
        Prohibited = "prohibited",
        /// Refused, and not plainly by the host itself.
        Refused = "refused",
        /// SYN-ACK seen, the handshake never completed: look at the way back.
        Unconfirmed = "unconfirmed",
        /// ICMP said that there is no way to the host.
        Unreachable = "unreachable",
        /// The host itself refused: nothing listens.
        RefusedByHost = "refused_by_host",
        /// The path works, the service does not.
        ServiceFailed = "service_failed",
        /// The path works, and the service never sent a byte back.
        ServiceSilent = "service_silent",
        /// The endpoint mapper works, and does not know the service that was asked for.
        EndpointNotRegistered = "endpoint_not_registered",
        /// A port outside the range that RPC is meant to use.
        RpcOutsideRange = "rpc_outside_range",
        /// A service is announced at another address than the one that was called.
        RpcAddressDiffers = "rpc_address_differs",
        /// Some attempts work, some fail.
        Mixed = "mixed",
        /// Name servers do not know a name that was asked for.
        NameNotFound = "name_not_found",
        /// UDP is not answered, and TCP of the same service is.
        UdpUnanswered = "udp_unanswered",
        /// A name or block that was given a role and that no capture shows.
        RoleNameUnknown = "role_name_unknown",
        /// No two hosts have roles between which something is required.
        NoRoles = "no_roles",
        /// The captures do not tell.
        CannotTell = "cannot_tell",
        /// Failures that no row of the matrix is about.
        OtherFailures = "other_failures",
        /// A requirement failed, and an alternative of it is open.
        AlternativeOpen = "alternative_open",
        /// Roles were told from traffic.
        RolesInferred = "roles_inferred",
        /// Nobody tried.
        NotExercised = "not_exercised",
    }
}

words! {
    /// What must work one after the other for an attempt to be served. A finding about attempts
    /// names the first that broke.
    Rung {
        /// The name of the host is found.
        NameResolution = "name_resolution",
        /// A neighbour on the same network answers for the address (ARP, neighbour discovery).
        Neighbour = "neighbour",
        /// The call is answered at all.
        Syn = "syn",
        /// The handshake completes.
        Handshake = "handshake",
        /// The service sends a byte.
        FirstAnswer = "first_answer",
        /// The service speaks the protocol and serves.
        Protocol = "protocol",
        /// The caller is known and allowed.
        Authorisation = "authorisation",
    }
}

/// A frame, and the capture that holds it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct FramePlace {
    /// Index of the capture in the report, from 0.
    pub capture: usize,
    /// Number of the frame.
    pub frame: FrameNumber,
}

/// A line of a log, and the log that holds it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct LinePlace {
    /// Index of the log in the report, from 0.
    pub log: usize,
    /// Number of the line, from 1.
    pub line: u64,
}

/// Something to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Which kind of finding.
    #[schemars(with = "FindingKind")]
    pub kind: String,
    /// One line that stands alone.
    pub title: String,
    /// What was seen, then what it may mean.
    pub explanation: String,
    /// The first rung that broke; `None` where it is not about attempts.
    pub rung: Option<Rung>,
    /// Index of the finding that explains this one: mend that first.
    pub explained_by: Option<usize>,
    /// Hosts it is about, callers before the called, each once.
    pub hosts: Vec<Address>,
    /// Attempts that show it.
    pub attempts: u64,
    /// When the first of them began.
    pub first_seen: Option<Time>,
    /// When the last of them ended.
    pub last_seen: Option<Time>,
    /// Frames to open, in order; the first few.
    pub frames: Vec<FramePlace>,
    /// What setup and its logs show because of it.
    pub symptom: Option<String>,
    /// Lines of logs that tell the same, in order; the first few.
    pub log_lines: Vec<LinePlace>,
    /// Indices of the cells it is about.
    pub cells: Vec<usize>,
    /// Ids of the flows that show it.
    pub flows: Vec<u64>,
    /// What to do.
    pub next_step: String,
}

impl Finding {
    /// A finding about no attempt, host or cell.
    pub(crate) fn of(kind: FindingKind, severity: Severity) -> Finding {
        Finding {
            severity,
            kind: kind.to_string(),
            title: String::new(),
            explanation: String::new(),
            rung: None,
            explained_by: None,
            hosts: Vec::new(),
            attempts: 0,
            first_seen: None,
            last_seen: None,
            frames: Vec::new(),
            symptom: None,
            log_lines: Vec::new(),
            cells: Vec::new(),
            flows: Vec::new(),
            next_step: String::new(),
        }
    }
}

/// A rule to ask the firewall team for. It never names a source port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirewallRequest {
    /// Who opens the connection.
    pub source: Address,
    /// Who is called.
    pub destination: Address,
    /// Transport.
    pub transport: Transport,
    /// Destination ports, as "389" or "49152-65535".
    #[schemars(regex(pattern = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"))]
    pub ports: String,
    /// "one-way" (answers are implied), or "both" where either side opens connections.
    #[schemars(extend("enum" = ["one-way", "both"]))]
    pub direction: String,
    /// Service.
    pub service: String,
    /// Why, with frames.
    pub reason: String,
    /// Ids of the flows that show it.
    pub flows: Vec<u64>,
}

/// Rules that mend what the firewall requests ask for, few of them, and the check that they do.
///
/// They open what the requests ask for and nothing else. Where hosts are asked for in few ways, which
/// is nearly always, there can be no fewer of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What became of every attempt when it was played against them.
    pub check: RuleCheck,
}

/// A rule for groups of hosts. It never names a source port, and answers are implied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Who opens connections, sorted.
    pub sources: Vec<Address>,
    /// Who is called, sorted.
    pub destinations: Vec<Address>,
    /// What is called.
    pub ports: Vec<RulePorts>,
    /// "one-way", or "both" where either side opens connections.
    #[schemars(extend("enum" = ["one-way", "both"]))]
    pub direction: String,
    /// Why, in one line with one frame to open.
    pub reason: String,
    /// Indices of the firewall requests that it fulfils, or has a part in.
    pub requests: Vec<usize>,
}

/// Ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulePorts {
    /// Transport.
    pub transport: Transport,
    /// Ports, as "389" or "49152-65535".
    #[schemars(regex(pattern = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"))]
    pub ports: String,
    /// Services, with "(optional)" behind those that nobody requires.
    pub service: String,
}

/// All attempts of the captures, played against the rules as a firewall would that lets through
/// what worked before and what the rules name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleCheck {
    /// Attempts that a rule can mend: those of the firewall requests. Dynamic RPC that calls a port
    /// outside of the range it is meant to use (`--rpc-range`) is mended by configuring it.
    pub mendable: u64,
    /// How many of them the rules let through: all, or the rules are wrong.
    pub mended: u64,
    /// Pairs of hosts and ports that the rules open and that no request asks for: none, or the
    /// rules are wrong.
    pub opened_unasked: u64,
}

/// What to run on a host during the next capture, so that what nobody tried is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostTries {
    /// Host to run them on.
    pub host: Address,
    /// Role that it plays.
    pub role: String,
    /// The lines, in the order of the sheet.
    pub tries: Vec<Try>,
}

/// A line to run, and what it tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Try {
    /// Host that is called.
    pub to: Address,
    /// Ids of the matrix rows that it tries.
    pub requirements: Vec<String>,
    /// The line, for PowerShell.
    pub command: String,
}
