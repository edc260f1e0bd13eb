//! Some batches of a capture at once: every thread decodes and tracks, whatever there is to do.
//!
//! Each thread has a shard of its own. It decodes the next batch that nobody decodes yet, and tracks
//! in between what is decoded already, in the order of the capture: so no thread waits for another
//! one before there is nothing left to decode, and much of what it tracks is still in its cache.

use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::capture::{Frame, FrameBatch};
use crate::flow::FlowTable;
use crate::net::FlowKey;
use crate::packet::{FragmentTable, Packet, SkippedTally};

/// The packets of a batch by shard, and its frames that hold none.
#[derive(Default)]
pub(super) struct Dealt<'b> {
    pub(super) shards: Vec<Vec<Packet<'b>>>,
    /// Frames that mean something only beside others, maybe of other batches.
    pub(super) fragments: Vec<Frame<'b>>,
    pub(super) skipped: SkippedTally,
}

/// Memory of packets that were tracked, for the next ones: it is megabytes, and fresh memory is
/// dear.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<Packet<'static>>>>);

impl Spare {
    fn take<'b>(&self) -> Option<Vec<Packet<'b>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps the memory of what was tracked, and gives what is left.
    pub(super) fn put(&self, dealt: Dealt<'_>) -> SkippedTally {
        // Collected in place: what comes out is empty, and of another lifetime.
        let empty = |packets: Vec<Packet<'_>>| packets.into_iter().map_while(|_| None).collect();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.extend(dealt.shards.into_iter().map(empty));
        dealt.skipped
    }
}

impl<'b> Dealt<'b> {
    /// Nothing yet, of this many shards.
    pub(super) fn new(shards: usize, spare: &Spare) -> Dealt<'b> {
        let shards = (0..shards).map(|_| spare.take().unwrap_or_default()).collect();
        Dealt { shards, ..Dealt::default() }
    }

    /// Puts a packet to those of its shard.
    #[inline]
    pub(super) fn push(&mut self, packet: Packet<'b>) {
        let shard = shard_of(&packet.key, self.shards.len());
        if let Some(packets) = self.shards.get_mut(shard) {
            packets.push(packet);
        }
    }

    /// Decodes the fragments, after those of all batches before, and deals them out in their order.
    fn place_fragments(&mut self, fragments: &mut FragmentTable) {
        if self.fragments.is_empty() {
            return;
        }
        for frame in std::mem::take(&mut self.fragments) {
            if let Some(packet) = fragments.decode(frame) {
                self.push(packet);
            }
        }
        for packets in &mut self.shards {
            // Two runs that are in order already, one behind the other.
            packets.sort_by_key(|packet| packet.frame);
        }
    }
}

/// The shard of a flow, by the upper half of its key's hash: the tables use the lower one.
fn shard_of(key: &FlowKey, shards: usize) -> usize {
    let upper = key.mixed() >> 32;
    usize::try_from((upper * shards as u64) >> 32).unwrap_or_default()
}

/// Batches that follow each other.
pub(super) struct Wave<'b, 'f> {
    batches: &'b [FrameBatch],
    /// The next one that nobody decodes yet.
    next: AtomicUsize,
    /// What there is to track, in the order of the capture.
    ready: Vec<OnceLock<Dealt<'b>>>,
    early: Mutex<Early<'b, 'f>>,
}

/// Batches that were decoded before an earlier one was: fragments come in the order of the capture.
struct Early<'b, 'f> {
    waiting: Vec<Option<Dealt<'b>>>,
    /// How many are ready.
    placed: usize,
    fragments: &'f mut FragmentTable,
}

impl<'b, 'f> Wave<'b, 'f> {
    pub(super) fn new(batches: &'b [FrameBatch], fragments: &'f mut FragmentTable) -> Wave<'b, 'f> {
        let waiting = iter::repeat_with(|| None).take(batches.len()).collect();
        Wave {
            batches,
            next: AtomicUsize::new(0),
            ready: iter::repeat_with(OnceLock::new).take(batches.len()).collect(),
            early: Mutex::new(Early { waiting, placed: 0, fragments }),
        }
    }

    /// Tracks what belongs to a shard, and decodes what nobody decoded yet. To be called once for
    /// each shard, from as many threads as there are.
    pub(super) fn track(
        &self,
        shard: usize,
        table: &mut FlowTable,
        deal: impl Fn(&'b FrameBatch) -> Dealt<'b>,
    ) {
        let mut track = |dealt: &Dealt<'b>| {
            if let Some(packets) = dealt.shards.get(shard) {
                table.observe_all(packets);
            }
        };
        let mut tracked = 0;
        loop {
            let batch = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(frames) = self.batches.get(batch) else { break };
            let dealt = catch_unwind(AssertUnwindSafe(|| deal(frames)));
            match dealt {
                Ok(dealt) => self.place(batch, dealt),
                Err(fault) => {
                    // Others wait for it.
                    self.place(batch, Dealt::default());
                    resume_unwind(fault);
                }
            }
            while let Some(dealt) = self.ready.get(tracked).and_then(OnceLock::get) {
                track(dealt);
                tracked += 1;
            }
        }
        // The others are being decoded now.
        while let Some(dealt) = self.ready.get(tracked) {
            track(dealt.wait());
            tracked += 1;
        }
    }

