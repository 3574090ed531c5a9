//! Runs [`bits`](test_firmware::bits) for the presets. A single ELF file contains all presets and both engines, as far
//! as the RAM is large enough.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::exit;
#[cfg(not(small))]
use test_firmware::bits::floats;
use test_firmware::{
    bits::{accept, integers},
    flashed_model,
};
#[cfg(not(small))]
use vit_nostd::{float, Base, Tiny};
use vit_nostd::{
    int8,
    model_file::{Kind, Preamble},
    Nano, Network,
};

#[entry]
fn main() -> ! {
    static mut NANO: int8::Scratch<Nano> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut TINY: int8::Scratch<Tiny> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut BASE: int8::Scratch<Base> = int8::Scratch::new();
    #[cfg(not(small))]
    static mut FLOAT_NANO: float::Scratch<Nano> = float::Scratch::new();
    #[cfg(not(small))]
    static mut FLOAT_TINY: float::Scratch<Tiny> = float::Scratch::new();
    #[cfg(not(small))]
    static mut FLOAT_BASE: float::Scratch<Base> = float::Scratch::new();

    let model = flashed_model();
    let Preamble { kind, dims, .. } = accept(Preamble::read(model));
    match (kind, dims) {
        (Kind::Int8, Nano::DIMS) => integers(model, NANO),
        #[cfg(not(small))]
        (Kind::Int8, Tiny::DIMS) => integers(model, TINY),
        #[cfg(not(small))]
        (Kind::Int8, Base::DIMS) => integers(model, BASE),
        #[cfg(not(small))]
        (Kind::F32, Nano::DIMS) => floats(model, FLOAT_NANO),
        #[cfg(not(small))]
        (Kind::F32, Tiny::DIMS) => floats(model, FLOAT_TINY),
        #[cfg(not(small))]
        (Kind::F32, Base::DIMS) => floats(model, FLOAT_BASE),
        (_, dims) => defmt::panic!("this firmware has no engine for the model's kind and shape, {}", dims),
    }
    exit(0)
}
