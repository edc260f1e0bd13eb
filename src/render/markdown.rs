//! Markdown for a ticket (GitHub, Azure DevOps): what failed, what to open, what is proven.
//!
//! Long tables are cut, because a ticket holds about 65,000 characters; CSV has all.

use std::io;
use std::io::Write;

use crate::matrix::{Cell, RoleSource};
use crate::net::{Address, Endpoint};
use crate::render::View;
use crate::render::phrase;
use crate::render::seen;
use crate::render::text::{cut, markdown, markdown_code};
use crate::render::triage;
use crate::render::triage::{Part, Triage};
use crate::report::{CaptureRecord, Report};

/// Rows of one table.
const MOST_ROWS: usize = 100;
/// Columns of one piece of text.
const LONGEST: usize = 400;

/// Writes the page of a view.
pub(super) fn page(report: &Report, view: View, out: &mut dyn Write) -> io::Result<()> {
    match view {
        View::Analysis => analysis(report, out),
        View::Flows => flows(report, out),
    }
}

fn analysis(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let triage = Triage::of(report);
    writeln!(out, "**{}.**", prose(&triage.headline(report)))?;
    cells(report, &triage, Part::Failed, "What failed", out)?;
    requests(report, out)?;
    cells(report, &triage, Part::NotForFirewall, "Not for the firewall team", out)?;
    findings(report, out)?;
    cells(report, &triage, Part::CannotTell, "Cannot tell", out)?;
    cells(report, &triage, Part::Worked, "What worked", out)?;
    not_exercised(report, &triage, out)?;
    uncovered(report, &triage, out)?;
    hosts(report, out)?;
    captures(report, out)?;
    how_to_read(report, out)
}

/// Text of unknown origin, bounded and made inert.
fn prose(text: &str) -> String {
    markdown(&cut(text, LONGEST, "..."))
}

fn heading(out: &mut dyn Write, title: &str) -> io::Result<()> {
    writeln!(out, "\n## {title}\n")
}

fn header(out: &mut dyn Write, columns: &[&str]) -> io::Result<()> {
    writeln!(out, "| {} |", columns.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(columns.len()))
}

/// A row of cells that are Markdown already.
fn row(out: &mut dyn Write, cells: &[String]) -> io::Result<()> {
    writeln!(out, "| {} |", cells.join(" | "))
}

fn more(out: &mut dyn Write, all: usize, next: &str) -> io::Result<()> {
    match all.saturating_sub(MOST_ROWS) {
        0 => Ok(()),
        left => writeln!(out, "\n… and {} more ({next})", phrase::number(phrase::count(left))),
    }
}

/// A table of the cells of one part; nothing where there are none.
fn cells(
    report: &Report,
    triage: &Triage<'_>,
    part: Part,
    title: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let all: Vec<&Cell> = triage.cells(part).collect();
    if all.is_empty() {
        return Ok(());
    }
    heading(out, title)?;
    header(out, &["from", "to", "service", "port", "need", "outcome", "seen"])?;
    for cell in all.iter().take(MOST_ROWS) {
        row(
            out,
            &[
                prose(&triage.title(cell.from.address)),
                prose(&triage.title(cell.to.address)),
                prose(&cell.service),
                prose(&format!("{}/{}", cell.transport, cell.ports)),
                prose(&phrase::words(&cell.need)),
                format!("**{}**", phrase::words(cell.outcome.as_str())),
                prose(&seen::of_cell(report, cell)),
            ],
        )?;
    }
    more(out, all.len(), "use --format csv for all")
}

fn requests(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.firewall_requests.is_empty() {
        return Ok(());
    }
    heading(out, "Firewall requests")?;
    let columns =
        ["source", "destination", "protocol", "destination port", "direction", "service", "reason"];
    header(out, &columns)?;
    for request in report.firewall_requests.iter().take(MOST_ROWS) {
        row(
            out,
            &[
                request.source.to_string(),
                request.destination.to_string(),
                request.transport.to_string(),
                prose(&request.ports),
                prose(&request.direction),
                prose(&request.service),
                prose(&request.reason),
            ],
        )?;
    }
    more(out, report.firewall_requests.len(), "use --format json for all")?;
    writeln!(
        out,
        "\nSource ports are chosen anew for every attempt and belong in no rule. Answers are \
         implied; *both* means that either side opens connections."
    )
}

