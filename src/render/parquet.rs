//! Parquet, for DuckDB, Spark, pandas and whatever else reads tables: of `flows` a row a flow, of
//! `analyze` a row a cell.
//!
//! Columns have the names of the JSON contract and nest as it does: `initiator.address` is the field
//! of a struct, `evidence` a list of structs. What differs, and why:
//!
//! - **Times** are timestamps in microseconds, adjusted to UTC: the finest that Spark reads (it
//!   refuses a file with nanoseconds). Digits beyond are cut off. A time of a capture that does not
//!   tell its zone would be wrong by hours as one in UTC, so it stands in a column of its own, with
//!   `_local` behind the name, and the other is null.
//! - **Numbers** are signed, because Spark and others have no unsigned ones; each column is wide
//!   enough for all values.
//! - **`capture_path`**, and in cells `from_names` and `to_names`, come last, as in CSV: JSON has them
//!   elsewhere. `id` and `capture` count within one report, `capture_path` holds in a heap of them.
//! - **Text from a capture** is as it was captured. Programs that print it must see to its control
//!   characters themselves.

mod shred;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::matrix::Cell;
use crate::net::{Address, Endpoint, Time};
use crate::render::View;
use crate::render::parquet::shred::Table;
use crate::report::{CaptureRecord, Report};
use crate::verdict::record::{Closing, EvidenceRecord, JudgedFlow, Origin, PerSide};

const FLOWS: &str = "
message flow {
    required int64 id;
    required int32 capture;
    required binary transport (STRING);
    required group initiator {
        required binary address (STRING);
        required int32 port;
    }
    required group responder {
        required binary address (STRING);
        required int32 port;
    }
    required binary class (STRING);
    required binary verdict (STRING);
    required binary confidence (STRING);
    required binary explanation (STRING);
    optional binary origin (STRING);
    required group origin_reasons (LIST) {
        repeated group list { required binary element (STRING); }
    }
    required binary history (STRING);
    required group evidence (LIST) {
        repeated group list {
            required group element {
                required int64 frame;
                optional int64 time (TIMESTAMP(MICROS, true));
                optional int64 time_local (TIMESTAMP(MICROS, false));
                required binary from (STRING);
                required binary kind (STRING);
                optional int64 seq;
                optional int64 ack;
                optional int32 window;
                optional int32 ttl;
                optional int32 ip_id;
                optional binary note (STRING);
            }
        }
    }
    optional group schedule {
        required binary name (STRING);
        optional int64 expected;
        required int64 seen;
        required binary course (STRING);
    }
    required int64 first_frame;
    required int64 last_frame;
    optional int64 first_seen (TIMESTAMP(MICROS, true));
    optional int64 first_seen_local (TIMESTAMP(MICROS, false));
    optional int64 last_seen (TIMESTAMP(MICROS, true));
    optional int64 last_seen_local (TIMESTAMP(MICROS, false));
    required group packets {
        required int64 initiator;
        required int64 responder;
    }
    required group bytes {
        required int64 initiator;
        required int64 responder;
    }
    required int64 duplicates;
    optional binary closing (STRING);
    required group service {
        optional binary name (STRING);
        required binary outcome (STRING);
        optional binary code (STRING);
        optional binary detail (STRING);
        optional int64 frame;
    }
    optional group rpc {
        optional binary interface (STRING);
        optional binary uuid (STRING);
        required boolean bound;
        optional int64 announced_frame;
        optional int64 endpoint_mapper_flow;
    }
    required group announced (LIST) {
        repeated group list {
            required group element {
                required int64 frame;
                optional binary interface (STRING);
                optional binary uuid (STRING);
                required binary transport (STRING);
                optional binary address (STRING);
                required int32 port;
            }
        }
    }
    required group not_registered (LIST) {
        repeated group list {
            required group element {
                required int64 frame;
                required binary interface (STRING);
            }
        }
    }
    required group duties (LIST) {
        repeated group list {
            required group element {
                required int64 frame;
                required binary address (STRING);
                required binary duty (STRING);
                required binary how (STRING);
            }
        }
    }
    required group encapsulation (LIST) {
        repeated group list { required binary element (STRING); }
    }
    optional binary requirement (STRING);
    required group display_filter {
        required binary wireshark (STRING);
        required binary netmon (STRING);
    }
    optional binary capture_path (STRING);
}";

