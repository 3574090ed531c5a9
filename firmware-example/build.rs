//! Lays the chosen memory map where the linker script looks for it.

use std::{env, fs, path::PathBuf};

fn main() {
    let map = match env::var_os("CARGO_FEATURE_BOARD") {
        Some(_) => "memory/nrf52840.x",
        None => "memory/mps2.x",
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(map, out.join("memory.x")).expect("the memory map is copied");

    println!("cargo:rerun-if-changed={map}");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
