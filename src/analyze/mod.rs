//! Drives captures through the pipeline: frames, packets, flows, verdicts, report.
//!
//! Within a big capture the work goes in waves of batches of frames: whichever thread is free reads and
//! decodes the next batch, and each shard takes its packets from every batch in order. A flow lives
//! in exactly one shard, so it sees its packets in the order of the capture, and the number of threads
//! cannot change a result. Small captures go one to a thread, and so do
//! archives and compressed files, of which only one thread can read. Results are put together in
//! the order of the inputs, and what several inputs hold alike is counted once.

mod heap;
mod join;
mod learn;
mod packets;
mod pipeline;
mod place;
mod state;
mod wave;

use std::num::NonZeroUsize;
use std::thread;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

pub(crate) use heap::{InPlace, become_copy, left_out};
pub use packets::{Selection, WrittenPackets, write_packets};
pub use state::State;

use crate::analyze::heap::{Analysed, Heap};
use crate::analyze::pipeline::Pipeline;
use crate::capture::{Bounds, Input, Progress, Severity, expand, is_packed};
use crate::flow::Budget;
use crate::log::{self, HostPairs, LogRecord};
use crate::matrix::Matrix;
use crate::net::Timestamp;
use crate::report::{CaptureRecord, Options, Report};
use crate::verdict::flows::Flows;

/// What to analyse, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Captures, folders, patterns, or `-`, as the user gave them.
    pub inputs: Vec<String>,
    /// Logs of the failing machine: files, folders or patterns.
    pub logs: Vec<String>,
    /// Whether folders below folders are read.
    pub recursive: bool,
    /// Threads; 0 for as many as the machine has. What is more than can be of use is left out.
    pub threads: usize,
    /// Counts what is read while it goes on.
    pub progress: Progress,
    /// Memory for flows: what is more goes to a temporary file. Changes no result.
    pub budget: Budget,
    /// Captures of at least this many bytes are spread over all threads; [`Config::BIG_CAPTURE`].
    pub big_capture: u64,
    /// Whether to compute the digests of the captures.
    pub digest: bool,
    /// How far to go.
    pub depth: Depth,
    /// Whether every flow is judged and kept whole, as if no two were alike. Changes no result: for
    /// checks.
    pub whole: bool,
    /// Where to keep what each file gives, if anywhere. Wants the digests.
    pub state: Option<State>,
    /// The matrix to assess.
    pub matrix: Matrix,
    /// Frames before this time are left out.
    pub since: Option<Timestamp>,
    /// Frames from this time on are left out.
    pub until: Option<Timestamp>,
    /// All that can change the result, as the report tells it.
    pub options: Options,
}

/// How far an analysis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To what the flows prove of the matrix: [`Report::without_diagnosis`].
    Assessment,
    /// To what explains and mends what went wrong: [`Report::build`].
    Diagnosis,
}

impl Config {
    /// From this size on a capture is worth the work of sharing it.
    pub const BIG_CAPTURE: u64 = 32 << 20;
}

/// Analyses all inputs. What cannot be read becomes a problem in the report.
pub fn analyze(config: &Config) -> Report {
    let threads = config.threads.min(most_threads());
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(|| analyze_on(config, pool.current_num_threads())),
        // No threads to be had: this one will do.
        Err(_) => analyze_on(config, 1),
    }
}

fn analyze_on(config: &Config, threads: usize) -> Report {
    let (captures, flows) = read_all(config, threads);
    config.progress.end();
    let logs = read_logs(config, &flows);
    let build = match config.depth {
        Depth::Assessment => Report::without_diagnosis,
        Depth::Diagnosis => Report::build,
    };
    build(config.options.clone(), &config.matrix, captures, logs, flows)
}

fn read_logs(config: &Config, flows: &Flows) -> Vec<LogRecord> {
    if config.logs.is_empty() {
        return Vec::new();
    }
    let pairs = HostPairs::of(flows.telling());
    let bounds = config.options.max_inflated.map_or_else(Bounds::default, Bounds::of_bytes);
    log::read_all(&config.logs, config.recursive, bounds, &pairs)
}

/// Threads that are worth having: beyond, each only takes memory and time from the others.
fn most_threads() -> usize {
    const ALWAYS_ALLOWED: usize = 64;
    thread::available_parallelism().map_or(1, NonZeroUsize::get).max(ALWAYS_ALLOWED)
}

/// The message about an input that was not begun when the run was interrupted.
pub const NOT_BEGUN: &str = "not read, because the run was interrupted before: run it again";

fn read_all(config: &Config, threads: usize) -> (Vec<CaptureRecord>, Flows) {
    let (mut records, flows) = read_inputs(config, threads);
    if config.progress.is_interrupted() {
        records.iter_mut().for_each(tell_interruption);
    }
    (records, flows)
}

/// Says of a capture that was being read when the run was interrupted how far that came.
fn tell_interruption(record: &mut CaptureRecord) {
    let frames = record.frames;
    for problem in &mut record.problems {
        if problem.message.contains(Progress::INTERRUPTED) && problem.message != NOT_BEGUN {
            problem.severity = Severity::Error;
            problem.frame = None;
            problem.message = match frames {
                0 => "interrupted while it was read: nothing, or not all of it, is in the report; run it \
                      again"
                    .to_owned(),
                _ => format!("interrupted after frame {frames}: the rest was not read; run it again"),
            };
        }
    }
}

fn read_inputs(config: &Config, threads: usize) -> (Vec<CaptureRecord>, Flows) {
    let known_ports = config.matrix.known_ports();
    let inputs = expand(&config.inputs, config.recursive);
    config.progress.begin(&inputs);
    let pipeline = Pipeline { known_ports: &known_ports, config, several: inputs.len() > 1 };
    if config.options.join {
        return join::read(pipeline, &inputs, threads);
    }
    let waves = threads > 1;
    let big: Vec<bool> =
        inputs.iter().map(|input| waves && size_of(input) >= config.big_capture).collect();
    // Inflating takes one thread: several such go side by side, and only one alone in waves.
    let packed: Vec<bool> =
        inputs.iter().zip(&big).map(|(input, big)| *big && packs(input)).collect();
    let alone = packed.iter().filter(|packed| **packed).count() == 1;
    let in_waves = |place: usize| {
        let at = |facts: &[bool]| facts.get(place).copied().unwrap_or_default();
        at(&big) && (alone || !at(&packed))
    };
    let mut results: Vec<(usize, Vec<Analysed>)> = inputs
        .par_iter()
        .enumerate()
        .filter(|(place, _)| !in_waves(*place))
        .map(|(place, input)| (place, pipeline.contents(input, 1)))
        .collect();
    // One after the other: each keeps all threads busy.
    for (place, input) in inputs.iter().enumerate().filter(|(place, _)| in_waves(*place)) {
        results.push((place, pipeline.contents(input, threads)));
    }
    results.sort_by_key(|(place, _)| *place);
    let mut heap = Heap::new(&inputs, pipeline.bounds(), &config.progress);
    for (place, analysed) in results {
        heap.add(place, analysed);
    }
    heap.into_records()
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

fn packs(input: &Input) -> bool {
    match input {
        Input::Named { path, .. } | Input::Found { path, .. } => is_packed(path),
        Input::StandardInput | Input::Missing { .. } => false,
    }
}
