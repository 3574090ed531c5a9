//! The boards, and the flash, the RAM and the instructions that a network takes on them, as functions of its dimensions.

pub mod boards;
pub mod core;
pub mod instructions;
pub mod memory;
pub mod needs;
