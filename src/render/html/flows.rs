//! The table of flows: in full where there are few, else added up by host pair, port and verdict.
//! A script, where one may run, puts a table in its place that can be sorted and searched.

use std::collections::BTreeMap;

use crate::net::{Address, Transport};
use crate::render::html::data::data;
use crate::render::html::markup::Markup;
use crate::render::html::sign::{Sign, did};
use crate::render::phrase;
use crate::render::rung::time_of_day;
use crate::render::seen;
use crate::render::triage::Triage;
use crate::report::Report;
use crate::verdict::record::{JudgedFlow, Verdict};

/// Flows up to which each has a row of its own without a script.
const FEW: usize = 400;
/// Rows of sums.
const MOST_SUMS: usize = 400;

/// What `script.js` finds by its id: the data of all flows.
pub(super) struct FlowData(String);

impl FlowData {
    /// The data, to be written within a script element.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Draws the table, and gives the data that belong to it.
pub(super) fn flows(report: &Report, triage: &Triage<'_>, page: &mut Markup) -> FlowData {
    let many = report.flows.len() > FEW;
    page.raw("<form id=\"flow-form\" class=\"controls\" role=\"search\"><label>Search <input type=\"search\" id=\"flow-text\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"host, port, service, verdict\"></label> <label>Outcome <select id=\"flow-sign\"><option value=\"\">all</option><option value=\"bad\">failed</option>");
    for sign in Sign::ALL {
        if report.flows.telling().iter().any(|flow| Sign::of_flow(flow) == sign) {
            page.raw("<option value=\"").raw(sign.class()).raw("\">").raw(word(sign));
            page.raw("</option>");
        }
    }
    page.raw("</select></label> <output id=\"flow-count\" for=\"flow-text flow-sign\">");
    page.text(&phrase::counted(phrase::count(report.flows.len()), "flow"));
    page.raw("</output></form>\n<div id=\"flow-table\"");
    page.raw(if many { " data-many" } else { "" }).raw("></div>\n<div id=\"flow-plain\">");
    if many {
        page.raw("<p class=\"soft\">Added up by host pair, port and verdict. <span class=\"scripted\">Search, or <button type=\"button\" id=\"flow-load\">list every flow</button></span></p><noscript><p>Without scripts this page shows sums; <code>portmortem flows</code> lists every flow.</p></noscript>\n");
        sums(report, triage, page);
    } else {
        each(report, triage, page);
    }
    page.raw("</div>\n");
    FlowData(data(report, triage))
}

/// The word of a sign for a flow.
fn word(sign: Sign) -> &'static str {
    match sign {
        Sign::Dropped => "no answer",
        Sign::Refused => "rejected",
        Sign::Failed => "service failed",
        Sign::Mixed => "mixed",
        Sign::Doubt => "cannot tell",
        Sign::Good => "success",
        Sign::Untried => "not exercised",
    }
}

fn head(page: &mut Markup, columns: &[&'static str]) {
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"flows\"><table class=\"flows\"><caption class=\"hidden\">Flows</caption><thead><tr>");
    for column in columns {
        page.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    page.raw("</tr></thead><tbody>\n");
}

fn verdict(flow: &JudgedFlow, page: &mut Markup) {
    let sign = Sign::of_flow(flow);
    page.raw("<td class=\"verdict ").raw(sign.class()).raw("\">");
    sign.draw(page);
    page.raw(" ").text(&did(flow));
    page.raw("</td>");
}

fn each(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    head(page, &["id", "time", "initiator", "responder", "port", "service", "verdict", "seen"]);
    for flow in report.flows.telling() {
        page.raw("<tr><td class=\"many\">").number(flow.id).raw("</td><td class=\"code\">");
        page.text(&flow.first_seen.map(time_of_day).unwrap_or_default()).raw("</td><td>");
        page.name(&triage.name(flow.initiator.address)).raw("</td><td>");
        page.name(&triage.name(flow.responder.address)).raw("</td><td class=\"code\">");
        page.raw(flow.transport.as_str()).raw("/").number(flow.responder.port);
        page.raw("</td><td>").name(flow.service.name.as_deref().unwrap_or_default());
        page.raw("</td>");
        verdict(flow, page);
        page.raw("<td class=\"seen\">").text(&seen::of_flow(report, flow)).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></div>");
}

fn sums(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    type Key = (Sign, Address, Address, Transport, u16, Verdict);
    let mut groups: BTreeMap<Key, (&JudgedFlow, u64)> = BTreeMap::new();
    for flow in report.flows.telling() {
        let key = (
            Sign::of_flow(flow),
            flow.initiator.address,
            flow.responder.address,
            flow.transport,
            flow.responder.port,
            flow.verdict,
        );
        groups.entry(key).or_insert((flow, 0)).1 += 1;
    }
    let mut groups: Vec<(&JudgedFlow, u64)> = groups.into_values().collect();
    // Failures first, then what there is most of.
    groups.sort_by_key(|(flow, count)| (!Sign::of_flow(flow).is_bad(), std::cmp::Reverse(*count)));
    head(page, &["initiator", "responder", "port", "service", "verdict", "flows", "first seen"]);
    for (flow, count) in groups.iter().take(MOST_SUMS) {
        page.raw("<tr><td>").name(&triage.name(flow.initiator.address)).raw("</td><td>");
        page.name(&triage.name(flow.responder.address)).raw("</td><td class=\"code\">");
        page.raw(flow.transport.as_str()).raw("/").number(flow.responder.port);
        page.raw("</td><td>").name(flow.service.name.as_deref().unwrap_or_default());
        page.raw("</td>");
        verdict(flow, page);
        page.raw("<td class=\"many\">").text(&phrase::number(*count)).raw("</td>");
        page.raw("<td class=\"seen\">").text(&seen::of_flow(report, flow)).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></div>");
    let more = groups.len().saturating_sub(MOST_SUMS);
    if more > 0 {
        page.raw("<p class=\"more\">and ")
            .text(&phrase::counted(phrase::count(more), "more row"))
            .raw(": search for them, or use <code>portmortem flows</code>.</p>");
    }
}
