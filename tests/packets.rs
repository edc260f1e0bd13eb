//! Captures made of captures: `--evidence` and `flows --write`. What is written reads back to the
//! same verdicts, and Wireshark opens it. And `--filter`, which chooses what is shown and written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::calls::{below, call, folder, seed, troubled};
use support::case::testdata;

/// What a flow did, in few words, as far as its packets alone decide it.
fn told(flow: &Value) -> String {
    let end = |side: &str| format!("{}:{}", flow[side]["address"], flow[side]["port"]);
    let service = &flow["service"];
    let failure = match service["outcome"].as_str().unwrap() {
        outcome @ ("failed" | "reset_before_answer") => format!("{outcome} {}", service["code"]),
        _ => String::new(),
    };
    format!(
        "{} {} {} {} {failure}",
        flow["transport"],
        end("initiator"),
        end("responder"),
        flow["verdict"]
    )
}

fn counted(flows: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for flow in flows {
        *counts.entry(flow).or_default() += 1;
    }
    counts
}

fn flows_of(path: &str) -> Vec<Value> {
    let run = call(&["flows", "-q", path, "--format", "json"]);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{path}: {error}: {run:?}"))
}

/// The binary captures of the cases, and those at hand that others made.
fn captures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for case in fs::read_dir(testdata()).unwrap() {
        let path = case.unwrap().path();
        for name in ["capture.pcap", "capture.pcapng", "capture.cap"] {
            found.extend(Some(path.join(name)).filter(|path| path.is_file()));
        }
    }
    let others = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/lab");
    match fs::read_dir(&others) {
        Ok(entries) => found.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "pcap")),
        ),
        Err(_) => eprintln!("skipped: the captures of others are not at hand"),
    }
    found.sort();
    assert!(found.len() > 40, "the cases are there");
    found
}

#[test]
fn all_packets_of_all_flows_read_back_to_the_same_verdicts() {
    let folder = folder();
    let written = below(&folder, "all.pcapng");
    for capture in captures() {
        let path = capture.to_str().unwrap();
        let run = call(&["flows", "-q", path, "--write", &written, "--format", "json"]);
        let Ok(Value::Array(flows)) = serde_json::from_str::<Value>(&run.stdout) else { continue };
        // The end of the capture decides what silence means; a flow alone does not have it.
        let decided = |flow: &&Value| {
            !["no_reply", "capture_ended", "unreachable", "prohibited"]
                .contains(&flow["verdict"].as_str().unwrap())
        };
        let before = counted(flows.iter().filter(decided).map(told));
        let back = flows_of(&written);
        let after = counted(back.iter().filter(decided).map(told));
        assert_eq!(before, after, "{path}");
    }
}

#[test]
fn packets_that_decide_read_back_to_the_same_verdicts() {
    let folder = folder();
    let written = below(&folder, "evidence.pcapng");
    let mut compared = 0;
    for capture in captures() {
        let path = capture.to_str().unwrap();
        let run = call(&["-q", path, "--evidence", &written, "--format", "json"]);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        // Findings name packets too, also beside a format that shows cells alone.
        let packets = fs::read(&written).unwrap();
        call(&["-q", path, "--evidence", &written, "--format", "csv"]);
        assert!(fs::read(&written).unwrap() == packets, "{path}");
        let failed = report["flows"].as_array().unwrap().iter().filter(|flow| {
            ["timeout", "reject"].contains(&flow["class"].as_str().unwrap())
                || flow["service"]["outcome"] == "failed"
        });
        let ids: Vec<&Value> = report["matrix"]["cells"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|cell| {
                ["dropped", "refused", "service_failed", "mixed"]
                    .contains(&cell["outcome"].as_str().unwrap())
            })
            .flat_map(|cell| cell["flows"].as_array().unwrap())
            .collect();
        let expected: Vec<String> =
            failed.filter(|flow| ids.contains(&&flow["id"])).map(told).collect();
        let after = counted(flows_of(&written).iter().map(told));
        for flow in &expected {
            assert!(after.contains_key(flow), "{path}: {flow} is not among {after:#?}");
        }
        compared += expected.len();
    }
    assert!(compared > 30, "{compared} flows that failed were compared");
}

