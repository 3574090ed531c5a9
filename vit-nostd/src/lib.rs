//! Vision Transformers on microcontrollers: no allocator, no interpreter, and the same bits as on the host.
//!
//! A model file, written by `vit-train`, is validated once and then used in place:
//!
//! ```no_run
//! use vit_nostd::{float::{Model, Scratch}, top_k, Image, ModelError, Nano};
//!
//! fn classify(file: &[u8], image: &Image<Nano>, scratch: &mut Scratch<Nano>) -> Result<usize, ModelError> {
//!     let model = Model::<Nano>::from_bytes(file)?;
//!     let [best] = top_k(&model.infer(image, scratch));
//!     Ok(best.class)
//! }
//! ```
//!
//! - A network's dimensions are part of its type ([`network!`], [`Nano`]), so that all sizes are known at compile time:
//!   an inference uses [`Scratch::BYTES`](float::Scratch::BYTES) bytes and the stack, and no other memory.
//! - [`include_model!`] embeds a file into a firmware, aligned. A file of another shape is a compile error.
//! - After [`Model::from_bytes`](float::Model::from_bytes) nothing can fail: `infer` returns logits, not a `Result`,
//!   and contains no panic.
//! - The [arithmetic](float) is specified operation by operation, and is the same on every machine.
//!
//! | item | what it is |
//! |---|---|
//! | [`network!`], [`Network`], [`Base`], [`Tiny`], [`Nano`], [`ConvTiny`], [`ConvNano`] | networks, defined by their dimensions |
//! | [`float::Model`], [`float::Scratch`] | the float engine |
//! | [`int8::Model`], [`int8::Scratch`] | the integer engine |
//! | [`frame::Resizer`] | from a camera's frame to an image, line by line |
//! | [`int8::kernels`] | the integer engine's inner loops for each kind of processor |
//! | [`Observer`], [`Stage`] | callbacks with the intermediate values of an inference |
//! | [`model_file`] | the file format, its reader and its writer |
//! | [`ModelError`] | what can be wrong with a file |
//!
//! # Features
//!
//! Off by default:
//!
//! - `defmt`: `defmt::Format` on the public types.
//! - `micromath`: `float::Micromath`, cheaper and less exact functions for the float engine, for chips without a
//!   floating-point unit.
//! - `dsp`: kernels for the DSP extension, for a `thumbv8m.main` target whose chip has it (most Cortex-M33 do). Only
//!   these targets need the feature: the names of the others imply whether they have the extension.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)] // The kernels and `prefetch` allow it.

pub mod float;
pub mod frame;
pub mod int8;
pub mod model_file;
mod network;
mod observer;
mod prediction;
mod prefetch;
mod shape;
mod tensors;
mod tokenizer;

pub use model_file::error::{Feature, Field, LabelFault, ModelError};
pub use network::{image, Base, ConvNano, ConvTiny, Declaration, Dims, Image, Nano, Network, Tiny};
pub use observer::{Observer, Probe, Stage, Values};
pub use prediction::{argmax, rank, top_k, Prediction, Softmax};
pub use shape::{Array, Element, Len, Length, Matrix, Vector};
pub use tokenizer::{Convolution, Tokenizer, Windows};
