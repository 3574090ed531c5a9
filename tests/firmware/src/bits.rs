//! Classifies images from the host and returns every bit of the logits, so that the host can compare them with its own.
//!
//! The model is at the address that the memory map states, as if it were in flash. The other data are files, over
//! semihosting:
//!
//! - `model.vit` is the model file again. The firmware reads its length.
//! - `images.bin` has the levels of all images, one image after the other.
//! - `logits.bin` is the answer: 32 bits per class, little-endian, for one image after the other.
//! - If there is a file `micromath`, float models compute with [`float::Micromath`].

use crate::stack_of;
use semihosting::{
    fs::File,
    io::{self, Read, Write},
};
use vit_nostd::{
    float::{
        self,
        math::{Math, Polynomial},
    },
    int8, Element, Image, ModelError, Network,
};

/// Classifies the images with an integer model.
pub fn integers<N: Network>(model: &[u8], scratch: &mut int8::Scratch<N>) {
    let model = accept(int8::Model::<N>::from_bytes(model));
    classify::<N, i32, _>(|image| model.infer(image, scratch), i32::to_le_bytes);
}

/// Classifies the images with a float model.
pub fn floats<N: Network>(model: &[u8], scratch: &mut float::Scratch<N>) {
    match File::open(c"micromath") {
        Ok(_) => floats_by::<N, float::Micromath>(model, scratch),
        Err(_) => floats_by::<N, Polynomial>(model, scratch),
    }
}

fn floats_by<N: Network, M: Math>(model: &[u8], scratch: &mut float::Scratch<N>) {
    let model = accept(float::Model::<N, M>::from_bytes(model));
    classify::<N, f32, _>(|image| model.infer(image, scratch), f32::to_le_bytes);
}

fn classify<N: Network, T: Copy, L: AsRef<[T]>>(
    mut infer: impl FnMut(&Image<N>) -> L,
    bytes: fn(T) -> [u8; 4],
) {
    let mut images = expect(File::open(c"images.bin"), "opening images.bin");
    let mut answer = expect(File::create(c"logits.bin"), "creating logits.bin");

    let mut image = Image::<N>::ZERO;
    let count = expect(images.metadata(), "sizing images.bin").len() as usize / size_of_val(&image);
    let mut most = 0;
    for _ in 0..count {
        expect(images.read_exact(bytemuck::bytes_of_mut(&mut image)), "reading images.bin");
        let (logits, stack) = stack_of(|| infer(&image));
        most = most.max(stack);
        for &logit in logits.as_ref() {
            expect(answer.write_all(&bytes(logit)), "writing logits.bin");
        }
    }
    defmt::info!("{=usize} images, stack {=usize}", count, most);
}

/// Returns the value, or panics with the error in the model file.
pub fn accept<T>(result: Result<T, ModelError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => defmt::panic!("model.vit: {}", error),
    }
}

/// Returns the value, or panics with a message that `what` failed.
pub fn expect<T>(result: io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|_| defmt::panic!("{=str} failed", what))
}
