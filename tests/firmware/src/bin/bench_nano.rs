//! Measures inferences of `nano`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::bench::bench;
use vit_nostd::{int8::Scratch, Nano};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Nano> = Scratch::new();

    bench(SCRATCH)
}
