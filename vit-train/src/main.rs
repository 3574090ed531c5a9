//! The program. See `vit-train --help`.

use clap::Parser;
use std::process::ExitCode;

#[macro_use]
mod cli;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
