//! Classifies whatever the host sends, and sends back every bit of the logits: for the host to compare with its own.
//!
//! The files, over semihosting: `model.vit`, `images.bin` (the pixels of one image after the other), and as the
//! answer `logits.bin` (32 bits a class, little-endian). One ELF file serves every preset.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::exit;
use semihosting::{
    fs::File,
    io::{self, Read, Write},
};
use vit_nostd::{
    float::{Model, Scratch},
    model_file::{Aligned, Preamble},
    Base, Element, Image, Nano, Shape, Tiny,
};

/// Room for the largest preset.
const CAPACITY: usize = Model::<Base>::WEIGHT_BYTES + 1024;

#[entry]
fn main() -> ! {
    static mut MODEL: Aligned<[u8; CAPACITY]> = Aligned([0; CAPACITY]);
    static mut BASE: Scratch<Base> = Scratch::new();
    static mut TINY: Scratch<Tiny> = Scratch::new();
    static mut NANO: Scratch<Nano> = Scratch::new();

    let model = read_model(&mut MODEL.0);
    match Preamble::read(model).map(|preamble| preamble.dims) {
        Ok(Base::DIMS) => classify(model, BASE),
        Ok(Tiny::DIMS) => classify(model, TINY),
        Ok(Nano::DIMS) => classify(model, NANO),
        Ok(dims) => defmt::panic!("no preset has the shape {}", dims),
        Err(error) => defmt::panic!("model.vit: {}", error),
    }
    exit(0)
}

fn classify<S: Shape>(model: &[u8], scratch: &mut Scratch<S>) {
    let model = match Model::<S>::from_bytes(model) {
        Ok(model) => model,
        Err(error) => defmt::panic!("model.vit: {}", error),
    };
    let mut images = expect(File::open(c"images.bin"), "opening images.bin");
    let mut answer = expect(File::create(c"logits.bin"), "creating logits.bin");

    let mut pixels = Image::<S>::ZERO;
    let count = expect(images.metadata(), "sizing images.bin").len() as usize / size_of_val(&pixels);
    for _ in 0..count {
        for row in pixels.as_mut() {
            expect(images.read_exact(row.as_mut()), "reading images.bin");
        }
        for logit in model.infer(&pixels, scratch).as_ref() {
            expect(answer.write_all(&logit.to_le_bytes()), "writing logits.bin");
        }
    }
    defmt::info!("{=usize} images classified", count);
}

/// Reads the model into the front of `buffer`.
fn read_model(buffer: &mut [u8]) -> &[u8] {
    let mut file = expect(File::open(c"model.vit"), "opening model.vit");
    let len = expect(file.metadata(), "sizing model.vit").len() as usize;
    match buffer.get_mut(..len) {
        Some(content) => {
            expect(file.read_exact(content), "reading model.vit");
            content
        }
        None => defmt::panic!("model.vit is too large: {=usize} bytes", len),
    }
}

fn expect<T>(result: io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|_| defmt::panic!("{=str} failed", what))
}
