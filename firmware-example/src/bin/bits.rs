//! Classifies whatever the host sends, and sends back every bit of the logits: for the host to compare with its own.
//!
//! The files, over semihosting: `model.vit`, `images.bin` (the pixels of one image after the other), and as the
//! answer `logits.bin` (32 bits a class, little-endian). One ELF file serves every preset and both engines.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::exit;
use semihosting::{
    fs::File,
    io::{self, Read, Write},
};
use vit_nostd::{
    float, int8,
    model_file::{Aligned, Kind, Preamble},
    Base, Element, Image, ModelError, Nano, Shape, Tiny,
};

/// Room for the largest preset.
const CAPACITY: usize = float::Model::<Base>::WEIGHT_BYTES + 1024;

/// Memory for one shape.
struct Scratch<S: Shape> {
    float: float::Scratch<S>,
    int8: int8::Scratch<S>,
}

impl<S: Shape> Scratch<S> {
    const fn new() -> Self {
        Self { float: float::Scratch::new(), int8: int8::Scratch::new() }
    }
}

#[entry]
fn main() -> ! {
    static mut MODEL: Aligned<[u8; CAPACITY]> = Aligned([0; CAPACITY]);
    static mut BASE: Scratch<Base> = Scratch::new();
    static mut TINY: Scratch<Tiny> = Scratch::new();
    static mut NANO: Scratch<Nano> = Scratch::new();

    let model = read_model(&mut MODEL.0);
    let Preamble { kind, dims, .. } = accept(Preamble::read(model));
    match dims {
        Base::DIMS => run(kind, model, BASE),
        Tiny::DIMS => run(kind, model, TINY),
        Nano::DIMS => run(kind, model, NANO),
        dims => defmt::panic!("no preset has the shape {}", dims),
    }
    exit(0)
}

fn run<S: Shape>(kind: Kind, model: &[u8], scratch: &mut Scratch<S>) {
    match kind {
        Kind::F32 => {
            let model = accept(float::Model::<S>::from_bytes(model));
            classify::<S, f32, _>(|image| model.infer(image, &mut scratch.float), f32::to_le_bytes);
        }
        Kind::Int8 => {
            let model = accept(int8::Model::<S>::from_bytes(model));
            classify::<S, i32, _>(|image| model.infer(image, &mut scratch.int8), i32::to_le_bytes);
        }
    }
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
        for &logit in infer(&pixels).as_ref() {
            expect(answer.write_all(&bytes(logit)), "writing logits.bin");
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

fn accept<T>(result: Result<T, ModelError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => defmt::panic!("model.vit: {}", error),
    }
}

fn expect<T>(result: io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|_| defmt::panic!("{=str} failed", what))
}
