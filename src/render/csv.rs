//! CSV (RFC 4180) for spreadsheets: a header, then one row a flow or one a cell.
//!
//! Columns are named as in the JSON contract, with `_` between the names of nested keys. Lists of
//! numbers stand in one column with spaces between them, lists of text with `; `. What is `null`
//! in JSON is empty. Columns that JSON has elsewhere (path of the capture, names of the hosts)
//! come last.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use crate::matrix::Cell;
use crate::net::letters::{Letters, push_address, push_number};
use crate::net::{Address, FrameNumber, Time};
use crate::render::triage::{RuleRow, rule_rows};
use crate::render::{View, phrase, text};
use crate::report::{CaptureRecord, Report};
use crate::verdict::record::{Brief, JudgedFlow};

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
    let mut rows = Rows::begin(out, &RULE_COLUMNS);
    let names: BTreeMap<Address, String> =
        report.hosts.iter().map(|host| (host.address, host.names.join("; "))).collect();
    for RuleRow { number, rule, transport, ports, services } in rule_rows(report) {
        rows.number(phrase::count(number));
        for hosts in [&rule.sources, &rule.destinations] {
            let addresses: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            rows.text(&addresses.join("; "));
            let names = hosts.iter().filter_map(|host| names.get(host).map(String::as_str));
            let names: Vec<&str> = names.filter(|names| !names.is_empty()).collect();
            rows.text(&names.join("; "));
        }
        rows.word(transport.as_str());
        rows.text(&ports.join(", "));
        rows.text(&rule.direction);
        rows.text(&services.join(", "));
        rows.text(&rule.reason);
        rows.end()?;
    }
    rows.finish()
}

/// Writes the table of a view.
pub(super) fn table(report: &Report, view: View, out: &mut dyn Write) -> io::Result<()> {
    match view {
        View::Flows | View::Ladders => flows(report.flows.iter(), &report.captures, out),
        View::Analysis => {
            let mut rows = Rows::begin(out, &CELL_COLUMNS);
            let names: BTreeMap<Address, String> =
                report.hosts.iter().map(|host| (host.address, host.names.join("; "))).collect();
            for cell in &report.matrix.cells {
                cell_row(&mut rows, cell, &names);
                rows.end()?;
            }
            rows.finish()
        }
    }
}

/// Writes a row for each flow, looking at each once.
fn flows(
    flows: impl IntoIterator<Item = impl Borrow<JudgedFlow>>,
    captures: &[CaptureRecord],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut rows = Rows::begin(out, &FLOW_COLUMNS);
    for flow in flows {
        let flow = flow.borrow();
        let path = captures.get(flow.capture).map(|capture| capture.path.as_str());
        flow_row(&mut rows, flow, path);
        rows.end()?;
    }
    rows.finish()
}

fn flow_row(rows: &mut Rows<'_>, flow: &JudgedFlow, path: Option<&str>) {
    rows.number(flow.id);
    rows.number(phrase::count(flow.capture));
    rows.word(flow.transport.as_str());
    for endpoint in [flow.initiator, flow.responder] {
        rows.address(endpoint.address);
        rows.number(endpoint.port.into());
    }
    rows.word(flow.class.as_str());
    rows.word(flow.verdict.as_str());
    rows.word(flow.confidence.as_str());
    rows.text(&flow.explanation.text());
    rows.word(flow.origin.map_or("", |origin| origin.as_str()));
    rows.list(flow.origin_reasons.iter().map(Brief::text));
    rows.text(&flow.history);
    rows.numbers(flow.evidence.iter().map(|packet| packet.frame.0));
    rows.number(flow.first_frame.0);
    rows.number(flow.last_frame.0);
    rows.time(flow.first_seen);
    rows.time(flow.last_seen);
    rows.number(flow.packets.initiator);
    rows.number(flow.packets.responder);
    rows.number(flow.bytes.initiator);
    rows.number(flow.bytes.responder);
    rows.number(flow.duplicates);
    rows.word(flow.closing.map_or("", |closing| closing.as_str()));
    rows.text(flow.service.name.as_deref().unwrap_or_default());
    rows.word(flow.service.outcome.as_str());
    rows.text(flow.service.code.as_deref().unwrap_or_default());
    rows.text(flow.service.detail.as_deref().unwrap_or_default());
    rows.frame(flow.service.frame);
    let rpc = flow.rpc.as_ref();
    rows.text(rpc.and_then(|rpc| rpc.interface.as_deref()).unwrap_or_default());
    rows.text(rpc.and_then(|rpc| rpc.uuid.as_deref()).unwrap_or_default());
    rows.frame(rpc.and_then(|rpc| rpc.announced_frame));
    rows.numbers(rpc.and_then(|rpc| rpc.endpoint_mapper_flow));
    rows.list(&flow.encapsulation);
    rows.text(flow.requirement.as_deref().unwrap_or_default());
    rows.text(&flow.display_filter.wireshark());
    rows.text(&flow.display_filter.netmon());
    rows.text(path.unwrap_or_default());
}

