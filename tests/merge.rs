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

use portmortem::analyze::{Config, analyze};
use portmortem::capture::Progress;
use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use portmortem::merge::{Refusal, Sum};
use portmortem::render::{Format, Style, View, render};
use portmortem::report::{Options, Report};
use proptest::prelude::*;
use support::case;
use support::program::run;
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
            big_capture: Config::BIG_CAPTURE,
            digest: true,
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
