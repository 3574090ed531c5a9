//! From a checkpoint to the files that other programs and chips read.

mod vit;

pub use vit::float_model;
pub(crate) use vit::write_model;
