//! The job of `portmortem spark-job` on a cluster of several processes gives what one run gives,
//! also when an executor is killed.

#![cfg(all(unix, feature = "parquet"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use support::calls::{below, call};
use support::case;

fn runs(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_job_is_printed_as_it_is_kept() {
    let run = call(&["spark-job"]);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/spark_job.py");
    assert_eq!(run.stdout, fs::read_to_string(kept).unwrap());
    if runs("python3", &["--version"]) {
        let check = "import ast, sys; ast.parse(sys.argv[1])";
        assert!(runs("python3", &["-c", check, &run.stdout]), "no Python");
    }
}

#[test]
fn a_cluster_gives_what_one_run_gives_though_an_executor_is_killed() {
    let wanted = std::env::var_os("PORTMORTEM_SPARK").is_some();
    let at_hand =
        || runs("python3", &["-c", "import pyspark, pyarrow"]) && runs("java", &["-version"]);
    if !wanted || !at_hand() {
        let line = "skipped: takes minutes; with python3, pyspark, pyarrow and Java at hand, run it with \
                    PORTMORTEM_SPARK=1\n";
        // Not `eprintln`, which the test runner keeps to itself where a test passes.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let captures = below(&folder, "captures");
    fs::create_dir(&captures).unwrap();
    let mut count = 0;
    for case in case::all() {
        let Some(path) = case.captures.first() else { continue };
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::copy(path, format!("{captures}/{}-{name}", case.name)).unwrap();
        count += 1;
    }
    assert!(count >= 20, "{count} captures");
    let job = below(&folder, "job.py");
    fs::write(&job, call(&["spark-job"]).stdout).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/spark_job.py");
    let output = Command::new("python3")
        .arg(script)
        .args([env!("CARGO_BIN_EXE_portmortem"), &job, &captures])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}
