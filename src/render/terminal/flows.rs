//! The table of flows: one row a flow, with as many columns as fit.
//!
//! The whole table is never in memory: its widths are measured first, then its rows are laid out
//! a chunk at a time.

use std::io;

use crate::net::Time;
use crate::render::phrase;
use crate::render::seen;
use crate::render::terminal::background;
use crate::render::terminal::page::{Column, Page};
use crate::render::text;
use crate::render::triage;
use crate::report::Report;
use crate::verdict::record::{JudgedFlow, ServiceOutcome};

/// Rows laid out at a time.
const CHUNK: usize = 1000;
const LONGEST_SERVICE: usize = 20;
const LONGEST_HISTORY: usize = 12;
/// Columns that an explanation needs, or it is left out.
const SHORTEST_EXPLANATION: usize = 40;

/// A column of the table, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Time,
    Initiator,
    Arrow,
    Responder,
    Service,
    Verdict,
    History,
    Frames,
    Packets,
    Explanation,
}

/// All fields, and the order in which they are given up, from 1, where the page is narrow.
const FIELDS: [(Field, Option<u8>); 10] = [
    (Field::Id, None),
    (Field::Time, Some(3)),
    (Field::Initiator, None),
    (Field::Arrow, None),
    (Field::Responder, None),
    (Field::Service, Some(4)),
    (Field::Verdict, None),
    (Field::History, Some(2)),
    (Field::Frames, None),
    (Field::Packets, Some(1)),
];

impl Field {
    fn name(self) -> &'static str {
        match self {
            Field::Id => "id",
            Field::Time => "time",
            Field::Initiator => "initiator",
            Field::Arrow => "",
            Field::Responder => "responder",
            Field::Service => "service",
            Field::Verdict => "verdict",
            Field::History => "history",
            Field::Frames => "frames",
            Field::Packets => "packets",
            Field::Explanation => "explanation",
        }
    }

    fn column(self) -> Column {
        match self {
            Field::Id => Column::Right,
            Field::Explanation => Column::Rest,
            Field::Initiator | Field::Arrow => Column::Close,
            Field::Time
            | Field::Responder
            | Field::Service
            | Field::Verdict
            | Field::History
            | Field::Frames
            | Field::Packets => Column::Fixed,
        }
    }
}

/// Writes all flows.
pub(super) fn write(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    if report.flows.is_empty() {
        return no_flows(report, page);
    }
    captures(report, page)?;
    if page.verbose() {
        return blocks(report, page, true);
    }
    let dated = dated(report);
    let widths = widths(report, page, dated);
    let Some(fields) = fields_that_fit(&widths, page.width()) else {
        return blocks(report, page, false);
    };
    let columns: Vec<Column> = fields.iter().map(|(field, _)| field.column()).collect();
    let header: Vec<&str> = fields.iter().map(|(field, _)| field.name()).collect();
    for (place, chunk) in report.flows.telling().chunks(CHUNK).enumerate() {
        let rows = chunk
            .iter()
            .map(|flow| {
                fields
                    .iter()
                    .map(|(field, width)| {
                        let text = value(*field, report, flow, page, dated);
                        padded(&text, *width, field.column())
                    })
                    .collect()
            })
            .collect();
        page.table(0, &columns, (place == 0).then_some(header.as_slice()), rows)?;
    }
    totals(report, page)
}

pub(super) fn no_flows(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    let line = if report.totals.flows > 0 {
        let flows = phrase::counted(report.totals.flows, "flow");
        format!(
            "{flows} {} found, but the report was made without them (--no-flows)",
            phrase::was(report.totals.flows)
        )
    } else {
        triage::without_cells(report)
    };
    page.paragraph(0, 2, None, &line)?;
    background::captures(report, page)
}

