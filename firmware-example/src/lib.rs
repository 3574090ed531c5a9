//! The board and the model that the firmware here is built for.

#![no_std]

mod board;

pub use board::Board;

/// The board's stopwatch.
pub type Timer = <Board as vit_boards::Board>::Timer;

/// The model in the firmware, and its network. The build script chooses them.
pub mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}
