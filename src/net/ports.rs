//! Sets of ports, and how often ports were called.

use std::fmt;

/// Ports, each of which is found by reading one word.
///
/// It takes 8 KiB however many there are: right for what is asked of each of millions of flows.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet(Box<[u64; WORDS]>);

/// Ports of a word.
const WIDTH: usize = u64::BITS as usize;

const WORDS: usize = (1 << 16) / WIDTH;

impl PortSet {
    /// Whether a port is among them.
    #[inline]
    pub fn has(&self, port: u16) -> bool {
        let (word, bit) = place(port);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The ports, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().zip((0..=u16::MAX).step_by(WIDTH)).flat_map(|(word, first)| {
            let next = |rest: &u64| Some(rest & (rest - 1)).filter(|rest| *rest != 0);
            let rests = std::iter::successors(Some(*word).filter(|word| *word != 0), next);
            rests.filter_map(move |rest| {
                first.checked_add(u16::try_from(rest.trailing_zeros()).ok()?)
            })
        })
    }
}

fn place(port: u16) -> (usize, u64) {
    (usize::from(port) / WIDTH, 1 << (usize::from(port) % WIDTH))
}

impl Default for PortSet {
    fn default() -> PortSet {
        PortSet(Box::new([0; WORDS]))
    }
}

impl Extend<u16> for PortSet {
    fn extend<T: IntoIterator<Item = u16>>(&mut self, ports: T) {
        for (word, bit) in ports.into_iter().map(place) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<T: IntoIterator<Item = u16>>(ports: T) -> PortSet {
        let mut set = PortSet::default();
        set.extend(ports);
        set
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

/// How often each port was called: two bytes for one that was called once, as all are in a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Ports that were called once, sorted once [`PortCounts::settle`] was called.
    once: Vec<u16>,
    /// Others, with their counts; no port twice, and sorted, as well from then on.
    more: Vec<(u16, u64)>,
}

impl PortCounts {
    /// Adds a call of each of these ports.
    pub fn add_each(&mut self, ports: &[u16]) {
        self.once.extend_from_slice(ports);
    }

    /// Adds so many calls of a port.
    pub fn add(&mut self, port: u16, count: u64) {
        match count {
            0 => {}
            1 => self.once.push(port),
            _ => self.more.push((port, count)),
        }
    }

    /// Says that nothing more is added: each port gets all of its calls.
    pub fn settle(&mut self) {
        self.once.sort_unstable();
        self.more.sort_unstable();
        let counted = self.more.len();
        let mut once = Vec::new();
        for same in self.once.chunk_by(|port, next| port == next) {
            let Some(port) = same.first() else { continue };
            let is_counted = |(other, _): &(u16, u64)| other < port;
            let known = self.more.get(..counted).unwrap_or_default();
            let next = known.get(known.partition_point(is_counted));
            if same.len() == 1 && next.is_none_or(|(other, _)| other != port) {
                once.push(*port);
            } else {
                self.more.push((*port, same.len() as u64));
            }
        }
        once.shrink_to_fit();
        self.once = once;
        self.more.sort_unstable();
        self.more.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
    }

    /// How many ports there are.
    pub fn len(&self) -> usize {
        self.once.len() + self.more.len()
    }

    /// Whether none was called.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ports in their order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let (mut once, mut more) = (self.once.iter().peekable(), self.more.iter().peekable());
        std::iter::from_fn(move || match (once.peek(), more.peek()) {
            (Some(port), Some((other, _))) if other < *port => more.next().copied(),
            (Some(_), _) => once.next().map(|port| (*port, 1)),
            (None, _) => more.next().copied(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_put_into_it(mut ports in prop::collection::btree_set(any::<u16>(), 0..50)) {
            ports.extend([0, 63, 64, u16::MAX]);
            let set: PortSet = ports.iter().copied().collect();
            let held: BTreeSet<u16> = (0..=u16::MAX).filter(|port| set.has(*port)).collect();
            prop_assert_eq!(&held, &ports);
            prop_assert!(set.iter().eq(ports));
        }
    }

    proptest! {
        #[test]
        fn calls_are_counted_by_port(
            each in prop::collection::vec(prop::collection::vec(0..20_u16, 0..9), 0..4),
            counts in prop::collection::vec((0..20_u16, 0..5_u64), 0..9),
        ) {
            let mut expected: BTreeMap<u16, u64> = BTreeMap::new();
            let mut ports = PortCounts::default();
            for calls in &each {
                ports.add_each(calls);
            }
            for (port, count) in &counts {
                ports.add(*port, *count);
            }
            let once = each.iter().flatten().map(|port| (*port, 1));
            for (port, count) in once.chain(counts).filter(|(_, count)| *count > 0) {
                *expected.entry(port).or_default() += count;
            }
            ports.settle();
            prop_assert_eq!(ports.len(), expected.len());
            prop_assert_eq!(ports.is_empty(), expected.is_empty());
            prop_assert!(ports.iter().eq(expected));
        }
    }
}
