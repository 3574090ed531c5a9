//! Finds the trained model, and tells the linker the memory of the chip.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    let memory = @memory@;
    println!("cargo::rerun-if-changed={memory}");
    fs::copy(memory, out.join("memory.x")).expect("the memory map can be copied");
    println!("cargo::rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }

    // The training leaves the samples next to the model.
    println!("cargo::rerun-if-env-changed=VIT_MODEL");
    let model = env::var_os("VIT_MODEL").unwrap_or("../runs/@run@/model.int8.vit".into());
    for name in ["model.int8.vit", "samples.bin"] {
        let file = if name == "samples.bin" { Path::new(&model).with_file_name(name) } else { PathBuf::from(&model) };
        println!("cargo::rerun-if-changed={}", file.display());
        if let Err(error) = fs::copy(&file, out.join(name)) {
            let advice = if name == "samples.bin" && env::var_os("VIT_MODEL").is_some() {
                "The test pictures of a model lie next to it: name the model in the folder of its run."
            } else {
                "Train first: run `cargo run --release` in the project's folder."
            };
            println!("cargo::error={}: {error}. {advice}", file.display());
            return;
        }
    }
}
