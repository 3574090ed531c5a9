//! QEMU's mps2-an505: a Cortex-M33 with the DSP extension, in the secure state that it starts in.

use crate::uart::{cmsdk::Cmsdk, Uart};

/// What the board is called.
pub const NAME: &str = "MPS2 AN505";

/// The processor's clock, in hertz.
const CLOCK: u32 = 20_000_000;

/// What tells the time.
pub type Timer = crate::timer::Core<CLOCK>;

/// UART 0.
pub fn uart() -> impl Uart {
    Cmsdk::new(0x5020_0000, CLOCK, 32)
}
