//! Chooses the module of `src/int8/kernels/` for the processor that the library is built for.
//!
//! It goes by the target's name, because stable Rust does not tell a crate whether the target has the DSP extension.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(kernels, values(\"armv6m\", \"armv7m\", \"armv7em\", \"x86_64\", \"other\"))");
    println!("cargo:rustc-check-cfg=cfg(armv8m)");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let is_armv8m = target.starts_with("thumbv8m.main-");
    if is_armv8m {
        println!("cargo:rustc-cfg=armv8m");
    }
    let kernels =
        if target.starts_with("thumbv7em-") || is_armv8m && env::var_os("CARGO_FEATURE_DSP").is_some() {
            "armv7em"
        } else if target.starts_with("thumbv7m-") || is_armv8m {
            "armv7m"
        } else if target.starts_with("thumbv6m-") || target.starts_with("thumbv8m.base-") {
            "armv6m"
        } else if target.starts_with("x86_64") {
            "x86_64"
        } else {
            "other"
        };
    println!("cargo:rustc-cfg=kernels=\"{kernels}\"");
}
