//! The cycle counter of a Cortex-M3, M4, M7 or M33.

use super::Timer;
use cortex_m::{peripheral::DWT, Peripherals};

/// A timer that counts the processor's cycles, of which there are `HZ` in a second. It wraps around after 2^32 cycles.
pub struct Cycles<const HZ: u32> {
    start: u32,
}

impl<const HZ: u32> Cycles<HZ> {
    /// Switches the cycle counter on.
    pub fn new(mut peripherals: Peripherals) -> Self {
        peripherals.DCB.enable_trace();
        DWT::unlock(); // on a Cortex-M7, the counter is locked at first
        peripherals.DWT.enable_cycle_counter();
        Self { start: 0 }
    }
}

impl<const HZ: u32> Timer for Cycles<HZ> {
    const HZ: u32 = HZ;

    fn start(&mut self) {
        self.start = DWT::cycle_count();
    }

    fn ticks(&mut self) -> Option<u32> {
        Some(DWT::cycle_count().wrapping_sub(self.start))
    }
}
