//! What to know and what to do: findings, rules to ask for, and lines to run.

use crate::capture::Severity;
use crate::diagnosis::Finding;
use crate::render::html::markup::Markup;
use crate::render::html::summary::ports;
use crate::render::phrase;
use crate::render::triage::{Part, Triage};
use crate::report::Report;

/// Findings, rules and hosts that are laid out; JSON has all.
const MOST: usize = 100;

/// Findings, each with those that it explains.
pub(super) fn findings(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    let count = report.findings.len();
    page.raw("<ol class=\"findings\">\n");
    for (place, finding) in report.findings.iter().enumerate().take(MOST) {
        // An explained one stands below what explains it, as long as that is another.
        let under = finding.explained_by.filter(|cause| *cause != place && *cause < count);
        if under.is_some() {
            continue;
        }
        page.raw("<li id=\"finding-").count(place).raw("\" class=\"").raw(tone(finding.severity));
        page.raw("\">");
        body(report, triage, finding, page);
        let mut explained =
            report.findings.iter().enumerate().filter(|(other, explained)| {
                explained.explained_by == Some(place) && *other != place
            });
        if let Some(first) = explained.next() {
            page.raw("<details class=\"explains\"><summary>explains</summary><ul>");
            for (other, finding) in std::iter::once(first).chain(explained).take(MOST) {
                page.raw("<li id=\"finding-").count(other).raw("\">");
                body(report, triage, finding, page);
                page.raw("</li>");
            }
            page.raw("</ul></details>");
        }
        page.raw("</li>\n");
    }
    page.raw("</ol>\n");
    more(count, "finding", page);
}

fn more(all: usize, thing: &str, page: &mut Markup) {
    let left = all.saturating_sub(MOST);
    if left > 0 {
        page.raw("<p class=\"more\">and ")
            .text(&phrase::counted(phrase::count(left), thing))
            .raw(" more: <code>--format json</code> has all.</p>");
    }
}

