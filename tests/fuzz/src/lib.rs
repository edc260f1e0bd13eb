//! What the targets share: a capture in memory goes all the way to a report, and what is said of
//! it must be true.

#[path = "../../support/validity.rs"]
#[allow(dead_code)]
mod validity;

use std::io::Cursor;
use std::sync::LazyLock;

use libfuzzer_sys::Corpus;
use portmortem::capture::{Bounds, Contents, Frame, FrameBatch, Reading, open_source};
use portmortem::flow::{Flow, KnownPorts};
use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use portmortem::net::{Clock, End, FrameNumber, SeqNumber, Timestamp, Transport};
use portmortem::probe::{Dialogue, Heard, MOST_TEXT, Signal, Speaker};
use portmortem::verdict::Circumstances;

static MATRIX: LazyLock<Matrix> = LazyLock::new(|| Matrix::built_in(DEFAULT_PROFILE).unwrap());

/// The ports of the default matrix.
pub fn known_ports() -> KnownPorts {
    MATRIX.known_ports()
}

/// Reads a file whose beginning is one of `beginnings`; others are of no use for the target. It
/// must give a valid report, and the same frames in pieces of any size.
pub fn capture(bytes: &[u8], beginnings: &[&[u8]]) -> Corpus {
    if !beginnings.iter().any(|beginning| bytes.starts_with(beginning)) {
        return Corpus::Reject;
    }
    let Ok(read) = validity::read(bytes, 61, &known_ports()) else { return Corpus::Keep };
    let matrix = &*MATRIX;
    validity::check_report(&validity::report_of(read, matrix), matrix);
    assert_eq!(frames(bytes, 61), frames(bytes, 1 << 20), "pieces of another size");
    Corpus::Keep
}

/// Reads a log beside a capture. The report must be valid.
pub fn log(bytes: &[u8]) -> Corpus {
    let capture = include_bytes!("../../../testdata/firewall-log/capture.pcap");
    let Ok(read) = validity::read(capture, 1 << 20, &known_ports()) else { return Corpus::Reject };
    validity::check_log(bytes, read, &MATRIX);
    Corpus::Keep
}

/// Number, time, length on the wire and bytes of every frame.
fn frames(bytes: &[u8], piece: usize) -> Vec<(u64, Option<Timestamp>, u32, Vec<u8>)> {
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let Ok(mut reader) =
        open_source(source, "fuzz", Reading { piece, digest: false, progress: None })
    else {
        return Vec::new();
    };
    let own = |frame: Frame<'_>| {
        (frame.number.0, frame.time, frame.original_length, frame.bytes.to_vec())
    };
    let mut frames = Vec::new();
    let mut spare = FrameBatch::default();
    while let Some(batch) = reader.next_batch(spare) {
        frames.extend(batch.frames().map(own));
        spare = batch;
    }
    reader.finish();
    frames
}

/// Judges a flow of a capture that ends at `capture_end`; the judgement must keep the contract.
pub fn judge(flow: &Flow, capture_end: Option<Timestamp>) {
    let circumstances = Circumstances {
        capture_end,
        clock: Clock::NANOSECONDS,
        syn_wait: 3_000_000_000,
        udp_reply_wait: 2_000_000_000,
        known_ports: known_ports(),
        notes: Vec::new(),
    };
    validity::judged(1, flow, &circumstances);
}

/// Lets the probes hear a flow to this port, made of the fuzzer's bytes: before each piece one
/// byte for its sender, its length and whether a byte before it is missing. What is heard must
/// be bounded, and each text too.
pub fn probe(transport: Transport, port: u16, mut bytes: &[u8]) -> Corpus {
    let mut dialogue = Dialogue::new(transport, [50_000, port]);
    let mut heard = Heard::new(false);
    let mut next = [SeqNumber(0), SeqNumber(0)];
    for number in 1.. {
        let [head, rest @ ..] = bytes else { break };
        let (back, skipped) = (head & 1 != 0, u32::from(head & 6 == 6));
        let length = match head >> 3 {
            0 => rest.len(),
            short => usize::from(short) * 4,
        };
        let (piece, rest) = rest.split_at(length.min(rest.len()));
        bytes = rest;
        let (end, from) =
            if back { (End::High, Speaker::Responder) } else { (End::Low, Speaker::Initiator) };
        let (frame, length) = (FrameNumber(number), u32::try_from(piece.len()).unwrap());
        let mut tell = |signal: Signal| heard.take(signal);
        match transport {
            Transport::Udp => dialogue.datagram(from, piece, length, frame, None, &mut tell),
            Transport::Tcp => {
                let next = &mut next[usize::from(back)];
                let seq = next.plus(skipped);
                *next = seq.plus(length);
                dialogue.segment(end, from, seq, piece, length, frame, None, &mut tell);
            }
        }
    }
    dialogue.finish([Speaker::Initiator, Speaker::Responder], &mut |signal| heard.take(signal));
    assert!(heard.failures.len() <= 16 && heard.announced.len() <= 1024);
    for known in &heard.names {
        assert!(known.name.chars().count() <= MOST_TEXT);
    }
    for answer in heard.failures.iter().chain(&heard.served).chain(&heard.step) {
        // A word or two beside the text that was captured.
        assert!(answer.subject.chars().count() <= MOST_TEXT + 64, "{}", answer.subject);
    }
    Corpus::Keep
}

/// Reads every member of an archive that comes through a pipe, within a mebibyte inflated.
pub fn members(bytes: &[u8]) -> Corpus {
    let pipe = Box::new(Cursor::new(bytes.to_vec()));
    let reading = Reading { piece: 61, digest: false, progress: None };
    let bounds = Bounds::of_bytes(1 << 20);
    for content in Contents::of_pipe(pipe, "fuzz", reading, bounds).take(1_000) {
        assert!(!content.shown_as.is_empty());
        let Ok(mut reader) = content.opened else { continue };
        let mut spare = FrameBatch::default();
        while let Some(batch) = reader.next_batch(spare) {
            spare = batch;
        }
        reader.finish();
    }
    Corpus::Keep
}
