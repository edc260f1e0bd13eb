//! Parquet tables say what JSON says, row by row and column by column.

#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at the first surprise, and makes up numbers that fit"
)]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value, json};
use support::calls::{below, call, folder, seed, troubled};
use support::case;

/// The rows of a table, as JSON.
fn rows(path: &Path) -> Vec<Value> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| object(&row.unwrap())).collect()
}

fn object(row: &Row) -> Value {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => json!(flag),
        Field::Int(number) => json!(number),
        Field::Long(number) => json!(number),
        Field::Str(text) => json!(text),
        // Microseconds since 1970, as told() has them.
        Field::TimestampMicros(time) => json!({ "microseconds": time }),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => panic!("{other:?}: no such column is meant to be"),
    }
}

/// A JSON record as a row tells it: times as timestamps, each in the column of its zone.
fn told(record: &Value) -> Value {
    match record {
        Value::Object(keys) => {
            let mut row = Map::new();
            for (key, value) in keys {
                if !["time", "first_seen", "last_seen"].contains(&key.as_str()) {
                    row.insert(key.clone(), told(value));
                    continue;
                }
                let text = value.as_str().unwrap_or_default();
                let utc = text.parse::<jiff::Timestamp>().ok();
                let local = text.parse::<jiff::civil::DateTime>().ok().filter(|_| utc.is_none());
                let local = local.map(|it| it.to_zoned(jiff::tz::TimeZone::UTC).unwrap());
                let column = |time: Option<i128>| match time {
                    Some(time) => json!({ "microseconds": time.div_euclid(1000) as i64 }),
                    None => Value::Null,
                };
                row.insert(key.clone(), column(utc.map(jiff::Timestamp::as_nanosecond)));
                let local = local.map(|it| it.timestamp().as_nanosecond());
                row.insert(format!("{key}_local"), column(local));
            }
            Value::Object(row)
        }
        Value::Array(items) => items.iter().map(told).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_case_has_the_rows_that_json_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut times = [0, 0];
    for case in case::all() {
        let mut words = vec!["analyze", "--format", "parquet", "--no-progress", "--quiet"];
        let output = format!("{}/", below(&folder, &case.name));
        words.extend(["--output", &output]);
        let captures: Vec<&str> = case.captures.iter().map(|path| path.to_str().unwrap()).collect();
        words.extend(&captures);
        let run = call(&words);
        assert!(run.exit != 1 && run.stdout.is_empty(), "{}: {run:?}", case.name);
        let report = fs::read(format!("{output}report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();

        let flows = rows(Path::new(&format!("{output}flows.parquet")));
        assert_eq!(flows.len(), report["flows"].as_array().unwrap().len(), "{}", case.name);
        for (row, flow) in flows.iter().zip(report["flows"].as_array().unwrap()) {
            let mut expected = told(flow);
            let capture = usize::try_from(flow["capture"].as_u64().unwrap()).unwrap();
            expected["capture_path"] = report["captures"][capture]["path"].clone();
            assert_eq!(*row, expected, "{}", case.name);
            times[0] += usize::from(!row["first_seen"].is_null());
            times[1] += usize::from(!row["first_seen_local"].is_null());
        }

        let cells = rows(Path::new(&format!("{output}cells.parquet")));
        let expected = report["matrix"]["cells"].as_array().unwrap();
        assert_eq!(cells.len(), expected.len(), "{}", case.name);
        for (row, cell) in cells.iter().zip(expected) {
            let mut expected = told(cell);
            for end in ["from", "to"] {
                let address = &cell[end]["address"];
                let mut hosts = report["hosts"].as_array().unwrap().iter();
                let host = hosts.find(|host| host["address"] == *address);
                let names = host.map_or(json!([]), |host| host["names"].clone());
                expected[format!("{end}_names")] = names;
            }
            assert_eq!(*row, expected, "{}", case.name);
        }
    }
    assert!(times[0] > 0, "no case has times in UTC");
}

#[test]
fn times_without_a_zone_stand_in_columns_of_their_own() {
    let folder = folder();
    // Network Monitor 2.2 and older tells the clock on the wall, and no zone.
    let mut capture = fs::read(seed("cap")).unwrap();
    capture[4] = 2;
    let (path, table) = (below(&folder, "old.cap"), below(&folder, "old.parquet"));
    fs::write(&path, &capture).unwrap();
    let report = call(&["analyze", "--format", "json", &path]).json();
    assert_eq!(report["captures"][0]["zone"], "unknown");
    call(&["flows", "--format", "parquet", "--output", &table, &path]);
    let rows = rows(Path::new(&table));
    assert!(!rows.is_empty());
    for (row, flow) in rows.iter().zip(report["flows"].as_array().unwrap()) {
        assert!(row["first_seen"].is_null() && !row["first_seen_local"].is_null(), "{row}");
        assert_eq!(row["last_seen_local"], told(flow)["last_seen_local"]);
    }
}

#[test]
fn a_file_of_analyze_holds_cells_and_one_of_flows_the_flows() {
    let folder = folder();
    let (capture, cells) = (below(&folder, "site.pcap"), below(&folder, "cells.parquet"));
    let run = call(&["analyze", "--format", "parquet", "--output", &cells, &capture]);
    assert_eq!((run.exit, run.stdout.as_str()), (0, ""), "{run:?}");
    assert!(rows(Path::new(&cells)).iter().all(|row| row["outcome"].is_string()));
    let flows = below(&folder, "flows.parquet");
    let run =
        call(&["flows", "--format", "parquet", "--show", "1,3", "--output", &flows, &capture]);
    assert_eq!(run.exit, 0, "{run:?}");
    let ids: Vec<i64> =
        rows(Path::new(&flows)).iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 3]);
}

#[test]
fn a_folder_is_written_over_and_nothing_in_it_is_read_and_lost() {
    let folder = folder();
    let (capture, tables) = (below(&folder, "site.pcap"), below(&folder, "tables"));
    let words = ["analyze", "--format", "parquet", "--output", &format!("{tables}/"), &capture];
    for _ in 0..2 {
        assert_eq!(call(&words).exit, 0);
    }
    let mut names: Vec<_> =
        fs::read_dir(&tables).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cells.parquet", "flows.parquet", "report.json"]);
    // A capture that stands where a table goes.
    fs::copy(&capture, format!("{tables}/flows.parquet")).unwrap();
    let run = call(&["analyze", "--format", "parquet", "--output", &tables, &tables]);
    troubled(&run, &["flows.parquet", "not written over what it is made from"]);
    let nowhere = below(&folder, "no/where/");
    let run = call(&["analyze", "--format", "parquet", "--output", &nowhere, &capture]);
    troubled(&run, &["where", "the folder cannot be made"]);
    // Other formats still want a file.
    let run = call(&["analyze", "--format", "json", "--output", &tables, &capture]);
    troubled(&run, &["this is a folder"]);
}

#[test]
fn rows_of_many_flows_stand_in_several_row_groups() {
    let folder = folder();
    // 70,000 datagrams from ports of their own to 7 servers, as hex would be too long: made by hand.
    let mut capture = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        capture.extend(word.to_le_bytes());
    }
    for number in 0..70_000_u32 {
        let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 0, 0, 5, 10, 1, 0, (number / 10_000) as u8]);
        packet.extend((10_000 + (number % 10_000) as u16).to_be_bytes());
        packet.extend([0, 53, 0, 9, 0, 0, 7]);
        let length = packet.len() as u32;
        for word in [1_352_799_000 + number / 1000, number % 1000, length, length] {
            capture.extend(word.to_le_bytes());
        }
        capture.extend(packet);
    }
    let (path, table) = (below(&folder, "many.pcap"), below(&folder, "many.parquet"));
    fs::write(&path, capture).unwrap();
    assert_eq!(call(&["flows", "--format", "parquet", "--output", &table, &path]).exit, 0);
    let reader = SerializedFileReader::new(File::open(&table).unwrap()).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.file_metadata().num_rows(), 70_000);
    let groups: Vec<i64> = metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(groups, [65_536, 4_464]);
    for (id, row) in (1..).zip(reader.get_row_iter(None).unwrap()) {
        let row = object(&row.unwrap());
        assert_eq!(row["id"], id);
        assert_eq!(row["responder"]["address"], format!("10.1.0.{}", (id - 1) / 10_000));
        assert_eq!(row["initiator"]["port"], 10_000 + (id - 1) % 10_000);
    }
}

/// Says why a test did not run: not by `eprintln`, which the test runner keeps to itself.
fn skipped(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

#[test]
fn duckdb_pyarrow_and_pandas_read_what_json_says() {
    let probe = ["-c", "import duckdb, pandas, pyarrow"];
    if !Command::new("python3").args(probe).output().is_ok_and(|it| it.status.success()) {
        skipped("python3 with duckdb, pandas and pyarrow is not here (pip install them)");
        return;
    }
    let folder = folder();
    let tables = format!("{}/", below(&folder, "tables"));
    let captures = [seed("pcap"), seed("cap")];
    let mut words = vec!["analyze", "--format", "parquet", "--quiet", "--output", &tables];
    words.extend(captures.iter().map(String::as_str));
    assert_eq!(call(&words).exit, 0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tables.py");
    let output = Command::new("python3").arg(script).arg(&tables).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
