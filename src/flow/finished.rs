//! The flows of a capture after its last packet, in the order in which they began.

use std::ops::Range;

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

    /// The flows of one table, which began in the order of these places.
    pub(super) fn of(mut store: Store, mut places: Vec<Place>) -> Finished {
        let first_frame = |place: &Place| store.first_frame_at(place.store().1);
        // So they stand already, but for texts whose rows have numbers of their own.
        if !places.is_sorted_by_key(first_frame) {
            places.sort_by_cached_key(first_frame);
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
            queues.push(Queue { number, places, next: 0, frame: None });
        }
        for queue in &mut queues {
            queue.look(&all.stores);
        }
        // No two flows of a capture begin with the same frame.
        let soonest = |queues: &[Queue]| {
            let frames =
                queues.iter().enumerate().filter_map(|(place, it)| Some((it.frame?, place)));
            frames.min().map(|(_, place)| place)
        };
        while let Some(place) = soonest(&queues) {
            let Some(queue) = queues.get_mut(place) else { break };
            if let Some(place) = queue.places.get(queue.next) {
                all.places.push(place.in_store(queue.number));
            }
            queue.next += 1;
            queue.look(&all.stores);
        }
        all
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

/// The flows of a shard that are not placed yet.
struct Queue {
    number: u8,
    places: Vec<Place>,
    next: usize,
    /// First frame of the next.
    frame: Option<FrameNumber>,
}

impl Queue {
    fn look(&mut self, stores: &[Store]) {
        let store = stores.get(usize::from(self.number));
        let place = self.places.get(self.next);
        self.frame = store.zip(place).map(|(store, place)| store.first_frame_at(place.store().1));
    }
}
