//! Bounds on what an input may inflate to, so that a small file cannot keep the machine busy for
//! days.
//!
//! Everything that comes out of a decompressor counts, of all members and all layers of one
//! input together, whether it is kept or only passed over.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::capture::Source;

/// What one input may inflate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes.
    pub bytes: u64,
    /// Times the size of the input, once [`Bounds::FREE_BYTES`] are inflated; `None` for any.
    pub ratio: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { bytes: Bounds::BYTES, ratio: Some(Bounds::RATIO) }
    }
}

impl Bounds {
    /// Bytes that are inflated of one input unless the user says otherwise.
    pub const BYTES: u64 = 64 << 30;

    /// Deflate cannot exceed 1,032 (its longest match of 258 bytes takes two bits), and repeated
    /// large frames in zstd reach some thousands. What exceeds this was made to.
    pub const RATIO: u64 = 10_000;

    /// Bytes that may be inflated from however little: preallocated, empty traces.
    pub const FREE_BYTES: u64 = 256 << 20;

    /// The bounds of a user who named the bytes: he knows what he has, so no ratio counts.
    pub fn of_bytes(bytes: u64) -> Bounds {
        Bounds { bytes, ratio: None }
    }
}

/// What was inflated of one input so far. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Spent>);

#[derive(Debug)]
struct Spent {
    bounds: Bounds,
    /// Size of the input, where it is known. An archive that points to the same bytes again and
    /// again (overlapping members) is no larger for that.
    size: Option<u64>,
    stored: AtomicU64,
    inflated: AtomicU64,
}

impl Budget {
    pub(super) fn new(bounds: Bounds, size: Option<u64>) -> Budget {
        let (stored, inflated) = (AtomicU64::new(0), AtomicU64::new(0));
        Budget(Arc::new(Spent { bounds, size, stored, inflated }))
    }

    /// Counts bytes of the input itself.
    fn count_stored(&self, bytes: usize) {
        self.0.stored.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that came out of a decompressor.
    pub(super) fn count_inflated(&self, bytes: usize) -> io::Result<()> {
        self.0.inflated.fetch_add(bytes as u64, Ordering::Relaxed);
        self.exceeded().map_or(Ok(()), |message| Err(io::Error::other(message)))
    }

    /// Which bound was exceeded, and what to do about it.
    pub(super) fn exceeded(&self) -> Option<String> {
        let Spent { bounds, size, stored, inflated } = self.0.as_ref();
        let inflated = inflated.load(Ordering::Relaxed);
        if inflated > bounds.bytes {
            return Some(format!(
                "{}, the most that one input may inflate to, are reached; to read on, give a larger \
                 --max-inflated SIZE",
                size_in_words(bounds.bytes)
            ));
        }
        let ratio = bounds.ratio.filter(|_| inflated > Bounds::FREE_BYTES)?;
        let stored = stored.load(Ordering::Relaxed);
        let stored = size.map_or(stored, |size| stored.min(size)).max(1);
        (inflated / stored >= ratio).then(|| {
            format!(
                "it inflates to more than {ratio} times its size, as a decompression bomb does; to \
                 read it all the same, say how much: --max-inflated SIZE"
            )
        })
    }
}

/// "64 GiB", "1,536 bytes": in the largest unit that leaves no remainder.
fn size_in_words(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = |(shift, _): &&(u32, &str)| bytes > 0 && bytes.trailing_zeros() >= *shift;
    units.iter().find(fits).map_or_else(
        || format!("{bytes} bytes"),
        |(shift, unit)| format!("{} {unit}", bytes >> shift),
    )
}

/// The input itself, which counts what is read of it.
pub(super) struct Counted {
    source: Box<dyn Source>,
    budget: Budget,
}

impl Counted {
    /// `head` is the number of bytes that were read already.
    pub(super) fn new(source: Box<dyn Source>, budget: Budget, head: usize) -> Counted {
        budget.count_stored(head);
        Counted { source, budget }
    }
}

impl Read for Counted {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(space)?;
        self.budget.count_stored(count);
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.source.seek(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_whatever_the_ratio() {
        let budget = Budget::new(Bounds::of_bytes(1 << 20), None);
        assert!(budget.count_inflated(1 << 20).is_ok());
        let message = budget.count_inflated(1).unwrap_err().to_string();
        assert!(message.starts_with("1 MiB, the most that one input may inflate to"), "{message}");
        assert!(message.contains("--max-inflated"));
    }

    #[test]
    fn the_ratio_counts_beyond_what_is_free_and_never_more_than_the_file() {
        let budget = Budget::new(Bounds::default(), Some(1 << 10));
        assert!(budget.count_inflated(256 << 20).is_ok());
        // The same bytes read over and over.
        budget.count_stored(1 << 30);
        let message = budget.count_inflated(1).unwrap_err().to_string();
        assert!(message.contains("more than 10000 times its size"), "{message}");
        // A megabyte in all that deflate can do.
        let honest = Budget::new(Bounds::default(), None);
        honest.count_stored(1 << 20);
        assert!(honest.count_inflated(1032 << 20).is_ok());
    }

    #[test]
    fn sizes_are_told_in_the_largest_whole_unit() {
        for (bytes, words) in [
            (64 << 30, "64 GiB"),
            (1 << 40, "1 TiB"),
            (1536, "1536 bytes"),
            (500_000_000, "500000000 bytes"),
            (0, "0 bytes"),
        ] {
            assert_eq!(size_in_words(bytes), words);
        }
    }
}
