//! Classifies the images that arrive at the serial port, and answers with the logits, the class and the time taken.
//! This is the board's side of `vit-train device`.

#![no_std]
#![no_main]

use firmware_example::{
    model::{Flashed, MODEL},
    Board,
};

vit_boards::serve!(Board, Flashed, MODEL);
