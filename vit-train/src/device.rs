//! Talks to a board that classifies images: the host's side of [`vit_link`].

use serialport::ClearBuffer;
use std::{
    collections::VecDeque,
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::{Duration, Instant},
};
use vit_link::{
    decode, encode, reply_len, request_len, Classification, Command, FrameError, Outcome, Receiver, Refusal,
    Reply, Request, BOARD_NAME_LEN,
};
use vit_nostd::argmax;

/// How often a board is asked what it is, while it may be starting and not listening yet.
const GREETINGS: u32 = 10;
/// How often a request is sent before an unreliable line is given up.
const ATTEMPTS: u32 = 3;
/// The most bytes of a reply.
const REPLY_LEN: usize = reply_len(Description::MAX_CLASSES as usize);
/// The most bytes that a serial port is given at once. When it is ready to write, there is room for as many in every
/// driver; for what there is no room, a write would wait as long as the board does not read.
const CHUNK: usize = 64;
/// How long one read or write waits, so that a deadline is noticed in time.
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
        /// Whether the line DTR is raised, for which boards with USB of their own wait. Where there is no such line,
        /// nothing happens.
        dtr: bool,
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
    #[error("the connection was closed at the other end, or the board was unplugged")]
    Closed,
    /// Nothing came.
    #[error("no answer within {seconds} s: is the firmware `serve` running there{}?", at_rate(*baud))]
    Silent {
        /// How long it was waited for.
        seconds: f64,
        /// Of a serial port.
        baud: Option<u32>,
    },
    /// The board does not read.
    #[error("the board did not take a request of {bytes} bytes within {seconds} s: is its firmware still running?")]
    Stuck {
        /// How many there are.
        bytes: usize,
        /// How long it was waited for.
        seconds: f64,
    },
    /// Something came, but nothing that could be read.
    #[error("{bytes} bytes came, but no answer among them: is that the firmware `serve`{}?", at_rate(*baud))]
    Noise {
        /// How many.
        bytes: usize,
        /// Of a serial port.
        baud: Option<u32>,
    },
    /// A board that has answered before cannot be understood any more.
    #[error(
        "the board's answers arrived damaged, {attempts} times in a row ({error}): the line is unreliable"
    )]
    Damaged {
        /// How often it was asked.
        attempts: u32,
        /// What is wrong with the last answer.
        error: FrameError,
    },
    /// The board speaks another version of the protocol.
    #[error(
        "the board speaks version {theirs} of the protocol, and this program version {}: flash a firmware of this version",
        vit_link::VERSION
    )]
    Version {
        /// The board's version.
        theirs: u8,
    },
    /// The board does not do what it is asked for, however often, and says why.
    #[error("the board refuses the request: {0}")]
    Refused(Refusal),
    /// The board says of itself what cannot be.
    #[error("the board describes itself as no board can be: {0}; is its firmware in order?")]
    Description(String),
    /// The board's answer cannot be one to the request.
    #[error("the board's answer cannot be right: {0}; is its firmware in order?")]
    Answer(String),
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

impl Description {
    /// The largest side of an image: at the usual rate, one of that size is on its way for a minute and a half.
    pub const MAX_SIDE: u16 = 1024;
    /// The most classes.
    pub const MAX_CLASSES: u16 = 4096;

    /// What a board says of itself, if it can be true. All that depends on it, from the size of an image to what is
    /// printed, relies on that.
    fn checked(said: vit_link::Description<'_>) -> Result<Self, DeviceError> {
        let vit_link::Description { board, side, classes, model, ticks_per_second } = said;
        let wrong = if !(1..=Self::MAX_SIDE).contains(&side) {
            format!("images of {side} x {side} pixels, where 1 to {} a side are possible", Self::MAX_SIDE)
        } else if !(1..=Self::MAX_CLASSES).contains(&classes) {
            format!("{classes} classes, where 1 to {} are possible", Self::MAX_CLASSES)
        } else if ticks_per_second == 0 {
            "a clock of 0 ticks per second".to_owned()
        } else if board.len() > BOARD_NAME_LEN {
            format!("a name of {} bytes, where {BOARD_NAME_LEN} are possible", board.len())
        } else if board.chars().any(char::is_control) {
            format!("a name with control characters, {board:?}")
        } else {
            return Ok(Self { board: board.to_owned(), side, classes, model, ticks_per_second });
        };
        Err(DeviceError::Description(wrong))
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
    /// The board could not read a request.
    Refusal(FrameError),
    /// Something that this computer cannot read.
    Damage(FrameError),
    /// The time is over.
    Nothing,
}

/// Nothing, if an error says only that a moment has passed; else what has happened.
fn passing(error: io::Error) -> Result<(), DeviceError> {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Err(DeviceError::Closed)
        }
        _ => Err(error.into()),
    }
}

