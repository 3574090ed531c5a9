//! The timer SysTick, for the emulator and for a Cortex-M0 or M0+, which have no cycle counter.

use super::Timer;
use cortex_m::{
    peripheral::{syst::SystClkSource, SYST},
    Peripherals,
};

/// The largest value of SysTick, which has 24 bits.
const MAX: u32 = (1 << 24) - 1;

/// A timer that counts ticks of the processor's clock, of which there are `HZ` in a second. It measures up to 2^24
/// ticks.
pub struct SysTick<const HZ: u32>(SYST);

impl<const HZ: u32> SysTick<HZ> {
    /// Switches SysTick on.
    pub fn new(mut peripherals: Peripherals) -> Self {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(MAX);
        peripherals.SYST.enable_counter();
        Self(peripherals.SYST)
    }
}

impl<const HZ: u32> Timer for SysTick<HZ> {
    const HZ: u32 = HZ;

    fn start(&mut self) {
        self.0.clear_current(); // also clears the flag that it has wrapped around
    }

    fn ticks(&mut self) -> Option<u32> {
        let left = SYST::get_current();
        (!self.0.has_wrapped()).then_some(left.wrapping_neg() & MAX) // it counts down
    }
}
