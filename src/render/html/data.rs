//! All flows as data within the page, for the script that sorts and searches them.
//!
//! Rows of columns, with words that come again and again kept once, so that fifty thousand flows
//! are a few megabytes; nothing of it is read before somebody asks. Everything that tells of a
//! flow in full is in its last column, and left out of plain successes of large reports and of
//! whatever is beyond a budget.

use std::collections::BTreeMap;

use crate::net::Address;
use crate::render::html::ladder::{Step, steps};
use crate::render::html::markup::push_json_string;
use crate::render::html::sign::{Sign, did};
use crate::render::phrase;
use crate::render::seen;
use crate::render::triage::Triage;
use crate::report::Report;
use crate::verdict::record::{Class, JudgedFlow};

/// Flows up to which plain successes are told in full as well.
const FEW: usize = 2_000;
/// Bytes for what tells of flows in full.
const BUDGET: usize = 8_000_000;

/// Words, each kept once.
#[derive(Default)]
struct Words {
    places: BTreeMap<String, usize>,
    json: String,
}

impl Words {
    fn place(&mut self, word: &str) -> usize {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = self.places.len();
        self.places.insert(word.to_owned(), place);
        if place > 0 {
            self.json.push(',');
        }
        push_json_string(&mut self.json, word);
        place
    }
}

/// The JSON, safe within a script element.
pub(super) fn data(report: &Report, triage: &Triage<'_>) -> String {
    let mut words = Words::default();
    let mut names: BTreeMap<Address, usize> = BTreeMap::new();
    let mut json = String::with_capacity(report.flows.len().saturating_mul(160));
    json.push_str("{\"flows\":[");
    let few = report.flows.len() <= FEW;
    let mut spent = 0;
    for (row, flow) in report.flows.telling().iter().enumerate() {
        json.push_str(if row > 0 { ",\n[" } else { "\n[" });
        let mut name =
            |end: Address| *names.entry(end).or_insert_with(|| words.place(&triage.name(end)));
        let ends = [name(flow.initiator.address), name(flow.responder.address)];
        let sign = Sign::of_flow(flow);
        let verdict = did(flow);
        let service = flow.service.name.as_deref().unwrap_or_default();
        let columns = [
            phrase::count(words.place(sign.class())),
            phrase::count(words.place(&verdict)),
            phrase::count(words.place(flow.transport.as_str())),
            phrase::count(ends[0]),
            u64::from(flow.initiator.port),
            phrase::count(ends[1]),
            u64::from(flow.responder.port),
            phrase::count(words.place(service)),
            flow.first_frame.0,
            flow.last_frame.0,
            flow.packets.initiator,
            flow.packets.responder,
            flow.bytes.initiator,
            flow.bytes.responder,
        ];
        json.push_str(&flow.id.to_string());
        json.push(',');
        json.push_str(&flow.capture.to_string());
        for column in columns {
            json.push(',');
            json.push_str(&column.to_string());
        }
        json.push(',');
        match flow.first_seen {
            Some(time) => push_json_string(&mut json, &time.to_string()),
            None => json.push_str("null"),
        }
        json.push(',');
        let plain = flow.class == Class::Success && !seen::service_failed(flow);
        if spent < BUDGET && (few || !plain) {
            let before = json.len();
            in_full(report, flow, &mut json);
            spent += json.len() - before;
        } else {
            json.push_str("null");
        }
        json.push(']');
    }
    json.push_str("\n],\"words\":[");
    json.push_str(&words.json);
    json.push_str("],\"captures\":[");
    if report.has_several() {
        for (place, capture) in report.captures.iter().enumerate() {
            if place > 0 {
                json.push(',');
            }
            push_json_string(&mut json, &capture.path);
        }
    }
    json.push_str("]}");
    json
}

/// What tells of a flow in full: explanation, signs of who refused, filters, service, ladder.
fn in_full(report: &Report, flow: &JudgedFlow, json: &mut String) {
    json.push('[');
    push_json_string(json, &flow.explanation.text());
    json.push_str(",[");
    for (place, reason) in flow.origin_reasons.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        push_json_string(json, &reason.text());
    }
    json.push_str("],");
    push_json_string(json, &flow.display_filter.wireshark());
    json.push(',');
    push_json_string(json, &flow.display_filter.netmon());
    json.push(',');
    push_json_string(json, &seen::service_of(flow));
    json.push_str(",[");
    for (place, step) in steps(report, flow).iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        json.push('[');
        match step {
            Step::Rung { time, frame, arrow, sender, label, facts, note } => {
                json.push_str(&frame.0.to_string());
                let note = note.as_deref().unwrap_or_default();
                for text in [time, *arrow, *sender, label, &facts.join("  "), note] {
                    json.push(',');
                    push_json_string(json, text);
                }
            }
            Step::Silence { height, pause, ending } => {
                json.push_str("null");
                for text in [*height, pause.as_deref().unwrap_or_default(), ending.unwrap_or("")] {
                    json.push(',');
                    push_json_string(json, text);
                }
            }
        }
        json.push(']');
    }
    json.push_str("]]");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::render::samples;

    #[test]
    fn every_flow_is_a_row_of_json() {
        for report in samples::all() {
            let json = data(&report, &Triage::of(&report));
            assert!(!json.contains(['<', '>', '&']), "{json}");
            let value: Value = serde_json::from_str(&json).unwrap();
            let rows = value["flows"].as_array().unwrap();
            assert_eq!(rows.len(), report.flows.len());
            assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 18));
        }
    }

    #[test]
    fn a_large_report_keeps_plain_successes_short() {
        let report = samples::large(0, 4_000);
        let value: Value = serde_json::from_str(&data(&report, &Triage::of(&report))).unwrap();
        let rows = value["flows"].as_array().unwrap();
        // Every other flow of the sample is dropped.
        assert!(rows[0][17].is_array() && rows[1][17].is_null());
    }
}
