//! What a network takes on a microcontroller: flash, RAM and instructions, as functions of its dimensions.

pub mod boards;
pub mod core;
pub mod instructions;
pub mod memory;
pub mod needs;
