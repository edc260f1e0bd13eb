//! Where a flow is.

/// Marks a flow that is under way.
const UNDER_WAY: u8 = u8::MAX;

/// Where a flow is, in six bytes: there is one for every flow of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// [`UNDER_WAY`], or the number of a store.
    mark: u8,
    /// The slot, or the place in the store: 40 bits, the lowest first.
    number: [u8; 5],
}

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
        Place { mark: store, ..self }
    }

    #[inline]
    fn of(mark: u8, number: u64) -> Place {
        let [number @ .., _, _, _] = number.to_le_bytes();
        Place { mark, number }
    }

    #[inline]
    fn number(self) -> u64 {
        let mut whole = [0; 8];
        if let Some(low) = whole.first_chunk_mut() {
            *low = self.number;
        }
        u64::from_le_bytes(whole)
    }

    /// The slot, where it is under way; else its place in the store.
    #[inline]
    pub(super) fn get(self) -> Result<usize, u64> {
        match self.mark {
            UNDER_WAY => Ok(usize::try_from(self.number()).unwrap_or(usize::MAX)),
            _ => Err(self.number()),
        }
    }

    /// The number of the store, and the place in it.
    #[inline]
    pub(super) fn store(self) -> (usize, u64) {
        (self.mark.into(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_six_bytes_and_reads_back() {
        assert_eq!(size_of::<Place>(), 6);
        for number in [0, 1, 0xff, 0x01_2345_6789, 0xff_ffff_ffff] {
            assert_eq!(Place::stored(number).get(), Err(number));
            assert_eq!(Place::stored(number).in_store(7).store(), (7, number));
        }
        assert_eq!(Place::slot(300).get(), Ok(300));
    }
}
