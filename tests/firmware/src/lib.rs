//! Firmware for the tests, on the boards of `firmware-example`: it classifies what the host sends, tells what an inference
//! takes, or fails.

#![no_std]

pub mod bench;
pub mod bits;

/// The model file that the emulator has put into the chip's memory, where the memory map says; the file `model.vit` beside
/// it tells how long it is.
pub fn flashed_model() -> &'static [u8] {
    unsafe extern "C" {
        /// Defined in the memory map.
        static _model: u8;
    }
    let metadata = semihosting::fs::File::open(c"model.vit").and_then(|file| file.metadata());
    let Ok(metadata) = metadata else { defmt::panic!("no model.vit") };
    // SAFETY: the emulator has put this file of as many bytes at `_model`, in memory that is nobody else's.
    unsafe { core::slice::from_raw_parts(&raw const _model, metadata.len() as usize) }
}
