//! The flows of a capture after its last packet, in the order in which they began.

use std::ops::Range;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::flow::begun::Begun;
use crate::flow::packed::Store;
use crate::flow::place::Place;
use crate::flow::{FirstPacket, Flow};
use crate::net::{Endpoint, FrameNumber, Timestamp};

/// A SYN that is all there is of a flow: the most frequent of all, where somebody scans.
#[derive(Clone, Copy, Debug)]
pub struct LoneSyn {
    /// Who opened it.
    pub initiator: Endpoint,
    /// Who was called.
    pub responder: Endpoint,
    /// When.
    pub seen: Option<Timestamp>,
    /// How it was captured.
    pub first: FirstPacket,
}

/// A flow as it is shown to whoever looks at all of them.
#[derive(Clone, Copy, Debug)]
pub enum Look<'a> {
    /// There is no more to it than this.
    LoneSyn(&'a LoneSyn),
    /// Any other.
    Flow(&'a Flow),
}

/// All flows of a capture, in the order of their first frames.
///
/// They are kept in about a hundred bytes each and unpacked one by one, as often as somebody asks.
#[derive(Debug, Default)]
pub struct Finished {
    stores: Vec<Store>,
    /// Where each flow is.
    places: Vec<Place>,
    /// Of the flows of one shard.
    begun: Begun,
}

impl Finished {
    /// Shards that a capture may have.
    pub const MOST_SHARDS: usize = 128;

    /// The flows of one table, in the order of these places; `begun` tells whether that is the order of
    /// their first frames too.
    pub(super) fn of(mut store: Store, mut places: Vec<Place>, mut begun: Begun) -> Finished {
        let first_frame = |place: &Place| store.first_frame_at(place.store().1);
        if !begun.in_order() {
            places.sort_by_cached_key(first_frame);
            begun = places.iter().map(first_frame).collect();
        }
        store.close(places.capacity() * size_of::<Place>());
        Finished { stores: vec![store], places, begun }
    }

    /// The flows of all shards of a capture, at most [`Finished::MOST_SHARDS`].
    pub fn of_shards(shards: Vec<Finished>) -> Finished {
        let mut shards = shards;
        if shards.len() <= 1 {
            let only = shards.pop().unwrap_or_default();
            return Finished { begun: Begun::default(), ..only };
        }
        let mut stores = Vec::new();
        let mut queues = Vec::new();
        for shard in shards.into_iter().take(Finished::MOST_SHARDS) {
            let number = u8::try_from(stores.len()).unwrap_or(u8::MAX);
            stores.extend(shard.stores);
            queues.push(Queue { places: shard.places, store: number, begun: shard.begun });
        }
        Finished { stores, places: merged(&queues), begun: Begun::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The flow at this place.
    pub fn get(&self, place: usize) -> Option<Flow> {
        let mut flow = Flow::blank();
        self.read(place, &mut flow).then_some(flow)
    }

    /// The flow at this place, in place of `flow`, whose memory is used again; false where there is
    /// none.
    pub fn read(&self, place: usize, flow: &mut Flow) -> bool {
        let Some(place) = self.places.get(place) else { return false };
        let (store, at) = place.store();
        let Some(store) = self.stores.get(store) else { return false };
        store.read(at, flow);
        true
    }

    /// As [`Finished::read`], without what was heard.
    pub fn read_unheard(&self, place: usize, flow: &mut Flow) -> bool {
        let Some(place) = self.places.get(place) else { return false };
        let (store, at) = place.store();
        let Some(store) = self.stores.get(store) else { return false };
        store.read_unheard(at, flow);
        true
    }

    /// The flows one by one.
    pub fn iter(&self) -> impl Iterator<Item = Flow> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// Shows the flows at these places one by one, without memory of its own for each.
    pub fn each(&self, places: Range<usize>, mut show: impl FnMut(usize, Look<'_>)) {
        let mut flow = Flow::blank();
        let stored = self.places.get(places.clone()).unwrap_or_default();
        for (number, place) in places.zip(stored) {
            let (store, at) = place.store();
            let Some(store) = self.stores.get(store) else { continue };
            match store.look(at, &mut flow) {
                Some(syn) => show(number, Look::LoneSyn(&syn)),
                None => show(number, Look::Flow(&flow)),
            }
        }
    }

    /// Why some of them, which went to a temporary file, could not be read again, if that happened.
    /// Then nothing that was found is to be trusted.
    pub fn lost(&self) -> Option<&str> {
        self.stores.iter().find_map(|store| store.budget().lost())
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        let places = self.places.capacity() * size_of::<Place>();
        self.stores.iter().map(Store::bytes).sum::<usize>() + places
    }
}

/// Parts for each thread in which flows are put in order.
const PARTS_A_THREAD: usize = 8;

/// The flows of a shard, in the order of their first frames.
struct Queue {
    places: Vec<Place>,
    /// Number of the store that all are in.
    store: u8,
    begun: Begun,
}

/// The places of flows in the order of their first frames.
///
/// All queues are cut at the same frames, and what lies between two cuts is merged by whichever thread
/// is free.
fn merged(queues: &[Queue]) -> Vec<Place> {
    let last = queues.iter().map(|queue| queue.begun.last().0).max().unwrap_or_default();
    let parts = rayon::current_num_threads() * PARTS_A_THREAD;
    let width = last / parts as u64 + 1;
    let mut places = vec![Place::stored(0); queues.iter().map(|queue| queue.places.len()).sum()];
    let mut rest = places.as_mut_slice();
    let mut starts = vec![0; queues.len()];
    let mut jobs: Vec<(&mut [Place], Vec<Range<usize>>)> = Vec::new();
    for part in 1..=parts as u64 {
        let bound = (part < parts as u64).then(|| FrameNumber(part * width));
        let end =
            |queue: &Queue| bound.map_or(queue.places.len(), |bound| queue.begun.before(bound));
        let ends: Vec<usize> = queues.iter().map(end).collect();
        let between: Vec<Range<usize>> =
            starts.iter().zip(&ends).map(|(start, end)| *start..*end).collect();
        let count = between.iter().map(Range::len).sum();
        starts = ends;
        let (to, behind) =
            std::mem::take(&mut rest).split_at_mut_checked(count).unwrap_or_default();
        rest = behind;
        jobs.push((to, between));
    }
    jobs.into_par_iter().for_each(|(to, parts)| merge(queues, &parts, to));
    places
}

/// Merges these parts of queues into as many places.
fn merge(queues: &[Queue], parts: &[Range<usize>], to: &mut [Place]) {
    let queues = queues.iter().zip(parts).map(|(queue, part)| {
        let places = queue.places.get(part.clone()).unwrap_or_default().iter();
        let mut queue =
            queue.begun.from(part.start).zip(places.map(|place| place.in_store(queue.store)));
        (queue.next(), queue)
    });
    let mut queues: Vec<_> = queues.collect();
    for to in to {
        // No two flows of a capture begin with the same frame.
        let next = queues.iter().enumerate();
        let frames = next.filter_map(|(queue, (next, _))| next.map(|(frame, _)| (frame, queue)));
        let Some((_, soonest)) = frames.min() else { break };
        if let Some((next, queue)) = queues.get_mut(soonest)
            && let Some((_, place)) = std::mem::replace(next, queue.next())
        {
            *to = place;
        }
    }
}
