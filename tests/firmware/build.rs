//! Links as `firmware-example` does, whose memory map the linker finds.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-check-cfg=cfg(small)");
    // 16 KB of RAM: what takes more is left out.
    if env::var("TARGET").is_ok_and(|target| target == "thumbv6m-none-eabi") {
        println!("cargo:rustc-cfg=small");
    }
}
