//! Vision Transformers on microcontrollers: no allocator, no interpreter, and the same bits as on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod error;
pub mod float;
pub mod model_file;
mod observer;
mod prediction;
mod shape;
mod tensors;

pub use error::{Field, ModelError};
pub use observer::{Observer, Stage, Station, Values};
pub use prediction::{argmax, top_k, Prediction};
pub use shape::{image, Array, Base, Dims, Element, Image, Nano, Shape, Tiny, Vit};
