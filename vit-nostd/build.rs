//! Names the kernels that the integer engine gets: `src/arch/` says what they are.
//!
//! By the target's name, because stable Rust does not tell a crate of the DSP extension.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(kernels, values(\"dsp\", \"armv7m\", \"few_registers\"))");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let has_dsp = target.starts_with("thumbv7em-")
        || target.starts_with("thumbv8m.main-") && env::var_os("CARGO_FEATURE_DSP").is_some();
    if has_dsp {
        println!("cargo:rustc-cfg=kernels=\"dsp\"");
    } else if target.starts_with("thumbv6m-") || target.starts_with("thumbv8m.base-") {
        println!("cargo:rustc-cfg=kernels=\"few_registers\"");
    } else if target.starts_with("thumbv7m-") || target.starts_with("thumbv8m.main-") {
        println!("cargo:rustc-cfg=kernels=\"armv7m\"");
    }
}
