//! NUCLEO-H743ZI: an STM32H743ZI, a Cortex-M7. It runs at the clock that it has after a reset.

use crate::{
    registers::Register,
    uart::{stm32::Usart, Uart},
};

/// The board's name.
pub const NAME: &str = "NUCLEO-H743ZI";

/// The processor's clock, and the USART's, in hertz.
const CLOCK: u32 = 64_000_000;

/// The clock that measures times.
pub type Timer = crate::timer::Core<CLOCK>;

/// Returns USART3, which transmits on PD8 and receives on PD9. It leads to the USB connector of the debug probe.
pub fn uart() -> impl Uart {
    let [ahb4_clocks, apb1_clocks] = [0x5802_44e0, 0x5802_44e8].map(Register::at);
    let [port_mode, port_function] = [0x5802_0c00, 0x5802_0c24].map(Register::at);
    ahb4_clocks.set(1 << 3); // port D
    apb1_clocks.set(1 << 18); // USART3
    port_function.modify(0xff, 0x77); // PD9 and PD8: function 7, the USART's
    port_mode.modify(0b1111 << 16, 0b1010 << 16); // PD9 and PD8: alternate function
    Usart::second(0x4000_4800, CLOCK, 39)
}
