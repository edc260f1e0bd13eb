//! Cells in, findings out: grouped by cause, linked with what explains them, and ranked.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rayon::iter::{
    IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelExtend, ParallelIterator,
};

use crate::capture::Severity;
use crate::diagnosis::cause::{Weight, fails_at_last};
use crate::diagnosis::causes::Causes;
use crate::diagnosis::grouping::{Group, group, group_untried};
use crate::diagnosis::names::Lookups;
use crate::diagnosis::other::other_failures;
use crate::diagnosis::shares::{Facet, Share, exercised, not_exercised};
use crate::diagnosis::wording::{Words, explanation, next_step, title};
use crate::diagnosis::{Evidence, Finding, FindingKind, FirewallRequest, Ids, facts, rpc};
use crate::matrix::{is_weak, service_failed};
use crate::net::Transport;
use crate::probe::is_outside;

/// Findings with their kinds, not ranked. What explains a finding is told by its index among them.
pub(super) fn findings(
    evidence: &Evidence<'_>,
    requests: &[FirewallRequest],
) -> Vec<(FindingKind, Finding)> {
    let unreached = rpc::unreached(evidence);
    let mut told: Ids = unreached.iter().copied().collect();
    let (shares, (lookups, words, asked)) = rayon::join(
        || exercised(evidence, &told),
        || {
            let asked: Ids = requests.iter().flat_map(|request| &request.flows).copied().collect();
            (Lookups::of(evidence), Words::new(evidence), asked)
        },
    );
    let mut groups = group(evidence, shares, &lookups.answered);
    let names = lookups.findings(evidence, &words);
    let causes = Causes::of(evidence, &groups, &names, &lookups);
    causes.link(&mut groups);
    // They come after the others, so the indices of their causes stand.
    let first_untried = groups.len() + names.len();
    let untried = group_untried(not_exercised(evidence), |share| causes.of_untried(share));

    let mut findings: Vec<(FindingKind, Finding)> = Vec::new();
    findings.par_extend(groups.par_iter().map(|group| of_group(evidence, &words, group, &asked)));
    for (kind, mut finding, callers) in names {
        told.extend(&finding.flows);
        finding.explained_by = causes.of_callers(&callers);
        findings.push((kind, finding));
    }
    debug_assert_eq!(findings.len(), first_untried);
    findings.par_extend(untried.par_iter().map(|group| of_group(evidence, &words, group, &asked)));
    let (of_mappers, others) = rayon::join(
        || rpc::findings(evidence, &words, &unreached, &asked),
        || other_failures(evidence, &words, &told),
    );
    findings.extend(of_mappers);
    findings.par_iter_mut().for_each(|(kind, finding)| facts::fill(finding, evidence, *kind));
    findings.extend(others.into_iter().map(|found| (FindingKind::OtherFailures, found)));
    findings
}

fn of_group(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    group: &Group<'_>,
    asked: &Ids,
) -> (FindingKind, Finding) {
    let shares = &group.shares;
    // What many pairs have in common is one group, with a hundred thousand shares.
    let ((severity, flows), (title, explanation)) = rayon::join(
        || {
            let severities = shares.par_iter().map(|it| severity_of(evidence, group.kind, it));
            let flows = shares.iter().flat_map(|share| &share.flows);
            let mut flows: Vec<u64> = flows.map(|flow| flow.id).collect();
            flows.sort_unstable();
            flows.dedup();
            (severities.min(), flows)
        },
        || (title(words, group), explanation(words, group)),
    );
    let is_asked = flows.iter().any(|flow| asked.contains(flow));
    let finding = Finding {
        title,
        explanation,
        explained_by: group.explained_by,
        hosts: facts::hosts(shares.iter().map(Share::pair)),
        symptom: symptom(group),
        cells: shares.iter().map(|share| share.index).collect(),
        flows,
        next_step: next_step(words, group, is_asked),
        ..Finding::of(group.kind, severity.unwrap_or(Severity::Info))
    };
    (group.kind, finding)
}

/// What setup shows where a port is blocked. A service that answers with an error shows its own.
fn symptom(group: &Group<'_>) -> Option<String> {
    let is_blocked = matches!(
        group.cause,
        FindingKind::DroppedHere
            | FindingKind::Dropped
            | FindingKind::Prohibited
            | FindingKind::Refused
            | FindingKind::Unconfirmed
            | FindingKind::Unreachable
            | FindingKind::RefusedByHost
            | FindingKind::UdpUnanswered
            | FindingKind::Mixed
    );
    if !is_blocked || group.facet() == Facet::NoListener {
        return None;
    }
    // What is required comes first; a service that failed is no blocked port.
    let mut shares: Vec<&Share<'_>> = group
        .shares
        .iter()
        .filter(|share| !share.flows.iter().all(|flow| service_failed(flow)))
        .collect();
    shares.sort_by_key(|share| share.weight);
    shares.into_iter().find_map(|share| {
        let symptom = share.requirement.symptom.as_ref()?;
        Some(format!("without {}: {symptom}", share.cell.service))
    })
}

