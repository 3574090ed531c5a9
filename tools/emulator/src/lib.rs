//! Runs firmware without a board: builds it, runs it in QEMU and decodes its defmt log.
//!
//! ```no_run
//! let chip = vit_emulator::Chip::M4F;
//! let firmware = chip.build("hard_fault")?;
//! let run = chip.run(&firmware, std::env::temp_dir())?;
//! assert_eq!(run.exit_code, 1);
//! assert!(run.log[0].starts_with("ERROR hard fault"));
//! # anyhow::Ok(())
//! ```
//!
//! The log comes over semihosting. It is encoded by defmt, or plain text if the firmware has no defmt, like a program in
//! C. Files come the same way: a firmware that opens `images.bin` opens the file of that name in the folder of the run
//! ([`Emulator::dir`]). Tests pass images to the chip in this way. A model is put into the chip's memory, as if it had
//! been flashed there.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{mpsc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure, Context, Result};
use defmt_decoder::{DecodeError, StreamDecoder, Table};

/// An emulated chip: a QEMU machine and the Rust target that firmware is built for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chip {
    /// The chip's name in logs and reports.
    pub name: &'static str,
    /// The machine's name, as `qemu-system-arm -machine help` lists it.
    pub machine: &'static str,
    /// The target's name, as `rustc --print target-list` lists it.
    pub target: &'static str,
    /// The feature of `firmware-example` for the board, unless the board is the default one for the target.
    board: Option<&'static str>,
    /// The address of the machine's memory for a model, if it has any: `_model` in the firmware's memory map.
    model_address: Option<u32>,
    /// The length of a tick of SysTick in nanoseconds. If [instructions are counted](Emulator::count_instructions),
    /// this is also the number of instructions in a tick.
    pub tick: f64,
    /// True if the firmware `bits` computes float models with `vit_nostd::float::Micromath`.
    micromath: bool,
}

impl Chip {
    /// A Cortex-M0 in a micro:bit: no division, no unaligned access, 16 KB of RAM.
    pub const M0: Self = Self {
        name: "Cortex-M0",
        machine: "microbit",
        target: "thumbv6m-none-eabi",
        board: None,
        model_address: Some(0x2_0000),
        tick: 1e9 / 16e6,
        micromath: false,
    };
    /// The code for a Cortex-M0 on a Cortex-M3, which executes the same instructions and has more memory.
    pub const M0_LARGE: Self =
        Self { name: "Cortex-M0", target: "thumbv6m-none-eabi", board: Some("mps2"), ..Self::M3 };
    /// A Cortex-M3: no floating-point unit, so that the compiler's routines do its float arithmetic.
    pub const M3: Self = Self {
        name: "Cortex-M3",
        machine: "mps2-an385",
        target: "thumbv7m-none-eabi",
        board: None,
        model_address: Some(0x2100_0000),
        tick: 1e9 / 25e6,
        micromath: false,
    };
    /// A Cortex-M4F: single precision in hardware.
    pub const M4F: Self =
        Self { name: "Cortex-M4F", machine: "mps2-an386", target: "thumbv7em-none-eabihf", ..Self::M3 };
    /// A Cortex-M7, with firmware that does not use a floating-point unit.
    pub const M7: Self = Self {
        name: "Cortex-M7",
        machine: "mps2-an500",
        target: "thumbv7em-none-eabi",
        model_address: Some(0x6000_0000),
        ..Self::M3
    };
    /// A Cortex-M33 with the DSP extension: its architecture is ARMv8-M, the successor of that of the other chips.
    pub const M33: Self = Self {
        name: "Cortex-M33",
        machine: "mps2-an505",
        target: "thumbv8m.main-none-eabihf",
        model_address: Some(0x8000_0000),
        tick: 1e9 / 20e6,
        ..Self::M3
    };
    /// An STM32F100RB in an STM32VLDISCOVERY: a Cortex-M3 with 128 KB of flash and 8 KB of RAM.
    pub const STM32F100: Self = Self {
        name: "STM32F100",
        machine: "stm32vldiscovery",
        board: Some("stm32vldiscovery"),
        model_address: None,
        tick: 1e9 / 24e6,
        ..Self::M3
    };
    /// An STM32F405RG in a Netduino Plus 2: a Cortex-M4F with 1 MB of flash and 128 KB of RAM.
    pub const STM32F405: Self = Self {
        name: "STM32F405",
        machine: "netduinoplus2",
        board: Some("netduinoplus2"),
        model_address: None,
        tick: 1e9 / 168e6,
        ..Self::M4F
    };
    /// One chip for each kind of processor that firmware is tested on.
    pub const ALL: [Self; 5] = [Self::M0, Self::M3, Self::M4F, Self::M7, Self::M33];
    /// One chip for each board that firmware is tested on.
    pub const BOARDS: [Self; 7] =
        [Self::M0, Self::M3, Self::M4F, Self::M7, Self::M33, Self::STM32F100, Self::STM32F405];

