//! Runs the program and reads what it prints.

use std::ffi::OsStr;
use std::process::Command;

use serde_json::Value;

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    /// Exit status.
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program with these arguments, in an environment without surprises.
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_portmortem"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    Run {
        exit: output.status.code().expect("not ended by a signal"),
        stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    }
}

impl Run {
    /// The output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|fault| panic!("no JSON: {fault}\n{self:?}"))
    }

    /// The output as JSON, a line a document.
    pub fn ndjson(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}
