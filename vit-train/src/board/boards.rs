//! The boards that `vit-train new` writes firmware for: those of the crate `vit-boards`.

use super::core::Core;

/// A board, or a chip that the emulator takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The name on the command line.
    pub name: String,
    /// The processor's core.
    pub core: Core,
    /// The size of the flash that firmware may take, in bytes.
    pub flash: usize,
    /// The size of the RAM that firmware may take, in bytes.
    pub ram: usize,
    /// The processor's clock in hertz, with which firmware runs on hardware.
    pub clock: u32,
    /// The support for the board in `vit-boards`.
    pub support: Support,
    /// The chip's name for probe-rs, if the board is a real one.
    pub chip: Option<String>,
}

/// The type of a board in `vit-boards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// The name of the type.
    pub type_name: &'static str,
    /// The crate's feature, which has the name of the memory map.
    pub feature: &'static str,
    /// The Rust target.
    pub target: &'static str,
    /// The machine of QEMU, if it emulates the board.
    pub machine: Option<&'static str>,
}

/// The number of bytes in a kilobyte and in a megabyte of memory.
const KB: usize = 1 << 10;
const MB: usize = 1 << 20;

/// A row of the table: the name, the core, flash, RAM, clock in hertz, and the support.
type Row = (&'static str, Core, usize, usize, u32, Option<&'static str>, Support);

const fn support(
    type_name: &'static str,
    feature: &'static str,
    target: &'static str,
    machine: Option<&'static str>,
) -> Support {
    Support { type_name, feature, target, machine }
}

const V6M: &str = "thumbv6m-none-eabi";
const V7M: &str = "thumbv7m-none-eabi";
const V7EM: &str = "thumbv7em-none-eabihf";
/// The target for a Cortex-M7 whose floating-point unit is not used.
const V7EM_SOFT: &str = "thumbv7em-none-eabi";
const V8M: &str = "thumbv8m.main-none-eabihf";

/// All boards. The clock is the one that `vit-boards` sets on hardware.
#[rustfmt::skip]
const BOARDS: [Row; 12] = [
    ("microbit", Core::M0, 256 * KB, 16 * KB, 16_000_000, Some("nRF51822_xxAA"), support("Microbit", "microbit", V6M, Some("microbit"))),
    ("pico", Core::M0, 2 * MB - 256, 256 * KB, 125_000_000, Some("RP2040"), support("Pico", "pico", V6M, None)),
    ("stm32vldiscovery", Core::M3, 128 * KB, 8 * KB, 8_000_000, Some("STM32F100RB"), support("Stm32vldiscovery", "stm32vldiscovery", V7M, Some("stm32vldiscovery"))),
    ("netduinoplus2", Core::M4, MB, 128 * KB, 16_000_000, Some("STM32F405RGTx"), support("Netduinoplus2", "netduinoplus2", V7EM, Some("netduinoplus2"))),
    ("nrf52840-dk", Core::M4, MB, 256 * KB, 64_000_000, Some("nRF52840_xxAA"), support("Nrf52840Dk", "nrf52840-dk", V7EM, None)),
    ("nucleo-l4r5zi", Core::M4, 2 * MB, 640 * KB, 48_000_000, Some("STM32L4R5ZITx"), support("NucleoL4r5zi", "nucleo-l4r5zi", V7EM, None)),
    ("nucleo-h743zi", Core::M7, 2 * MB, 128 * KB, 64_000_000, Some("STM32H743ZITx"), support("NucleoH743zi", "nucleo-h743zi", V7EM, None)),
    ("pico2", Core::M33, 4 * MB, 512 * KB, 150_000_000, Some("RP235x"), support("Pico2", "pico2", V8M, None)),
    ("mps2-an385", Core::M3, 4 * MB, 256 * KB, 25_000_000, None, support("Mps2", "mps2", V7M, Some("mps2-an385"))),
    ("mps2-an386", Core::M4, 4 * MB, 256 * KB, 25_000_000, None, support("Mps2", "mps2", V7EM, Some("mps2-an386"))),
    ("mps2-an500", Core::M7, 4 * MB, 256 * KB, 25_000_000, None, support("Mps2", "mps2", V7EM_SOFT, Some("mps2-an500"))),
    ("mps2-an505", Core::M33, 4 * MB, 256 * KB, 20_000_000, None, support("Mps2An505", "mps2-an505", V8M, Some("mps2-an505"))),
];

impl Board {
    /// Returns all boards.
    pub fn all() -> Vec<Self> {
        let board = |(name, core, flash, ram, clock, chip, support): Row| Self {
            name: name.to_owned(),
            core,
            flash,
            ram,
            clock,
            support,
            chip: chip.map(str::to_owned),
        };
        BOARDS.map(board).into()
    }

    /// Returns the board with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|board| board.name == name)
    }

    /// True if the board is on the list.
    pub fn is_known(&self) -> bool {
        Self::named(&self.name).is_some()
    }

    /// Returns a board that is not on the list, with this much flash and RAM. Firmware for it runs on the emulated board
    /// of its core.
    pub fn of_core(core: Core, flash: usize, ram: usize, clock: u32) -> Self {
        Self { name: core.name().to_owned(), core, flash, ram, clock, support: core.twin(), chip: None }
    }
}

impl Core {
    /// Returns the emulated board that has this core, or executes the same instructions, and much memory.
    pub fn twin(self) -> Support {
        match self {
            Self::M0 => support("Mps2", "mps2", V6M, Some("mps2-an385")),
            Self::M3 => support("Mps2", "mps2", V7M, Some("mps2-an385")),
            Self::M4 => support("Mps2", "mps2", V7EM, Some("mps2-an386")),
            Self::M7 => support("Mps2", "mps2", V7EM_SOFT, Some("mps2-an500")),
            Self::M33 => support("Mps2An505", "mps2-an505", V8M, Some("mps2-an505")),
        }
    }
}
