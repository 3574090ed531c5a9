//! Runs a firmware in QEMU, prints its defmt log as text, and exits with its exit code.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use vit_emulator::Emulator;

/// Runs a firmware in QEMU, prints its defmt log as text, and exits with its exit code
#[derive(Parser)]
struct Arguments {
    /// The machine to emulate, as `qemu-system-arm -machine help` lists it
    #[arg(long, default_value = "mps2-an386")]
    machine: String,
    /// Stop the firmware after this many seconds [default: 300, or never with --uart]
    #[arg(long)]
    timeout: Option<u32>,
    /// Connect the chip's serial port to a socket at this port of 127.0.0.1 (0: a free port), for
    /// `vit-train device --tcp`; the firmware starts when a client has connected
    #[arg(long, value_name = "PORT")]
    uart: Option<u16>,
    /// The firmware's ELF file
    elf: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let never = Duration::from_secs(u32::MAX.into());
    let default = if arguments.uart.is_some() { never } else { Emulator::TIMEOUT };
    let timeout = arguments.timeout.map_or(default, |seconds| Duration::from_secs(seconds.into()));
    let mut emulator = Emulator::new(arguments.machine).timeout(timeout);
    if let Some(port) = arguments.uart {
        emulator = emulator.uart(port);
    }
    let run = emulator.start(&arguments.elf).and_then(|running| {
        if let Some(address) = running.uart() {
            println!("serial port: {address}");
        }
        running.wait(|line| println!("{line}"))
    });
    match run {
        Ok(run) => u8::try_from(run.exit_code).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
