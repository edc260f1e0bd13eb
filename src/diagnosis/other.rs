//! Failures that no requirement is about: one finding for each way to fail.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::capture::Severity;
use crate::diagnosis::cause::{answer_of, cause_of};
use crate::diagnosis::facts::fill_from;
use crate::diagnosis::wording::{Words, meaning};
use crate::diagnosis::{Evidence, Finding, FindingKind, Ids, Known};
use crate::matrix::{bounded, count_of, is_weak, list_and, seen, then};
use crate::net::{Address, Transport};
use crate::verdict::flows::Lane;
use crate::verdict::record::{Class, JudgedFlow};

/// Destinations that a title names.
const TITLED_DESTINATIONS: usize = 2;
/// Destinations that an explanation tells.
const TOLD_DESTINATIONS: usize = 4;
/// Flows of each of them that the finding lists.
const SHOWN_FLOWS: usize = 3;

/// SMB over NetBIOS, which Windows tries beside SMB itself, and gives up for it.
const SMB_OVER_NETBIOS: u16 = 139;
const SMB: u16 = 445;

/// Who was called, and where.
type Destination = (Address, Transport, u16);

/// Failures of flows that no row is about, by what went wrong and by destination, the most
/// frequent first. Flows of cells, and those of `told`, are told by other findings.
pub(super) fn other_failures(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    told: &Ids,
) -> Vec<Finding> {
    let untold = untold(evidence, told);
    let netbios = untold.iter().any(|(_, flow)| flow.responder.port == SMB_OVER_NETBIOS)
        || evidence.plain.unanswered().any(|lane| lane.has_port(SMB_OVER_NETBIOS));
    let over_smb = if netbios { over_smb(evidence) } else { Known::default() };
    let is_other =
        |pair: &(Address, Address), port| port != SMB_OVER_NETBIOS || !over_smb.contains(pair);
    let others = untold.into_par_iter().filter_map(|(cause, flow)| {
        let pair = (flow.initiator.address, flow.responder.address);
        let called = (flow.responder.address, flow.transport, flow.responder.port);
        is_other(&pair, flow.responder.port).then_some((cause, called, flow))
    });
    let mut others: Vec<Failure<'_>> = others.collect();
    // Stable: those of one destination stay in order.
    others.par_sort_by_key(|(cause, called, _)| (*cause, *called));
    let by_cause = others.chunk_by(|one, other| one.0 == other.0);
    let mut causes: BTreeMap<FindingKind, &[Failure<'_>]> =
        by_cause.filter_map(|failures| Some((failures.first()?.0, failures))).collect();
    let wanted = |lane: &Lane, port| is_other(&(lane.from(), lane.to()), port);
    let repeated = evidence.plain.repeated(wanted);
    if !repeated.is_empty() {
        causes.entry(FindingKind::Dropped).or_default();
    }
    let findings = causes.into_par_iter().map(|(cause, failures)| {
        // Nothing but silence is plain.
        let plain = if cause == FindingKind::Dropped { &repeated[..] } else { &[] };
        let attempts = Attempts::of(failures, plain, |(to, _, port)| {
            evidence.plain.first_repeated(to, port, wanted).take(SHOWN_FLOWS).collect()
        });
        let mut finding = of_cause(evidence, words, cause, &attempts);
        let flows = attempts.most.iter().flat_map(|(_, _, flows)| flows).map(Cow::as_ref);
        fill_from(flows.collect(), &mut finding, evidence, FindingKind::OtherFailures);
        finding
    });
    findings.collect()
}

/// A failing flow, with what went wrong and whom it called.
type Failure<'a> = (FindingKind, Destination, &'a JudgedFlow);

/// A destination, with the number of attempts and the first of them.
type Tried<'a> = (Destination, u64, Vec<Cow<'a, JudgedFlow>>);

/// Attempts that failed in one way, by destination.
struct Attempts<'a> {
    count: u64,
    destinations: usize,
    /// The most frequent destinations.
    most: Vec<Tried<'a>>,
}

impl<'a> Attempts<'a> {
    /// `telling` stand by destination; `plain` are the destinations of plain flows, one by one, and
    /// `first` gives the first of these.
    fn of(
        telling: &[Failure<'a>],
        plain: &[(Address, u16)],
        first: impl Fn(Destination) -> Vec<JudgedFlow>,
    ) -> Attempts<'a> {
        let told = telling.chunk_by(|one, other| one.1 == other.1);
        let told = told.filter_map(|of| Some((of.first()?.1, of.len() as u64, false)));
        let called = |(to, port): &(Address, u16)| ((*to, Transport::Tcp, *port), 1, true);
        // Room for all of them, of which few are of one destination: to grow costs more.
        let mut all: Vec<(Destination, u64, bool)> =
            Vec::with_capacity(telling.len() + plain.len());
        all.extend(told.chain(plain.iter().map(called)));
        all.par_sort_unstable();
        all.dedup_by(|(later, more, plain), (to, count, has_plain)| {
            let same = later == to;
            *count += if same { *more } else { 0 };
            *has_plain |= same && *plain;
            same
        });
        let count = all.iter().map(|(_, count, _)| count).sum();
        let destinations = all.len();
        // Stable: destinations of one count stay in order.
        all.par_sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
        all.truncate(TOLD_DESTINATIONS);
        let most = all.into_iter().map(|(to, count, has_plain)| {
            let start = telling.partition_point(|(_, called, _)| *called < to);
            let told = telling.get(start..).unwrap_or_default().iter();
            let told = told.take_while(|(_, called, _)| *called == to).take(SHOWN_FLOWS);
            let mut flows: Vec<Cow<'_, JudgedFlow>> =
                told.map(|(.., flow)| Cow::Borrowed(*flow)).collect();
            if has_plain {
                flows.extend(first(to).into_iter().map(Cow::Owned));
                flows.sort_by_key(|flow| flow.id);
                flows.truncate(SHOWN_FLOWS);
            }
            (to, count, flows)
        });
        let most = most.collect();
        Attempts { count, destinations, most }
    }
}

