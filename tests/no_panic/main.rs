//! A program of nothing but inferences, for `tests/no_panic.rs`: it is linked for a chip and never run.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use vit_nostd::{
    float::{
        self,
        math::{Math, Polynomial},
        Micromath,
    },
    int8, Base, Image, Nano, Shape, Tiny,
};

type Float<'a, S, M> =
    (&'a float::Model<'a, S, M>, &'a Image<S>, &'a mut float::Scratch<S>, &'a mut <S as Shape>::Classes<f32>);
type Int8<'a, S> =
    (&'a int8::Model<'a, S>, &'a Image<S>, &'a mut int8::Scratch<S>, &'a mut <S as Shape>::Classes<i32>);
type Task<'a, S> = (Float<'a, S, Polynomial>, Float<'a, S, Micromath>, Int8<'a, S>);

/// The models come from outside, so that nothing about them is known when this is compiled.
#[no_mangle]
pub fn _start(base: Task<Base>, tiny: Task<Tiny>, nano: Task<Nano>) {
    run(base);
    run(tiny);
    run(nano);
}

fn run<S: Shape>((for_polynomial, for_micromath, for_int8): Task<S>) {
    infer_float(for_polynomial);
    infer_float(for_micromath);
    infer_int8(for_int8);
}

// Functions with names that the test looks for, because the compiler may inline all of the library's.
#[inline(never)]
fn infer_float<S: Shape, M: Math>((model, image, scratch, logits): Float<S, M>) {
    *logits = model.infer(image, scratch);
    // What the test must notice.
    #[cfg(feature = "can_fail")]
    {
        let pixel = image.as_ref()[0].as_ref()[0];
        logits.as_mut()[usize::from(pixel)] = 0.0;
    }
}

#[inline(never)]
fn infer_int8<S: Shape>((model, image, scratch, logits): Int8<S>) {
    *logits = model.infer(image, scratch);
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {}
}
