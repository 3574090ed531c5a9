//! Classifies a few test pictures, and compares the logits with those of the computer that trained the network.
//!
//! The exit code is 0 if all logits are equal.

#![no_std]
#![no_main]

use @name_@_firmware::{Board, @Network@, MODEL, SAMPLES};
use cortex_m_rt::entry;
use vit_boards::{exit, ram, samples::samples, timer::Timer as _, Board as _};
use vit_nostd::{
    int8::{kernels, Model, Scratch},
    top_k,
};

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<@Network@> = Scratch::new();

    let mut timer = Board::init().timer(defmt::unwrap!(cortex_m::Peripherals::take()));
    let model = match Model::<@Network@>::from_bytes(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("the model file is unusable: {}", error),
    };
    let label = |class| model.metadata().labels().nth(class).unwrap_or_default();
    let mut slowest = Some(0); // in ticks; None if the timer cannot measure an inference
    let mut wrong = 0;
    defmt::info!("kernels: {=str}", kernels::name());
    defmt::assert!(samples::<@Network@>(SAMPLES).count() > 0, "there are no samples of this network");
    for sample in samples::<@Network@>(SAMPLES) {
        timer.start();
        let logits = model.infer(sample.image, SCRATCH); // in your firmware: the image of a camera
        slowest = slowest.zip(timer.ticks()).map(|(slowest, ticks)| slowest.max(ticks));
        let [best] = top_k(&model.dequantize(&logits));
        let percent = (100.0 * best.probability) as u32;
        let (is, seen) = (label(sample.class), label(best.class));
        defmt::info!("{=str} is seen as {=str}, {=u32} % sure", is, seen, percent);
        if !sample.has_logits(logits.as_ref()) {
            defmt::error!("the logits differ from those of the computer that trained the network");
            wrong += 1;
        }
    }
    match slowest {
        Some(ticks) => defmt::info!(
            "time: at most {=u32} ms an image ({=u32} ticks), on a {=str}",
            timer.milliseconds(ticks),
            ticks,
            Board::NAME
        ),
        None => defmt::warn!("time: an image takes longer than the timer can measure"),
    }
    defmt::info!("RAM: {=usize} bytes of variables, {=usize} of stack", ram::statics(), ram::stack());
    exit(wrong)
}
