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
    argmax, image,
    int8::{Model, Scratch},
    Element, Image, Network as _,
};

const PIXELS: usize = Flashed::IMAGE * Flashed::IMAGE;

#[entry]
fn main() -> ! {
    static mut SCRATCH: Scratch<Flashed> = Scratch::new();
    static mut SERVER: Server<'static, { request_len(PIXELS) }> = Server::new(Description {
        board: board::NAME,
        side: Flashed::IMAGE as u16,
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
    defmt::info!("{=str}: waiting for images of {=usize} pixels", board::NAME, PIXELS);

    let mut classify = |pixels: &[u8]| {
        let image = image::<Flashed>(pixels).unwrap_or(&Image::<Flashed>::ZERO); // the server has checked the number
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
