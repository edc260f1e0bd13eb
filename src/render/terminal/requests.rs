//! The table of rules to ask for.

use std::io;
use std::io::Write;

use crate::net::Address;
use crate::render::Style;
use crate::render::phrase;
use crate::render::terminal::ink::Ink;
use crate::render::terminal::page::{Column, Page};
use crate::render::text;
use crate::render::triage::{RuleRow, checked, rule_rows};
use crate::report::Report;

/// Rows on the first screen.
pub(super) const FIRST_ROWS: usize = 4;
/// Addresses of one side on the first screen.
const FIRST_ADDRESSES: usize = 4;

/// Writes the rules alone, with their reasons.
pub(in crate::render) fn alone(
    report: &Report,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(out, style);
    let rows = rule_rows(report);
    if rows.is_empty() {
        return page.paragraph(
            0,
            2,
            None,
            "no rule to ask for: nothing failed that a rule can mend",
        );
    }
    let rules = phrase::counted(phrase::count(report.rule_set.rules.len()), "rule");
    page.paragraph(0, 2, Some(Ink::Strong), &format!("{rules} to ask the firewall team for"))?;
    page.paragraph(0, 2, Some(Ink::Faint), manner(report))?;
    page.blank()?;
    table(&rows, &mut page, usize::MAX, true)?;
    checked_line(report, &mut page)?;
    page.heading("WHY", "")?;
    for (number, rule) in (1..).zip(&report.rule_set.rules) {
        let reason = page.short(&rule.reason, 400);
        page.labelled(2, None, &format!("{number}."), &reason)?;
    }
    Ok(())
}

/// Whether the first screen leaves something out.
pub(super) fn are_cut(rows: &[RuleRow<'_>]) -> bool {
    let long = |hosts: &[Address]| hosts.len() > FIRST_ADDRESSES;
    rows.len() > FIRST_ROWS
        || rows.iter().any(|row| long(&row.rule.sources) || long(&row.rule.destinations))
}

/// Writes the section of an analysis, with so many rows at most.
pub(super) fn section(
    report: &Report,
    rows: &[RuleRow<'_>],
    page: &mut Page<'_>,
    most: usize,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let first = most == FIRST_ROWS;
    let title = if first { "ASK THE FIREWALL TEAM FOR" } else { "ALL FIREWALL RULES" };
    page.heading(title, manner(report))?;
    let shown = rows.get(..most.min(rows.len())).unwrap_or_default();
    table(shown, page, if first { FIRST_ADDRESSES } else { usize::MAX }, false)?;
    let more = rows.len() - shown.len();
    if more > 0 {
        let next = if first { "below" } else { "(use the command requests for all)" };
        page.more(2, phrase::count(more), next)?;
    }
    if first { checked_line(report, page) } else { Ok(()) }
}

fn manner(report: &Report) -> &'static str {
    if report.rule_set.rules.iter().any(|rule| rule.direction == "both") {
        "answers are implied; both: either side opens; any source port"
    } else {
        "answers are implied; any source port"
    }
}

fn checked_line(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    match checked(report) {
        Some(checked) => page.paragraph(2, 4, Some(Ink::Faint), &checked),
        None => Ok(()),
    }
}

/// Addresses below each other, at most so many.
fn stacked(hosts: &[Address], page: &Page<'_>, most: usize) -> String {
    let mut lines: Vec<String> = hosts.iter().take(most).map(ToString::to_string).collect();
    if hosts.len() > lines.len() {
        lines.push(format!("{} {} more", page.ellipsis(), hosts.len() - lines.len()));
    }
    lines.join("\n")
}

fn table(rows: &[RuleRow<'_>], page: &mut Page<'_>, most: usize, numbered: bool) -> io::Result<()> {
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.number.to_string(),
                stacked(&row.rule.sources, page, most),
                stacked(&row.rule.destinations, page, most),
                row.transport.to_string(),
                page.short(&row.rule.direction, 12),
                page.short(&row.ports.join(", "), 400),
                page.short(&row.services.join(", "), 400),
            ]
        })
        .collect();
    let mut columns = vec![Column::Fixed; 5];
    columns.extend([Column::Rest, Column::Rest]);
    let header =
        ["rule", "source", "destination", "protocol", "direction", "destination port", "service"];
    let mut header = header.to_vec();
    if !numbered {
        columns.remove(0);
        header.remove(0);
        for row in &mut cells {
            row.remove(0);
        }
    }
    let fixed = columns.iter().filter(|column| **column == Column::Fixed).count();
    let used: usize = (0..fixed)
        .map(|column| {
            let lines =
                cells.iter().filter_map(|row| row.get(column)).flat_map(|cell| cell.lines());
            lines.map(text::columns).max().unwrap_or(0).max(11) + 2
        })
        .sum();
    let room = page.width().saturating_sub(used + 2);
    if room >= 70 {
        page.table(2, &columns, Some(&header), cells)
    } else if room >= 16 {
        columns.pop();
        header.pop();
        for row in &mut cells {
            row.pop();
        }
        page.table(2, &columns, Some(&header), cells)
    } else {
        for row in rows {
            // Long addresses leave no room for columns.
            for (label, hosts) in
                [("source", &row.rule.sources), ("destination", &row.rule.destinations)]
            {
                for (place, host) in stacked(hosts, page, most).lines().enumerate() {
                    let label = if place == 0 { label } else { "" };
                    page.line(&format!("  {label:<12} {host}"))?;
                }
            }
            let ports = page.short(&row.ports.join(", "), 400);
            let direction = page.short(&row.rule.direction, 12);
            let line = format!("{}, destination port {ports}, {direction}", row.transport);
            page.paragraph(15, 15, None, &line)?;
        }
        Ok(())
    }
}
