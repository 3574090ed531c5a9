//! Classifies handwritten digits.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::{exit, ram};

#[entry]
fn main() -> ! {
    defmt::info!("hello");
    defmt::info!("RAM: {=usize} bytes of statics, {=usize} of stack", ram::statics(), ram::stack());
    exit(0)
}
