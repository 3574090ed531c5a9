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
    paths::{folder_of, resolve},
    template::filled,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of this repository, from which a library takes the crates, the versions of all other crates, and the
/// tools. Once the crates are published, this becomes None.
const REPOSITORY: Option<&str> = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));

/// What has been built.
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
    write_crates(models, folder)?;
    let target_directory = env::var_os("CARGO_TARGET_DIR").map_or(folder.join("target"), PathBuf::from);

    let mut features = Vec::new();
    if target.dsp {
        features.extend(["--features", "dsp"]);
    }
    let flags = "-C force-unwind-tables=no"; // the library has no exceptions, and needs no tables for them
    let mut cargo = cargo_for(target)?;
    cargo.args(["--package", "vit", "--target", target.triple]).args(features).env("RUSTFLAGS", flags);
    run(cargo, folder, &target_directory)?;
    let archive = target_directory.join(target.triple).join("release/libvit.a");
    let library = Library::link(&archive, models)?;

    let mut cargo = Command::new(cargo_program());
    cargo.args(["build", "--package", "logits"]);
    run(cargo, folder, &target_directory)?;
    let program = target_directory.join("release").join(format!("logits{}", env::consts::EXE_SUFFIX));
    let pictures =
        models.iter().map(|model| pictures_of(model, &program, folder)).collect::<Result<_, _>>()?;
    Ok(Built { library, pictures })
}

/// Writes the two crates, that of the library and that of the program.
fn write_crates(models: &[ExportedModel], folder: &Path) -> Result<(), Error> {
    let dependency = |name: &str| match REPOSITORY {
        Some(repository) => {
            format!("{{ path = {:?} }}", Path::new(repository).join(name).display().to_string())
        }
        None => format!("{{ version = {:?} }}", env!("CARGO_PKG_VERSION")),
    };
    let values = [
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

/// Returns a command that builds something for a target.
///
/// # Errors
/// [`Error::Compiler`] if there is no compiler for the target.
fn cargo_for(target: &Target) -> Result<Command, Error> {
    let triple = target.triple;
    let has_target = rustc(&["--print", "target-libdir", "--target", triple])?;
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

/// Runs a command of cargo in the `folder` of the crates.
fn run(mut cargo: Command, folder: &Path, target_directory: &Path) -> Result<(), Error> {
    cargo.args(["--release", "--quiet"]).current_dir(folder).env("CARGO_TARGET_DIR", target_directory);
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
    let path = folder.join("images.bin");
    fs::write(&path, levels.concat()).at(&path)?;
    let mut command = Command::new(program);
    command.arg(&model.name).arg(resolve(&model.path)).arg(&path);
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
