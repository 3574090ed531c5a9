//! Classifies the images that arrive at the serial port, and answers with the logits, the class and the time taken. This
//! is the board's side of the command `device`.

#![no_std]
#![no_main]

use firmware_example::{Board, Flashed, MODEL};

vit_boards::serve!(Board, Flashed, MODEL);
