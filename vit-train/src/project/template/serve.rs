//! Classifies the images that arrive at the serial port, and answers with the logits, the class and the time taken. This
//! is the board's side of the command `device`.

#![no_std]
#![no_main]

use @name_@_firmware::{Board, @Network@, MODEL};

vit_boards::serve!(Board, @Network@, MODEL);
