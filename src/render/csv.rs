//! CSV (RFC 4180) for spreadsheets: a header, then one row a flow or one a cell.
//!
//! Columns are named as in the JSON contract, with `_` between the names of nested keys. Lists of
//! numbers stand in one column with spaces between them, lists of text with `; `. What is `null`
//! in JSON is empty. Columns that JSON has elsewhere (path of the capture, names of the hosts)
//! come last.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::io::Write;

use csv::{Terminator, Writer, WriterBuilder};

use crate::matrix::Cell;
use crate::net::Address;
use crate::render::triage::{RuleRow, rule_rows};
use crate::render::{View, text};
use crate::report::Report;
use crate::verdict::record::JudgedFlow;

const FLOW_COLUMNS: [&str; 39] = [
    "id",
    "capture",
    "transport",
    "initiator_address",
    "initiator_port",
    "responder_address",
    "responder_port",
    "class",
    "verdict",
    "confidence",
    "explanation",
    "origin",
    "origin_reasons",
    "history",
    "evidence_frames",
    "first_frame",
    "last_frame",
    "first_seen",
    "last_seen",
    "packets_initiator",
    "packets_responder",
    "bytes_initiator",
    "bytes_responder",
    "duplicates",
    "closing",
    "service_name",
    "service_outcome",
    "service_code",
    "service_detail",
    "service_frame",
    "rpc_interface",
    "rpc_uuid",
    "rpc_announced_frame",
    "rpc_endpoint_mapper_flow",
    "encapsulation",
    "requirement",
    "display_filter_wireshark",
    "display_filter_netmon",
    "capture_path",
];

const CELL_COLUMNS: [&str; 19] = [
    "requirement",
    "service",
    "transport",
    "ports",
    "from_address",
    "from_role",
    "to_address",
    "to_role",
    "need",
    "outcome",
    "flows",
    "counts_success",
    "counts_timeout",
    "counts_reject",
    "counts_inconclusive",
    "explanation",
    "from_names",
    "to_names",
    "condition",
];

const RULE_COLUMNS: [&str; 10] = [
    "rule",
    "source_addresses",
    "source_names",
    "destination_addresses",
    "destination_names",
    "transport",
    "ports",
    "direction",
    "service",
    "reason",
];

/// Writes the rules to ask for, a row for each transport of a rule.
pub(super) fn requests(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut row = Row {
        writer: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out),
        scratch: String::new(),
    };
    row.writer.write_record(RULE_COLUMNS)?;
    let names: BTreeMap<Address, String> =
        report.hosts.iter().map(|host| (host.address, host.names.join("; "))).collect();
    for RuleRow { number, rule, transport, ports, services } in rule_rows(report) {
        row.value(number)?;
        for hosts in [&rule.sources, &rule.destinations] {
            let addresses: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            row.text(&addresses.join("; "))?;
            let names = hosts.iter().filter_map(|host| names.get(host).map(String::as_str));
            let names: Vec<&str> = names.filter(|names| !names.is_empty()).collect();
            row.text(&names.join("; "))?;
        }
        row.text(transport.as_str())?;
        row.text(&ports.join(", "))?;
        row.text(&rule.direction)?;
        row.text(&services.join(", "))?;
        row.text(&rule.reason)?;
        row.end()?;
    }
    row.writer.flush()
}

/// Writes the table of a view.
pub(super) fn table(report: &Report, view: View, out: &mut dyn Write) -> io::Result<()> {
    let mut row = Row {
        writer: WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out),
        scratch: String::new(),
    };
    match view {
        View::Flows | View::Ladders => {
            row.writer.write_record(FLOW_COLUMNS)?;
            for flow in report.flows.iter() {
                let path = report.captures.get(flow.capture).map(|capture| capture.path.as_str());
                flow_row(&mut row, &flow, path)?;
            }
        }
        View::Analysis => {
            row.writer.write_record(CELL_COLUMNS)?;
            let names: BTreeMap<Address, String> =
                report.hosts.iter().map(|host| (host.address, host.names.join("; "))).collect();
            for cell in &report.matrix.cells {
                cell_row(&mut row, cell, &names)?;
            }
        }
    }
    row.writer.flush()
}

