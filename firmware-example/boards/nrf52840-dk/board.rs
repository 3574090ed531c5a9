//! nRF52840-DK: a Cortex-M4F.

use crate::uart::{nrf::Nrf, Uart};

/// The board's name.
pub const NAME: &str = "nRF52840-DK";

/// The processor's clock, in hertz.
const CLOCK: u32 = 64_000_000;

/// The clock that measures times.
pub type Timer = crate::timer::Core<CLOCK>;

/// Returns the serial port that leads to the USB connector of the debug probe.
pub fn uart() -> impl Uart {
    Nrf::new(6, 8)
}
