//! The flows of a capture after its last packet, in the order in which they began.

use crate::flow::Flow;

/// All flows of a capture, in the order of their first frames. They can be walked several times.
#[derive(Debug, Default)]
pub struct Finished {
    flows: Vec<Flow>,
}

impl Finished {
    /// Flows in any order.
    pub(super) fn of_flows(mut flows: Vec<Flow>) -> Finished {
        // No two flows of a capture begin with the same frame.
        flows.sort_unstable_by_key(|flow| flow.first_frame);
        Finished { flows }
    }

    /// The flows of all shards of a capture.
    pub fn of_shards(shards: Vec<Finished>) -> Finished {
        Finished::of_flows(shards.into_iter().flat_map(|shard| shard.flows).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The flow at this place.
    pub fn get(&self, place: usize) -> Option<Flow> {
        self.flows.get(place).cloned()
    }

    /// The flows one by one.
    pub fn iter(&self) -> impl Iterator<Item = Flow> {
        self.flows.iter().cloned()
    }
}
