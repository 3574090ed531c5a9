//! Classifies whatever the host sends, and sends back every bit of the logits: for the host to compare with its own.
//!
//! The model is where the memory map says, as if it were in flash. The files, over semihosting: `model.vit` (the same,
//! for its length), `images.bin` (the pixels of one image after the other), and as the answer `logits.bin` (32 bits a
//! class, little-endian). Where there is a file `micromath`, float models compute with it. One ELF file serves every preset and both engines, where the RAM suffices.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::{exit, flashed_model};
use semihosting::{
    fs::File,
    io::{self, Read, Write},
};
#[cfg(not(small))]
use vit_nostd::{
    float::{
        self,
        math::{Math, Polynomial},
    },
    Base, Tiny,
};
use vit_nostd::{
    int8,
    model_file::{Kind, Preamble},
    Element, Image, ModelError, Nano, Shape,
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
        (_, dims) => defmt::panic!("not served here: this kind of model, or its shape {}", dims),
    }
    exit(0)
}

fn integers<S: Shape>(model: &[u8], scratch: &mut int8::Scratch<S>) {
    let model = accept(int8::Model::<S>::from_bytes(model));
    classify::<S, i32, _>(|image| model.infer(image, scratch), i32::to_le_bytes);
}

#[cfg(not(small))]
fn floats<S: Shape>(model: &[u8], scratch: &mut float::Scratch<S>) {
    match File::open(c"micromath") {
        Ok(_) => floats_by::<S, float::Micromath>(model, scratch),
        Err(_) => floats_by::<S, Polynomial>(model, scratch),
    }
}

#[cfg(not(small))]
fn floats_by<S: Shape, M: Math>(model: &[u8], scratch: &mut float::Scratch<S>) {
    let model = accept(float::Model::<S, M>::from_bytes(model));
    classify::<S, f32, _>(|image| model.infer(image, scratch), f32::to_le_bytes);
}

fn classify<S: Shape, T: Copy, L: AsRef<[T]>>(
    mut infer: impl FnMut(&Image<S>) -> L,
    bytes: fn(T) -> [u8; 4],
) {
    let mut images = expect(File::open(c"images.bin"), "opening images.bin");
    let mut answer = expect(File::create(c"logits.bin"), "creating logits.bin");

    let mut pixels = Image::<S>::ZERO;
    let count = expect(images.metadata(), "sizing images.bin").len() as usize / size_of_val(&pixels);
    for _ in 0..count {
        for row in pixels.as_mut() {
            expect(images.read_exact(row.as_mut()), "reading images.bin");
        }
        let logits = infer(&pixels);
        for &logit in logits.as_ref() {
            expect(answer.write_all(&bytes(logit)), "writing logits.bin");
        }
    }
    defmt::info!("{=usize} images", count);
}

fn accept<T>(result: Result<T, ModelError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => defmt::panic!("model.vit: {}", error),
    }
}

fn expect<T>(result: io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|_| defmt::panic!("{=str} failed", what))
}
