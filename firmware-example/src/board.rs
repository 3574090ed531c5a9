//! The board that this firmware is built for. The build script chooses it.

#[cfg(board = "microbit")]
pub use vit_boards::Microbit as Board;
#[cfg(board = "mps2")]
pub use vit_boards::Mps2 as Board;
#[cfg(board = "mps2-an505")]
pub use vit_boards::Mps2An505 as Board;
#[cfg(board = "netduinoplus2")]
pub use vit_boards::Netduinoplus2 as Board;
#[cfg(board = "nrf52840-dk")]
pub use vit_boards::Nrf52840Dk as Board;
#[cfg(board = "nucleo-h743zi")]
pub use vit_boards::NucleoH743zi as Board;
#[cfg(board = "nucleo-l4r5zi")]
pub use vit_boards::NucleoL4r5zi as Board;
#[cfg(board = "pico")]
pub use vit_boards::Pico as Board;
#[cfg(board = "pico2")]
pub use vit_boards::Pico2 as Board;
#[cfg(board = "stm32vldiscovery")]
pub use vit_boards::Stm32vldiscovery as Board;
