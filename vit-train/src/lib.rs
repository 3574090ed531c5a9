//! Trains Vision Transformers with dfdx and writes the model files that [`vit_nostd`] runs.
//!
//! The modules are the stations of the data: [`data`] gives images, [`model`] is the network in dfdx, [`train`](mod@train)
//! the training loop, [`checkpoint`] its result and [`resume`] what an interrupted run goes on from; [`export`] makes model files of it, and [`verify`](mod@verify) compares
//! what [`vit_nostd`] computes from them with dfdx, also with the independent [`mod@reference`].

pub mod checkpoint;
pub mod data;
pub mod dropout;
pub mod engine;
pub mod error;
pub mod export;
pub mod files;
pub mod fused;
pub mod inference;
pub mod layer_errors;
pub mod model;
pub mod optimizer;
pub mod parameters;
pub mod preset;
pub mod quantize;
mod random;
pub mod reference;
pub mod report;
pub mod resume;
pub mod train;
pub mod verify;

pub use error::Error;
pub use preset::Preset;
