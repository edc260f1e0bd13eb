//! Findings about roles: what was inferred, what is missing, and how to give them.

use crate::capture::Severity;
use crate::diagnosis::cause::cause_of;
use crate::diagnosis::{Evidence, Finding, FindingKind};
use crate::matrix::{
    HostRecord, RoleRecord, RoleSource, UnmatchedHost, count_of, is_weak, list_of,
};
use crate::verdict::record::Confidence;

/// Hosts that a finding names.
const NAMED: usize = 4;

pub(super) fn findings(
    evidence: &Evidence<'_>,
    unmatched: &[UnmatchedHost],
) -> Vec<(FindingKind, Finding)> {
    let finding = |kind: FindingKind, severity, title, explanation, next_step| {
        (kind, Finding { title, explanation, next_step, ..Finding::of(kind, severity) })
    };
    let mut findings = Vec::new();
    if !unmatched.is_empty() {
        let named: Vec<String> =
            unmatched.iter().map(|host| format!("\"{}\" ({})", host.host, host.role)).collect();
        findings.push(finding(
            FindingKind::RoleNameUnknown,
            Severity::Warning,
            format!("no capture shows {}", list_of(&named, NAMED)),
            format!(
                "{} that was given a role matches no name stored in the captures and no address \
                 of a flow, so it is not judged",
                count_of(unmatched.len(), "name or block")
            ),
            "give its address instead of its name: --role ROLE=ADDRESS".to_owned(),
        ));
    }
    let inferred: Vec<(&HostRecord, &RoleRecord)> = evidence
        .hosts
        .iter()
        .flat_map(|host| host.roles.iter().map(move |role| (host, role)))
        .filter(|(_, role)| role.source == RoleSource::Inferred)
        // Nobody is judged by a weak one: the hosts of the report tell it, and that is enough.
        .filter(|(_, role)| role.confidence != Some(Confidence::Weak))
        .collect();
    if !inferred.is_empty() {
        let told = |(host, role): &(&HostRecord, &RoleRecord)| {
            let evidence = role.evidence.as_deref().unwrap_or_default();
            format!("{} as {} ({evidence})", host.address, role.role)
        };
        // Domain controllers sort before domain members, and tell more.
        let mut sorted = inferred.clone();
        sorted.sort_by_key(|(host, role)| (role.role.as_str(), host.address));
        let told: Vec<String> = sorted.iter().map(told).collect();
        let untried = usize::try_from(evidence.sheet.not_exercised_unlisted).unwrap_or(usize::MAX);
        let many = if inferred.len() == 1 { "role was" } else { "roles were" };
        findings.push(finding(
            FindingKind::RolesInferred,
            Severity::Info,
            format!("{} {many} inferred from traffic", inferred.len()),
            format!(
                "{}. Of these hosts only what they tried is listed; {} that they did not try {}",
                list_of(&told, NAMED),
                count_of(untried, "requirement"),
                if untried == 1 { "is not" } else { "are not" },
            ),
            format!("to have every requirement judged, give the roles: {}", options(evidence)),
        ));
    }
    if evidence.sheet.cells.is_empty() && evidence.sheet.not_exercised_unlisted == 0 {
        let (title, explanation, next_step) = no_roles(evidence);
        // Where nothing failed, nothing was missed for want of roles.
        let fails = evidence.flows.iter().any(|flow| cause_of(flow).is_some() && !is_weak(flow));
        let severity =
            if fails || evidence.flows.is_empty() { Severity::Warning } else { Severity::Info };
        findings.push(finding(FindingKind::NoRoles, severity, title, explanation, next_step));
    }
    findings
}

/// The options that give roles, for the two ends of the matrix's first row.
fn options(evidence: &Evidence<'_>) -> String {
    match evidence.matrix.requirements.first() {
        Some(row) => format!("--role {}=ADDRESS --role {}=ADDRESS", row.from, row.to),
        None => "--role ROLE=ADDRESS".to_owned(),
    }
}

fn no_roles(evidence: &Evidence<'_>) -> (String, String, String) {
    let options = options(evidence);
    if evidence.flows.is_empty() && !evidence.left_out.is_empty() {
        return (
            "the filter leaves no flow to judge".to_owned(),
            format!("none of {} fits it", count_of(evidence.left_out.len(), "flow")),
            "mend the filter or leave it out; the command flows shows what there is".to_owned(),
        );
    }
    if evidence.flows.is_empty() {
        return (
            "the captures hold no flow to judge".to_owned(),
            "no TCP or UDP flow between two endpoints was found, so no requirement was exercised"
                .to_owned(),
            "check what the captures hold (see what was skipped), and repeat the capture while \
             the failing program runs"
                .to_owned(),
        );
    }
    let known: Vec<String> = evidence
        .hosts
        .iter()
        .flat_map(|host| {
            host.roles.iter().map(move |role| format!("{} ({})", host.address, role.role))
        })
        .collect();
    if known.is_empty() {
        return (
            "no host has a role, so no requirement was judged".to_owned(),
            "no roles were given, and no host was called in the way members call a domain \
             controller: by one caller on two of Kerberos, LDAP, Global Catalog, DNS, RPC and SMB"
                .to_owned(),
            format!("give the roles: {options}; or look at all flows with the command flows"),
        );
    }
    (
        "no two hosts have roles between which something is required".to_owned(),
        format!("roles are known of {} only", list_of(&known, NAMED)),
        format!("give the roles of both sides: {options}"),
    )
}