fn severity_of(evidence: &Evidence<'_>, kind: FindingKind, share: &Share<'_>) -> Severity {
    let failed = match share.weight {
        _ if share.facet == Facet::NoListener => Severity::Info,
        // TCP does the work.
        Weight::Required if share.facet == Facet::UdpOnly => Severity::Warning,
        Weight::Optional if share.facet == Facet::UdpOnly => Severity::Info,
        Weight::Required => Severity::Error,
        Weight::Optional => Severity::Warning,
        Weight::NoListener | Weight::Cleared => Severity::Info,
    };
    match kind {
        FindingKind::CallerCutOff
        | FindingKind::HostUnreachable
        | FindingKind::NameServerSilent
        | FindingKind::PortBlocked
        | FindingKind::UdpUnanswered
        | FindingKind::DroppedHere
        | FindingKind::RpcPortDropped
        | FindingKind::Dropped
        | FindingKind::Prohibited
        | FindingKind::Refused
        | FindingKind::Unconfirmed
        | FindingKind::Unreachable
        | FindingKind::RefusedByHost
        | FindingKind::ServiceFailed => failed,
        FindingKind::Mixed if share.flows.iter().all(|flow| is_no_matter(flow)) => Severity::Info,
        // What works at last is no error any more; where the path always worked, the service
        // served some of what it was asked for; and a datagram may be lost.
        FindingKind::Mixed
            if fails_at_last(evidence, share.cell)
                && share.cell.transport == Transport::Tcp
                && !share.flows.iter().all(|flow| service_failed(flow)) =>
        {
            failed
        }
        // That the connection was accepted and nothing came is not enough to call it a fault.
        FindingKind::Mixed | FindingKind::ServiceSilent => failed.max(Severity::Warning),
        FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::NameNotFound
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles => Severity::Warning,
        FindingKind::CannotTell
        | FindingKind::OtherFailures
        | FindingKind::AlternativeOpen
        | FindingKind::RolesInferred
        | FindingKind::NotExercised => Severity::Info,
    }
}

/// Whether a lookup that failed is one of the internet's names: nothing of the directory needs it.
fn is_no_matter(flow: &crate::verdict::record::JudgedFlow) -> bool {
    flow.responder.port == 53
        && (is_weak(flow)
            || crate::diagnosis::names::question(flow).is_some_and(|(_, name)| is_outside(&name)))
}

/// Ranks findings: errors first, causes before what they explain, what is about more before what
/// is about less; and lets what explains them point to their places.
pub(super) fn ranked(mut findings: Vec<(FindingKind, Finding)>) -> Vec<Finding> {
    raise_causes(&mut findings);
    let mut explains: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, finding) in &findings {
        if let Some(cause) = finding.explained_by {
            *explains.entry(cause).or_default() += 1;
        }
    }
    let rank = |place: &usize| {
        let (kind, finding) = findings.get(*place)?;
        let about = finding.cells.len();
        let depth = depth(&findings, *place);
        let is_cause = explains.contains_key(place);
        Some((
            finding.severity,
            depth,
            !is_cause,
            Reverse(about),
            // What had to work first; what is about no attempt comes last.
            finding.rung.is_none(),
            finding.rung,
            Reverse(finding.attempts),
            *kind,
        ))
    };
    let mut order: Vec<usize> = (0..findings.len()).collect();
    // Stable: findings of one rank stay in the order of their hosts.
    order.sort_by_cached_key(rank);
    let mut places = vec![0; order.len()];
    for (place, index) in order.iter().enumerate() {
        if let Some(slot) = places.get_mut(*index) {
            *slot = place;
        }
    }
    let mut ranked: Vec<(usize, Finding)> = findings
        .into_iter()
        .enumerate()
        .filter_map(|(index, (_, mut finding))| {
            finding.explained_by =
                finding.explained_by.and_then(|cause| places.get(cause).copied());
            Some((*places.get(index)?, finding))
        })
        .collect();
    ranked.sort_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, finding)| finding).collect()
}

/// How many findings stand behind one.
fn depth(findings: &[(FindingKind, Finding)], place: usize) -> usize {
    let mut depth = 0;
    let mut next = findings.get(place).and_then(|(_, finding)| finding.explained_by);
    while let Some(cause) = next {
        depth += 1;
        if depth > findings.len() {
            break;
        }
        next = findings.get(cause).and_then(|(_, finding)| finding.explained_by);
    }
    depth
}

/// A cause is at least as bad as what it explains.
fn raise_causes(findings: &mut [(FindingKind, Finding)]) {
    // A chain of causes is short; each round carries a severity one link further.
    for _ in 0..4 {
        for place in 0..findings.len() {
            let Some((_, finding)) = findings.get(place) else { continue };
            let (severity, cause) = (finding.severity, finding.explained_by);
            if let Some((_, cause)) = cause.and_then(|cause| findings.get_mut(cause)) {
                cause.severity = cause.severity.min(severity);
            }
        }
    }
}
