//! Classifies what a colour camera sees, frame by frame. The camera delivers one line at a time, and no frame is ever in
//! memory as a whole.
//!
//! The exit code is the number of road signs that were not recognised.

#![no_std]
#![no_main]

mod camera;

use camera::{FRAME, LINE_BYTES, SIGNS};
use cortex_m_rt::entry;
use firmware_example::Board;
use signs_network::Signs;
use vit_boards::{exit, ram, timer::Timer, Board as _};
use vit_nostd::{
    frame::{Resizer, Sums},
    include_model,
    int8::{kernels, Model, Scratch},
    top_k, Element, Image, Prediction,
};

static MODEL: &[u8] = include_model!("../../../models/signs.int8.vit", Signs, Int8);

#[entry]
fn main() -> ! {
    static mut LINE: [u8; LINE_BYTES] = [0; LINE_BYTES];
    static mut SUMS: Sums<Signs> = Sums::<Signs>::ZERO;
    static mut IMAGE: Image<Signs> = Image::<Signs>::ZERO;
    static mut SCRATCH: Scratch<Signs> = Scratch::new();

    let mut timer = Board::init().timer(defmt::unwrap!(cortex_m::Peripherals::take()));
    let model = match Model::<Signs>::from_bytes(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("the model file is unusable: {}", error),
    };
    let fit = model.metadata().fit;

    let (mut resizing, mut inference) = (Some(0), Some(0)); // the most ticks; None if the timer cannot measure them
    let predictions = SIGNS.each_ref().map(|sign| {
        let mut ticks = Some(0);
        let mut resizer = defmt::unwrap!(Resizer::for_network::<Signs>(FRAME, fit, SUMS, IMAGE));
        for y in 0..FRAME.height {
            camera::expose(sign, y, LINE); // here: wait until the camera has delivered a line
            timer.start();
            defmt::unwrap!(resizer.row(LINE));
            ticks = ticks.zip(timer.ticks()).map(|(all, line)| all + line);
        }
        defmt::unwrap!(resizer.finish());
        resizing = resizing.zip(ticks).map(|(most, ticks)| most.max(ticks));

        timer.start();
        let logits = model.infer(IMAGE, SCRATCH);
        inference = inference.zip(timer.ticks()).map(|(most, ticks)| most.max(ticks));
        let [best]: [Prediction; 1] = top_k(&model.dequantize(&logits));
        best
    });
    let stack = ram::stack(); // before the log uses the stack

    defmt::info!("kernels: {=str}", kernels::name());
    let mut wrong = 0;
    for (sign, Prediction { class, probability }) in SIGNS.iter().zip(predictions) {
        let label = model.metadata().labels().nth(class).unwrap_or_default();
        let permille = (1000.0 * probability + 0.5) as u32;
        defmt::info!(
            "shown: {=str}, seen: {=str}, {=u32}.{=u32} % sure",
            sign.name,
            label,
            permille / 10,
            permille % 10
        );
        wrong += i32::from(label != sign.name);
    }
    match resizing.zip(inference) {
        Some((resizing, inference)) => defmt::info!(
            "time: at most {=u32} ticks of {=u32} Hz for the lines of a frame, {=u32} for an image, on a {=str}",
            resizing,
            <Board as vit_boards::Board>::Timer::HZ,
            inference,
            Board::NAME,
        ),
        None => defmt::warn!("time: a frame takes longer than the timer can measure"),
    }
    defmt::info!(
        "RAM: {=usize} bytes of scratch memory, {=usize} of image and sums, {=usize} of other statics, {=usize} of stack",
        Scratch::<Signs>::BYTES,
        size_of_val(IMAGE) + size_of_val(SUMS),
        ram::statics() - Scratch::<Signs>::BYTES - size_of_val(IMAGE) - size_of_val(SUMS),
        stack,
    );
    exit(wrong)
}
