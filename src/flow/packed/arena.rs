//! Memory for records of a few dozen bytes that come and go.
//!
//! Chunks of a fixed size are filled one after the other and never moved, so that growing costs
//! nothing and nothing is held twice. A record that is taken out leaves a hole, which the next record
//! of its size fills. Where memory is short, whole chunks go to a file and stay there: records in them
//! are read from the file, and holes in them are left alone.

use std::collections::VecDeque;

use crate::flow::away::{PAGE, Page};
use crate::flow::budget::{Budget, Share};

/// Bytes of a chunk: some pages.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 20;

/// Records take multiples of this many bytes.
const UNIT: usize = 4;

/// Holes longer than this are not filled.
const LONGEST_HOLE: usize = 2_048;

/// Longest record: none stands in two pages.
pub(super) const LONGEST: usize = PAGE;

/// Records, each at a place of its own.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// Places of holes, by their length in units.
    holes: Vec<Vec<u64>>,
    /// Chunks in memory, those that were filled or touched last behind the others.
    here: VecDeque<usize>,
    share: Share,
}

#[derive(Debug, Default)]
struct Chunk {
    /// Nothing, where it is away.
    bytes: Vec<u8>,
    /// Whether a record was taken out of it since it was looked at last: then more are to come.
    touched: bool,
    /// Whether it holds a record that is longer than the longest: such cannot be read by the page.
    is_long: bool,
    /// Where it is in the file, and how long.
    away: (u64, usize),
}

/// A record that is not in memory, and what stands behind it.
pub(super) struct Fetched {
    page: Page,
    offset: usize,
}

impl Fetched {
    pub(super) fn bytes(&self) -> &[u8] {
        self.page.get(self.offset..).unwrap_or_default()
    }
}

fn units(length: usize) -> usize {
    length.div_ceil(UNIT)
}

impl Arena {
    /// Chunks that are more than this budget go to its file.
    pub(super) fn within(budget: Budget) -> Arena {
        Arena { share: Share::of(budget), ..Arena::default() }
    }

    /// Keeps a record, best of at most [`LONGEST`] bytes.
    pub(super) fn put(&mut self, record: &[u8]) -> u64 {
        let (at, place) = self.place(record.len());
        place.iter_mut().zip(record).for_each(|(place, byte)| *place = *byte);
        at
    }

    /// Room for a record of this length, best at most [`LONGEST`], and where it is.
    #[inline]
    pub(super) fn place(&mut self, length: usize) -> (u64, &mut [u8]) {
        let at = self.hole(length).unwrap_or_else(|| self.append(length));
        let (chunk, offset) = split(at);
        let bytes = self.chunks.get_mut(chunk).map(|chunk| chunk.bytes.as_mut_slice());
        let rest = bytes.and_then(|bytes| bytes.get_mut(offset..)).unwrap_or_default();
        (at, rest.get_mut(..length).unwrap_or_default())
    }

    /// A hole that a record of this length fills.
    #[inline]
    fn hole(&mut self, length: usize) -> Option<u64> {
        let holes = self.holes.get_mut(units(length))?;
        while let Some(at) = holes.pop() {
            let (chunk, _) = split(at);
            // What went away stays as it is.
            if self.chunks.get(chunk).is_some_and(|chunk| !chunk.bytes.is_empty()) {
                return Some(at);
            }
        }
        None
    }

    /// Where a record of this length begins behind the others.
    #[inline]
    fn append(&mut self, length: usize) -> u64 {
        let length = units(length) * UNIT;
        let offset = self.chunks.last().and_then(|chunk| chunk.room_for(length));
        let offset = offset.unwrap_or_else(|| {
            self.begin_chunk();
            0
        });
        let number = self.chunks.len().saturating_sub(1) as u64;
        if let Some(Chunk { bytes, is_long, .. }) = self.chunks.last_mut() {
            *is_long |= length > LONGEST;
            bytes.resize(offset + length, 0);
        }
        number << CHUNK_BITS | offset as u64
    }

