//! Builds the library, and the program that computes what it should compute.

use super::{
    compiler::{cargo_program, output, rustc},
    model::ExportedModel,
    object::Library,
    pictures,
    target::Target,
    text,
};
use crate::{
    error::{Error, IoContext},
    hex::hex,
    paths::{folder_of, resolve},
    repository::{dependency, REPOSITORY},
    template::filled,
};
use sha2::{Digest, Sha256};
use std::{env, fs, path::Path, process::Command};

/// The library, and what its test pictures should give.
pub(super) struct Built {
    pub library: Library,
    /// Test pictures for each model.
    pub pictures: Vec<Pictures>,
}

/// Pictures, and the logits that this computer has computed for them.
pub(super) struct Pictures {
    pub levels: Vec<Vec<u8>>,
    pub logits: Vec<Vec<i32>>,
}

/// Builds the library with the networks of these models, and computes the logits of some pictures.
///
/// # Errors
/// [`Error::Compiler`] if a compiler is missing or fails; [`Error::Usage`] if a model is not valid.
pub(super) fn build(models: &[ExportedModel], target: &Target) -> Result<Built, Error> {
    let folder = tempfile::tempdir().map_err(|error| error.kind().into()).at(&env::temp_dir())?;
    let folder = folder.path();
    // Other exports may use the same target directory at the same time: what they build has another name, unless it is for
    // the same networks and the same core.
    let networks = text::each(models, text::declaration) + &text::each(models, text::export);
    let networks = format!("{networks}{:?}", target.cpu);
    let id = &hex(Sha256::digest(networks))[..16];
    write_crates(models, id, folder)?;
    let target_directory =
        env::var_os("CARGO_TARGET_DIR").map_or(folder.join("target"), |given| resolve(given.as_ref()));

    let mut features = Vec::new();
    if target.dsp {
        features.extend(["--features", "dsp"]);
    }
    let flags = "-C force-unwind-tables=no"; // the library has no exceptions, and needs no tables for them
    let mut cargo = cargo_for(target, folder)?;
    cargo.args(["--package", &format!("vit-{id}"), "--target", target.triple]).args(features);
    run(cargo, flags, folder, &target_directory)?;
    let archive = target_directory.join(target.triple).join(format!("release/libvit_{id}.a"));
    let library = Library::link(&archive, models, folder)?;

    let host = rustc(&["--print", "host-tuple"], folder)?;
    let mut cargo = Command::new(cargo_program());
    cargo.args(["build", "--package", &format!("logits-{id}"), "--target", host.trim()]);
    run(cargo, "", folder, &target_directory)?;
    let program = format!("release/logits-{id}{}", env::consts::EXE_SUFFIX);
    let program = target_directory.join(host.trim()).join(program);
    let pictures =
        models.iter().map(|model| pictures_of(model, &program, folder)).collect::<Result<_, _>>()?;
    Ok(Built { library, pictures })
}

/// Writes the two crates, that of the library and that of the program. Their names end with `id`.
fn write_crates(models: &[ExportedModel], id: &str, folder: &Path) -> Result<(), Error> {
    let dependency = |name: &str| dependency(Path::new(REPOSITORY.unwrap_or_default()), name, &[]);
    let values = [
        ("id", id.to_owned()),
        ("vit-c", dependency("vit-c")),
        ("vit-nostd", dependency("vit-nostd")),
        ("exports", text::each(models, text::export)),
        ("arms", text::each(models, text::arm)),
    ];
    for (path, template) in [
        ("Cargo.toml", include_str!("template/Cargo.toml")),
        ("vit/Cargo.toml", include_str!("template/vit.toml")),
        ("vit/src/lib.rs", include_str!("template/vit.rs")),
        ("logits/Cargo.toml", include_str!("template/logits.toml")),
        ("logits/src/main.rs", include_str!("template/logits.rs")),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(folder_of(&path)).at(&path)?;
        fs::write(&path, filled(template, &values)).at(&path)?;
    }
    let path = folder.join("networks.rs");
    fs::write(&path, text::each(models, text::declaration)).at(&path)?;
    if let Some(repository) = REPOSITORY {
        let (from, to) = (Path::new(repository).join("Cargo.lock"), folder.join("Cargo.lock"));
        fs::copy(&from, &to).at(&from)?;
    }
    Ok(())
}

/// Returns a command that builds something for a target, when it is run in the `folder`.
///
/// # Errors
/// [`Error::Compiler`] if there is no compiler for the target.
fn cargo_for(target: &Target, folder: &Path) -> Result<Command, Error> {
    let triple = target.triple;
    let has_target = rustc(&["--print", "target-libdir", "--target", triple], folder)?;
    let mut cargo = if Path::new(has_target.trim()).is_dir() {
        Command::new(cargo_program())
    } else {
        // This is cargo, with a compiler for the chip if rustup has none.
        let chip_cargo = REPOSITORY.map(|repository| Path::new(repository).join("tools/chip-cargo"));
        let chip_cargo = chip_cargo.filter(|path| cfg!(unix) && path.is_file());
        Command::new(chip_cargo.ok_or_else(|| {
            Error::Compiler(format!(
                "the Rust compiler has no target {triple}: run `rustup target add {triple}`"
            ))
        })?)
    };
    cargo.arg("build");
    Ok(cargo)
}

/// Runs a command of cargo in the `folder` of the crates, with these flags of the compiler and no others.
fn run(mut cargo: Command, flags: &str, folder: &Path, target_directory: &Path) -> Result<(), Error> {
    cargo.args(["--release", "--quiet"]).current_dir(folder);
    cargo
        .env("CARGO_TARGET_DIR", target_directory)
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // A cargo that runs this program has set variables that describe other packages.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name.starts_with("CARGO_PROFILE_")
        {
            cargo.env_remove(&variable);
        }
    }
    output(cargo).map(drop)
}

/// Computes the logits of a model's test pictures.
fn pictures_of(model: &ExportedModel, program: &Path, folder: &Path) -> Result<Pictures, Error> {
    let levels = pictures::levels(model);
    let (file, images) = (folder.join("model.vit"), folder.join("images.bin"));
    fs::write(&file, &*model.file).at(&file)?;
    fs::write(&images, levels.concat()).at(&images)?;
    let mut command = Command::new(program);
    command.arg(&model.name).arg(&file).arg(&images);
    let output = command.output().at(program)?;
    if !output.status.success() {
        let fault = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Usage(format!("{}: {}", model.path.display(), fault.trim())));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let numbers = |line: &str| line.split(' ').map(str::parse).collect::<Result<Vec<i32>, _>>();
    let logits: Vec<_> = lines.lines().map_while(|line| numbers(line).ok()).collect();
    if logits.len() != levels.len() {
        return Err(Error::Compiler(format!("the program for the test pictures printed {lines:?}")));
    }
    Ok(Pictures { levels, logits })
}
