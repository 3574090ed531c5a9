//! Crates outside of the workspace that use `vit-nostd` as anyone else would.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Makes an empty crate, with the workspace's own choice of dependencies, and returns its folder.
pub fn crate_outside(name: &str, features: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let sources = folder.join("src");
    if sources.exists() {
        fs::remove_dir_all(&sources).expect("sources of an earlier run are removed");
    }
    fs::create_dir_all(sources.join("bin")).expect("a folder is made");
    let manifest = format!(
        "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [features]\n{features}\n[dependencies]\nvit-nostd = {{ path = {:?}, features = [\"micromath\"] }}\n[workspace]\n",
        workspace.join("vit-nostd")
    );
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest is written");
    fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file is copied");
    folder
}
