//! A count of the shards that are left in a pass, which says how many threads have time to help others.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A count of the shards of a pass. It decides which threads do the work, and never changes a result.
#[derive(Debug)]
pub(crate) struct Remaining {
    shards: usize,
    begun: AtomicUsize,
    finished: AtomicUsize,
}

impl Remaining {
    /// Makes the count of this many shards, none of which has begun.
    pub(crate) const fn new(shards: usize) -> Self {
        Self { shards, begun: AtomicUsize::new(0), finished: AtomicUsize::new(0) }
    }

    /// Counts one more shard as begun.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// Counts one more shard as finished.
    pub(crate) fn finish(&self) {
        self.finished.fetch_add(1, Relaxed);
    }

    /// Returns the number of threads, of `threads` in all, that may work on a product of one shard.
    ///
    /// It is 1 as long as a shard has not begun. Otherwise a thread that waits for its helpers could begin that shard,
    /// and would come back only when it is finished.
    pub(crate) fn threads_for_each(&self, threads: usize) -> usize {
        if self.begun.load(Relaxed) < self.shards {
            return 1;
        }
        let unfinished = self.shards.saturating_sub(self.finished.load(Relaxed));
        (threads / unfinished.max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_help_when_no_shard_is_left_to_begin() {
        let remaining = Remaining::new(3);
        assert_eq!(remaining.threads_for_each(8), 1);
        (0..2).for_each(|_| remaining.begin());
        assert_eq!(remaining.threads_for_each(8), 1);
        remaining.begin();
        assert_eq!([1, 2, 3, 6, 8].map(|threads| remaining.threads_for_each(threads)), [1, 1, 1, 2, 2]);
        remaining.finish();
        assert_eq!([1, 2, 3, 6, 8].map(|threads| remaining.threads_for_each(threads)), [1, 1, 1, 3, 4]);
        remaining.finish();
        assert_eq!([1, 2, 3, 6, 8].map(|threads| remaining.threads_for_each(threads)), [1, 2, 3, 6, 8]);
    }
}
