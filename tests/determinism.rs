//! Same input, same bytes out: whatever the threads, the size of the pieces a file is read in,
//! the way within a file, and the order in which the file system tells its names.

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

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::io::Write;
use std::path::Path;

use portmortem::analyze::{Config, Depth, analyze};
use portmortem::capture::{Progress, Reached};
use portmortem::flow::Budget;
use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use portmortem::render::{Format, Style, View, render};
use portmortem::report::Report;
use support::case;
use support::files::pcap;
use support::payload;
use support::scene::{Frame, Host, Scene, Tcp};
use support::validity::{check_report, options, read};
use traffic::{Format as CaptureFormat, Kind, generate};

fn config(inputs: &[&Path], (threads, big_capture, memory): Way) -> Config {
    Config {
        inputs: inputs.iter().map(|input| input.to_str().unwrap().to_owned()).collect(),
        logs: Vec::new(),
        recursive: true,
        threads,
        progress: Progress::default(),
        budget: memory.map_or_else(Budget::default, Budget::of_bytes),
        big_capture,
        digest: true,
        depth: Depth::Diagnosis,
        whole: false,
        state: None,
        matrix: Matrix::built_in(DEFAULT_PROFILE).unwrap(),
        since: None,
        until: None,
        options: options(),
    }
}

/// Everything that can be printed of a report.
fn printed(report: &Report) -> Vec<String> {
    let style = Style { width: 100, color: true, unicode: true, verbose: true, links: None };
    let mut pages = Vec::new();
    for view in [View::Analysis, View::Flows] {
        for format in Format::ALL {
            let mut page = Vec::new();
            render(report, view, *format, style, &mut page).unwrap();
            // Parquet is no text: each byte is a letter, and stays one to compare.
            pages.push(page.into_iter().map(char::from).collect());
        }
    }
    pages
}

fn json(report: &Report) -> String {
    serde_json::to_string(report).unwrap().replace("},{", "},\n{")
}

/// A way to go through files: threads, the size from which on a file is read in waves by all of
/// them, and bytes of memory that may be taken, if that is bounded.
type Way = (usize, u64, Option<u64>);

/// No memory at all: flows that are over go to a file, every one of them.
const WAYS: [Way; 5] = [
    (2, 0, None),
    (2, 0, Some(0)),
    (8, 0, Some(0)),
    (1, 0, Some(0)),
    (8, Config::BIG_CAPTURE, None),
];

/// Flows whose pages are compared letter by letter; of more, JSON has everything there is.
const PRINTED_FLOWS: u64 = 200;

/// Holds every way to the plainest one, and gives its report.
fn same_on_every_way(inputs: &[&Path]) -> Report {
    // Also the plainest in this: every flow is judged and kept, as if no two were alike.
    let plain = Config { whole: true, ..config(inputs, (1, u64::MAX, None)) };
    let expected = analyze(&plain);
    let small = expected.totals.flows <= PRINTED_FLOWS;
    if small {
        check_report(&expected, &plain.matrix);
    }
    let pages = if small { printed(&expected) } else { vec![json(&expected)] };
    for way in WAYS {
        let config = config(inputs, way);
        let found = analyze(&config);
        let found = if small { printed(&found) } else { vec![json(&found)] };
        for (found, expected) in found.iter().zip(&pages) {
            let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{way:?}");
            assert_eq!(found.len(), expected.len(), "{way:?}");
        }
        assert_eq!((config.budget.trouble(), config.budget.lost()), (None, None), "{way:?}");
    }
    expected
}

#[test]
fn threads_and_waves_change_no_byte_of_any_case() {
    for case in case::all() {
        for capture in &case.captures {
            let report = same_on_every_way(&[capture]);
            assert_eq!(report.captures.len(), 1);
        }
    }
}

