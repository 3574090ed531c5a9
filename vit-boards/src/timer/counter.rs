//! A counter that a chip has besides the processor's own timers.

use super::Timer;
use crate::registers::Register;

/// A timer that reads a register which counts up `HZ` times in a second, and starts at 0 again after 2^32 - 1. The
/// register must be counting already.
pub struct Counter<const HZ: u32> {
    count: Register,
    start: u32,
}

impl<const HZ: u32> Counter<HZ> {
    /// Returns a timer that reads `count`.
    pub const fn new(count: Register) -> Self {
        Self { count, start: 0 }
    }
}

impl<const HZ: u32> Timer for Counter<HZ> {
    const HZ: u32 = HZ;

    fn start(&mut self) {
        self.start = self.count.read();
    }

    fn ticks(&mut self) -> Option<u32> {
        Some(self.count.read().wrapping_sub(self.start))
    }
}
