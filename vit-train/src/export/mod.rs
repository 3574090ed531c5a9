//! From a checkpoint to the files that other programs and chips read, and back.

mod onnx;
mod vit;

pub use onnx::onnx_model;
pub use vit::{checkpoint_of, float_model, read_float_model, write_model};
