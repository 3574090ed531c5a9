//! Training on an NVIDIA GPU.
//!
//! Everything that a step needs lies in the memory of the GPU and stays there: images, parameters, activations,
//! AdamW's moments. A step is a sequence of kernels and products, with the layers' gradients beside it, that is recorded
//! once, as a graph, and replayed; the host chooses the order of the images of an epoch, and looks at the loss now and
//! then. The order of the operations within a pass is the one of [`network`](super::network), the masks and the moved
//! images are those of the CPU to the bit, and sums have a fixed order, so that a run can be repeated on the same machine.
//!
//! | module | what it holds |
//! |---|---|
//! | [`libraries`] | finding NVIDIA's libraries |
//! | [`kernels`] | compiling `kernels.cu` and calling what is in it |
//! | [`device`] | a GPU, its two queues, and matrix products in them |
//! | [`pass`] | the operations of a training pass |
//! | [`resident`] | a network in the memory of a GPU |

pub mod device;
mod error;
pub mod kernels;
pub mod libraries;
pub mod pass;
pub mod resident;
#[cfg(test)]
mod tests;

pub use device::Device;
pub use error::CudaError;
pub use resident::{logits, Resident};