    /// Returns this chip with the setting that the firmware `bits` computes float models with
    /// `vit_nostd::float::Micromath`.
    pub fn with_micromath(self) -> Self {
        Self { micromath: true, ..self }
    }

    /// Builds the binary `bin` of `firmware-example` or of `tests/firmware` for this chip, in release, and returns the
    /// ELF file's path. The firmware of the tests is only for the default board of each target.
    pub fn build(&self, bin: &str) -> Result<PathBuf> {
        build(self.machine, self.target, self.board.unwrap_or_default(), bin, None)
    }

    /// Builds `firmware-example` for this chip like [`build`](Self::build), with the model in the file `model`.
    pub fn build_example(&self, model: &Path) -> Result<PathBuf> {
        let folder = format!("{}-with-model", self.machine);
        build(&folder, self.target, self.board.unwrap_or_default(), "firmware-example", Some(model))
    }

    /// Runs a firmware on this chip until it exits. `dir` is the folder for its files. A run that takes longer than
    /// [`Emulator::TIMEOUT`] is an error.
    pub fn run(&self, elf: &Path, dir: impl AsRef<Path>) -> Result<Run> {
        Emulator::new(self.machine).dir(dir).run(elf, |_| ())
    }

    /// Classifies `images` (the pixels of all images, one image after the other) with the model file `model` on this
    /// chip, by the firmware `bits`. Returns the bits of all logits.
    pub fn logits(&self, model: &[u8], images: &[u8]) -> Result<Vec<u32>> {
        Ok(self.logits_and_stack("bits", model, images)?.0)
    }

    /// Classifies images like [`logits`](Self::logits), by the firmware `bin`, which is `bits` or `limits`. Returns the
    /// bits of all logits, and the number of bytes of stack that an inference took.
    pub fn logits_and_stack(&self, bin: &str, model: &[u8], images: &[u8]) -> Result<(Vec<u32>, usize)> {
        let elf = self.build(bin)?;
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("model.vit");
        fs::write(&file, model)?;
        fs::write(dir.path().join("images.bin"), images)?;
        if self.micromath {
            fs::write(dir.path().join("micromath"), [])?;
        }
        let run =
            Emulator::new(self.machine).dir(&dir).load(&file, self.model_address()?).run(&elf, |_| ())?;
        ensure!(run.exit_code == 0, "the firmware on the {} failed: {:#?}", self.name, run.log);
        let answer = fs::read(dir.path().join("logits.bin"))?;
        let words = answer.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("4 bytes")));
        let stack = run.log.last().and_then(|line| line.rsplit_once("stack ")?.1.parse().ok());
        Ok((
            words.collect(),
            stack.with_context(|| format!("the log does not state the stack: {:#?}", run.log))?,
        ))
    }

    /// Runs a firmware with a model file in the chip's memory, and counts instructions.
    pub fn run_with_model(&self, elf: &Path, model: &[u8]) -> Result<Run> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("model.vit");
        fs::write(&file, model)?;
        let emulator = Emulator::new(self.machine).count_instructions();
        emulator.dir(&dir).load(&file, self.model_address()?).run(elf, |_| ())
    }

    fn model_address(&self) -> Result<u32> {
        self.model_address.with_context(|| format!("the {} has no room for a model", self.name))
    }

    /// Converts ticks of SysTick to instructions, for runs in which the emulator
    /// [counts](Emulator::count_instructions) them.
    pub fn instructions(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.tick).round() as u64
    }
}

/// Builds the binary `bin` of `firmware-example` for a real board with a debug probe, with the model in the file
/// `model`, and returns the ELF file's path. `board` is the firmware's feature for the board.
pub fn build_for_probe(board: &str, target: &str, bin: &str, model: &Path) -> Result<PathBuf> {
    let features = format!("{board},probe");
    build(&features, target, &features, bin, Some(model))
}

