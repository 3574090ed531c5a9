//! The errors of the model file reader and writer.

use super::format::{Kind, ALIGNMENT, LAYER_NORM_EPSILON, MAX_LABEL, MAX_NAME, VERSION};
use crate::network::Dims;
use core::fmt;

/// The reason that a model file was refused. The checks run in the order of the variants, and the first one that fails
/// is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes do not begin at a multiple of [`ALIGNMENT`]. Embed the file with
    /// [`include_model!`](crate::include_model), or copy it into an [`Aligned`](crate::model_file::Aligned).
    Misaligned,
    /// The file is shorter than the fixed-width preamble that every model file begins with.
    NoPreamble {
        /// The number of bytes in the file.
        actual: usize,
    },
    /// The file does not begin with the magic bytes: it is not a model file.
    BadMagic,
    /// The file has a version of the format that this library does not read.
    UnsupportedVersion {
        /// The file's version.
        found: u16,
    },
    /// The kind byte stands for neither a float nor an integer model.
    UnknownKind {
        /// The file's kind byte.
        found: u8,
    },
    /// The model needs a feature of the format that this library does not implement yet.
    Unsupported(Feature),
    /// The dimensions are impossible: one is zero, the patch does not divide the image, a window of a convolution
    /// does not fit into its input, the heads do not divide the channels, there are more tokens than 16 bits can count, or the number of channels is not that of the colours.
    ImpossibleShape,
    /// The file has a float model where an integer model is expected, or the other way round.
    WrongKind {
        /// The file's kind.
        found: Kind,
        /// The kind that the engine runs.
        expected: Kind,
    },
    /// The network in the file has other dimensions than expected.
    WrongShape {
        /// The file's dimensions.
        found: Dims,
        /// The dimensions of the network type.
        expected: Dims,
    },
    /// The file has fewer bytes than its preamble states.
    Truncated {
        /// The number of bytes that the preamble states.
        expected: usize,
        /// The number of bytes in the file.
        actual: usize,
    },
    /// The file has more bytes than its preamble states.
    TrailingBytes {
        /// The number of bytes that the preamble states.
        expected: usize,
        /// The number of bytes in the file.
        actual: usize,
    },
    /// The content does not match its checksum: the file is damaged.
    BadCrc {
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the content.
        computed: u32,
    },
    /// The checksum is correct, but a field is not: the program that wrote the file has an error.
    BadField(Field),
}

/// A property that the format can express but this library does not implement yet, as reported by
/// [`ModelError::Unsupported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Feature {
    /// Weights with another number of bits than 32 for [`Kind::F32`] and 8 for [`Kind::Int8`].
    WeightBits {
        /// The number of bits of a weight in the file.
        found: u8,
    },
    /// Pictures that are neither grey nor RGB.
    Colours {
        /// The file's colours byte.
        found: u8,
    },
    /// Pictures that are fitted to the input in another way than those of [`Fit`](crate::frame::Fit).
    Fit {
        /// The file's fit byte.
        found: u8,
    },
    /// A tokenizer with more than two convolutions.
    Convolutions {
        /// The number of convolutions in the file.
        found: u8,
    },
    /// Another epsilon of LayerNorm than [`LAYER_NORM_EPSILON`].
    Epsilon,
    /// Images with another number of channels than one or three.
    Channels {
        /// The number of channels in the file.
        found: u16,
    },
}

/// The field of a model file that is wrong, as reported by [`ModelError::BadField`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Field {
    /// The reserved bytes of the preamble are not zero.
    Reserved,
    /// The fields do not decode as postcard.
    Encoding,
    /// The mean or the standard deviation is out of its bounds, or those of a channel that the network does not have
    /// are not 0 and 1.
    Normalization,
    /// The number of labels is not the number of classes.
    Labels {
        /// The number of labels.
        found: usize,
        /// The number of classes of the network.
        classes: usize,
    },
    /// The label of a class is unusable.
    Label {
        /// The index of the class.
        class: usize,
        /// The reason that its label is unusable.
        fault: LabelFault,
    },
    /// The name of the data set or of the tool is too long or contains control characters.
    Name,
    /// The accuracy is not within 0 to 100 percent.
    Accuracy,
    /// The padding is too long, or not zero, or the weights after it are not aligned.
    Padding,
    /// The number of weights is not that of the shape, or one of them is not finite (kind `f32`) or not within the
    /// bounds that NUMERICS.md states (kind `int8`).
    Weights,
}

