//! QEMU's mps2-an505: a Cortex-M33 with the DSP extension. The firmware stays in the secure state, in which the chip
//! starts.

use crate::uart::{cmsdk::Cmsdk, Uart};

/// The board's name.
pub const NAME: &str = "MPS2 AN505";

/// The processor's clock, in hertz.
const CLOCK: u32 = 20_000_000;

/// The clock that measures times.
pub type Timer = crate::timer::Core<CLOCK>;

/// Returns UART 0.
pub fn uart() -> impl Uart {
    Cmsdk::new(0x5020_0000, CLOCK, 32)
}
