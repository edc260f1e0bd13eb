//! How much memory the flows of a run may take, and where the rest goes.
//!
//! All tables of a run count what they hold here. Where that is more than the budget, packed flows of
//! which nothing came for longest move to a temporary file, and are read from there when somebody asks
//! for them: that changes where they are, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::flow::away::{Away, Page};

/// What a run takes whatever its flows are: batches of frames, threads, the program itself.
/// (Measured: an analysis of 24 thousand flows takes 110 MiB on one thread.)
const BESIDE: usize = 112 << 20;

/// Memory for flows, shared by all tables of a run. Without a bound by default.
#[derive(Clone, Debug, Default)]
pub struct Budget(Option<Arc<Bounded>>);

#[derive(Debug)]
struct Bounded {
    most: usize,
    used: AtomicUsize,
    away: Away,
}

impl Budget {
    /// A run that is to take about this many bytes of memory.
    pub fn of_bytes(bytes: u64) -> Budget {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let most = bytes - BESIDE.min(bytes / 2);
        let away = Away::new(most / 32);
        Budget(Some(Arc::new(Bounded { most, used: AtomicUsize::new(0), away })))
    }

    /// Why flows stayed in memory that should have gone to a file, if they did.
    pub fn trouble(&self) -> Option<&str> {
        self.0.as_ref()?.away.trouble()
    }

    /// Why flows that went to a file could not be read again, if that happened. Then nothing that
    /// was found is to be trusted.
    pub fn lost(&self) -> Option<&str> {
        self.0.as_ref()?.away.lost()
    }
}

/// What somebody holds of a [`Budget`]; given back with it.
#[derive(Debug, Default)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub(super) fn of(budget: Budget) -> Share {
        Share { budget, bytes: 0 }
    }

    /// The budget that this is a share of.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Says how much it is now.
    pub(super) fn set(&mut self, bytes: usize) {
        if let Some(bounded) = &self.budget.0 {
            bounded.used.fetch_add(bytes, Ordering::Relaxed);
            bounded.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Says that it is more now.
    pub(super) fn add(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_add(bytes));
    }

    /// Says that it is less now.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_sub(bytes));
    }

    /// Whether there is a budget, and more is used than that.
    pub(super) fn is_exceeded(&self) -> bool {
        self.uses_more_than(|most| most)
    }

    /// Whether there is a budget, and the flows of captures that were read take a good part of it:
    /// the next captures and the report want theirs.
    pub(super) fn is_tight(&self) -> bool {
        self.uses_more_than(|most| most / 4)
    }

    fn uses_more_than(&self, part: impl Fn(usize) -> usize) -> bool {
        let bounded = self.budget.0.as_ref();
        bounded.is_some_and(|it| it.used.load(Ordering::Relaxed) > part(it.most))
    }

    /// Writes to the file, and says where; `None` where that is not possible.
    pub(super) fn write(&self, bytes: &[u8]) -> Option<u64> {
        self.budget.0.as_ref()?.away.write(bytes)
    }

    /// What stands at this place of the file; nothing where it cannot be read.
    pub(super) fn page(&self, at: u64, length: usize) -> Page {
        self.budget.0.as_ref().map_or_else(Page::default, |it| it.away.page(at, length))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_given_back() {
        let budget = Budget::of_bytes(1_000);
        let (mut one, mut other) = (Share::of(budget.clone()), Share::of(budget));
        one.set(400);
        assert!(!one.is_exceeded() && one.is_tight());
        other.add(200);
        assert!(one.is_exceeded() && other.is_exceeded());
        other.give_back(100);
        assert!(!one.is_exceeded());
        other.add(100);
        drop(one);
        assert!(!other.is_exceeded());
    }

    #[test]
    fn without_a_bound_nothing_is_too_much() {
        let mut share = Share::default();
        share.add(usize::MAX);
        assert!(!share.is_exceeded() && !share.is_tight());
        assert_eq!(share.write(b"flow"), None);
    }
}
