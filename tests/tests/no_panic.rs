//! Inference has no panic path: a program of inferences alone, linked for a chip, holds no trace of `core::panicking`.

mod outside;

use object::{Object, ObjectSymbol};
use outside::crate_outside;
use std::fs;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "thumbv7em-none-eabihf";

/// Builds the program in `folder` and names all of its symbols that have to do with panics.
fn panics(folder: &Path, opt_level: &str, features: &str) -> Vec<String> {
    let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/chip-cargo"))
        .args(["build", "--quiet", "--release", "--target", TARGET, "--target-dir", "target"])
        .args(["--features", features])
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", opt_level)
        .current_dir(folder)
        .status()
        .expect("tests/chip-cargo starts");
    assert!(status.success(), "the program is not built");

    let elf =
        fs::read(folder.join("target").join(TARGET).join("release/inferences")).expect("the program is read");
    let elf = object::File::parse(elf.as_slice()).expect("an ELF file");
    let names: Vec<_> = elf.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    for engine in ["infer_float", "infer_int8"] {
        assert!(names.iter().any(|name| name.contains(engine)), "the symbols are there");
    }
    let of_panics = |name: &&&str| name.contains("panic") || name.contains("rust_begin_unwind");
    names.iter().filter(of_panics).map(|name| String::from(*name)).collect()
}

#[test]
fn inference_has_no_panic_path() {
    let folder = crate_outside("inferences", "can_fail = []");
    let program = include_str!("../no_panic/main.rs");
    fs::write(folder.join("src/main.rs"), program).expect("the program is written");

    let none: [String; 0] = [];
    assert_eq!(panics(&folder, "3", ""), none, "for speed");
    assert_eq!(panics(&folder, "z", ""), none, "for size");
    assert!(!panics(&folder, "3", "can_fail").is_empty(), "the test does not notice a panic");
}
