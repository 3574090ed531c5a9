//! Crates outside of the workspace that use `vit-nostd` and `vit-train` as anyone else would.
//!
//! They are members of a second workspace, whose root holds links to the folders of the first one. Cargo identifies a
//! package by its path below the workspace's root, and by its profile and its dependencies, all of which are the same
//! there: what the first workspace has compiled in the same target directory is not compiled again.

#![cfg(unix)] // because of the links

mod must_not_compile;
mod no_panic;
mod own_network;

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The target directory of both workspaces.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

/// The crates: those that a test fills with its sources, and one that is already there.
const MEMBERS: [&str; 3] = ["must-not-compile", "inferences", "tests/outside/own-network"];

/// The root of the second workspace.
static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let second = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    if second.exists() {
        fs::remove_dir_all(&second).unwrap(); // removes links, and not what they lead to
    }
    fs::create_dir_all(&second).unwrap();
    for entry in fs::read_dir(&first).unwrap() {
        let name = entry.unwrap().file_name();
        if !["Cargo.toml", "Cargo.lock", "target"].iter().any(|&own| name == own) {
            symlink(first.join(&name).canonicalize().unwrap(), second.join(&name)).unwrap();
        }
    }
    // The same lock file and profiles, and other crates instead of the firmware.
    fs::copy(first.join("Cargo.lock"), second.join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(first.join("Cargo.toml")).unwrap();
    let (before, after) = manifest.split_once("\"firmware-example\"").unwrap();
    let (_, after) = after.split_once(']').unwrap();
    let members = MEMBERS.map(|member| format!("{member:?}")).join(", ");
    fs::write(second.join("Cargo.toml"), format!("{before}{members}]{after}")).unwrap();
    for (name, manifest) in [
        ("must-not-compile", ""),
        ("inferences", "[features]\ncan_fail = []\n[[bin]]\nname = \"inferences\"\ntest = false\n"),
    ] {
        let folder = second.join(name);
        fs::create_dir_all(folder.join("src/bin")).unwrap();
        let manifest = format!(
            "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n{manifest}\
             [dependencies]\nvit-nostd = {{ path = \"../vit-nostd\", features = [\"micromath\"] }}\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("src/main.rs"), "fn main() {}").unwrap();
    }
    second
});

/// The cargo that runs this test, in the second workspace.
fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(arguments).args(["--target-dir", TARGET]).current_dir(&*WORKSPACE);
    // `cargo test` tells a test of its package by variables. A build script that looks at them (ring's does) would run
    // again, and all that depends on its crate would be compiled again, here and then in the first workspace.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&variable);
        }
    }
    cargo
}

/// Arguments that build these programs as `cargo test` builds the workspace: a feature that any member needs of a
/// dependency is on for all of them.
fn build<'a>(programs: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let programs = programs.into_iter().flat_map(|program| ["--bin", program]);
    ["build", "--quiet", "--workspace"].into_iter().chain(programs).collect()
}
