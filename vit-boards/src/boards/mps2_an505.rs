use crate::{timer, uart, Board};
use cortex_m::Peripherals;

/// The processor's clock, in hertz.
const CLOCK: u32 = 20_000_000;

/// QEMU's mps2-an505: a Cortex-M33 with the DSP extension. The firmware stays in the secure state, in which the chip
/// starts.
///
/// The serial port is UART 0.
pub struct Mps2An505;

impl Board for Mps2An505 {
    const NAME: &'static str = "MPS2 AN505";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        Self
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        // SAFETY: these are UART 0's registers and interrupt, and nothing else uses it.
        unsafe { uart::Cmsdk::new(0x5020_0000, CLOCK, 32) }
    }
}
