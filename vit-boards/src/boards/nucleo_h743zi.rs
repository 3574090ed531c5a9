use crate::{registers::Register, timer, uart, Board};
use cortex_m::Peripherals;

/// The processor's clock, and the USART's, in hertz.
const CLOCK: u32 = 64_000_000;

/// NUCLEO-H743ZI: an STM32H743ZI, a Cortex-M7. It runs at the clock that it has after a reset, 64 MHz: a higher one
/// needs another supply voltage, which differs between the revisions of the chip.
///
/// The serial port is USART3, which transmits on PD8 and receives on PD9. It leads to the USB connector of the debug
/// probe.
pub struct NucleoH743zi;

impl Board for NucleoH743zi {
    const NAME: &'static str = "NUCLEO-H743ZI";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        Self
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        let [ahb4_clocks, apb1_clocks] = [0x5802_44e0, 0x5802_44e8].map(Register::at);
        let [port_mode, port_function] = [0x5802_0c00, 0x5802_0c24].map(Register::at);
        ahb4_clocks.set(1 << 3); // port D
        apb1_clocks.set(1 << 18); // USART3
        port_function.modify(0xff, 0x77); // PD9 and PD8: function 7, the USART's
        port_mode.modify(0b1111 << 16, 0b1010 << 16); // PD9 and PD8: alternate function

        // SAFETY: these are USART3's registers and interrupt, and nothing else uses it.
        unsafe { uart::Usart::second(0x4000_4800, CLOCK, 39) }
    }
}
