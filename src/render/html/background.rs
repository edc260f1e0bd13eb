//! What stands behind a report: logs, hosts and how their roles are known, captures.

use crate::matrix::{HostRecord, RoleSource};
use crate::render::html::findings::tone;
use crate::render::html::markup::Markup;
use crate::render::phrase;
use crate::report::{CaptureRecord, Report};

/// Rows of a table, and problems or lines of one file, that are laid out.
const MOST: usize = 300;
const MOST_OF_ONE: usize = 20;

fn head(page: &mut Markup, label: &'static str, columns: &[&'static str]) {
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"");
    page.raw(label).raw("\"><table><caption class=\"hidden\">").raw(label);
    page.raw("</caption><thead><tr>");
    for column in columns {
        page.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    page.raw("</tr></thead><tbody>\n");
}

fn foot(all: usize, thing: &str, page: &mut Markup) {
    page.raw("</tbody></table></div>\n");
    let left = all.saturating_sub(MOST);
    if left > 0 {
        page.raw("<p class=\"more\">and ")
            .text(&phrase::counted(phrase::count(left), thing))
            .raw(" more: <code>--format json</code> has all.</p>\n");
    }
}

/// Hosts with a role or a name.
pub(super) fn hosts(report: &Report, page: &mut Markup) {
    head(page, "hosts", &["address", "names", "roles", "known from"]);
    for host in report.hosts.iter().take(MOST) {
        page.raw("<tr><td class=\"code\">").name(&host.address.to_string());
        for other in &host.same_host {
            page.raw("<br>").name(&other.to_string());
        }
        page.raw("</td><td>").name(&host.names.join(", ")).raw("</td><td>");
        let roles: Vec<&str> = host.roles.iter().map(|role| role.role.as_str()).collect();
        page.text(&roles.join(", ")).raw("</td><td class=\"seen\">");
        page.text(&known(host).join("; ")).raw("</td></tr>\n");
    }
    foot(report.hosts.len(), "host", page);
}

fn known(host: &HostRecord) -> Vec<String> {
    let mut known: Vec<String> = host
        .roles
        .iter()
        .map(|role| match (role.source, &role.evidence) {
            (RoleSource::Given, _) => "given".to_owned(),
            (RoleSource::Inferred, Some(evidence)) => match role.confidence {
                Some(confidence) => format!("{evidence} ({confidence})"),
                None => evidence.clone(),
            },
            (RoleSource::Inferred, None) => "inferred".to_owned(),
        })
        .collect();
    known.extend(host.same_host_evidence.clone());
    known
}

/// Captures, and what is wrong with them.
pub(super) fn captures(report: &Report, page: &mut Markup) {
    let columns = ["no.", "capture", "format", "frames", "first seen", "lasts", "remarks"];
    head(page, "captures", &columns);
    for (place, capture) in report.captures.iter().enumerate().take(MOST) {
        page.raw("<tr><td class=\"soft\">").count(place + 1).raw("</td><td class=\"path\">");
        page.name(&capture.path);
        if let Some(digest) = &capture.sha256 {
            page.raw("<br><span class=\"digest\">SHA-256 ").text(digest).raw("</span>");
        }
        page.raw("</td><td>").text(capture.format.as_deref().unwrap_or("not readable"));
        page.raw("</td><td class=\"many\">").text(&phrase::number(capture.frames));
        page.raw("</td><td class=\"code\">");
        if let Some(first) = capture.first_seen {
            page.text(&first.to_string());
            page.raw(if capture.zone == "utc" { "" } else { " (zone not known)" });
        }
        page.raw("</td><td>");
        if let (Some(first), Some(last)) = (capture.first_seen, capture.last_seen) {
            page.text(&phrase::duration(last.at.since(first.at)));
        }
        page.raw("</td><td class=\"seen\">");
        remarks(report, capture, page);
        page.raw("</td></tr>\n");
    }
    foot(report.captures.len(), "capture", page);
}

fn remarks(report: &Report, capture: &CaptureRecord, page: &mut Markup) {
    if let Some(taken_on) = &capture.taken_on {
        page.raw("<p>").text(&taken_on.evidence).raw("</p>");
    }
    for problem in capture.problems.iter().take(MOST_OF_ONE) {
        page.raw("<p class=\"").raw(tone(problem.severity)).raw("\">");
        page.raw(tone(problem.severity)).raw(": ");
        if let Some(frame) = problem.frame {
            page.raw("frame ").text(&frame.to_string()).raw(": ");
        }
        page.text(&problem.message).raw("</p>");
    }
    let original = capture.same_as.and_then(|place| report.captures.get(place));
    if let Some(original) = original {
        page.raw("<p>a copy of ").name(&original.path).raw(", counted once</p>");
    }
    if let Some(whole) = capture.part_of {
        page.raw("<p>a piece of capture ").count(whole.saturating_add(1)).raw("</p>");
    }
    for neighbour in capture.silent_neighbours.iter().take(MOST_OF_ONE) {
        page.raw("<p>neighbour ").text(&neighbour.address.to_string());
        page.raw(" was asked for by ").text(&neighbour.asked_by.to_string()).raw(" ");
        page.text(&phrase::counted(neighbour.asked, "time")).raw(", from frame ");
        page.text(&neighbour.first_frame.to_string()).raw(", and never answered</p>");
    }
    for comment in capture.comments.iter().take(MOST_OF_ONE) {
        page.raw("<p><q>").text(&comment.text).raw("</q>");
        if let Some(frame) = comment.frame {
            page.raw(" on frame ").text(&frame.to_string());
        }
        page.raw("</p>");
    }
}

/// Logs of the failing machine, with the lines that matter.
pub(super) fn logs(report: &Report, page: &mut Markup) {
    for log in report.logs.iter().take(MOST) {
        page.raw("<h3><span class=\"code\">").name(&log.path).raw("</span> <span class=\"soft\">");
        page.raw(log.kind.map_or("not a log that can be read", |kind| kind.as_str()));
        page.raw(", ").text(&phrase::counted(log.lines, "line")).raw("</span></h3>\n");
        if let Some(offset) = &log.clock_offset {
            page.raw("<p class=\"soft\">").text(&offset.evidence).raw("</p>\n");
        }
        for problem in log.problems.iter().take(MOST_OF_ONE) {
            page.raw("<p class=\"").raw(tone(problem.severity)).raw("\">");
            if let Some(line) = problem.line {
                page.raw("line ").number(line).raw(": ");
            }
            page.text(&problem.message).raw("</p>\n");
        }
        if log.entries.is_empty() {
            continue;
        }
        head(page, "lines of the log", &["line", "time", "severity", "text"]);
        for entry in log.entries.iter().take(MOST) {
            page.raw("<tr class=\"").raw(tone(entry.severity)).raw("\"><td class=\"many\">");
            page.number(entry.line).raw("</td><td class=\"code\">");
            page.text(&entry.time.map(|time| time.to_string()).unwrap_or_default());
            page.raw("</td><td>").raw(tone(entry.severity)).raw("</td><td>");
            page.text(&entry.text).raw("</td></tr>\n");
        }
        foot(log.entries.len(), "line", page);
    }
}