/// Failing flows that neither a cell nor another finding is about, by id, with what went wrong.
fn untold<'a>(evidence: &Evidence<'a>, told: &Ids) -> Vec<(FindingKind, &'a JudgedFlow)> {
    let flows = evidence.flows.par_iter();
    let failed = flows.filter(|flow| !is_weak(flow) && !told.contains(&flow.id));
    let mut failed: Vec<(FindingKind, &JudgedFlow)> =
        failed.filter_map(|flow| Some((cause_of(flow)?, *flow))).collect();
    let mut left: Ids = failed.iter().map(|(_, flow)| flow.id).collect();
    for flow in evidence.sheet.cells.iter().flat_map(|cell| &cell.flows) {
        if left.is_empty() {
            break;
        }
        left.remove(flow);
    }
    failed.retain(|(_, flow)| left.contains(&flow.id));
    failed
}

/// Pairs of hosts of which one was reached by SMB itself.
fn over_smb(evidence: &Evidence<'_>) -> Known<(Address, Address)> {
    let flows = evidence.flows.iter();
    let served = flows.filter(|flow| flow.class == Class::Success && flow.responder.port == SMB);
    served.map(|flow| (flow.initiator.address, flow.responder.address)).collect()
}

fn of_cause(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    cause: FindingKind,
    attempts: &Attempts<'_>,
) -> Finding {
    let Attempts { count, destinations, most } = attempts;
    let named = |((address, transport, port), _, flows): &Tried<'_>| {
        let code = flows.first().and_then(|flow| flow.service.code.as_deref());
        let code = code.filter(|_| cause == FindingKind::ServiceFailed);
        let answer = code.map(|code| format!(": {}", bounded(code, 60))).unwrap_or_default();
        format!("{} ({transport}/{port}{answer})", words.host(*address))
    };
    let told = |((address, transport, port), count, flows): &Tried<'_>| {
        let host = words.host(*address);
        let Some(first) = flows.first() else { return host };
        let what = seen(first, evidence.several);
        let what = if cause == FindingKind::ServiceFailed {
            format!("{what}, the service answered: {}", answer_of(first))
        } else {
            what
        };
        match count {
            1 => format!("{host} on {transport}/{port}: {what}"),
            many => format!("{host} on {transport}/{port}, {many} times, the first: {what}"),
        }
    };
    let titled: Vec<String> = most.iter().take(TITLED_DESTINATIONS).map(named).collect();
    let untitled = destinations - titled.len();
    let told: Vec<String> = most.iter().map(told).collect();
    let more = destinations - told.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} others") };
    let mut flows: Vec<u64> =
        most.iter().flat_map(|(_, _, flows)| flows).map(|flow| flow.id).collect();
    flows.sort_unstable();
    let explanation = then(&format!("{}{more}", told.join("; ")), meaning(cause, cause));
    let unjudged = format!(
        "No requirement of the matrix \"{}\" is about them, so they are not judged",
        evidence.sheet.profile
    );
    let severity = if evidence.sheet.cells.is_empty() { Severity::Warning } else { Severity::Info };
    Finding {
        title: format!(
            "{} outside the matrix {}: {}",
            count_of(usize::try_from(*count).unwrap_or(usize::MAX), "attempt"),
            what_became(cause),
            list_and(&titled, untitled)
        ),
        explanation: then(&explanation, &unjudged),
        attempts: *count,
        flows,
        next_step: "list them with the command flows; if one of them is needed, add it to a \
                    matrix of your own (--matrix FILE)"
            .to_owned(),
        ..Finding::of(FindingKind::OtherFailures, severity)
    }
}

/// What became of attempts, as the end of a sentence about them.
fn what_became(cause: FindingKind) -> &'static str {
    const ENDS: [(FindingKind, &str); 7] = [
        (FindingKind::DroppedHere, "were dropped by the machine itself"),
        (FindingKind::Prohibited, "were told that a rule forbids them"),
        (FindingKind::Refused, "were refused"),
        (FindingKind::RefusedByHost, "were refused by the host itself"),
        (FindingKind::Unconfirmed, "stayed half open"),
        (FindingKind::Unreachable, "were told that there is no way"),
        (FindingKind::ServiceFailed, "reached a service that failed"),
    ];
    let end = ENDS.iter().find(|(kind, _)| *kind == cause);
    end.map_or("got no answer", |(_, end)| end)
}
