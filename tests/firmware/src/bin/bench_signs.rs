//! Measures inferences of a network for road signs in colour.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::bench::bench;
use vit_nostd::int8::Scratch;
use vit_test_networks::Signs;

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Signs> = Scratch::new();

    bench(SCRATCH)
}
