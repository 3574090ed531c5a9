//! nRF52840-DK: a Cortex-M4F.

use crate::uart::{nrf::Nrf, Uart};

/// What the board is called.
pub const NAME: &str = "nRF52840-DK";

/// The processor's clock, in hertz.
const CLOCK: u32 = 64_000_000;

/// What tells the time.
pub type Timer = crate::timer::Core<CLOCK>;

/// To the USB connector of the debug probe.
pub fn uart() -> impl Uart {
    Nrf::new(6, 8)
}
