//! Speed of the parts: `cargo bench`.
//!
//! The stages of the program are measured on the same made-up traffic, each with those before it:
//! what a stage costs is the difference to the one above.

use std::io::Cursor;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use portmortem::capture::{CaptureReader, FrameBatch, Reading, open_source};
use portmortem::flow::{FlowTable, KnownPorts};
use portmortem::net::Clock;
use portmortem::packet::decode;
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

use traffic::{Kind, generate};

fn main() {
    divan::main();
}

/// About this much traffic a run.
const SIZE: u64 = 8_000_000;

const KINDS: [&str; 4] = ["M", "F", "N", "X"];

fn traffic(kind: &str) -> Vec<u8> {
    let mut capture = Vec::new();
    if let Some(kind) = Kind::of(kind) {
        // Writing to memory does not fail.
        drop(generate(kind, SIZE, 1, &mut capture));
    }
    capture
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

fn track(reader: Box<dyn CaptureReader>) -> FlowTable {
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000);
    read(reader, |batch| {
        for packet in batch.frames().filter_map(|frame| decode(frame).ok()) {
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
            black_box(batch.frames().filter(|frame| decode(*frame).is_ok()).count());
        });
    });
}

/// Frames, packets and flows.
#[divan::bench(args = KINDS)]
fn e_track(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        black_box(track(reader).into_flows());
    });
}

/// Frames, packets, flows and verdicts.
#[divan::bench(args = KINDS)]
fn f_judge(bencher: Bencher<'_, '_>, kind: &str) {
    measure(bencher, kind, false, |reader| {
        let circumstances = Circumstances {
            capture_end: None,
            clock: Clock::MICROSECONDS,
            syn_wait: 3_000_000_000,
            udp_reply_wait: 2_000_000_000,
            known_ports: KnownPorts::default(),
        };
        let (flows, _) = track(reader).into_flows();
        let judged: Vec<JudgedFlow> =
            flows.iter().map(|flow| judge(flow, 0, &circumstances)).collect();
        black_box(judged);
    });
}
