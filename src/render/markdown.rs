//! Markdown for a ticket (GitHub, Azure DevOps): what failed, what to open, what is proven.
//!
//! Long tables are cut, because a ticket holds about 65,000 characters; CSV has all.

use std::io;
use std::io::Write;

use crate::log::LogProblem;
use crate::matrix::{Cell, RoleRecord, RoleSource};
use crate::net::{Address, Endpoint};
use crate::render::View;
use crate::render::logbook;
use crate::render::phrase;
use crate::render::seen;
use crate::render::text::{cut, markdown, markdown_code, plain};
use crate::render::triage;
use crate::render::triage::{Part, Triage};
use crate::report::{CaptureRecord, Report};

/// Rows of one table.
const MOST_ROWS: usize = 100;
/// Columns of one piece of text.
const LONGEST: usize = 400;
/// Lines of logs at one finding.
const LOG_LINES: usize = 5;
/// Problems of one log.
const SHOWN_PROBLEMS: usize = 8;

/// Writes the page of a view.
pub(super) fn page(report: &Report, view: View, out: &mut dyn Write) -> io::Result<()> {
    match view {
        View::Analysis => analysis(report, out),
        View::Flows | View::Ladders => flows(report, out),
    }
}

fn analysis(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let triage = Triage::of(report);
    writeln!(out, "**{}.**", prose(&triage.headline(report)))?;
    filtered(report, out)?;
    cells(report, &triage, Part::Failed, "What failed", out)?;
    requests(report, &triage, MOST_ROWS, out)?;
    cells(report, &triage, Part::NotForFirewall, "Not for the firewall team", out)?;
    findings(report, out)?;
    cells(report, &triage, Part::CannotTell, "Cannot tell", out)?;
    cells(report, &triage, Part::Worked, "What worked", out)?;
    not_exercised(report, &triage, out)?;
    to_try(report, &triage, out)?;
    uncovered(report, &triage, out)?;
    hosts(report, out)?;
    captures(report, &triage, out)?;
    logs(report, out)?;
    how_to_read(report, out)
}

fn filtered(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    match &report.options.filters.filter {
        Some(filter) => writeln!(out, "\n{}", prose(&phrase::filtered(filter))),
        None => Ok(()),
    }
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
                prose(&need(cell)),
                format!("**{}**", phrase::words(cell.outcome.as_str())),
                prose(&seen::of_cell(report, cell)),
            ],
        )?;
    }
    more(out, all.len(), "use --format csv for all")
}

/// How much it is needed, and when: "required (WSUS is set up for TLS)".
fn need(cell: &Cell) -> String {
    let need = phrase::words(&cell.need);
    match &cell.condition {
        Some(condition) => format!("{need} ({condition})"),
        None => need,
    }
}

/// The rules to ask for, and nothing else.
pub(super) fn requests_alone(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.rule_set.rules.is_empty() {
        return writeln!(out, "No rule to ask for: nothing failed that a rule can mend.");
    }
    // Sections of a page begin with an empty line; here there is nothing before.
    let mut section = Vec::new();
    requests(report, &Triage::of(report), usize::MAX, &mut section)?;
    out.write_all(section.trim_ascii_start())
}

fn requests(
    report: &Report,
    triage: &Triage<'_>,
    most: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rows = triage::rule_rows(report);
    if rows.is_empty() {
        return Ok(());
    }
    heading(out, "Firewall rules to ask for")?;
    let columns =
        ["source", "destination", "protocol", "destination port", "direction", "service", "reason"];
    header(out, &columns)?;
    let hosts = |hosts: &[Address]| {
        let hosts: Vec<String> = hosts.iter().map(|host| prose(&triage.name(*host))).collect();
        hosts.join(", ")
    };
    for rule in rows.iter().take(most) {
        row(
            out,
            &[
                hosts(&rule.rule.sources),
                hosts(&rule.rule.destinations),
                rule.transport.to_string(),
                prose(&rule.ports.join(", ")),
                prose(&rule.rule.direction),
                prose(&rule.services.join(", ")),
                prose(&rule.rule.reason),
            ],
        )?;
    }
    if rows.len() > most {
        more(out, rows.len(), "use the command requests for all")?;
    }
    writeln!(
        out,
        "\nSource ports are chosen anew for every attempt and belong in no rule. Answers are \
         implied; *both* means that either side opens connections."
    )?;
    match triage::checked(report) {
        Some(checked) => writeln!(out, "\n{}", prose(&checked)),
        None => Ok(()),
    }
}