fn cell_row(rows: &mut Rows<'_>, cell: &Cell, names: &BTreeMap<Address, String>) {
    rows.text(&cell.requirement);
    rows.text(&cell.service);
    rows.word(cell.transport.as_str());
    rows.text(&cell.ports);
    for end in [&cell.from, &cell.to] {
        rows.address(end.address);
        rows.text(&end.role);
    }
    rows.text(&cell.need);
    rows.word(cell.outcome.as_str());
    rows.numbers(cell.flows.iter().copied());
    rows.number(cell.counts.success);
    rows.number(cell.counts.timeout);
    rows.number(cell.counts.reject);
    rows.number(cell.counts.inconclusive);
    rows.text(&cell.explanation.text());
    for end in [&cell.from, &cell.to] {
        rows.text(names.get(&end.address).map_or("", String::as_str));
    }
    rows.text(cell.condition.as_deref().unwrap_or_default());
}

/// Rows are handed on when there are so many bytes of them.
const ENOUGH: usize = 1 << 16;

/// Writes rows field by field, without memory of their own: there may be millions.
struct Rows<'a> {
    out: &'a mut dyn Write,
    text: String,
    /// Whether the next field is the first of its row.
    begins: bool,
}

impl<'a> Rows<'a> {
    /// Begins with the row of the columns' names.
    fn begin(out: &'a mut dyn Write, columns: &[&str]) -> Rows<'a> {
        let mut text = String::with_capacity(2 * ENOUGH);
        text.push_str(&columns.join(","));
        text.push_str("\r\n");
        Rows { out, text, begins: true }
    }

    /// Ends a row.
    fn end(&mut self) -> io::Result<()> {
        self.text.push_str("\r\n");
        self.begins = true;
        if self.text.len() >= ENOUGH {
            self.out.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.out.flush()
    }

    fn field(&mut self) -> &mut String {
        if !self.begins {
            self.text.push(',');
        }
        self.begins = false;
        &mut self.text
    }

    /// A word of ours, which needs no care.
    fn word(&mut self, word: &str) {
        self.field().push_str(word);
    }

    /// Text of unknown origin.
    fn text(&mut self, text: &str) {
        let field = self.field();
        if text::is_printed_ascii(text) && !text.starts_with(['=', '+', '-', '@']) {
            push_quoted(field, text);
        } else {
            push_quoted(field, &text::csv(text));
        }
    }

    /// Texts with `; ` between them.
    fn list(&mut self, texts: impl IntoIterator<Item: AsRef<str>>) {
        let texts: Vec<_> = texts.into_iter().collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.text(&texts.join("; "));
    }

    fn number(&mut self, number: u64) {
        push_number(self.field(), number);
    }

    /// Numbers with spaces between them.
    fn numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let text = self.field();
        for (index, number) in numbers.into_iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            push_number(text, number);
        }
    }

    fn frame(&mut self, frame: Option<FrameNumber>) {
        self.numbers(frame.map(|frame| frame.0));
    }

    /// An address. A name is nothing that a spreadsheet takes for a formula: it begins with no
    /// such sign, and holds no comma and no quote.
    fn address(&mut self, address: Address) {
        push_address(self.field(), address);
    }

    fn time(&mut self, time: Option<Time>) {
        let text = self.field();
        if let Some(time) = time {
            text.push_str(Letters::of_time(time).as_str());
        }
    }
}

/// Writes a field, in quotes where it holds what else would end it (RFC 4180, 2).
fn push_quoted(row: &mut String, field: &str) {
    let ends = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    // As a whole, which is faster than to stop at the first.
    if !field.bytes().fold(false, |found, byte| found | ends(byte)) {
        row.push_str(field);
        return;
    }
    row.push('"');
    for (index, part) in field.split('"').enumerate() {
        if index > 0 {
            row.push_str("\"\"");
        }
        row.push_str(part);
    }
    row.push('"');
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
    fn fields_are_quoted_as_by_another_writer() {
        for field in ["", "plain", "a,b", "\"", "\"a\", \"b\"", "'=1", "a\r\nb", "ä", " a "] {
            let mut ours = String::new();
            push_quoted(&mut ours, field);
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record(["x", field]).unwrap();
            assert_eq!(format!("x,{ours}\n").into_bytes(), writer.into_inner().unwrap());
        }
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
