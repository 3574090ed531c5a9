//! Measures inferences of the network of many shapes whose model is in the chip's memory.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::{bench::bench, bits::accept, flashed_model};
use vit_nostd::{int8::Scratch, model_file::Preamble, Dims, Network};
use vit_test_networks::{each_shape, Visitor};

struct Bench(Dims);

impl Visitor for Bench {
    fn visit<N: Network>(&mut self) {
        if N::DIMS == self.0 {
            bench(&mut Scratch::<N>::new())
        }
    }
}

#[entry]
fn main() -> ! {
    let Preamble { dims, .. } = accept(Preamble::read(flashed_model()));
    each_shape(&mut Bench(dims));
    defmt::panic!("the model is of no network that this firmware has: {}", dims)
}
