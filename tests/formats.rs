//! The format of a capture has no say in the result: the same traffic in pcap, pcapng, Network
//! Monitor and snoop files and event traces gives one and the same report.
//!
//! What is allowed to differ, and is taken out before comparing:
//!
//! - `path`, `format`, `sha256` and `bytes` of the capture: they tell about the file.
//! - The digits of times after the last that is not zero: a file keeps as many as its format
//!   has, and the scenes keep to what all of them can hold.
//! - What `problems` say and where: a cut-off pcap and a Network Monitor capture without its
//!   frame table are told in other words and at other offsets. How bad it is must be the same.
//! - Before Network Monitor 2.3 the zone: such a capture holds the time of the clock on the
//!   wall, so `zone` differs and times have no `Z`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::case;
use support::files::Order;
use support::files::etl::{self, By, Compression};
use support::files::netmon::{self, Version};
use support::files::netmon_text;
use support::files::pcap;
use support::files::pcapng;
use support::files::snoop;
use support::program::run;
use support::recipes::RECIPES;
use support::scene::Host;

/// The report on a capture, without what its format may change.
fn report(capture: &Path, roles: &[String]) -> Value {
    let fixed = ["analyze", "--format", "json", "--no-progress", capture.to_str().unwrap()];
    let mut arguments = fixed.map(String::from).to_vec();
    arguments.extend_from_slice(roles);
    let mut report = run(&arguments).json();
    for capture in report["captures"].as_array_mut().unwrap() {
        let capture = capture.as_object_mut().unwrap();
        for key in ["path", "format", "sha256", "bytes"] {
            assert!(capture.remove(key).is_some_and(|value| !value.is_null()), "{key} is absent");
        }
        for problem in capture["problems"].as_array_mut().unwrap() {
            *problem = problem["severity"].take();
        }
        // Where a capture is cut off, Network Monitor's frame table is missing too.
        capture["problems"].as_array_mut().unwrap().dedup();
    }
    trim_times(&mut report);
    report
}

/// Leaves out the zeros at the end of every time.
fn trim_times(value: &mut Value) {
    match value {
        Value::String(text) if is_time(text) => {
            let (local, zone) = text.strip_suffix('Z').map_or((&**text, ""), |text| (text, "Z"));
            let trimmed = local.trim_end_matches('0').trim_end_matches('.');
            let local = if local.contains('.') { trimmed } else { local };
            *text = format!("{local}{zone}");
        }
        Value::Array(values) => values.iter_mut().for_each(trim_times),
        Value::Object(values) => values.values_mut().for_each(trim_times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a text is a time like `2012-11-13T09:30:00.000250Z`, with or without fraction and
/// zone.
fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00";
    let fits = |(letter, shape): (u8, &u8)| match shape {
        b'0' => letter.is_ascii_digit(),
        other => letter == *other,
    };
    text.len() >= shape.len()
        && text.bytes().zip(shape).all(fits)
        && text.bytes().skip(shape.len()).all(|letter| matches!(letter, b'.' | b'Z' | b'0'..=b'9'))
}

#[test]
fn every_case_gives_one_report_in_all_formats() {
    for case in case::all() {
        if case.reports_differ.is_some() {
            continue;
        }
        let roles = case.role_arguments();
        let (first, others) = case.captures.split_first().unwrap();
        let expected = report(first, &roles);
        for other in others {
            let found = report(other, &roles);
            assert_eq!(found, expected, "{}, against {}", other.display(), first.display());
        }
    }
}

#[test]
fn byte_order_and_resolution_of_a_file_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for recipe in RECIPES.iter().filter(|recipe| ["seed", "ipv6"].contains(&recipe.case)) {
        let scene = recipe.scene();
        let pcap = |order, nanoseconds| pcap::write(&scene, pcap::Form { order, nanoseconds });
        let pcapng = |order, resolution| {
            let form = pcapng::Form { order, resolution, ..pcapng::Form::USUAL };
            pcapng::write(&scene, form)
        };
        let usual = folder.path().join("usual.pcap");
        fs::write(&usual, pcap(Order::Little, false)).unwrap();
        let expected = report(&usual, &[]);
        for (name, bytes) in [
            ("big.pcap", pcap(Order::Big, false)),
            ("nanoseconds.pcap", pcap(Order::Little, true)),
            ("big-nanoseconds.pcap", pcap(Order::Big, true)),
            ("big.pcapng", pcapng(Order::Big, None)),
            ("nanoseconds.pcapng", pcapng(Order::Little, Some(9))),
            ("big-tenth-microseconds.pcapng", pcapng(Order::Big, Some(7))),
            ("solaris.snoop", snoop::write(&scene)),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert_eq!(report(&path, &[]), expected, "{}: {name}", recipe.case);
        }
    }
}

#[test]
fn event_traces_give_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    // The site server of most cases; where it is none, all is received.
    let on = Host::new("10.0.0.5");
    for recipe in RECIPES.iter().filter(|recipe| {
        ["seed", "all-open", "icmp-prohibited", "ipv6", "vlan-qinq"].contains(&recipe.case)
    }) {
        let scene = recipe.scene();
        let usual = folder.path().join("usual.pcap");
        fs::write(&usual, pcap::write(&scene, pcap::Form::USUAL)).unwrap();
        let mut expected = report(&usual, &[]);
        without_comments(&mut expected);
        for by in [By::Netsh, By::Pktmon] {
            for compression in
                [Compression::None, Compression::Xpress, Compression::Lznt1, Compression::Huffman]
            {
                let path = folder.path().join("trace.etl");
                let form = etl::Form::new(by, compression, on);
                fs::write(&path, etl::write(&scene, form)).unwrap();
                let mut found = report(&path, &[]);
                without_comments(&mut found);
                assert_eq!(found, expected, "{}: {by:?}, {compression:?}", recipe.case);
            }
        }
    }
}

