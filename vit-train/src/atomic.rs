//! Writes files completely or not at all.

use crate::paths::folder_of;
use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile};

/// The beginning and the end of the names of temporary files.
const TEMPORARY: (&str, &str) = (".vit-train-", ".tmp");

/// Writes the `parts` of a file, one after the other, to a temporary file in the folder of `path`, and renames it to
/// `path`. Whatever happens, even a power cut, `path` has either its old content or the new one. If `path` is a
/// symbolic link, the target of the link is replaced.
///
/// # Errors
/// Those of the operating system; the old content is still there then.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    Written::new(path, parts)?.rename()
}

/// A temporary file that has its whole content and only needs its name. If it is dropped, it is removed.
pub(crate) struct Written {
    file: NamedTempFile,
    target: PathBuf,
}

impl Written {
    /// Does what [`write`] does, except for renaming the file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn new(path: &Path, parts: &[&[u8]]) -> io::Result<Self> {
        let target = target(path)?;
        let mut file = temporary_in(folder_of(&target))?;
        parts.iter().try_for_each(|part| file.as_file_mut().write_all(part))?;
        // The content has to be on the disk before the file is renamed, or a power cut could leave the name without
        // the content.
        file.as_file().sync_all()?;
        Ok(Self { file, target })
    }

    /// Renames the file to the path that it was written for.
    ///
    /// # Errors
    /// Those of the operating system; the old content is still there then.
    pub(crate) fn rename(self) -> io::Result<()> {
        self.file.persist(&self.target).map_err(|error| error.error)?;
        sync_directory(folder_of(&self.target));
        Ok(())
    }
}

/// Returns the file that is written for `path`: the target if `path` is a symbolic link, or else `path` itself.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    if path.is_symlink() {
        fs::canonicalize(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                io::Error::new(ErrorKind::NotFound, "this link leads to no file: remove it")
            }
            _ => error,
        })
    } else {
        Ok(path.to_owned())
    }
}

/// Returns true if a file has the name of a temporary one, which a killed process may have left.
pub(crate) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

/// Creates a temporary file with the usual permissions. (The files that `tempfile` creates itself are readable for
/// their owner only, and its errors contain the name of the temporary file, which helps nobody.)
pub(crate) fn temporary_in(directory: &Path) -> io::Result<NamedTempFile<fs::File>> {
    let create = |path: &Path| fs::OpenOptions::new().write(true).create_new(true).open(path);
    Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).make_in(directory, create)
}

/// Makes the operating system write the names in `directory` to the disk. An error is ignored: some file systems cannot
/// do this, and the file is usable anyway.
#[cfg(unix)]
fn sync_directory(directory: &Path) {
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) {}
