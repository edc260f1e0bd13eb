//! What only Windows event traces hold: packets that the capturing machine dropped, what was lost
//! while capturing, filters, and traces without packets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::path::Path;

use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use proptest::prelude::*;
use serde_json::Value;
use support::case::testdata;
use support::files::etl::{self, By, Compression, Drop, Form};
use support::program::{Run, run};
use support::recipes::small;
use support::scene::{Host, Scene, Side, Tcp};
use support::validity::{check_report, has_trouble, read, report_of};

const SITE: &str = "10.0.0.5";
const DC: &str = "10.1.0.10";

/// Analyses a trace as JSON, with roles for both hosts.
fn analyzed(bytes: &[u8]) -> (Run, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.etl");
    fs::write(&path, bytes).unwrap();
    let run = run([
        "analyze",
        "--no-progress",
        "--format",
        "json",
        "--role",
        &format!("site-server={SITE}"),
        "--role",
        &format!("domain-controller={DC}"),
        path.to_str().unwrap(),
    ]);
    let report = run.json();
    (run, report)
}

/// Severity and message of each problem.
fn problems(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let problems = report["captures"][0]["problems"].as_array().unwrap();
    problems.iter().map(|it| (text(&it["severity"]), text(&it["message"]))).collect()
}

/// The one problem that holds these words, and its severity.
fn problem(report: &Value, words: &str) -> String {
    let all = problems(report);
    let mut fitting = all.iter().filter(|(_, message)| message.contains(words));
    match (fitting.next(), fitting.next()) {
        (Some((severity, _)), None) => severity.clone(),
        _ => panic!("not one problem with \"{words}\": {all:#?}"),
    }
}

