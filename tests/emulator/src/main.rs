//! Runs a firmware in QEMU, prints its defmt log as text and ends with its exit code.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use vit_emulator::Emulator;

/// Runs a firmware in QEMU, prints its defmt log as text and ends with its exit code
#[derive(Parser)]
struct Arguments {
    /// The machine to emulate, as `qemu-system-arm -machine help` lists it
    #[arg(long, default_value = "mps2-an386")]
    machine: String,
    /// Stop the firmware after this many seconds
    #[arg(long, default_value_t = Emulator::TIMEOUT.as_secs())]
    timeout: u64,
    /// The firmware's ELF file
    elf: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = Emulator::new(arguments.machine)
        .timeout(Duration::from_secs(arguments.timeout))
        .run(&arguments.elf, |line| println!("{line}"));
    match run {
        Ok(run) => u8::try_from(run.exit_code).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
