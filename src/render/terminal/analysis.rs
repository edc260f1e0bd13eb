//! The analysis: what failed and what to ask for first, then what worked and how it is known.

use std::io;

use crate::matrix::{Cell, Outcome};
use crate::render::phrase;
use crate::render::seen;
use crate::render::terminal::background;
use crate::render::terminal::ink::{Ink, inked};
use crate::render::terminal::logs;
use crate::render::terminal::page::{Column, Page};
use crate::render::terminal::requests;
use crate::render::terminal::tries;
use crate::render::text;
use crate::render::triage;
use crate::render::triage::{Pair, Part, Triage, Uncovered};
use crate::report::Report;

/// Where to find what a section leaves out.
const ALL: &str = "(use --format csv for all)";
/// Rows of cells on the first screen, and in a section below it.
const FIRST_ROWS: usize = 8;
const MORE_ROWS: usize = 100;
/// Lines of pairs in the compact sections.
const FIRST_PAIRS: usize = 4;

/// Writes the whole analysis.
pub(super) fn write(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    let triage = Triage::of(report);
    page.paragraph(0, 2, Some(Ink::Strong), &page.safe(&triage.headline(report)))?;
    background::captures_in_short(report, page)?;

    let cut = failed(report, &triage, page)?;
    let rules = triage::rule_rows(report);
    requests::section(report, &rules, page, requests::FIRST_ROWS)?;
    not_for_firewall(report, &triage, page)?;
    background::findings(report, page)?;
    not_exercised(report, &triage, page)?;
    tries::section(report, &triage, page)?;

    let most = if page.verbose() { usize::MAX } else { MORE_ROWS };
    if cut {
        page.heading("ALL THAT FAILED", "")?;
        rows(report, &triage, Part::Failed, page, most)?;
    }
    if requests::are_cut(&rules) {
        requests::section(report, &rules, page, most)?;
    }
    uncovered(report, page)?;
    if triage.count(Part::CannotTell) > 0 {
        page.heading("CANNOT TELL", "tried, but the captures do not show how it ended")?;
        rows(report, &triage, Part::CannotTell, page, most)?;
    }
    worked(report, &triage, page)?;
    background::hosts(report, page)?;
    background::captures(report, page)?;
    logs::write(report, page)
}

/// What failed; true if not all of it is shown.
fn failed(report: &Report, triage: &Triage<'_>, page: &mut Page<'_>) -> io::Result<bool> {
    if triage.count(Part::Failed) == 0 {
        return Ok(false);
    }
    page.heading("FAILED", "")?;
    rows(report, triage, Part::Failed, page, FIRST_ROWS)
}

/// Cells grouped by pair, at most so many rows; true if there are more.
fn rows(
    report: &Report,
    triage: &Triage<'_>,
    part: Part,
    page: &mut Page<'_>,
    most: usize,
) -> io::Result<bool> {
    let pairs = triage.pairs(part);
    // All pairs of a section share the widths of their columns.
    let mut left = most;
    let mut shown: Vec<(&Pair<'_>, &[&Cell])> = Vec::new();
    for pair in pairs {
        let cells = pair.cells.get(..left.min(pair.cells.len())).unwrap_or_default();
        if cells.is_empty() {
            break;
        }
        shown.push((pair, cells));
        // A pair's own line counts as a row too.
        left = left.saturating_sub(cells.len() + usize::from(shown.len() > 1));
    }
    let widths =
        Widths::of(report, page, shown.iter().flat_map(|(_, cells)| cells.iter().copied()));
    for (pair, cells) in &shown {
        pair_line(triage, pair, page)?;
        let table = cells.iter().map(|cell| cell_row(report, cell, page, &widths)).collect();
        let columns = [Column::Fixed, Column::Fixed, Column::Fixed, Column::Rest];
        page.table(2, &columns, None, table)?;
    }
    let listed: usize = shown.iter().map(|(_, cells)| cells.len()).sum();
    let more = triage.count(part).saturating_sub(phrase::count(listed));
    if more > 0 {
        let again_below = part == Part::Failed && most == FIRST_ROWS;
        page.more(2, more, if again_below { "below" } else { ALL })?;
    }
    Ok(more > 0)
}

fn pair_line(triage: &Triage<'_>, pair: &Pair<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let from = page.safe(&triage.title(pair.from));
    let to = page.safe(&triage.title(pair.to));
    let line = format!("{from} {} {to}", page.arrow());
    if text::columns(&line) <= page.width() {
        return page.line(&line);
    }
    page.paragraph(0, 4, None, &from)?;
    page.paragraph(2, 4, None, &format!("{} {to}", page.arrow()))
}

/// Widths of the first columns over several tables.
struct Widths {
    service: usize,
    port: usize,
    outcome: usize,
}

/// Longer names of services are cut.
const LONGEST_SERVICE: usize = 24;

impl Widths {
    fn of<'a>(report: &Report, page: &Page<'_>, cells: impl Iterator<Item = &'a Cell>) -> Widths {
        let mut widths = Widths { service: 0, port: 0, outcome: 0 };
        for cell in cells {
            widths.service = widths.service.max(text::columns(&service(cell, page)));
            widths.port = widths.port.max(text::columns(&port(report, cell, page)));
            widths.outcome = widths.outcome.max(cell.outcome.as_str().len());
        }
        widths
    }
}

