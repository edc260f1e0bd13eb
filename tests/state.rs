//! `--state DIR`: what was read once is known, and the report is the same, byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::case;
use support::program::{Run, run};

/// A folder of captures, and one for the results.
struct Heap {
    root: tempfile::TempDir,
}

impl Heap {
    fn new() -> Heap {
        let root = tempfile::tempdir().unwrap();
        let captures = root.path().join("captures");
        fs::create_dir_all(&captures).unwrap();
        fs::write(captures.join("notes.txt"), "no capture").unwrap();
        Heap { root }
    }

    fn captures(&self) -> PathBuf {
        self.root.path().join("captures")
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn add(&self, case: &str, name: &str, as_name: &str) {
        let from = case::testdata().join(case).join(name);
        fs::copy(from, self.captures().join(as_name)).unwrap();
    }

    fn plain(&self, more: &[&str]) -> Run {
        let captures = self.captures();
        run([&["-f", "json", captures.to_str().unwrap()], more].concat())
    }

    /// The same with results kept; checks that the report is the same, and gives what is said of
    /// the results.
    fn kept(&self, more: &[&str]) -> String {
        let plain = self.plain(more);
        let state = self.state();
        let kept = self.plain(&[&["--state", state.to_str().unwrap()], more].concat());
        assert!(kept.stdout == plain.stdout, "{}", kept.stderr);
        assert_eq!(kept.exit, plain.exit);
        let said: Vec<&str> =
            kept.stderr.lines().filter(|line| !plain.stderr.contains(*line)).collect();
        said.join("\n").replace(state.to_str().unwrap(), "DIR")
    }

    fn results(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state()).unwrap();
        let mut results: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        results.sort();
        results
    }
}

fn said(known: u64, read: u64) -> String {
    let all = known + read;
    let files = if all == 1 { "file" } else { "files" };
    format!("portmortem: {known} of {all} {files} with captures known from DIR, {read} read")
}

