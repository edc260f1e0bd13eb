//! Which flow is the newest of a key: a table of numbers, for the keys stand in the flows.

/// The newest flow of each key, by a hash of the key.
///
/// An entry is eight bytes, so that a capture of millions of flows needs few megabytes here: a hash,
/// which tells nearly all other keys from the one that is looked for, and the number of the flow. It
/// stands in the first free place from the one that its hash tells (linear probing), so that whoever
/// looks for it in vain has read the very line of memory to which it is written then. In a scan each
/// SYN begins a flow, and tables that keep marks beside their entries wait for memory twice.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// A power of two, or none. Where nothing stands: [`FREE`].
    entries: Vec<u64>,
    used: usize,
}

/// No flow has this number, for there are never so many.
const FREE: u64 = u64::MAX;

/// Places of the smallest table.
const FEWEST: usize = 1 << 10;

fn entry(hash: u32, flow: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(flow)
}

#[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
fn flow_of(entry: u64) -> u32 {
    entry as u32
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

impl Keys {
    /// Where the search for a hash begins. A table twice as large has the same order, so that growing
    /// goes through memory from one end to the other.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let place = (u64::from(hash) * self.entries.len() as u64) >> 32;
        usize::try_from(place).unwrap_or_default()
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.entries.len() - 1)
    }

    /// The flow of a hash of which `is_it` says that it has the key.
    #[inline]
    pub(super) fn get(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let there = *self.entries.get(place)?;
            if there == FREE {
                return None;
            }
            let flow = flow_of(there);
            if there == entry(hash, flow) && is_it(flow) {
                return Some(flow);
            }
            place = self.after(place);
        }
    }

    /// Reads where the search for a hash begins, to have it in the processor's cache before it is
    /// asked for: nothing depends on what stands there, so many such reads are under way at once.
    #[inline]
    pub(super) fn touch(&self, hash: u32) -> u64 {
        self.entries.get(self.home(hash)).copied().unwrap_or_default()
    }

    /// Some flow of this hash: nearly always the one that is looked for.
    #[inline]
    pub(super) fn any(&self, hash: u32) -> Option<u32> {
        self.get(hash, |_| true)
    }

    /// Says which flow is the newest of a key that has none.
    pub(super) fn insert(&mut self, hash: u32, flow: u32) {
        // Runs are short as long as a quarter of all places is free.
        if self.used >= self.entries.len() / 4 * 3 {
            self.grow();
        }
        self.used += 1;
        self.put(entry(hash, flow));
    }

    #[inline]
    fn put(&mut self, entry: u64) {
        let mut place = self.home(hash_of(entry));
        while self.entries.get(place).is_some_and(|there| *there != FREE) {
            place = self.after(place);
        }
        if let Some(there) = self.entries.get_mut(place) {
            *there = entry;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let length = (self.entries.len() * 2).max(FEWEST);
        let earlier = std::mem::replace(&mut self.entries, vec![FREE; length]);
        for entry in earlier {
            if entry != FREE {
                self.put(entry);
            }
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<u64>()
    }

    /// Says that another flow is the newest of the key that `earlier` has.
    pub(super) fn replace(&mut self, hash: u32, earlier: u32, flow: u32) {
        let sought = entry(hash, earlier);
        let mut place = self.home(hash);
        while self.entries.get(place).is_some_and(|there| *there != FREE && *there != sought) {
            place = self.after(place);
        }
        if let Some(there) = self.entries.get_mut(place)
            && *there == sought
        {
            *there = entry(hash, flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Few hashes, and those at both ends: runs are long, go round, and hold several keys each.
        #[test]
        fn it_finds_what_a_list_of_keys_finds(
            steps in prop::collection::vec((0_u32..40, prop::bool::ANY), 1..3_000),
        ) {
            let hash_of = |key: u32| (key / 3).wrapping_sub(5).wrapping_mul(0x0100_0000);
            let mut keys = Keys::default();
            // Flows and their keys, in the order in which they began.
            let mut flows: Vec<(u32, u32)> = Vec::new();
            for (next, (key, begins)) in (0..).zip(steps) {
                let newest = flows.iter().rev().find(|(_, of)| *of == key).map(|(flow, _)| *flow);
                let hash = hash_of(key);
                prop_assert_eq!(keys.get(hash, |flow| flows.contains(&(flow, key))), newest);
                match newest {
                    None => keys.insert(hash, next),
                    Some(earlier) if begins => keys.replace(hash, earlier, next),
                    Some(_) => continue,
                }
                flows.push((next, key));
            }
        }

        #[test]
        fn it_holds_as_many_as_come(hashes in prop::collection::vec(any::<u32>(), 0..5_000)) {
            let mut keys = Keys::default();
            for (flow, hash) in (0..).zip(&hashes) {
                keys.insert(*hash, flow);
            }
            for (flow, hash) in (0..).zip(&hashes) {
                prop_assert_eq!(keys.get(*hash, |it| it == flow), Some(flow));
            }
            prop_assert!(keys.used * 4 <= keys.entries.len() * 3);
            // A table that has just grown is a little more than a third full.
            prop_assert!(keys.entries.len() <= FEWEST.max(hashes.len() * 3));
        }
    }
}
