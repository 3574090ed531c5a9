//! The constants of the file format, which its reader, its writer and its errors share.

use core::fmt;

/// The magic bytes that a model file begins with.
pub const MAGIC: [u8; 4] = *b"ViT!";
/// The version of the format that this library reads and writes.
pub const VERSION: u16 = 2;
/// The alignment of a model file in memory, in bytes. Its weights are at a multiple of it from the start of the file.
pub const ALIGNMENT: usize = 16;
/// The length of the preamble in bytes. The preamble is the fixed-width part at the beginning of a file.
pub const PREAMBLE_LEN: usize = 64;
/// The largest number of characters in a label.
pub const MAX_LABEL: usize = 100;
/// The largest number of characters in the name of a data set or of a tool.
pub const MAX_NAME: usize = 255;
/// The largest number of channels of an image.
pub const MAX_CHANNELS: usize = 3;
/// The number that LayerNorm adds to the variance. Both engines compute with it, and every model file states it.
pub const LAYER_NORM_EPSILON: f32 = 1e-6;

/// The arithmetic that a model is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// 32-bit floating point, for the engine in [`float`](crate::float).
    F32 = 0,
    /// 8-bit weights and activations, for the engine in [`int8`](crate::int8).
    Int8 = 1,
}

impl Kind {
    /// Returns the number of bits of a weight.
    pub const fn weight_bits(self) -> u8 {
        match self {
            Self::F32 => 32,
            Self::Int8 => 8,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}
