use crate::{registers::Register, timer, uart, Board};
use cortex_m::Peripherals;

/// The clock after a reset, in hertz.
const RESET_CLOCK: u32 = 16_000_000;
/// The processor's clock, in hertz. In the emulator, it differs from that of the board.
const CLOCK: u32 = if cfg!(feature = "probe") { RESET_CLOCK } else { 168_000_000 };

/// Netduino Plus 2: an STM32F405RG, a Cortex-M4F. It runs at the clock that it has after a reset, 16 MHz.
///
/// The serial port is USART1, which transmits on PB6 and receives on PB7.
pub struct Netduinoplus2;

impl Board for Netduinoplus2 {
    const NAME: &'static str = "Netduino Plus 2";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        Self
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        let [ahb1_clocks, apb2_clocks] = [0x4002_3830, 0x4002_3844].map(Register::at);
        let [port_mode, port_pull, port_function] = [0x4002_0400, 0x4002_040c, 0x4002_0420].map(Register::at);
        ahb1_clocks.set(1 << 1); // port B
        apb2_clocks.set(1 << 4); // USART1
        port_function.modify(0xff << 24, 0x77 << 24); // PB7 and PB6: function 7, the USART's
        port_pull.modify(0b11 << 14, 0b01 << 14); // PB7: pull-up
        port_mode.modify(0b1111 << 12, 0b1010 << 12); // PB7 and PB6: alternate function

        // SAFETY: these are USART1's registers and interrupt, and nothing else uses it.
        unsafe { uart::Usart::first(0x4001_1000, RESET_CLOCK, 37) }
    }
}
