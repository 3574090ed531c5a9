//! Measures inferences of `base`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::bench::bench;
use vit_nostd::{int8::Scratch, Base};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Base> = Scratch::new();

    bench(SCRATCH)
}