/// The class of a severity.
pub(super) fn tone(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

fn body(report: &Report, triage: &Triage<'_>, finding: &Finding, page: &mut Markup) {
    page.raw("<h3><span class=\"severity\">").raw(tone(finding.severity)).raw("</span> ");
    page.text(&finding.title).raw("</h3><p>").text(&finding.explanation).raw("</p>");
    if !finding.next_step.trim().is_empty() {
        page.raw("<p class=\"next\"><b>Next:</b> ").text(&finding.next_step).raw("</p>");
    }
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    if let Some(rung) = finding.rung {
        facts.push(("breaks at", phrase::words(rung.as_str())));
    }
    if let Some(symptom) = &finding.symptom {
        facts.push(("setup shows", symptom.clone()));
    }
    if finding.hosts.len() > 1 {
        let mut hosts: Vec<String> =
            finding.hosts.iter().take(8).map(|host| triage.name(*host)).collect();
        let more = finding.hosts.len() - hosts.len();
        hosts.extend((more > 0).then(|| format!("{more} more")));
        facts.push(("hosts", hosts.join(", ")));
    }
    if finding.attempts > 0 {
        let mut text = phrase::counted(finding.attempts, "attempt");
        if let (Some(first), Some(last)) = (finding.first_seen, finding.last_seen) {
            text = format!("{text}, {first} to {last}");
        }
        facts.push(("seen", text));
    }
    if !finding.frames.is_empty() {
        let frames = finding.frames.iter().map(|place| {
            if report.has_several() {
                format!("[{}] {}", place.capture.saturating_add(1), place.frame)
            } else {
                place.frame.to_string()
            }
        });
        facts.push(("frames", frames.collect::<Vec<_>>().join(", ")));
    }
    for place in &finding.log_lines {
        let log = report.logs.get(place.log);
        let text = log.and_then(|log| log.entries.iter().find(|entry| entry.line == place.line));
        let path = log.map_or("", |log| log.path.as_str());
        let text = text.map_or("", |entry| entry.text.as_str());
        facts.push(("log", format!("{path} line {}: {text}", place.line)));
    }
    if !facts.is_empty() {
        page.raw("<dl class=\"facts\">");
        for (name, value) in &facts {
            page.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>");
        }
        page.raw("</dl>");
    }
}

/// Rules to ask for: as few as there can be where they are known, else one for each pair.
pub(super) fn requests(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"firewall requests\"><table id=\"rules\"><caption class=\"hidden\">Rules to ask for</caption><thead><tr><th scope=\"col\">source</th><th scope=\"col\">destination</th><th scope=\"col\">destination ports</th><th scope=\"col\">direction</th><th scope=\"col\">service</th><th scope=\"col\">reason</th></tr></thead><tbody>\n");
    let rule_set = &report.rule_set;
    for rule in rule_set.rules.iter().take(MOST) {
        page.raw("<tr>");
        for group in [&rule.sources, &rule.destinations] {
            page.raw("<td>");
            for (place, address) in group.iter().enumerate() {
                page.raw(if place > 0 { "<br>" } else { "" }).name(&triage.name(*address));
            }
            page.raw("</td>");
        }
        page.raw("<td class=\"code\">").text(&ports(rule)).raw("</td><td>");
        page.text(&rule.direction).raw("</td><td>");
        let mut services: Vec<&str> = Vec::new();
        for each in &rule.ports {
            if !services.contains(&each.service.as_str()) {
                services.push(&each.service);
            }
        }
        page.text(&services.join(", ")).raw("</td><td class=\"seen\">");
        page.text(&rule.reason).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></div>\n<p class=\"soft\">Source ports are chosen anew for every attempt and belong in no rule. Answers are implied; <i>both</i> means that either side opens connections.");
    let check = rule_set.check;
    if check.mendable > 0 {
        page.raw(" Played against these rules, ")
            .text(&phrase::number(check.mended))
            .raw(" of ")
            .text(&phrase::counted(check.mendable, "attempt"))
            .raw(" that a rule can mend would pass, and ")
            .text(&match check.opened_unasked {
                0 => "nothing that was not asked for would open.".to_owned(),
                more => format!("{} would open unasked.", phrase::counted(more, "more port")),
            });
    }
    page.raw(" <button type=\"button\" class=\"copy\" data-copy-table=\"rules\">copy the table</button></p>\n");
    more(rule_set.rules.len(), "rule", page);
}

/// What nobody tried, and what to run during the next capture.
pub(super) fn untried(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    page.raw("<p>Nobody tried these in the captures, so they neither failed nor passed.</p>\n");
    let pairs = triage.pairs(Part::NotExercised);
    if !pairs.is_empty() {
        page.raw("<ul>");
        for pair in pairs.iter().take(MOST) {
            page.raw("<li>").name(&triage.name(pair.from)).raw(" → ").name(&triage.name(pair.to));
            page.raw(": ").text(&pair.services(MOST).join(", ")).raw("</li>\n");
        }
        page.raw("</ul>\n");
    }
    let unlisted = report.matrix.not_exercised_unlisted;
    if unlisted > 0 {
        page.raw("<p class=\"soft\">")
            .text(&phrase::counted(unlisted, "requirement"))
            .raw(" between hosts whose roles are only inferred: not listed.");
        let never = &report.matrix.never_exercised;
        if pairs.is_empty() && !never.is_empty() {
            page.raw(" No flow of any host is for ").text(&never.join(", ")).raw(".");
        }
        page.raw("</p>\n");
    }
    for tries in report.to_try.iter().take(MOST) {
        page.raw("<h3>Run on ").name(&triage.name(tries.host));
        if !tries.role.is_empty() {
            page.raw(" <span class=\"soft\">").text(&tries.role).raw("</span>");
        }
        page.raw("</h3><div class=\"lines\"><pre>");
        for each in &tries.tries {
            page.text(&each.command).raw("\n");
        }
        page.raw("</pre> ").copy_button("the lines").raw("</div>\n");
    }
    more(pairs.len().max(report.to_try.len()), "host", page);
}
