//! Talks to a board that classifies images: the host's side of [`vit_link`].

use serialport::ClearBuffer;
use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};
use vit_link::{
    decode, encode, request_len, Classification, Command, FrameError, Outcome, Receiver, Refusal, Reply,
    Request,
};

/// How often a board is asked what it is, while it may be starting and not listening yet.
const GREETINGS: u32 = 10;
/// How often a request is sent before an unreliable line is given up.
const ATTEMPTS: u32 = 3;
/// The most bytes of a reply: of more than the 256 classes that a label can name.
const REPLY_LEN: usize = 2048;
/// How long one read waits, so that a silent line is noticed in time.
const PATIENCE: Duration = Duration::from_millis(20);

/// Where a board is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A serial port.
    Serial {
        /// Its device file, or `COM3` and the like.
        port: PathBuf,
        /// Bits per second.
        baud: u32,
    },
    /// `host:port` of a serial port on the network, or of an emulator.
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { port, .. } => port.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// Why a board cannot be talked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The port or the connection cannot be opened.
    #[error("{0}")]
    Open(String),
    /// The operating system refuses to read or write.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other end is gone.
    #[error("the connection was closed at the other end")]
    Closed,
    /// Nothing came.
    #[error("no answer within {seconds} s: is the firmware `serve` running there{}?", at_rate(*baud))]
    Silent {
        /// How long it was waited for.
        seconds: f64,
        /// Of a serial port.
        baud: Option<u32>,
    },
    /// Something came, but nothing that could be read.
    #[error("{bytes} bytes came, but no answer among them: is that the firmware `serve`{}?", at_rate(*baud))]
    Noise {
        /// How many.
        bytes: usize,
        /// Of a serial port.
        baud: Option<u32>,
    },
    /// The board speaks another version of the protocol.
    #[error(
        "the board speaks version {theirs} of the protocol, and this program version {}: flash its firmware anew",
        vit_link::VERSION
    )]
    Version {
        /// The board's version.
        theirs: u8,
    },
    /// The board does not do what it is asked for, however often.
    #[error("the board refuses: {0}")]
    Refused(Refusal),
    /// The board's network is not for these images.
    #[error("the board's network takes images of {side} x {side} in {classes} classes; expected {expected}")]
    OtherNetwork {
        /// The board's.
        side: u16,
        /// The board's.
        classes: u16,
        /// What was asked for.
        expected: String,
    },
    /// The board runs another model file.
    #[error("the board runs another model than {} (checksum {theirs:08x}, not {ours:08x})", path.display())]
    OtherModel {
        /// The file to compare with.
        path: PathBuf,
        /// Checksum of the board's.
        theirs: u32,
        /// Checksum of the file.
        ours: u32,
    },
}

/// The rate that may be the wrong one.
fn at_rate(baud: Option<u32>) -> String {
    baud.map_or(String::new(), |baud| format!(", at {baud} bits per second"))
}

/// A serial line: reading from it times out after a moment.
trait Line: Read + Write {}
impl<L: Read + Write> Line for L {}

/// A board that answers.
pub struct Device {
    line: Box<dyn Line>,
    baud: Option<u32>,
    timeout: Duration,
    /// Bytes that came and were not looked at yet.
    heard: VecDeque<u8>,
    receiver: Receiver<REPLY_LEN>,
    /// Of the last request.
    id: u16,
    /// The board has refused a frame, in words that were understood.
    refused: bool,
    repeated: usize,
    description: Description,
}

/// What a board says of itself; see [`vit_link::Description`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub board: String,
    /// Pixels along one side of an image.
    pub side: u16,
    /// Number of classes.
    pub classes: u16,
    /// Checksum of its model file.
    pub model: u32,
    /// What time is counted in.
    pub ticks_per_second: u32,
}

impl From<vit_link::Description<'_>> for Description {
    fn from(description: vit_link::Description<'_>) -> Self {
        let vit_link::Description { board, side, classes, model, ticks_per_second } = description;
        Self { board: board.to_owned(), side, classes, model, ticks_per_second }
    }
}

/// The answer to a request.
enum Answer {
    Description(Description),
    Classification(Classification<Vec<i32>>),
}

/// What was heard.
enum Heard {
    Answer(Answer),
    /// Something was damaged on its way, here or there.
    Damage(FrameError),
    /// The time is over.
    Nothing,
}

