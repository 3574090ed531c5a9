//! Finds out what a path leads to.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// The name that [`no_file`] has for a named pipe.
pub(crate) const NAMED_PIPE: &str = "a named pipe";

/// Names what is at a path instead of a regular file, with an article, such as "a folder". Returns None for a regular
/// file.
pub(crate) fn no_file(metadata: &fs::Metadata) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if metadata.file_type().is_fifo() {
            return Some(NAMED_PIPE);
        }
        if metadata.file_type().is_socket() {
            return Some("a socket");
        }
    }
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => None,
        (_, true) => Some("a folder"),
        _ => Some("a device"),
    }
}

/// Returns the absolute path without symbolic links and `..`. The file need not exist yet, and neither need its folders.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    let Ok(absolute) = std::path::absolute(path) else { return path.to_owned() };
    let mut resolved = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => _ = resolved.pop(),
            part => resolved.push(part),
        }
        resolved = fs::canonicalize(&resolved).unwrap_or(resolved);
    }
    resolved
}

/// Returns the folder that a file is in or is to be written into.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|&parent| parent != Path::new("")).unwrap_or(Path::new("."))
}
