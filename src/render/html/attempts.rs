//! The failed attempts, one of each kind, with their ladders and the filters that show them.

use std::collections::BTreeMap;

use crate::net::{Address, Transport};
use crate::render::html::ladder::ladder;
use crate::render::html::markup::Markup;
use crate::render::html::sign::{Sign, did};
use crate::render::phrase;
use crate::render::triage::Triage;
use crate::report::Report;
use crate::verdict::record::{Class, JudgedFlow, Verdict};

/// Kinds of failed attempts that are laid out; the rest stand in the table of flows.
const MOST: usize = 60;

/// Failed flows between the same hosts, to the same port and with the same verdict.
#[derive(Debug)]
struct Attempt<'a> {
    first: &'a JudgedFlow,
    count: u64,
}

/// The failed attempts of a report.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    attempts: Vec<Attempt<'a>>,
    place_of: BTreeMap<u64, usize>,
}

impl<'a> Attempts<'a> {
    /// Finds them. What a requirement is about comes first, then what happened first.
    pub(super) fn of(report: &'a Report) -> Attempts<'a> {
        type Key = (bool, Address, Address, Transport, u16, Verdict, bool);
        let mut groups: BTreeMap<Key, Vec<&JudgedFlow>> = BTreeMap::new();
        for flow in report.flows.telling().iter().filter(|flow| Sign::of_flow(flow).is_bad()) {
            let key = (
                flow.requirement.is_none(),
                flow.initiator.address,
                flow.responder.address,
                flow.transport,
                flow.responder.port,
                flow.verdict,
                flow.class == Class::Success,
            );
            groups.entry(key).or_default().push(flow);
        }
        let mut groups: Vec<Vec<&JudgedFlow>> = groups.into_values().collect();
        groups.sort_by_key(|flows| flows.first().map(|flow| (flow.requirement.is_none(), flow.id)));
        let mut found = Attempts { attempts: Vec::new(), place_of: BTreeMap::new() };
        for flows in groups {
            for flow in &flows {
                found.place_of.insert(flow.id, found.attempts.len());
            }
            if let Some(first) = flows.first() {
                found.attempts.push(Attempt { first, count: phrase::count(flows.len()) });
            }
        }
        found
    }

    /// Whether nothing failed, or flows were left out.
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The number of the laid-out attempt that one of these flows belongs to.
    pub(super) fn place_of(&self, flows: &[u64]) -> Option<usize> {
        let mut places = flows.iter().filter_map(|flow| self.place_of.get(flow).copied());
        places.find(|place| *place < MOST)
    }

    /// Lays them out.
    pub(super) fn section(&self, report: &Report, triage: &Triage<'_>, page: &mut Markup) {
        for (place, attempt) in self.attempts.iter().take(MOST).enumerate() {
            let flow = attempt.first;
            page.raw("<details class=\"attempt\" id=\"attempt-").count(place).raw("\"");
            page.raw(if place == 0 { " open>" } else { ">" }).raw("<summary>");
            title(flow, triage, page);
            if attempt.count > 1 {
                page.raw(" <span class=\"soft\">")
                    .text(&phrase::counted(attempt.count, "flow"))
                    .raw("; this is the first</span>");
            }
            page.raw("</summary>");
            body(report, flow, page);
            page.raw("</details>\n");
        }
        let more = self.attempts.len().saturating_sub(MOST);
        if more > 0 {
            page.raw("<p class=\"more\">")
                .text(&phrase::counted(phrase::count(more), "more kind"))
                .raw(" of failed attempts: in the table of <a href=\"#flows\">flows</a>, each with its ladder.</p>");
        }
    }
}

fn title(flow: &JudgedFlow, triage: &Triage<'_>, page: &mut Markup) {
    let sign = Sign::of_flow(flow);
    sign.draw(page);
    page.raw("<b class=\"").raw(sign.class()).raw("\">");
    page.text(&did(flow));
    page.raw("</b> <span class=\"what\">");
    if let Some(service) = &flow.service.name {
        page.name(service).raw(" ");
    }
    page.raw("<span class=\"code\">")
        .raw(flow.transport.as_str())
        .raw("/")
        .number(flow.responder.port)
        .raw("</span></span> <span class=\"who\">")
        .name(&triage.name(flow.initiator.address))
        .raw(" → ")
        .name(&triage.name(flow.responder.address))
        .raw("</span>");
}

fn body(report: &Report, flow: &JudgedFlow, page: &mut Markup) {
    page.raw("<div class=\"body\"><p>").text(&flow.explanation.text()).raw("</p>");
    if report.has_several()
        && let Some(capture) = report.captures.get(flow.capture)
    {
        page.raw("<p class=\"soft\">Capture ")
            .count(flow.capture.saturating_add(1))
            .raw(": <span class=\"code\">")
            .name(&capture.path)
            .raw("</span></p>");
    }
    if !flow.evidence.is_empty() {
        page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"ladder\">");
        ladder(report, flow, page);
        page.raw("</div>");
    }
    if !flow.origin_reasons.is_empty() {
        page.raw("<p class=\"label\">Who refused: ")
            .raw(flow.origin.map_or("unknown", |origin| origin.as_str()))
            .raw("</p><ul>");
        for reason in &flow.origin_reasons {
            page.raw("<li>").text(&reason.text()).raw("</li>");
        }
        page.raw("</ul>");
    }
    filters(flow, page);
    page.raw("</div>");
}

fn filters(flow: &JudgedFlow, page: &mut Markup) {
    page.raw("<dl class=\"filters\">");
    for (program, filter) in [
        ("Wireshark", &flow.display_filter.wireshark()),
        ("Network Monitor", &flow.display_filter.netmon()),
    ] {
        if !filter.is_empty() {
            page.raw("<dt>").raw(program).raw("</dt><dd><code>").text(filter).raw("</code> ");
            page.copy_button("the filter").raw("</dd>");
        }
    }
    page.raw("</dl>");
}