/// The lines to run during the next capture.
fn to_try(report: &Report, triage: &Triage<'_>, out: &mut dyn Write) -> io::Result<()> {
    if report.to_try.is_empty() {
        return Ok(());
    }
    heading(out, "To try during the next capture")?;
    writeln!(out, "In PowerShell; `--probe-script FILE.ps1` writes all of them as a script.")?;
    let mut left = MOST_ROWS;
    for host in &report.to_try {
        let shown = host.tries.get(..left.min(host.tries.len())).unwrap_or_default();
        if shown.is_empty() {
            break;
        }
        left -= shown.len();
        writeln!(out, "\nOn {} ({}):\n", prose(&triage.name(host.host)), prose(&host.role))?;
        writeln!(out, "```powershell")?;
        for line in shown {
            // Nothing in a command can end the block, unless somebody wrote the report by hand.
            writeln!(out, "{}", plain(&line.command).replace('`', "'"))?;
        }
        writeln!(out, "```")?;
    }
    let all: usize = report.to_try.iter().map(|host| host.tries.len()).sum();
    more(out, all, "in the script")
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
    let groups = triage::uncovered(report, usize::MAX).0;
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
        let flow = &*group.first;
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
        let (lines, more) = logbook::lines(report, finding, LOG_LINES);
        for (log, entry) in lines {
            let name = markdown_code(&cut(log.file_name(), 80, "..."));
            let time = entry.time.filter(|_| entry.drop.is_none());
            let time = time.map(|time| format!(", {time}")).unwrap_or_default();
            let text = prose(&entry.text);
            writeln!(out, "   - {name} line {}{time}: {text}", entry.line)?;
        }
        if more > 0 {
            writeln!(out, "   - and {} more lines of logs", phrase::number(phrase::count(more)))?;
        }
        if !finding.next_step.trim().is_empty() {
            // Behind a list it would be taken for its last line.
            let gap = if finding.log_lines.is_empty() { "" } else { "\n" };
            writeln!(out, "{gap}   *Next:* {}", prose(&finding.next_step))?;
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
        let named = |role: &RoleRecord| match role.confidence {
            Some(confidence) => format!("{} ({confidence})", role.role),
            None => role.role.clone(),
        };
        let roles: Vec<String> = host.roles.iter().map(named).collect();
        let others: Vec<String> = host.same_host.iter().map(Address::to_string).collect();
        let address = match others.as_slice() {
            [] => host.address.to_string(),
            others => format!("{} (also {})", host.address, others.join(", ")),
        };
        let known: Vec<&str> = host
            .roles
            .iter()
            .map(|role| match (role.source, &role.evidence) {
                (_, Some(evidence)) => evidence.as_str(),
                (RoleSource::Inferred, None) => "inferred",
                (RoleSource::Given, None) => "given",
            })
            .collect();
        row(
            out,
            &[
                prose(&address),
                prose(&host.names.join(", ")),
                prose(&roles.join(", ")),
                prose(&known.join("; ")),
            ],
        )?;
    }
    more(out, report.hosts.len(), "use --format json for all")
}

fn captures(report: &Report, triage: &Triage<'_>, out: &mut dyn Write) -> io::Result<()> {
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
        let mut format = capture.format.as_deref().unwrap_or("not readable").to_owned();
        if let Some(taken_on) = &capture.taken_on {
            format = format!("{format}, taken on {}", triage.taken_on(taken_on));
        }
        row(
            out,
            &[
                format!("\\[{}\\]", place + 1),
                markdown_code(&cut(&capture.path, LONGEST, "...")),
                prose(&format),
                phrase::number(capture.frames),
                first_seen.unwrap_or_default(),
                capture.sha256.as_deref().map(markdown_code).unwrap_or_default(),
                problems(capture),
            ],
        )?;
    }
    more(out, report.captures.len(), "use --format json for all")
}

fn logs(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.logs.is_empty() {
        return Ok(());
    }
    heading(out, "Logs")?;
    header(out, &["log", "what", "lines", "time", "clock", "SHA-256", "problems"])?;
    for log in report.logs.iter().take(MOST_ROWS) {
        let clock = log.clock_offset.as_ref().map(logbook::clock);
        let problem = |problem: &LogProblem| {
            let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{}: {line}{}", problem.severity, prose(&problem.message))
        };
        let problems: Vec<String> = log.problems.iter().take(SHOWN_PROBLEMS).map(problem).collect();
        row(
            out,
            &[
                markdown_code(&cut(&log.path, LONGEST, "...")),
                logbook::kind(log).to_owned(),
                phrase::number(log.lines),
                logbook::span(log).unwrap_or_default(),
                clock.map(|clock| prose(&clock)).unwrap_or_default(),
                log.sha256.as_deref().map(markdown_code).unwrap_or_default(),
                if problems.is_empty() { "none".to_owned() } else { problems.join("; ") },
            ],
        )?;
    }
    more(out, report.logs.len(), "use --format json for all")
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
    if let Some(filter) = &report.options.filters.filter {
        writeln!(out, "{}\n", prose(&phrase::filtered(filter)))?;
    }
    if report.flows.is_empty() {
        return captures(report, &Triage::of(report), out);
    }
    header(out, &["id", "time", "initiator", "responder", "service", "verdict", "seen"])?;
    for flow in report.flows.telling().iter().take(MOST_ROWS) {
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
    captures(report, &Triage::of(report), out)
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
        // By hand: 5 failed, 1 rule, 1 worked, 2 hosts, 1 capture.
        assert_eq!(rows(&written(&samples::seed(), View::Analysis)), 10);
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
