//! Calls of the program in a folder of their own, and what a troubled one must say.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::case::testdata;
use super::program::{Run, run};

pub fn seed(extension: &str) -> String {
    testdata().join("seed").join(format!("capture.{extension}")).to_str().unwrap().to_owned()
}

/// A folder to work in, with the seed in it as `site.pcap`.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(seed("pcap"), folder.path().join("site.pcap")).unwrap();
    folder
}

pub fn below(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// Runs with these words, without what would depend on the terminal.
pub fn call(words: &[&str]) -> Run {
    run(words)
}

/// Asserts that the run ended with trouble, and that one line of its messages has all these
/// parts.
pub fn troubled(run: &Run, parts: &[&str]) {
    assert_eq!(run.exit, 2, "{run:?}");
    let told = run.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(told, "no message with {parts:?} in:\n{}", run.stderr);
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("a fault in portmortem"));
}

/// Gives bytes to the program's standard input.
pub fn piped(words: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portmortem"))
        .args(words)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may stop reading before the end.
    let writer = std::thread::spawn(move || pipe.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a line of shell with the program as `$P` and the seed as `$S`; gives what it prints.
#[cfg(unix)]
pub fn shell(line: &str) -> (i32, String) {
    let output = Command::new("bash")
        .args(["-c", line])
        .env("P", env!("CARGO_BIN_EXE_portmortem"))
        .env("S", seed("pcap"))
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}
