//! The verdicts on large made-up traffic are those that its generator planned, on a small
//! helping of each kind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::duplicate_mod,
    reason = "a test may stop at the first surprise; the generator and the scenes say the same things"
)]

mod support;

#[path = "bench/traffic.rs"]
#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a generator makes up its numbers, and there are two sides to every flow"
)]
mod traffic;

use std::collections::BTreeMap;
use std::fs;

use support::program::run;
use traffic::{Kind, generate};

#[test]
fn flows_have_the_verdicts_that_were_planned() {
    let folder = tempfile::tempdir().unwrap();
    for letter in ["M", "F", "N", "X"] {
        let mut capture = Vec::new();
        let kind = Kind::of(letter).unwrap();
        let planned = generate(kind, 1_500_000, 7, &mut capture).unwrap().flows;
        let path = folder.path().join(format!("{letter}.pcap"));
        fs::write(&path, capture).unwrap();
        let run = run(["flows", "--format", "ndjson", "--no-progress", path.to_str().unwrap()]);
        assert_eq!(run.exit, 0, "{letter}: {}", run.stderr);
        let mut found = BTreeMap::new();
        for flow in run.ndjson() {
            *found.entry(flow["verdict"].as_str().unwrap().to_owned()).or_insert(0_u64) += 1;
        }
        let planned: BTreeMap<String, u64> =
            planned.into_iter().map(|(verdict, count)| (verdict.to_owned(), count)).collect();
        assert_eq!(found, planned, "{letter}");
    }
}
