//! A program that only resizes frames and runs inferences, for `tests/tests/outside/no_panic.rs`. It is linked for a
//! chip, but never run.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use vit_nostd::{
    float::{
        self,
        math::{Math, Polynomial},
        Micromath,
    },
    frame::{Fit, Frame, FrameError, Input, Resizer},
    int8, Base, ConvNano, Image, Nano, Network, Vector,
};

vit_nostd::network! {
    pub Colour { image: [6, 20, 3], patch: [3, 5], embed: 132, heads: 2, hidden: 36, depth: 2, classes: 7 }
    pub Overlapping {
        image: [11, 9, 3],
        tokenizer: [{ kernel: 4, stride: 2, padding: 3 }],
        embed: 20, heads: 1, hidden: 24, depth: 2, classes: 5,
    }
}

type Float<'a, N, M> =
    (&'a float::Model<'a, N, M>, &'a Image<N>, &'a mut float::Scratch<N>, &'a mut Vector<<N as Network>::Classes, f32>);
type Int8<'a, N> =
    (&'a int8::Model<'a, N>, &'a Image<N>, &'a mut int8::Scratch<N>, &'a mut Vector<<N as Network>::Classes, i32>);
/// A frame, sums and an image.
type Memory<'a> = (&'a [u8], &'a mut [u32], &'a mut [u8]);
type Task<'a, N> = (Float<'a, N, Polynomial>, Float<'a, N, Micromath>, Int8<'a, N>);

/// Resizes a frame and runs an inference of each task. The models are arguments, so that the compiler knows nothing
/// about them.
#[unsafe(no_mangle)]
pub fn _start(
    frame: (Frame, Fit, Input),
    memory: Memory,
    (base, colour, nano): (Task<Base>, Task<Colour>, Task<Nano>),
    (conv_nano, overlapping): (Task<ConvNano>, Task<Overlapping>),
) {
    let _ = resize_frame(frame, memory);
    run(base);
    run(colour);
    run(nano);
    run(conv_nano);
    run(overlapping);
}

fn run<N: Network>((for_polynomial, for_micromath, for_int8): Task<N>) {
    infer_float(for_polynomial);
    infer_float(for_micromath);
    infer_int8(for_int8);
}

// The test looks for the symbols of these functions, because the compiler may inline all functions of the library.
#[inline(never)]
fn infer_float<N: Network, M: Math>((model, image, scratch, logits): Float<N, M>) {
    *logits = model.infer(image, scratch);
    // The test must detect this possible panic.
    #[cfg(feature = "can_fail")]
    {
        let level = image.as_ref()[0].as_ref()[0].as_ref()[0];
        logits.as_mut()[usize::from(level)] = 0.0;
    }
}

#[inline(never)]
fn infer_int8<N: Network>((model, image, scratch, logits): Int8<N>) {
    *logits = model.infer(image, scratch);
}

#[inline(never)]
fn resize_frame(
    (frame, fit, input): (Frame, Fit, Input),
    (pixels, sums, image): Memory,
) -> Result<(), FrameError> {
    let mut resizer = Resizer::new(frame, fit, input, sums, image)?;
    let mut rest = pixels;
    while let Some((line, below)) = rest.split_at_checked(frame.line_bytes()) {
        resizer.row(line)?;
        rest = below;
    }
    resizer.finish()
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {}
}
