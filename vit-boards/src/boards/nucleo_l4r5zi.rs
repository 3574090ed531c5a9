use crate::{registers::Register, timer, uart, Board};
use cortex_m::Peripherals;

/// The processor's clock, and the serial port's, in hertz.
const CLOCK: u32 = 48_000_000;

/// NUCLEO-L4R5ZI: an STM32L4R5ZI, a Cortex-M4F. It runs at 48 MHz, the fastest range of its internal oscillator MSI.
/// The chip's highest clock of 120 MHz needs a PLL and a higher core voltage, which this board leaves alone.
///
/// The serial port is LPUART1, which transmits on PG7 and receives on PG8. It leads to the USB connector of the debug
/// probe.
pub struct NucleoL4r5zi(());

impl Board for NucleoL4r5zi {
    const NAME: &'static str = "NUCLEO-L4R5ZI";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        // After a reset, the clock is the MSI at 4 MHz, and the supply voltage is in range 1.
        let [flash_access, clock_control] = [0x4002_2000, 0x4002_1000].map(Register::at);
        flash_access.modify(0b1111, 2); // wait states, as a clock of 40 to 60 MHz needs
        while flash_access.read() & 0b1111 != 2 {}
        while clock_control.read() & MSI_READY == 0 {} // the range must not be changed before
        clock_control.modify(0b1111 << 4 | MSI_RANGE_HERE, 11 << 4 | MSI_RANGE_HERE); // range 11: 48 MHz
        while clock_control.read() & MSI_READY == 0 {}
        Self(())
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
    }

    fn uart(self) -> impl uart::Uart {
        let [ahb2_clocks, apb1_clocks, apb1_clocks_2] =
            [0x4002_104c, 0x4002_1058, 0x4002_105c].map(Register::at);
        let power = Register::at(0x4000_7004);
        let [port_mode, port_pull, port_function_low, port_function_high] =
            [0x4800_1800, 0x4800_180c, 0x4800_1820, 0x4800_1824].map(Register::at);
        apb1_clocks.set(1 << 28); // the power control
        power.set(1 << 9); // the supply of port G, VDDIO2, is valid
        ahb2_clocks.set(1 << 6); // port G
        apb1_clocks_2.set(1 << 0); // LPUART1, whose clock is that of its bus
        port_function_low.modify(0xf << 28, 8 << 28); // PG7: function 8, LPUART1's
        port_function_high.modify(0xf, 8); // PG8: function 8, LPUART1's
        port_pull.modify(0b11 << 16, 0b01 << 16); // PG8: pull-up
        port_mode.modify(0b1111 << 14, 0b1010 << 14); // PG8 and PG7: alternate function

        // SAFETY: these are LPUART1's registers and interrupt, and nothing else uses it.
        unsafe { uart::Usart::low_power(0x4000_8000, CLOCK, 70) }
    }
}

/// The bit of the clock control that is set while the MSI is stable.
const MSI_READY: u32 = 1 << 1;
/// The bit of the clock control that lets the MSI have the range that is in this register.
const MSI_RANGE_HERE: u32 = 1 << 3;
