//! Which flow is the newest of a key: a table of numbers, for the keys stand in the flows.

use hashbrown::HashTable;

/// The newest flow of each key, by a hash of the key.
///
/// An entry is eight bytes, so that a capture of millions of flows needs few megabytes here: half
/// of the hash, which tells nearly all other keys from the one that is looked for, and the number
/// of the flow.
#[derive(Debug, Default)]
pub(super) struct Keys {
    table: HashTable<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    flow: u32,
}

/// The table takes its places from the lower and its marks from the upper bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Keys {
    /// The flow of a hash of which `is_it` says that it has the key.
    #[inline]
    pub(super) fn get(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = |entry: &Entry| entry.hash == hash && is_it(entry.flow);
        self.table.find(spread(hash), found).map(|entry| entry.flow)
    }

    /// Some flow of this hash. To have it in the processor's cache before it is asked for.
    #[inline]
    pub(super) fn any(&self, hash: u32) -> Option<u32> {
        self.get(hash, |_| true)
    }

    /// Says which flow is the newest of a key that has none.
    pub(super) fn insert(&mut self, hash: u32, flow: u32) {
        let entry = Entry { hash, flow };
        self.table.insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    /// Bytes of memory: each entry has a byte that marks it, and a place of its own (of eight, one
    /// stays free).
    pub(super) fn bytes(&self) -> usize {
        self.table.capacity() / 7 * 8 * (size_of::<Entry>() + 1)
    }

    /// Says that another flow is the newest of the key that `earlier` has.
    pub(super) fn replace(&mut self, hash: u32, earlier: u32, flow: u32) {
        let found = |entry: &Entry| entry.hash == hash && entry.flow == earlier;
        if let Some(entry) = self.table.find_mut(spread(hash), found) {
            entry.flow = flow;
        }
    }
}