    fn begin_chunk(&mut self) {
        self.here.push_back(self.chunks.len());
        self.chunks.push(Chunk::default());
        self.share.add(CHUNK);
        let spare = self.make_room();
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.bytes = spare.unwrap_or_else(|| Vec::with_capacity(CHUNK));
        }
    }

    /// Sends chunks away as long as too much memory is used; those of which nothing came for longest
    /// first. Gives the memory of one of them, empty.
    pub(super) fn make_room(&mut self) -> Option<Vec<u8>> {
        let mut spare = None;
        // Each is looked at twice at most: touched, and not.
        for _ in 0..2 * self.here.len() {
            if !self.share.is_exceeded() {
                break;
            }
            let Some(number) = self.here.pop_front() else { break };
            let is_filled = number + 1 < self.chunks.len();
            let chunk = self.chunks.get_mut(number);
            let touched = chunk.is_some_and(|chunk| std::mem::take(&mut chunk.touched));
            if touched || !is_filled {
                self.here.push_back(number);
            } else {
                let Some(memory) = self.send_away(number) else { break };
                spare = Some(memory);
            }
        }
        spare
    }

    /// Writes a chunk to the file and gives its memory; it stays where that is not possible.
    fn send_away(&mut self, number: usize) -> Option<Vec<u8>> {
        let chunk = self.chunks.get_mut(number)?;
        let written = if chunk.is_long { None } else { self.share.write(&chunk.bytes) };
        let Some(at) = written else {
            self.here.push_back(number);
            return None;
        };
        chunk.away = (at, chunk.bytes.len());
        let mut spare = std::mem::take(&mut chunk.bytes);
        self.share.give_back(spare.capacity());
        spare.clear();
        Some(spare)
    }

    /// Sends all chunks away.
    pub(super) fn send_all_away(&mut self) {
        for number in std::mem::take(&mut self.here) {
            self.send_away(number);
        }
    }

    /// The bytes from this place on, as far as they are in memory: a record, and what stands behind it.
    #[inline]
    pub(super) fn here(&self, at: u64) -> Option<&[u8]> {
        let (chunk, offset) = split(at);
        let rest = self.chunks.get(chunk)?.bytes.get(offset..)?;
        if rest.is_empty() { None } else { Some(rest) }
    }

    /// Reads the bytes from this place on: a record, and what stands behind it.
    #[inline]
    pub(super) fn with<R>(&self, at: u64, read: impl FnOnce(&[u8]) -> R) -> R {
        match self.here(at) {
            Some(bytes) => read(bytes),
            None => read(self.fetch(at).bytes()),
        }
    }

    /// What is not in memory.
    #[cold]
    pub(super) fn fetch(&self, at: u64) -> Fetched {
        let (chunk, offset) = split(at);
        let (at, length) = self.chunks.get(chunk).map_or((0, 0), |chunk| chunk.away);
        let before = offset - offset % PAGE;
        let page = match length.saturating_sub(before).min(PAGE) {
            0 => Page::default(),
            length => self.share.page(at + before as u64, length),
        };
        Fetched { page, offset: offset - before }
    }

    /// Gives up the record of this length at this place.
    pub(super) fn free(&mut self, at: u64, length: usize) {
        let Some(chunk) = self.chunks.get_mut(split(at).0) else { return };
        chunk.touched = true;
        if length > LONGEST_HOLE || chunk.bytes.is_empty() {
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

    /// Says that no more records come, and how many bytes are kept beside them as long as they are.
    pub(super) fn close(&mut self, beside: usize) {
        self.holes = Vec::new();
        self.share.add(beside);
        if let Some(Chunk { bytes, .. }) = self.chunks.last_mut() {
            let before = bytes.capacity();
            bytes.shrink_to_fit();
            self.share.give_back(before.saturating_sub(bytes.capacity()));
        }
        // From now on they are read in their order, and hardly any of them twice.
        if self.share.is_tight() {
            self.send_all_away();
        }
    }

    /// The budget that it keeps to.
    pub(super) fn budget(&self) -> &Budget {
        self.share.budget()
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum()
    }
}

impl Chunk {
    /// Where a record of this length can begin, if there is room for it.
    #[inline]
    fn room_for(&self, length: usize) -> Option<usize> {
        let end = self.bytes.len();
        // A chunk that went away is full.
        if self.bytes.capacity() == 0 {
            return None;
        }
        let in_page = PAGE - end % PAGE;
        let offset = if length <= in_page { end } else { end + in_page };
        (offset + length <= CHUNK).then_some(offset)
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

    fn records() -> Vec<Vec<u8>> {
        (0..60_000_u32).map(|it| vec![it.to_le_bytes()[0]; 1 + it as usize % 90]).collect()
    }

    fn reads(arena: &Arena, at: u64, record: &[u8]) -> bool {
        arena.with(at, |bytes| bytes.starts_with(record))
    }

    #[test]
    fn records_stay_where_they_were_put() {
        let mut arena = Arena::default();
        let records = records();
        let places: Vec<u64> = records.iter().map(|record| arena.put(record)).collect();
        for (record, &at) in records.iter().zip(&places) {
            assert!(reads(&arena, at, record));
        }
        assert!(arena.chunks.len() > 1);
    }

    #[test]
    fn records_read_the_same_from_the_file() {
        let mut arena = Arena::within(Budget::of_bytes(0));
        let mut records = records();
        records.push(vec![7; LONGEST]);
        records.push(vec![8; 3]);
        let places: Vec<u64> = records.iter().map(|record| arena.put(record)).collect();
        // All but the one that is being filled.
        assert_eq!(arena.here.len(), 1);
        for (record, &at) in records.iter().zip(&places) {
            assert!(reads(&arena, at, record));
        }
        arena.close(0);
        assert_eq!((arena.bytes(), arena.here.len()), (0, 0));
        for (record, &at) in records.iter().zip(&places).rev() {
            assert!(reads(&arena, at, record));
        }
        assert_eq!(arena.budget().lost(), None);
    }

    #[test]
    fn a_record_that_no_page_can_hold_stays_in_memory() {
        let mut arena = Arena::within(Budget::of_bytes(0));
        let long = vec![1; CHUNK + 1];
        let places = [arena.put(&[2; 30]), arena.put(&long), arena.put(&[3; 30])];
        arena.send_all_away();
        assert!(reads(&arena, places[0], &[2; 30]) && reads(&arena, places[2], &[3; 30]));
        assert!(reads(&arena, places[1], &long));
    }

    #[test]
    fn chunks_that_are_touched_stay_longest() {
        // Room for two chunks.
        let mut arena = Arena::within(Budget::of_bytes(4 * CHUNK as u64 + 2));
        let record = [5; 4_096];
        let places: Vec<u64> = (0..2 * 256).map(|_| arena.put(&record)).collect();
        arena.free(places[0], record.len());
        arena.put(&record);
        assert!(arena.here(places[0]).is_some());
        assert!(arena.here(places[300]).is_none());
    }

    #[test]
    fn holes_that_went_away_are_left_alone() {
        let mut arena = Arena::within(Budget::of_bytes(0));
        let first = arena.put(&[1; 38]);
        arena.free(first, 38);
        arena.send_all_away();
        let second = arena.put(&[2; 38]);
        assert_ne!(second, first);
        arena.free(first, 38);
        assert_ne!(arena.put(&[3; 38]), first);
        assert!(reads(&arena, first, &[1; 38]) && reads(&arena, second, &[2; 38]));
    }

    #[test]
    fn a_hole_is_filled_by_the_next_record_of_its_size() {
        let mut arena = Arena::default();
        let first = arena.put(&[1; 38]);
        let second = arena.put(&[2; 38]);
        arena.free(first, 38);
        assert_ne!(arena.put(&[3; 60]), first);
        assert_eq!(arena.put(&[4; 37]), first);
        assert!(reads(&arena, first, &[4; 37]));
        assert!(reads(&arena, second, &[2; 38]));
    }
}
