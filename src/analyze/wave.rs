//! Some batches of a capture at once: every thread reads, decodes and tracks, whatever there is to do.
//!
//! Each thread has a shard of its own. It reads the next batch, one thread at a time, decodes it while
//! its cache still holds it, and tracks in between what is decoded already, in the order of the
//! capture. So no thread waits for another one before there is nothing left to read. A thread that only
//! reads would be simpler, and takes a quarter more CPU time on two threads: all bytes go from one
//! processor's cache to another's then.

use std::hint::spin_loop;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use crate::capture::{CaptureReader, Frame, FrameBatch};
use crate::flow::FlowTable;
use crate::net::FlowKey;
use crate::packet::{FragmentTable, Packet, SkippedTally};

/// The packets of a batch by shard, and its frames that hold none.
#[derive(Default)]
pub(super) struct Dealt<'b> {
    shards: Vec<Vec<Packet<'b>>>,
    /// Frames that mean something only beside others, maybe of other batches.
    pub(super) fragments: Vec<Frame<'b>>,
    pub(super) skipped: SkippedTally,
}

/// Memory of packets that were tracked, for the next ones: what was written last is taken first,
/// because it is still in a cache.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<Packet<'static>>>>);

impl Spare {
    fn take<'b>(&self) -> Vec<Packet<'b>> {
        lock(&self.0).pop().unwrap_or_default()
    }

    fn put(&self, packets: Vec<Packet<'_>>) {
        // Collected in place: what comes out is empty, and of another lifetime.
        let empty = packets.into_iter().map_while(|_| None).collect();
        lock(&self.0).push(empty);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'b> Dealt<'b> {
    /// Nothing yet, of this many shards.
    pub(super) fn new(shards: usize, spare: &Spare) -> Dealt<'b> {
        let shards = (0..shards).map(|_| spare.take()).collect();
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

/// The shard of a flow.
fn shard_of(key: &FlowKey, shards: usize) -> usize {
    let upper = key.rough() >> 32;
    usize::try_from((upper * shards as u64) >> 32).unwrap_or_default()
}

/// A capture that is read batch by batch.
pub(super) struct Batches<'r> {
    reader: &'r mut dyn CaptureReader,
    /// What was tracked, to be filled again.
    spare: Vec<FrameBatch>,
    ended: bool,
}

impl<'r> Batches<'r> {
    pub(super) fn of(reader: &'r mut dyn CaptureReader) -> Batches<'r> {
        Batches { reader, spare: Vec::new(), ended: false }
    }

    /// Whether there are no more.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes back what a wave read.
    pub(super) fn put_back(&mut self, places: &mut [OnceLock<FrameBatch>]) {
        self.spare.extend(places.iter_mut().filter_map(OnceLock::take));
    }

    fn next(&mut self) -> Option<FrameBatch> {
        if self.ended {
            return None;
        }
        // Not to be read from again if this fails.
        self.ended = true;
        let batch = self.reader.next_batch(self.spare.pop().unwrap_or_default());
        self.ended = batch.is_none();
        batch
    }
}

/// How often a thread asks for its turn to read before it falls asleep: some hundred microseconds. A
/// batch is mostly read in less, and to be woken takes as long.
const SPINS: usize = 4_000;

/// What is decoded of a batch, by shard. It is taken out by whoever tracks it.
type Ready<'b> = Vec<Mutex<Vec<Packet<'b>>>>;

/// Batches that follow each other.
pub(super) struct Wave<'b, 'f, 'r> {
    /// Where they are put, in the order of the capture.
    places: &'b [OnceLock<FrameBatch>],
    reading: Mutex<Turn<'f, 'r>>,
    /// What there is to track of each.
    ready: Vec<OnceLock<Ready<'b>>>,
    early: Mutex<Early<'b, 'f>>,
    spare: &'f Spare,
}

/// Whose turn it is to read.
struct Turn<'f, 'r> {
    batches: &'f mut Batches<'r>,
    /// How many were read.
    read: usize,
}

/// Batches that were decoded before an earlier one was: fragments come in the order of the capture.
struct Early<'b, 'f> {
    waiting: Vec<Option<Dealt<'b>>>,
    /// How many are ready.
    placed: usize,
    fragments: &'f mut FragmentTable,
    skipped: SkippedTally,
}

impl<'b, 'f, 'r> Wave<'b, 'f, 'r> {
    /// A wave of as many batches as there are places, which are empty, or as there are left.
    pub(super) fn new(
        places: &'b [OnceLock<FrameBatch>],
        batches: &'f mut Batches<'r>,
        fragments: &'f mut FragmentTable,
        spare: &'f Spare,
    ) -> Wave<'b, 'f, 'r> {
        let waiting = iter::repeat_with(|| None).take(places.len()).collect();
        let skipped = SkippedTally::default();
        Wave {
            places,
            reading: Mutex::new(Turn { batches, read: 0 }),
            ready: iter::repeat_with(OnceLock::new).take(places.len()).collect(),
            early: Mutex::new(Early { waiting, placed: 0, fragments, skipped }),
            spare,
        }
    }

    /// Waits until it is this thread's turn.
    fn turn(&self) -> MutexGuard<'_, Turn<'f, 'r>> {
        for _ in 0..SPINS {
            match self.reading.try_lock() {
                Ok(turn) => return turn,
                Err(TryLockError::WouldBlock) => spin_loop(),
                Err(TryLockError::Poisoned(_)) => break,
            }
        }
        lock(&self.reading)
    }

    /// Reads the next batch; where there is none, says how many there are.
    fn read(&self) -> Result<(usize, &'b FrameBatch), usize> {
        let mut turn = self.turn();
        let number = turn.read;
        let place = self.places.get(number).ok_or(number)?;
        let batch = turn.batches.next().ok_or(number)?;
        turn.read += 1;
        Ok((number, place.get_or_init(|| batch)))
    }

