//! The program `vit-train`, which trains and converts the networks of `vit-nostd`: see `vit-train --help`.

use std::process::ExitCode;
use vit_nostd::{Base, ConvNano, ConvTiny, Nano, Tiny};

fn main() -> ExitCode {
    vit_train::cli::main::<(Base, Tiny, Nano, ConvTiny, ConvNano)>()
}
