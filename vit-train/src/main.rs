//! The program. See `vit-train --help`.

use std::process::ExitCode;
use vit_nostd::{Base, Nano, Tiny};

fn main() -> ExitCode {
    vit_train::cli::main::<(Base, Tiny, Nano)>()
}
