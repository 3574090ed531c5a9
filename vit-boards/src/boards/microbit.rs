use crate::{timer, uart, Board};
use cortex_m::Peripherals;

/// BBC micro:bit, first version: an nRF51822. Its Cortex-M0 has neither SysTick nor a cycle counter.
///
/// The serial port leads to the USB connector.
pub struct Microbit;

impl Board for Microbit {
    const NAME: &'static str = "micro:bit";

    type Timer = timer::Nrf;

    fn init() -> Self {
        Self
    }

    fn timer(&self, _: Peripherals) -> Self::Timer {
        // SAFETY: the chip is an nRF51, and nothing else uses its TIMER0.
        unsafe { timer::Nrf::new() }
    }

    fn uart(self) -> impl uart::Uart {
        // SAFETY: the chip is an nRF51, and nothing else uses its UART.
        unsafe { uart::Nrf::new(24, 25) }
    }
}
