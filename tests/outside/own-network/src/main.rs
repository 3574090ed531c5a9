//! The program `vit-train` for the network of the example's camera, which firmware and training share.

use signs_network::Signs;
use std::process::ExitCode;

fn main() -> ExitCode {
    vit_train::cli::main::<(Signs,)>()
}