/// Builds `bin` in release, copies its ELF file into a folder with the name `folder`, and returns the path of the copy.
fn build(folder: &str, target: &str, features: &str, bin: &str, model: Option<&Path>) -> Result<PathBuf> {
    // cargo writes the ELF files of all boards of a target to the same path. The lock is held until the file is copied.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let is_of_tests = root.join("tests/firmware/src/bin").join(bin).with_extension("rs").exists();
    let package = if is_of_tests { "test-firmware" } else { "firmware-example" };
    let mut cargo = Command::new(root.join("tools/chip-cargo"));
    cargo
        .args(["build", "--release", "--quiet", "--message-format=json-render-diagnostics"])
        .args(["--package", package])
        .args(["--target", target, "--features", features, "--bin", bin])
        .current_dir(root.join("firmware-example"))
        .env_remove("VIT_MODEL")
        .stderr(Stdio::inherit());
    if let Some(model) = model {
        cargo.env("VIT_MODEL", model);
    }
    let output = cargo.output().context("tools/chip-cargo does not start")?;
    ensure!(output.status.success(), "building `{bin}` for {folder} failed");
    let elf = String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no executable `{bin}`"))?;

    let folder = elf.with_file_name(folder);
    fs::create_dir_all(&folder)?;
    let own = folder.join(bin);
    // The copy is made under another name and then renamed, because an emulator may be reading that of an earlier call.
    let copy = tempfile::NamedTempFile::new_in(&folder)?;
    fs::copy(&elf, copy.path())?;
    copy.persist(&own)?;
    Ok(own)
}

/// The result of running a firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit code that the firmware passed to semihosting. 0 is success.
    pub exit_code: i32,
    /// The lines of the log, each with its level and message, as in `INFO 7 is a 7`. A log in plain text has no levels.
    pub log: Vec<String>,
    /// The log as it left the chip: encoded defmt frames, or text.
    pub raw: Vec<u8>,
}

/// The settings for running a firmware in QEMU. [`Chip::run`] uses the default ones.
#[derive(Clone, Debug)]
pub struct Emulator {
    machine: String,
    dir: PathBuf,
    timeout: Duration,
    serial: Vec<String>,
    options: Vec<String>,
}

/// QEMU's options for a machine whose serial port leads nowhere.
const NO_SERIAL: [&str; 2] = ["-serial", "none"];

impl Emulator {
    /// The default of [`Emulator::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(300);

    /// Creates the settings for a machine, by its name in `qemu-system-arm -machine help`. It has no serial port.
    pub fn new(machine: impl Into<String>) -> Self {
        let serial = NO_SERIAL.map(str::to_owned).to_vec();
        let (dir, options) = (PathBuf::from("."), Vec::new());
        Self { machine: machine.into(), dir, timeout: Self::TIMEOUT, serial, options }
    }

    /// Sets the folder that the firmware's semihosting calls open files in.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = dir.as_ref().to_owned();
        self
    }

    /// Sets the time after which the firmware is stopped and the run is an error.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Puts the content of a file at an address of the chip, as if it had been flashed there.
    pub fn load(mut self, file: &Path, address: u32) -> Self {
        // A comma ends a value in QEMU's options, and two commas stand for one.
        let file = file.display().to_string().replace(',', ",,");
        let device = format!("loader,file={file},addr={address:#x},force-raw=on");
        self.options.extend(["-device".to_owned(), device]);
        self
    }

    /// Lets every instruction take one nanosecond of the chip's time, so that its timers count instructions.
    pub fn count_instructions(mut self) -> Self {
        self.options.extend(["-icount", "shift=0"].map(str::to_owned));
        self
    }

    /// Connects the chip's serial port to a socket on this machine, at `port` or, if that is 0, at a free port. The
    /// firmware starts when a client has connected.
    pub fn uart(mut self, port: u16) -> Self {
        let socket = format!("socket,id=uart,host=127.0.0.1,port={port},server=on,wait=on");
        self.serial = ["-chardev", &socket, "-serial", "chardev:uart"].map(str::to_owned).to_vec();
        self
    }

    /// Runs a firmware until it exits, and calls `line` with each line of its log as it arrives.
    pub fn run(&self, elf: &Path, line: impl FnMut(&str)) -> Result<Run> {
        self.start(elf)?.wait(line)
    }

    /// Starts a firmware and returns while it runs.
    pub fn start(&self, elf: &Path) -> Result<Running> {
        let file = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = Table::parse(&file)?;
        let elf = elf.canonicalize()?; // QEMU opens it from its own folder
        let mut qemu = Command::new("qemu-system-arm")
            .args(["-machine", &self.machine, "-display", "none", "-monitor", "none"])
            .args(["-chardev", "stdio,id=log", "-semihosting-config", "enable=on,target=native,chardev=log"])
            .args(&self.serial)
            .args(&self.options)
            .args([OsStr::new("-kernel"), elf.as_os_str()])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Stopped)
            .context("qemu-system-arm does not start (Debian: apt install qemu-system-arm)")?;
        let output = chunks(qemu.0.stdout.take().expect("stdout is piped"));
        let mut messages = BufReader::new(qemu.0.stderr.take().expect("stderr is piped"));
        let uart = if self.serial == NO_SERIAL { None } else { Some(address(&mut messages)?) };
        thread::spawn(move || io::copy(&mut messages, &mut io::stderr()));
        Ok(Running { qemu, table, output, uart, end: Instant::now() + self.timeout, timeout: self.timeout })
    }
}

