//! Chips without a board: builds firmware, runs it in QEMU and decodes its defmt log.
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
//! The log comes over semihosting, and so do files: a firmware that opens `model.vit` opens the file of that
//! name in the folder the emulator was started in. That is how tests hand a chip their images; a model is put into
//! its memory, as if it had been flashed.

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
use defmt_decoder::{DecodeError, Table};

/// An emulated chip: the QEMU machine it sits on and the Rust target that it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chip {
    /// A name to say aloud.
    pub name: &'static str,
    /// As `qemu-system-arm -machine help` lists it.
    pub machine: &'static str,
    /// As `rustc --print target-list` lists it.
    pub target: &'static str,
    /// The firmware's feature for the board, unless it is the target's own.
    board: Option<&'static str>,
    /// Where the machine has memory for a model, if it has: `_model` in the firmware's memory map.
    model_address: Option<u32>,
    /// One tick of SysTick at the machine's clock, in nanoseconds: in instructions, where they are counted.
    pub tick: f64,
    /// Whether the firmware `bits` computes float models with `vit_nostd::float::Micromath`.
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
    /// A Cortex-M3: no floating-point unit, so the compiler's routines do its arithmetic.
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
    /// A Cortex-M7, with arithmetic as of one without a floating-point unit.
    pub const M7: Self = Self {
        name: "Cortex-M7",
        machine: "mps2-an500",
        target: "thumbv7em-none-eabi",
        model_address: Some(0x6000_0000),
        ..Self::M3
    };
    /// A Cortex-M33 with the DSP extension: of ARMv8-M, the architecture that the others' is the one before.
    pub const M33: Self = Self {
        name: "Cortex-M33",
        machine: "mps2-an505",
        target: "thumbv8m.main-none-eabihf",
        board: Some("mps2-an505"),
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
    /// Every kind of processor that firmware is tested on.
    pub const ALL: [Self; 5] = [Self::M0, Self::M3, Self::M4F, Self::M7, Self::M33];
    /// Every board that firmware is tested on.
    pub const BOARDS: [Self; 7] =
        [Self::M0, Self::M3, Self::M4F, Self::M7, Self::M33, Self::STM32F100, Self::STM32F405];

    /// This chip, where the firmware `bits` computes float models with `vit_nostd::float::Micromath`.
    pub fn with_micromath(self) -> Self {
        Self { micromath: true, ..self }
    }

    /// Builds the binary `bin` of `firmware-example` or of `tests/firmware` for this chip, in release, and returns the ELF
    /// file's path.
    pub fn build(&self, bin: &str) -> Result<PathBuf> {
        build(self.machine, self.target, self.board.unwrap_or_default(), bin, None)
    }

    /// Runs a firmware on this chip in the folder `dir` until it exits, for [`Emulator::TIMEOUT`] at most.
    pub fn run(&self, elf: &Path, dir: impl AsRef<Path>) -> Result<Run> {
        Emulator::new(self.machine).dir(dir).run(elf, |_| ())
    }

    /// Classifies `images` (the pixels of one after the other) with the model file `model` on this chip, and returns
    /// the bits of all logits: the work of the firmware `bits`.
    pub fn logits(&self, model: &[u8], images: &[u8]) -> Result<Vec<u32>> {
        Ok(self.logits_and_stack("bits", model, images)?.0)
    }

    /// The same by the firmware `bin`, which is `bits` or `limits`, and the bytes of stack that an inference took.
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
        ensure!(run.exit_code == 0, "the {} refused: {:#?}", self.name, run.log);
        let answer = fs::read(dir.path().join("logits.bin"))?;
        let words = answer.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("4 bytes")));
        let stack = run.log.last().and_then(|line| line.rsplit_once("stack ")?.1.parse().ok());
        Ok((words.collect(), stack.with_context(|| format!("no stack in {:#?}", run.log))?))
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

    /// How many instructions so many ticks are, where the emulator [counts](Emulator::count_instructions) them.
    pub fn instructions(&self, ticks: u64) -> u64 {
        (ticks as f64 * self.tick).round() as u64
    }
}

/// Builds the binary `bin` of `firmware-example` for the debug probe of a board that is not emulated, with the model in
/// the file `model`, and returns the ELF file's path.
pub fn build_for_probe(board: &str, target: &str, bin: &str, model: &Path) -> Result<PathBuf> {
    let features = format!("{board},probe");
    build(&features, target, &features, bin, Some(model))
}

