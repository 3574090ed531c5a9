//! Classifies the images that arrive at the serial port, and answers with the logits, the class and the time taken.
//! This is the board's side of `vit-train device`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware_example::{
    board,
    model::{Flashed, MODEL},
    timer::Timer,
    uart::Uart,
};
use vit_link::{checksum, reply_len, request_len, Classification, Description, Server};
use vit_nostd::{
    argmax,
    frame::Fit,
    image,
    int8::{Model, Scratch},
    model_file::Preamble,
    Element, Image, Network as _,
};

const LEVELS: usize = Flashed::DIMS.image_values();

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Flashed> = Scratch::new();
    static mut SERVER: Server<'static, { request_len(LEVELS) }> = Server::new(Description {
        board: board::NAME,
        height: Flashed::HEIGHT as u16,
        width: Flashed::WIDTH as u16,
        channels: Flashed::CHANNELS as u8,
        fit: match Preamble::read(MODEL) {
            Ok(preamble) => preamble.fit as u8,
            Err(_) => Fit::Stretch as u8, // the model is refused below
        },
        classes: Flashed::CLASSES as u16,
        model: checksum(MODEL),
        ticks_per_second: board::Timer::HZ,
    });
    static mut ANSWER: [u8; reply_len(Flashed::CLASSES)] = [0; reply_len(Flashed::CLASSES)];

    let mut timer = board::Timer::new(defmt::unwrap!(cortex_m::Peripherals::take()));
    let mut uart = board::uart();
    let model = match Model::<Flashed>::from_bytes(MODEL) {
        Ok(model) => model,
        Err(error) => defmt::panic!("the model file is unusable: {}", error),
    };
    defmt::info!("{=str}: waiting for images of {=usize} levels", board::NAME, LEVELS);

    let mut classify = |levels: &[u8]| {
        let image = image::<Flashed>(levels).unwrap_or(&Image::<Flashed>::ZERO); // the server has checked the number
        timer.start();
        let logits = model.infer(image, SCRATCH);
        let ticks = timer.ticks();
        Classification { class: argmax(logits.as_ref()) as u16, ticks, logits }
    };
    loop {
        let byte = uart.read();
        for &byte in SERVER.push(byte, &mut classify, ANSWER).unwrap_or_default() {
            uart.write(byte);
        }
    }
}
