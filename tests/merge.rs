//! Reports that were made apart add up to the report of one run, byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use portmortem::analyze::{Config, Depth, analyze};
use portmortem::capture::Progress;
use portmortem::flow::Budget;
use portmortem::matrix::GivenRole;
use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use portmortem::merge::{Refusal, Sum};
use portmortem::render::{Format, Style, View, render};
use portmortem::report::{Options, Report};
use proptest::prelude::*;
use support::case;
use support::files::pcap;
use support::program::run;
use support::rpc;
use support::scene::{Host, Scene, Tcp};
use support::validity::options;

/// How a run is made: everything but its inputs.
#[derive(Clone, Default)]
struct Call {
    logs: Vec<String>,
    options: Option<Options>,
}

impl Call {
    fn options(&self) -> Options {
        self.options.clone().unwrap_or_else(options)
    }

    fn matrix(&self) -> Matrix {
        let profile = self.options().profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        Matrix::built_in(&profile).unwrap()
    }

    fn run(&self, inputs: &[PathBuf]) -> Report {
        analyze(&Config {
            inputs: inputs.iter().map(|input| input.to_str().unwrap().to_owned()).collect(),
            logs: self.logs.clone(),
            recursive: true,
            threads: 2,
            progress: Progress::default(),
            budget: Budget::default(),
            big_capture: Config::BIG_CAPTURE,
            digest: true,
            depth: Depth::Diagnosis,
            whole: false,
            state: None,
            matrix: self.matrix(),
            since: None,
            until: None,
            options: self.options(),
        })
    }

    /// The sum of reports, each written and read again.
    fn merge(&self, reports: &[Report]) -> Result<Report, Refusal> {
        let mut sum = Sum::new(self.matrix());
        for (number, report) in (1..).zip(reports) {
            let written = serde_json::to_string(report).unwrap();
            sum.add(&format!("{number}.json"), serde_json::from_str(&written).unwrap())?;
        }
        Ok(sum.into_report()?.unwrap())
    }

    /// Holds the sum of the parts to one run over all of them.
    fn same_in_parts(&self, parts: &[&[PathBuf]]) {
        let whole = self.run(&parts.concat());
        let reports: Vec<Report> = parts.iter().map(|part| self.run(part)).collect();
        let sum = self.merge(&reports).unwrap();
        same(&sum, &whole, &format!("{parts:?}"));
        // Sums are reports like others.
        if let [first, second, rest @ ..] = reports.as_slice() {
            let mut nested = vec![self.merge(&[first.clone(), second.clone()]).unwrap()];
            nested.extend(rest.iter().cloned());
            same(&self.merge(&nested).unwrap(), &whole, &format!("nested {parts:?}"));
        }
    }
}