/// Writes traffic of a kind.
fn load(path: &Path, letter: &str, bytes: u64) -> u64 {
    let mut capture = Cursor::new(Vec::new());
    let kind = Kind::of(letter).unwrap();
    let truth = generate(kind, bytes, 11, CaptureFormat::Pcap, &mut capture).unwrap();
    fs::write(path, capture.into_inner()).unwrap();
    truth.verdicts.values().sum()
}

#[test]
fn threads_and_waves_change_no_byte_of_a_capture_of_many_batches() {
    let folder = tempfile::tempdir().unwrap();
    // Two threads take four pieces of a MiB in a wave. So much of a scan repeats more calls in vain than
    // are kept whole.
    for (letter, bytes) in [("M", 18_000_000), ("X", 2_400_000)] {
        let path = folder.path().join(format!("{letter}.pcap"));
        let flows = load(&path, letter, bytes);
        let report = same_on_every_way(&[&path]);
        assert_eq!(report.totals.flows, flows, "{letter}");
    }
}

#[test]
fn flows_that_went_to_a_file_while_the_capture_was_read_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // More than a MiB of them, so that some go before others begin.
    for (letter, bytes) in [("F", 12_000_000), ("X", 4_000_000)] {
        let path = folder.path().join(format!("{letter}.pcap"));
        let flows = load(&path, letter, bytes);
        let printed = |way| {
            let report = analyze(&config(&[&path], way));
            let mut page = Vec::new();
            let style =
                Style { width: 100, color: false, unicode: true, verbose: false, links: None };
            render(&report, View::Flows, Format::Csv, style, &mut page).unwrap();
            assert_eq!(report.totals.flows, flows, "{letter}, {way:?}");
            String::from_utf8(page).unwrap()
        };
        let expected = printed((1, u64::MAX, None));
        for way in [(1, u64::MAX, Some(0)), (2, 0, Some(0))] {
            let found = printed(way);
            let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{letter}, {way:?}");
            assert_eq!(found.len(), expected.len(), "{letter}, {way:?}");
        }
    }
}

#[test]
fn calls_that_are_alike_are_kept_once_where_calls_are_at_home() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.pcap");
    let (near, far) = (Host::new("10.0.0.5"), Host::new("10.1.0.10"));
    let mut scene = Scene::new();
    // The object resolver, and in the fourth flow another interface.
    let bind = payload::rpc_bind();
    let mut other = bind.clone();
    let uuid = bind.windows(4).position(|bytes| bytes == [0xc4, 0xfe, 0xfc, 0x99]).unwrap();
    other[uuid] ^= 1;
    for (number, port) in [135, 135, 135, 135, 135, 135, 49_155, 49_155, 49_155].iter().enumerate()
    {
        let mut tcp = Tcp::new(near, 50_000 + u16::try_from(number).unwrap(), far, *port);
        scene.handshake(&mut tcp);
        let request = if number == 3 { &other } else { &bind };
        scene.exchange(&mut tcp, request, &payload::rpc_bind_ack());
        scene.close(&mut tcp);
    }
    fs::write(&path, pcap::write(&scene, pcap::Form::USUAL)).unwrap();
    let report = same_on_every_way(&[&path]);
    let interfaces: BTreeSet<_> =
        report.flows.iter().map(|flow| flow.rpc.clone().unwrap().uuid).collect();
    assert_eq!(interfaces.len(), 2);
    let report = analyze(&config(&[&path], WAYS[0]));
    let telling: Vec<u64> = report.flows.telling().iter().map(|flow| flow.id).collect();
    // Of the alike ones the first and the last; calls of a dynamic port tell what listens there.
    assert_eq!(telling, [1, 4, 6, 7, 8, 9]);
}

