//! What is said.

use crate::frame::{frame_len, FrameError};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The most bytes of the name in a [`Description`].
pub const BOARD_NAME_LEN: usize = 32;

/// What the host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Comes back in the reply.
    pub id: u16,
    /// What the board should do.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// What a board can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command<'a> {
    /// What are you? Answered by [`Outcome::Description`].
    Describe,
    /// Which class is this image of? Answered by [`Outcome::Classification`].
    Classify {
        /// Grey levels row by row, 0 is the background: `side * side` of them.
        pixels: &'a [u8],
    },
}

/// What the board says. `L` is where the logits are: a slice on a board, a vector on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply<'a, L> {
    /// The request's, unless it could not be read.
    pub id: Option<u16>,
    /// What came of it.
    #[serde(borrow)]
    pub outcome: Outcome<'a, L>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome<'a, L> {
    /// What the board is.
    #[serde(borrow)]
    Description(Description<'a>),
    /// What the image shows.
    Classification(Classification<L>),
    /// The request was not carried out.
    Refused(Refusal),
}

/// What a board is, and which network it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description<'a> {
    /// The board's name, at most [`BOARD_NAME_LEN`] bytes without control characters.
    pub board: &'a str,
    /// Pixels along one side of an image.
    pub side: u16,
    /// Number of classes.
    pub classes: u16,
    /// Which model file the board runs: its [`checksum`].
    pub model: u32,
    /// The unit of [`Classification::ticks`], never 0: ticks of the processor's clock on a board, of some clock in an
    /// emulator.
    pub ticks_per_second: u32,
}

/// A classified image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification<L> {
    /// Index of the largest logit, the first of equal ones.
    pub class: u16,
    /// Time of the inference, unless it was longer than the board's clock can tell.
    pub ticks: Option<u32>,
    /// The integer engine's logits as they are, one `i32` a class.
    pub logits: L,
}

impl<L: AsRef<[i32]>> Classification<L> {
    /// The same, with borrowed logits: serde knows no arrays of every length, and writes those it knows without it.
    pub fn borrowed(&self) -> Classification<&[i32]> {
        Classification { class: self.class, ticks: self.ticks, logits: self.logits.as_ref() }
    }
}

/// Why a board refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// It could not be read.
    Frame(FrameError),
    /// The image has another size than those that the network takes.
    Pixels {
        /// Pixels that the network takes.
        expected: u32,
        /// Pixels that came.
        found: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Pixels { expected, found } => {
                write!(f, "an image of {found} pixels, where {expected} are expected")
            }
        }
    }
}

/// What tells one model file from another: the checksum that it ends with. 0 for what is too short for a model file.
pub const fn checksum(model: &[u8]) -> u32 {
    match model.last_chunk() {
        Some(crc) => u32::from_le_bytes(*crc),
        None => 0,
    }
}

// The most bytes of postcard's integers, which are of variable length, and of what else is in a message.
const U16: usize = 3;
const U32: usize = 5;
const TAG: usize = 1;

/// The most bytes of the frame of a request with an image of `pixels` pixels.
pub const fn request_len(pixels: usize) -> usize {
    frame_len(U16 + TAG + U32 + pixels)
}

/// The most bytes of the frame of a reply of a board with so many classes.
pub const fn reply_len(classes: usize) -> usize {
    let classification = U16 + (TAG + U32) + U32 + classes * U32;
    let description = U32 + BOARD_NAME_LEN + 2 * U16 + 2 * U32;
    let longer = if classification > description { classification } else { description };
    frame_len((TAG + U16) + TAG + longer)
}
