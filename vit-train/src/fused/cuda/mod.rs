//! Training on an NVIDIA GPU.
//!
//! Everything that a step needs stays in the memory of the GPU: images, parameters, activations, AdamW's moments. A
//! step is a sequence of kernels and matrix products. The gradients of the layers are computed in parallel on a side
//! stream. The sequence is recorded once, as a CUDA graph, and replayed for every step. The host chooses the order of
//! the images of an epoch, and reads the loss after a number of steps.
//!
//! The order of the operations within a pass is that of [`network`](super::network). Dropout masks and augmented images
//! are the same as on the CPU to the bit, and sums have a fixed order, so that a run can be repeated on the same
//! machine.
//!
//! | module | content |
//! |---|---|
//! | [`libraries`] | finding and loading NVIDIA's libraries |
//! | [`kernels`] | compiling `kernels.cu` and calling its kernels |
//! | [`device`] | a GPU, its two queues, and matrix products in them |
//! | [`pass`] | the operations of a training pass |
//! | [`resident`] | a network in the memory of a GPU |

pub(crate) mod device;
mod error;
pub(crate) mod kernels;
pub(crate) mod libraries;
pub(crate) mod pass;
pub(crate) mod resident;
#[cfg(test)]
mod tests;

pub(crate) use device::Device;
pub(crate) use error::CudaError;
pub(crate) use resident::{logits, Resident};
