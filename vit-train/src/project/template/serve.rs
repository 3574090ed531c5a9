//! Classifies the images that arrive at the serial port: the board's side of `cargo run --release -- device`.

#![no_std]
#![no_main]

use @name_@_firmware::{Board, MODEL};
use @name_@_network::@Network@;

vit_boards::serve!(Board, @Network@, MODEL);
