//! Drives captures through the pipeline: frames, packets, flows, verdicts, report.
//!
//! Within a big capture the work goes in waves: a reader thread fills batches of frames, each
//! wave decodes its batches in parallel, fragments of IP packets are looked at one after the other,
//! and each shard takes its packets from every batch in order. A flow lives in exactly one shard, so it sees its packets in the order of the capture,
//! and the number of threads cannot change a result. Small captures go one to a thread. Results
//! are put together in the order of the inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use foldhash::fast::FixedState;
use rayon::iter::{
    IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};

use crate::capture::{
    CaptureReader, CaptureSummary, Frame, FrameBatch, Input, Reading, Severity, expand, open,
    open_pipe,
};
use crate::flow::{Flow, FlowTable, KnownPorts};
use crate::matrix::Matrix;
use crate::net::{FlowKey, Timestamp};
use crate::packet::{FragmentTable, Packet, Skipped, SkippedTally, decode};
use crate::report::{CaptureRecord, Options, Report};
use crate::verdict::record::JudgedFlow;
use crate::verdict::{Circumstances, join_answers, judge};

/// What to analyse, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Captures, folders, patterns, or `-`, as the user gave them.
    pub inputs: Vec<String>,
    /// Whether folders below folders are read.
    pub recursive: bool,
    /// Threads; 0 for as many as the machine has. What is more than can be of use is left out.
    pub threads: usize,
    /// Captures of at least this many bytes are spread over all threads; [`Config::BIG_CAPTURE`].
    pub big_capture: u64,
    /// Whether to compute the digests of the captures.
    pub digest: bool,
    /// The matrix to assess.
    pub matrix: Matrix,
    /// Frames before this time are left out.
    pub since: Option<Timestamp>,
    /// Frames from this time on are left out.
    pub until: Option<Timestamp>,
    /// All that can change the result, as the report tells it.
    pub options: Options,
}

impl Config {
    /// From this size on a capture is worth the work of sharing it.
    pub const BIG_CAPTURE: u64 = 32 << 20;
}

/// Analyses all inputs. What cannot be read becomes a problem in the report.
pub fn analyze(config: &Config) -> Report {
    let threads = config.threads.min(most_threads());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let (captures, flows) = match pool {
        Ok(pool) => pool.install(|| read_all(config, pool.current_num_threads())),
        // No threads to be had: this one will do.
        Err(_) => read_all(config, 1),
    };
    Report::build(config.options.clone(), &config.matrix, captures, flows)
}

/// Threads that are worth having: beyond, each only takes memory and time from the others.
fn most_threads() -> usize {
    const ALWAYS_ALLOWED: usize = 64;
    thread::available_parallelism().map_or(1, NonZeroUsize::get).max(ALWAYS_ALLOWED)
}

fn read_all(config: &Config, threads: usize) -> (Vec<CaptureRecord>, Vec<JudgedFlow>) {
    let known_ports = config.matrix.known_ports();
    let pipeline = Pipeline { known_ports: &known_ports, config };
    let inputs = expand(&config.inputs, config.recursive);
    let is_big = |input: &Input| threads > 1 && size_of(input) >= config.big_capture;
    let mut results: Vec<(usize, Analysed)> = inputs
        .par_iter()
        .enumerate()
        .filter(|(_, input)| !is_big(input))
        .map(|(place, input)| (place, pipeline.input(input, 1)))
        .collect();
    // One after the other: each keeps all threads busy.
    for (place, input) in inputs.iter().enumerate().filter(|(_, input)| is_big(input)) {
        results.push((place, pipeline.input(input, threads)));
    }
    results.sort_by_key(|(place, _)| *place);
    let mut captures = Vec::new();
    let mut flows = Vec::new();
    let mut folders: BTreeMap<&str, InFolder<'_>> = BTreeMap::new();
    for (place, analysed) in results {
        if let Some(Input::Found { folder, shown_as, .. }) = inputs.get(place) {
            let in_folder = folders.entry(folder).or_default();
            if analysed.no_capture {
                in_folder.left_out.push(shown_as);
                continue;
            }
            in_folder.captures += 1;
        }
        let capture = captures.len();
        captures.push(analysed.record);
        flows.extend(analysed.flows.into_iter().map(|flow| JudgedFlow { capture, ..flow }));
    }
    captures.extend(folders.into_iter().filter_map(|(folder, found)| found.record(folder)));
    (captures, flows)
}

