//! The board's side of the conversation.

use crate::{
    frame::{decode, encode, Receiver},
    message::{Classification, Command, Description, Outcome, Refusal, Reply, Request},
};

/// A server that takes bytes from the line and answers requests. `N` is the size of its buffer for a request, in bytes,
/// which should be [`request_len`](crate::request_len).
///
/// ```
/// use vit_link::{encode, reply_len, request_len, Classification, Command, Description, Request, Server};
///
/// let board = Description { board: "doc", height: 2, width: 2, channels: 1, fit: 1, classes: 3, model: 0, ticks_per_second: 1 };
/// let mut server = Server::<{ request_len(4) }>::new(board);
/// let infer = |_levels: &[u8]| Classification { class: 1, ticks: None, logits: [-5, 7, 0] };
///
/// let mut line = [0; request_len(4)];
/// let request = encode(&Request { id: 1, command: Command::Classify { levels: &[0, 255, 0, 255] } }, &mut line)?;
/// let mut answer = [0; reply_len(3)];
/// let (end, begin) = request.split_last().unwrap();
/// assert!(begin.iter().all(|&byte| server.push(byte, infer, &mut answer).is_none()));
/// assert!(server.push(*end, infer, &mut answer).is_some());
/// # Ok::<(), vit_link::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Server<'a, const N: usize> {
    description: Description<'a>,
    receiver: Receiver<N>,
}

impl<'a, const N: usize> Server<'a, N> {
    /// Creates the server of the board with this description.
    pub const fn new(description: Description<'a>) -> Self {
        Self { description, receiver: Receiver::new() }
    }

    /// Takes the next byte from the line. If it completes a request, this returns the frame of the reply, which the
    /// caller must send. The frame is written to `buffer`, which should have [`reply_len`](crate::reply_len) bytes; in
    /// a shorter one, it may not fit, and the request is not answered.
    ///
    /// `infer` classifies an image. It gets as many levels as the description states.
    pub fn push<'b, L: AsRef<[i32]>>(
        &mut self,
        byte: u8,
        infer: impl FnOnce(&[u8]) -> Classification<L>,
        buffer: &'b mut [u8],
    ) -> Option<&'b [u8]> {
        let request = self.receiver.push(byte)?.and_then(decode::<Request<'_>>);
        let expected = self.description.levels();
        let classification;
        let (id, outcome) = match request {
            Err(error) => (None, Outcome::Refused(Refusal::Frame(error))),
            Ok(Request { id, command: Command::Describe }) => {
                (Some(id), Outcome::Description(self.description))
            }
            Ok(Request { id, command: Command::Classify { levels } })
                if levels.len() == expected as usize =>
            {
                classification = infer(levels);
                (Some(id), Outcome::Classification(classification.borrowed()))
            }
            Ok(Request { id, command: Command::Classify { levels } }) => {
                (Some(id), Outcome::Refused(Refusal::Levels { expected, found: levels.len() as u32 }))
            }
        };
        encode(&Reply { id, outcome }, buffer).ok().map(|frame| &*frame)
    }
}
