//! What stands behind an analysis: findings, hosts and how their roles are known, captures.

use std::io;
use std::net::IpAddr;

use crate::capture::Severity;
use crate::matrix::{HostRecord, RoleRecord, RoleSource};
use crate::net::Address;
use crate::render::phrase;
use crate::render::terminal::ink::{Ink, inked};
use crate::render::terminal::logs;
use crate::render::terminal::page::Page;
use crate::render::triage::Triage;
use crate::report::{CaptureRecord, Report};
use crate::verdict::record::{Class, Verdict};

/// Captures named at the top.
const FIRST_CAPTURES: usize = 3;
/// Findings, hosts and captures listed unless all are asked for.
const MOST: usize = 20;
/// Problems and remarks listed of one capture.
const MOST_REMARKS: usize = 8;

/// A verdict in the ink of its class.
pub(super) fn verdict(verdict: Verdict, class: Class) -> String {
    let ink = match class {
        Class::Success => Ink::Good,
        Class::Timeout => Ink::Silent,
        Class::Reject => Ink::Refused,
        Class::Inconclusive => Ink::Doubt,
    };
    inked(ink, &phrase::words(verdict.as_str()))
}

pub(super) fn ink_of(severity: Severity) -> Ink {
    match severity {
        Severity::Error => Ink::Silent,
        Severity::Warning => Ink::Doubt,
        Severity::Info => Ink::Faint,
    }
}

fn worst(capture: &CaptureRecord) -> Option<Severity> {
    let bad = |problem: &Severity| *problem != Severity::Info;
    capture.problems.iter().map(|problem| problem.severity).filter(bad).min()
}

/// How many captures could not be read without trouble.
pub(super) fn damaged(report: &Report) -> u64 {
    phrase::count(report.captures.iter().filter(|capture| worst(capture).is_some()).count())
}

/// The captures under the headline, a line each, or one line for many.
pub(super) fn captures_in_short(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    let places: Vec<usize> =
        (0..).zip(&report.captures).filter(|(_, it)| it.counts()).map(|(place, _)| place).collect();
    if places.len() > FIRST_CAPTURES {
        let frames = report.frames();
        let line = format!(
            "{}, {}",
            phrase::counted(phrase::count(places.len()), "capture"),
            phrase::counted(frames, "frame")
        );
        page.paragraph(0, 2, None, &line)?;
    } else {
        for place in places {
            capture_in_short(report, place, page, 0)?;
        }
    }
    if let Some(filter) = &report.options.filters.filter {
        let line = page.safe(&phrase::filtered(filter));
        page.paragraph(0, 2, None, &line)?;
    }
    let damaged = damaged(report);
    if damaged > 0 {
        let captures = phrase::counted(damaged, "capture");
        let line = format!("{captures} could not be read without trouble: see CAPTURES below");
        page.paragraph(0, 2, Some(Ink::Doubt), &line)?;
    }
    Ok(())
}

/// `[1] site.cap: Network Monitor 2.3, 1,284 frames, 7 min 29 s`.
fn capture_in_short(
    report: &Report,
    place: usize,
    page: &mut Page<'_>,
    indent: usize,
) -> io::Result<()> {
    let Some(capture) = report.captures.get(place) else { return Ok(()) };
    let number = if report.has_several() { format!("[{}] ", place + 1) } else { String::new() };
    let mut facts = Vec::new();
    match &capture.format {
        Some(format) => facts.push(page.short(format, 40)),
        None => facts.push("not a capture that can be read".to_owned()),
    }
    if let Some(compression) = &capture.compression {
        facts.push(page.short(compression, 20));
    }
    facts.push(phrase::counted(capture.frames, "frame"));
    if let (Some(first), Some(last)) = (capture.first_seen, capture.last_seen) {
        facts.push(phrase::duration(last.at.since(first.at)));
    }
    if let Some(taken_on) = &capture.taken_on {
        let machine = Triage::of(report).taken_on(taken_on);
        facts.push(format!("taken on {}", page.short(&machine, 100)));
    }
    let name = page.short(&capture.path, 200);
    let line = format!("{number}{name}: {}", facts.join(", "));
    page.linked(indent, &line, &name, &capture.path)
}

