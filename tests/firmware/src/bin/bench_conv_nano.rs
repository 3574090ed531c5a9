//! Measures inferences of `conv-nano`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::bench::bench;
use vit_nostd::{int8::Scratch, ConvNano};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<ConvNano> = Scratch::new();

    bench(SCRATCH)
}
