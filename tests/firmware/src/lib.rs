//! Firmware for the tests, on emulated boards. The programs classify images or resize frames from the host, measure
//! inferences, or fail.

#![no_std]

pub mod bench;
pub mod bits;

/// Calls `f`, and returns its result and the number of bytes of stack that it took.
pub fn stack_of<R>(f: impl FnOnce() -> R) -> (R, usize) {
    // SAFETY: the firmware of the tests has no heap, runs on the main stack, and enables no interrupt.
    unsafe { vit_boards::ram::stack_of(f) }
}

/// Returns the model file that the emulator has put into the chip's memory, at the address that the memory map states.
/// It has the length of the file `model.vit`, which the host provides.
pub fn flashed_model() -> &'static [u8] {
    unsafe extern "C" {
        /// Defined in the memory map.
        static _model: u8;
    }
    let metadata = semihosting::fs::File::open(c"model.vit").and_then(|file| file.metadata());
    let Ok(metadata) = metadata else { defmt::panic!("there is no file model.vit") };
    // SAFETY: the emulator has put the content of this file, with as many bytes, at `_model`. The memory map uses that
    // memory for nothing else, and nothing writes to it.
    unsafe { core::slice::from_raw_parts(&raw const _model, metadata.len() as usize) }
}
