//! The program. See `vit-train --help`.

use clap::Parser;
use std::process::ExitCode;
use vit_train::Error;

#[macro_use]
mod cli;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error @ Error::Interrupted { .. }) => {
            eprintln!("{error}");
            ExitCode::from(cli::INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
