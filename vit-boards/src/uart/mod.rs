//! Drivers for serial ports, one for each family of chips.
//!
//! All but [`Hal`] let the processor sleep until the next byte arrives. That is enough here, because the firmware does
//! nothing else while it receives a request, and the host waits while an inference runs.

mod cmsdk;
mod hal;
mod nrf;
mod stm32;

pub use cmsdk::Cmsdk;
pub use hal::Hal;
pub use nrf::Nrf;
pub use stm32::Usart;

use cortex_m::{
    asm::wfi,
    interrupt::{self, InterruptNumber},
    peripheral::NVIC,
};

/// A serial port at [`vit_link::BAUD`], 8 bits, no parity.
pub trait Uart {
    /// Waits for the next byte. Bytes that arrive between two calls may be lost.
    fn read(&mut self) -> u8;

    /// Waits until a byte can be sent, and sends it.
    fn write(&mut self, byte: u8);
}

/// The interrupt of a port. It wakes the processor and has no handler.
#[derive(Clone, Copy)]
struct Alarm(u16);

// SAFETY: the number is valid for the chip, as the caller of the driver's constructor has promised, and never changes.
unsafe impl InterruptNumber for Alarm {
    fn number(self) -> u16 {
        self.0
    }
}

impl Alarm {
    fn new(interrupt: u16) -> Self {
        // A pending interrupt wakes the processor even while interrupts are disabled.
        interrupt::disable();
        let alarm = Self(interrupt);
        // SAFETY: interrupts are disabled and stay so, so that no handler runs.
        unsafe { NVIC::unmask(alarm) };
        alarm
    }

    /// Sleeps until `ready` returns true.
    fn wait(self, ready: impl Fn() -> bool) {
        while !ready() {
            wfi();
            NVIC::unpend(self);
        }
    }
}
