//! One input through the pipeline, on one thread or in waves over all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator,
    IntoParallelRefMutIterator, ParallelIterator,
};

use crate::analyze::heap::Analysed;
use crate::analyze::learn::Learned;
use crate::analyze::wave::{Batches, Dealt, Spare, Wave};
use crate::analyze::{Config, NOT_BEGUN};
use crate::capture::{
    Bounds, CaptureReader, CaptureSummary, Content, Frame, FrameBatch, Input, Reading,
};
use crate::flow::{Finished, Flow, FlowTable, KnownPorts};
use crate::packet::{FragmentTable, Packet, Skipped, SkippedTally, decode_to};
use crate::report::CaptureRecord;
use crate::verdict::flows::CaptureFlows;
use crate::verdict::record::JudgedFlow;
use crate::verdict::{Circumstances, Glances, Glancing, Sorting, judge};

/// How an input is read.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    pub(super) known_ports: &'a KnownPorts,
    pub(super) config: &'a Config,
    /// Whether there are several inputs, so that one may be like another.
    pub(super) several: bool,
}

/// Flows that one thread looks at before it takes the next.
const GLANCED_TOGETHER: usize = 2_048;

/// So many times that for each thread, before they are sorted.
const PARTS_A_THREAD: usize = 8;

/// Packets that are handed to a table at once.
const TOGETHER: usize = 64;

/// Batches of a wave for each thread: so many that the threads hardly ever wait for each other.
const BATCHES_A_THREAD: usize = 8;

