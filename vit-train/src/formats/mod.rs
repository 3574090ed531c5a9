//! Reads and writes the files of networks: checkpoints, model files and ONNX models.

pub mod checkpoint;
pub(crate) mod content;
pub mod model_bytes;
pub mod onnx;
pub mod vit;
