//! Divides by zero: a panic must end the firmware with a message and a failing exit code.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use vit_boards::exit;

#[entry]
fn main() -> ! {
    exit(1 / black_box(0))
}