/// Findings in their order: the bad ones with what was seen and what to do next, the others by their
/// titles.
pub(super) fn findings(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    if report.findings.is_empty() {
        return Ok(());
    }
    page.heading("FINDINGS", "")?;
    let most = if page.verbose() { usize::MAX } else { MOST };
    let mut cut = false;
    for (place, finding) in report.findings.iter().take(most).enumerate() {
        let title = page.short(&finding.title, 240);
        let label = format!("{}. {}:", place + 1, finding.severity);
        let title = match finding.explained_by {
            Some(cause) => format!("{title} (explained by {})", cause + 1),
            None => title,
        };
        page.labelled(0, Some(ink_of(finding.severity)), &label, &title)?;
        if finding.severity == Severity::Info && !page.verbose() {
            cut = true;
            continue;
        }
        page.paragraph(3, 3, None, &page.short(&finding.explanation, 1200))?;
        if let Some(symptom) = &finding.symptom {
            let symptom = format!("setup may show: {}", page.short(symptom, 400));
            page.paragraph(3, 9, Some(Ink::Faint), &symptom)?;
        }
        logs::of_finding(report, finding, page)?;
        if !finding.next_step.trim().is_empty() {
            let next = format!("next: {}", page.short(&finding.next_step, 600));
            page.paragraph(3, 9, Some(Ink::Strong), &next)?;
        }
    }
    let more = report.findings.len().saturating_sub(most);
    if more > 0 {
        page.more(0, phrase::count(more), "(use --format json for all)")?;
    }
    if cut {
        page.paragraph(0, 2, Some(Ink::Faint), "--verbose explains the last ones too")?;
    }
    Ok(())
}

/// Hosts, their roles, and how those are known.
pub(super) fn hosts(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    if report.hosts.is_empty() {
        return Ok(());
    }
    page.heading("HOSTS", "")?;
    let most = if page.verbose() { usize::MAX } else { MOST };
    for host in report.hosts.iter().take(most) {
        let mut names: Vec<String> =
            host.names.iter().take(3).map(|name| page.short(name, 60)).collect();
        if host.names.len() > names.len() {
            names.push(format!("{} more", host.names.len() - names.len()));
        }
        let names = if names.is_empty() { String::new() } else { names.join(", ") + " " };
        let roles: Vec<String> = host.roles.iter().map(|role| role_known(role, page)).collect();
        let colon = if roles.is_empty() { "" } else { ": " };
        let same = also(host).map(|also| format!(" ({also})")).unwrap_or_default();
        let line = format!("{names}{}{same}{colon}{}", host.address, roles.join("; "));
        page.paragraph(2, 4, None, &line)?;
    }
    let more = report.hosts.len().saturating_sub(most);
    if more > 0 {
        page.more(2, phrase::count(more), "(use --format json for all)")?;
    }
    Ok(())
}

/// The other addresses of a host, and what proves it.
fn also(host: &HostRecord) -> Option<String> {
    let evidence = host.same_host_evidence.as_deref()?;
    let others: Vec<String> = host.same_host.iter().take(4).map(Address::to_string).collect();
    let more = if host.same_host.len() > others.len() { " and more" } else { "" };
    Some(format!("also {}{more}: {evidence}", others.join(", ")))
}

fn role_known(role: &RoleRecord, page: &Page<'_>) -> String {
    let name = page.short(&role.role, 40);
    // How sure an inferred role is tells that it is one.
    let sure = role.confidence.map_or("inferred", |confidence| confidence.as_str());
    let most = if page.verbose() { 1200 } else { 240 };
    match (role.source, &role.evidence) {
        (RoleSource::Given, None) => format!("{name} (given)"),
        (RoleSource::Given, Some(evidence)) => {
            format!("{name} (given: {})", page.short(evidence, 240))
        }
        (RoleSource::Inferred, Some(evidence)) => {
            format!("{name} ({sure}: {})", page.short(evidence, most))
        }
        (RoleSource::Inferred, None) => format!("{name} ({sure})"),
    }
}

/// Captures with their problems, remarks and frames without a flow.
pub(super) fn captures(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    if report.captures.is_empty() {
        return Ok(());
    }
    page.heading("CAPTURES", "")?;
    let mut places: Vec<usize> = (0..report.captures.len()).collect();
    // Those with problems first: they are why one looks here.
    places.sort_by_key(|place| {
        report.captures.get(*place).and_then(worst).map_or(3, |severity| severity as u8)
    });
    let most = if page.verbose() { usize::MAX } else { MOST };
    for place in places.iter().take(most) {
        capture_in_short(report, *place, page, 2)?;
        if let Some(capture) = report.captures.get(*place) {
            details(capture, page)?;
        }
    }
    let more = places.len().saturating_sub(most);
    if more > 0 {
        page.more(2, phrase::count(more), "(use --format json for all)")?;
    }
    Ok(())
}

