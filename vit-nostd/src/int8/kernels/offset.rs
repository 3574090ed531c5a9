//! Limits of the Arm kernels, whose instructions address the next row of weights by a constant offset.

// The kernels of other processors do not use this module.
#![allow(dead_code)]

/// The longest row of weights, in bytes, that the offset in an instruction can span.
pub(super) const MAX_ROW: usize = 4092;

/// Returns the offset of the next row of `len` weights for use in an instruction. For rows longer than [`MAX_ROW`] it
/// returns [`MAX_ROW`], which the assembler accepts: the kernel for such rows is never called, but may still be
/// compiled.
pub(super) const fn offset_of_row(len: usize) -> usize {
    if len <= MAX_ROW {
        len
    } else {
        MAX_ROW
    }
}
