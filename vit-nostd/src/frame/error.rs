//! The errors of a resizer.

use super::fit::MAX_SIDE;
use core::fmt;

/// The reason that a frame cannot be resized, or that a line of it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// The frame or the input has a width or a height of zero.
    NoPixels,
    /// The frame, its padding included, or the input is wider or higher than [`MAX_SIDE`].
    TooLarge {
        /// The width in pixels, with the padding.
        width: usize,
        /// The height in pixels, with the padding.
        height: usize,
    },
    /// The input has neither one channel nor three.
    Channels {
        /// The number of channels of the input.
        found: usize,
    },
    /// A line in YUV 4:2:2, in which two pixels share their colour, has an odd number of pixels.
    OddWidth {
        /// The width of the frame.
        found: usize,
    },
    /// The memory for sums has another length than [`Input::sums`](super::Input::sums).
    SumsLength {
        /// The number of sums that are needed.
        expected: usize,
        /// The number of sums in the slice.
        actual: usize,
    },
    /// The memory for the image has another length than [`Input::bytes`](super::Input::bytes).
    ImageLength {
        /// The number of bytes of the input.
        expected: usize,
        /// The number of bytes in the slice.
        actual: usize,
    },
    /// A line has another length than [`Frame::line_bytes`](super::Frame::line_bytes).
    LineLength {
        /// The number of bytes of a line of the frame.
        expected: usize,
        /// The number of bytes in the slice.
        actual: usize,
    },
    /// The resizer was given another line after the last one of the frame.
    TooManyLines {
        /// The number of lines in the frame.
        expected: usize,
    },
    /// The frame was ended before its last line.
    MissingLines {
        /// The number of lines in the frame.
        expected: usize,
        /// The number of lines that the resizer was given.
        actual: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPixels => write!(f, "the frame or the input has a width or a height of zero"),
            Self::TooLarge { width, height } => write!(
                f,
                "{width} x {height} pixels are too large: a frame with its padding, and an input, have at most \
                 {MAX_SIDE} x {MAX_SIDE} pixels"
            ),
            Self::Channels { found } => {
                write!(f, "an input has 1 channel (grey) or 3 (red, green, blue), not {found}")
            }
            Self::OddWidth { found } => write!(
                f,
                "a line of {found} pixels cannot be in YUV 4:2:2, which needs an even number of pixels"
            ),
            Self::SumsLength { expected, actual } => {
                write!(f, "the memory for sums has room for {actual}, but {expected} are needed")
            }
            Self::ImageLength { expected, actual } => {
                write!(f, "the image has {actual} bytes, but the input has {expected}")
            }
            Self::LineLength { expected, actual } => {
                write!(f, "the line has {actual} bytes, but a line of the frame has {expected}")
            }
            Self::TooManyLines { expected } => {
                write!(f, "the frame has {expected} lines, and all of them were already given")
            }
            Self::MissingLines { expected, actual } => {
                write!(f, "the frame has {expected} lines, but only {actual} were given")
            }
        }
    }
}

impl core::error::Error for FrameError {}