/// The service, and whether it is not always required: "DNS (optional)", "WSUS HTTPS (if used)".
fn service(cell: &Cell, page: &Page<'_>) -> String {
    let most = page.width() * 3 / 10;
    let service = page.short(&cell.service, most.min(LONGEST_SERVICE));
    let need = match (cell.condition.is_some(), cell.need.as_str()) {
        (false, "required") => return service,
        (true, "required") => "if used".to_owned(),
        (_, need) => page.short(&phrase::words(need), 20),
    };
    text::cut(&format!("{service} ({need})"), most, page.ellipsis()).into_owned()
}

/// The port: of a range the one that was called, if only one was.
fn port(report: &Report, cell: &Cell, page: &Page<'_>) -> String {
    let ports = seen::called_port(report, cell).unwrap_or_else(|| cell.ports.to_string());
    page.short(&format!("{}/{ports}", cell.transport), 15)
}

fn cell_row(report: &Report, cell: &Cell, page: &Page<'_>, widths: &Widths) -> Vec<String> {
    let padded = |text: String, width: usize| {
        let missing = width.saturating_sub(text::columns(&text));
        format!("{text}{}", " ".repeat(missing))
    };
    vec![
        padded(service(cell, page), widths.service),
        padded(port(report, cell, page), widths.port),
        padded(outcome(cell.outcome), widths.outcome),
        page.short(&seen::of_cell(report, cell), 240),
    ]
}

fn outcome(outcome: Outcome) -> String {
    let ink = match outcome {
        Outcome::Open => Ink::Good,
        Outcome::Dropped => Ink::Silent,
        Outcome::Refused | Outcome::ServiceFailed => Ink::Refused,
        Outcome::Mixed | Outcome::CannotTell => Ink::Doubt,
        Outcome::NotExercised => Ink::Faint,
    };
    inked(ink, &phrase::words(outcome.as_str()))
}

fn not_for_firewall(report: &Report, triage: &Triage<'_>, page: &mut Page<'_>) -> io::Result<()> {
    if triage.count(Part::NotForFirewall) == 0 {
        return Ok(());
    }
    page.heading("NOT FOR THE FIREWALL TEAM", "a host, a service or a router says no")?;
    let most = if page.verbose() { usize::MAX } else { FIRST_ROWS };
    rows(report, triage, Part::NotForFirewall, page, most)?;
    Ok(())
}

