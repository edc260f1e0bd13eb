//! Memory for records of a few dozen bytes that come and go.
//!
//! Chunks of a fixed size are filled one after the other and never moved, so that growing costs
//! nothing and nothing is held twice. A record that is taken out leaves a hole, which the next record
//! of its size fills.

/// Bytes of a chunk.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 20;

/// Records take multiples of this many bytes.
const UNIT: usize = 4;

/// Holes longer than this are not filled.
const LONGEST_HOLE: usize = 2_048;

/// Longest record.
pub(super) const LONGEST: usize = CHUNK / 2;

/// Records, each at a place of its own.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// Places of holes, by their length in units.
    holes: Vec<Vec<u64>>,
}

fn units(length: usize) -> usize {
    length.div_ceil(UNIT)
}

impl Arena {
    /// Keeps a record of at most [`LONGEST`] bytes.
    pub(super) fn put(&mut self, record: &[u8]) -> u64 {
        let units = units(record.len());
        if let Some(at) = self.holes.get_mut(units).and_then(Vec::pop)
            && let Some(place) = self.at_mut(at).and_then(|rest| rest.get_mut(..record.len()))
        {
            place.copy_from_slice(record);
            return at;
        }
        let length = units * UNIT;
        let has_room = self.chunks.last().is_some_and(|chunk| CHUNK - chunk.len() >= length);
        if !has_room {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let number = self.chunks.len().saturating_sub(1) as u64;
        let Some(chunk) = self.chunks.last_mut() else { return 0 };
        let offset = chunk.len();
        chunk.extend_from_slice(record);
        chunk.resize(offset + length, 0);
        number << CHUNK_BITS | offset as u64
    }

    /// The bytes from this place on: a record, and what stands behind it.
    #[inline]
    pub(super) fn at(&self, at: u64) -> &[u8] {
        let (chunk, offset) = split(at);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(offset..)).unwrap_or_default()
    }

    fn at_mut(&mut self, at: u64) -> Option<&mut [u8]> {
        let (chunk, offset) = split(at);
        self.chunks.get_mut(chunk)?.get_mut(offset..)
    }

    /// Gives up the record of this length at this place.
    pub(super) fn free(&mut self, at: u64, length: usize) {
        if length > LONGEST_HOLE {
            return;
        }
        let units = units(length);
        if self.holes.len() <= units {
            self.holes.resize(units + 1, Vec::new());
        }
        if let Some(holes) = self.holes.get_mut(units) {
            holes.push(at);
        }
    }

    /// Says that no more records come.
    pub(super) fn close(&mut self) {
        self.holes = Vec::new();
        if let Some(last) = self.chunks.last_mut() {
            last.shrink_to_fit();
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }
}

#[inline]
fn split(at: u64) -> (usize, usize) {
    let chunk = usize::try_from(at >> CHUNK_BITS).unwrap_or(usize::MAX);
    let offset = usize::try_from(at & ((1 << CHUNK_BITS) - 1)).unwrap_or(usize::MAX);
    (chunk, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_where_they_were_put() {
        let mut arena = Arena::default();
        let records: Vec<Vec<u8>> =
            (0..60_000_u32).map(|it| vec![it.to_le_bytes()[0]; it as usize % 90]).collect();
        let places: Vec<u64> = records.iter().map(|record| arena.put(record)).collect();
        for (record, &at) in records.iter().zip(&places) {
            assert!(arena.at(at).starts_with(record));
        }
        assert!(arena.chunks.len() > 1);
    }

    #[test]
    fn a_hole_is_filled_by_the_next_record_of_its_size() {
        let mut arena = Arena::default();
        let first = arena.put(&[1; 38]);
        let second = arena.put(&[2; 38]);
        arena.free(first, 38);
        assert_ne!(arena.put(&[3; 60]), first);
        assert_eq!(arena.put(&[4; 37]), first);
        assert_eq!(arena.at(first)[..37], [4; 37]);
        assert_eq!(arena.at(second)[..38], [2; 38]);
    }
}