/// Size of an input; 0 where it is not a file.
fn size_of(input: &Input) -> u64 {
    match input {
        Input::Named { path, .. } | Input::Found { path, .. } => {
            path.metadata().map_or(0, |metadata| metadata.len())
        }
        Input::StandardInput | Input::Missing { .. } => 0,
    }
}

/// What was found in a folder that was named.
#[derive(Default)]
struct InFolder<'a> {
    captures: usize,
    /// Files that are no captures.
    left_out: Vec<&'a str>,
}

impl InFolder<'_> {
    /// Files that are named in the report; the others are counted.
    const NAMED: usize = 3;

    /// A record that tells what was left out of a folder, so that no report looks more complete
    /// than it is.
    fn record(&self, folder: &str) -> Option<CaptureRecord> {
        let names = self.left_out.get(..Self::NAMED).unwrap_or(&self.left_out).join(", ");
        let more = match self.left_out.len().saturating_sub(Self::NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (severity, message) = match (self.captures, self.left_out.len()) {
            (_, 0) => return None,
            (0, _) => {
                (Severity::Error, format!("there is no capture in this folder: {names}{more}"))
            }
            (_, 1) => (Severity::Info, format!("left out, because it is no capture: {names}")),
            (_, count) => {
                let message = format!("{count} files left out, because they are no captures");
                (Severity::Info, format!("{message}: {names}{more}"))
            }
        };
        let mut summary = CaptureSummary::of(folder);
        summary.problem(severity, message, None, None);
        Some(CaptureRecord::of(summary, &SkippedTally::default()))
    }
}

/// What one input gave.
struct Analysed {
    record: CaptureRecord,
    flows: Vec<JudgedFlow>,
    /// Found in a folder, and no format that anybody would take for a capture.
    no_capture: bool,
}

impl Analysed {
    /// An input that could not be read.
    fn unread(path: &str, message: &str) -> Analysed {
        let mut summary = CaptureSummary::of(path);
        summary.problem(Severity::Error, message, None, None);
        let record = CaptureRecord::of(summary, &SkippedTally::default());
        Analysed { record, flows: Vec::new(), no_capture: false }
    }
}

/// How an input is read.
#[derive(Clone, Copy)]
struct Pipeline<'a> {
    known_ports: &'a KnownPorts,
    config: &'a Config,
}

