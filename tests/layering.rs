//! Modules import only from the modules below them, so the crate reads bottom-up, and each
//! library of others is named in one place.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

/// Bottom first. A module may use every module before it and none after it.
const STACK: [&str; 19] = [
    "words",
    "net",
    "capture",
    "packet",
    "listing",
    "probe",
    "flow",
    "verdict",
    "log",
    "matrix",
    "diagnosis",
    "filter",
    "report",
    "anonymize",
    "render",
    "analyze",
    "compare",
    "merge",
    "cli",
];

/// A library, and the beginnings of the paths in `src` that may name it.
const LIBRARIES: [(&str, &[&str]); 12] = [
    ("ctrlc", &["cli/interrupt.rs"]),
    ("sysinfo", &["cli/machine.rs"]),
    ("postcard", &["analyze/state.rs"]),
    ("etherparse", &["packet"]),
    ("pcap_parser", &["capture"]),
    ("quick_xml", &["capture/wireshark/xml"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli/meter.rs"]),
    ("comfy_table", &["render/terminal"]),
    (
        "rayon",
        &["analyze", "matrix", "diagnosis", "verdict/origin", "verdict/rpc.rs", "flow/finished.rs"],
    ),
];

/// A line of code, without its comment.
struct Line {
    /// Path below `src`, with `/`.
    path: String,
    number: usize,
    code: String,
}

impl Line {
    /// The module at the top of the tree that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// What follows `word` wherever it stands alone.
    fn after<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.code.match_indices(word).filter_map(move |(at, _)| {
            let before = self.code.get(..at)?.chars().next_back();
            let alone = !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
            alone.then(|| self.code.get(at + word.len()..))?
        })
    }

    fn at(&self) -> String {
        format!("src/{}:{}: {}", self.path, self.number, self.code.trim())
    }
}

/// The identifier that a text begins with.
fn identifier(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    text.get(..end.unwrap_or(text.len())).unwrap()
}

fn code() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = Vec::new();
    let mut left: Vec<PathBuf> = vec![root.clone()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                let code = line.split("//").next().unwrap().to_owned();
                lines.push(Line { path: name.clone(), number: index + 1, code });
            }
        }
    }
    assert!(lines.len() > 1000, "the sources were not found");
    lines
}

#[test]
fn modules_import_downwards_only() {
    let mut faults = Vec::new();
    for line in code() {
        let Some(own) = STACK.iter().position(|module| *module == line.module()) else {
            continue;
        };
        for rest in line.after("crate::") {
            let used = identifier(rest);
            let rank = STACK.iter().position(|module| *module == used);
            // A grouped import would hide its modules from this test.
            let grouped = rest.starts_with(['{', '*']);
            if grouped || rank.is_some_and(|rank| rank > own) {
                faults.push(line.at());
            }
        }
    }
    assert!(faults.is_empty(), "upward or grouped imports:\n{}", faults.join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_stack() {
    for line in code() {
        let known = ["lib", "main"].contains(&line.module()) || STACK.contains(&line.module());
        assert!(known, "{} is not in the stack", line.at());
    }
}

#[test]
fn the_program_itself_knows_the_command_line_only() {
    for line in code().iter().filter(|line| line.module() == "main") {
        for rest in line.after("portmortem::") {
            assert_eq!(identifier(rest), "cli", "{}", line.at());
        }
    }
}

#[test]
fn each_library_is_named_in_one_place() {
    let mut faults = Vec::new();
    for line in code() {
        for (library, places) in LIBRARIES {
            let named = line.after(library).any(|rest| rest.starts_with("::"))
                || line.after("use ").any(|rest| identifier(rest) == library);
            if named && !places.iter().any(|place| line.path.starts_with(place)) {
                faults.push(line.at());
            }
        }
    }
    assert!(faults.is_empty(), "a library out of its place:\n{}", faults.join("\n"));
}
