//! The board's side of the conversation.

use crate::{
    frame::{decode, encode, Receiver},
    message::{Classification, Command, Description, Outcome, Refusal, Reply, Request},
};

/// Hears bytes and answers requests. `N` is the memory for one request: [`request_len`](crate::request_len) bytes.
///
/// ```
/// use vit_link::{encode, reply_len, request_len, Classification, Command, Description, Request, Server};
///
/// let board = Description { board: "doc", side: 2, classes: 3, model: 0, ticks_per_second: 1 };
/// let mut server = Server::<{ request_len(4) }>::new(board);
/// let infer = |_pixels: &[u8]| Classification { class: 1, ticks: None, logits: [-5, 7, 0] };
///
/// let mut line = [0; request_len(4)];
/// let request = encode(&Request { id: 1, command: Command::Classify { pixels: &[0, 255, 0, 255] } }, &mut line)?;
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
    /// Waits for the first request to the board of this description.
    pub const fn new(description: Description<'a>) -> Self {
        Self { description, receiver: Receiver::new() }
    }

    /// Takes the next byte from the line, and gives what there is to answer, written to `buffer`, which should have
    /// [`reply_len`](crate::reply_len) bytes. `infer` gets an image's pixels, as many as the description says.
    pub fn push<'b, L: AsRef<[i32]>>(
        &mut self,
        byte: u8,
        infer: impl FnOnce(&[u8]) -> Classification<L>,
        buffer: &'b mut [u8],
    ) -> Option<&'b [u8]> {
        let request = self.receiver.push(byte)?.and_then(decode::<Request<'_>>);
        let expected = u32::from(self.description.side).pow(2);
        let classification;
        let (id, outcome) = match request {
            Err(error) => (None, Outcome::Refused(Refusal::Frame(error))),
            Ok(Request { id, command: Command::Describe }) => {
                (Some(id), Outcome::Description(self.description))
            }
            Ok(Request { id, command: Command::Classify { pixels } })
                if pixels.len() == expected as usize =>
            {
                classification = infer(pixels);
                (Some(id), Outcome::Classification(classification.borrowed()))
            }
            Ok(Request { id, command: Command::Classify { pixels } }) => {
                (Some(id), Outcome::Refused(Refusal::Pixels { expected, found: pixels.len() as u32 }))
            }
        };
        encode(&Reply { id, outcome }, buffer).ok().map(|frame| &*frame)
    }
}