#[test]
fn a_second_run_reads_only_what_is_new() {
    let heap = Heap::new();
    heap.add("seed", "capture.pcap", "a.pcap");
    heap.add("seed", "capture.cap", "b.cap");
    heap.add("torn", "capture.pcap", "torn.pcap");
    assert_eq!(heap.kept(&[]), said(0, 3));
    assert_eq!(heap.kept(&[]), said(3, 0));
    heap.add("ipv6", "capture.pcap", "0.pcap");
    assert_eq!(heap.kept(&[]), said(3, 1));
    // Under another name, and there twice.
    fs::rename(heap.captures().join("a.pcap"), heap.captures().join("z.pcap")).unwrap();
    heap.add("seed", "capture.cap", "copy.cap");
    assert_eq!(heap.kept(&[]), said(5, 0));
    // A capture that goes on is another.
    let bytes = fs::read(case::testdata().join("ipv6").join("capture.pcap")).unwrap();
    fs::write(heap.captures().join("0.pcap"), &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(heap.kept(&[]), said(4, 1));
}

#[test]
fn what_was_not_changed_since_is_known_by_its_place() {
    let heap = Heap::new();
    let testdata = case::testdata();
    let state = heap.state();
    let call = |more: &[&str]| run([&["-f", "json", testdata.to_str().unwrap()], more].concat());
    let plain = call(&[]);
    let keep = ["--state", state.to_str().unwrap()];
    for round in 0..2 {
        let kept = call(&keep);
        assert!(kept.stdout == plain.stdout, "{}", kept.stderr);
        let all_known = kept.stderr.contains(", 0 read");
        assert_eq!(all_known, round == 1, "{}", kept.stderr);
    }
}

#[test]
fn what_changes_the_result_of_reading_is_kept_apart() {
    let heap = Heap::new();
    heap.add("seed", "capture.pcap", "a.pcap");
    assert_eq!(heap.kept(&[]), said(0, 1));
    for more in [
        &["--syn-wait", "1"][..],
        &["--udp-idle", "1"],
        &["--since", "2012-11-13T09:30:00Z"],
        &["--until", "2014-05-27T10:15:00Z"],
        &["--profile", "configmgr"],
        &["--max-inflated", "1G"],
    ] {
        assert_eq!(heap.kept(more), said(0, 1), "{more:?}");
        assert_eq!(heap.kept(more), said(1, 0), "{more:?}");
    }
    // What is only seen beside other flows is found anew each time.
    for more in [
        &["--role", "cas=10.0.0.5"][..],
        &["--filter", "class = timeout"],
        &["--rpc-range", "50000-50100"],
        &["--no-flows"],
    ] {
        assert_eq!(heap.kept(more), said(1, 0), "{more:?}");
    }
}

#[test]
fn a_result_that_is_damaged_is_told_and_mended() {
    let heap = Heap::new();
    heap.add("seed", "capture.pcap", "a.pcap");
    heap.kept(&[]);
    let [result] = heap.results().try_into().unwrap();
    let whole = fs::read(&result).unwrap();
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    for (what, bytes) in [
        ("cut", &whole[..middle]),
        ("flipped", &flipped),
        ("empty", &[][..]),
        ("foreign", b"something else".as_slice()),
    ] {
        fs::write(&result, bytes).unwrap();
        let told = heap.kept(&[]);
        assert!(told.contains("the capture is read anew"), "{what}: {told}");
        assert!(told.ends_with(&said(0, 1)), "{what}: {told}");
        assert_eq!(heap.kept(&[]), said(1, 0), "{what}");
    }
    fs::write(heap.state().join("readme.txt"), "not ours").unwrap();
    assert_eq!(heap.kept(&[]), said(1, 0));
}

#[test]
fn archives_are_known_as_a_whole() {
    let heap = Heap::new();
    let testdata = case::testdata();
    let mut tar = tar::Builder::new(fs::File::create(heap.captures().join("a.tar")).unwrap());
    let members =
        [("seed/capture.pcap", "x/a.pcap"), ("torn/capture.pcap", "b"), ("seed/case.toml", "c")];
    for (path, name) in members {
        tar.append_path_with_name(testdata.join(path), name).unwrap();
    }
    tar.finish().unwrap();
    heap.add("seed", "capture.pcap", "copy.pcap");
    assert_eq!(heap.kept(&[]), said(0, 2));
    assert_eq!(heap.kept(&[]), said(2, 0));
    // Named, it is a capture that must be one; found, it need not.
    let (tar, state) = (heap.captures().join("a.tar"), heap.state());
    let named = ["-f", "json", tar.to_str().unwrap()];
    let plain = run(named);
    let kept = run([&named[..], &["--state", state.to_str().unwrap()]].concat());
    assert_eq!(kept.stdout, plain.stdout);
}

#[test]
fn a_folder_for_results_that_cannot_be_is_refused_before_anything_is_read() {
    let heap = Heap::new();
    heap.add("seed", "capture.pcap", "a.pcap");
    let inside = heap.captures().join("state");
    let file = heap.captures().join("notes.txt");
    for (folder, part) in [
        (&inside, "which is read: give --state another folder"),
        (&file, "results cannot be kept here"),
    ] {
        let run = heap.plain(&["--state", folder.to_str().unwrap()]);
        assert_eq!((run.exit, run.stdout.as_str()), (2, ""));
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    let run = heap.plain(&["--state", "x", "--join"]);
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
}

#[test]
fn tables_and_flows_are_the_same_too() {
    let heap = Heap::new();
    heap.add("seed", "capture.pcap", "a.pcap");
    heap.add("seed", "capture.pcap", "b.pcap");
    let (captures, state) = (heap.captures(), heap.state());
    let captures = captures.to_str().unwrap();
    for words in [
        &["analyze", captures][..],
        &["analyze", "-v", captures],
        &["flows", captures, "-f", "csv"],
    ] {
        let plain = run(words);
        for _ in 0..2 {
            let kept = run([words, &["--state", state.to_str().unwrap(), "-q"]].concat());
            assert_eq!(kept.stdout, plain.stdout);
            assert_eq!(kept.stderr, "");
        }
    }
    assert!(Path::new(&heap.results()[0]).is_file());
}
