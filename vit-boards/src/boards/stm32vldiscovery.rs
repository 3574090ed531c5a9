use crate::{registers::Register, timer, uart, Board};
use cortex_m::Peripherals;

/// The clock after a reset, in hertz.
const RESET_CLOCK: u32 = 8_000_000;
/// The processor's clock, in hertz. In the emulator, it differs from that of the board.
const CLOCK: u32 = if cfg!(feature = "probe") { RESET_CLOCK } else { 24_000_000 };

/// STM32VLDISCOVERY: an STM32F100RB, a Cortex-M3. It runs at the clock that it has after a reset, 8 MHz.
///
/// The serial port is USART1, which transmits on PA9 and receives on PA10.
pub struct Stm32vldiscovery;

impl Board for Stm32vldiscovery {
    const NAME: &'static str = "STM32VLDISCOVERY";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        Self
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        let [apb2_clocks, port_high, port_output] = [0x4002_1018, 0x4001_0804, 0x4001_080c].map(Register::at);
        apb2_clocks.set(1 << 14 | 1 << 2); // USART1, port A
        port_high.modify(0xff << 4, 0x8b << 4); // PA10: input with pull-up or pull-down; PA9: the USART's output
        port_output.set(1 << 10); // PA10: pull-up

        // SAFETY: these are USART1's registers and interrupt, and nothing else uses it.
        unsafe { uart::Usart::first(0x4001_3800, RESET_CLOCK, 37) }
    }
}