fn flow_row(row: &mut Row<'_>, flow: &JudgedFlow, path: Option<&str>) -> io::Result<()> {
    row.value(flow.id)?;
    row.value(flow.capture)?;
    row.text(flow.transport.as_str())?;
    for endpoint in [flow.initiator, flow.responder] {
        row.value(endpoint.address)?;
        row.value(endpoint.port)?;
    }
    row.text(flow.class.as_str())?;
    row.text(flow.verdict.as_str())?;
    row.text(flow.confidence.as_str())?;
    row.text(&flow.explanation)?;
    row.text(flow.origin.map_or("", |origin| origin.as_str()))?;
    row.text(&flow.origin_reasons.join("; "))?;
    row.text(&flow.history)?;
    row.numbers(flow.evidence.iter().map(|packet| packet.frame))?;
    row.value(flow.first_frame)?;
    row.value(flow.last_frame)?;
    row.optional(flow.first_seen)?;
    row.optional(flow.last_seen)?;
    row.value(flow.packets.initiator)?;
    row.value(flow.packets.responder)?;
    row.value(flow.bytes.initiator)?;
    row.value(flow.bytes.responder)?;
    row.value(flow.duplicates)?;
    row.text(flow.closing.map_or("", |closing| closing.as_str()))?;
    row.text(flow.service.name.as_deref().unwrap_or_default())?;
    row.text(flow.service.outcome.as_str())?;
    row.text(flow.service.code.as_deref().unwrap_or_default())?;
    row.text(flow.service.detail.as_deref().unwrap_or_default())?;
    row.optional(flow.service.frame)?;
    let rpc = flow.rpc.as_ref();
    row.text(rpc.and_then(|rpc| rpc.interface.as_deref()).unwrap_or_default())?;
    row.text(rpc.and_then(|rpc| rpc.uuid.as_deref()).unwrap_or_default())?;
    row.optional(rpc.and_then(|rpc| rpc.announced_frame))?;
    row.optional(rpc.and_then(|rpc| rpc.endpoint_mapper_flow))?;
    row.text(&flow.encapsulation.join("; "))?;
    row.text(flow.requirement.as_deref().unwrap_or_default())?;
    row.text(&flow.display_filter.wireshark)?;
    row.text(&flow.display_filter.netmon)?;
    row.text(path.unwrap_or_default())?;
    row.end()
}

fn cell_row(row: &mut Row<'_>, cell: &Cell, names: &BTreeMap<Address, String>) -> io::Result<()> {
    row.text(&cell.requirement)?;
    row.text(&cell.service)?;
    row.text(cell.transport.as_str())?;
    row.text(&cell.ports)?;
    for end in [&cell.from, &cell.to] {
        row.value(end.address)?;
        row.text(&end.role)?;
    }
    row.text(&cell.need)?;
    row.text(cell.outcome.as_str())?;
    row.numbers(&cell.flows)?;
    row.value(cell.counts.success)?;
    row.value(cell.counts.timeout)?;
    row.value(cell.counts.reject)?;
    row.value(cell.counts.inconclusive)?;
    row.text(&cell.explanation)?;
    for end in [&cell.from, &cell.to] {
        row.text(names.get(&end.address).map_or("", String::as_str))?;
    }
    row.text(cell.condition.as_deref().unwrap_or_default())?;
    row.end()
}

/// Writes the fields of a row, one after the other.
struct Row<'a> {
    writer: Writer<&'a mut dyn Write>,
    /// Text of the current field: a hundred thousand rows need no memory of their own.
    scratch: String,
}

