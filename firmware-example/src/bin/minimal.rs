//! The least that a firmware needs to classify an image.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use vit_boards::exit; // and with it a panic handler and a log
use vit_nostd::{
    include_model,
    int8::{Model, Scratch},
    top_k, Image, Nano,
};

static MODEL: &[u8] = include_model!("../../models/nano.int8.vit", Nano, Int8);

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Nano> = Scratch::new();
    static mut IMAGE: Image<Nano> = [[[0]; 28]; 28];

    let model = defmt::unwrap!(Model::<Nano>::from_bytes(MODEL)); // checks the file, once
    for row in &mut IMAGE[4..24] {
        row[13..15].fill([255]); // here: from a camera, a touch screen, a sensor ...
    }
    let logits = model.infer(IMAGE, SCRATCH); // cannot fail
    let [best] = top_k(&model.dequantize(&logits));
    let label = model.metadata().labels().nth(best.class).unwrap_or_default();
    defmt::info!("this is a {=str}", label);
    exit(0)
}
