//! How a host and a board that classifies images talk to each other over a serial line.
//!
//! Firmware and `vit-train` share this crate, so that there is one definition of what goes over the wire. It is a crate
//! of its own because neither of its users should depend on the other, and because inference (`vit-nostd`) does not
//! need it.
//!
//! # Frames
//!
//! Bytes go over the line, 8 bits, no parity, one stop bit, at [`BAUD`] unless both ends agree on another rate. They
//! form frames. A frame is, before it is stuffed:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version of the protocol, [`VERSION`] |
//! | .. | one message, a [postcard](https://postcard.jamesmunns.com) value: a [`Request`] to the board, a [`Reply`] from it |
//! | 4 | CRC-32 (the one of zlib) of all bytes before it, little-endian |
//!
//! [COBS](https://en.wikipedia.org/wiki/Consistent_Overhead_Byte_Stuffing) takes all zeros out of that, and one zero
//! ends the frame: the delimiter. A frame without content, which is two delimiters in a row, means nothing and is not
//! answered; the host sends a delimiter before each request, and with it ends whatever noise the board has heard before.
//!
//! # Conversation
//!
//! The host asks, the board answers, one request at a time: a board that works does not listen. A request has a number
//! of the host's choice, which comes back in the reply. What the board hears and does not understand, it answers with
//! [`Outcome::Refused`], without a number where none could be read, and listens for the next frame: after a damaged or
//! oversized frame, the link is in order again at the next delimiter. The host repeats what was refused as damaged, and
//! ignores replies with other numbers than that of its request. It refuses to work with a board whose [`Description`] or
//! [`Classification`] cannot be true: with images of no pixels, say, or with another class than that of the largest logit.
//!
//! # Versioning rule
//!
//! Every change of the layout or of the meaning of a byte raises [`VERSION`]. Both ends know one version and refuse
//! every other by [`FrameError::Version`]. That the version is the first byte of a frame, and the CRC its last four,
//! stays so for ever. Tests hold version 1 to its exact bytes.
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
pub const VERSION: u8 = 1;

/// Bits per second of a serial line, unless both ends agree on others.
pub const BAUD: u32 = 115_200;