impl Device {
    /// Connects to a board, which has to answer within `timeout`, now and later.
    ///
    /// # Errors
    /// A [`DeviceError`], where there is no board, or none that answers.
    pub fn open(address: &Address, timeout: Duration) -> Result<Self, DeviceError> {
        let cannot = |error: &dyn fmt::Display| DeviceError::Open(format!("cannot be opened: {error}"));
        let (line, baud): (Box<dyn Line>, _) = match address {
            Address::Serial { port, baud } => {
                let path = port.to_string_lossy();
                let port =
                    serialport::new(path, *baud).timeout(PATIENCE).open().map_err(|error| cannot(&error))?;
                port.clear(ClearBuffer::All).map_err(|error| cannot(&error))?;
                (Box::new(port), Some(*baud))
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).map_err(|error| cannot(&error))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(timeout))?;
                stream.set_nodelay(true)?;
                (Box::new(stream), None)
            }
        };
        let mut device = Self {
            line,
            baud,
            timeout,
            heard: VecDeque::new(),
            receiver: Receiver::new(),
            id: 0,
            refused: false,
            repeated: 0,
            description: Description::default(),
        };
        match device.ask(Command::Describe, GREETINGS, timeout / GREETINGS)? {
            Answer::Description(description) => Ok(Self { description, repeated: 0, ..device }),
            Answer::Classification(_) => Err(DeviceError::Refused(Refusal::Frame(FrameError::Message))),
        }
    }

    /// What the board says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// How many images had to be sent again so far.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Lets the board classify an image: grey levels, row by row.
    ///
    /// # Errors
    /// A [`DeviceError`], where the board does not answer, or refuses.
    pub fn classify(&mut self, pixels: &[u8]) -> Result<Classification<Vec<i32>>, DeviceError> {
        match self.ask(Command::Classify { pixels }, ATTEMPTS, self.timeout)? {
            Answer::Classification(answer)
                if answer.logits.len() == usize::from(self.description.classes) =>
            {
                Ok(answer)
            }
            _ => Err(DeviceError::Refused(Refusal::Frame(FrameError::Message))),
        }
    }

    /// Sends a request, again where it or its answer was damaged, or did not come within `patience`.
    fn ask(
        &mut self,
        command: Command<'_>,
        attempts: u32,
        patience: Duration,
    ) -> Result<Answer, DeviceError> {
        self.id = self.id.wrapping_add(1);
        let pixels = if let Command::Classify { pixels } = command { pixels.len() } else { 0 };
        // The first byte stays 0: a delimiter, which ends what the board may have heard before.
        let mut frame = vec![0; 1 + request_len(pixels)];
        let request = Request { id: self.id, command };
        let len = encode(&request, &mut frame[1..])
            .map_err(|error| DeviceError::Refused(Refusal::Frame(error)))?
            .len();

        let (mut bytes, mut damage) = (0, None);
        for attempt in 1..=attempts {
            self.line.write_all(&frame[..=len])?;
            self.line.flush()?;
            let deadline = Instant::now() + patience;
            loop {
                match self.hear(deadline, &mut bytes)? {
                    Heard::Answer(answer) => return Ok(answer),
                    Heard::Damage(error) => damage = Some(error),
                    Heard::Nothing => break,
                }
                // The last time, damage may be of what was sent earlier.
                if attempt < attempts {
                    break;
                }
            }
            self.repeated += usize::from(attempt < attempts);
        }
        let (seconds, baud) = (self.timeout.as_secs_f64(), self.baud);
        Err(match damage {
            // A board that has understood nothing and said nothing that was understood is none.
            Some(error) if self.refused => DeviceError::Refused(Refusal::Frame(error)),
            _ if bytes > 0 => DeviceError::Noise { bytes, baud },
            _ => DeviceError::Silent { seconds, baud },
        })
    }

    /// Listens for the answer to the last request. Adds to `bytes` how many came.
    fn hear(&mut self, deadline: Instant, bytes: &mut usize) -> Result<Heard, DeviceError> {
        loop {
            while let Some(byte) = self.heard.pop_front() {
                let Some(frame) = self.receiver.push(byte) else { continue };
                match frame.and_then(decode::<Reply<'_, Vec<i32>>>) {
                    Err(FrameError::Version { found }) => return Err(DeviceError::Version { theirs: found }),
                    Err(error) => return Ok(Heard::Damage(error)),
                    Ok(Reply { id: None, outcome: Outcome::Refused(Refusal::Frame(error)) }) => {
                        self.refused = true;
                        return Ok(Heard::Damage(error));
                    }
                    Ok(Reply { id, outcome }) if id == Some(self.id) => match outcome {
                        Outcome::Description(description) => {
                            return Ok(Heard::Answer(Answer::Description(description.into())))
                        }
                        Outcome::Classification(answer) => {
                            return Ok(Heard::Answer(Answer::Classification(answer)))
                        }
                        Outcome::Refused(refusal) => return Err(DeviceError::Refused(refusal)),
                        _ => return Ok(Heard::Damage(FrameError::Message)),
                    },
                    Ok(_) => (), // to an earlier request
                }
            }
            if Instant::now() >= deadline {
                return Ok(Heard::Nothing);
            }
            let mut buffer = [0; 512];
            match self.line.read(&mut buffer) {
                Ok(0) => return Err(DeviceError::Closed),
                Ok(count) => {
                    *bytes += count;
                    self.heard.extend(&buffer[..count]);
                }
                Err(error) => match error.kind() {
                    ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted => (),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Err(DeviceError::Closed),
                    _ => return Err(error.into()),
                },
            }
        }
    }
}
