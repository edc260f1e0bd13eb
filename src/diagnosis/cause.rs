//! What went wrong with one flow or cell, as far as it can be told.

use std::collections::BTreeMap;

use crate::diagnosis::{Evidence, FindingKind, Known, Table};
use crate::matrix::{
    Cell, Matrix, Need, Outcome, Requirement, Sheet, bounded, in_order_of_time, is_weak,
    service_failed,
};
use crate::net::{Address, FrameNumber};
use crate::verdict::record::{
    Class, EvidenceKind, EvidenceRecord, JudgedFlow, Origin, Sender, ServiceOutcome, Verdict,
};

/// What went wrong with a flow; `None` where nothing did, or nobody can tell.
pub(super) fn cause_of(flow: &JudgedFlow) -> Option<FindingKind> {
    match flow.verdict {
        _ if service_failed(flow) => Some(FindingKind::ServiceFailed),
        Verdict::NoReply | Verdict::Unconfirmed if is_dropped_here(flow) => {
            Some(FindingKind::DroppedHere)
        }
        // It was dropped here as well as refused: nothing listens.
        Verdict::Refused if is_dropped_here(flow) => Some(FindingKind::RefusedByHost),
        Verdict::NoReply => Some(FindingKind::Dropped),
        Verdict::Unconfirmed => Some(FindingKind::Unconfirmed),
        Verdict::Prohibited => Some(FindingKind::Prohibited),
        Verdict::Refused if flow.origin == Some(Origin::Host) => Some(FindingKind::RefusedByHost),
        Verdict::Refused => Some(FindingKind::Refused),
        Verdict::Unreachable => Some(unreachable(flow)),
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

/// Whether the capturing machine itself dropped every call, or every answer, that is in the
/// evidence.
fn is_dropped_here(flow: &JudgedFlow) -> bool {
    // Few captures tell of drops.
    if !flow.evidence.has(EvidenceKind::Drop) {
        return false;
    }
    [Sender::Initiator, Sender::Responder].into_iter().any(|from| {
        let of_side = || flow.evidence.iter().filter(|packet| packet.from == from);
        let is_drop = |packet: &EvidenceRecord| packet.kind == EvidenceKind::Drop;
        let dropped = |frame: FrameNumber| of_side().any(|it| is_drop(&it) && it.frame == frame);
        let call = |packet: &EvidenceRecord| match packet.kind {
            EvidenceKind::Syn | EvidenceKind::SynAck | EvidenceKind::Data => true,
            EvidenceKind::Ack
            | EvidenceKind::Rst
            | EvidenceKind::Icmp
            | EvidenceKind::Fin
            | EvidenceKind::Drop => false,
        };
        let mut sent = of_side().filter(call).peekable();
        sent.peek().is_some() && sent.all(|packet| dropped(packet.frame))
    })
}

/// Who says "unreachable" tells what it means.
fn unreachable(flow: &JudgedFlow) -> FindingKind {
    let errors = || flow.evidence.iter().filter(|packet| packet.kind == EvidenceKind::Icmp);
    let of_a_port = |note: &str| note.to_ascii_lowercase().contains("port");
    if errors().any(|packet| packet.from == Sender::Responder) {
        // Nobody listens there, or the host's own firewall says so.
        FindingKind::RefusedByHost
    } else if errors().any(|packet| packet.note.as_deref().is_some_and(of_a_port)) {
        // Only a host knows its ports; said by another, it is a device that rejects (the Linux
        // netfilter's REJECT says "port unreachable" by default).
        FindingKind::Refused
    } else {
        FindingKind::Unreachable
    }
}

/// Whether a rule in a firewall can mend it.
pub(super) fn is_mendable(cause: FindingKind) -> bool {
    matches!(cause, FindingKind::Dropped | FindingKind::Prohibited | FindingKind::Refused)
}

/// The failing flows of a cell in order of time, by what went wrong. A lone silent SYN is left
/// out: it proves nothing.
pub(super) fn failures<'a>(
    evidence: &Evidence<'a>,
    cell: &Cell,
) -> BTreeMap<FindingKind, Vec<&'a JudgedFlow>> {
    let mut flows = evidence.flows_of(&cell.flows);
    if flows.len() > 1 {
        in_order_of_time(&mut flows);
    }
    let mut failures: BTreeMap<FindingKind, Vec<&JudgedFlow>> = BTreeMap::new();
    for flow in flows {
        let proves_nothing = cell.counts.timeout == 1 && is_weak(flow);
        if let Some(cause) = cause_of(flow)
            && !proves_nothing
        {
            failures.entry(cause).or_default().push(flow);
        }
    }
    // The host was reached; a refusal of unknown origin beside its own is its own.
    if failures.contains_key(&FindingKind::RefusedByHost)
        && let Some(refused) = failures.remove(&FindingKind::Refused)
    {
        let by_host = failures.entry(FindingKind::RefusedByHost).or_default();
        by_host.extend(refused);
        in_order_of_time(by_host);
    }
    failures
}

