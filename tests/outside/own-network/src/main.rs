//! The program `vit-train` for one network that nobody but this crate knows.

use std::process::ExitCode;

vit_nostd::network! {
    /// It has two blocks.
    pub TwoBlocks { image: 28, patch: 7, embed: 32, heads: 4, hidden: 64, depth: 2, classes: 10 }
}

fn main() -> ExitCode {
    vit_train::cli::main::<(TwoBlocks,)>()
}
