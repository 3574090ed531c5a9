use crate::{timer, uart, Board};
use cortex_m::Peripherals;
use rp235x_hal::{
    block::ImageDef,
    clocks::{init_clocks_and_plls, Clock, ClocksManager},
    fugit::HertzU32,
    gpio::Pins,
    pac,
    uart::{DataBits, StopBits, UartConfig, UartPeripheral},
    Sio, Watchdog,
};

/// Tells the boot loader, which is in the chip's ROM, that this is a program for the Arm processors in the secure
/// state. The boot loader expects it in the first 4 KB of the flash, where the memory map puts it.
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE: ImageDef = ImageDef::secure_exe();

/// The frequency of the board's crystal, in hertz.
const CRYSTAL: u32 = 12_000_000;
/// The processor's clock, in hertz.
const CLOCK: u32 = 150_000_000;

/// Raspberry Pi Pico 2: an RP2350, whose two Cortex-M33 with the DSP extension run at 150 MHz. The firmware uses one of
/// them, and stays in the secure state, in which the chip starts.
///
/// The serial port is UART0, which transmits on GP0 and receives on GP1.
pub struct Pico2 {
    clocks: ClocksManager,
    pins: Pins,
    resets: pac::RESETS,
    uart: pac::UART0,
}

impl Board for Pico2 {
    const NAME: &'static str = "Raspberry Pi Pico 2";

    type Timer = timer::Core<CLOCK>;

    fn init() -> Self {
        let mut chip = defmt::unwrap!(pac::Peripherals::take(), "the board is initialised twice");
        let clocks = init_clocks_and_plls(
            CRYSTAL,
            chip.XOSC,
            chip.CLOCKS,
            chip.PLL_SYS,
            chip.PLL_USB,
            &mut chip.RESETS,
            &mut Watchdog::new(chip.WATCHDOG),
        );
        let clocks = defmt::unwrap!(clocks.ok(), "the clocks do not start");
        let port = Sio::new(chip.SIO).gpio_bank0;
        let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, port, &mut chip.RESETS);
        Self { clocks, pins, resets: chip.RESETS, uart: chip.UART0 }
    }

    fn timer(&self, peripherals: Peripherals) -> Self::Timer {
        timer::Core::new(peripherals)
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
