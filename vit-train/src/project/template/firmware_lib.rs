//! The parts that the programs of this firmware share: the board, the network, the model, and the samples that come with
//! it.

#![no_std]

pub use @name_@_network::@Network@;

use vit_nostd::include_model;

@board@

/// The trained model, which the build script has found.
pub static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.int8.vit"), @Network@, Int8);

/// Test images with their classes and logits, which the training leaves next to the model.
pub static SAMPLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/samples.bin"));
