//! Runs [`bits`](test_firmware::bits) for the presets, for road signs, for images in colour that are not square, and for
//! the most channels. A single ELF file contains all networks and both engines, as far as the RAM is large enough.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
#[cfg(not(small))]
use test_firmware::bits::floats;
use test_firmware::{
    bits::{accept, integers},
    flashed_model,
};
use vit_boards::exit;
#[cfg(not(small))]
use vit_nostd::{float, Base, Tiny};
use vit_nostd::{
    int8,
    model_file::{Kind, Preamble},
    Nano, Network,
};
use vit_test_networks::Colour;
#[cfg(not(small))]
use vit_test_networks::{Signs, Widest};

#[entry]
fn main() -> ! {
    static mut NANO: int8::Scratch<Nano> = int8::Scratch::new();
    static mut COLOUR: int8::Scratch<Colour> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut WIDEST: int8::Scratch<Widest> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut SIGNS: int8::Scratch<Signs> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut TINY: int8::Scratch<Tiny> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut BASE: int8::Scratch<Base> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut FLOAT: (
        float::Scratch<Colour>,
        float::Scratch<Nano>,
        float::Scratch<Tiny>,
        float::Scratch<Base>,
    ) = (float::Scratch::new(), float::Scratch::new(), float::Scratch::new(), float::Scratch::new());

    let model = flashed_model();
    let Preamble { kind, dims, .. } = accept(Preamble::read(model));
    match (kind, dims) {
        (Kind::Int8, Nano::DIMS) => integers(model, NANO),
        (Kind::Int8, Colour::DIMS) => integers(model, COLOUR),
        #[cfg(not(small))]
        (Kind::Int8, Widest::DIMS) => integers(model, WIDEST),
        #[cfg(not(small))]
        (Kind::Int8, Signs::DIMS) => integers(model, SIGNS),
        #[cfg(not(small))]
        (Kind::Int8, Tiny::DIMS) => integers(model, TINY),
        #[cfg(not(small))]
        (Kind::Int8, Base::DIMS) => integers(model, BASE),
        #[cfg(not(small))]
        (Kind::F32, Colour::DIMS) => floats(model, &mut FLOAT.0),
        #[cfg(not(small))]
        (Kind::F32, Nano::DIMS) => floats(model, &mut FLOAT.1),
        #[cfg(not(small))]
        (Kind::F32, Tiny::DIMS) => floats(model, &mut FLOAT.2),
        #[cfg(not(small))]
        (Kind::F32, Base::DIMS) => floats(model, &mut FLOAT.3),
        (_, dims) => defmt::panic!("this firmware has no engine for the model's kind and shape, {}", dims),
    }
    exit(0)
}
