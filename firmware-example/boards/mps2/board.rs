//! QEMU's mps2-an385 (Cortex-M3), mps2-an386 (Cortex-M4F) and mps2-an500 (Cortex-M7): Arm's prototyping board.

use crate::uart::{cmsdk::Cmsdk, Uart};

/// The board's name.
pub const NAME: &str = "MPS2";

/// The processor's clock, in hertz.
const CLOCK: u32 = 25_000_000;

/// The clock that measures times.
pub type Timer = crate::timer::Core<CLOCK>;

/// Returns UART 0.
pub fn uart() -> impl Uart {
    Cmsdk::new(0x4000_4000, CLOCK, 0)
}
