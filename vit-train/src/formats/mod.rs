//! From a checkpoint to the files that other programs and chips read, and back.

pub mod checkpoint;
pub mod content;
pub mod model_bytes;
pub mod onnx;
pub mod vit;
