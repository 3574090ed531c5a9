//! For kernels of Arm processors in which the next row of weights is an offset in an instruction.

// Other processors have no such kernels.
#![allow(dead_code)]

/// The longest row of weights, in bytes, that such an offset spans.
pub const MAX_ROW: usize = 4092;

/// The offset of the next row of `len` weights as an instruction states it. For rows longer than [`MAX_ROW`] it is some
/// offset that the assembler accepts: their kernel is never called, but the compiler may still translate it.
pub const fn offset_of_row(len: usize) -> usize {
    if len <= MAX_ROW {
        len
    } else {
        MAX_ROW
    }
}