fn details(capture: &CaptureRecord, page: &mut Page<'_>) -> io::Result<()> {
    if let Some(first) = capture.first_seen {
        let zone = if capture.zone == "utc" {
            ""
        } else {
            ", local time of the capturing machine: the capture does not tell its zone"
        };
        page.paragraph(4, 6, None, &format!("from {first}{zone}"))?;
    }
    if let (true, Some(taken_on)) = (page.verbose(), &capture.taken_on) {
        let addresses: Vec<String> = taken_on.addresses.iter().map(IpAddr::to_string).collect();
        let line =
            format!("taken on {}: {}", addresses.join(", "), page.short(&taken_on.evidence, 240));
        page.paragraph(4, 6, None, &line)?;
    }
    if let (true, Some(digest)) = (page.verbose(), &capture.sha256) {
        page.paragraph(4, 6, None, &format!("SHA-256 {}", page.short(digest, 80)))?;
    }
    let most = if page.verbose() { usize::MAX } else { MOST_REMARKS };
    for problem in capture.problems.iter().take(most) {
        let place = problem.frame.map_or_else(String::new, |frame| format!("frame {frame}: "));
        let offset = problem.offset.map_or_else(String::new, |at| format!(" (offset {at:#x})"));
        let line = format!("{place}{}{offset}", page.short(&problem.message, 600));
        let label = format!("{}:", problem.severity);
        page.labelled(4, Some(ink_of(problem.severity)), &label, &line)?;
    }
    if capture.problems.len() > most {
        let more = phrase::count(capture.problems.len() - most);
        page.more(4, more, "problems (use --format json for all)")?;
    }
    if page.verbose() {
        for path in &capture.left_out {
            let line = format!("left out: {}", page.short(path, 400));
            page.paragraph(4, 6, None, &line)?;
        }
    }
    skipped(capture, page)?;
    if page.verbose() {
        not_understood(capture, page)?;
    }
    comments(capture, page)
}

/// Lines of a text that could not be read.
fn not_understood(capture: &CaptureRecord, page: &mut Page<'_>) -> io::Result<()> {
    for line in &capture.not_understood {
        let text = format!("line {} not understood: {}", line.line, page.short(&line.text, 400));
        page.paragraph(4, 6, None, &text)?;
    }
    let listed = phrase::count(capture.not_understood.len());
    let more = capture.lines_not_understood.saturating_sub(listed);
    if more > 0 {
        page.more(4, more, "lines not understood")?;
    }
    Ok(())
}

fn skipped(capture: &CaptureRecord, page: &mut Page<'_>) -> io::Result<()> {
    if capture.skipped.is_empty() {
        return Ok(());
    }
    let total = capture.skipped.iter().map(|skipped| skipped.count).sum();
    let most = if page.verbose() { usize::MAX } else { MOST_REMARKS };
    let mut kinds: Vec<String> = capture
        .skipped
        .iter()
        .take(most)
        .map(|skipped| {
            let count = phrase::number(skipped.count);
            let what = page.short(&skipped.what, 60);
            format!("{count} {what} (first: frame {})", skipped.first_frame)
        })
        .collect();
    let more = capture.skipped.len().saturating_sub(most);
    if more > 0 {
        kinds.push(format!("{more} more kinds"));
    }
    let frames = phrase::counted(total, "frame");
    page.paragraph(4, 6, None, &format!("{frames} without a flow: {}", kinds.join(", ")))
}

fn comments(capture: &CaptureRecord, page: &mut Page<'_>) -> io::Result<()> {
    let most = if page.verbose() { usize::MAX } else { MOST_REMARKS };
    for comment in capture.comments.iter().take(most) {
        let place = match comment.frame {
            Some(frame) => format!("remark on frame {frame}"),
            None => "remark".to_owned(),
        };
        page.paragraph(4, 6, None, &format!("{place}: {}", page.short(&comment.text, 400)))?;
    }
    let hidden = phrase::count(capture.comments.len().saturating_sub(most));
    let more = hidden.saturating_add(capture.comments_left_out);
    if more > 0 {
        page.more(4, more, "remarks in the capture")?;
    }
    Ok(())
}
