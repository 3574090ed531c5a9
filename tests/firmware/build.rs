//! Links the firmware for the emulated board of each target. In its memory map, there is a place for a model.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let target = env::var("TARGET")?;
    let board = match target.as_str() {
        "thumbv6m-none-eabi" if env::var_os("CARGO_FEATURE_MPS2").is_none() => "microbit",
        "thumbv7em-none-eabi" => "mps2-an500",
        "thumbv8m.main-none-eabihf" => "mps2-an505",
        _ => "mps2",
    };
    let map = format!("memory/{board}.x");
    let out = env::var("OUT_DIR")?;
    fs::copy(&map, Path::new(&out).join("memory.x"))?;
    println!("cargo:rerun-if-changed={map}");
    println!("cargo:rustc-link-search={out}");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }

    println!("cargo:rustc-check-cfg=cfg(small)");
    // This board has 16 KB of RAM. `small` leaves out what needs more.
    if board == "microbit" {
        println!("cargo:rustc-cfg=small");
    }
    Ok(())
}