fn millis(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

impl Pipeline<'_> {
    fn table(&self) -> FlowTable {
        FlowTable::new(self.known_ports.clone(), millis(self.config.options.waits.udp_idle_ms))
            .within(self.config.budget.clone())
    }

    #[inline]
    fn decode<'f>(&self, frame: &Frame<'f>, put: impl FnOnce(Packet<'f>)) -> Result<(), Skipped> {
        let outside = frame.time.is_some_and(|time| {
            self.config.since.is_some_and(|since| time < since)
                || self.config.until.is_some_and(|until| time >= until)
        });
        if outside { Err(Skipped::OutsideTime) } else { decode_to(frame, put) }
    }

    /// What an input may inflate to.
    pub(super) fn bounds(&self) -> Bounds {
        self.config.options.max_inflated.map_or_else(Bounds::default, Bounds::of_bytes)
    }

    /// How captures of an input are read.
    pub(super) fn reading(&self, input: &Input) -> Reading {
        // What can be read only once is digested at once, in case another input is like it.
        let digest = self.config.digest || self.several && !input.opens_again();
        Reading { digest, progress: Some(self.config.progress.clone()), ..Reading::default() }
    }

    /// Everything in an input, as it is known or as it is read.
    pub(super) fn contents(&self, input: &Input, threads: usize) -> Vec<Analysed> {
        if self.config.progress.is_interrupted() && !matches!(input, Input::Missing { .. }) {
            return vec![Analysed::unread(input.shown_as(), NOT_BEGUN)];
        }
        let read = || self.input(input, threads);
        match &self.config.state {
            Some(state) => state.contents(self.config, input, read),
            None => read(),
        }
    }

    /// Everything in an input. A panic while reading it is our fault, and a problem of this
    /// input alone.
    fn input(&self, input: &Input, threads: usize) -> Vec<Analysed> {
        let mut contents = match input.contents(self.reading(input), self.bounds()) {
            Ok(contents) => contents,
            Err(message) => return vec![Analysed::unread(input.shown_as(), &message)],
        };
        let is_found = matches!(input, Input::Found { .. });
        let mut analysed = Vec::new();
        loop {
            let Ok(content) = catch_unwind(AssertUnwindSafe(|| contents.next())) else {
                analysed.push(Analysed::fault(input.shown_as()));
                return analysed;
            };
            let Some(content) = content else { return analysed };
            let Content { shown_as, is_member, head, opened } = content;
            let found = match opened {
                Err(error) => Analysed {
                    no_capture: (is_found || is_member) && error.is_no_capture(),
                    ..Analysed::unread(&shown_as, &error.to_string())
                },
                Ok(reader) => {
                    let capture = AssertUnwindSafe(|| self.capture(reader, threads));
                    catch_unwind(capture).map_or_else(
                        |_| Analysed::fault(&shown_as),
                        |found| Analysed { head: Some(head), ..found },
                    )
                }
            };
            analysed.push(Analysed { is_member, ..found });
        }
    }

    fn capture(&self, mut reader: Box<dyn CaptureReader>, threads: usize) -> Analysed {
        let (flows, mut skipped) = self.frames(reader.as_mut(), threads);
        let mut summary = reader.finish();
        let flows = self.told(flows, threads, &mut summary, &mut skipped);
        Analysed::of(CaptureRecord::of(summary, &skipped), flows)
    }

    /// The flows in the frames of a capture, in the order in which they began.
    pub(super) fn frames(
        &self,
        reader: &mut dyn CaptureReader,
        threads: usize,
    ) -> (Finished, SkippedTally) {
        if threads > 1 { self.in_waves(reader, threads) } else { self.sequential(reader) }
    }

    /// What the flows of a capture did, and what they tell of hosts.
    pub(super) fn told(
        &self,
        flows: Finished,
        threads: usize,
        summary: &mut CaptureSummary,
        skipped: &mut SkippedTally,
    ) -> CaptureFlows {
        // A filter asks each flow, and a log may tell of any.
        let whole = self.config.whole
            || self.config.options.filters.filter.is_some()
            || !self.config.logs.is_empty();
        let circumstances = self.circumstances(summary);
        let glancing = Glancing::new(&circumstances, &self.config.matrix.not_rpc);
        let (sorting, learned) = glanced(&flows, (!whole).then_some(&glancing), threads.max(1));
        let sorted = sorting.finish();
        let telling = sorted.telling(flows.len());
        let judged = telling.par_iter().map_init(Flow::blank, |flow, place| {
            flows.read(*place, flow);
            let mut judged = judge(flow, 0, &circumstances);
            judged.pack();
            judged
        });
        let tell = || {
            let learned = Learned::of_parts(learned);
            if skipped.neighbours.has_questions() {
                skipped.neighbours.see(learned.ways());
            }
            learned.tell(summary);
        };
        // Straight to where they stay: a record is large, and there may be a million. Nor are they
        // moved when a few more tell in the end.
        let mut records: Vec<JudgedFlow> = Vec::with_capacity(telling.len() + telling.len() / 16);
        rayon::join(|| judged.collect_into_vec(&mut records), tell);
        sorted.flows(flows, circumstances, &telling, records)
    }

    fn circumstances(&self, summary: &CaptureSummary) -> Circumstances {
        let waits = self.config.options.waits;
        Circumstances {
            // What was left out at the end could not have shown an answer.
            capture_end: match (summary.last_seen, self.config.until) {
                (Some(last), Some(until)) => Some(last.min(until)),
                (last, _) => last,
            },
            clock: summary.clock,
            syn_wait: millis(waits.syn_ms),
            udp_reply_wait: millis(waits.udp_reply_ms),
            known_ports: self.known_ports.clone(),
            notes: summary.notes.clone(),
        }
    }

    /// Frames one after the other, on this thread.
    fn sequential(&self, reader: &mut dyn CaptureReader) -> (Finished, SkippedTally) {
        let mut table = self.table();
        let mut skipped = SkippedTally::default();
        let mut fragments = FragmentTable::default();
        let mut spare = FrameBatch::default();
        while let Some(batch) = reader.next_batch(spare) {
            let mut packets = Vec::with_capacity(TOGETHER);
            for frame in batch.frames() {
                match self.decode(&frame, |packet| packets.push(packet)) {
                    Ok(()) => {}
                    Err(Skipped::Fragment) => packets.extend(fragments.decode(frame)),
                    Err(reason) => skipped.observe(reason, frame),
                }
                if packets.len() == TOGETHER {
                    table.observe_all(&packets);
                    packets.clear();
                }
            }
            table.observe_all(&packets);
            spare = batch;
        }
        let (flows, unassigned) = table.finish();
        skipped += unassigned;
        skipped += fragments.into_skipped();
        (Finished::of_shards(vec![flows]), skipped)
    }

    /// Frames in waves, over all threads of the pool.
    fn in_waves(&self, reader: &mut dyn CaptureReader, threads: usize) -> (Finished, SkippedTally) {
        let shards = threads.min(Finished::MOST_SHARDS);
        let mut tables: Vec<FlowTable> = (0..shards).map(|_| self.table()).collect();
        let mut skipped = SkippedTally::default();
        let mut fragments = FragmentTable::default();
        let spare = Spare::default();
        let mut batches = Batches::of(reader);
        let mut places: Vec<OnceLock<FrameBatch>> = Vec::new();
        places.resize_with(BATCHES_A_THREAD * threads, OnceLock::new);
        while !batches.ended() {
            let wave = Wave::new(&places, &mut batches, &mut fragments, &spare);
            tables.par_iter_mut().enumerate().for_each(|(shard, table)| {
                let deal = |batch| self.deal(batch, Dealt::new(shards, &spare));
                wave.track(shard, table, deal);
            });
            skipped += wave.into_skipped();
            batches.put_back(&mut places);
        }
        let finished: Vec<(Finished, SkippedTally)> =
            tables.into_par_iter().map(FlowTable::finish).collect();
        let mut all = Vec::with_capacity(finished.len());
        for (flows, unassigned) in finished {
            all.push(flows);
            skipped += unassigned;
        }
        skipped += fragments.into_skipped();
        (Finished::of_shards(all), skipped)
    }

    /// Decodes a batch and deals its packets out to the shards, each in order.
    fn deal<'b>(&self, batch: &'b FrameBatch, mut dealt: Dealt<'b>) -> Dealt<'b> {
        for frame in batch.frames() {
            match self.decode(&frame, |packet| dealt.push(packet)) {
                Ok(()) => {}
                Err(Skipped::Fragment) => dealt.fragments.push(frame),
                Err(reason) => dealt.skipped.observe(reason, frame),
            }
        }
        dealt
    }
}

