//! Names the kernels that the integer engine gets: `src/int8/kernels/` says what they are.
//!
//! By the target's name, because stable Rust does not tell a crate of the DSP extension.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(kernels, values(\"dsp\", \"armv7m\", \"few_registers\"))");
    println!("cargo:rustc-check-cfg=cfg(armv8m)");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let is_armv8m = target.starts_with("thumbv8m.main-");
    if is_armv8m {
        println!("cargo:rustc-cfg=armv8m");
    }
    let has_dsp = target.starts_with("thumbv7em-") || is_armv8m && env::var_os("CARGO_FEATURE_DSP").is_some();
    if has_dsp {
        println!("cargo:rustc-cfg=kernels=\"dsp\"");
    } else if target.starts_with("thumbv6m-") || target.starts_with("thumbv8m.base-") {
        println!("cargo:rustc-cfg=kernels=\"few_registers\"");
    } else if target.starts_with("thumbv7m-") || is_armv8m {
        println!("cargo:rustc-cfg=kernels=\"armv7m\"");
    }
}
