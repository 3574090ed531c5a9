//! TIMER0 of Nordic's chips. An nRF51 has no SysTick.

use super::Timer;
use crate::registers::Register;

/// A timer that counts at 16 MHz, the clock of an nRF51's processor. It wraps around after 2^32 ticks.
pub struct Nrf {
    clear: Register,
    capture: Register,
    captured: Register,
}

impl Nrf {
    /// Switches TIMER0 on.
    ///
    /// # Safety
    /// The chip is one of the nRF51 or nRF52 series, and nothing else uses its TIMER0.
    pub unsafe fn new() -> Self {
        let [mode, bits, prescaler, start] = [0x504, 0x508, 0x510, 0x000].map(register);
        mode.write(0); // a timer, not a counter of events
        bits.write(3); // 32 bits
        prescaler.write(0);
        start.write(1);
        let [clear, capture, captured] = [0x00c, 0x040, 0x540].map(register);
        Self { clear, capture, captured }
    }
}

fn register(offset: usize) -> Register {
    Register::at(0x4000_8000 + offset)
}

impl Timer for Nrf {
    const HZ: u32 = 16_000_000;

    fn start(&mut self) {
        self.clear.write(1);
    }

    fn ticks(&mut self) -> Option<u32> {
        self.capture.write(1);
        Some(self.captured.read())
    }
}
