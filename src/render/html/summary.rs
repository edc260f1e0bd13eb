//! The first screen: what failed, what to ask for, and where to begin, a sentence each.

use crate::capture::Severity;
use crate::diagnosis::Rule;
use crate::net::{Address, Transport};
use crate::render::html::markup::Markup;
use crate::render::html::sign::Sign;
use crate::render::phrase;
use crate::render::triage::Triage;
use crate::report::Report;

/// Rules that a sentence names; of more it says how many there are.
const NAMED_RULES: usize = 2;

/// Draws it.
pub(super) fn summary(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    page.raw("<h1>").text(&sentence(&triage.headline(report))).raw("</h1>\n");
    if report.captures.is_empty() {
        return;
    }
    page.raw("<p class=\"lead\">");
    request(report, triage, page);
    page.raw("</p>\n");
    if let Some(first) = report.findings.iter().find(|it| it.severity != Severity::Info) {
        page.raw("<p class=\"lead\"><b>Begin here:</b> ").text(&sentence(&first.title));
        if !first.next_step.trim().is_empty() {
            // The rest of it stands with the finding.
            let step = phrase::first_sentence(&first.next_step);
            let step = step.split_once("; ").map_or(step, |(step, _)| step);
            page.raw(" ").text(&sentence(step));
        }
        page.raw("</p>\n");
    }
    tally(report, page);
}

/// A line as a sentence: with a capital letter and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
}

fn request(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    let asked: Vec<String> =
        report.rule_set.rules.iter().map(|rule| rule_of_set(rule, triage)).collect();
    if asked.is_empty() {
        let failed = report.matrix.cells.iter().any(|it| Sign::of_outcome(it.outcome).is_bad())
            || report.totals.timeout + report.totals.reject > 0;
        page.raw(if failed {
            "<b>Ask the firewall team for nothing:</b> no rule would mend what was seen."
        } else {
            "<b>Nothing to ask for.</b>"
        });
        return;
    }
    page.raw("<b>Ask the firewall team</b> ");
    if asked.len() > NAMED_RULES {
        page.raw("for <a href=\"#requests\">")
            .text(&phrase::counted(phrase::count(asked.len()), "rule"))
            .raw("</a>; the first lets ");
    } else {
        page.raw("to let ");
    }
    let named = if asked.len() > NAMED_RULES { 1 } else { asked.len() };
    for (place, rule) in asked.iter().take(named).enumerate() {
        page.raw(if place > 0 { "; and " } else { "" }).text(rule);
    }
    page.raw(".");
}

fn rule_of_set(rule: &Rule, triage: &Triage<'_>) -> String {
    told(
        &hosts(&rule.sources, triage),
        &hosts(&rule.destinations, triage),
        &ports(rule),
        &rule.direction,
    )
}

fn told(from: &str, to: &str, ports: &str, direction: &str) -> String {
    match direction {
        "both" => format!("{from} and {to} open connections to each other on {ports}"),
        _ => format!("{from} open connections to {to} on {ports}"),
    }
}

/// The hosts of a rule, as people know them: the first few, and how many there are.
fn hosts(addresses: &[Address], triage: &Triage<'_>) -> String {
    let named: Vec<String> = addresses.iter().take(3).map(|it| triage.name(*it)).collect();
    match addresses.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Ports of a rule, by transport: "TCP 53, 88; UDP 53".
pub(super) fn ports(rule: &Rule) -> String {
    let of = |transport: Transport| {
        let mut ports: Vec<&str> = Vec::new();
        for each in rule.ports.iter().filter(|each| each.transport == transport) {
            if !ports.contains(&each.ports.as_str()) {
                ports.push(&each.ports);
            }
        }
        match ports.len() {
            0 => None,
            _ => Some(format!("{} {}", upper(transport), ports.join(", "))),
        }
    };
    [Transport::Tcp, Transport::Udp].into_iter().filter_map(of).collect::<Vec<_>>().join("; ")
}

/// A transport as firewall teams write it.
pub(super) fn upper(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    }
}

/// How many requirements had which outcome. It is the legend of the signs as well.
fn tally(report: &Report, page: &mut Markup) {
    if report.matrix.cells.is_empty() {
        return;
    }
    page.raw("<ul class=\"tally\" aria-label=\"Requirements by outcome\">");
    for sign in Sign::ALL {
        let cells = report.matrix.cells.iter();
        let mut many =
            phrase::count(cells.filter(|cell| Sign::of_outcome(cell.outcome) == sign).count());
        if sign == Sign::Untried {
            many += report.matrix.not_exercised_unlisted;
        }
        if many > 0 {
            page.raw("<li class=\"").raw(sign.class()).raw("\">");
            sign.draw(page);
            page.raw("<b>").text(&phrase::number(many)).raw("</b> ").raw(sign.word()).raw("</li>");
        }
    }
    page.raw("</ul>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn of(report: &Report) -> String {
        let mut page = Markup::new();
        summary(report, &Triage::of(report), &mut page);
        page.as_str().to_owned()
    }

    #[test]
    fn it_says_what_failed_and_what_to_ask_for() {
        let page = of(&samples::seed());
        assert!(
            page.starts_with(
                "<h1>5 of 6 exercised requirements failed, from CAS01 10.0.0.5 to ROOTDC1 10.1.0.10"
            ),
            "{page}"
        );
        assert!(page.contains("to let CAS01 10.0.0.5 open connections to ROOTDC1 10.1.0.10 on TCP 53, 88, 135, 389, 3268"), "{page}");
        assert!(page.contains("<b>Begin here:</b>"), "{page}");
        // The source port of the seed is in no request.
        assert!(!page.contains("52702"));
    }

    #[test]
    fn where_nothing_failed_nothing_is_asked_for() {
        let page = of(&samples::good());
        assert!(page.contains("Nothing to ask for"), "{page}");
        assert!(!of(&samples::empty()).contains("ask"));
    }
}
