//! Measures inferences of `tiny`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::bench::bench;
use vit_nostd::{int8::Scratch, Tiny};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Tiny> = Scratch::new();

    bench(SCRATCH)
}
