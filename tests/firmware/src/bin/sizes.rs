//! Logs the size of the scratch memory of many networks.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use vit_boards::exit;
use vit_nostd::{int8::Scratch, Network};
use vit_test_networks::{each_shape, Visitor};

struct Log;

impl Visitor for Log {
    fn visit<N: Network>(&mut self) {
        defmt::info!("{=str}: {=usize}", N::NAME, Scratch::<N>::BYTES);
    }
}

#[entry]
fn main() -> ! {
    each_shape(&mut Log);
    exit(0)
}
