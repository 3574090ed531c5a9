//! The board that this firmware is built for: one of the folders in `boards/`, which the build script chooses.
//!
//! Each board defines its name ([`NAME`]), the clock that measures times ([`Timer`]) and its serial port ([`uart`]).

#[cfg_attr(board = "mps2", path = "../boards/mps2/board.rs")]
#[cfg_attr(board = "mps2-an500", path = "../boards/mps2/board.rs")]
#[cfg_attr(board = "mps2-an505", path = "../boards/mps2-an505/board.rs")]
#[cfg_attr(board = "microbit", path = "../boards/microbit/board.rs")]
#[cfg_attr(board = "stm32vldiscovery", path = "../boards/stm32vldiscovery/board.rs")]
#[cfg_attr(board = "netduinoplus2", path = "../boards/netduinoplus2/board.rs")]
#[cfg_attr(board = "nrf52840-dk", path = "../boards/nrf52840-dk/board.rs")]
#[cfg_attr(board = "nucleo-h743zi", path = "../boards/nucleo-h743zi/board.rs")]
mod this;

pub use this::*;