#[test]
fn remarks_name_the_frame_of_the_capture_and_wireshark_shows_them() {
    let folder = folder();
    let written = below(&folder, "evidence.pcapng");
    let site = seed("cap");
    let run = call(&[&site, "--evidence", &written]);
    assert_eq!(
        (run.exit, run.stderr.as_str()),
        (0, &*format!("portmortem: wrote 13 packets to {written}\n"))
    );
    let Ok(tshark) = Command::new("tshark")
        .args(["-n", "-r", &written, "-T", "fields", "-e", "tcp.flags.str", "-e", "frame.comment"])
        .output()
    else {
        eprintln!("skipped: tshark is not here");
        return;
    };
    assert!(tshark.status.success());
    let text = String::from_utf8(tshark.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // Frames 101 and 107 of the seed: the SYN that is never answered, and the reset.
    assert!(lines[0].contains("S·") || lines[0].contains("S\t"), "{}", lines[0]);
    assert!(lines[0].ends_with(&format!(
        "portmortem: flow 10, 10.0.0.5:52702 → 10.1.0.13:135, no_reply: syn, frame 101 of {site}"
    )));
    assert!(lines[4].contains(": rst, frame 107 of "));
    assert_eq!(lines.len(), 13);
}

#[test]
fn evidence_for_some_flows_holds_no_others() {
    let folder = folder();
    let written = below(&folder, "one.pcapng");
    let run = call(&[&seed("pcap"), "-q", "--evidence", &written, "--evidence-for", "11"]);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let flows: Vec<String> = flows_of(&written).iter().map(told).collect();
    assert_eq!(flows, ["\"tcp\" \"10.0.0.5\":52705 \"10.1.0.13\":389 \"refused\" "]);
    let run = call(&[&seed("pcap"), "--evidence", &written, "--evidence-for", "999"]);
    troubled(&run, &["--evidence-for: there is no flow 999", "list them with flows"]);
}

#[test]
fn packets_come_out_of_archives_and_joined_captures_too() {
    let folder = folder();
    let written = below(&folder, "evidence.pcapng");
    let tar = Command::new("tar")
        .args([
            "-C",
            folder.path().to_str().unwrap(),
            "-czf",
            &below(&folder, "case.tar.gz"),
            "site.pcap",
        ])
        .status()
        .unwrap();
    assert!(tar.success());
    let frames = |path: &str| call(&[path, "-f", "json", "--no-flows"]).stdout;
    let frames = |path: &str| -> Value {
        serde_json::from_str::<Value>(&frames(path)).unwrap()["captures"][0]["frames"].clone()
    };
    let archive = below(&folder, "case.tar.gz");
    assert_eq!(call(&[&archive, "--evidence", &written]).exit, 0);
    assert_eq!(frames(&written), 13);
    fs::remove_file(&archive).unwrap();
    fs::remove_file(&written).unwrap();

    let (site, open) = (below(&folder, "site.pcap"), testdata().join("all-open/capture.pcap"));
    let joined = [&*site, open.to_str().unwrap(), "--join", "--evidence", &written];
    assert_eq!(call(&joined).exit, 0);
    assert_eq!(frames(&written), 13);
}

#[test]
fn what_cannot_be_read_twice_is_told_before_the_work() {
    let folder = folder();
    let written = below(&folder, "evidence.pcapng");
    let run = support::calls::piped(&["-", "--evidence", &written], b"");
    troubled(&run, &[&written, "standard input can be read only once", "give a file instead of -"]);
    let run = call(&[&below(&folder, "site.pcap"), "--evidence", &below(&folder, "site.pcap")]);
    troubled(&run, &["is not written over what it is made from"]);
    // Rows of a text have no bytes to write.
    let article = testdata().join("article/capture.txt");
    let run = call(&[article.to_str().unwrap(), "--evidence", &written]);
    troubled(&run, &["have no place in a pcapng file"]);
}

#[test]
fn a_filter_shows_what_it_wants_in_every_format_and_tells_so() {
    let filter = "class = timeout and responder.port in 135,389";
    for format in ["table", "markdown", "json", "ndjson", "csv"] {
        let run = call(&["flows", &seed("pcap"), "--filter", filter, "-f", format]);
        assert_eq!(run.exit, 0);
        assert!(run.stdout.contains("10.1.0.13"), "{format}");
        assert!(!run.stdout.contains("10.1.0.7"), "{format}: another host");
    }
    let table = call(&[&seed("pcap"), "--filter", filter]).stdout;
    assert!(table.starts_with("1 of 1 exercised requirement failed"), "{table}");
    assert!(table.contains(&format!("only flows of which this is true: {filter}")));
    assert!(!table.contains("nobody tried"), "{table}");
    let report: Value =
        serde_json::from_str(&call(&[&seed("pcap"), "--filter", filter, "-f", "json"]).stdout)
            .unwrap();
    assert_eq!(report["options"]["filters"]["filter"], filter);
    assert_eq!(report["totals"]["flows"], 1);
    assert_eq!(report["flows"][0]["id"], 10, "flows keep their numbers");
    assert_eq!(report["matrix"]["cells"].as_array().unwrap().len(), 1);
}

#[test]
fn a_wrong_filter_is_shown_with_carets() {
    let run = call(&["flows", &seed("pcap"), "--filter", "id = 1 and clas = timeout"]);
    assert_eq!(run.exit, 2);
    let expected = "unknown field \"clas\"; did you mean \"class\"?\n  id = 1 and clas = timeout\n             ^^^^\n";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
}
