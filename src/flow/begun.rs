//! With which frame each flow began: a byte or two a flow, so that flows of several tables can be put
//! in order without a look at any of them.

use crate::net::{FrameNumber, varint};

/// Flows from one that is marked to the next.
const MARKED: usize = 256;

/// The first frames of flows, in the order of the flows.
#[derive(Debug)]
pub(super) struct Begun {
    /// Every [`MARKED`]th flow.
    marks: Vec<Mark>,
    /// Of each of the others, the way from the one before.
    steps: Vec<u8>,
    count: usize,
    last: FrameNumber,
    in_order: bool,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    frame: u64,
    /// Where the steps after it begin.
    steps: usize,
}

impl Default for Begun {
    fn default() -> Begun {
        let (marks, steps) = (Vec::new(), Vec::new());
        Begun { marks, steps, count: 0, last: FrameNumber(0), in_order: true }
    }
}

impl Begun {
    /// Adds the next flow.
    #[inline]
    pub(super) fn push(&mut self, frame: FrameNumber) {
        self.in_order &= self.last <= frame;
        if self.count.is_multiple_of(MARKED) {
            self.marks.push(Mark { frame: frame.0, steps: self.steps.len() });
        } else {
            varint::push(&mut self.steps, frame.0.wrapping_sub(self.last.0));
        }
        self.last = frame;
        self.count += 1;
    }

    /// Whether each began with a later frame than the one before. So they do, but in texts whose rows
    /// have numbers of their own.
    pub(super) fn in_order(&self) -> bool {
        self.in_order
    }

    /// The first frame of the last.
    pub(super) fn last(&self) -> FrameNumber {
        self.last
    }

    /// How many of these flows, which are in order, began before this frame.
    pub(super) fn before(&self, frame: FrameNumber) -> usize {
        let marks = self.marks.partition_point(|mark| mark.frame < frame.0);
        let from = marks.saturating_sub(1) * MARKED;
        from + self.from(from).take(MARKED).take_while(|begun| *begun < frame).count()
    }

    /// The first frames of this flow and of those behind it.
    pub(super) fn from(&self, flow: usize) -> impl Iterator<Item = FrameNumber> {
        let mark = flow / MARKED;
        let marks = self.marks.get(mark..).unwrap_or_default();
        let steps = marks.first().and_then(|mark| self.steps.get(mark.steps..));
        let mut steps = steps.unwrap_or_default();
        let mut marks = marks.iter();
        let mut frame = 0_u64;
        let frames = (mark * MARKED..self.count).map(move |flow| {
            frame = if flow.is_multiple_of(MARKED) {
                marks.next().map_or(0, |mark| mark.frame)
            } else {
                frame.wrapping_add(varint::take(&mut steps))
            };
            FrameNumber(frame)
        });
        frames.skip(flow % MARKED)
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.steps.capacity() + self.marks.capacity() * size_of::<Mark>()
    }
}

impl FromIterator<FrameNumber> for Begun {
    fn from_iter<T: IntoIterator<Item = FrameNumber>>(frames: T) -> Begun {
        let mut begun = Begun::default();
        frames.into_iter().for_each(|frame| begun.push(frame));
        begun
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_read_back_from_any_flow_on(
            steps in prop::collection::vec((0_u32..40, 0_u64..300), 0..1_500),
            mut from in 0_usize..1_500,
            before in 0_u64..400_000,
        ) {
            // Most steps are short; a few are as long as they can be.
            let mut frame = 0_u64;
            let frames: Vec<FrameNumber> = steps.into_iter().map(|(shift, step)| {
                frame = frame.saturating_add(if shift == 39 { step << 50 } else { step });
                FrameNumber(frame)
            }).collect();
            let begun: Begun = frames.iter().copied().collect();
            prop_assert!(begun.in_order());
            prop_assert_eq!(begun.from(0).collect::<Vec<_>>(), frames.clone());
            from = from.min(frames.len());
            prop_assert_eq!(begun.from(from).collect::<Vec<_>>(), frames[from..].to_vec());
            prop_assert_eq!(begun.last(), frames.last().copied().unwrap_or_default());
            for before in [FrameNumber(before), FrameNumber(0), FrameNumber(u64::MAX), begun.last()] {
                let count = frames.iter().filter(|frame| **frame < before).count();
                prop_assert_eq!(begun.before(before), count);
            }
        }
    }

    #[test]
    fn a_frame_that_comes_too_late_is_noticed() {
        let begun: Begun = [3, 5, 4].map(FrameNumber).into_iter().collect();
        assert!(!begun.in_order());
        assert_eq!(begun.from(0).collect::<Vec<_>>(), [3, 5, 4].map(FrameNumber));
    }
}
