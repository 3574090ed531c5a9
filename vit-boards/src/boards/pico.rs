use crate::{registers::Register, timer, uart, Board};
use cortex_m::Peripherals;
use rp2040_hal::{
    clocks::{init_clocks_and_plls, Clock, ClocksManager},
    fugit::HertzU32,
    gpio::Pins,
    pac,
    uart::{DataBits, StopBits, UartConfig, UartPeripheral},
    Sio, Timer, Watchdog,
};

/// The second stage of the boot loader, for the board's flash chip. The first stage, which is in the chip's ROM,
/// expects it at the beginning of the flash, where the memory map puts it.
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// The frequency of the board's crystal, in hertz.
const CRYSTAL: u32 = 12_000_000;

/// Raspberry Pi Pico: an RP2040, whose two Cortex-M0+ run at 125 MHz. The firmware uses one of them.
///
/// The serial port is UART0, which transmits on GP0 and receives on GP1. The processor has no cycle counter: times are
/// in microseconds.
pub struct Pico {
    clocks: ClocksManager,
    pins: Pins,
    resets: pac::RESETS,
    uart: pac::UART0,
}

impl Board for Pico {
    const NAME: &'static str = "Raspberry Pi Pico";

    type Timer = timer::Counter<1_000_000>;

    fn init() -> Self {
        let mut chip = defmt::unwrap!(pac::Peripherals::take(), "the board is initialised twice");
        let clocks = init_clocks_and_plls(
            CRYSTAL,
            chip.XOSC,
            chip.CLOCKS,
            chip.PLL_SYS,
            chip.PLL_USB,
            &mut chip.RESETS,
            &mut Watchdog::new(chip.WATCHDOG), // the timer gets its ticks from it
        );
        let clocks = defmt::unwrap!(clocks.ok(), "the clocks do not start");
        Timer::new(chip.TIMER, &mut chip.RESETS, &clocks);
        let port = Sio::new(chip.SIO).gpio_bank0;
        let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, port, &mut chip.RESETS);
        Self { clocks, pins, resets: chip.RESETS, uart: chip.UART0 }
    }

    fn timer(&self, _: Peripherals) -> Self::Timer {
        timer::Counter::new(Register::at(0x4005_4028)) // TIMERAWL, the low half of the count of microseconds
    }

    fn uart(self) -> impl uart::Uart {
        let Self { clocks, pins, mut resets, uart } = self;
        let pins = (pins.gpio0.into_function(), pins.gpio1.into_function());
        let rate = HertzU32::from_raw(vit_link::BAUD);
        let config = UartConfig::new(rate, DataBits::Eight, None, StopBits::One);
        let port =
            UartPeripheral::new(uart, pins, &mut resets).enable(config, clocks.peripheral_clock.freq());
        uart::Hal::new(defmt::unwrap!(port.ok(), "the serial port does not start"))
    }
}