fn not_exercised(report: &Report, triage: &Triage<'_>, out: &mut dyn Write) -> io::Result<()> {
    let pairs = triage.pairs(Part::NotExercised);
    let unlisted = report.matrix.not_exercised_unlisted;
    if pairs.is_empty() && unlisted == 0 {
        return Ok(());
    }
    heading(out, "Not exercised")?;
    writeln!(out, "Nobody tried these in the captures, so they neither failed nor passed.\n")?;
    for pair in pairs.iter().take(MOST_ROWS) {
        writeln!(
            out,
            "- {} → {}: {}",
            prose(&triage.name(pair.from)),
            prose(&triage.name(pair.to)),
            prose(&pair.services(MOST_ROWS).join(", "))
        )?;
    }
    if unlisted > 0 {
        let requirements = phrase::counted(unlisted, "requirement");
        writeln!(out, "- {requirements} between hosts whose roles are only inferred: not listed")?;
        let never = &report.matrix.never_exercised;
        if pairs.is_empty() && !never.is_empty() {
            writeln!(out, "- no flow of any host is for: {}", prose(&never.join(", ")))?;
        }
    }
    more(out, pairs.len(), "use --format csv for all")
}

fn uncovered(report: &Report, triage: &Triage<'_>, out: &mut dyn Write) -> io::Result<()> {
    let groups = triage::uncovered(report);
    if groups.is_empty() {
        return Ok(());
    }
    if report.matrix.cells.is_empty() {
        heading(out, "Failed flows")?;
    } else {
        heading(out, "Failed flows that no requirement covers")?;
    }
    header(out, &["initiator", "responder", "service", "port", "verdict", "flows", "seen"])?;
    for group in groups.iter().take(MOST_ROWS) {
        let flow = group.first;
        row(
            out,
            &[
                prose(&triage.name(flow.initiator.address)),
                prose(&triage.name(flow.responder.address)),
                prose(flow.service.name.as_deref().unwrap_or_default()),
                format!("{}/{}", flow.transport, flow.responder.port),
                format!("**{}**", phrase::words(flow.verdict.as_str())),
                phrase::number(group.count),
                prose(&seen::of_flow(report, flow)),
            ],
        )?;
    }
    more(out, groups.len(), "use flows --format csv for all")
}

fn findings(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.findings.is_empty() {
        return Ok(());
    }
    heading(out, "Findings")?;
    for (place, finding) in report.findings.iter().take(MOST_ROWS).enumerate() {
        let title = prose(&finding.title);
        writeln!(out, "{}. **{}: {title}**  ", place + 1, finding.severity)?;
        // Blanks keep these lines within their number, and two at an end break a line.
        if let Some(cause) = finding.explained_by {
            writeln!(out, "   *Explained by* finding {}.  ", cause + 1)?;
        }
        let explanation = markdown(&cut(&finding.explanation, 3 * LONGEST, "..."));
        writeln!(out, "   {}  ", explanation.trim_end())?;
        if let Some(symptom) = &finding.symptom {
            writeln!(out, "   *Setup may show:* {}  ", prose(symptom).trim_end())?;
        }
        if !finding.next_step.trim().is_empty() {
            writeln!(out, "   *Next:* {}", prose(&finding.next_step))?;
        }
    }
    more(out, report.findings.len(), "use --format json for all")
}

fn hosts(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.hosts.is_empty() {
        return Ok(());
    }
    heading(out, "Hosts")?;
    header(out, &["address", "name", "role", "known from"])?;
    for host in report.hosts.iter().take(MOST_ROWS) {
        let roles: Vec<&str> = host.roles.iter().map(|role| role.role.as_str()).collect();
        let known: Vec<&str> = host
            .roles
            .iter()
            .map(|role| match (role.source, &role.evidence) {
                (RoleSource::Inferred, Some(evidence)) => evidence.as_str(),
                (RoleSource::Inferred, None) => "inferred",
                (RoleSource::Given, _) => "given",
            })
            .collect();
        row(
            out,
            &[
                prose(&host.address.to_string()),
                prose(&host.names.join(", ")),
                prose(&roles.join(", ")),
                prose(&known.join("; ")),
            ],
        )?;
    }
    more(out, report.hosts.len(), "use --format json for all")
}

fn captures(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.captures.is_empty() {
        return Ok(());
    }
    heading(out, "Captures")?;
    header(out, &["", "capture", "format", "frames", "first seen", "SHA-256", "problems"])?;
    for (place, capture) in report.captures.iter().take(MOST_ROWS).enumerate() {
        let first_seen = capture.first_seen.map(|time| match capture.zone.as_str() {
            "utc" => time.to_string(),
            _ => format!("{time} (local, zone not known)"),
        });
        row(
            out,
            &[
                format!("\\[{}\\]", place + 1),
                markdown_code(&cut(&capture.path, LONGEST, "...")),
                prose(capture.format.as_deref().unwrap_or("not readable")),
                phrase::number(capture.frames),
                first_seen.unwrap_or_default(),
                capture.sha256.as_deref().map(markdown_code).unwrap_or_default(),
                problems(capture),
            ],
        )?;
    }
    more(out, report.captures.len(), "use --format json for all")
}

