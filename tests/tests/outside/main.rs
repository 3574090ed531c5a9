//! Tests with crates outside the workspace, which use `vit-nostd` and `vit-train` as any other crate would.
//!
//! These crates are members of other workspaces, whose roots have links to the folders of the first one. Cargo
//! identifies a package by its path below the workspace's root, its profile and its dependencies. All of these are the
//! same in all workspaces, so that packages that the first one has compiled in the shared target directory are not
//! compiled again.

#![cfg(unix)] // for the links

mod must_not_compile;
mod no_panic;
mod own_network;
mod project;

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The target directory of all workspaces.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");

/// The crates of the second workspace: two that tests fill with sources, and one from the repository.
const MEMBERS: [&str; 3] = ["must-not-compile", "inferences", "tests/outside/own-network"];

/// The root of the second workspace.
static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = workspace("outside", &MEMBERS);
    for (name, manifest) in [
        ("must-not-compile", ""),
        ("inferences", "[features]\ncan_fail = []\n[[bin]]\nname = \"inferences\"\ntest = false\n"),
    ] {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("src/bin")).unwrap();
        let manifest = format!(
            "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n{manifest}\
             [dependencies]\nvit-nostd = {{ path = \"../vit-nostd\", features = [\"micromath\"] }}\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join("src/main.rs"), "fn main() {}").unwrap();
    }
    root
});

/// Makes a workspace in the folder `name`, with these members besides the crates of the first workspace that are built
/// for the host. Returns its root.
fn workspace(name: &str, members: &[&str]) -> PathBuf {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if root.exists() {
        fs::remove_dir_all(&root).unwrap(); // removes the links, but not the folders that they lead to
    }
    fs::create_dir_all(&root).unwrap();
    for entry in fs::read_dir(&first).unwrap() {
        let name = entry.unwrap().file_name();
        if !["Cargo.toml", "Cargo.lock", "target"].iter().any(|&own| name == own) {
            symlink(first.join(&name).canonicalize().unwrap(), root.join(&name)).unwrap();
        }
    }
    // The lock file and the profiles are those of the first workspace. The members that begin with the firmware are
    // replaced.
    fs::copy(first.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(first.join("Cargo.toml")).unwrap();
    let (before, after) = manifest.split_once("\"firmware-example\"").unwrap();
    let (_, after) = after.split_once(']').unwrap();
    let members: Vec<String> = members.iter().map(|member| format!("{member:?}")).collect();
    fs::write(root.join("Cargo.toml"), format!("{before}{}]{after}", members.join(", "))).unwrap();
    root
}

/// Returns a command that runs cargo in the second workspace. It is the cargo that runs this test.
fn cargo(arguments: &[&str]) -> Command {
    cargo_in(&WORKSPACE, arguments)
}

/// Returns a command that runs cargo in the workspace with this root.
fn cargo_in(root: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(arguments).args(["--target-dir", TARGET]).current_dir(root);
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