impl Row<'_> {
    /// Text of unknown origin.
    fn text(&mut self, text: &str) -> io::Result<()> {
        Ok(self.writer.write_field(text::csv(text).as_bytes())?)
    }

    /// A number, address or time.
    fn value(&mut self, value: impl Display) -> io::Result<()> {
        use std::fmt::Write as _;
        self.scratch.clear();
        write!(self.scratch, "{value}").map_err(io::Error::other)?;
        Ok(self.writer.write_field(&self.scratch)?)
    }

    /// A value, or an empty field.
    fn optional(&mut self, value: Option<impl Display>) -> io::Result<()> {
        match value {
            Some(value) => self.value(value),
            None => Ok(self.writer.write_field("")?),
        }
    }

    /// Numbers with spaces between them.
    fn numbers(&mut self, numbers: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
        use std::fmt::Write as _;
        self.scratch.clear();
        for number in numbers {
            let space = if self.scratch.is_empty() { "" } else { " " };
            write!(self.scratch, "{space}{number}").map_err(io::Error::other)?;
        }
        Ok(self.writer.write_field(&self.scratch)?)
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }
}

#[cfg(test)]
mod tests {
    use csv::{ReaderBuilder, StringRecord};

    use super::*;
    use crate::render::samples;

    fn written(report: &Report, view: View) -> String {
        let mut bytes = Vec::new();
        table(report, view, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn rows(text: &str) -> Vec<StringRecord> {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(Result::unwrap).collect()
    }

    /// The value of a column in a row, by the header.
    fn column<'a>(rows: &'a [StringRecord], row: usize, name: &str) -> &'a str {
        let at = rows[0].iter().position(|header| header == name).unwrap();
        &rows[row][at]
    }

    #[test]
    fn a_flow_is_a_row_under_the_names_of_the_json_contract() {
        let report = samples::seed();
        let text = written(&report, View::Flows);
        let rows = rows(&text);
        assert_eq!(rows.len(), report.flows.len() + 1);
        // The flow to the endpoint mapper: SYN in 101, sent again in 108 and 131.
        let row = rows.iter().position(|row| row.iter().any(|cell| cell == "101 108 131")).unwrap();
        for (name, expected) in [
            ("transport", "tcp"),
            ("initiator_address", "10.0.0.5"),
            ("initiator_port", "52702"),
            ("responder_port", "135"),
            ("verdict", "no_reply"),
            ("evidence_frames", "101 108 131"),
            ("packets_responder", "0"),
            ("origin", ""),
            ("requirement", "rpc-epm-tcp"),
        ] {
            assert_eq!(column(&rows, row, name), expected, "{name}");
        }
    }

    #[test]
    fn a_cell_is_a_row() {
        let report = samples::seed();
        let rows = rows(&written(&report, View::Analysis));
        assert_eq!(rows.len(), report.matrix.cells.len() + 1);
        let row = rows.iter().position(|row| &row[0] == "rpc-dynamic-tcp").unwrap();
        assert_eq!(column(&rows, row, "outcome"), "not_exercised");
        assert_eq!(column(&rows, row, "ports"), "49152-65535");
        assert_eq!(column(&rows, row, "from_names"), "CAS01");
    }

    #[test]
    fn rows_end_with_carriage_return_and_line_feed() {
        let text = written(&samples::seed(), View::Analysis);
        assert!(text.ends_with("\r\n"));
        assert_eq!(text.matches("\r\n").count(), text.matches('\n').count());
    }

    #[test]
    fn a_report_without_flows_is_a_header() {
        assert_eq!(rows(&written(&samples::empty(), View::Flows)).len(), 1);
        assert_eq!(rows(&written(&samples::empty(), View::Analysis)).len(), 1);
    }

    #[test]
    fn text_of_a_hostile_capture_is_no_formula_and_no_control_character() {
        for view in [View::Analysis, View::Flows] {
            let text = written(&samples::hostile(), view);
            for row in rows(&text) {
                for cell in &row {
                    assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
                    assert!(!cell.contains(text::acts), "{cell:?}");
                }
            }
        }
    }
}