fn printed(report: &Report, format: Format) -> String {
    let style = Style { width: 100, color: true, unicode: true, verbose: true, links: None };
    let mut page = Vec::new();
    render(report, View::Analysis, format, style, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

/// Both reports, byte for byte.
fn same(sum: &Report, whole: &Report, what: &str) {
    for format in [Format::Json, Format::Table, Format::Html, Format::Csv] {
        let (sum, whole) = (printed(sum, format), printed(whole, format));
        let sum = sum.replace("},{", "},\n{");
        let whole = whole.replace("},{", "},\n{");
        let differs = sum.lines().zip(whole.lines()).find(|(sum, whole)| sum != whole);
        assert_eq!(differs, None, "{what}");
        assert_eq!(sum.len(), whole.len(), "{what}");
    }
}

fn captures() -> Vec<PathBuf> {
    case::all().into_iter().flat_map(|case| case.captures).collect()
}

fn of(case: &str, name: &str) -> PathBuf {
    case::testdata().join(case).join(name)
}

/// Inputs of all kinds: captures, copies of some, a folder with other things in it, an archive, a
/// folder without captures, and what is not there.
fn heap(folder: &Path) -> Vec<PathBuf> {
    let mut inputs = captures();
    let (seed, ipv6) = (of("seed", "capture.pcap"), of("ipv6", "capture.pcap"));
    let mixed = folder.join("mixed");
    fs::create_dir_all(mixed.join("below")).unwrap();
    fs::copy(&seed, mixed.join("below").join("again.pcap")).unwrap();
    fs::copy(of("torn", "capture.pcap"), mixed.join("torn.pcap")).unwrap();
    fs::write(mixed.join("notes.txt"), "nothing to read").unwrap();
    let bare = folder.join("bare");
    fs::create_dir_all(&bare).unwrap();
    fs::write(bare.join("readme.txt"), "no capture here").unwrap();
    let archive = folder.join("case.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    for (path, name) in [(&ipv6, "a/ipv6.pcap"), (&bare.join("readme.txt"), "b.txt"), (&seed, "c")]
    {
        tar.append_path_with_name(path, name).unwrap();
    }
    tar.finish().unwrap();
    inputs.extend([mixed, bare, archive, folder.join("absent.pcap")]);
    let copy = folder.join("copy.pcap");
    fs::copy(&seed, &copy).unwrap();
    inputs.push(copy);
    inputs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_inputs_adds_up(
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 2..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let heap = heap(folder.path());
        let mut inputs: Vec<PathBuf> = Vec::new();
        for index in chosen {
            let input = index.get(&heap);
            // What is given twice is one file to one run, and two to two.
            if !inputs.contains(input) {
                inputs.push(input.clone());
            }
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(inputs.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut parts = Vec::new();
        let mut rest = inputs.as_slice();
        for cut in cuts.iter().rev() {
            let (before, part) = rest.split_at(*cut);
            parts.insert(0, part);
            rest = before;
        }
        parts.insert(0, rest);
        parts.retain(|part| !part.is_empty());
        Call::default().same_in_parts(&parts);
    }
}

#[test]
fn every_capture_alone_adds_up_to_the_whole_heap() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = heap(folder.path());
    let parts: Vec<&[PathBuf]> = inputs.chunks(1).collect();
    Call::default().same_in_parts(&parts);
    let configmgr = Options { profile: Some("configmgr".to_owned()), ..options() };
    let call = Call { options: Some(configmgr), ..Call::default() };
    call.same_in_parts(&parts);
    call.same_in_parts(&[&inputs[..7], &inputs[7..]]);
}

#[test]
fn every_case_adds_up_with_every_other() {
    let captures = captures();
    for pair in captures.windows(2) {
        let [one, other] = pair else { panic!("two of them") };
        let parts = [std::slice::from_ref(other), std::slice::from_ref(one)];
        Call::default().same_in_parts(&parts);
    }
}

/// A capture with these frames, as a file.
fn written(folder: &Path, name: &str, scene: &Scene) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, pcap::write(scene, pcap::Form::USUAL)).unwrap();
    path
}

const DC: &str = "10.1.0.10";

/// The endpoint mapper says where DRSUAPI listens.
fn announcement() -> Scene {
    let (cas, dc) = (Host::new("10.0.0.5"), Host::new(DC));
    let mut scene = Scene::new();
    let mut tcp = Tcp::new(cas, 50_000, dc, 135);
    scene.handshake(&mut tcp);
    scene.exchange(&mut tcp, &rpc::bind(1, rpc::MAPPER), &rpc::accepted(1, "135"));
    let place = rpc::Place::Tcp(49_155);
    let answer = rpc::mapped(rpc::DRSUAPI, &[(place, [10, 1, 0, 10])]);
    scene.exchange(
        &mut tcp,
        &rpc::request(2, 3, &rpc::map(rpc::DRSUAPI, place)),
        &rpc::response(2, &answer),
    );
    scene.close(&mut tcp);
    scene
}

/// A call to a port that nothing in this capture announces, a minute later, which nobody answers.
fn dropped_call() -> Scene {
    let mut scene = Scene::new();
    scene.wait(60_000);
    let mut tcp = Tcp::new(Host::new("10.0.0.5"), 50_100, Host::new(DC), 49_155);
    for _ in 0..3 {
        scene.syn(&mut tcp);
        scene.wait(3_000);
    }
    scene
}

#[test]
fn an_announcement_in_one_report_names_the_port_that_is_called_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let told = written(folder.path(), "told.pcap", &announcement());
    let called = written(folder.path(), "called.pcap", &dropped_call());
    let call = Call::default();
    let alone = |path: &PathBuf| call.run(std::slice::from_ref(path));
    let sum = call.merge(&[alone(&told), alone(&called)]).unwrap();
    let rpc = sum.flows.telling().last().unwrap().rpc.as_ref().unwrap();
    assert_eq!((rpc.interface.as_deref(), rpc.endpoint_mapper_flow), (Some("DRSUAPI"), Some(1)));
    for parts in [[&told, &called], [&called, &told]] {
        call.same_in_parts(&parts.map(std::slice::from_ref));
    }
    // With roles, the flow exercises a requirement in the sum that it did not alone, or another way.
    let mut options = options();
    options.roles = vec![
        GivenRole { role: "cas".to_owned(), hosts: vec!["10.0.0.5".to_owned()] },
        GivenRole { role: "child-dc".to_owned(), hosts: vec![DC.to_owned()] },
    ];
    let call = Call { options: Some(options), ..Call::default() };
    for parts in [[&told, &called], [&called, &told]] {
        call.same_in_parts(&parts.map(std::slice::from_ref));
    }
}

#[test]
fn conversations_of_several_reports_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let article = of("article", "capture.txt");
    let other = folder.path().join("other.txt");
    let text = fs::read_to_string(&article).unwrap();
    fs::write(&other, text.lines().skip(1).map(|line| line.to_owned() + "\n").collect::<String>())
        .unwrap();
    let numbered = [article, of("seed", "capture.pcap"), other];
    let call = Call::default();
    let parts: Vec<&[PathBuf]> = numbered.chunks(1).collect();
    call.same_in_parts(&parts);
    let sum = call.merge(&parts.iter().map(|part| call.run(part)).collect::<Vec<_>>()).unwrap();
    assert!(sum.flows.iter().any(|flow| flow.initiator.to_string().contains("of capture 3")));
}