#[test]
fn fragments_find_their_flow_across_batches_on_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fragments.pcap");
    let (near, far) = (Host::new("10.0.0.5"), Host::new("10.1.0.10"));
    let mut scene = Scene::new();
    scene.udp((near, 50_000), (far, 88), &[1; 4_000]);
    scene.cut_up(&[1_480, 2_960], &[2, 0, 1]);
    let [early, first, last] = scene.frames.split_off(0).try_into().unwrap();
    // Between the pieces lie one and a half, and three MiB of other traffic.
    scene.frames.push(early);
    for (count, piece) in [(1_000, first), (2_000, last)] {
        for port in 0..count {
            scene.udp((near, 51_000 + port), (far, 53), &[0; 1_400]);
        }
        scene.frames.push(Frame { time: scene.frames.last().unwrap().time, ..piece });
    }
    fs::write(&path, pcap::write(&scene, pcap::Form::USUAL)).unwrap();
    let report = same_on_every_way(&[&path]);
    let flow = report.flows.iter().find(|flow| flow.responder.port == 88).unwrap();
    assert_eq!((flow.packets.initiator, flow.bytes.initiator), (2, 4_000));
    assert_eq!((flow.first_frame.0, flow.last_frame.0), (1_002, 3_003));
    assert_eq!(report.captures[0].skipped.len(), 1);
}

#[test]
fn several_inputs_with_a_damaged_one_among_them_come_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big.pcap");
    load(&big, "F", 1_200_000);
    let nothing = folder.path().join("nothing.cap");
    fs::write(&nothing, b"").unwrap();
    let testdata = case::testdata();
    let of = |case: &str, name: &str| testdata.join(case).join(name);
    let (seed, torn) = (of("seed", "capture.cap"), of("torn", "capture.pcap"));
    let (damaged, ipv6) = (of("damaged", "capture.pcapng"), of("ipv6", "capture.pcap"));
    let absent = folder.path().join("absent.pcap");
    let inputs: [&Path; 7] = [&seed, &damaged, &big, &absent, &nothing, &torn, &ipv6];
    let report = same_on_every_way(&inputs);
    let paths: Vec<&str> = report.captures.iter().map(|capture| capture.path.as_str()).collect();
    assert_eq!(paths, inputs.map(|input| input.to_str().unwrap()));
    let troubled: Vec<bool> =
        report.captures.iter().map(|capture| !capture.problems.is_empty()).collect();
    assert_eq!(troubled, [false, true, false, true, true, true, false]);
    // The order given is the order told: turned round, the captures are too.
    let turned: Vec<&Path> = inputs.into_iter().rev().collect();
    let turned = same_on_every_way(&turned);
    let captures: Vec<_> = turned.captures.into_iter().rev().collect();
    assert_eq!(captures, report.captures);
}

#[test]
fn the_size_of_pieces_changes_no_flow_and_no_problem() {
    let known_ports = Matrix::built_in(DEFAULT_PROFILE).unwrap().known_ports();
    for case in case::all() {
        for capture in &case.captures {
            let bytes = fs::read(capture).unwrap();
            let whole = read(&bytes, 1 << 20, &known_ports).unwrap();
            for piece in [1, 2, 3, 7, 16, 61, 100, 1_000, 4_096, 65_536] {
                let pieces = read(&bytes, piece, &known_ports).unwrap();
                let place = format!("{} in pieces of {piece}", capture.display());
                assert_eq!(pieces.flows, whole.flows, "{place}");
                assert_eq!(pieces.skipped, whole.skipped, "{place}");
                let (found, expected) = (&pieces.summary, &whole.summary);
                assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{place}");
            }
        }
    }
}

