//! The protocol by which a host and a board that classifies images talk to each other over a serial line.
//!
//! Firmware and `vit-train` share this crate, so that there is a single definition of the bytes on the line. It is a
//! crate of its own because neither of its users should depend on the other, and because inference (`vit-nostd`) does
//! not need it.
//!
//! # Frames
//!
//! Bytes are sent with 8 bits, no parity and one stop bit, at [`BAUD`] unless both ends agree on another rate. They
//! form frames. Before it is stuffed, a frame consists of:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version of the protocol, [`VERSION`] |
//! | .. | one message, a [postcard](https://postcard.jamesmunns.com) value: a [`Request`] to the board or a [`Reply`] from it |
//! | 4 | CRC-32 (the one of zlib) of all bytes before it, little-endian |
//!
//! [COBS](https://en.wikipedia.org/wiki/Consistent_Overhead_Byte_Stuffing) removes all zeros from these bytes (it
//! "stuffs" them), and a single zero, the delimiter, ends the frame. An empty frame, that is, two delimiters in a row,
//! has no meaning and is not answered. The host sends a delimiter before each request, which ends any noise that the
//! board has received before.
//!
//! # Conversation
//!
//! The host sends one request at a time and waits for the reply: a board does not listen while it works. The host
//! chooses a number for each request, and the reply repeats it. The board answers a request that it cannot carry out
//! with [`Outcome::Refused`]. If it cannot even read the frame, this reply has no number. In both cases the board then
//! waits for the next frame, so that after a damaged or oversized frame the link works again from the next delimiter
//! on. The host repeats requests that were refused as damaged, and ignores replies with other numbers than that of its
//! request.
//!
//! The host refuses to work with a board whose [`Description`] or [`Classification`] cannot be true, for example one
//! with images of no pixels, or with another class than that of the largest logit.
//!
//! # Versioning rule
//!
//! Every change of the layout or of the meaning of a byte raises [`VERSION`]. Both ends know one version and refuse all
//! others with [`FrameError::Version`]. In every version, the first byte of a frame is the version and the last four
//! bytes are the CRC. Tests check the exact bytes of version 2.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod frame;
mod message;
mod server;

pub use frame::{decode, encode, frame_len, FrameError, Receiver};
pub use message::{
    checksum, reply_len, request_len, Classification, Command, Description, Outcome, Refusal, Reply, Request,
    BOARD_NAME_LEN,
};
pub use server::Server;

/// The version of the protocol: the first byte of every frame.
pub const VERSION: u8 = 2;

/// The default speed of the serial line, in bits per second.
pub const BAUD: u32 = 115_200;
