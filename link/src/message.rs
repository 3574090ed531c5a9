//! The messages of the protocol.

use crate::frame::{frame_len, FrameError};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The largest length of the board's name in a [`Description`], in bytes.
pub const BOARD_NAME_LEN: usize = 32;

/// A message from the host to the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// The number of the request, which the host chooses and the reply repeats.
    pub id: u16,
    /// The command that the board should carry out.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// The commands that a board can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Asks for a description of the board. The outcome is [`Outcome::Description`].
    Describe,
    /// Asks for the class of an image. The outcome is [`Outcome::Classification`].
    Classify {
        /// The levels of the image, row by row and pixel by pixel, from 0 to 255: one for each channel of each pixel.
        levels: &'a [u8],
    },
}

/// A message from the board to the host. `L` is the type of the logits: a slice on a board, a vector on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<'a, L> {
    /// The number of the request, unless it could not be read.
    pub id: Option<u16>,
    /// The outcome of the request.
    #[serde(borrow)]
    pub outcome: Outcome<'a, L>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome<'a, L> {
    /// The answer to [`Command::Describe`].
    #[serde(borrow)]
    Description(Description<'a>),
    /// The answer to [`Command::Classify`].
    Classification(Classification<L>),
    /// The reason that the request was not carried out.
    Refused(Refusal),
}

/// The properties of a board and of the network that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description<'a> {
    /// The board's name, at most [`BOARD_NAME_LEN`] bytes without control characters.
    pub board: &'a str,
    /// The height of an image in pixels.
    pub height: u16,
    /// The width of an image in pixels.
    pub width: u16,
    /// The number of channels of an image: 1 for grey, 3 for red, green and blue.
    pub channels: u8,
    /// How pictures of another size are fitted to an image: 0 stretched, 1 cropped, 2 padded, as in the model file.
    pub fit: u8,
    /// The number of classes.
    pub classes: u16,
    /// The [`checksum`] of the model file that the board runs.
    pub model: u32,
    /// The number of [`Classification::ticks`] in a second, never 0. On a board, it is the frequency of the processor's
    /// clock.
    pub ticks_per_second: u32,
}

/// The result of classifying an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification<L> {
    /// The index of the largest logit, the first one if several are equal.
    pub class: u16,
    /// The time of the inference in ticks, unless it was too long for the board's clock to measure.
    pub ticks: Option<u32>,
    /// The integer engine's logits, one `i32` per class.
    pub logits: L,
}

impl Description<'_> {
    /// Returns the number of levels of an image, which is `u32::MAX` if it does not fit 32 bits.
    pub const fn levels(&self) -> u32 {
        (self.height as u32).saturating_mul(self.width as u32).saturating_mul(self.channels as u32)
    }
}

impl<L: AsRef<[i32]>> Classification<L> {
    /// Returns this result with its logits as a slice, to be encoded. serde does not implement its traits for arrays of
    /// every length, and it encodes arrays without their length.
    pub fn borrowed(&self) -> Classification<&[i32]> {
        Classification { class: self.class, ticks: self.ticks, logits: self.logits.as_ref() }
    }
}

/// The reason that a board refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The frame could not be read.
    Frame(FrameError),
    /// The image does not have the number of levels that the network takes.
    Levels {
        /// The number of levels that the network takes.
        expected: u32,
        /// The number of levels in the request.
        found: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Levels { expected, found } => {
                write!(f, "the image has {found} levels instead of {expected}")
            }
        }
    }
}

/// Returns the checksum at the end of a model file, which tells model files apart, or 0 if `model` is too short to have
/// one.
pub const fn checksum(model: &[u8]) -> u32 {
    match model.last_chunk() {
        Some(crc) => u32::from_le_bytes(*crc),
        None => 0,
    }
}

// The largest number of bytes in postcard's encoding of an integer, and the length of the tag of an enum or an option.
const U8: usize = 1;
const U16: usize = 3;
const U32: usize = 5;
const TAG: usize = 1;

/// Returns the largest number of bytes in the frame of a request with an image of `levels` levels.
pub const fn request_len(levels: usize) -> usize {
    frame_len(U16 + TAG + U32 + levels)
}

/// Returns the largest number of bytes in the frame of a reply from a board with `classes` classes.
pub const fn reply_len(classes: usize) -> usize {
    let classification = U16 + (TAG + U32) + U32 + classes * U32;
    let description = U32 + BOARD_NAME_LEN + 3 * U16 + 2 * U8 + 2 * U32;
    let longer = if classification > description { classification } else { description };
    frame_len((TAG + U16) + TAG + longer)
}