    /// Makes a batch ready, and those that waited for it.
    fn place(&self, batch: usize, dealt: Dealt<'b>) {
        let mut early = self.early();
        if let Some(place) = early.waiting.get_mut(batch) {
            *place = Some(dealt);
        }
        let Early { waiting, placed, fragments } = &mut *early;
        while let Some(mut dealt) = waiting.get_mut(*placed).and_then(Option::take) {
            dealt.place_fragments(fragments);
            if let Some(ready) = self.ready.get(*placed) {
                // It is empty: each is placed once.
                let _ = ready.set(dealt);
            }
            *placed += 1;
        }
    }

    fn early(&self) -> MutexGuard<'_, Early<'b, 'f>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was tracked.
    pub(super) fn into_dealt(self) -> impl Iterator<Item = Dealt<'b>> {
        self.ready.into_iter().filter_map(OnceLock::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{self, Reading};
    use crate::flow::{Finished, KnownPorts};
    use crate::net::FrameNumber;
    use crate::packet::{Skipped, decode_to};
    use std::thread;

    fn deal<'b>(batch: &'b FrameBatch, mut dealt: Dealt<'b>) -> Dealt<'b> {
        for frame in batch.frames() {
            match decode_to(&frame, |packet| dealt.push(packet)) {
                Ok(()) => {}
                Err(Skipped::Fragment) => dealt.fragments.push(frame),
                Err(reason) => dealt.skipped.observe(reason, frame),
            }
        }
        dealt
    }

    type Rows = Vec<(Skipped, u64, FrameNumber)>;

    /// Flows of batches in waves of this length, over as many threads as shards; and the frames that
    /// held none.
    fn flows(batches: &[FrameBatch], length: usize, shards: usize) -> (Vec<String>, Rows) {
        let table = || FlowTable::new(KnownPorts::default(), 60_000_000_000);
        let mut tables: Vec<FlowTable> = iter::repeat_with(table).take(shards).collect();
        let (mut fragments, spare) = (FragmentTable::default(), Spare::default());
        let mut skipped = SkippedTally::default();
        for batches in batches.chunks(length) {
            let wave = Wave::new(batches, &mut fragments);
            thread::scope(|scope| {
                for (shard, table) in tables.iter_mut().enumerate() {
                    let (wave, spare) = (&wave, &spare);
                    let deal = move |batch| deal(batch, Dealt::new(shards, spare));
                    scope.spawn(move || wave.track(shard, table, deal));
                }
            });
            for dealt in wave.into_dealt() {
                skipped += spare.put(dealt);
            }
        }
        let finished = tables.into_iter().map(|table| table.finish().0).collect();
        let flows = Finished::of_shards(finished).iter().map(|flow| format!("{flow:?}")).collect();
        (flows, skipped.rows())
    }

    #[test]
    fn neither_the_length_of_a_wave_nor_the_number_of_threads_changes_a_flow() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
        let mut seen = 0;
        for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
            // Small pieces, so that there are many batches.
            let reading = Reading { piece: 600, ..Reading::default() };
            let Ok(mut reader) = capture::open(entry.path(), "it", reading) else { continue };
            let next = || reader.next_batch(FrameBatch::default());
            let batches: Vec<FrameBatch> = iter::from_fn(next).collect();
            let expected = flows(&batches, 1, 1);
            for (length, shards) in [(3, 2), (7, 5), (batches.len().max(1), 3)] {
                let found = flows(&batches, length, shards);
                assert_eq!(found, expected, "{}", entry.path().display());
            }
            seen += expected.0.len();
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn a_fault_while_decoding_keeps_nobody_waiting() {
        let batches: Vec<FrameBatch> = iter::repeat_with(FrameBatch::default).take(5).collect();
        let mut fragments = FragmentTable::default();
        let wave = Wave::new(&batches, &mut fragments);
        let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000);
        let fault = AssertUnwindSafe(|| wave.track(0, &mut table, |_| panic!("a fault")));
        assert!(catch_unwind(fault).is_err());
        wave.track(0, &mut table, |_| Dealt::default());
        assert_eq!(wave.into_dealt().count(), batches.len());
    }
}
