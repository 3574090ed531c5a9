//! STM32VLDISCOVERY: an STM32F100RB, a Cortex-M3. It runs at the clock that it has after a reset.

use crate::{
    registers::Register,
    uart::{stm32::Usart, Uart},
};

/// The board's name.
pub const NAME: &str = "STM32VLDISCOVERY";

/// The clock after a reset, in hertz.
const RESET_CLOCK: u32 = 8_000_000;
/// The processor's clock, in hertz. In the emulator, it differs from that of the board.
const CLOCK: u32 = if cfg!(feature = "probe") { RESET_CLOCK } else { 24_000_000 };

/// The clock that measures times.
pub type Timer = crate::timer::Core<CLOCK>;

/// Returns USART1, which transmits on PA9 and receives on PA10.
pub fn uart() -> impl Uart {
    let [apb2_clocks, port_high, port_output] = [0x4002_1018, 0x4001_0804, 0x4001_080c].map(Register::at);
    apb2_clocks.set(1 << 14 | 1 << 2); // USART1, port A
    port_high.modify(0xff << 4, 0x8b << 4); // PA10: input with pull-up or pull-down; PA9: the USART's output
    port_output.set(1 << 10); // PA10: pull-up
    Usart::first(0x4001_3800, RESET_CLOCK, 37)
}
