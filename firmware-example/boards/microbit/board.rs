//! BBC micro:bit, first version: an nRF51822. Its Cortex-M0 has neither SysTick nor a cycle counter.

use crate::uart::{nrf::Nrf, Uart};

/// What the board is called.
pub const NAME: &str = "micro:bit";

/// What tells the time.
pub type Timer = crate::timer::Nrf;

/// To the USB connector.
pub fn uart() -> impl Uart {
    Nrf::new(24, 25)
}
