//! Prepares the parts of the firmware that can be chosen: the board and its memory map, and the model, its shape and its
//! samples.
//!
//! The board is the one of `vit-boards` that is named like the enabled feature, or else the emulated board for the
//! target. The model is the file that the environment variable `VIT_MODEL` names. If it is not set, the model is one of
//! those in `models/`: `base` for `nucleo-h743zi`, which has 2 MB of flash, and `nano` for the other boards. The samples of
//! a model lie next to it.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};
use vit_nostd::{
    model_file::{Kind, Preamble},
    Dims,
};

/// The folder of the boards' memory maps.
const MAPS: &str = "../vit-boards/memory";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target = env::var("TARGET")?;
    println!("cargo:rerun-if-changed=build.rs");

    let board = board(&target)?;
    println!("cargo:rustc-cfg=board={board:?}");
    let map = format!("{MAPS}/{board}.x");
    fs::copy(&map, out.join("memory.x"))?;
    println!("cargo:rerun-if-changed={map}");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }

    println!("cargo:rerun-if-env-changed=VIT_MODEL");
    let preset = if board == "nucleo-h743zi" { "base" } else { "nano" };
    let ours = || format!("models/{preset}.int8.vit").into();
    let model = env::var_os("VIT_MODEL").map_or_else(ours, PathBuf::from);
    let samples = out.join("samples.bin");
    fs::write(&samples, samples_of(&model)?)?;
    fs::write(out.join("model.rs"), model_source(&model, &samples)?)?;
    println!("cargo:rerun-if-changed={}", model.display());
    Ok(())
}

/// Returns the samples of the `model`, of which only the firmware that classifies them needs any: without them, there is
/// a warning. Those of the models here are named like the model, and those of a run are `samples.bin`.
fn samples_of(model: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let name = model.file_name().and_then(|name| name.to_str()?.strip_suffix(".int8.vit"));
    let own = name.map(|name| model.with_file_name(format!("{name}.samples.bin")));
    let file = own.filter(|own| own.exists()).unwrap_or_else(|| model.with_file_name("samples.bin"));
    println!("cargo:rerun-if-changed={}", file.display());
    if !file.exists() {
        println!(
            "cargo:warning={}: there are no samples next to this model. All programs work but the main one.",
            model.display()
        );
        return Ok(Vec::new());
    }
    Ok(fs::read(file)?)
}

/// Returns the name of the board, which is that of its feature and of its memory map.
fn board(target: &str) -> Result<String, Box<dyn Error>> {
    let mut boards = Vec::new();
    for entry in fs::read_dir(MAPS)? {
        boards.extend(entry?.path().file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    println!("cargo:rerun-if-changed={MAPS}");
    let names: Vec<String> = boards.iter().map(|board| format!("{board:?}")).collect();
    println!("cargo:rustc-check-cfg=cfg(board, values({}))", names.join(", "));

    let is_feature = |board: &String| {
        env::var_os(format!("CARGO_FEATURE_{}", board.to_uppercase().replace('-', "_"))).is_some()
    };
    let mut chosen = boards.into_iter().filter(is_feature);
    match (chosen.next(), chosen.next()) {
        (Some(board), None) => Ok(board),
        (Some(one), Some(other)) => {
            Err(format!("the features {one} and {other} are both enabled: enable one board at a time").into())
        }
        (None, _) => Ok(match target {
            "thumbv6m-none-eabi" => "microbit",
            "thumbv8m.main-none-eabihf" => "mps2-an505",
            _ => "mps2",
        }
        .into()),
    }
}

/// Returns source that declares the network of the model file at `path`, and embeds the file and its `samples`.
fn model_source(path: &Path, samples: &Path) -> Result<String, Box<dyn Error>> {
    let refused = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let path = path.canonicalize().map_err(|error| refused(&error))?;
    let file = fs::read(&path)?;
    let Preamble { kind, dims, .. } = Preamble::read(&file).map_err(|error| refused(&error))?;
    let Dims { height, width, channels, embed, heads, hidden, depth, classes, .. } = dims;
    let tokenizer = dims.tokenizer_field();
    if kind != Kind::Int8 {
        return Err(refused(&"this is a float model, but the firmware needs an integer model").into());
    }
    Ok(format!(
        "vit_nostd::network! {{\n    \
             /// The network of the model file.\n    \
             pub Flashed {{ image: [{height}, {width}, {channels}], {tokenizer}, \
             embed: {embed}, heads: {heads}, hidden: {hidden}, depth: {depth}, classes: {classes} }}\n\
         }}\n\
         /// The model file, which is in flash and used in place.\n\
         pub static MODEL: &[u8] = vit_nostd::include_model!({path:?}, Flashed, Int8);\n\n\
         /// Test images with their classes, and the logits of the model on the computer that trained it.\n\
         pub static SAMPLES: &[u8] = include_bytes!({samples:?});\n",
    ))
}
