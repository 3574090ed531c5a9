//! Classifies ten handwritten digits, and logs the probability of each result and the time and RAM that it took.
//!
//! The exit code is the number of digits that were not recognised.

#![no_std]
#![no_main]

mod digits;

use core::array;
use cortex_m_rt::entry;
use firmware_example::{
    model::{Flashed, MODEL},
    Board, Timer,
};
use vit_boards::{exit, ram, timer::Timer as _, Board as _};
use vit_nostd::{
    int8::{kernels, Model, Scratch},
    top_k, Element, Image, Prediction,
};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Flashed> = Scratch::new();

    let mut timer = Board::init().timer(defmt::unwrap!(cortex_m::Peripherals::take()));
    let model = match Model::<Flashed>::from_bytes(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("the model file is unusable: {}", error),
    };
    let mut ticks = Some(0); // the most of an image; None if the timer cannot measure them
    let mut digit = Image::<Flashed>::ZERO;
    let predictions = array::from_fn::<_, { digits::COUNT }, _>(|n| {
        digits::draw(n, &mut digit);
        timer.start();
        let logits = model.infer(&digit, SCRATCH);
        ticks = ticks.zip(timer.ticks()).map(|(most, ticks)| most.max(ticks));
        let [best]: [Prediction; 1] = top_k(&model.dequantize(&logits));
        best
    });
    let stack = ram::stack(); // before the log uses the stack

    defmt::info!("kernels: {=str}", kernels::name());
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
    match ticks {
        Some(ticks) => defmt::info!(
            "time: at most {=u32} ticks of {=u32} Hz an image, on a {=str}",
            ticks,
            Timer::HZ,
            Board::NAME,
        ),
        None => defmt::warn!("time: an image takes longer than the timer can measure"),
    }
    defmt::info!(
        "RAM: {=usize} bytes of scratch memory, {=usize} of other statics, {=usize} of stack",
        Scratch::<Flashed>::BYTES,
        ram::statics() - Scratch::<Flashed>::BYTES,
        stack,
    );
    exit(wrong)
}