/// The reason that the label of a class is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LabelFault {
    /// The label contains a control character or a line break.
    Control,
    /// The label has no characters, or only spaces.
    Empty,
    /// The label has more than [`MAX_LABEL`] characters.
    TooLong,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => {
                write!(f, "the model's bytes are not aligned to {ALIGNMENT} bytes")
            }
            Self::NoPreamble { actual } => write!(f, "{actual} bytes are too few for a model file"),
            Self::BadMagic => write!(f, "not a model file (it does not begin with \"ViT!\")"),
            Self::UnsupportedVersion { found } => write!(
                f,
                "the file has format version {found}, but this program reads version {VERSION} only: {}",
                if *found < VERSION {
                    "export or quantize its checkpoint again"
                } else {
                    "a newer version of the program reads it"
                }
            ),
            Self::UnknownKind { found } => write!(f, "the model is of an unknown kind ({found})"),
            Self::Unsupported(feature) => {
                write!(f, "this version of the program cannot run the model: {feature}")
            }
            Self::ImpossibleShape => write!(f, "malformed model file: its dimensions do not fit together"),
            Self::WrongKind { found, expected } => {
                write!(f, "the model is of kind {found} instead of {expected}")
            }
            Self::WrongShape { found, expected } => {
                write!(f, "the model has another shape: {found}; expected: {expected}")
            }
            Self::Truncated { expected, actual } => {
                write!(f, "the file is truncated: it has {actual} of its {expected} bytes")
            }
            Self::TrailingBytes { expected, actual } => {
                write!(
                    f,
                    "the file is too long: {} bytes follow the {expected} of the model",
                    actual - expected
                )
            }
            Self::BadCrc { stored, computed } => {
                write!(
                    f,
                    "the file is damaged: its checksum is {computed:08x}, but the file states {stored:08x}"
                )
            }
            Self::BadField(field) => write!(f, "malformed model file: {field}"),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeightBits { found } => write!(f, "it has weights of {found} bits"),
            Self::Colours { found } => write!(f, "its pictures are neither grey nor RGB (colours {found})"),
            Self::Fit { found } => {
                write!(f, "its pictures are fitted to the input in an unknown way (fit {found})")
            }
            Self::Convolutions { found } => write!(f, "its tokenizer has {found} convolutions"),
            Self::Epsilon => write!(f, "its LayerNorm has another epsilon than {LAYER_NORM_EPSILON:e}"),
            Self::Channels { found } => write!(f, "its images have {found} channels instead of 1 or 3"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => write!(f, "reserved bytes are not zero"),
            Self::Encoding => write!(f, "the fields cannot be decoded"),
            Self::Normalization => write!(
                f,
                "the input normalisation is out of range (mean within -10^6 and 10^6, std within 10^-6 and 10^6)"
            ),
            Self::Labels { found, classes } => {
                write!(f, "there is not one label per class ({found} labels for {classes} classes)")
            }
            Self::Label { class, fault } => write!(f, "the label of class {class} {fault}"),
            Self::Name => write!(
                f,
                "the name of the data set or the tool has more than {MAX_NAME} characters or a control character"
            ),
            Self::Accuracy => write!(f, "the accuracy is not a percentage"),
            Self::Padding => write!(f, "the padding before the weights is wrong"),
            Self::Weights => write!(f, "the weights have the wrong size, or one of them is out of range"),
        }
    }
}

impl fmt::Display for LabelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => write!(f, "contains a control character or a line break"),
            Self::Empty => write!(f, "is empty"),
            Self::TooLong => write!(f, "has more than {MAX_LABEL} characters"),
        }
    }
}

impl core::error::Error for ModelError {}
