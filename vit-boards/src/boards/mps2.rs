use crate::{timer, uart, Board};
use cortex_m::Peripherals;

/// The processor's clock, in hertz.
const CLOCK: u32 = 25_000_000;

/// QEMU's mps2-an385 (Cortex-M3), mps2-an386 (Cortex-M4F) and mps2-an500 (Cortex-M7): Arm's prototyping board.
///
/// The serial port is UART 0.
pub struct Mps2;

impl Board for Mps2 {
    const NAME: &'static str = "MPS2";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        Self
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        // SAFETY: these are UART 0's registers and interrupt, and nothing else uses it.
        unsafe { uart::Cmsdk::new(0x4000_4000, CLOCK, 0) }
    }
}
