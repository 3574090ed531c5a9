//! Lays the memory map of the board where the linker script looks for it.

use std::{env, fs, path::PathBuf};

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let map = match target.as_str() {
        _ if env::var_os("CARGO_FEATURE_BOARD").is_some() => "memory/nrf52840.x",
        "thumbv6m-none-eabi" => "memory/microbit.x",
        "thumbv7em-none-eabi" => "memory/mps2-an500.x",
        _ => "memory/mps2.x",
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(map, out.join("memory.x")).expect("the memory map is copied");

    // 16 KB of RAM: what takes more is left out of the tests' firmware.
    println!("cargo:rustc-check-cfg=cfg(small)");
    if target == "thumbv6m-none-eabi" {
        println!("cargo:rustc-cfg=small");
    }
    println!("cargo:rerun-if-changed={map}");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