#[test]
fn a_log_of_several_reports_counts_once() {
    let mut seen = 0;
    for case in case::all().into_iter().filter(|case| !case.logs.is_empty()) {
        seen += 1;
        let logs = case.logs.iter().map(|log| of(&case.name, log).to_str().unwrap().to_owned());
        let call = Call { logs: logs.collect(), ..Call::default() };
        let other = of("ipv6", "capture.pcap");
        let capture = case.captures[0].clone();
        call.same_in_parts(&[std::slice::from_ref(&capture), std::slice::from_ref(&other)]);
        // One of the reports alone was made with it.
        let whole = call.run(&[capture.clone(), other.clone()]);
        let parts = [call.run(&[capture]), Call::default().run(&[other])];
        same(&call.merge(&parts).unwrap(), &whole, &case.name);
    }
    assert!(seen > 0);
}

#[test]
fn a_long_firewall_log_is_chosen_from_again_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let told = written(folder.path(), "told.pcap", &announcement());
    let other = of("ipv6", "capture.pcap");
    let log = |drops: u32| {
        let mut lines = vec![
            "#Version: 1.5".to_owned(),
            "#Software: Microsoft Windows Firewall".to_owned(),
            "#Time Format: Local".to_owned(),
            "#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn \
             tcpack tcpwin icmptype icmpcode info path"
                .to_owned(),
            String::new(),
        ];
        lines.extend((0..drops).map(|number| {
            let (minute, second) = (number / 60 % 60, number % 60);
            format!(
                "2014-05-27 10:{minute:02}:{second:02} DROP TCP 10.0.0.5 {DC} {} 135 52 S 1 0 8192 - - \
                 - RECEIVE",
                50_000 + number
            )
        }));
        let text = lines.join("\r\n");
        let path = folder.path().join(format!("pfirewall{drops}.log"));
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // 400 are kept of hosts that nobody knows, and of those that talk.
    let call = Call { logs: vec![log(400)], ..Call::default() };
    let parts = [std::slice::from_ref(&other), std::slice::from_ref(&told)];
    call.same_in_parts(&parts);
    // Of 700 the report without their hosts keeps 500, and the other all.
    let call = Call { logs: vec![log(700)], ..Call::default() };
    call.same_in_parts(&parts);
    let lone = call.run(&[other]);
    assert_eq!(lone.logs[0].entries_left_out, 200);
    let without = Call::default().run(&[told]);
    let refusal = call.merge(&[lone, without]).unwrap_err();
    assert!(refusal.to_string().contains("tells of more drops than a report keeps"), "{refusal}");
}

/// Runs merge over these reports, written to files.
fn merged(folder: &Path, reports: &[(&str, &str)]) -> (i32, String, String) {
    let mut words = vec!["merge".to_owned()];
    for (name, text) in reports {
        fs::write(folder.join(name), text).unwrap();
        words.push(folder.join(name).to_str().unwrap().to_owned());
    }
    let run = run(&words);
    (run.exit, run.stdout, run.stderr)
}

fn json_of(words: &[&str]) -> String {
    run([&["-q", "-f", "json"], words].concat()).stdout
}