const CELLS: &str = "
message cell {
    required binary requirement (STRING);
    required binary service (STRING);
    required binary transport (STRING);
    required binary ports (STRING);
    required group from {
        required binary address (STRING);
        required binary role (STRING);
    }
    required group to {
        required binary address (STRING);
        required binary role (STRING);
    }
    required binary need (STRING);
    optional binary condition (STRING);
    required boolean listener_known;
    required binary outcome (STRING);
    required group flows (LIST) {
        repeated group list { required int64 element; }
    }
    required group counts {
        required int64 success;
        required int64 timeout;
        required int64 reject;
        required int64 inconclusive;
    }
    required binary explanation (STRING);
    required group from_names (LIST) {
        repeated group list { required binary element (STRING); }
    }
    required group to_names (LIST) {
        repeated group list { required binary element (STRING); }
    }
}";

/// Writes the table of a view.
pub(super) fn table(report: &Report, view: View, out: &mut dyn Write) -> io::Result<()> {
    let schema = match view {
        View::Flows | View::Ladders => FLOWS,
        View::Analysis => CELLS,
    };
    let facts = [
        ("portmortem.schema", report.schema.as_str()),
        ("portmortem.version", report.generator.version.as_str()),
    ];
    let mut table = Table::new(out, schema, &facts)?;
    match view {
        View::Flows | View::Ladders => {
            flow_rows(&mut table, report.flows.iter(), &report.captures)?;
        }
        View::Analysis => {
            let names: BTreeMap<Address, &[String]> =
                report.hosts.iter().map(|host| (host.address, host.names.as_slice())).collect();
            for cell in &report.matrix.cells {
                cell_row(&mut table, cell, &names)?;
            }
        }
    }
    table.end()
}

/// Adds a row for each flow, looking at each once.
fn flow_rows(
    table: &mut Table<'_>,
    flows: impl IntoIterator<Item = impl Borrow<JudgedFlow>>,
    captures: &[CaptureRecord],
) -> io::Result<()> {
    for flow in flows {
        let flow = flow.borrow();
        let path = captures.get(flow.capture).map(|capture| capture.path.as_str());
        flow_row(table, flow, path)?;
    }
    Ok(())
}

fn flow_row(row: &mut Table<'_>, flow: &JudgedFlow, path: Option<&str>) -> io::Result<()> {
    row.number(flow.id)?;
    row.number(flow.capture)?;
    row.text(flow.transport.as_str())?;
    endpoint(row, flow.initiator)?;
    endpoint(row, flow.responder)?;
    row.text(flow.class.as_str())?;
    row.text(flow.verdict.as_str())?;
    row.text(flow.confidence.as_str())?;
    row.text(&flow.explanation.text())?;
    row.optional_text(flow.origin.map(Origin::as_str))?;
    row.list("origin_reasons", &flow.origin_reasons, |row, reason| row.text(&reason.text()))?;
    row.text(&flow.history)?;
    row.list("evidence", &flow.evidence, |row, packet| evidence(row, &packet))?;
    row.group("schedule", flow.schedule.as_ref(), |row, schedule| {
        row.text(&schedule.name)?;
        row.optional_number(schedule.expected)?;
        row.number(schedule.seen)?;
        row.text(schedule.course.as_str())
    })?;
    row.number(flow.first_frame.0)?;
    row.number(flow.last_frame.0)?;
    time(row, flow.first_seen)?;
    time(row, flow.last_seen)?;
    per_side(row, flow.packets)?;
    per_side(row, flow.bytes)?;
    row.number(flow.duplicates)?;
    row.optional_text(flow.closing.map(Closing::as_str))?;
    row.optional_text(flow.service.name.as_deref())?;
    row.text(flow.service.outcome.as_str())?;
    row.optional_text(flow.service.code.as_deref())?;
    row.optional_text(flow.service.detail.as_deref())?;
    row.optional_number(flow.service.frame.map(|frame| frame.0))?;
    row.group("rpc", flow.rpc.as_ref(), |row, rpc| {
        row.optional_text(rpc.interface.as_deref())?;
        row.optional_text(rpc.uuid.as_deref())?;
        row.flag(rpc.bound)?;
        row.optional_number(rpc.announced_frame.map(|frame| frame.0))?;
        row.optional_number(rpc.endpoint_mapper_flow)
    })?;
    row.list("announced", &flow.announced, |row, announced| {
        row.number(announced.frame.0)?;
        row.optional_text(announced.interface.as_deref())?;
        row.optional_text(announced.uuid.as_deref())?;
        row.text(announced.transport.as_str())?;
        row.optional_text(announced.address.map(|address| address.to_string()).as_deref())?;
        row.number(announced.port)
    })?;
    row.list("not_registered", &flow.not_registered, |row, unknown| {
        row.number(unknown.frame.0)?;
        row.text(&unknown.interface)
    })?;
    row.list("duties", &flow.duties, |row, duty| {
        row.number(duty.frame.0)?;
        row.text(&duty.address.to_string())?;
        row.text(duty.duty.as_str())?;
        row.text(&duty.how)
    })?;
    texts(row, "encapsulation", &flow.encapsulation)?;
    row.optional_text(flow.requirement.as_deref())?;
    row.text(&flow.display_filter.wireshark())?;
    row.text(&flow.display_filter.netmon())?;
    row.optional_text(path)?;
    row.end_row()
}

