//! BBC micro:bit, first version: an nRF51822. Its Cortex-M0 has neither SysTick nor a cycle counter.

use crate::uart::{nrf::Nrf, Uart};

/// The board's name.
pub const NAME: &str = "micro:bit";

/// The clock that measures times.
pub type Timer = crate::timer::Nrf;

/// Returns the serial port that leads to the USB connector.
pub fn uart() -> impl Uart {
    Nrf::new(24, 25)
}
