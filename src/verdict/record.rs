//! A judged flow: the record that reports hold, and the words it is made of.
//!
//! Field names, their order and the words are the published contract (schema
//! `portmortem.report/1`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thin_vec::ThinVec;

pub use crate::flow::{EvidenceKind, Sender};
use crate::net::{Address, Endpoint, FrameNumber, Label, SeqNumber, Time, Transport};
pub use crate::probe::Duty;
pub use crate::verdict::brief::Brief;
pub use crate::verdict::display_filter::DisplayFilter;
use crate::verdict::display_filter::FilterTexts;
pub use crate::verdict::evidence::EvidenceList;
use crate::words::words;

words! {
    /// What the path and the handshake did.
    Class {
        /// The attempt was answered and confirmed.
        Success = "success",
        /// It got no answer, or no confirmation: what a firewall that drops looks like.
        Timeout = "timeout",
        /// Something said no.
        Reject = "reject",
        /// The capture cannot tell.
        Inconclusive = "inconclusive",
    }
}

words! {
    /// Which kind of its [`Class`] a flow is. Zeek's states beside them, for those who know them.
    Verdict {
        /// SYN, SYN-ACK, then the initiator's ACK or data. Zeek: SF, S1 and kin.
        Established = "established",
        /// The handshake is not (all) in the capture, but segments prove the connection. Zeek: OTH, SH.
        EstablishedUnseen = "established_unseen",
        /// The initiator reset the connection right after the SYN-ACK: path and port are proven.
        Probed = "probed",
        /// UDP: a request and an answer.
        Answered = "answered",
        /// Nothing came back. A firewall that drops looks so; so do a host that is down and a
        /// capture that missed the way back. Zeek: S0.
        NoReply = "no_reply",
        /// SYN and SYN-ACK seen, one of them sent again, never confirmed.
        Unconfirmed = "unconfirmed",
        /// A reset in answer to the SYN. Zeek: REJ.
        Refused = "refused",
        /// ICMP: administratively prohibited.
        Prohibited = "prohibited",
        /// ICMP: destination unreachable for another reason.
        Unreachable = "unreachable",
        /// Answered by a segment that belongs to another connection, and nothing better after.
        Challenged = "challenged",
        /// SYN-ACK seen, no confirmation, nothing repeated.
        HalfOpen = "half_open",
        /// The initiator reset its own SYN before any answer. Zeek: RSTOS0.
        Abandoned = "abandoned",
        /// Unanswered when the capture ended, too early to tell.
        CaptureEnded = "capture_ended",
        /// Packets one way only, and no proof of an answer.
        OneWay = "one_way",
        /// The snap length cut off the TCP flags.
        HeadersCut = "headers_cut",
    }
}

words! {
    /// How sure a verdict is.
    Confidence {
        /// The decisive packets are in the capture.
        Proven = "proven",
        /// One weak inference was needed.
        Likely = "likely",
        /// A guess with a reason.
        Weak = "weak",
    }
}

words! {
    /// Who sent a refusal, as far as its packet tells.
    Origin {
        /// It is what a closed port of the host itself sends.
        Host = "host",
        /// It bears signs of a device that made it up.
        Middlebox = "middlebox",
        /// The signs do not tell.
        Unknown = "unknown",
    }
}

words! {
    /// How an open connection ended.
    Closing {
        /// Both sides said FIN.
        Fin = "fin",
        /// The initiator reset it.
        ResetByInitiator = "reset_by_initiator",
        /// The responder reset it.
        ResetByResponder = "reset_by_responder",
        /// It was open when the capture ended.
        Open = "open",
    }
}

words! {
    /// What the application above the flow answered.
    ServiceOutcome {
        /// It served.
        Served = "served",
        /// It answered with an error.
        Failed = "failed",
        /// It accepted and never sent a byte back.
        Silent = "silent",
        /// It reset the connection before any byte of its own.
        ResetBeforeAnswer = "reset_before_answer",
        /// Nobody looked, or there was nothing to see.
        NotExamined = "not_examined",
    }
}

words! {
    /// How far a schedule of repeated SYNs was followed.
    Course {
        /// To its end.
        Complete = "complete",
        /// The capture ended before the next SYN was due.
        CaptureEnded = "capture_ended",
        /// The next SYN was due within the capture and is not there: the program gave up earlier.
        GivenUp = "given_up",
    }
}

/// A packet that decides a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRecord {
    /// Frame to open.
    pub frame: FrameNumber,
    /// When it was captured.
    pub time: Option<Time>,
    /// Who sent it.
    pub from: Sender,
    /// What it is.
    pub kind: EvidenceKind,
    /// TCP sequence number.
    pub seq: Option<SeqNumber>,
    /// TCP acknowledgment number, where the ACK flag is set.
    pub ack: Option<SeqNumber>,
    /// TCP window, not scaled.
    pub window: Option<u16>,
    /// Time to live or hop limit.
    pub ttl: Option<u8>,
    /// IPv4 identification.
    pub ip_id: Option<u16>,
    /// What else there is to say of it.
    pub note: Option<String>,
}

/// A number for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerSide {
    /// From the initiator.
    pub initiator: u64,
    /// From the responder.
    pub responder: u64,
}

/// What stands before the question that got no answer, in [`ServiceRecord::detail`].
pub(crate) const NO_ANSWER_TO: &str = "no answer to: ";

/// What the application above a flow answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceRecord {
    /// Name of the service, by the matrix or by the responder's port; `None` where nobody knows.
    pub name: Option<Label>,
    /// What it answered.
    pub outcome: ServiceOutcome,
    /// Code of the answer.
    pub code: Option<Label>,
    /// What the answer means; where none came, what was asked.
    pub detail: Option<Label>,
    /// Frame that shows it; where no answer came, the question's.
    pub frame: Option<FrameNumber>,
}

