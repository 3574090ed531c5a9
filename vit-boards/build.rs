//! Tells the library whether the processor is a Cortex-M0 or M0+, which has neither a cycle counter nor a way to notice
//! a debugger.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(armv6m)");
    if env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv6m-")) {
        println!("cargo:rustc-cfg=armv6m");
    }
}