/// Whether the last attempt of a cell that tells anything failed.
pub(super) fn fails_at_last(evidence: &Evidence<'_>, cell: &Cell) -> bool {
    let mut flows = evidence.flows_of(&cell.flows);
    in_order_of_time(&mut flows);
    let last = flows.into_iter().rfind(|flow| flow.class != Class::Inconclusive);
    last.is_some_and(|flow| cause_of(flow).is_some())
}

/// What a cell's requirement asks of it, in its pair of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Setup fails without it.
    Required,
    /// It helps.
    Optional,
    /// Nothing is known to listen there.
    NoListener,
    /// It is one of several, and another is open.
    Cleared,
}

/// Cells with their requirements and weights.
#[derive(Default)]
pub(super) struct Weights<'a> {
    requirements: Table<&'a str, &'a Requirement>,
    /// Groups with an open member, by pair of hosts.
    open: Known<(Address, Address, &'a str)>,
}

impl<'a> Weights<'a> {
    pub(super) fn of(matrix: &'a Matrix, sheet: &'a Sheet) -> Weights<'a> {
        let rows = matrix.requirements.iter();
        let requirements: Table<&str, &Requirement> =
            rows.map(|row| (row.id.as_str(), row)).collect();
        let mut open = Known::default();
        for cell in sheet.cells.iter().filter(|cell| cell.outcome == Outcome::Open) {
            if let Some(Need::OneOf(group)) =
                requirements.get(cell.requirement.as_str()).map(|row| &row.need)
            {
                open.insert((cell.from.address, cell.to.address, group.as_str()));
            }
        }
        Weights { requirements, open }
    }

    pub(super) fn requirement(&self, cell: &Cell) -> Option<&'a Requirement> {
        self.requirements.get(cell.requirement.as_str()).copied()
    }

    pub(super) fn weight(&self, cell: &Cell) -> Weight {
        let Some(requirement) = self.requirement(cell) else { return Weight::Optional };
        match &requirement.need {
            _ if !requirement.listener_known => Weight::NoListener,
            Need::Required => Weight::Required,
            Need::Optional => Weight::Optional,
            Need::OneOf(group) => {
                let key = (cell.from.address, cell.to.address, group.as_str());
                if self.open.contains(&key) { Weight::Cleared } else { Weight::Required }
            }
        }
    }
}

/// What the service of a failing flow answered, in a few words.
pub(super) fn answer_of(flow: &JudgedFlow) -> String {
    let code = flow.service.code.as_deref().unwrap_or("an error");
    match flow.service.outcome {
        ServiceOutcome::ResetBeforeAnswer => "reset before a byte".to_owned(),
        ServiceOutcome::Failed
        | ServiceOutcome::Served
        | ServiceOutcome::Silent
        | ServiceOutcome::NotExamined => {
            let detail = flow.service.detail.as_deref();
            let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            let frame = flow.service.frame;
            let frame = frame.map(|frame| format!(" in frame {frame}")).unwrap_or_default();
            format!("{}{}{frame}", bounded(code, 60), bounded(&detail, 400))
        }
    }
}