/// The times at which a system repeats a SYN that gets no answer, as far as the SYNs of a flow show
/// one that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRecord {
    /// Whose it is, as "Windows 2000 to Server 2016".
    pub name: Label,
    /// SYNs that it has, the first included; `None` where it goes on as configured.
    pub expected: Option<u32>,
    /// SYNs that were captured.
    pub seen: u32,
    /// How far it was followed.
    pub course: Course,
}

/// What is known of a flow's remote procedure calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RpcRecord {
    /// Name of the interface.
    pub interface: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Whether the flow itself asks for the interface; else it is the announced one.
    pub bound: bool,
    /// Frame in which the endpoint mapper announced the port.
    pub announced_frame: Option<FrameNumber>,
    /// Flow in which it did.
    pub endpoint_mapper_flow: Option<u64>,
}

/// Where a service listens, by the word of an endpoint mapper or object resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnouncementRecord {
    /// Frame that says so.
    pub frame: FrameNumber,
    /// Name of the interface; `None` where we know only its UUID.
    pub interface: Option<String>,
    /// Its UUID; `None` for a process that holds objects of DCOM.
    pub uuid: Option<String>,
    /// Transport.
    pub transport: Transport,
    /// Address; `None` where it is the one that was called.
    pub address: Option<Address>,
    /// Port.
    pub port: u16,
}

/// An interface that the endpoint mapper was asked for and does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotRegisteredRecord {
    /// Frame that says so.
    pub frame: FrameNumber,
    /// Name of the interface, else its UUID.
    pub interface: String,
}

/// What a host proved to do for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DutyRecord {
    /// Frame that shows it.
    pub frame: FrameNumber,
    /// The host: one of the two ends, or one that a message names.
    pub address: Address,
    /// What it does, in the words of roles: "sql-server".
    pub duty: Duty,
    /// What proves it, as what the host did: "answered a pre-login of SQL Server".
    pub how: String,
}

/// A flow and what it did: one line of `flows --format ndjson`.
// In this order in memory too: reports go over a million of these many times, and most ask for no more
// than the fields of the first cache line.
//
// And small, since memory that is touched for the first time costs more than what is written to it:
// texts that many share are kept once (`Label`), what few flows have is one word in the others (`Box`,
// `ThinVec`), and sentences and packets are written out when they are wanted (`Brief`, `EvidenceList`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Flow")]
#[repr(C)]
pub struct JudgedFlow {
    /// Number of the flow, from 1, by capture and first frame.
    pub id: u64,
    /// Index of its capture in the report, from 0.
    pub capture: usize,
    /// Transport.
    pub transport: Transport,
    /// Who opened it.
    pub initiator: Endpoint,
    /// Who was called.
    pub responder: Endpoint,
    /// What path and handshake did.
    pub class: Class,
    /// Which kind of it.
    pub verdict: Verdict,
    /// How sure.
    pub confidence: Confidence,
    /// One or two sentences: what was seen, with frames; then what it may mean.
    pub explanation: Brief,
    /// Who refused; only of verdict `refused`.
    pub origin: Option<Origin>,
    /// Signs for `origin`, one sentence each.
    #[schemars(with = "Vec<String>")]
    pub origin_reasons: ThinVec<Brief>,
    /// Zeek's letters, the initiator's in capitals, one for each SYN and each repeat.
    pub history: SmolStr,
    /// Packets that decide: at most the first eight and the last of each kind.
    pub evidence: EvidenceList,
    /// The schedule by which an unanswered SYN was repeated, where it is a known one.
    pub schedule: Option<Box<ScheduleRecord>>,
    /// First frame of the flow.
    pub first_frame: FrameNumber,
    /// Last frame of the flow.
    pub last_frame: FrameNumber,
    /// Time of the first frame.
    pub first_seen: Option<Time>,
    /// Time of the last frame.
    pub last_seen: Option<Time>,
    /// Packets, duplicates left out.
    pub packets: PerSide,
    /// Payload bytes by wire length, retransmissions included.
    pub bytes: PerSide,
    /// Packets that were captured more than once; left out of all other counts.
    pub duplicates: u64,
    /// How the connection ended; `None` for what was never open.
    pub closing: Option<Closing>,
    /// What the application answered.
    pub service: ServiceRecord,
    /// Remote procedure calls, where known.
    pub rpc: Option<Box<RpcRecord>>,
    /// Where it says that services listen: an endpoint mapper's answers.
    #[schemars(with = "Vec<AnnouncementRecord>")]
    pub announced: ThinVec<AnnouncementRecord>,
    /// Interfaces that the endpoint mapper said it does not know.
    #[schemars(with = "Vec<NotRegisteredRecord>")]
    pub not_registered: ThinVec<NotRegisteredRecord>,
    /// What hosts proved to do for others.
    #[schemars(with = "Vec<DutyRecord>")]
    pub duties: ThinVec<DutyRecord>,
    /// What the packets were wrapped in, outermost first, as "vlan 42".
    #[schemars(with = "Vec<String>")]
    pub encapsulation: ThinVec<String>,
    /// Id of the matrix row that the flow exercises.
    pub requirement: Option<Label>,
    /// Filters that show the flow in other programs.
    #[schemars(with = "FilterTexts")]
    pub display_filter: DisplayFilter,
}

impl JudgedFlow {
    /// Keeps its packets and sentences in a few bytes, for as long as there is a report.
    pub(crate) fn pack(&mut self) {
        self.evidence.pack();
        self.explanation.pack();
        self.origin_reasons.iter_mut().for_each(Brief::pack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_small() {
        // A report holds a million of them.
        assert!(size_of::<JudgedFlow>() <= 368, "{}", size_of::<JudgedFlow>());
    }
}
