//! Netduino Plus 2: an STM32F405RG, a Cortex-M4F. It runs at the clock that it has after a reset.

use crate::{
    registers::Register,
    uart::{stm32::Usart, Uart},
};

/// The board's name.
pub const NAME: &str = "Netduino Plus 2";

/// The clock after a reset, in hertz.
const RESET_CLOCK: u32 = 16_000_000;
/// The processor's clock, in hertz. In the emulator, it differs from that of the board.
const CLOCK: u32 = if cfg!(feature = "probe") { RESET_CLOCK } else { 168_000_000 };

/// The clock that measures times.
pub type Timer = crate::timer::Core<CLOCK>;

/// Returns USART1, which transmits on PB6 and receives on PB7.
pub fn uart() -> impl Uart {
    let [ahb1_clocks, apb2_clocks] = [0x4002_3830, 0x4002_3844].map(Register::at);
    let [port_mode, port_pull, port_function] = [0x4002_0400, 0x4002_040c, 0x4002_0420].map(Register::at);
    ahb1_clocks.set(1 << 1); // port B
    apb2_clocks.set(1 << 4); // USART1
    port_function.modify(0xff << 24, 0x77 << 24); // PB7 and PB6: function 7, the USART's
    port_pull.modify(0b11 << 14, 0b01 << 14); // PB7: pull-up
    port_mode.modify(0b1111 << 12, 0b1010 << 12); // PB7 and PB6: alternate function
    Usart::first(0x4001_1000, RESET_CLOCK, 37)
}
