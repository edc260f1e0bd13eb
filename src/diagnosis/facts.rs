//! What every finding about attempts says of them: how many, between whom, when, in which frames,
//! and which rung broke.

use std::collections::BTreeSet;

use crate::diagnosis::{Evidence, Finding, FindingKind, FramePlace, Rung};
use crate::matrix::{in_order_of_time, service_failed};
use crate::net::Address;
use crate::verdict::record::{Class, EvidenceKind, JudgedFlow, ServiceOutcome, Verdict};

/// Frames that a finding names.
const MOST_FRAMES: usize = 8;
/// Frames of one flow among them.
const FRAMES_OF_FLOW: usize = 3;

/// Begins of codes that say that the caller is not known, or may not: of Kerberos (RFC 4120
/// 7.5.9), DNS (RFC 8945 3), LDAP (RFC 4511 4.1.9) and Windows ([MS-ERREF] 2.3).
const RIGHTS: [&str; 20] = [
    "KDC_ERR_",
    "KRB_AP_",
    "BADSIG",
    "BADKEY",
    "BADTIME",
    "invalidCredentials",
    "insufficientAccessRights",
    "inappropriateAuthentication",
    "strongerAuthRequired",
    "authMethodNotSupported",
    "confidentialityRequired",
    "STATUS_ACCESS_DENIED",
    "STATUS_LOGON_",
    "STATUS_NOLOGON_",
    "STATUS_ACCOUNT_",
    "STATUS_PASSWORD_",
    "STATUS_WRONG_PASSWORD",
    "STATUS_NO_LOGON_SERVERS",
    "STATUS_NO_TRUST_",
    "STATUS_TRUST",
];

/// Codes in words that say so: of RPC, HTTP, SQL Server, and of Windows where nothing longer
/// begins alike.
const RIGHTS_IN_FULL: [&str; 8] = [
    "STATUS_TIME_DIFFERENCE_AT_DC",
    "access denied",
    "security package error",
    "Unauthorized",
    "Forbidden",
    "login failed",
    "untrusted domain",
    "SSPI handshake failed",
];

/// Whether what the service answered is about who calls, and not about the service.
pub(super) fn is_about_rights(flow: &JudgedFlow) -> bool {
    // A controller that lacks another one to ask is no matter of the caller.
    let code = flow.service.code.as_deref().filter(|code| *code != "KDC_ERR_SVC_UNAVAILABLE");
    flow.service.outcome == ServiceOutcome::Failed
        && code.is_some_and(|code| {
            RIGHTS.iter().any(|begin| code.starts_with(begin)) || RIGHTS_IN_FULL.contains(&code)
        })
}

/// The first rung that broke in an attempt; `None` where none did, or nobody can tell.
pub(super) fn rung_of(flow: &JudgedFlow) -> Option<Rung> {
    match flow.verdict {
        _ if service_failed(flow) => Some(match flow.service.outcome {
            ServiceOutcome::ResetBeforeAnswer => Rung::FirstAnswer,
            _ if flow.responder.port == 53 => Rung::NameResolution,
            _ if is_about_rights(flow) => Rung::Authorisation,
            ServiceOutcome::Failed
            | ServiceOutcome::Served
            | ServiceOutcome::Silent
            | ServiceOutcome::NotExamined => Rung::Protocol,
        }),
        Verdict::Unconfirmed => Some(Rung::Handshake),
        Verdict::NoReply | Verdict::Refused | Verdict::Prohibited | Verdict::Unreachable => {
            Some(Rung::Syn)
        }
        _ if flow.service.outcome == ServiceOutcome::Silent => Some(Rung::FirstAnswer),
        Verdict::Established
        | Verdict::EstablishedUnseen
        | Verdict::Probed
        | Verdict::Answered
        | Verdict::Challenged
        | Verdict::HalfOpen
        | Verdict::Abandoned
        | Verdict::CaptureEnded
        | Verdict::OneWay
        | Verdict::HeadersCut => None,
    }
}

/// Fills what a finding says of its attempts. Whom it is about is set, if nobody did.
pub(super) fn fill(finding: &mut Finding, evidence: &Evidence<'_>, kind: FindingKind) {
    let flows = evidence.flows_of(&finding.flows);
    fill_from(flows, finding, evidence, kind);
}

