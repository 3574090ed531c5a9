//! Serial ports: one driver for each family of chips.
//!
//! They wait for each byte, asleep: nothing else happens while a request comes in, and the host waits while an
//! inference runs.

pub mod cmsdk;
pub mod nrf;
pub mod stm32;

use cortex_m::{
    asm::wfi,
    interrupt::{self, InterruptNumber},
    peripheral::NVIC,
};

/// A serial port at [`vit_link::BAUD`], 8 bits, no parity.
pub trait Uart {
    /// Waits for the next byte. Some may be lost where they came while nobody waited.
    fn read(&mut self) -> u8;

    /// Waits until a byte can be sent, and sends it.
    fn write(&mut self, byte: u8);
}

/// The interrupt of a port, which wakes the processor and does nothing else.
#[derive(Clone, Copy)]
struct Alarm(u16);

// SAFETY: the number is one that the board's code has chosen for its chip, and never changes.
unsafe impl InterruptNumber for Alarm {
    fn number(self) -> u16 {
        self.0
    }
}

impl Alarm {
    fn new(interrupt: u16) -> Self {
        // A processor that sleeps wakes also from an interrupt that it then does not carry out.
        interrupt::disable();
        let alarm = Self(interrupt);
        // SAFETY: interrupts are off, from here on and for ever, so that no handler runs.
        unsafe { NVIC::unmask(alarm) };
        alarm
    }

    /// Sleeps until `ready`.
    fn wait(self, ready: impl Fn() -> bool) {
        while !ready() {
            wfi();
            NVIC::unpend(self);
        }
    }
}
