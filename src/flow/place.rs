//! Where a flow is.

/// Where a flow is, in six bytes: there is one for every flow of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place([u8; 6]);

/// Marks a flow that is under way.
const UNDER_WAY: u8 = u8::MAX;

impl Place {
    /// Under way, in this slot.
    #[inline]
    pub(super) fn slot(index: usize) -> Place {
        Place::of(UNDER_WAY, index as u64)
    }

    /// Put away at this place of the store of a table.
    #[inline]
    pub(super) fn stored(at: u64) -> Place {
        Place::of(0, at)
    }

    /// The same place in the store of this number.
    pub(super) fn in_store(self, store: u8) -> Place {
        let Place([_, rest @ ..]) = self;
        let [a, b, c, d, e] = rest;
        Place([store, a, b, c, d, e])
    }

    #[inline]
    fn of(mark: u8, number: u64) -> Place {
        let [a, b, c, d, e, ..] = number.to_le_bytes();
        Place([mark, a, b, c, d, e])
    }

    #[inline]
    fn number(self) -> u64 {
        let Place([_, a, b, c, d, e]) = self;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }

    /// The slot, where it is under way; else its place in the store.
    #[inline]
    pub(super) fn get(self) -> Result<usize, u64> {
        let Place([mark, ..]) = self;
        match mark {
            UNDER_WAY => Ok(usize::try_from(self.number()).unwrap_or(usize::MAX)),
            _ => Err(self.number()),
        }
    }

    /// The number of the store, and the place in it.
    #[inline]
    pub(super) fn store(self) -> (usize, u64) {
        let Place([store, ..]) = self;
        (store.into(), self.number())
    }
}
