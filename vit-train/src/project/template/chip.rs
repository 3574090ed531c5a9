//! Runs an untrained network on the emulated processor, and compares its results with those of this computer.

use @name_@_network::@Network@;
use std::{path::Path, process::Command};
use vit_train::run::samples::write_untrained;

#[test]
fn the_chip_computes_the_same_bits() {
    let run = tempfile::tempdir().unwrap();
    let model = write_untrained::<@Network@>(run.path()).unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // This is cargo, with a compiler for the chip if rustup has none.
    let mut cargo = Command::new(package.join("@repository@/tools/chip-cargo"));
    cargo.arg("emulate").current_dir(package.join("../firmware")).env("VIT_MODEL", model);
    assert!(cargo.status().unwrap().success());
}