fn problems(capture: &CaptureRecord) -> String {
    let shown = 5;
    let mut problems: Vec<String> = capture
        .problems
        .iter()
        .take(shown)
        .map(|problem| {
            let frame = problem.frame.map_or_else(String::new, |frame| format!("frame {frame}: "));
            format!("{}: {frame}{}", problem.severity, prose(&problem.message))
        })
        .collect();
    if capture.problems.len() > shown {
        problems.push(format!("{} more", capture.problems.len() - shown));
    }
    if problems.is_empty() { "none".to_owned() } else { problems.join("; ") }
}

fn how_to_read(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    heading(out, "How to read this")?;
    let several = if report.has_several() { ", with the number of their capture" } else { "" };
    writeln!(
        out,
        "- Numbers under *seen* are frames{several}, as Wireshark and Network Monitor count them.\n\
         - **dropped**: no answer or no confirmation was seen. **refused**: something said no. \
         **service failed**: the path works, the service answered with an error.\n\
         - **mixed**: some attempts worked. **cannot tell**: the captures do not show how it \
         ended. **not exercised**: nobody tried.\n\
         - Made by {} {} from the captures named above, with the matrix {}.",
        prose(&report.generator.name),
        prose(&report.generator.version),
        markdown_code(&report.matrix.profile)
    )
}

fn flows(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let totals = &report.totals;
    writeln!(
        out,
        "**{}: {} success, {} timeout, {} reject, {} inconclusive.**\n",
        phrase::counted(totals.flows, "flow"),
        phrase::number(totals.success),
        phrase::number(totals.timeout),
        phrase::number(totals.reject),
        phrase::number(totals.inconclusive)
    )?;
    if report.flows.is_empty() {
        return captures(report, out);
    }
    header(out, &["id", "time", "initiator", "responder", "service", "verdict", "seen"])?;
    for flow in report.flows.iter().take(MOST_ROWS) {
        row(
            out,
            &[
                flow.id.to_string(),
                flow.first_seen.map(|time| time.to_string()).unwrap_or_default(),
                endpoint(flow.initiator.address, flow.initiator.port),
                endpoint(flow.responder.address, flow.responder.port),
                prose(flow.service.name.as_deref().unwrap_or(flow.transport.as_str())),
                format!("**{}**", phrase::words(flow.verdict.as_str())),
                prose(&seen::of_flow(report, flow)),
            ],
        )?;
    }
    more(out, report.flows.len(), "use --format csv for all")?;
    captures(report, out)
}

/// An endpoint as code: the brackets of IPv6 and `:port` would read as a link or an emoji.
fn endpoint(address: Address, port: u16) -> String {
    match address {
        Address::Ip(_) => format!("`{}`", Endpoint { address, port }),
        // The text of a capture could hold what ends code.
        Address::Conversation(_) | Address::Name(_) => {
            prose(&Endpoint { address, port }.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;
    use crate::render::samples;
    use crate::render::text::acts;

    fn written(report: &Report, view: View) -> String {
        let mut bytes = Vec::new();
        page(report, view, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn events(text: &str) -> Vec<Event<'_>> {
        Parser::new_ext(text, Options::ENABLE_TABLES).collect()
    }

    /// Rows of all tables together, headers left out.
    fn rows(text: &str) -> usize {
        let row = |event: &&Event<'_>| matches!(event, Event::Start(Tag::TableRow));
        events(text).iter().filter(row).count()
    }

    #[test]
    fn every_table_is_read_as_a_table() {
        // By hand: 5 failed, 5 requests, 1 worked, 2 hosts, 1 capture.
        assert_eq!(rows(&written(&samples::seed(), View::Analysis)), 14);
        // 6 flows, 1 capture.
        assert_eq!(rows(&written(&samples::seed(), View::Flows)), 7);
    }

    #[test]
    fn a_hostile_capture_adds_no_row_link_image_or_markup() {
        for view in [View::Analysis, View::Flows] {
            let text = written(&samples::hostile(), view);
            assert_eq!(rows(&text), rows(&written(&samples::seed(), view)));
            assert!(!text.contains(|character| character != '\n' && acts(character)));
            for event in events(&text) {
                assert!(
                    !matches!(
                        event,
                        Event::Html(_)
                            | Event::InlineHtml(_)
                            | Event::Start(Tag::Link { .. } | Tag::Image { .. })
                    ),
                    "{event:?}"
                );
            }
        }
    }

    #[test]
    fn long_tables_are_cut_and_say_so() {
        let text = written(&samples::large(1000, 400), View::Analysis);
        assert!(text.contains("… and 400 more (use --format csv for all)"));
        assert!(text.len() < 130_000, "{}", text.len());
    }
}
