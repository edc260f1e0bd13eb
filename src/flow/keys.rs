//! Which flow is the newest of a key: a table of numbers, for the keys stand in the flows.

/// The newest flow of each key, by a hash of the key.
///
/// A flow takes eight bytes, so that a capture of millions of flows needs few megabytes here: a hash,
/// which tells nearly all other keys from the one that is looked for, and the number of the flow.
/// Whoever looks for a flow in vain has read the very line of memory to which it is written then: in
/// a scan each SYN begins a flow, and tables that keep marks apart from what they mark wait for memory
/// twice.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// A power of two, or none.
    buckets: Vec<Bucket>,
    flows: usize,
}

/// Flows of a bucket: as many as a line of a processor's cache holds.
const WIDTH: usize = 8;

/// No flow has this number, for there are never so many.
const FREE: u32 = u32::MAX;

/// Buckets of the smallest table.
const FEWEST: usize = 128;

/// Flows with hashes that are near each other, and those for which the buckets before had no room.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; WIDTH],
    /// Free places stand behind the others.
    flows: [u32; WIDTH],
}

impl Bucket {
    const EMPTY: Bucket = Bucket { hashes: [0; WIDTH], flows: [FREE; WIDTH] };

    /// The flows of a hash.
    #[inline]
    fn of(&self, hash: u32) -> impl Iterator<Item = u32> {
        // All are compared at once, and the processor has one thing to guess.
        let same =
            self.hashes.iter().rev().fold(0_u32, |same, it| same << 1 | u32::from(*it == hash));
        let next = |same: &u32| Some(same & (same - 1)).filter(|rest| *rest != 0);
        let places = std::iter::successors(Some(same).filter(|it| *it != 0), next);
        let flows =
            places.filter_map(|same| self.flows.get(same.trailing_zeros() as usize).copied());
        flows.filter(|flow| *flow != FREE)
    }

    fn is_full(&self) -> bool {
        self.flows.last() != Some(&FREE)
    }
}

impl Keys {
    /// The bucket in which the search for a hash begins. A table twice as large has the same order, so
    /// that growing goes through memory from one end to the other.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let place = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        usize::try_from(place).unwrap_or_default()
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.buckets.len() - 1)
    }

    /// The flow of a hash of which `is_it` says that it has the key.
    #[inline]
    pub(super) fn get(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let bucket = self.buckets.get(place)?;
            if let Some(flow) = bucket.of(hash).find(|flow| is_it(*flow)) {
                return Some(flow);
            }
            if !bucket.is_full() {
                return None;
            }
            place = self.after(place);
        }
    }

    /// Reads where the search for a hash begins, to have it in the processor's cache before it is
    /// asked for: nothing depends on what stands there, so many such reads are under way at once.
    #[inline]
    pub(super) fn touch(&self, hash: u32) -> u32 {
        self.buckets.get(self.home(hash)).map_or(0, |bucket| bucket.hashes[0])
    }

    /// Some flow of this hash: nearly always the one that is looked for.
    #[inline]
    pub(super) fn any(&self, hash: u32) -> Option<u32> {
        self.get(hash, |_| true)
    }

    /// Says which flow is the newest of a key that has none.
    pub(super) fn insert(&mut self, hash: u32, flow: u32) {
        // Few buckets are full as long as a quarter of all places is free.
        if self.flows >= self.buckets.len() * WIDTH / 4 * 3 {
            self.grow();
        }
        self.flows += 1;
        self.put(hash, flow);
    }

    #[inline]
    fn put(&mut self, hash: u32, flow: u32) {
        let mut place = self.home(hash);
        while self.buckets.get(place).is_some_and(Bucket::is_full) {
            place = self.after(place);
        }
        if let Some(Bucket { hashes, flows }) = self.buckets.get_mut(place) {
            let used = flows.iter().filter(|it| **it != FREE).count();
            if let (Some(its_hash), Some(it)) = (hashes.get_mut(used), flows.get_mut(used)) {
                (*its_hash, *it) = (hash, flow);
            }
        }
    }

    #[cold]
    fn grow(&mut self) {
        let length = (self.buckets.len() * 2).max(FEWEST);
        let earlier = std::mem::replace(&mut self.buckets, vec![Bucket::EMPTY; length]);
        for Bucket { hashes, flows } in earlier {
            let used = hashes.into_iter().zip(flows).filter(|(_, flow)| *flow != FREE);
            used.for_each(|(hash, flow)| self.put(hash, flow));
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Says that another flow is the newest of the key that `earlier` has.
    pub(super) fn replace(&mut self, hash: u32, earlier: u32, flow: u32) {
        let mut place = self.home(hash);
        while let Some(bucket) = self.buckets.get_mut(place) {
            if let Some(it) = bucket.flows.iter_mut().find(|it| **it == earlier) {
                *it = flow;
                return;
            }
            if !bucket.is_full() {
                return;
            }
            place = self.after(place);
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
            let places = keys.buckets.len() * WIDTH;
            prop_assert!(keys.flows * 4 <= places * 3);
            // A table that has just grown is a little more than a third full.
            prop_assert!(places <= (FEWEST * WIDTH).max(hashes.len() * 3));
        }
    }
}
