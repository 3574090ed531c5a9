//! Communicates with a board that classifies images: the host's side of the protocol [`vit_link`].

use crate::data::Format;
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
use vit_nostd::{argmax, frame::Fit};

/// The number of times that a board is asked for its description, because it may still be starting.
const GREETINGS: u32 = 10;
/// The number of times that a request is sent before an unreliable line is given up.
const ATTEMPTS: u32 = 3;
/// The most bytes of a reply.
const REPLY_LEN: usize = reply_len(Description::MAX_CLASSES as usize);
/// The most bytes that are written to a serial port at once. If a port is ready, every driver has room for this many
/// bytes. Writing more than there is room for would block as long as the board does not read.
const CHUNK: usize = 64;
/// The longest time that one read or write waits. It is short, so that a deadline is noticed in time.
const PATIENCE: Duration = Duration::from_millis(20);

/// The address of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A serial port.
    Serial {
        /// The device file of the port, or its name, such as `COM3`.
        port: PathBuf,
        /// The speed in bits per second.
        baud: u32,
        /// True if the DTR line is raised, which boards that are USB devices themselves wait for. It has no effect on a
        /// port without such a line.
        dtr: bool,
    },
    /// The `host:port` of a serial port on the network, or of an emulator.
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

/// Why the communication with a board failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The port or the connection cannot be opened.
    #[error("{0}")]
    Open(String),
    /// The operating system refuses to read or write.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other end has closed the connection.
    #[error("the connection was closed at the other end, or the board was unplugged")]
    Closed,
    /// The board sent nothing.
    #[error("no answer within {seconds} s: is the firmware `serve` running there{}?", at_rate(*baud))]
    Silent {
        /// The time in seconds that the host has waited.
        seconds: f64,
        /// The speed of a serial port in bits per second; None for a network address.
        baud: Option<u32>,
    },
    /// The board does not read what is sent.
    #[error("the board did not take a request of {bytes} bytes within {seconds} s: is its firmware still running?")]
    Stuck {
        /// The number of bytes of the request.
        bytes: usize,
        /// The time in seconds that the host has waited.
        seconds: f64,
    },
    /// The board sent something, but no answer.
    #[error("{bytes} bytes came, but no answer among them: is the firmware `serve` running there{}?", at_rate(*baud))]
    Noise {
        /// The number of bytes that came.
        bytes: usize,
        /// The speed of a serial port in bits per second; None for a network address.
        baud: Option<u32>,
    },
    /// The answers of a board that has answered before are damaged.
    #[error(
        "the board's answers arrived damaged, {attempts} times in a row ({error}): the line is unreliable"
    )]
    Damaged {
        /// The number of times that the request was sent.
        attempts: u32,
        /// The fault of the last answer.
        error: FrameError,
    },
    /// The board speaks another version of the protocol.
    #[error(
        "the board speaks version {theirs} of the protocol, but this program speaks version {}: flash a firmware of this \
         version",
        vit_link::VERSION
    )]
    Version {
        /// The version of the protocol that the board speaks.
        theirs: u8,
    },
    /// The board refuses the request, and says why.
    #[error("the board refuses the request: {0}")]
    Refused(Refusal),
    /// The board's description of itself cannot be true.
    #[error("the board describes itself as no board can be: {0}; is its firmware in order?")]
    Description(String),
    /// The board's answer does not belong to the request, or contradicts itself.
    #[error("the board's answer cannot be correct: {0}; is its firmware in order?")]
    Answer(String),
    /// The board's network takes other images.
    #[error("the board's network takes images of {format} in {} classes; expected {expected}", format.classes)]
    OtherNetwork {
        /// The images and classes of the board's network.
        format: Format,
        /// The images and classes that were expected.
        expected: String,
    },
    /// The board runs another model file.
    #[error("the board runs another model than {} (checksum {theirs:08x}, not {ours:08x})", path.display())]
    OtherModel {
        /// The file to compare with.
        path: PathBuf,
        /// The checksum of the board's model file.
        theirs: u32,
        /// The checksum of the file to compare with.
        ours: u32,
    },
}

/// Returns words for the speed of a serial port, which may be the wrong one.
fn at_rate(baud: Option<u32>) -> String {
    baud.map_or(String::new(), |baud| format!(", at {baud} bits per second"))
}

/// A serial line or a connection, whose reads and writes time out after [`PATIENCE`].
trait Line: Read + Write {}
impl<L: Read + Write> Line for L {}

/// A connection to a board that has described itself.
pub struct Device {
    line: Box<dyn Line>,
    baud: Option<u32>,
    timeout: Duration,
    /// Bytes that came and have not been decoded yet.
    heard: VecDeque<u8>,
    receiver: Receiver<REPLY_LEN>,
    /// The number of the last request.
    id: u16,
    /// The number of requests that had to be sent again.
    repeated: usize,
    description: Description,
}

/// A board's description of itself: see [`vit_link::Description`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The name of the board.
    pub board: String,
    /// The images and classes of the board's network.
    pub format: Format,
    /// How pictures of another size are fitted to an image.
    pub fit: Fit,
    /// The checksum of the board's model file.
    pub model: u32,
    /// The number of ticks per second in which the board counts time.
    pub ticks_per_second: u32,
}

impl Description {
    /// The largest number of levels of an image. At the usual rate, sending an image of this size takes a minute and a
    /// half.
    pub const MAX_LEVELS: u32 = 1 << 20;
    /// The largest number of classes.
    pub const MAX_CLASSES: u16 = 4096;