    /// Reads, decodes, and tracks what belongs to a shard. To be called once for each shard, from as
    /// many threads as there are.
    pub(super) fn track(
        &self,
        shard: usize,
        table: &mut FlowTable,
        deal: impl Fn(&'b FrameBatch) -> Dealt<'b>,
    ) {
        let mut track = |shards: &Ready<'b>| {
            if let Some(packets) = shards.get(shard) {
                let packets = std::mem::take(&mut *lock(packets));
                table.observe_all(&packets);
                self.spare.put(packets);
            }
        };
        let mut tracked = 0;
        let count = loop {
            let (batch, frames) = match self.read() {
                Ok(read) => read,
                Err(count) => break count,
            };
            let dealt = catch_unwind(AssertUnwindSafe(|| deal(frames)));
            match dealt {
                Ok(dealt) => self.place(batch, dealt),
                Err(fault) => {
                    // Others wait for it.
                    self.place(batch, Dealt::default());
                    resume_unwind(fault);
                }
            }
            while let Some(shards) = self.ready.get(tracked).and_then(OnceLock::get) {
                track(shards);
                tracked += 1;
            }
        };
        // The others are being decoded now.
        for shards in self.ready.iter().take(count).skip(tracked) {
            track(shards.wait());
        }
    }

    /// Makes a batch ready, and those that waited for it.
    fn place(&self, batch: usize, dealt: Dealt<'b>) {
        let mut early = lock(&self.early);
        if let Some(place) = early.waiting.get_mut(batch) {
            *place = Some(dealt);
        }
        let Early { waiting, placed, fragments, skipped } = &mut *early;
        while let Some(mut dealt) = waiting.get_mut(*placed).and_then(Option::take) {
            dealt.place_fragments(fragments);
            *skipped += dealt.skipped;
            if let Some(ready) = self.ready.get(*placed) {
                // It is empty: each is placed once.
                let _ = ready.set(dealt.shards.into_iter().map(Mutex::new).collect());
            }
            *placed += 1;
        }
    }

    /// The frames that held no packet.
    pub(super) fn into_skipped(self) -> SkippedTally {
        self.early.into_inner().unwrap_or_else(PoisonError::into_inner).skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{self, CaptureSummary, Reading};
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

    /// Flows of a capture in waves of this length, over as many threads as shards; and the frames
    /// that held none.
    fn flows(
        mut reader: Box<dyn CaptureReader>,
        length: usize,
        shards: usize,
    ) -> (Vec<String>, Rows) {
        let table = || FlowTable::new(KnownPorts::default(), 60_000_000_000);
        let mut tables: Vec<FlowTable> = iter::repeat_with(table).take(shards).collect();
        let (mut fragments, spare) = (FragmentTable::default(), Spare::default());
        let mut skipped = SkippedTally::default();
        let mut batches = Batches::of(reader.as_mut());
        let mut places: Vec<OnceLock<FrameBatch>> =
            iter::repeat_with(OnceLock::new).take(length).collect();
        while !batches.ended() {
            let wave = Wave::new(&places, &mut batches, &mut fragments, &spare);
            thread::scope(|scope| {
                for (shard, table) in tables.iter_mut().enumerate() {
                    let (wave, spare) = (&wave, &spare);
                    let deal = move |batch| deal(batch, Dealt::new(shards, spare));
                    scope.spawn(move || wave.track(shard, table, deal));
                }
            });
            skipped += wave.into_skipped();
            batches.put_back(&mut places);
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
            let reader = || capture::open(entry.path(), "it", reading.clone());
            if reader().is_err() {
                continue;
            }
            let expected = flows(reader().unwrap(), 1, 1);
            for (length, shards) in [(3, 2), (7, 5), (10_000, 3)] {
                let found = flows(reader().unwrap(), length, shards);
                assert_eq!(found, expected, "{}", entry.path().display());
            }
            seen += expected.0.len();
        }
        assert!(seen > 100, "{seen}");
    }

    /// A capture of so many batches without a frame, and then a fault of its reader.
    struct Faulty(usize);

    impl CaptureReader for Faulty {
        fn next_batch(&mut self, spare: FrameBatch) -> Option<FrameBatch> {
            assert!(self.0 > 0, "a fault");
            self.0 -= 1;
            Some(spare)
        }

        fn finish(self: Box<Self>) -> CaptureSummary {
            unreachable!("it is never finished")
        }
    }

    #[test]
    fn a_fault_keeps_nobody_waiting() {
        let table = || FlowTable::new(KnownPorts::default(), 60_000_000_000);
        let (mut fragments, spare) = (FragmentTable::default(), Spare::default());
        // While decoding, and while reading.
        for (batches, placed) in [(9, 5), (2, 2)] {
            let mut places: [OnceLock<FrameBatch>; 5] = Default::default();
            let mut reader = Faulty(batches);
            let mut batches = Batches::of(&mut reader);
            let wave = Wave::new(&places, &mut batches, &mut fragments, &spare);
            if placed == 5 {
                let track = || wave.track(0, &mut table(), |_| panic!("a fault"));
                assert!(catch_unwind(AssertUnwindSafe(track)).is_err());
                wave.track(1, &mut table(), |_| Dealt::default());
            } else {
                let track = || wave.track(0, &mut table(), |_| Dealt::default());
                assert!(catch_unwind(AssertUnwindSafe(track)).is_err());
                wave.track(1, &mut table(), |_| panic!("it is not read again"));
            }
            assert_eq!(lock(&wave.early).placed, placed);
            drop(wave);
            batches.put_back(&mut places);
            assert_eq!((batches.spare.len(), batches.ended()), (placed, placed == 2));
        }
    }
}
