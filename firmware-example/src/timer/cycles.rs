//! The cycle counter of a Cortex-M3, M4 or M7.

use super::Timer;
use cortex_m::{peripheral::DWT, Peripherals};

/// Counts the processor's cycles, of which there are `HZ` a second. It starts anew after 2^32 of them.
pub struct Cycles<const HZ: u32> {
    start: u32,
}

impl<const HZ: u32> Cycles<HZ> {
    /// Switches it on.
    pub fn new(mut peripherals: Peripherals) -> Self {
        peripherals.DCB.enable_trace();
        DWT::unlock(); // a Cortex-M7 has it locked
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