    /// Returns the description if it can be true. All code that uses a description, from the size of an image to what
    /// is printed, relies on this check.
    fn checked(said: vit_link::Description<'_>) -> Result<Self, DeviceError> {
        let vit_link::Description {
            board, height, width, channels, classes, model, ticks_per_second, ..
        } = said;
        let fit = match said.fit {
            0 => Some(Fit::Stretch),
            1 => Some(Fit::Crop),
            2 => Some(Fit::Pad),
            _ => None,
        };
        let wrong = if !(1..=Self::MAX_LEVELS).contains(&said.levels()) {
            let most = Self::MAX_LEVELS;
            format!("images of {width}x{height} pixels with {channels} channels, where 1 to {most} levels are possible")
        } else if channels != 1 && channels != 3 {
            format!("images with {channels} channels, where 1 or 3 are possible")
        } else if !(1..=Self::MAX_CLASSES).contains(&classes) {
            format!("{classes} classes, where 1 to {} are possible", Self::MAX_CLASSES)
        } else if ticks_per_second == 0 {
            "a clock of 0 ticks per second".to_owned()
        } else if board.len() > BOARD_NAME_LEN {
            format!("a name of {} bytes, where {BOARD_NAME_LEN} are possible", board.len())
        } else if board.chars().any(char::is_control) {
            format!("a name with control characters, {board:?}")
        } else {
            let [height, width, classes] = [height, width, classes].map(usize::from);
            let format = Format { height, width, channels: channels.into(), classes };
            match fit {
                Some(fit) => {
                    return Ok(Self { board: board.to_owned(), format, fit, model, ticks_per_second })
                }
                None => format!("pictures that are fitted to the input in an unknown way ({})", said.fit),
            }
        };
        Err(DeviceError::Description(wrong))
    }
}

/// The answer to a request.
enum Answer {
    Description(Description),
    Classification(Classification<Vec<i32>>),
}

/// Something that was received from a board.
enum Heard {
    Answer(Answer),
    /// A refusal, because the board could not decode a request.
    Refusal(FrameError),
    /// A frame that this computer cannot decode.
    Damage(FrameError),
    /// Nothing before the deadline.
    Nothing,
}

/// Ignores an error that only says that a read or write has timed out, and returns all others.
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
    /// Connects to a board and asks for its description. `timeout` is the longest time that this and each later answer
    /// may take.
    ///
    /// # Errors
    /// [`DeviceError::Open`] if there is no such port or address; other variants if no board answers there, or if its
    /// description cannot be true.
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
                Err(DeviceError::Answer("it sent a class when it was asked what it is".to_owned()))
            }
        }
    }

    /// Returns the board's description of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns how many requests had to be sent again so far, because they or their answers were damaged or lost.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Lets the board classify an image, given as levels row by row and pixel by pixel. Returns the class, the logits
    /// and the time that inference took.
    ///
    /// # Errors
    /// A [`DeviceError`] if the board does not answer, if it refuses, or if its answer contradicts itself.
    pub fn classify(&mut self, levels: &[u8]) -> Result<Classification<Vec<i32>>, DeviceError> {
        let wrong = match self.ask(Command::Classify { levels }, ATTEMPTS, self.timeout)? {
            Answer::Classification(answer) => {
                let (classes, largest) = (self.description.format.classes, argmax(&answer.logits));
                if answer.logits.len() != classes {
                    format!("{} logits of a network of {classes} classes", answer.logits.len())
                } else if usize::from(answer.class) != largest {
                    format!("class {}, but the largest logit is that of class {largest}", answer.class)
                } else {
                    return Ok(answer);
                }
            }
            Answer::Description(_) => "it sent its description when it was asked for a class".to_owned(),
        };
        Err(DeviceError::Answer(wrong))
    }

    /// Sends a request and returns the answer. The request is sent up to `attempts` times: again if it or its answer
    /// was damaged, or if no answer came within `patience`.
    fn ask(
        &mut self,
        command: Command<'_>,
        attempts: u32,
        patience: Duration,
    ) -> Result<Answer, DeviceError> {
        self.id = self.id.wrapping_add(1);
        let levels = if let Command::Classify { levels } = command { Some(levels.len()) } else { None };
        // The first byte stays 0. It is a delimiter and ends whatever the board may have received before.
        let mut frame = vec![0; 1 + request_len(levels.unwrap_or(0))];
        let request = Request { id: self.id, command };
        let len = encode(&request, &mut frame[1..]).expect("request_len bytes always suffice").len();
        let transfer = self.transfer(1 + len + reply_len(self.description.format.classes));

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
                // The damage may be in something older than the answer. Therefore the last attempt waits until its
                // deadline, and so does every request for a description, because the board may be starting.
                if attempt < attempts && levels.is_some() {
                    break;
                }
            }
            self.repeated += usize::from(attempt < attempts);
        }
        let seconds = ((attempts * patience).as_secs_f64() * 100.0).round() / 100.0;
        let baud = self.baud;
        Err(match (refusal, damage) {
            (Some(error), _) => DeviceError::Refused(Refusal::Frame(error)),
            // A board has described itself before, so that the damage is on the line.
            (None, Some(error)) if levels.is_some() => DeviceError::Damaged { attempts, error },
            _ if bytes > 0 => DeviceError::Noise { bytes, baud },
            _ => DeviceError::Silent { seconds, baud },
        })
    }

    /// Returns the time that a serial line takes for a number of bytes: ten bits each, with a start bit and a stop bit.
    fn transfer(&self, bytes: usize) -> Duration {
        self.baud
            .map_or(Duration::ZERO, |baud| Duration::from_secs_f64(10.0 * bytes as f64 / f64::from(baud)))
    }

    /// Sends bytes, for which the line takes the time `transfer`. A serial port gets them in small chunks.
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

    /// Waits for the answer to the last request. Adds the number of bytes that came to `bytes`.
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
                    Ok(_) => (), // an answer to an earlier request
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
