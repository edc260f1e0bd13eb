//! The program agrees with Wireshark's dissection of a large set of real captures, where that
//! set is at hand. It is not ours to publish, so elsewhere these tests say that they were
//! skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says something even where the test harness keeps the output of tests that pass.
fn say(what: &str) {
    let line = format!("{what}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools").join(name);
    if path.exists() {
        return Some(path);
    }
    say(&format!("skipped: tools/{name} and its captures are not here"));
    None
}

/// The program that was built with these tests; `PORTMORTEM_PROGRAM` names another one, such as that of
/// the release, by its path.
fn program() -> PathBuf {
    let named = std::env::var_os("PORTMORTEM_PROGRAM").map(PathBuf::from);
    let program = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_portmortem").into());
    assert!(program.is_file(), "{}: there is no such program", program.display());
    program
}

/// Runs a tool on the program and gives what it prints.
fn run(tool: &Path) -> String {
    let output = Command::new("python3")
        .arg(tool)
        .arg("--binary")
        .arg(program())
        .output()
        .expect("python3 runs the comparison");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.is_empty(), "{} printed nothing: {output:?}", tool.display());
    text
}

/// The number that follows a word, in the last line that begins so.
fn number(text: &str, line: &str, word: &str) -> f64 {
    let found = text.lines().rfind(|found| found.starts_with(line));
    let rest = found.and_then(|found| found.split_once(word)).map(|(_, rest)| rest);
    let number = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number after \"{line} … {word}\" in:\n{text}"))
}

#[test]
fn flows_agree_with_wireshark() {
    let Some(tool) = tool("agree") else { return };
    let text = run(&tool);
    let over = number(&text, "mean over ", "over ");
    let mean = number(&text, "mean over ", "captures ");
    let failed = number(&text, "initiator differs ", "; ");
    let agreement = number(&text, "agree ", "agreement ");
    say(&format!("agreement {agreement}, mean {mean} over {over} captures"));
    assert!(over > 0.0 && failed == 0.0, "{text}");
    assert!(agreement >= 0.997, "{text}");
    assert!(mean >= 0.99, "{text}");
}

#[test]
fn small_cases_of_what_goes_wrong_are_told_right() {
    let Some(tool) = tool("lab") else { return };
    let text = run(&tool);
    let cases = number(&text, "lab: ", ": ");
    let wrong = number(&text, "lab: ", "cases, ");
    say(&format!("lab: {cases} cases, {wrong} wrong"));
    assert!(cases > 0.0 && wrong == 0.0, "{text}");
}