/// As [`fill`], from these attempts.
pub(super) fn fill_from(
    mut flows: Vec<&JudgedFlow>,
    finding: &mut Finding,
    evidence: &Evidence<'_>,
    kind: FindingKind,
) {
    if flows.is_empty() {
        return;
    }
    in_order_of_time(&mut flows);
    // It may list some of its flows only.
    finding.attempts = finding.attempts.max(flows.len() as u64);
    if finding.hosts.is_empty() {
        let pairs = flows.iter().map(|flow| (flow.initiator.address, flow.responder.address));
        finding.hosts = hosts(pairs);
    }
    finding.rung = match kind {
        FindingKind::NameServerSilent | FindingKind::NameNotFound => Some(Rung::NameResolution),
        FindingKind::EndpointNotRegistered => Some(Rung::Protocol),
        FindingKind::RpcOutsideRange | FindingKind::RpcAddressDiffers | FindingKind::CannotTell => {
            None
        }
        FindingKind::HostUnreachable
            if flows.iter().all(|flow| evidence.is_missed(flow.responder.address)) =>
        {
            Some(Rung::Neighbour)
        }
        FindingKind::CallerCutOff
        | FindingKind::HostUnreachable
        | FindingKind::DroppedHere
        | FindingKind::PortBlocked
        | FindingKind::RpcPortDropped
        | FindingKind::Dropped
        | FindingKind::Prohibited
        | FindingKind::Refused
        | FindingKind::Unconfirmed
        | FindingKind::Unreachable
        | FindingKind::RefusedByHost
        | FindingKind::ServiceFailed
        | FindingKind::ServiceSilent
        | FindingKind::Mixed
        | FindingKind::UdpUnanswered
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::AlternativeOpen
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred
        | FindingKind::NotExercised => flows.iter().filter_map(|flow| rung_of(flow)).min(),
    };
    let mut zones = flows.iter().filter_map(|flow| flow.first_seen).map(|it| it.clock.zone_known);
    let zone = zones.next();
    // Times with and without a zone cannot be compared.
    if zones.all(|other| Some(other) == zone) {
        let first = flows.iter().filter_map(|flow| flow.first_seen);
        finding.first_seen = first.min_by_key(|time| time.at);
        let last = flows.iter().filter_map(|flow| flow.last_seen);
        finding.last_seen = last.max_by_key(|time| time.at);
    }
    finding.frames = frames(&flows, kind);
}

/// Callers, then who was called, each once.
pub(super) fn hosts(pairs: impl Iterator<Item = (Address, Address)> + Clone) -> Vec<Address> {
    let callers: BTreeSet<Address> = pairs.clone().map(|(from, _)| from).collect();
    let called: BTreeSet<Address> =
        pairs.map(|(_, to)| to).filter(|to| !callers.contains(to)).collect();
    callers.into_iter().chain(called).collect()
}

/// Frames to open: of each flow those that decide, of the first flows.
fn frames(flows: &[&JudgedFlow], kind: FindingKind) -> Vec<FramePlace> {
    let is_lookup = kind == FindingKind::NameNotFound;
    let mut places = Vec::new();
    for flow in flows {
        let place = |frame| FramePlace { capture: flow.capture, frame };
        if is_lookup || service_failed(flow) || flow.service.outcome == ServiceOutcome::Silent {
            places.extend(flow.service.frame.map(place));
        } else if flow.class == Class::Success {
            places.push(place(flow.first_frame));
        } else {
            let decides = |it: &crate::verdict::record::EvidenceRecord| {
                !matches!(it.kind, EvidenceKind::Drop | EvidenceKind::Fin)
            };
            let mut own: Vec<FramePlace> =
                flow.evidence.iter().filter(decides).map(|it| place(it.frame)).collect();
            own.dedup();
            own.truncate(FRAMES_OF_FLOW);
            if own.is_empty() {
                own.push(place(flow.first_frame));
            }
            places.extend(own);
        }
        if places.len() >= MOST_FRAMES {
            break;
        }
    }
    places.truncate(MOST_FRAMES);
    places.sort_unstable();
    places.dedup();
    places
}
