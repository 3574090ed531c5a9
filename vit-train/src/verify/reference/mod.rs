//! Second implementations of the engines' arithmetic, on dfdx tensors. Comparing the engines with them shows that a
//! chip computes the network that was trained, to the last bit.
//!
//! They are written from the formulas in the documentation of [`vit_nostd`] and share none of its arithmetic.

pub mod float;
pub mod int8;
