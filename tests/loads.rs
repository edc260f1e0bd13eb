//! The verdicts on large made-up traffic are those that its generator planned, on a small
//! helping of each kind in each format.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::duplicate_mod,
    reason = "a test may stop at the first surprise; the generator and the scenes say the same things"
)]

mod support;

#[path = "bench/traffic.rs"]
#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a generator makes up its numbers, and there are two sides to every flow"
)]
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;

use serde_json::json;
use support::program::run;
use traffic::{Format, Kind, Truth, generate};

const KINDS: [&str; 4] = ["M", "F", "N", "X"];

fn made(letter: &str, format: Format) -> (Vec<u8>, Truth) {
    let mut capture = Cursor::new(Vec::new());
    let kind = Kind::of(letter).unwrap();
    let truth = generate(kind, 1_500_000, 7, format, &mut capture).unwrap();
    (capture.into_inner(), truth)
}

#[test]
fn totals_and_verdicts_are_those_that_were_planned() {
    let folder = tempfile::tempdir().unwrap();
    for letter in KINDS {
        let mut printed = Vec::new();
        for format in Format::ALL {
            let (capture, truth) = made(letter, format);
            let name = format!("{letter}.{}", format.extension());
            let path = folder.path().join(&name);
            fs::write(&path, capture).unwrap();
            let path = path.to_str().unwrap();
            let report = run(["analyze", "--format", "json", "--no-progress", path]);
            assert_eq!(report.exit, 0, "{name}: {}", report.stderr);
            let report = report.json();
            let mut planned = json!(truth.classes);
            planned["flows"] = truth.verdicts.values().sum::<u64>().into();
            assert_eq!(report["totals"], planned, "{name}");
            assert_eq!(report["captures"][0]["frames"], truth.frames, "{name}");
            assert_eq!(report["captures"][0]["bytes"], truth.bytes, "{name}");
            let mut found = BTreeMap::new();
            for flow in report["flows"].as_array().unwrap() {
                *found.entry(flow["verdict"].as_str().unwrap()).or_insert(0_u64) += 1;
            }
            assert_eq!(found, truth.verdicts, "{name}");
            printed.push(run(["flows", "--format", "ndjson", "--no-progress", path]).stdout);
        }
        // Times are microseconds, or 100 ns with the same digits before them.
        assert_eq!(printed[0], printed[1], "{letter}: pcap and pcapng");
        assert_eq!(
            printed[0].lines().count(),
            printed[2].lines().count(),
            "{letter}: pcap and Network Monitor"
        );
    }
}

#[test]
fn folded_flows_are_counted_and_everything_else_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for letter in KINDS {
        let path = folder.path().join(letter);
        fs::write(&path, made(letter, Format::Pcap).0).unwrap();
        let path = path.to_str().unwrap();
        let whole = run(["analyze", "--format", "json", "--no-progress", path]).json();
        let mut short =
            run(["analyze", "--fold", "--format", "json", "--no-progress", path]).json();
        let listed = short["flows"].as_array().unwrap();
        let counted = short["folded"].as_array().unwrap();
        let count = |row: &serde_json::Value| row["count"].as_u64().unwrap();
        let all = listed.len() as u64 + counted.iter().map(count).sum::<u64>();
        assert_eq!(whole["totals"]["flows"], all, "{letter}");
        let ids: Vec<u64> = listed.iter().map(|flow| flow["id"].as_u64().unwrap()).collect();
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for flow in whole["flows"].as_array().unwrap() {
            let id = flow["id"].as_u64().unwrap();
            if ids.binary_search(&id).is_ok() {
                assert!(listed.contains(flow), "{letter}: flow {id}");
            } else {
                let key = json!([
                    flow["initiator"]["address"],
                    flow["responder"]["address"],
                    flow["transport"],
                    flow["responder"]["port"],
                    flow["verdict"]
                ]);
                *rows.entry(key.to_string()).or_default() += 1;
            }
        }
        let key = |row: &serde_json::Value| {
            let keys = ["initiator", "responder", "transport", "port", "verdict"];
            json!(keys.map(|key| row[key].clone())).to_string()
        };
        let found: BTreeMap<String, u64> =
            counted.iter().map(|row| (key(row), count(row))).collect();
        assert_eq!(found, rows, "{letter}");
        assert!(letter != "X" || !rows.is_empty(), "a scan has alike flows");
        short["folded"] = whole["folded"].clone();
        short["flows"] = whole["flows"].clone();
        assert_eq!(short, whole, "{letter}");
    }
}

#[test]
fn drops_refusals_retransmissions_and_ipv6_are_in_every_kind() {
    for letter in KINDS {
        let (_, truth) = made(letter, Format::Pcap);
        for class in ["success", "timeout", "reject"] {
            assert!(truth.classes[class] > 0, "{letter}: no {class}");
        }
        assert!(truth.retransmissions > 0, "{letter}: no retransmission");
        let flows: u64 = truth.verdicts.values().sum();
        assert!(truth.ipv6 > 0 && truth.ipv6 < flows, "{letter}: {} of {flows}", truth.ipv6);
    }
}
