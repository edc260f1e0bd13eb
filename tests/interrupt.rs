//! Ctrl-C: the report tells what was read, and what was not.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::case;

fn fifo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn start(words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_portmortem"))
        .args(words)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

/// Everything that comes from a pipe, read beside what else is done.
fn all_of(pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        BufReader::new(pipe).read_to_string(&mut text).unwrap();
        text
    })
}

/// Exit status and output, where it ends in time.
fn end(mut child: Child) -> (Option<i32>, String, String) {
    let out = all_of(child.stdout.take().unwrap());
    let told = all_of(child.stderr.take().unwrap());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        sleep(Duration::from_millis(20));
    };
    (status.code(), out.join().unwrap(), told.join().unwrap())
}

fn message(capture: &Value) -> &str {
    capture["problems"][0]["message"].as_str().unwrap_or_default()
}

#[test]
fn an_interrupted_run_reports_what_it_has_and_says_what_it_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let whole = case::testdata().join("seed").join("capture.pcap");
    let bytes = fs::read(&whole).unwrap();
    let slow = fifo(folder.path(), "slow.pcap");
    let (last, more) = (folder.path().join("last.pcap"), folder.path().join("more.pcap"));
    for path in [&last, &more] {
        fs::copy(case::testdata().join("ipv6").join("capture.pcap"), path).unwrap();
    }
    let paths = [&whole, &slow, &last, &more].map(|path| path.to_str().unwrap());
    // One thread goes through them in their order.
    let child = start(&[&["-f", "json", "--threads", "1"], &paths[..]].concat());
    // Opening waits until somebody reads.
    let mut pipe = File::create(&slow).unwrap();
    pipe.write_all(&bytes[..bytes.len() / 2]).unwrap();
    sleep(Duration::from_millis(700));
    interrupt(&child);
    let (status, out, told) = end(child);
    drop(pipe);
    assert_eq!(status, Some(2), "{told}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let captures = report["captures"].as_array().unwrap();
    assert_eq!(captures.len(), 4);
    assert_eq!(message(&captures[0]), "");
    let frames = captures[1]["frames"].as_u64().unwrap();
    assert!(frames > 10, "{frames}");
    let expected = format!("interrupted after frame {frames}: the rest was not read; run it again");
    assert_eq!(message(&captures[1]), expected);
    assert_eq!(captures[1]["problems"][0]["severity"], "error");
    for capture in &captures[2..] {
        assert_eq!(
            message(capture),
            "not read, because the run was interrupted before: run it again"
        );
    }
    let flows = report["flows"].as_array().unwrap();
    for capture in [0, 1] {
        assert!(flows.iter().any(|flow| flow["capture"] == capture), "{capture}");
    }
    assert!(told.contains("portmortem: interrupted: the report tells what was read so far"));
    assert!(told.contains("last.pcap and 1 more: not read, because the run was"), "{told}");
}

#[test]
fn standard_input_and_archives_that_stall_are_given_up_too() {
    let seed = case::testdata().join("seed").join("capture.pcap");
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["a.pcap", "b.pcap"] {
        tar.append_path_with_name(&seed, name).unwrap();
    }
    let archive = tar.into_inner().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(&fs::read(&seed).unwrap()).unwrap();
    let packed = packed.finish().unwrap();
    for (what, bytes) in [("archive", archive), ("gzip", packed)] {
        for words in [
            &["-f", "json", "-"][..],
            &["-f", "json", "--threads", "4", "-"],
            &["-f", "json", "--join", "-"],
        ] {
            let mut child = start(words);
            let mut input = child.stdin.take().unwrap();
            input.write_all(&bytes[..bytes.len() * 3 / 4]).unwrap();
            sleep(Duration::from_millis(700));
            interrupt(&child);
            let (status, out, told) = end(child);
            drop(input);
            assert_eq!(status, Some(2), "{what} {words:?}: {told}");
            let report: Value = serde_json::from_str(&out).unwrap();
            let captures = report["captures"].as_array().unwrap();
            let said = captures.iter().any(|capture| message(capture).starts_with("interrupted"));
            assert!(said, "{what} {words:?}: {captures:?}");
        }
    }
}

#[test]
fn an_interrupt_when_nothing_is_read_any_more_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody reads what is written here.
    let place = fifo(folder.path(), "report.txt");
    let seed = case::testdata().join("seed").join("capture.pcap");
    let child = start(&[seed.to_str().unwrap(), "-o", place.to_str().unwrap()]);
    sleep(Duration::from_millis(1500));
    interrupt(&child);
    let (status, _, _) = end(child);
    assert_eq!(status, Some(130));
}

#[test]
fn what_was_read_before_the_interrupt_is_known_to_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let seed = case::testdata().join("seed").join("capture.pcap");
    let slow = fifo(folder.path(), "slow.pcap");
    let state = folder.path().join("state");
    let keep = ["--state", state.to_str().unwrap(), "--threads", "1", seed.to_str().unwrap()];
    let child = start(&[&keep[..], &[slow.to_str().unwrap()]].concat());
    let pipe = File::create(&slow).unwrap();
    sleep(Duration::from_millis(300));
    interrupt(&child);
    let (status, _, _) = end(child);
    drop(pipe);
    assert_eq!(status, Some(2));
    let (status, _, told) = end(start(&keep));
    assert_eq!(status, Some(0));
    assert!(told.contains("1 of 1 file with captures known from"), "{told}");
}