/// Takes the remarks away from a report: event traces name their interfaces in them.
fn without_comments(report: &mut Value) {
    for capture in report["captures"].as_array_mut().unwrap() {
        capture["comments"] = Value::Null;
    }
}

/// Takes the zone away from a report, as an old Network Monitor capture does.
fn without_zone(value: &mut Value) {
    match value {
        Value::String(text) if is_time(text) => *text = text.trim_end_matches('Z').to_owned(),
        Value::Array(values) => values.iter_mut().for_each(without_zone),
        Value::Object(values) => {
            values.remove("zone");
            values.values_mut().for_each(without_zone);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn older_network_monitor_captures_lose_their_zone_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = RECIPES.iter().find(|recipe| recipe.case == "seed").unwrap();
    let scene = recipe.scene();
    let usual = folder.path().join("usual.pcap");
    fs::write(&usual, pcap::write(&scene, pcap::Form::USUAL)).unwrap();
    let mut expected = report(&usual, &[]);
    without_zone(&mut expected);
    for version in [Version::V2_0, Version::V2_1, Version::V2_2] {
        let path = folder.path().join(format!("{version:?}.cap"));
        // The clock on the wall shows UTC, so the times can be compared.
        let form = netmon::Form { version, zone_minutes: 0 };
        fs::write(&path, netmon::write(&scene, form)).unwrap();
        let mut found = report(&path, &[]);
        assert_eq!(found["captures"][0]["zone"], "unknown", "{version:?}");
        without_zone(&mut found);
        assert_eq!(found, expected, "{version:?}");
    }
}

#[test]
fn a_capture_of_milliseconds_gives_the_same_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = RECIPES.iter().find(|recipe| recipe.case == "seed").unwrap();
    let form = netmon::Form { version: Version::V1_1, zone_minutes: 0 };
    let path = folder.path().join("old.cap");
    fs::write(&path, netmon::write(&recipe.scene(), form)).unwrap();
    let verdicts = |report: &Value| -> Vec<(Value, Value)> {
        let flows = report["flows"].as_array().unwrap();
        flows.iter().map(|flow| (flow["first_frame"].clone(), flow["verdict"].clone())).collect()
    };
    let usual = case::testdata().join("seed").join("capture.pcap");
    let expected = verdicts(&report(&usual, &[]));
    assert_eq!(expected.len(), 15);
    assert_eq!(verdicts(&report(&path, &[])), expected);
}

#[test]
fn rows_copied_out_of_network_monitor_give_the_same_flows() {
    let folder = tempfile::tempdir().unwrap();
    let flows = |path: &Path| -> Vec<String> {
        let arguments = ["flows", "--format", "ndjson", "--no-progress", path.to_str().unwrap()];
        let told = |flow: &Value| {
            let end = |side: &str| format!("{}:{}", flow[side]["address"], flow[side]["port"]);
            // A text holds no IP identification and no time to live, which the origin of a
            // refusal can rest on, and no byte of a payload.
            let rest = ["verdict", "confidence", "history", "first_frame", "last_frame", "bytes"];
            let rest = rest.map(|key| flow[key].to_string());
            format!("{} > {} {}", end("initiator"), end("responder"), rest.join(" "))
        };
        run(arguments).ndjson().iter().map(told).collect()
    };
    let mut compared = 0;
    for recipe in &RECIPES {
        // Text tells of an ICMP error, and not of the packet that it quotes; of fragments by name
        // only; of a tunnel nothing; and without payload an answer sent again looks like a new one.
        let left_out = [
            "icmp-prohibited",
            "ipv6",
            "torn",
            "damaged",
            "fragments",
            "both-sides-of-a-tunnel",
            "network-boot",
        ];
        if left_out.contains(&recipe.case) {
            continue;
        }
        let scene = recipe.scene();
        let capture = folder.path().join("capture.pcap");
        fs::write(&capture, pcap::write(&scene, pcap::Form::USUAL)).unwrap();
        let expected = flows(&capture);
        assert!(!expected.is_empty());
        for form in [netmon_text::Form::Pasted, netmon_text::Form::Mailed] {
            let text = folder.path().join("rows.txt");
            fs::write(&text, netmon_text::write(&scene, form)).unwrap();
            assert_eq!(flows(&text), expected, "{} {form:?}", recipe.case);
            compared += 1;
        }
    }
    assert!(compared >= 20);
}