#[test]
fn what_cannot_be_added_up_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (seed, ipv6) = (of("seed", "capture.pcap"), of("ipv6", "capture.pcap"));
    let (seed, ipv6) = (seed.to_str().unwrap(), ipv6.to_str().unwrap());
    let plain = json_of(&[seed]);
    let own = folder.path().join("own.toml");
    let matrix = run(["matrix", "show", "configmgr-dc"]).stdout;
    fs::write(&own, &matrix).unwrap();
    let own = own.to_str().unwrap().to_owned();
    let of_own = json_of(&[seed, "--matrix", &own]);
    fs::write(&own, matrix.replace("ports = [445]", "ports = [4450]")).unwrap();
    for (other, parts) in [
        (json_of(&[ipv6, "--syn-wait", "1"]), &["--syn-wait (milliseconds) 1000", "with 3000"][..]),
        (json_of(&[ipv6, "--role", "cas=10.0.0.5"]), &["--role or --roles [{", "with not given"]),
        (
            json_of(&[ipv6, "--profile", "configmgr"]),
            &["--profile configmgr, and", "a.json with configmgr-dc"],
        ),
        (json_of(&[ipv6, "--since", "2001-01-01"]), &["made with --since 2001-01-01T00:00:00"]),
        (json_of(&[ipv6, "--no-flows"]), &["0 of its ", "without --no-flows"]),
        (json_of(&[seed, ipv6, "--join"]), &["--join true"]),
        (json_of(&[ipv6, "--anonymize", "a key"]), &["has no digest in it", "merge --anonymize"]),
        (plain.replace("portmortem.report/1", "portmortem.report/2"), &["\"portmortem.report/2\""]),
        (
            plain.replacen("\"totals\"", "\"sums\"", 1).replace("report/1", "report/9"),
            &["its schema is \"portmortem.report/9\""],
        ),
        (
            plain.replacen(&format!("\"{}\"", env!("CARGO_PKG_VERSION")), "\"9.9.9\"", 1),
            &["made by portmortem 9.9.9, and this is"],
        ),
        (plain[..plain.len() / 2].to_owned(), &["ends in the middle (EOF while parsing", "line "]),
        (
            plain.replacen("\"totals\"", "\"sums\"", 1),
            &["unknown field `sums`", "line ", "column "],
        ),
        (
            run(["flows", "-f", "ndjson", seed]).stdout,
            &["as the lines of --format ndjson have none"],
        ),
        (run(["flows", "-f", "json", seed]).stdout, &["this is a list of flows or cells"]),
        (String::new(), &["the file is empty"]),
        ("# Notes".to_owned(), &["this is no JSON"]),
        (of_own.clone(), &["--profile not given"]),
    ] {
        let (exit, out, told) = merged(folder.path(), &[("a.json", &plain), ("b.json", &other)]);
        assert_eq!((exit, out.as_str()), (2, ""), "{parts:?}: {told}");
        assert!(told.starts_with("portmortem: "), "{told}");
        assert!(told.contains("b.json: "), "{told}");
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    for (report, part) in [
        (
            json_of(&[ipv6, "--filter", "port = 1"]),
            "holds only flows of which this is true: port = 1",
        ),
        (of_own, "own.toml is not the matrix that it was made with"),
    ] {
        let (exit, _, told) = merged(folder.path(), &[("a.json", &report)]);
        assert!(exit == 2 && told.contains(part), "{told}");
    }
    let capture = run(["merge", seed]);
    assert!(capture.stderr.contains("this is a capture and no report"), "{}", capture.stderr);
}

#[test]
fn merge_prints_what_analyze_prints() {
    let folder = tempfile::tempdir().unwrap();
    let (seed, torn) = (of("seed", "capture.pcap"), of("torn", "capture.pcap"));
    let (seed, torn) = (seed.to_str().unwrap(), torn.to_str().unwrap());
    let (a, b) = (folder.path().join("a.json"), folder.path().join("b.json"));
    fs::write(&a, json_of(&[seed])).unwrap();
    // As `>` of Windows PowerShell writes it.
    let text = json_of(&[torn]);
    let utf16 = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes);
    fs::write(&b, utf16.collect::<Vec<u8>>()).unwrap();
    let reports = [a.to_str().unwrap(), b.to_str().unwrap()];
    for words in [
        &["-f", "table"][..],
        &["-f", "table", "-v"],
        &["-f", "json"],
        &["-f", "json", "--no-flows"],
        &["-f", "ndjson"],
        &["-f", "csv"],
        &["-f", "markdown"],
        &["-f", "html"],
        &["-f", "json", "--anonymize", "a key"],
        &["-q", "--fail-on", "dropped"],
    ] {
        let once = run([&["analyze", seed, torn], words].concat());
        let sum = run([&["merge"], &reports[..], words].concat());
        assert_eq!(sum.stdout, once.stdout, "{words:?}");
        assert_eq!((sum.exit, sum.stderr), (once.exit, once.stderr), "{words:?}");
    }
    let over = run(["merge", reports[0], "-o", reports[0]]);
    assert_eq!(over.exit, 2);
    assert!(over.stderr.contains("not written over what it is made from"), "{}", over.stderr);
    // A pattern that the shell left alone.
    let pattern = folder.path().join("?.json");
    let by_pattern = run(["merge", pattern.to_str().unwrap()]);
    assert_eq!(by_pattern.stdout, run([&["merge"], &reports[..]].concat()).stdout);
}