/// Which number in brackets is which capture, and which day it is.
pub(super) fn captures(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    background::captures_in_short(report, page)?;
    let local = report.captures.iter().any(|capture| capture.zone != "utc");
    let zone = if local { "UTC, or local where a capture does not tell its zone" } else { "UTC" };
    let first = report.flows.telling().iter().find_map(|flow| flow.first_seen);
    if let (Some(first), false) = (first, dated(report)) {
        page.paragraph(0, 2, None, &format!("times are of {}, {zone}", date(first)))?;
    } else if first.is_some() {
        page.paragraph(0, 2, None, &format!("times are {zone}"))?;
    }
    page.blank()
}

/// Whether the flows began on more than one day, so that times need their date.
fn dated(report: &Report) -> bool {
    let mut days = report.flows.telling().iter().filter_map(|flow| flow.first_seen).map(day);
    let first = days.next();
    days.any(|day| Some(day) != first)
}

/// Days since 1970.
fn day(time: Time) -> i64 {
    time.at.as_nanoseconds().div_euclid(86_400_000_000_000)
}

fn date(time: Time) -> String {
    time.to_string().split('T').next().unwrap_or_default().to_owned()
}

fn widths(report: &Report, page: &Page<'_>, dated: bool) -> Vec<(Field, Option<u8>, usize)> {
    let mut widths: Vec<_> = FIELDS
        .iter()
        .map(|(field, given_up)| (*field, *given_up, text::columns(field.name())))
        .collect();
    for flow in report.flows.telling() {
        for (field, _, width) in &mut widths {
            *width = (*width).max(text::columns(&value(*field, report, flow, page, dated)));
        }
    }
    widths
}

/// The fields that fit, with their widths; `None` where not even the needed ones do.
fn fields_that_fit(
    widths: &[(Field, Option<u8>, usize)],
    width: usize,
) -> Option<Vec<(Field, usize)>> {
    (0..=4).find_map(|given_up| {
        let mut fields: Vec<(Field, usize)> = widths
            .iter()
            .filter(|(_, order, _)| order.is_none_or(|order| order > given_up))
            .map(|(field, _, width)| (*field, *width))
            .collect();
        let used: usize = fields
            .iter()
            .map(|(field, width)| width + if field.column() == Column::Close { 1 } else { 2 })
            .sum();
        if used.saturating_sub(2) > width {
            return None;
        }
        if used + SHORTEST_EXPLANATION <= width {
            fields.push((Field::Explanation, 0));
        }
        Some(fields)
    })
}

fn padded(text: &str, width: usize, column: Column) -> String {
    let missing = " ".repeat(width.saturating_sub(text::columns(text)));
    if column == Column::Right { format!("{missing}{text}") } else { format!("{text}{missing}") }
}

fn value(field: Field, report: &Report, flow: &JudgedFlow, page: &Page<'_>, dated: bool) -> String {
    match field {
        Field::Id => flow.id.to_string(),
        Field::Time => flow.first_seen.map_or_else(String::new, |time| clock(time, dated)),
        Field::Initiator => flow.initiator.to_string(),
        Field::Arrow => page.arrow().to_owned(),
        Field::Responder => flow.responder.to_string(),
        Field::Service => {
            let name = flow.service.name.as_deref().unwrap_or(flow.transport.as_str());
            page.short(name, LONGEST_SERVICE)
        }
        Field::Verdict => background::verdict(flow.verdict, flow.class),
        Field::History => page.short(&flow.history, LONGEST_HISTORY),
        Field::Frames => frames(report, flow),
        Field::Packets => format!("{}/{}", flow.packets.initiator, flow.packets.responder),
        Field::Explanation => page.short(&flow.explanation.text(), 600),
    }
}

/// The first and last frame, with the number of the capture where there are several.
pub(super) fn frames(report: &Report, flow: &JudgedFlow) -> String {
    let capture = if report.has_several() {
        format!("[{}] ", flow.capture.saturating_add(1))
    } else {
        String::new()
    };
    if flow.first_frame == flow.last_frame {
        format!("{capture}{}", flow.first_frame)
    } else {
        format!("{capture}{}-{}", flow.first_frame, flow.last_frame)
    }
}

