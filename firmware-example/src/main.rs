//! Classifies ten handwritten digits and says how sure the network is of each, and what RAM it took.
//!
//! Ends with success if every digit was recognised.

#![no_std]
#![no_main]

mod digits;

use cortex_m_rt::entry;
use digits::DIGITS;
use firmware_example::{exit, ram};
use vit_nostd::{
    arch, include_model,
    int8::{Model, Scratch},
    top_k, Nano, Prediction,
};

/// In flash, and used where it lies.
static MODEL: &[u8] = include_model!("../models/nano.int8.vit", Nano, Int8);

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Nano> = Scratch::new();

    let model = match Model::<Nano>::from_bytes(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("the model file: {}", error),
    };
    let predictions = DIGITS.each_ref().map(|digit| {
        let [best]: [Prediction; 1] = top_k(&model.to_real(&model.infer(digit, SCRATCH)));
        best
    });
    let stack = ram::stack(); // before the log takes its own

    defmt::info!("kernels: {=str}", arch::name());
    let mut wrong = 0;
    for (drawn, Prediction { class, probability }) in predictions.into_iter().enumerate() {
        let label = model.metadata().labels().nth(class).unwrap_or_default();
        let permille = (1000.0 * probability + 0.5) as u32;
        defmt::info!(
            "drawn {=usize}, seen {=str}, {=u32}.{=u32} % sure",
            drawn,
            label,
            permille / 10,
            permille % 10,
        );
        wrong += i32::from(class != drawn);
    }
    defmt::info!(
        "RAM: {=usize} bytes of scratch memory, {=usize} of other statics, {=usize} of stack",
        Scratch::<Nano>::BYTES,
        ram::statics() - Scratch::<Nano>::BYTES,
        stack,
    );
    exit(wrong)
}
