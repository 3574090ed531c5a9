//! The shards of a pass that are left, and so the threads that have time to help.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the shards of a pass. What it says only decides who works, and not what comes out.
#[derive(Debug)]
pub struct Remaining {
    shards: usize,
    begun: AtomicUsize,
    finished: AtomicUsize,
}

impl Remaining {
    /// Of so many shards, none of which is begun.
    pub const fn new(shards: usize) -> Self {
        Self { shards, begun: AtomicUsize::new(0), finished: AtomicUsize::new(0) }
    }

    /// One more is begun.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// One more is finished.
    pub fn finish(&self) {
        self.finished.fetch_add(1, Relaxed);
    }

    /// Threads for a product of one shard, of `threads` in all. It is 1 as long as there is a shard to begin: a thread
    /// that waits for its helpers must not find one, because it would come back only when that one is finished.
    pub fn threads_for_each(&self, threads: usize) -> usize {
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