fn kinds(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let kinds = findings.iter().map(|finding| finding["kind"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind != "not_exercised").collect()
}

fn site() -> Host {
    Host::new(SITE)
}

fn controller() -> Host {
    Host::new(DC).hops(2)
}

/// Three SYNs to LDAP without an answer.
fn silence(scene: &mut Scene) {
    let mut ldap = Tcp::new(site(), 50_100, controller(), 389);
    for silence in [0, 3_000, 6_000] {
        scene.wait(silence);
        scene.syn(&mut ldap);
    }
}

/// A scene as `pktmon` sees it on a host that drops these frames.
fn pktmon(play: fn(&mut Scene), on: Host, drops: &[(usize, u32)]) -> Value {
    let mut scene = Scene::new();
    play(&mut scene);
    let drops: Vec<Drop> =
        drops.iter().map(|(frame, reason)| Drop { frame: *frame, reason: *reason }).collect();
    let form = Form { drops: &drops, ..Form::new(By::Pktmon, Compression::Xpress, on) };
    analyzed(&etl::write(&scene, form)).1
}

#[test]
fn what_the_called_host_drops_is_its_own_matter() {
    let report = pktmon(silence, controller(), &[(1, 909), (2, 909), (3, 909)]);
    let flow = &report["flows"][0];
    assert_eq!((&flow["class"], &flow["verdict"]), (&"timeout".into(), &"no_reply".into()));
    // The drops are no repeats: three SYNs.
    assert_eq!((&flow["history"], &flow["packets"]["initiator"]), (&"SSS".into(), &3.into()));
    assert_eq!(flow["duplicates"], 0);
    let evidence: Vec<(u64, &str)> = flow["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["frame"].as_u64().unwrap(), it["kind"].as_str().unwrap()))
        .collect();
    let expected = [(1, "syn"), (1, "drop"), (2, "syn"), (2, "drop"), (3, "syn"), (3, "drop")];
    assert_eq!(evidence, expected);
    let note = flow["evidence"][1]["note"].as_str().unwrap();
    let says = "dropped by the capturing machine on arrival: INSPECTION_DROP (";
    assert!(note.starts_with(says) && note.contains("Windows Firewall"), "{note}");
    assert!(note.ends_with("at TCPIP (tcpip.sys)"), "{note}");
    let explanation = flow["explanation"].as_str().unwrap();
    assert!(explanation.contains("Frames 1, 2 and 3 were dropped by the"), "{explanation}");
    assert!(!explanation.contains("looks like this"), "{explanation}");
    assert_eq!(kinds(&report), ["dropped_here"]);
    assert_eq!(report["firewall_requests"], Value::Array(Vec::new()));
    let finding = &report["findings"][0];
    assert_eq!(finding["severity"], "error");
    let title = finding["title"].as_str().unwrap();
    assert!(
        title.starts_with(
            "10.1.0.10 (domain-controller) itself drops what 10.0.0.5 (site-server) sends"
        ),
        "{title}"
    );
    assert!(finding["next_step"].as_str().unwrap().starts_with("on 10.1.0.10 "));
}

#[test]
fn what_the_caller_itself_drops_never_left_it() {
    let report = pktmon(silence, site(), &[(1, 8), (2, 8), (3, 8)]);
    let title = report["findings"][0]["title"].as_str().unwrap();
    assert!(
        title.starts_with("10.0.0.5 (site-server) itself drops what it sends to 10.1.0.10"),
        "{title}"
    );
    let note = report["flows"][0]["evidence"][1]["note"].as_str().unwrap();
    assert!(note.starts_with("dropped by the capturing machine before it left: "), "{note}");
    assert_eq!(report["captures"][0]["frames"], 3);
}

#[test]
fn answers_that_the_caller_drops_leave_the_handshake_unconfirmed() {
    let play = |scene: &mut Scene| {
        let mut ldap = Tcp::new(site(), 50_100, controller(), 389);
        for silence in [0, 3_000] {
            scene.wait(silence);
            scene.syn(&mut ldap);
            scene.syn_ack(&ldap);
        }
    };
    let report = pktmon(play, site(), &[(2, 909), (4, 909)]);
    assert_eq!(report["flows"][0]["verdict"], "unconfirmed");
    assert_eq!(kinds(&report), ["dropped_here"]);
    let title = report["findings"][0]["title"].as_str().unwrap();
    assert!(
        title.starts_with(
            "10.0.0.5 (site-server) itself drops what 10.1.0.10 (domain-controller) sends to it"
        ),
        "{title}"
    );
}

#[test]
fn a_datagram_that_was_dropped_on_arrival_answers_nobody() {
    let play = |scene: &mut Scene| {
        scene.udp((site(), 53_400), (controller(), 389), b"a request");
        scene.udp((controller(), 389), (site(), 53_400), b"its answer");
    };
    assert_eq!(pktmon(play, site(), &[])["flows"][0]["verdict"], "answered");
    let report = pktmon(play, site(), &[(2, 909)]);
    assert_eq!(report["flows"][0]["verdict"], "no_reply");
    assert_eq!(kinds(&report), ["dropped_here"]);
}

#[test]
fn one_drop_of_several_attempts_leaves_the_network_in_doubt() {
    let report = pktmon(silence, controller(), &[(2, 3)]);
    assert_eq!(kinds(&report), ["dropped"]);
    assert_eq!(report["firewall_requests"].as_array().unwrap().len(), 1);
    let explanation = report["flows"][0]["explanation"].as_str().unwrap();
    assert!(
        explanation.contains("; frame 2 was dropped by the capturing machine"),
        "{explanation}"
    );
    assert!(explanation.contains("looks like this"), "{explanation}");
}

#[test]
fn a_connection_that_works_says_what_was_dropped_and_nothing_failed() {
    let play = |scene: &mut Scene| {
        let mut ldap = Tcp::new(site(), 50_100, controller(), 389);
        scene.handshake(&mut ldap);
        scene.data(&mut ldap, Side::Initiator, b"a request");
        scene.ack(&ldap, Side::Responder);
    };
    let report = pktmon(play, controller(), &[(4, 1217)]);
    assert_eq!(report["flows"][0]["verdict"], "established");
    let explanation = report["flows"][0]["explanation"].as_str().unwrap();
    assert!(explanation.contains("Frame 4 was dropped by the capturing machine"), "{explanation}");
    assert!(kinds(&report).is_empty());
}

#[test]
fn people_read_that_it_is_nothing_for_the_firewall_team() {
    let capture = testdata().join("pktmon-drop").join("capture.etl");
    let run = run(["analyze", "--no-progress", capture.to_str().unwrap()]);
    let heading = run.stdout.find("NOT FOR THE FIREWALL TEAM").unwrap();
    let row = run.stdout.find("INSPECTION_DROP").unwrap();
    assert!(heading < row, "{}", run.stdout);
    assert!(!run.stdout.contains("ASK THE FIREWALL TEAM"), "{}", run.stdout);
    assert!(run.stdout.contains("Windows event trace (pktmon), 15 frames"), "{}", run.stdout);
}

#[test]
fn without_the_names_in_the_trace_windows_own_are_shown() {
    let mut scene = Scene::new();
    silence(&mut scene);
    let drops = [Drop { frame: 1, reason: 1204 }];
    let form = Form::new(By::Pktmon, Compression::None, controller());
    let bytes = etl::write(&scene, Form { drops: &drops, names_reasons: false, ..form });
    let note = analyzed(&bytes).1["flows"][0]["evidence"][1]["note"].to_string();
    assert!(note.contains("INET_EndpointNotFound (nothing listens there"), "{note}");
}

#[test]
fn what_was_lost_filtered_or_cut_short_is_told() {
    let mut scene = Scene::new();
    small::all_open(&mut scene);
    let usual = Form::new(By::Pktmon, Compression::Xpress, site());
    let (run, report) = analyzed(&etl::write(&scene, usual));
    assert_eq!((run.exit, problems(&report)), (0, Vec::new()));

    let (run, report) = analyzed(&etl::write(&scene, Form { events_lost: 17, ..usual }));
    assert_eq!(run.exit, 2);
    assert_eq!(problem(&report, "17 events were lost while capturing"), "warning");

    let (run, report) = analyzed(&etl::write(&scene, Form { stopped: false, ..usual }));
    assert_eq!(run.exit, 2);
    assert_eq!(problem(&report, "was not stopped when this file was copied"), "warning");

    // Only 10.0.0.5 over TCP: id, name, both MAC addresses, EtherType, VLAN, and so on.
    let mut filter = vec![1, 0];
    filter.extend("site\0".encode_utf16().flat_map(u16::to_le_bytes));
    filter.extend([0; 16]);
    filter.extend([10, 0, 0, 5, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0]);
    let (run, report) = analyzed(&etl::write(&scene, Form { filter: Some(&filter), ..usual }));
    assert_eq!(run.exit, 0);
    assert_eq!(problem(&report, "a filter was set while capturing (10.0.0.5 TCP)"), "info");

    // 64 bytes hold the headers of all, and the payload of few.
    let (run, report) = analyzed(&etl::write(&scene, Form { packet_size: 64, ..usual }));
    assert_eq!(run.exit, 0);
    assert_eq!(problem(&report, "are cut short: the handshakes are whole"), "info");
    let whole = analyzed(&etl::write(&scene, usual)).1;
    for (cut, whole) in
        report["flows"].as_array().unwrap().iter().zip(whole["flows"].as_array().unwrap())
    {
        assert_eq!((&cut["verdict"], &cut["bytes"]), (&whole["verdict"], &whole["bytes"]));
    }
}

#[test]
fn packets_that_netsh_cut_short_keep_their_length_on_the_wire() {
    let mut scene = Scene::new();
    small::all_open(&mut scene);
    let usual = Form::new(By::Netsh, Compression::None, site());
    let whole = analyzed(&etl::write(&scene, usual)).1;
    let cut = analyzed(&etl::write(&scene, Form { packet_size: 60, ..usual })).1;
    let bytes = |report: &Value| -> Vec<Value> {
        report["flows"].as_array().unwrap().iter().map(|flow| flow["bytes"].clone()).collect()
    };
    assert_eq!(bytes(&cut), bytes(&whole));
    let comments = whole["captures"][0]["comments"].to_string();
    assert!(comments.contains("seen at Ethernet (A Network Card)"), "{comments}");
}

#[test]
fn a_trace_without_packets_says_what_it_holds_and_how_to_capture() {
    let form = Form::new(By::Pktmon, Compression::Xpress, site());
    let (run, report) = analyzed(&etl::write(&Scene::new(), form));
    assert_eq!(run.exit, 2);
    assert_eq!(
        problem(&report, "holds no packets, but events of Microsoft-Windows-PktMon"),
        "error"
    );
    assert_eq!(problem(&report, "pktmon start --capture --pkt-size 0"), "error");
    assert!(run.stderr.contains("netsh trace start capture=yes"), "{}", run.stderr);
}

#[test]
fn a_damaged_buffer_costs_its_own_events_and_no_others() {
    let mut scene = Scene::new();
    for _ in 0..200 {
        silence(&mut scene);
    }
    let mut bytes = etl::write(&scene, Form::new(By::Netsh, Compression::None, site()));
    let frames = |report: &Value| report["captures"][0]["frames"].as_u64().unwrap();
    assert_eq!(frames(&analyzed(&bytes).1), 600);
    // The header buffer has 0x400 bytes, so those behind it stand at no multiple of their size;
    // what follows a damaged size is found again only where they do. Here a record is damaged.
    let record = 0x400 + etl::BUFFER_HEADER + 0xb0 * 10;
    bytes[record..record + 2].copy_from_slice(&[3, 0]);
    let (run, report) = analyzed(&bytes);
    assert_eq!(run.exit, 2);
    assert_eq!(problem(&report, "1 buffer could not be read whole"), "warning");
    assert!((500..600).contains(&frames(&report)), "{}", frames(&report));
}

#[test]
fn buffers_that_inflate_beyond_reason_are_not_followed() {
    let form = Form::new(By::Netsh, Compression::None, site());
    let mut bytes = etl::write(&Scene::new(), form);
    bytes.truncate(0x400);
    // Each claims 60 MiB in 100 bytes: a literal zero and a match of all that is left.
    let filled: u32 = 60 << 20;
    for _ in 0..4 {
        let mut buffer = vec![0; 72];
        let body = [&u32::MAX.to_le_bytes()[..], &[0xff; 24]].concat();
        buffer.extend(body);
        let size = u32::try_from(buffer.len()).unwrap();
        buffer[..4].copy_from_slice(&size.to_le_bytes());
        buffer[0x30..0x34].copy_from_slice(&filled.to_le_bytes());
        buffer[0x34] = 0x40;
        bytes.extend(buffer);
    }
    let (run, report) = analyzed(&bytes);
    assert_eq!(run.exit, 2);
    assert_eq!(problem(&report, "hold more than such a file can"), "error");
}

/// Traces of every form, of a scene with a bit of everything.
fn traces() -> Vec<Vec<u8>> {
    let mut scene = Scene::new();
    small::dropped_by_the_host(&mut scene);
    let drops: Vec<Drop> = small::DROPPED
        .iter()
        .map(|(frame, reason)| Drop { frame: *frame, reason: *reason })
        .collect();
    let mut all = Vec::new();
    for by in [By::Netsh, By::Pktmon] {
        for compression in
            [Compression::None, Compression::Xpress, Compression::Lznt1, Compression::Huffman]
        {
            let form = Form { drops: &drops, ..Form::new(by, compression, controller()) };
            all.push(etl::write(&scene, form));
        }
    }
    all
}

fn survive(bytes: &[u8]) {
    let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
    if let Ok(read) = read(bytes, 1 << 20, &matrix.known_ports()) {
        check_report(&report_of(read, &matrix), &matrix);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn changed_traces_are_survived(
        mut bytes in prop::sample::select(traces()),
        changes in prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                prop_oneof![
                    any::<u32>(), 0_u32..100, Just(u32::MAX), Just(64 << 20), Just(0x4000),
                ],
            ),
            1..6,
        ),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        for (at, to) in &changes {
            let at = at.index(bytes.len()) / 2 * 2;
            for (byte, to) in bytes[at..].iter_mut().zip(to.to_le_bytes()) {
                *byte = to;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        survive(&bytes);
    }

    #[test]
    fn traces_cut_off_anywhere_show_no_more_than_the_whole(
        bytes in prop::sample::select(traces()),
        cut in any::<prop::sample::Index>(),
    ) {
        let known_ports = Matrix::built_in(DEFAULT_PROFILE).unwrap().known_ports();
        let whole = read(&bytes, 1 << 20, &known_ports).unwrap();
        prop_assert_eq!(whole.summary.frames, 15);
        if let Ok(part) = read(&bytes[..cut.index(bytes.len())], 1 << 20, &known_ports) {
            prop_assert!(part.summary.frames <= 15);
            // Wherever the cut is, there is a word about it.
            prop_assert!(has_trouble(&part));
        }
    }
}

#[test]
fn the_file_in_testdata_is_read_from_a_pipe_too() {
    let path: &Path = &testdata().join("pktmon-drop").join("capture.etl");
    let known_ports = Matrix::built_in(DEFAULT_PROFILE).unwrap().known_ports();
    let file = fs::read(path).unwrap();
    let reading = portmortem::capture::Reading::default();
    let pipe = Box::new(std::io::Cursor::new(file.clone()));
    let mut reader = portmortem::capture::open_pipe(pipe, "-", reading).unwrap();
    let mut frames = 0;
    while let Some(batch) = reader.next_batch(portmortem::capture::FrameBatch::default()) {
        frames += batch.len() as u64;
    }
    assert_eq!(frames, read(&file, 7, &known_ports).unwrap().summary.frames);
    assert_eq!(reader.finish().bytes, file.len() as u64);
}
