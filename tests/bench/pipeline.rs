//! Speed of the parts: `cargo bench`.
//!
//! The stages of the program are measured on the same made-up traffic, each with those before it:
//! what a stage costs is the difference to the one above.

use std::io::{self, Cursor};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use portmortem::capture::{CaptureReader, FrameBatch, Reading, open_source};
use portmortem::flow::{FlowTable, Hearing, KnownPorts};
use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use portmortem::net::Clock;
use portmortem::packet::decode;
use portmortem::render::{Format, Style, View, render};
use portmortem::report::{Filters, Options, Report, Waits};
use portmortem::verdict::record::JudgedFlow;
use portmortem::verdict::{Circumstances, judge};

#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a generator makes up its numbers, and there are two sides to every flow"
)]
mod traffic;

use traffic::{Format as CaptureFormat, Kind, generate};

fn main() {
    divan::main();
}

/// About this much traffic a run.
const SIZE: u64 = 8_000_000;

const KINDS: [&str; 4] = ["M", "F", "N", "X"];

fn traffic(kind: &str) -> Vec<u8> {
    let mut capture = Cursor::new(Vec::new());
    if let Some(kind) = Kind::of(kind) {
        // Writing to memory does not fail.
        drop(generate(kind, SIZE, 1, CaptureFormat::Pcap, &mut capture));
    }
    capture.into_inner()
}

fn reader(capture: &[u8], digest: bool) -> Option<Box<dyn CaptureReader>> {
    let source = Box::new(Cursor::new(capture.to_vec()));
    open_source(source, "bench", Reading { digest, ..Reading::default() }).ok()
}

/// Reads a capture and hands each batch to `each`.
fn read(mut reader: Box<dyn CaptureReader>, mut each: impl FnMut(&FrameBatch)) {
    let mut spare = FrameBatch::default();
    while let Some(batch) = reader.next_batch(spare) {
        each(&batch);
        spare = batch;
    }
    black_box(reader.finish());
}

fn track(reader: Box<dyn CaptureReader>, hearing: Hearing) -> FlowTable {
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000).hearing(hearing);
    read(reader, |batch| {
        for packet in batch.frames().filter_map(|frame| decode(&frame).ok()) {
            table.observe(&packet);
        }
    });
    table
}

/// Measures `stage` on each kind of traffic, the copy of the capture left out.
fn measure(bencher: Bencher<'_, '_>, kind: &str, digest: bool, stage: fn(Box<dyn CaptureReader>)) {
    let capture = traffic(kind);
    bencher
        .counter(BytesCount::new(capture.len()))
        .with_inputs(|| reader(&capture, digest))
        .bench_values(|reader| reader.map(stage));
}

/// The generator itself, to know that no measurement waits for it.
#[divan::bench(args = KINDS)]
fn a_generator(bencher: Bencher<'_, '_>, kind: &str) {
    let bytes = traffic(kind).len();
    bencher.counter(BytesCount::new(bytes)).bench(|| traffic(black_box(kind)));
}

/// Frames, with the digest of the file, which costs more than all other stages together.
#[divan::bench(args = KINDS)]
fn b_read_and_digest(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, true, |reader| {
        read(reader, |batch| {
            black_box(batch.len());
        });
    });
}

/// Frames.
#[divan::bench(args = KINDS)]
fn c_read(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        read(reader, |batch| {
            black_box(batch.len());
        });
    });
}

/// Frames and packets.
#[divan::bench(args = KINDS)]
fn d_decode(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        read(reader, |batch| {
            black_box(batch.frames().filter(|frame| decode(frame).is_ok()).count());
        });
    });
}

/// Frames, packets and flows, without a look at the payload.
#[divan::bench(args = KINDS)]
fn e_track(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        black_box(track(reader, Hearing::Nothing).into_flows());
    });
}

/// The same with all probes on.
#[divan::bench(args = KINDS)]
fn e_track_and_hear(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        black_box(track(reader, Hearing::Sums).into_flows());
    });
}

fn judged(reader: Box<dyn CaptureReader>) -> Vec<JudgedFlow> {
    let circumstances = Circumstances {
        capture_end: None,
        clock: Clock::MICROSECONDS,
        syn_wait: 3_000_000_000,
        udp_reply_wait: 2_000_000_000,
        known_ports: KnownPorts::default(),
        notes: Vec::new(),
    };
    let (flows, _) = track(reader, Hearing::Sums).into_flows();
    flows.iter().map(|flow| judge(flow, 0, &circumstances)).collect()
}

/// Frames, packets, flows and verdicts.
#[divan::bench(args = KINDS)]
fn f_judge(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        black_box(judged(reader));
    });
}

/// A report on these flows; `None` where the built-in matrix is gone.
fn report_on(flows: Vec<JudgedFlow>) -> Option<Report> {
    let options = Options {
        profile: Some(DEFAULT_PROFILE.to_owned()),
        matrix: None,
        roles: Vec::new(),
        hosts: Vec::new(),
        ports: Vec::new(),
        rpc_range: Vec::new(),
        waits: Waits { syn_ms: 3_000, udp_reply_ms: 2_000, udp_idle_ms: 60_000 },
        filters: Filters::default(),
        join: false,
        max_inflated: None,
    };
    Some(Report::build(options, &Matrix::built_in(DEFAULT_PROFILE)?, Vec::new(), Vec::new(), flows))
}

/// Roles, outcomes, findings and requests of flows that were judged.
#[divan::bench(args = KINDS)]
fn g_assess(bencher: Bencher<'_, '_>, kind: &str) {
    let flows = reader(&traffic(kind), false).map(judged).unwrap_or_default();
    bencher
        .counter(ItemsCount::new(flows.len()))
        .with_inputs(|| flows.clone())
        .bench_values(report_on);
}

/// A report that was built, in every format.
#[divan::bench(args = Format::ALL)]
fn h_render(bencher: Bencher<'_, '_>, format: Format) {
    let flows = reader(&traffic("F"), false).map(judged).unwrap_or_default();
    let counter = ItemsCount::new(flows.len());
    let report = report_on(flows);
    let style = Style { width: 100, color: false, unicode: true, verbose: false, links: None };
    bencher.counter(counter).bench(|| {
        report.as_ref().map(|report| render(report, View::Flows, format, style, &mut io::sink()))
    });
}
