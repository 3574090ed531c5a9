//! The program `vit-train` for a network that only this crate declares.

use std::process::ExitCode;

vit_nostd::network! {
    /// A small network with two blocks.
    pub TwoBlocks { image: 28, patch: 7, embed: 32, heads: 4, hidden: 64, depth: 2, classes: 10 }
}

fn main() -> ExitCode {
    vit_train::cli::main::<(TwoBlocks,)>()
}