/// Connects to the first of a host's addresses that answers within `timeout`.
fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "this host has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl Device {
    /// Connects to a board, which has to answer within `timeout`, now and later.
    ///
    /// # Errors
    /// A [`DeviceError`], where there is no board, none that answers, or none that can be as it describes itself.
    pub fn open(address: &Address, timeout: Duration) -> Result<Self, DeviceError> {
        let cannot = |error: &dyn fmt::Display| DeviceError::Open(format!("cannot be opened: {error}"));
        let (line, baud): (Box<dyn Line>, _) = match address {
            Address::Serial { port, baud, dtr } => {
                let mut builder = serialport::new(port.to_string_lossy(), *baud).timeout(PATIENCE);
                if *dtr {
                    builder = builder.dtr_on_open(true);
                }
                let port = builder.open().map_err(|error| cannot(&error))?;
                port.clear(ClearBuffer::All).map_err(|error| cannot(&error))?;
                (Box::new(port), Some(*baud))
            }
            Address::Tcp(address) => {
                let stream = connect(address, timeout).map_err(|error| cannot(&error))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
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
            repeated: 0,
            description: Description::default(),
        };
        match device.ask(Command::Describe, GREETINGS, timeout / GREETINGS)? {
            Answer::Description(description) => Ok(Self { description, repeated: 0, ..device }),
            Answer::Classification(_) => {
                Err(DeviceError::Answer("a class, where it was asked what it is".to_owned()))
            }
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
    /// A [`DeviceError`], where the board does not answer, or refuses, or where its answer contradicts itself.
    pub fn classify(&mut self, pixels: &[u8]) -> Result<Classification<Vec<i32>>, DeviceError> {
        let wrong = match self.ask(Command::Classify { pixels }, ATTEMPTS, self.timeout)? {
            Answer::Classification(answer) => {
                let (classes, largest) = (usize::from(self.description.classes), argmax(&answer.logits));
                if answer.logits.len() != classes {
                    format!("{} logits of a network of {classes} classes", answer.logits.len())
                } else if usize::from(answer.class) != largest {
                    format!("class {}, where the largest logit is that of class {largest}", answer.class)
                } else {
                    return Ok(answer);
                }
            }
            Answer::Description(_) => "what it is, where it was asked for a class".to_owned(),
        };
        Err(DeviceError::Answer(wrong))
    }

    /// Sends a request, again where it or its answer was damaged, or did not come within `patience`.
    fn ask(
        &mut self,
        command: Command<'_>,
        attempts: u32,
        patience: Duration,
    ) -> Result<Answer, DeviceError> {
        self.id = self.id.wrapping_add(1);
        let pixels = if let Command::Classify { pixels } = command { Some(pixels.len()) } else { None };
        // The first byte stays 0: a delimiter, which ends what the board may have heard before.
        let mut frame = vec![0; 1 + request_len(pixels.unwrap_or(0))];
        let request = Request { id: self.id, command };
        let len = encode(&request, &mut frame[1..]).expect("request_len bytes always suffice").len();
        let transfer = self.transfer(1 + len + reply_len(self.description.classes.into()));

        let (mut bytes, mut refusal, mut damage) = (0, None, None);
        for attempt in 1..=attempts {
            self.send(&frame[..=len], transfer)?;
            let deadline = Instant::now() + patience + transfer;
            loop {
                match self.hear(deadline, &mut bytes)? {
                    Heard::Answer(answer) => return Ok(answer),
                    Heard::Refusal(error) => refusal = Some(error),
                    Heard::Damage(error) => damage = Some(error),
                    Heard::Nothing => break,
                }
                // Damage may be of what came before: the last request is waited for, and so is a board that is starting.
                if attempt < attempts && pixels.is_some() {
                    break;
                }
            }
            self.repeated += usize::from(attempt < attempts);
        }
        let seconds = ((attempts * patience).as_secs_f64() * 100.0).round() / 100.0;
        let baud = self.baud;
        Err(match (refusal, damage) {
            (Some(error), _) => DeviceError::Refused(Refusal::Frame(error)),
            // What has described itself is a board.
            (None, Some(error)) if pixels.is_some() => DeviceError::Damaged { attempts, error },
            _ if bytes > 0 => DeviceError::Noise { bytes, baud },
            _ => DeviceError::Silent { seconds, baud },
        })
    }

    /// How long so many bytes are on their way over a serial line: ten bits each, with start and stop.
    fn transfer(&self, bytes: usize) -> Duration {
        self.baud
            .map_or(Duration::ZERO, |baud| Duration::from_secs_f64(10.0 * bytes as f64 / f64::from(baud)))
    }

    /// Sends bytes, whose way takes as long as `transfer`. A serial port takes them little by little.
    fn send(&mut self, bytes: &[u8], transfer: Duration) -> Result<(), DeviceError> {
        let deadline = Instant::now() + self.timeout + transfer;
        let chunk = self.baud.map_or(bytes.len(), |_| CHUNK);
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.line.write(&rest[..rest.len().min(chunk)]) {
                Ok(0) => return Err(DeviceError::Closed),
                Ok(count) => rest = &rest[count..],
                Err(error) => passing(error)?,
            }
            if !rest.is_empty() && Instant::now() >= deadline {
                let seconds = self.timeout.as_secs_f64();
                return Err(DeviceError::Stuck { bytes: bytes.len(), seconds });
            }
        }
        Ok(())
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
                        return Ok(Heard::Refusal(error));
                    }
                    Ok(Reply { id, outcome }) if id == Some(self.id) => match outcome {
                        Outcome::Description(description) => {
                            let description = Description::checked(description)?;
                            return Ok(Heard::Answer(Answer::Description(description)));
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
                Err(error) => passing(error)?,
            }
        }
    }
}
