//! Runs [`bits`](test_firmware::bits) for the presets, for road signs, for images in colour that are not square, for
//! convolutions of several kinds, and for the most channels. A single ELF file contains all networks and both engines, as
//! far as the RAM is large enough.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::{
    bits::{self, accept},
    flashed_model,
};
use vit_boards::exit;
#[cfg(not(small))]
use vit_nostd::{float, Base, ConvTiny, Tiny};
use vit_nostd::{
    int8,
    model_file::{Kind, Preamble},
    ConvNano, Nano, Network,
};
use vit_test_networks::{Colour, OneConvolution, TwoConvolutions};
#[cfg(not(small))]
use vit_test_networks::{Signs, Widest};

#[entry]
fn main() -> ! {
    let model = flashed_model();
    let Preamble { kind, dims, .. } = accept(Preamble::read(model));
    match (kind, dims) {
        (Kind::Int8, Nano::DIMS) => integers::<Nano>(model),
        (Kind::Int8, Colour::DIMS) => integers::<Colour>(model),
        (Kind::Int8, ConvNano::DIMS) => integers::<ConvNano>(model),
        (Kind::Int8, OneConvolution::DIMS) => integers::<OneConvolution>(model),
        (Kind::Int8, TwoConvolutions::DIMS) => integers::<TwoConvolutions>(model),
        #[cfg(not(small))]
        (Kind::Int8, Widest::DIMS) => integers::<Widest>(model),
        #[cfg(not(small))]
        (Kind::Int8, Signs::DIMS) => integers::<Signs>(model),
        #[cfg(not(small))]
        (Kind::Int8, Tiny::DIMS) => integers::<Tiny>(model),
        #[cfg(not(small))]
        (Kind::Int8, ConvTiny::DIMS) => integers::<ConvTiny>(model),
        #[cfg(not(small))]
        (Kind::Int8, Base::DIMS) => integers::<Base>(model),
        #[cfg(not(small))]
        (Kind::F32, Colour::DIMS) => floats::<Colour>(model),
        #[cfg(not(small))]
        (Kind::F32, Nano::DIMS) => floats::<Nano>(model),
        #[cfg(not(small))]
        (Kind::F32, Tiny::DIMS) => floats::<Tiny>(model),
        #[cfg(not(small))]
        (Kind::F32, Base::DIMS) => floats::<Base>(model),
        #[cfg(not(small))]
        (Kind::F32, ConvNano::DIMS) => floats::<ConvNano>(model),
        #[cfg(not(small))]
        (Kind::F32, OneConvolution::DIMS) => floats::<OneConvolution>(model),
        #[cfg(not(small))]
        (Kind::F32, TwoConvolutions::DIMS) => floats::<TwoConvolutions>(model),
        (_, dims) => defmt::panic!("this firmware has no engine for the model's kind and shape, {}", dims),
    }
    exit(0)
}

/// Classifies the images with an integer model. The scratch memory is on the stack, because the smallest chip has no room
/// for that of all networks.
#[inline(never)]
fn integers<N: Network>(model: &[u8]) {
    bits::integers::<N>(model, &mut int8::Scratch::new());
}

/// Classifies the images with a float model.
#[cfg(not(small))]
#[inline(never)]
fn floats<N: Network>(model: &[u8]) {
    bits::floats::<N>(model, &mut float::Scratch::new());
}