fn millis(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

impl Pipeline<'_> {
    fn table(&self) -> FlowTable {
        FlowTable::new(self.known_ports.clone(), millis(self.config.options.waits.udp_idle_ms))
    }

    fn decode<'f>(&self, frame: Frame<'f>) -> Result<Packet<'f>, Skipped> {
        let outside = frame.time.is_some_and(|time| {
            self.config.since.is_some_and(|since| time < since)
                || self.config.until.is_some_and(|until| time >= until)
        });
        if outside { Err(Skipped::OutsideTime) } else { decode(frame) }
    }

    /// One input. A panic while reading it is our fault, and a problem of this input alone.
    fn input(&self, input: &Input, threads: usize) -> Analysed {
        let reading = Reading { digest: self.config.digest, ..Reading::default() };
        let (shown_as, opened) = match input {
            Input::StandardInput => (
                "-",
                open_pipe(Box::new(std::io::stdin()), "-", reading).map_err(|error| (error, false)),
            ),
            Input::Named { path, shown_as } => {
                (shown_as.as_str(), open(path, shown_as, reading).map_err(|error| (error, false)))
            }
            Input::Found { path, shown_as, .. } => {
                (shown_as.as_str(), open(path, shown_as, reading).map_err(|error| (error, true)))
            }
            Input::Missing { shown_as, message } => return Analysed::unread(shown_as, message),
        };
        let reader = match opened {
            Ok(reader) => reader,
            Err((error, found)) => {
                let no_capture = found && error.is_no_capture();
                return Analysed { no_capture, ..Analysed::unread(shown_as, &error.to_string()) };
            }
        };
        catch_unwind(AssertUnwindSafe(|| self.capture(reader, threads))).unwrap_or_else(|_| {
            let message = "a fault in portmortem stopped it; please report it with this capture";
            Analysed::unread(shown_as, message)
        })
    }

    fn capture(&self, mut reader: Box<dyn CaptureReader>, threads: usize) -> Analysed {
        let (mut flows, skipped) = if threads > 1 {
            self.in_waves(reader.as_mut(), threads)
        } else {
            self.sequential(reader.as_mut())
        };
        let mut summary = reader.finish();
        // No two flows of a capture begin with the same frame.
        flows.sort_unstable_by_key(|flow| flow.first_frame);
        learn(&mut summary, &flows);
        let waits = self.config.options.waits;
        let circumstances = Circumstances {
            // What was left out at the end could not have shown an answer.
            capture_end: match (summary.last_seen, self.config.until) {
                (Some(last), Some(until)) => Some(last.min(until)),
                (last, _) => last,
            },
            clock: summary.clock,
            syn_wait: millis(waits.syn_ms),
            udp_reply_wait: millis(waits.udp_reply_ms),
            known_ports: self.known_ports.clone(),
        };
        let mut judged: Vec<JudgedFlow> =
            flows.par_iter().map(|flow| judge(flow, 0, &circumstances)).collect();
        join_answers(&mut judged, &flows, &circumstances);
        Analysed { flows: judged, record: CaptureRecord::of(summary, &skipped), no_capture: false }
    }

    /// Frames one after the other, on this thread.
    fn sequential(&self, reader: &mut dyn CaptureReader) -> (Vec<Flow>, SkippedTally) {
        let mut table = self.table();
        let mut skipped = SkippedTally::default();
        let mut fragments = FragmentTable::default();
        let mut spare = FrameBatch::default();
        while let Some(batch) = reader.next_batch(spare) {
            for frame in batch.frames() {
                match self.decode(frame) {
                    Ok(packet) => table.observe(&packet),
                    Err(Skipped::Fragment) => {
                        if let Some(packet) = fragments.decode(frame) {
                            table.observe(&packet);
                        }
                    }
                    Err(reason) => skipped.count(reason, frame.number),
                }
            }
            spare = batch;
        }
        let (flows, unassigned) = table.into_flows();
        skipped += unassigned;
        skipped += fragments.into_skipped();
        (flows, skipped)
    }

    /// Frames in waves, over all threads of the pool.
    fn in_waves(
        &self,
        reader: &mut dyn CaptureReader,
        threads: usize,
    ) -> (Vec<Flow>, SkippedTally) {
        let wave_length = 2 * threads;
        let mut tables: Vec<FlowTable> = (0..threads).map(|_| self.table()).collect();
        let mut skipped = SkippedTally::default();
        let mut fragments = FragmentTable::default();
        // Bounded: the reader waits for the waves. Batches come back to be filled again.
        let (full, batches) = sync_channel(wave_length);
        let (empty, spares) = sync_channel(2 * wave_length);
        thread::scope(|scope| {
            scope.spawn(move || fill(reader, &full, &spares));
            loop {
                let wave: Vec<FrameBatch> = batches.iter().take(wave_length).collect();
                if wave.is_empty() {
                    break;
                }
                let mut decoded: Vec<Dealt<'_>> =
                    wave.par_iter().map(|batch| self.deal(batch, threads)).collect();
                for dealt in &mut decoded {
                    dealt.place_fragments(&mut fragments);
                }
                tables.par_iter_mut().enumerate().for_each(|(shard, table)| {
                    for dealt in &decoded {
                        for packet in dealt.shards.get(shard).into_iter().flatten() {
                            table.observe(packet);
                        }
                    }
                });
                for dealt in decoded {
                    skipped += dealt.skipped;
                }
                for batch in wave {
                    // Nobody waits for it when the reader is done.
                    let _ = empty.try_send(batch);
                }
            }
        });
        let mut flows = Vec::new();
        for table in tables {
            let (of_shard, unassigned) = table.into_flows();
            flows.extend(of_shard);
            skipped += unassigned;
        }
        skipped += fragments.into_skipped();
        (flows, skipped)
    }

    /// Decodes a batch and deals its packets out to the shards, each in order.
    fn deal<'b>(&self, batch: &'b FrameBatch, shards: usize) -> Dealt<'b> {
        let mut dealt = Dealt {
            shards: vec![Vec::new(); shards],
            fragments: Vec::new(),
            skipped: SkippedTally::default(),
        };
        for frame in batch.frames() {
            match self.decode(frame) {
                Ok(packet) => {
                    let shard = shard_of(&packet.key, shards);
                    if let Some(packets) = dealt.shards.get_mut(shard) {
                        packets.push(packet);
                    }
                }
                Err(Skipped::Fragment) => dealt.fragments.push(frame),
                Err(reason) => dealt.skipped.count(reason, frame.number),
            }
        }
        dealt
    }
}

