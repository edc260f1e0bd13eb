//! Sets of ports.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
}
