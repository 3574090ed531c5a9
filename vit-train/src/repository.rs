//! The place of this repository, and dependencies on its crates.

use std::path::Path;

/// The folder of this repository, from which projects and libraries for C take the crates, the versions of all other
/// crates, and the tools. Once the crates are published, this becomes None: they then name their version.
pub(crate) const REPOSITORY: Option<&str> = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));

/// Returns the dependency on a crate of the repository, as a value in TOML. `repository` is the path that leads there.
pub(crate) fn dependency(repository: &Path, name: &str, features: &[&str]) -> String {
    let place = match REPOSITORY {
        Some(_) => format!("path = {:?}", repository.join(name).display().to_string()),
        None => format!("version = {:?}", env!("CARGO_PKG_VERSION")),
    };
    match features {
        [] => format!("{{ {place} }}"),
        _ => format!("{{ {place}, features = {features:?} }}"),
    }
}
