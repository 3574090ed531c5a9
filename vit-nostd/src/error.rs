//! What can be wrong with a model file.

use crate::{model_file::Kind, shape::Dims};
use core::fmt;

/// Why a model file was refused. The checks run in the order of the variants; the first that fails is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes do not begin at a multiple of [`ALIGNMENT`](crate::model_file::ALIGNMENT). Embed the file with
    /// [`include_model!`](crate::include_model), or copy it into an [`Aligned`](crate::model_file::Aligned).
    Misaligned,
    /// Shorter than the fixed-width preamble that every model file begins with.
    NoPreamble {
        /// Bytes there are.
        actual: usize,
    },
    /// Does not begin with the magic bytes: not a model file.
    BadMagic,
    /// Written in a version of the format that this library does not read.
    UnsupportedVersion {
        /// The file's version.
        found: u16,
    },
    /// Neither a float nor an integer model.
    UnknownKind {
        /// The file's kind byte.
        found: u8,
    },
    /// A float model where an integer model is expected, or the other way round.
    WrongKind {
        /// The file's kind.
        found: Kind,
        /// The engine's kind.
        expected: Kind,
    },
    /// A network of another shape.
    WrongShape {
        /// The file's dimensions.
        found: Dims,
        /// The dimensions of the type that was asked for.
        expected: Dims,
    },
    /// Fewer bytes than the file says it has.
    Truncated {
        /// Bytes the preamble promises.
        expected: usize,
        /// Bytes there are.
        actual: usize,
    },
    /// More bytes than the file says it has.
    TrailingBytes {
        /// Bytes the preamble promises.
        expected: usize,
        /// Bytes there are.
        actual: usize,
    },
    /// The content does not match its checksum: a damaged file.
    BadCrc {
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the content.
        computed: u32,
    },
    /// The checksum is right, but a field is not: the writer was wrong.
    BadField(Field),
}

/// The field of a model file that [`ModelError::BadField`] complains of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Field {
    /// The reserved bytes of the preamble are not zero.
    Reserved,
    /// The fields do not decode as postcard.
    Encoding,
    /// The mean is not finite, or the standard deviation is not finite and positive.
    Normalization,
    /// Not one non-empty label per class.
    Labels,
    /// An accuracy outside 0 to 100 percent.
    Accuracy,
    /// The padding is too long, or not zero, or the weights after it are not aligned.
    Padding,
    /// The weights are not as many as the shape needs, or one of them is not a finite number (kind `f32`) or beyond
    /// the bounds of NUMERICS.md (kind `int8`).
    Weights,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => {
                write!(f, "the model's bytes are not aligned to {} bytes", crate::model_file::ALIGNMENT)
            }
            Self::NoPreamble { actual } => write!(f, "{actual} bytes are too few for a model file"),
            Self::BadMagic => write!(f, "not a model file (it does not begin with \"ViT!\")"),
            Self::UnsupportedVersion { found } => write!(
                f,
                "model file format version {found}, but this program reads version {} only: write the file anew",
                crate::model_file::VERSION
            ),
            Self::UnknownKind { found } => write!(f, "unknown kind of model ({found})"),
            Self::WrongKind { found, expected } => write!(f, "a model of kind {found}, where {expected} is expected"),
            Self::WrongShape { found, expected } => {
                write!(f, "a model of another shape: it has {found}; expected {expected}")
            }
            Self::Truncated { expected, actual } => {
                write!(f, "truncated: {actual} bytes of {expected}")
            }
            Self::TrailingBytes { expected, actual } => {
                write!(f, "{} bytes too many behind the {expected} of the model", actual - expected)
            }
            Self::BadCrc { stored, computed } => {
                write!(f, "damaged: the checksum is {computed:08x}, but the file says {stored:08x}")
            }
            Self::BadField(field) => write!(f, "malformed model file: {field}"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "reserved bytes are not zero",
            Self::Encoding => "the fields cannot be decoded",
            Self::Normalization => "the input normalisation is out of range",
            Self::Labels => "there is not one label per class",
            Self::Accuracy => "the accuracy is not a percentage",
            Self::Padding => "the padding before the weights is wrong",
            Self::Weights => "the weights have the wrong size, or one of them is out of range",
        })
    }
}

impl core::error::Error for ModelError {}
