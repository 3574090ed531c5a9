//! Trains the network, and has all other commands of `vit-train`.

use std::process::ExitCode;

use @name_@_network::@Network@;

use vit_train::cli::Program;

fn main() -> ExitCode {
    Program::new().data(@data@).run::<(@Network@,)>()
}
