//! Trains the network, and has all other commands of `vit-train`.

use @name_@_network::@Network@;
use std::process::ExitCode;
use vit_train::cli::Program;

fn main() -> ExitCode {
    Program::new().data(@data@)@skip@.run::<(@Network@,)>()
}