/// Names and purposes kept of those that the packets of one capture tell.
const MOST_LEARNED: usize = 10_000;

/// Adds what the packets tell of hosts to what the capture stores of them, each once.
fn learn(summary: &mut CaptureSummary, flows: &[Flow]) {
    let heard = || flows.iter().filter_map(|flow| flow.heard.as_deref());
    let mut known: BTreeSet<_> = summary.names.iter().cloned().collect();
    let names = heard().flat_map(|heard| &heard.names);
    let new = names.filter(|name| known.insert((*name).clone())).take(MOST_LEARNED);
    summary.names.extend(new.cloned());
    let mut known = BTreeSet::new();
    let serves = heard().flat_map(|heard| &heard.serves);
    let new = serves.filter(|serves| known.insert((*serves).clone())).take(MOST_LEARNED);
    summary.serves.extend(new.cloned());
}

/// The packets of a batch by shard, and its frames that hold none.
struct Dealt<'b> {
    shards: Vec<Vec<Packet<'b>>>,
    /// Frames that mean something only beside others, maybe of other batches.
    fragments: Vec<Frame<'b>>,
    skipped: SkippedTally,
}

impl Dealt<'_> {
    /// Decodes the fragments, after those of all batches before, and deals them out in their order.
    fn place_fragments(&mut self, fragments: &mut FragmentTable) {
        if self.fragments.is_empty() {
            return;
        }
        let count = self.shards.len();
        for packet in self.fragments.drain(..).filter_map(|frame| fragments.decode(frame)) {
            if let Some(packets) = self.shards.get_mut(shard_of(&packet.key, count)) {
                packets.push(packet);
            }
        }
        for packets in &mut self.shards {
            // Two runs that are in order already, one behind the other.
            packets.sort_by_key(|packet| packet.frame);
        }
    }
}

/// The shard of a flow. Another seed than the table's, or each shard's table would fill only
/// every n-th of its slots.
fn shard_of(key: &FlowKey, shards: usize) -> usize {
    let hash = FixedState::with_seed(0x706f_7274).hash_one(key);
    usize::try_from(hash % shards as u64).unwrap_or_default()
}

/// Reads batches until the capture ends, into spare ones where there are any.
fn fill(
    reader: &mut dyn CaptureReader,
    full: &SyncSender<FrameBatch>,
    spares: &Receiver<FrameBatch>,
) {
    loop {
        let spare = spares.try_recv().unwrap_or_default();
        let Some(batch) = reader.next_batch(spare) else { return };
        if full.send(batch).is_err() {
            return;
        }
    }
}