/// Looks at all flows of a capture once: what they tell of hosts, by thread, and which of them are
/// alike, if that is asked.
fn glanced(
    flows: &Finished,
    glancing: Option<&Glancing<'_>>,
    threads: usize,
) -> (Sorting, Vec<Learned>) {
    let mut sorting = Sorting::default();
    let mut learned: Vec<Learned> = Vec::new();
    learned.resize_with(threads, Learned::default);
    let starts: Vec<usize> = (0..flows.len()).step_by(GLANCED_TOGETHER).collect();
    // In waves, so that what is glanced at and not sorted yet stays small. While one is glanced at, the
    // one before is sorted by one of the threads; each takes the next part as soon as it can, so that it
    // learns from flows in their order.
    let mut before: Vec<(usize, Glances)> = Vec::new();
    for wave in starts.chunks(PARTS_A_THREAD * threads) {
        let next = AtomicUsize::new(0);
        let parts = learned.par_iter_mut().flat_map_iter(|learned| {
            let mut parts = Vec::new();
            while let Some(start) = wave.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut glances = Glances::with_capacity(GLANCED_TOGETHER);
                let end = flows.len().min(start + GLANCED_TOGETHER);
                flows.each(*start..end, |place, look| {
                    learned.see(place, look);
                    if let Some(glancing) = glancing {
                        glancing.see(look, &mut glances);
                    }
                });
                parts.push((*start, glances));
            }
            parts
        });
        let sort = || before.iter().for_each(|(_, glances)| sorting.see(glances));
        ((), before) = rayon::join(sort, || parts.collect());
        before.sort_unstable_by_key(|(start, _)| *start);
    }
    for (_, glances) in &before {
        sorting.see(glances);
    }
    (sorting, learned)
}
