//! Executes an undefined instruction: a fault must end the firmware with a message and a failing exit code.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use vit_boards as _;

#[entry]
fn main() -> ! {
    cortex_m::asm::udf()
}
