//! The board's side of `vit-train device`: images arrive at the serial port, and their classes go back.

use crate::{timer::Timer, uart::Uart, Board};
use vit_link::{checksum, Classification, Description, Server};
use vit_nostd::{
    argmax,
    frame::Fit,
    image,
    int8::{Model, Scratch},
    model_file::Preamble,
    Network,
};

/// Makes a whole firmware of a board, a network and its model file: it classifies the images that arrive at the serial
/// port, and answers with the logits, the class and the time taken. This is the board's side of `vit-train device`.
///
/// The arguments are the type of the [`Board`], the type of the [`Network`], and the model file, an integer model as a
/// constant expression, such as a static from [`include_model!`](vit_nostd::include_model). The macro declares the
/// entry point, and the memory that [`serve`](fn@crate::serve) works with. It stands alone in the root of a binary:
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// use vit_boards::Microbit;
/// use vit_nostd::{include_model, Nano};
///
/// static MODEL: &[u8] = include_model!("nano.int8.vit", Nano, Int8);
///
/// vit_boards::serve!(Microbit, Nano, MODEL);
/// ```
#[macro_export]
macro_rules! serve {
    ($board:ty, $network:ty, $model:expr $(,)?) => {
        #[$crate::macros::entry]
        fn main() -> ! {
            static mut SCRATCH: $crate::macros::Scratch<$network> = $crate::macros::Scratch::new();
            static mut SERVER: $crate::macros::Server<
                'static,
                { $crate::macros::request_len(<$network as $crate::macros::Network>::DIMS.image_values()) },
            > = $crate::macros::Server::new($crate::describe::<$board, $network>($model));
            static mut ANSWER: [u8; $crate::macros::reply_len(
                <$network as $crate::macros::Network>::CLASSES,
            )] = [0; $crate::macros::reply_len(<$network as $crate::macros::Network>::CLASSES)];

            $crate::serve::<$board, $network, _>($model, SCRATCH, SERVER, ANSWER)
        }
    };
}

/// Returns the description of a board with this model, for [`Server::new`].
pub const fn describe<B: Board, N: Network>(model: &[u8]) -> Description<'static> {
    Description {
        board: B::NAME,
        height: N::HEIGHT as u16,
        width: N::WIDTH as u16,
        channels: N::CHANNELS as u8,
        fit: match Preamble::read(model) {
            Ok(preamble) => preamble.fit as u8,
            Err(_) => Fit::Stretch as u8, // `serve` refuses the model
        },
        classes: N::CLASSES as u16,
        model: checksum(model),
        ticks_per_second: <B::Timer as Timer>::HZ,
    }
}

/// Classifies the images that arrive at the board's serial port, forever.
///
/// The macro [`serve!`](macro@crate::serve) declares the memory and calls this function. A firmware that declares the
/// memory itself gives the `server` a buffer of [`request_len`](vit_link::request_len) bytes and the
/// [description](describe) of this board and model, and `answer` [`reply_len`](vit_link::reply_len) bytes.
///
/// # Panics
/// If the model file is not one of this network, or if the processor's peripherals are taken.
pub fn serve<B: Board, N: Network, const REQUEST: usize>(
    model: &[u8],
    scratch: &mut Scratch<N>,
    server: &mut Server<'_, REQUEST>,
    answer: &mut [u8],
) -> ! {
    let board = B::init();
    let mut timer = board.timer(defmt::unwrap!(cortex_m::Peripherals::take()));
    let mut uart = board.uart();
    let model = match Model::<N>::from_bytes(model) {
        Ok(model) => model,
        Err(error) => defmt::panic!("the model file is unusable: {}", error),
    };
    defmt::info!("{=str}: waiting for images of {=usize} levels", B::NAME, N::DIMS.image_values());

    let mut classify = |levels: &[u8]| {
        let image = defmt::unwrap!(image::<N>(levels)); // the server has checked the number of levels
        timer.start();
        let logits = model.infer(image, scratch);
        let ticks = timer.ticks();
        Classification { class: argmax(logits.as_ref()) as u16, ticks, logits }
    };
    loop {
        let byte = uart.read();
        for &byte in server.push(byte, &mut classify, answer).unwrap_or_default() {
            uart.write(byte);
        }
    }
}
