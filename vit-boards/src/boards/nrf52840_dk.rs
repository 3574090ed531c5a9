use crate::{timer, uart, Board};
use cortex_m::Peripherals;

/// The processor's clock, in hertz.
const CLOCK: u32 = 64_000_000;

/// nRF52840-DK: a Cortex-M4F, which has a single clock of 64 MHz.
///
/// The serial port leads to the USB connector of the debug probe.
pub struct Nrf52840Dk;

impl Board for Nrf52840Dk {
    const NAME: &'static str = "nRF52840-DK";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        Self
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        // SAFETY: the chip is an nRF52, and nothing else uses its UART.
        unsafe { uart::Nrf::new(6, 8) }
    }
}
