//! The parts that the programs of this firmware share: the board, the network, the model, and the samples that come with
//! it. The build script chooses them.

#![no_std]

mod board;

pub use board::Board;

include!(concat!(env!("OUT_DIR"), "/model.rs"));