#[test]
fn the_order_in_which_files_came_into_a_folder_changes_nothing() {
    let names =
        ["b.pcap", "B.pcap", "a/z.cap", "a.pcap", "a-b.pcapng", "10.pcap", "9.pcap", "ä.cap"];
    let cases = case::all();
    let sources: Vec<_> = cases.iter().flat_map(|case| &case.captures).take(names.len()).collect();
    let mut reports = Vec::new();
    for turned in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("captures");
        fs::create_dir_all(folder.join("a")).unwrap();
        let mut files: Vec<_> = names.iter().zip(&sources).collect();
        if turned {
            files.reverse();
        }
        for (name, source) in files {
            fs::copy(source, folder.join(name)).unwrap();
        }
        let report = same_on_every_way(&[&folder]);
        let below = |path: &str| {
            Path::new(path).strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()
        };
        let paths: Vec<String> =
            report.captures.iter().map(|capture| below(&capture.path)).collect();
        let rest = (report.matrix, report.findings, report.firewall_requests, report.flows);
        reports.push((paths, rest));
    }
    // Byte by byte: digits, capitals, small letters, and the rest of Unicode behind them. A folder
    // stands where its own name does.
    let sorted =
        ["10.pcap", "9.pcap", "B.pcap", "a/z.cap", "a-b.pcapng", "a.pcap", "b.pcap", "ä.cap"];
    assert_eq!(reports[0].0, sorted);
    assert!(reports[0] == reports[1]);
}

#[test]
fn the_same_capture_twice_counts_once() {
    let seed = case::testdata().join("seed").join("capture.pcap");
    let once = same_on_every_way(&[&seed]);
    let twice = same_on_every_way(&[&seed, &seed]);
    assert_eq!(twice.captures[0], once.captures[0]);
    assert_eq!(twice.captures[1].same_as, Some(0));
    assert_eq!((twice.flows, twice.totals), (once.flows, once.totals));
}

#[test]
fn folders_and_archives_among_captures_come_in_their_order_on_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let heap = folder.path().join("heap");
    fs::create_dir_all(heap.join("deep")).unwrap();
    let of = |case: &str, name: &str| case::testdata().join(case).join(name);
    let seed = fs::read(of("seed", "capture.pcap")).unwrap();
    fs::write(heap.join("deep").join("seed.pcap"), &seed).unwrap();
    fs::write(heap.join("notes.txt"), "no capture").unwrap();
    load(&heap.join("load.pcap"), "F", 300_000);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&fs::read(heap.join("load.pcap")).unwrap()).unwrap();
    fs::write(heap.join("load.pcap.gz"), packed.finish().unwrap()).unwrap();
    let mut inner = tar::Builder::new(Vec::new());
    inner.append_path_with_name(of("ipv6", "capture.pcap"), "ipv6.pcap").unwrap();
    inner.append_path_with_name(of("damaged", "capture.pcapng"), "damaged").unwrap();
    let inner = inner.into_inner().unwrap();
    fs::write(heap.join("inner.tar"), &inner).unwrap();
    let archive = folder.path().join("all.tar");
    let mut outer = tar::Builder::new(fs::File::create(&archive).unwrap());
    outer.append_dir_all("heap", &heap).unwrap();
    outer.finish().unwrap();
    let named = of("torn", "capture.pcap");
    for way in WAYS {
        // What is shown while it goes on ends with everything, once: archives by their own bytes.
        let config = config(&[&archive, &named, &heap], way);
        analyze(&config);
        let Reached { bytes, all_bytes, files, all_files } = config.progress.reached();
        assert_eq!((Some(bytes), files, all_files), (all_bytes, 7, 7));
    }
    let report = same_on_every_way(&[&archive, &named, &heap]);
    let copies = report.captures.iter().filter(|capture| capture.same_as.is_some()).count();
    // All that is in the folder is in the archive too, whose order is that of the file system.
    assert_eq!((report.captures.len(), copies), (13, 5));
    let turned = same_on_every_way(&[&heap, &named, &archive]);
    let paths: Vec<&str> = turned.captures.iter().map(|it| it.path.as_str()).collect();
    let ends = [
        "deep/seed.pcap",
        "ipv6.pcap",
        "damaged",
        "load.pcap",
        "load.pcap.gz",
        "torn/capture.pcap",
    ];
    for (path, end) in paths.iter().zip(ends) {
        assert!(path.ends_with(end), "{paths:?}");
    }
    assert_eq!(turned.totals, report.totals);
}
