//! The constants of the file format, which its reader, its writer and its errors share.

use core::fmt;

/// What a model file begins with.
pub const MAGIC: [u8; 4] = *b"ViT!";
/// The version of the format that this library reads and writes.
pub const VERSION: u16 = 2;
/// A model's first byte must lie at a multiple of this many bytes, and so do its weights.
pub const ALIGNMENT: usize = 16;
/// Bytes of the preamble, the fixed-width part before the description.
pub const PREAMBLE_LEN: usize = 64;
/// The most characters of a label.
pub const MAX_LABEL: usize = 100;
/// The most characters of the name of a data set, or of a tool.
pub const MAX_NAME: usize = 255;
/// What LayerNorm adds to the variance: both engines compute with it, and every model file states it.
pub const LAYER_NORM_EPSILON: f32 = 1e-6;

/// The arithmetic a model is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// 32-bit floating point: the engine in [`float`](crate::float).
    F32 = 0,
    /// 8-bit weights and activations, integers only.
    Int8 = 1,
}

impl Kind {
    /// Bits of a weight.
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
