//! The flows of a capture after its last packet, in the order in which they began.

use std::collections::VecDeque;
use std::ops::Range;

use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

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
}

impl Finished {
    /// Shards that a capture may have.
    pub const MOST_SHARDS: usize = 128;

    /// The flows of one table, which began in the order of these places; `sorted` where that is the
    /// order of their first frames too.
    pub(super) fn of(mut store: Store, mut places: Vec<Place>, sorted: bool) -> Finished {
        if !sorted {
            places.sort_by_cached_key(|place| store.first_frame_at(place.store().1));
        }
        store.close(places.capacity() * size_of::<Place>());
        Finished { stores: vec![store], places }
    }

    /// The flows of all shards of a capture, at most [`Finished::MOST_SHARDS`].
    pub fn of_shards(shards: Vec<Finished>) -> Finished {
        let mut shards = shards;
        if shards.len() <= 1 {
            return shards.pop().unwrap_or_default();
        }
        let mut all = Finished::default();
        all.places.reserve_exact(shards.iter().map(Finished::len).sum());
        let mut queues = Vec::new();
        for shard in shards.into_iter().take(Finished::MOST_SHARDS) {
            let number = u8::try_from(all.stores.len()).unwrap_or(u8::MAX);
            let Finished { stores, places } = shard;
            all.stores.extend(stores);
            queues.push(Queue { number, places: places.into_iter(), ahead: VecDeque::new() });
        }
        let Finished { stores, places } = &mut all;
        loop {
            queues.par_iter_mut().for_each(|queue| queue.look_ahead(stores));
            queues.retain(|queue| !queue.ahead.is_empty());
            if queues.is_empty() {
                return all;
            }
            // As long as it is known of each which flow is its next. No two flows of a capture begin
            // with the same frame.
            while let Some(next) = soonest(&mut queues) {
                places.push(next);
            }
        }
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

/// Flows of a shard whose first frames are read at once.
const AHEAD: usize = 4_096;

/// The flows of a shard that are not placed yet.
struct Queue {
    number: u8,
    places: std::vec::IntoIter<Place>,
    /// The next of them, with their first frames.
    ahead: VecDeque<(FrameNumber, Place)>,
}

impl Queue {
    /// Reads first frames of some more.
    fn look_ahead(&mut self, stores: &[Store]) {
        let Some(store) = stores.get(usize::from(self.number)) else { return };
        let more = AHEAD.saturating_sub(self.ahead.len());
        let frame_of = |place: &Place| store.first_frame_at(place.store().1);
        let more = self.places.by_ref().take(more).map(|place| (frame_of(&place), place));
        self.ahead.extend(more.map(|(frame, place)| (frame, place.in_store(self.number))));
    }
}

/// Takes the next flow of all queues; `None` where it is not known of one of them which is its next.
fn soonest(queues: &mut [Queue]) -> Option<Place> {
    let mut soonest = None;
    for (number, queue) in queues.iter().enumerate() {
        let (frame, _) = queue.ahead.front()?;
        if soonest.is_none_or(|(first, _)| *frame < first) {
            soonest = Some((*frame, number));
        }
    }
    let (_, number) = soonest?;
    queues.get_mut(number)?.ahead.pop_front().map(|(_, place)| place)
}
