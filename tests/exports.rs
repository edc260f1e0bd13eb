//! What tshark and tcpdump save as text gives the verdicts of the capture that they read.
//!
//! The texts are made by the programs themselves where they are installed; elsewhere these tests
//! say that they were skipped. Small texts that stay with the sources are in `testdata`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::case;
use support::program::run;

/// Says something even where the test harness keeps the output of tests that pass.
fn say(what: &str) {
    std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}

/// Whether a program can be run.
fn installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        say(&format!("skipped: {program} is not installed"));
    }
    found
}

/// What a text can tell of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    /// All that decides a verdict.
    Everything,
    /// No ports where something above TCP or UDP is shown: who asks over UDP has port 0.
    NoPortsOfApplications,
}

/// Columns of `-T fields` that the documentation asks for.
const FIELDS: &[&str] = &[
    "frame.number",
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.len",
    "udp.length",
    "ip.ttl",
    "ip.id",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
];

/// Wireshark's own columns, as its window exports them.
const COLUMNS: &[&str] = &[
    "_ws.col.No.",
    "_ws.col.Time",
    "_ws.col.Source",
    "_ws.col.Destination",
    "_ws.col.Protocol",
    "_ws.col.Length",
    "_ws.col.Info",
];

/// A way to save a capture as text: a name, tshark's options, columns, what the text tells.
type Way = (&'static str, &'static [&'static str], &'static [&'static str], Tells);

const WAYS: &[Way] = &[
    ("json", &["-T", "json"], &[], Tells::Everything),
    ("json with bytes", &["-T", "json", "-x"], &[], Tells::Everything),
    ("json without duplicate keys", &["-T", "json", "--no-duplicate-keys"], &[], Tells::Everything),
    ("json of fields", &["-T", "json"], FIELDS, Tells::Everything),
    ("ek", &["-T", "ek"], &[], Tells::Everything),
    ("ek of fields", &["-T", "ek"], FIELDS, Tells::Everything),
    ("pdml", &["-T", "pdml"], &[], Tells::Everything),
    ("fields", &["-T", "fields", "-E", "header=y"], FIELDS, Tells::Everything),
    (
        "csv of fields",
        &["-T", "fields", "-E", "header=y", "-E", "separator=,", "-E", "quote=d"],
        FIELDS,
        Tells::Everything,
    ),
    ("details", &["-V"], &[], Tells::Everything),
    ("rows and bytes", &["-P", "-x"], &[], Tells::Everything),
    ("details and bytes", &["-V", "-x"], &[], Tells::Everything),
    ("rows, details and bytes", &["-P", "-V", "-x"], &[], Tells::Everything),
    ("bytes with times", &["-x", "-P", "-t", "ud"], &[], Tells::Everything),
    ("rows", &[], &[], Tells::NoPortsOfApplications),
    ("rows with dates", &["-t", "ud"], &[], Tells::NoPortsOfApplications),
    ("rows since 1970", &["-t", "e"], &[], Tells::NoPortsOfApplications),
    ("rows with deltas", &["-t", "d"], &[], Tells::NoPortsOfApplications),
    ("rows with the day of the year", &["-t", "udoy"], &[], Tells::NoPortsOfApplications),
    ("rows with names of ports", &["-N", "t"], &[], Tells::NoPortsOfApplications),
    ("tabs", &["-T", "tabs"], &[], Tells::NoPortsOfApplications),
    ("psml", &["-T", "psml"], &[], Tells::NoPortsOfApplications),
    (
        "csv of the window",
        &["-T", "fields", "-E", "header=y", "-E", "separator=,", "-E", "quote=d"],
        COLUMNS,
        Tells::NoPortsOfApplications,
    ),
];

/// A capture as text.
fn export(capture: &Path, options: &[&str], columns: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(options).env("TZ", "UTC");
    for column in columns {
        command.args(["-e", column]);
    }
    command.output().unwrap().stdout
}

/// The flows of a capture or text: endpoints and verdict, and how many there are of each.
fn verdicts(path: &Path, tells: Tells) -> BTreeMap<String, u32> {
    let words = ["flows", "--format", "json", "--no-progress"];
    let run = run(words.iter().copied().chain([path.to_str().unwrap()]));
    let flows: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let mut counted = BTreeMap::new();
    for flow in flows.as_array().unwrap() {
        let word = |key: &str| flow[key].as_str().unwrap().to_owned();
        let end = |key: &str| {
            let address = flow[key]["address"].as_str().unwrap();
            let untold = key == "initiator"
                && tells == Tells::NoPortsOfApplications
                && flow["transport"] == "udp";
            let port = if untold { 0 } else { flow[key]["port"].as_u64().unwrap() };
            format!("{address} {port}")
        };
        let (initiator, responder) = (end("initiator"), end("responder"));
        let line = format!("{} {initiator} -> {responder}: {}", word("transport"), word("verdict"));
        *counted.entry(line).or_insert(0) += 1;
    }
    counted
}

/// Compares a capture with one way to save it; gives what differs.
fn compare(capture: &Path, way: &Way, folder: &Path) -> Option<String> {
    let (name, options, columns, tells) = *way;
    let text = folder.join("export.txt");
    fs::write(&text, export(capture, options, columns)).unwrap();
    let (expected, found) = (verdicts(capture, tells), verdicts(&text, tells));
    let only = |a: &BTreeMap<String, u32>, b: &BTreeMap<String, u32>| {
        let lines = a.iter().filter(|(line, count)| b.get(*line) != Some(count));
        let lines: Vec<String> =
            lines.map(|(line, count)| format!("\n    {count} {line}")).collect();
        lines.concat()
    };
    (expected != found).then(|| {
        format!(
            "{} as {name}:\n  in the capture:{}\n  in the text:{}",
            capture.display(),
            only(&expected, &found),
            only(&found, &expected),
        )
    })
}

#[test]
fn every_case_has_the_verdicts_of_its_capture_in_the_texts_of_tshark() {
    if !installed("tshark") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut differences = Vec::new();
    for case in case::all() {
        // What tshark makes of damage is its own affair.
        if ["damaged", "torn"].contains(&case.name.as_str()) {
            continue;
        }
        // Starting tshark takes longer than all the rest: the case that has most is saved in every
        // way, the others in the ways that tell most and least.
        let every_way = case.name == "seed";
        // Rows of TFTP and of connectionless calls tell no ports, and nothing else tells of them.
        let no_ports = ["network-boot", "rpc-answers"].contains(&case.name.as_str());
        let ways = WAYS.iter().filter(|(name, ..)| match *name {
            "json" => true,
            "rows" => !no_ports,
            _ => every_way,
        });
        let is_pcapng = |path: &&PathBuf| path.extension().is_some_and(|it| it == "pcapng");
        for capture in case.captures.iter().filter(is_pcapng) {
            differences.extend(ways.clone().filter_map(|way| compare(capture, way, folder.path())));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What tshark 4.0 prints of the case `icmp-prohibited`, its own arrows and all.
const ROWS: &str = "\
    1   0.000000     10.0.0.5 → 10.1.0.10    TCP 66 50021 → 445 [SYN] Seq=0 Win=8192 Len=0 MSS=1460 WS=256 SACK_PERM
    2   0.000250     10.0.0.1 → 10.0.0.5     ICMP 70 Destination unreachable (Communication administratively filtered)
    3   3.000250     10.0.0.5 → 10.1.0.10    TCP 66 [TCP Retransmission] 50021 → 445 [SYN] Seq=0 Win=8192 Len=0 MSS=1460 WS=256 SACK_PERM
    4   3.000500     10.0.0.1 → 10.0.0.5     ICMP 70 Destination unreachable (Communication administratively filtered)
    5   9.000500     10.0.0.5 → 10.1.0.10    TCP 62 [TCP Retransmission] 50021 → 445 [SYN] Seq=0 Win=8192 Len=0 MSS=1460 SACK_PERM
    6   9.000750     10.0.0.1 → 10.0.0.5     ICMP 70 Destination unreachable (Communication administratively filtered)
    7   9.001000     10.0.0.5 → 10.1.0.10    TCP 66 50022 → 88 [SYN] Seq=0 Win=8192 Len=0 MSS=1460 WS=256 SACK_PERM
    8   9.001250     10.0.0.1 → 10.0.0.5     ICMP 70 Destination unreachable (Host unreachable)
    9   9.001500     10.0.0.5 → 10.1.0.10    CLDAP 103 searchRequest(1) \"<ROOT>\" baseObject
   10   9.001750    10.1.0.10 → 10.0.0.5     ICMP 70 Destination unreachable (Port unreachable)
";

#[test]
fn rows_give_the_verdicts_of_their_capture_in_every_encoding_and_spelling() {
    let folder = tempfile::tempdir().unwrap();
    // From the case's own expectations.
    let expected = BTreeMap::from([
        ("tcp 10.0.0.5 50021 -> 10.1.0.10 445: prohibited".to_owned(), 1),
        ("tcp 10.0.0.5 50022 -> 10.1.0.10 88: unreachable".to_owned(), 1),
        ("udp 10.0.0.5 0 -> 10.1.0.10 389: unreachable".to_owned(), 1),
    ]);
    let old: Vec<String> = ROWS
        .lines()
        .map(|line| {
            let (hosts, rest) = line.split_once(" → ").unwrap();
            format!("{hosts} -> {}\r\n", rest.replace("445 [", "microsoft-ds [").replace('→', ">"))
        })
        .collect();
    let utf16 = ROWS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes) in
        [("new.txt", ROWS.into()), ("old.txt", old.concat().into_bytes()), ("utf16.txt", utf16)]
    {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(verdicts(&path, Tells::NoPortsOfApplications), expected, "{name}");
    }
}
