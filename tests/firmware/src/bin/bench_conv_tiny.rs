//! Measures inferences of `conv-tiny`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::bench::bench;
use vit_nostd::{int8::Scratch, ConvTiny};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<ConvTiny> = Scratch::new();

    bench(SCRATCH)
}
