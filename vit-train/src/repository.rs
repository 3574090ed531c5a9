//! The place of this repository.

/// The folder of this repository, from which projects and libraries for C take the crates, the versions of all other
/// crates, and the tools. Once the crates are published, this becomes None: they then name their version.
pub(crate) const REPOSITORY: Option<&str> = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
