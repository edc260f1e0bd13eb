//! Reports that can be shared: addresses, names and realms become pseudonyms (`--anonymize KEY`).
//!
//! Every text of a report goes through here, whatever made it, so that a new field is safe
//! before anybody thinks of it. In a text all words that are not the program's own (see
//! `build.rs`) are replaced, each by the same pseudonym wherever it stands and whoever runs the
//! program with the same key. What stays are roles, ports, services, times, verdicts, frame numbers and
//! counts. Addresses keep their prefixes: two hosts of one network are in one network afterwards.
//!
//! Without the key nobody can tell what a pseudonym stood for; with it, whoever guesses a name can
//! check the guess. A short key can be guessed too.

mod address;
mod text;

use serde_json::Value;

use crate::anonymize::text::Pseudonyms;
use crate::report::Report;

/// Keys whose values are words, numbers and times of the contract, or come from the port matrix.
const KEPT: [&str; 36] = [
    "class",
    "closing",
    "compression",
    "confidence",
    "direction",
    "encapsulation",
    "first_seen",
    "format",
    "history",
    "interface",
    "kind",
    "last_seen",
    "link_types",
    "need",
    "never_exercised",
    "origin",
    "outcome",
    "ports",
    "profile",
    "requirement",
    "requirements",
    "role",
    "rpc_range",
    "rung",
    "schema",
    "service",
    "severity",
    "since",
    "symptom",
    "time",
    "transport",
    "until",
    "uuid",
    "verdict",
    "version",
    "zone",
];

/// Keys whose values would tell a file from all others, and nothing else.
const LEFT_OUT: [&str; 1] = ["sha256"];

/// The same report with pseudonyms; `None` if it cannot be made, which is a fault of ours.
///
/// Packets are not touched: nothing that `--evidence` writes is safe to share.
pub fn anonymize(report: &Report, key: &str) -> Option<Report> {
    let pseudonyms = Pseudonyms::new(key);
    let mut value = serde_json::to_value(report).ok()?;
    walk(&pseudonyms, &mut value, false);
    serde_json::from_value(value).ok()
}

fn walk(pseudonyms: &Pseudonyms, value: &mut Value, is_kept: bool) {
    match value {
        Value::String(text) if !is_kept => *text = pseudonyms.text(text),
        Value::Array(values) => {
            for value in values {
                walk(pseudonyms, value, is_kept);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                if LEFT_OUT.contains(&key.as_str()) {
                    *value = Value::Null;
                } else {
                    // An object below a key of this kind has keys of its own to go by.
                    walk(pseudonyms, value, !value.is_object() && KEPT.contains(&key.as_str()));
                }
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
