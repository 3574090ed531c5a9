//! Tests with crates outside the workspace, which use `vit-nostd` and `vit-train` as any other crate would.
//!
//! These crates are members of a second workspace, whose root has links to the folders of the first one. Cargo
//! identifies a package by its path below the workspace's root, its profile and its dependencies. All of these are the
//! same in both workspaces, so that packages that the first one has compiled in the shared target directory are not
//! compiled again.

#![cfg(unix)] // for the links

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

/// The crates of the second workspace: two that tests fill with sources, and one from the repository.
const MEMBERS: [&str; 3] = ["must-not-compile", "inferences", "tests/outside/own-network"];

/// The root of the second workspace.
static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let second = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    if second.exists() {
        fs::remove_dir_all(&second).unwrap(); // removes the links, but not the folders that they lead to
    }
    fs::create_dir_all(&second).unwrap();
    for entry in fs::read_dir(&first).unwrap() {
        let name = entry.unwrap().file_name();
        if !["Cargo.toml", "Cargo.lock", "target"].iter().any(|&own| name == own) {
            symlink(first.join(&name).canonicalize().unwrap(), second.join(&name)).unwrap();
        }
    }
    // The lock file and the profiles are those of the first workspace. The members that begin with the firmware are
    // replaced.
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

/// Returns a command that runs cargo in the second workspace. It is the cargo that runs this test.
fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(arguments).args(["--target-dir", TARGET]).current_dir(&*WORKSPACE);
    // `cargo test` sets variables that describe the test's package. A build script that depends on them (ring's does)
    // would run again, and all crates that depend on its crate would be compiled again, both here and later in the
    // first workspace.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&variable);
        }
    }
    cargo
}

/// Returns the arguments of cargo that build these programs. They enable the same features of dependencies as
/// `cargo test` does: those that any member of the workspace needs.
fn build<'a>(programs: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let programs = programs.into_iter().flat_map(|program| ["--bin", program]);
    ["build", "--quiet", "--workspace"].into_iter().chain(programs).collect()
}
