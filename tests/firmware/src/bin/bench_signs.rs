//! Measures inferences of a network for road signs in colour.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::{bench::bench, Signs};
use vit_nostd::int8::Scratch;

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Signs> = Scratch::new();

    bench(SCRATCH)
}
