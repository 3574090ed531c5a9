//! Runs [`bits`](test_firmware::bits) for networks at the limits: rows of weights that are the longest within the reach
//! of an offset in an instruction, longer ones, and many classes.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use test_firmware::{
    bits::{accept, floats, integers},
    flashed_model,
};
use vit_boards::exit;
use vit_nostd::{
    float, int8,
    model_file::{Kind, Preamble},
    Network,
};
use vit_test_networks::{Classes10, Classes100, Classes1000, LargePatch, LargeWindow, WideMlp};

#[entry]
fn main() -> ! {
    static mut LARGE_PATCH: int8::Scratch<LargePatch> = int8::Scratch::new();
    static mut LARGE_WINDOW: int8::Scratch<LargeWindow> = int8::Scratch::new();
    static mut WIDE_MLP: int8::Scratch<WideMlp> = int8::Scratch::new();
    static mut INT8: (int8::Scratch<Classes10>, int8::Scratch<Classes100>, int8::Scratch<Classes1000>) =
        (int8::Scratch::new(), int8::Scratch::new(), int8::Scratch::new());
    static mut FLOAT: (float::Scratch<Classes10>, float::Scratch<Classes100>, float::Scratch<Classes1000>) =
        (float::Scratch::new(), float::Scratch::new(), float::Scratch::new());

    let model = flashed_model();
    let Preamble { kind, dims, .. } = accept(Preamble::read(model));
    match (kind, dims) {
        (Kind::Int8, LargePatch::DIMS) => integers(model, LARGE_PATCH),
        (Kind::Int8, LargeWindow::DIMS) => integers(model, LARGE_WINDOW),
        (Kind::Int8, WideMlp::DIMS) => integers(model, WIDE_MLP),
        (Kind::Int8, Classes10::DIMS) => integers(model, &mut INT8.0),
        (Kind::Int8, Classes100::DIMS) => integers(model, &mut INT8.1),
        (Kind::Int8, Classes1000::DIMS) => integers(model, &mut INT8.2),
        (Kind::F32, Classes10::DIMS) => floats(model, &mut FLOAT.0),
        (Kind::F32, Classes100::DIMS) => floats(model, &mut FLOAT.1),
        (Kind::F32, Classes1000::DIMS) => floats(model, &mut FLOAT.2),
        (_, dims) => defmt::panic!("this firmware has no engine for the model's kind and shape, {}", dims),
    }
    exit(0)
}
