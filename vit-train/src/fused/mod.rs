//! The fast training pass: the network of [`model`](crate::network::model) built from a few fused operations.
//!
//! The network of dfdx's built-in operations is the reference. It is slow, because every operation reads and writes
//! main memory. Here the whole pass, from pixels to loss to gradients, is ONE operation on dfdx's tape ([`Step`]):
//!
//! | module | content |
//! |---|---|
//! | [`buffer`] | buffers and layers whose shapes are dfdx's types |
//! | [`ops`] | the fused operations, as a trait over a device's buffers |
//! | [`network`] | the order of the operations, forward and backward, written once for all devices |
//! | [`fold`](mod@fold) | work on activations that is moved into the parameters before a pass, and back after it |
//! | [`cpu`] | the operations on a CPU |
//! | [`cuda`] | the operations on an NVIDIA GPU, and training with them |
//! | [`timed`] | the time that each operation takes |
//! | [`step`] | the operation on dfdx's tape |

pub(crate) mod buffer;
pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod fold;
pub(crate) mod network;
pub(crate) mod ops;
pub(crate) mod step;
#[cfg(test)]
mod tests;
pub(crate) mod timed;

pub(crate) use step::Step;
