//! The program. See `vit-train --help`.

use std::process::ExitCode;
use vit_train::Error;

#[macro_use]
mod cli;

fn main() -> ExitCode {
    match cli::Cli::from_arguments().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}{}", advice(&error));
            ExitCode::from(2)
        }
    }
}

/// What to do about an error of which the library cannot know how the program was called.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Diverged { .. } | Error::Output { .. } => ". Train again with a lower --lr.",
        _ => "",
    }
}
