//! Where flows stand, by their ids.

use crate::verdict::record::JudgedFlow;

/// Places of flows by id, in a bit and a half for each id up to the last.
///
/// A cell lists all of its flows, and of those that are alike only some are at hand: asking for one
/// that is not must cost next to nothing.
#[derive(Default)]
pub(super) struct Places {
    /// A bit for each id.
    words: Vec<u64>,
    /// How many flows stand before those of each word.
    before: Vec<u32>,
}

impl Places {
    /// Flows come by id.
    pub(super) fn of(flows: &[&JudgedFlow]) -> Places {
        let mut ids = Places::default();
        for flow in flows {
            let Some((word, bit)) = bit_of(flow.id) else { continue };
            if ids.words.len() <= word {
                ids.words.resize(word + 1, 0);
            }
            if let Some(word) = ids.words.get_mut(word) {
                *word |= bit;
            }
        }
        let mut before = 0;
        for word in &ids.words {
            ids.before.push(before);
            before += word.count_ones();
        }
        ids
    }

    /// The place of the flow with this id.
    pub(super) fn place(&self, id: u64) -> Option<usize> {
        let (word, bit) = bit_of(id)?;
        let bits = *self.words.get(word)?;
        let before = *self.before.get(word)?;
        (bits & bit != 0).then_some((before + (bits & (bit - 1)).count_ones()) as usize)
    }
}

fn bit_of(id: u64) -> Option<(usize, u64)> {
    Some((usize::try_from(id / 64).ok()?, 1 << (id % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::sample::flow;
    use crate::verdict::record::Verdict;

    #[test]
    fn flows_are_found_by_id_and_gaps_are_seen() {
        let ids = [1, 2, 63, 64, 65, 128, 1_000];
        let flows: Vec<JudgedFlow> = ids
            .iter()
            .map(|id| flow(*id, "10.0.0.5", "10.1.0.10", "tcp", 135, Verdict::NoReply))
            .collect();
        let places = Places::of(&flows.iter().collect::<Vec<_>>());
        for id in 0..1_100 {
            assert_eq!(places.place(id), ids.iter().position(|it| *it == id), "{id}");
        }
    }
}
