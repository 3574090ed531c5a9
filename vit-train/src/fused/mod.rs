//! The fast training pass: the network of [`model`](crate::network::model) out of a few fused operations.
//!
//! dfdx's built-in operations are the reference: correct, slow, and in memory from end to end. Here the whole pass,
//! pixels to loss to gradients, is ONE operation on dfdx's tape ([`Step`]):
//!
//! | module | what it holds |
//! |---|---|
//! | [`buffer`] | the shapes of what they work on, as dfdx's types |
//! | [`ops`] | the fused operations, as a trait over a device's buffers |
//! | [`network`] | their order, forward and backward, written once for all devices |
//! | [`fold`](mod@fold) | what is moved from the activations into the parameters before a pass, and back after it |
//! | [`cpu`] | the operations on a CPU |
//! | [`cuda`] | the operations on an NVIDIA GPU, and training with them |
//! | [`timed`] | the time that each operation takes |
//! | [`step`] | the operation on dfdx's tape |

pub mod buffer;
pub mod cpu;
pub mod cuda;
pub mod fold;
pub mod network;
pub mod ops;
pub mod step;
#[cfg(test)]
mod tests;
pub mod timed;

pub use step::Step;