/// Reads the address of QEMU's socket from its message that it waits for a connection.
fn address(messages: &mut impl BufRead) -> Result<SocketAddr> {
    let mut line = String::new();
    messages.read_line(&mut line)?;
    let address = line.rsplit_once("waiting for connection on: disconnected:tcp:").and_then(|(_, rest)| {
        let (address, _) = rest.split_once(',')?;
        address.parse().ok()
    });
    address.with_context(|| format!("qemu-system-arm did not open a socket: {}", line.trim()))
}

/// A running firmware. It is stopped when this is dropped.
pub struct Running {
    qemu: Stopped,
    /// The encoding of the firmware's log by defmt. Without it, the log is text.
    table: Option<Table>,
    output: mpsc::Receiver<Vec<u8>>,
    uart: Option<SocketAddr>,
    end: Instant,
    timeout: Duration,
}

impl Running {
    /// Returns the address of the serial port's socket, if there is one.
    pub fn uart(&self) -> Option<SocketAddr> {
        self.uart
    }

    /// Waits until the firmware exits, and calls `line` with each line of its log as it arrives.
    pub fn wait(mut self, mut line: impl FnMut(&str)) -> Result<Run> {
        let mut decoder = match &self.table {
            Some(table) => Decoder::Defmt(table.new_stream_decoder()),
            None => Decoder::Text(Vec::new()),
        };
        let (mut log, mut raw) = (Vec::new(), Vec::new());
        loop {
            match self.output.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
                Ok(chunk) => {
                    decoder.received(&chunk);
                    raw.extend(chunk);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("the firmware still ran after {:?}; its log so far: {log:#?}", self.timeout)
                }
            }
            while let Some(text) = decoder.line().with_context(|| format!("after {log:#?}"))? {
                line(&text);
                log.push(text);
            }
        }
        let exit_code = self.qemu.0.wait()?.code().context("a signal ended qemu-system-arm")?;
        Ok(Run { exit_code, log, raw })
    }
}

/// Makes lines of a log as it arrives.
enum Decoder<'a> {
    Defmt(Box<dyn StreamDecoder + Send + Sync + 'a>),
    /// Plain text, of which this has not yet become lines.
    Text(Vec<u8>),
}

impl Decoder<'_> {
    fn received(&mut self, bytes: &[u8]) {
        match self {
            Self::Defmt(decoder) => decoder.received(bytes),
            Self::Text(text) => text.extend(bytes),
        }
    }

    /// Returns the next line, if it has arrived.
    fn line(&mut self) -> Result<Option<String>> {
        match self {
            Self::Defmt(decoder) => match decoder.decode() {
                Ok(frame) => Ok(Some(frame.display(false).to_string())),
                Err(DecodeError::UnexpectedEof) => Ok(None),
                Err(DecodeError::Malformed) => bail!("a frame of the log is malformed"),
            },
            Self::Text(text) => {
                let Some(end) = text.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
                let line: Vec<u8> = text.drain(..=end).collect();
                Ok(Some(String::from_utf8(line)?.trim_end().to_owned()))
            }
        }
    }
}

/// A child process that is stopped when this is dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // Errors mean that the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads `source` to the end in a separate thread, and returns a channel of the chunks, so that waiting for them can
/// time out.
fn chunks(mut source: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) if sender.send(buffer[..n].to_vec()).is_ok() => (),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                _ => break,
            }
        }
    });
    receiver
}
