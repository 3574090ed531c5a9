//! Links the firmware like `firmware-example`, with that crate's memory map.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-check-cfg=cfg(small)");
    // This target's emulated board has 16 KB of RAM. `small` leaves out what needs more.
    if env::var("TARGET").is_ok_and(|target| target == "thumbv6m-none-eabi") {
        println!("cargo:rustc-cfg=small");
    }
}
