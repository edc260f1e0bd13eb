//! Reports that can be shared: no address and no name of a capture is in any format, and what they
//! say is the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::calls::{call, seed, troubled};
use support::case::testdata;

/// Labels of names that the program may say itself.
const COMMON: [&str; 17] = [
    // Windows calls what nobody named DESKTOP- and some letters.
    "desktop",
    "local",
    "com",
    "net",
    "org",
    "example",
    "child",
    "root",
    "www",
    "time",
    "windows",
    "microsoft",
    "google",
    "update",
    "isatap",
    "wpad",
    "server",
];

fn captures() -> Vec<PathBuf> {
    let cases = fs::read_dir(testdata()).unwrap().map(|case| case.unwrap().path());
    let mut found: Vec<PathBuf> =
        cases.map(|case| case.join("capture.pcap")).filter(|path| path.is_file()).collect();
    found.push(testdata().join("article/capture.txt"));
    let others = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/open");
    for name in [
        "otrf__purplesharp_ad_playbook_I.cap",
        "msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap",
        "zeek__krb_kinit.pcap",
    ] {
        match others.join(name) {
            path if path.is_file() => found.push(path),
            path => eprintln!("skipped: {} is not at hand", path.display()),
        }
    }
    found
}

fn json(words: &[&str]) -> Value {
    let run = call(words);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// Addresses and labels of names that a report is about.
fn secrets(report: &Value) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for flow in report["flows"].as_array().unwrap() {
        for side in ["initiator", "responder"] {
            let address = flow[side]["address"].as_str().unwrap();
            let Ok(ip) = address.parse::<IpAddr>() else { continue };
            let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
            if !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || is_broadcast) {
                secrets.insert(address.to_owned());
            }
        }
    }
    let names = report["captures"].as_array().unwrap().iter();
    for name in names.flat_map(|capture| capture["names"].as_array().unwrap()) {
        let labels = name["name"].as_str().unwrap().to_lowercase();
        let labels = labels.split(['.', '-']).filter(|label| label.len() > 3);
        secrets.extend(
            labels
                .filter(|label| {
                    !COMMON.contains(label) && !label.chars().all(|it| it.is_ascii_digit())
                })
                .map(str::to_owned),
        );
    }
    secrets
}

/// Whether a text stands somewhere in another, and is not only a part of a longer word or number.
fn stands_in(text: &str, secret: &str) -> bool {
    let is_part = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    text.match_indices(secret).any(|(at, _)| {
        !is_part(text[..at].chars().next_back())
            && !is_part(text[at + secret.len()..].chars().next())
    })
}

#[test]
fn no_format_holds_an_address_or_a_name_of_the_capture() {
    let mut looked_for = 0;
    for capture in captures() {
        let path = capture.to_str().unwrap();
        let secrets = secrets(&json(&[path, "-q", "-f", "json"]));
        looked_for += secrets.len();
        for command in ["analyze", "flows"] {
            for format in ["table", "json", "ndjson", "csv", "markdown"] {
                let words = [
                    command,
                    "-q",
                    "-v",
                    path,
                    "-f",
                    format,
                    "--anonymize",
                    "a long and secret key",
                ];
                let text = call(&words).stdout.to_lowercase();
                for secret in &secrets {
                    assert!(!stands_in(&text, secret), "{secret} is in {words:?}");
                }
            }
        }
    }
    assert!(looked_for > 60, "{looked_for} addresses and names were looked for");
}

#[test]
fn roles_ports_and_outcomes_stay_and_the_same_key_gives_the_same_bytes() {
    for capture in captures() {
        let path = capture.to_str().unwrap();
        let plain = json(&[path, "-q", "-f", "json"]);
        let words = [path, "-q", "-f", "json", "--anonymize", "a key"];
        let anonymous = json(&words);
        assert_eq!(call(&words).stdout, call(&words).stdout, "{path}");
        assert_ne!(
            call(&words).stdout,
            call(&[path, "-q", "-f", "json", "--anonymize", "b"]).stdout
        );
        assert_eq!(plain["totals"], anonymous["totals"], "{path}");
        let cells = |report: &Value| -> Vec<Value> {
            let cells = report["matrix"]["cells"].as_array().unwrap().iter();
            let keys = ["requirement", "service", "ports", "outcome", "counts", "flows", "need"];
            let mut cells: Vec<Value> = cells.cloned().collect();
            for cell in &mut cells {
                cell["roles"] =
                    vec![cell["from"]["role"].clone(), cell["to"]["role"].clone()].into();
                cell.as_object_mut()
                    .unwrap()
                    .retain(|key, _| key == "roles" || keys.contains(&&**key));
            }
            cells
        };
        assert_eq!(cells(&plain), cells(&anonymous), "{path}");
        let flow = |flow: &Value| {
            let keys = [
                "id",
                "class",
                "verdict",
                "history",
                "first_frame",
                "first_seen",
                "bytes",
                "origin",
            ];
            keys.map(|key| flow[key].clone())
        };
        let flows = |report: &Value| -> Vec<[Value; 8]> {
            report["flows"].as_array().unwrap().iter().map(flow).collect()
        };
        assert_eq!(flows(&plain), flows(&anonymous), "{path}");
    }
}

#[test]
fn packets_are_not_written_where_a_report_is_made_anonymous() {
    let run = call(&[&seed("pcap"), "--anonymize", "k", "--evidence", "never.pcapng"]);
    troubled(&run, &["--anonymize: packets are written as they are"]);
    assert!(!Path::new("never.pcapng").exists());
}
