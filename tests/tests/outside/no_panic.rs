//! Tests that resizing a frame and inference have no panic path: a program that does only this, linked for a chip, has
//! no symbols of `core::panicking`.

use crate::{TARGET as TARGET_DIRECTORY, WORKSPACE};
use object::{Object, ObjectSymbol};
use std::{fs, path::Path, process::Command};

const TARGET: &str = "thumbv7em-none-eabihf";

/// Builds the program and returns the names of its symbols that are related to panics.
fn panics(opt_level: &str, features: &str) -> Vec<String> {
    let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/chip-cargo"))
        .args(["build", "--quiet", "--release", "--package", "inferences", "--features", features])
        .args(["--target", TARGET, "--target-dir", TARGET_DIRECTORY])
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", opt_level)
        .current_dir(&*WORKSPACE)
        .status()
        .expect("tools/chip-cargo starts");
    assert!(status.success(), "the program is not built");

    let program = Path::new(TARGET_DIRECTORY).join(TARGET).join("release/inferences");
    let elf = fs::read(program).expect("the program is read");
    let elf = object::File::parse(elf.as_slice()).expect("an ELF file");
    let names: Vec<_> = elf.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    for part in ["resize_frame", "infer_float", "infer_int8"] {
        assert!(names.iter().any(|name| name.contains(part)), "the program has no symbol {part}");
    }
    let of_panics = |name: &&&str| name.contains("panic") || name.contains("rust_begin_unwind");
    names.iter().filter(of_panics).map(|name| String::from(*name)).collect()
}

#[test]
fn resizing_and_inference_have_no_panic_path() {
    let program = include_str!("../../no_panic/main.rs");
    fs::write(WORKSPACE.join("inferences/src/main.rs"), program).expect("the program is written");

    let none: [String; 0] = [];
    assert_eq!(panics("3", ""), none, "optimised for speed");
    assert_eq!(panics("z", ""), none, "optimised for size");
    assert!(!panics("3", "can_fail").is_empty(), "this test does not detect a panic that is there");
}