/// Builds `bin` in release, and returns the path of an ELF file in a folder of this name.
fn build(folder: &str, target: &str, features: &str, bin: &str, model: Option<&Path>) -> Result<PathBuf> {
    // All boards of one target share a path: nobody else builds until this one's file is a copy of its own.
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
    // Beside it and renamed, for an emulator may be reading the one of an earlier call.
    let copy = tempfile::NamedTempFile::new_in(&folder)?;
    fs::copy(&elf, copy.path())?;
    copy.persist(&own)?;
    Ok(own)
}

/// What a firmware did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What it passed to semihosting's exit: 0 is success.
    pub exit_code: i32,
    /// Its log, one line a frame: level and message, as in `INFO 7 is a 7`.
    pub log: Vec<String>,
    /// The log as it left the chip: encoded defmt frames.
    pub raw: Vec<u8>,
}

/// How to run a firmware: [`Chip::run`] with everything to choose.
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
    /// How long a firmware may run unless [`Emulator::timeout`] says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(300);

    /// A machine that `qemu-system-arm -machine help` lists, without a serial port.
    pub fn new(machine: impl Into<String>) -> Self {
        let serial = NO_SERIAL.map(str::to_owned).to_vec();
        let (dir, options) = (PathBuf::from("."), Vec::new());
        Self { machine: machine.into(), dir, timeout: Self::TIMEOUT, serial, options }
    }

    /// The folder that the firmware's semihosting calls open files in.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = dir.as_ref().to_owned();
        self
    }

    /// How long the firmware may run before it is stopped and the run is an error.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Puts the content of a file at an address of the chip, as if it had been flashed there.
    pub fn load(mut self, file: &Path, address: u32) -> Self {
        // A comma ends a value in QEMU's options, and two stand for one.
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

    /// Makes the chip's serial port a socket on this machine: at `port`, or at a free one where that is 0. The firmware
    /// starts when somebody has connected.
    pub fn uart(mut self, port: u16) -> Self {
        let socket = format!("socket,id=uart,host=127.0.0.1,port={port},server=on,wait=on");
        self.serial = ["-chardev", &socket, "-serial", "chardev:uart"].map(str::to_owned).to_vec();
        self
    }

    /// Runs a firmware until it exits, and hands out each line of its log as it comes.
    pub fn run(&self, elf: &Path, line: impl FnMut(&str)) -> Result<Run> {
        self.start(elf)?.wait(line)
    }

    /// Starts a firmware.
    pub fn start(&self, elf: &Path) -> Result<Running> {
        let file = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = Table::parse(&file)?.with_context(|| format!("{} logs nothing", elf.display()))?;
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

/// What QEMU says of its socket when it waits for somebody to connect to it.
fn address(messages: &mut impl BufRead) -> Result<SocketAddr> {
    let mut line = String::new();
    messages.read_line(&mut line)?;
    let address = line.rsplit_once("waiting for connection on: disconnected:tcp:").and_then(|(_, rest)| {
        let (address, _) = rest.split_once(',')?;
        address.parse().ok()
    });
    address.with_context(|| format!("qemu-system-arm opens no socket: {}", line.trim()))
}

/// A firmware that runs. It ends when this is dropped.
pub struct Running {
    qemu: Stopped,
    table: Table,
    output: mpsc::Receiver<Vec<u8>>,
    uart: Option<SocketAddr>,
    end: Instant,
    timeout: Duration,
}

impl Running {
    /// Where the serial port is, if there is one.
    pub fn uart(&self) -> Option<SocketAddr> {
        self.uart
    }

    /// Waits until the firmware exits, and hands out each line of its log as it comes.
    pub fn wait(mut self, mut line: impl FnMut(&str)) -> Result<Run> {
        let mut decoder = self.table.new_stream_decoder();
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
            loop {
                match decoder.decode() {
                    Ok(frame) => {
                        let text = frame.display(false).to_string();
                        line(&text);
                        log.push(text);
                    }
                    Err(DecodeError::UnexpectedEof) => break,
                    Err(DecodeError::Malformed) => bail!("a malformed frame follows {log:#?}"),
                }
            }
        }
        let exit_code = self.qemu.0.wait()?.code().context("a signal ended qemu-system-arm")?;
        Ok(Run { exit_code, log, raw })
    }
}

/// A process that does not outlive its owner.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is all that is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `source` yields until its end, read by a thread of its own so that waiting for it can time out.
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