/// Time of day to the millisecond, where the capture keeps as much; with the date where asked.
fn clock(time: Time, dated: bool) -> String {
    let text = time.to_string();
    let Some((date, clock)) = text.split_once('T') else { return text };
    let clock = clock.trim_end_matches('Z');
    // "10:15:00.123" has 12 characters.
    let clock = clock.get(..12).unwrap_or(clock);
    if dated { format!("{date} {clock}") } else { clock.to_owned() }
}

/// A block of lines a flow, for narrow pages and long addresses, or with all that is known.
fn blocks(report: &Report, page: &mut Page<'_>, in_full: bool) -> io::Result<()> {
    let dated = dated(report);
    for flow in report.flows.telling() {
        let get = |field| value(field, report, flow, page, dated);
        let line = format!(
            "{}  {}  {}  {}  frames {}",
            get(Field::Id),
            get(Field::Time),
            get(Field::Service),
            get(Field::Verdict),
            get(Field::Frames)
        );
        let ends = format!("{} {} {}", flow.initiator, page.arrow(), flow.responder);
        page.spaced(&line)?;
        page.paragraph(4, 6, None, &ends)?;
        if in_full {
            in_full_of(report, flow, page)?;
        }
    }
    totals(report, page)
}

fn in_full_of(report: &Report, flow: &JudgedFlow, page: &mut Page<'_>) -> io::Result<()> {
    page.paragraph(4, 6, None, &page.short(&flow.explanation.text(), 1200))?;
    let mut facts = vec![
        page.safe(&seen::of_flow(report, flow)),
        format!("history {}", page.safe(&flow.history)),
        format!("packets {}/{}", flow.packets.initiator, flow.packets.responder),
        format!("payload bytes {}/{}", flow.bytes.initiator, flow.bytes.responder),
        format!("confidence {}", flow.confidence),
    ];
    if flow.service.outcome != ServiceOutcome::NotExamined {
        facts.push(page.safe(&seen::service_of(flow)));
    }
    if flow.duplicates > 0 {
        facts.push(format!("duplicates {}", flow.duplicates));
    }
    if let Some(closing) = flow.closing {
        facts.push(format!("closing {}", phrase::words(closing.as_str())));
    }
    if let Some(origin) = flow.origin {
        facts.push(format!("refusal from {}", phrase::words(origin.as_str())));
    }
    page.paragraph(4, 6, None, &facts.join("; "))?;
    for reason in &flow.origin_reasons {
        page.paragraph(6, 8, None, &page.short(&reason.text(), 240))?;
    }
    if let Some(rpc) = &flow.rpc {
        let known = [rpc.interface.as_deref(), rpc.uuid.as_deref()];
        let mut line = format!("RPC {}", known.into_iter().flatten().collect::<Vec<_>>().join(" "));
        if let Some(frame) = rpc.announced_frame {
            line = format!("{line}, port announced in frame {frame}");
        }
        page.paragraph(4, 6, None, &page.short(&line, 240))?;
    }
    if !flow.encapsulation.is_empty() {
        page.paragraph(4, 6, None, &page.short(&flow.encapsulation.join(", "), 240))?;
    }
    let filter = page.short(&flow.display_filter.wireshark(), 600);
    page.paragraph(4, 6, None, &format!("Wireshark filter: {filter}"))
}

fn totals(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    let totals = &report.totals;
    page.blank()?;
    let line = format!(
        "{}: {} success, {} timeout, {} reject, {} inconclusive",
        phrase::counted(totals.flows, "flow"),
        phrase::number(totals.success),
        phrase::number(totals.timeout),
        phrase::number(totals.reject),
        phrase::number(totals.inconclusive)
    );
    page.paragraph(0, 2, None, &line)?;
    if background::damaged(report) > 0 { background::captures(report, page) } else { Ok(()) }
}
