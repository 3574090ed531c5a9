//! [`bits`](firmware_example::bits) for networks at the limits: rows of weights that are longer than an offset in an
//! instruction reaches, the longest that it reaches, and many classes.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::{
    bits::{accept, floats, integers},
    exit, flashed_model,
};
use vit_nostd::{
    float, int8,
    model_file::{Kind, Preamble},
    Shape, Vit,
};

/// A row of 4096 weights for each channel of a patch, and one of 4092 in the MLP.
type LargePatch = Vit<64, 64, 2, 8, 2, 4, 4092, 1, 10>;
/// Rows of 8192 weights in the MLP.
type WideMlp = Vit<8, 8, 2, 8, 2, 4, 8192, 1, 10>;
/// As many classes.
type Classes<const N: usize> = Vit<8, 8, 2, 8, 2, 4, 16, 1, N>;

#[entry]
fn main() -> ! {
    static mut LARGE_PATCH: int8::Scratch<LargePatch> = int8::Scratch::new();
    static mut WIDE_MLP: int8::Scratch<WideMlp> = int8::Scratch::new();
    static mut INT8: (int8::Scratch<Classes<10>>, int8::Scratch<Classes<100>>, int8::Scratch<Classes<1000>>) =
        (int8::Scratch::new(), int8::Scratch::new(), int8::Scratch::new());
    static mut FLOAT: (
        float::Scratch<Classes<10>>,
        float::Scratch<Classes<100>>,
        float::Scratch<Classes<1000>>,
    ) = (float::Scratch::new(), float::Scratch::new(), float::Scratch::new());

    let model = flashed_model();
    let Preamble { kind, dims, .. } = accept(Preamble::read(model));
    match (kind, dims) {
        (Kind::Int8, LargePatch::DIMS) => integers(model, LARGE_PATCH),
        (Kind::Int8, WideMlp::DIMS) => integers(model, WIDE_MLP),
        (Kind::Int8, Classes::<10>::DIMS) => integers(model, &mut INT8.0),
        (Kind::Int8, Classes::<100>::DIMS) => integers(model, &mut INT8.1),
        (Kind::Int8, Classes::<1000>::DIMS) => integers(model, &mut INT8.2),
        (Kind::F32, Classes::<10>::DIMS) => floats(model, &mut FLOAT.0),
        (Kind::F32, Classes::<100>::DIMS) => floats(model, &mut FLOAT.1),
        (Kind::F32, Classes::<1000>::DIMS) => floats(model, &mut FLOAT.2),
        (_, dims) => defmt::panic!("not served here: this kind of model, or its shape {}", dims),
    }
    exit(0)
}
