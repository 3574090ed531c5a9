//! What lies at a path, and where it leads.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What [`no_file`] calls a named pipe.
pub(crate) const NAMED_PIPE: &str = "a named pipe";

/// Names what lies at a path in the place of a file; None for a file.
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

/// The absolute path without links, of what need not be there yet.
pub fn resolve(path: &Path) -> PathBuf {
    match (fs::canonicalize(path), path.file_name()) {
        (Ok(path), _) => path,
        (Err(_), Some(name)) => resolve(folder_of(path)).join(name),
        (Err(_), None) => path.to_owned(),
    }
}

/// The folder that a file is in, or is to be in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|&parent| parent != Path::new("")).unwrap_or(Path::new("."))
}