/// What nobody tried, a line a pair.
fn not_exercised(report: &Report, triage: &Triage<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let sheet = &report.matrix;
    let listed = triage.count(Part::NotExercised);
    if listed == 0 && sheet.not_exercised_unlisted == 0 {
        return Ok(());
    }
    page.heading("NOT EXERCISED", "nobody tried: neither failed nor passed")?;
    let pairs = triage.pairs(Part::NotExercised);
    let most = if page.verbose() { usize::MAX } else { FIRST_PAIRS };
    let shown = pairs.get(..most.min(pairs.len())).unwrap_or_default();
    for pair in shown {
        let from = page.safe(&triage.name(pair.from));
        let to = page.safe(&triage.name(pair.to));
        let services = pair.services(if page.verbose() { usize::MAX } else { 16 });
        let services = page.short(&services.join(", "), 1200);
        let line = format!("{from} {} {to}: {services}", page.arrow());
        page.paragraph(2, 4, None, &line)?;
    }
    if pairs.len() > shown.len() {
        page.more(2, phrase::count(pairs.len() - shown.len()), &format!("host pairs {ALL}"))?;
    }
    if sheet.not_exercised_unlisted > 0 {
        let line = format!(
            "{} between hosts whose roles are only inferred are not listed",
            phrase::counted(sheet.not_exercised_unlisted, "requirement")
        );
        page.paragraph(2, 4, None, &line)?;
        if listed == 0 && !sheet.never_exercised.is_empty() {
            let rows = page.short(&sheet.never_exercised.join(", "), 400);
            page.paragraph(2, 4, None, &format!("no flow of any host is for: {rows}"))?;
        }
    }
    Ok(())
}

fn worked(report: &Report, triage: &Triage<'_>, page: &mut Page<'_>) -> io::Result<()> {
    if triage.count(Part::Worked) == 0 {
        return Ok(());
    }
    page.heading("WORKED", "")?;
    rows(report, triage, Part::Worked, page, if page.verbose() { usize::MAX } else { 30 })?;
    Ok(())
}

/// Failed flows that no requirement covers: with no roles known, all that failed.
fn uncovered(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    let most = if page.verbose() { usize::MAX } else { 12 };
    let (shown, all) = triage::uncovered(report, most);
    if shown.is_empty() {
        return Ok(());
    }
    if report.matrix.cells.is_empty() {
        page.heading("FAILED FLOWS", "")?;
    } else {
        page.heading("OTHER FAILED FLOWS", "no requirement of the matrix covers them")?;
    }
    let ends =
        |group: &Uncovered<'_>| (group.first.initiator.address, group.first.responder.address);
    let mut table: Vec<Vec<String>> =
        shown.iter().map(|group| uncovered_row(report, group, page)).collect();
    // All pairs share the widths of their columns.
    for column in 0..3 {
        let cells = || table.iter().filter_map(|row| row.get(column));
        let width = cells().map(|cell| text::columns(cell)).max().unwrap_or(0);
        for cell in table.iter_mut().filter_map(|row| row.get_mut(column)) {
            *cell += &" ".repeat(width.saturating_sub(text::columns(cell)));
        }
    }
    let mut rows = table.into_iter();
    for of_pair in shown.chunk_by(|a, b| ends(a) == ends(b)) {
        if let Some((from, to)) = of_pair.first().map(ends) {
            page.paragraph(0, 4, None, &format!("{from} {} {to}", page.arrow()))?;
        }
        let columns = [Column::Fixed, Column::Fixed, Column::Fixed, Column::Rest];
        page.table(2, &columns, None, rows.by_ref().take(of_pair.len()).collect())?;
    }
    if all > shown.len() {
        let more = phrase::count(all - shown.len());
        page.more(2, more, "(use flows --format csv for all)")?;
    }
    Ok(())
}

fn uncovered_row(report: &Report, group: &Uncovered<'_>, page: &Page<'_>) -> Vec<String> {
    let flow = &*group.first;
    let seen = seen::of_flow(report, flow);
    let more = phrase::counted(group.count.saturating_sub(1), "flow");
    let seen = if group.count > 1 { format!("{seen} (+{more})") } else { seen };
    vec![
        page.short(flow.service.name.as_deref().unwrap_or("-"), LONGEST_SERVICE),
        page.short(&format!("{}/{}", flow.transport, flow.responder.port), 15),
        background::verdict(flow.verdict, flow.class),
        page.short(&seen, 240),
    ]
}
