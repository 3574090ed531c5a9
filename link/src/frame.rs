//! Encoding of messages as frames, and decoding of frames.

use crate::VERSION;
use core::fmt;
use crc::{Crc, CRC_32_ISO_HDLC};
use heapless::Vec;
use postcard::{
    ser_flavors::{crc::CrcModifier, Cobs, Slice},
    serialize_with_flavor, take_from_bytes,
};
use serde::{Deserialize, Serialize};

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const CRC_LEN: usize = 4;

/// The reason that a frame could not be read or written. The checks run in the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is longer than the buffer for it.
    TooLong,
    /// The bytes before the delimiter are not valid COBS, or too few for a frame.
    Stuffing,
    /// The content does not match its checksum.
    Crc,
    /// The frame has another version of the protocol.
    Version {
        /// The frame's version.
        found: u8,
    },
    /// The checksum is correct, but the content is not a known message, or has more bytes after the message.
    Message,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the frame is too long"),
            Self::Stuffing => f.write_str("the frame is damaged: it is not COBS"),
            Self::Crc => f.write_str("the frame is damaged: its checksum is wrong"),
            Self::Version { found } => {
                write!(f, "the frame has version {found} of the protocol instead of {VERSION}")
            }
            Self::Message => f.write_str("the frame contains no known message"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Returns the largest number of bytes in the frame of a message of `message` bytes, delimiter included.
pub const fn frame_len(message: usize) -> usize {
    let plain = 1 + message + CRC_LEN;
    plain + plain.div_ceil(254) + 1
}

/// Writes `message` as a frame, delimiter included, to the beginning of `buffer`.
///
/// # Errors
/// [`FrameError::TooLong`] if `buffer` is too short. [`frame_len`] bytes are always enough.
pub fn encode<'b>(message: &impl Serialize, buffer: &'b mut [u8]) -> Result<&'b mut [u8], FrameError> {
    let too_long = |_| FrameError::TooLong;
    let stuffed = Cobs::try_new(Slice::new(buffer)).map_err(too_long)?;
    serialize_with_flavor(&(VERSION, message), CrcModifier::new(stuffed, CRC.digest())).map_err(too_long)
}

/// Reads the message in a frame, which is given without its delimiter. The frame is unstuffed in place, and the message
/// borrows from it.
///
/// # Errors
/// All variants of [`FrameError`] except `TooLong`.
pub fn decode<'f, T: Deserialize<'f>>(frame: &'f mut [u8]) -> Result<T, FrameError> {
    let len = cobs::decode_in_place(frame).map_err(|_| FrameError::Stuffing)?;
    let (content, crc) = frame.get(..len).and_then(<[u8]>::split_last_chunk).ok_or(FrameError::Stuffing)?;
    if CRC.checksum(content) != u32::from_le_bytes(*crc) {
        return Err(FrameError::Crc);
    }
    match content.split_first() {
        None => Err(FrameError::Stuffing),
        Some((&VERSION, message)) => match take_from_bytes(message) {
            Ok((message, [])) => Ok(message),
            _ => Err(FrameError::Message),
        },
        Some((&found, _)) => Err(FrameError::Version { found }),
    }
}

/// A buffer of `N` bytes that collects bytes from the line until a frame is complete.
#[derive(Debug, Default)]
pub struct Receiver<const N: usize> {
    frame: Vec<u8, N>,
    too_long: bool,
    complete: bool,
}

impl<const N: usize> Receiver<N> {
    /// Creates a receiver that waits for the first byte of a frame.
    pub const fn new() -> Self {
        Self { frame: Vec::new(), too_long: false, complete: false }
    }

    /// Takes the next byte from the line. If it ends a frame, this returns the frame without its delimiter, for
    /// [`decode`], or [`FrameError::TooLong`] if the frame did not fit. The byte after that begins the next frame.
    pub fn push(&mut self, byte: u8) -> Option<Result<&mut [u8], FrameError>> {
        if self.complete {
            *self = Self::new();
        }
        if byte != 0 {
            self.too_long |= self.frame.push(byte).is_err();
            return None;
        }
        self.complete = true;
        match (self.too_long, self.frame.is_empty()) {
            (true, _) => Some(Err(FrameError::TooLong)),
            (false, true) => None,
            (false, false) => Some(Ok(&mut self.frame)),
        }
    }
}