fn cell_row(
    row: &mut Table<'_>,
    cell: &Cell,
    names: &BTreeMap<Address, &[String]>,
) -> io::Result<()> {
    row.text(&cell.requirement)?;
    row.text(&cell.service)?;
    row.text(cell.transport.as_str())?;
    row.text(&cell.ports)?;
    for end in [&cell.from, &cell.to] {
        row.text(&end.address.to_string())?;
        row.text(&end.role)?;
    }
    row.text(&cell.need)?;
    row.optional_text(cell.condition.as_deref())?;
    row.flag(cell.listener_known)?;
    row.text(cell.outcome.as_str())?;
    row.list("flows", &cell.flows, |row, flow| row.number(*flow))?;
    row.number(cell.counts.success)?;
    row.number(cell.counts.timeout)?;
    row.number(cell.counts.reject)?;
    row.number(cell.counts.inconclusive)?;
    row.text(&cell.explanation.text())?;
    for (column, end) in [("from_names", &cell.from), ("to_names", &cell.to)] {
        texts(row, column, names.get(&end.address).copied().unwrap_or_default())?;
    }
    row.end_row()
}

fn evidence(row: &mut Table<'_>, packet: &EvidenceRecord) -> io::Result<()> {
    row.number(packet.frame.0)?;
    time(row, packet.time)?;
    row.text(packet.from.as_str())?;
    row.text(packet.kind.as_str())?;
    row.optional_number(packet.seq.map(|number| number.0))?;
    row.optional_number(packet.ack.map(|number| number.0))?;
    row.optional_number(packet.window)?;
    row.optional_number(packet.ttl)?;
    row.optional_number(packet.ip_id)?;
    row.optional_text(packet.note.as_deref())
}

fn endpoint(row: &mut Table<'_>, endpoint: Endpoint) -> io::Result<()> {
    row.text(&endpoint.address.to_string())?;
    row.number(endpoint.port)
}

fn per_side(row: &mut Table<'_>, numbers: PerSide) -> io::Result<()> {
    row.number(numbers.initiator)?;
    row.number(numbers.responder)
}

/// A time in UTC, and one whose zone nobody knows: one of them, or neither.
fn time(row: &mut Table<'_>, time: Option<Time>) -> io::Result<()> {
    let microseconds = |time: Time| time.at.as_nanoseconds().div_euclid(1000);
    row.optional_number(time.filter(|time| time.clock.zone_known).map(microseconds))?;
    row.optional_number(time.filter(|time| !time.clock.zone_known).map(microseconds))
}

fn texts(row: &mut Table<'_>, column: &str, texts: &[String]) -> io::Result<()> {
    row.list(column, texts, |row, text| row.text(text))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::render::samples;

    #[test]
    fn every_report_fits_the_schemas() {
        for report in samples::all() {
            for (view, rows) in
                [(View::Flows, report.flows.len()), (View::Analysis, report.matrix.cells.len())]
            {
                let mut bytes = Vec::new();
                table(&report, view, &mut bytes).unwrap();
                let mut again = Vec::new();
                table(&report, view, &mut again).unwrap();
                assert_eq!(bytes, again);
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                let reader = SerializedFileReader::new(file).unwrap();
                assert_eq!(reader.get_row_iter(None).unwrap().count(), rows);
            }
        }
    }
}
