//! Writes files completely or not at all, and locks directories.

use crate::{
    atomic::{self, is_temporary, target, temporary_in},
    error::{Error, IoContext},
    paths::{folder_of, no_file, NAMED_PIPE},
};
use std::{
    fs,
    io::{self, ErrorKind},
    ops::Deref,
    path::{Path, PathBuf},
};

/// Writes `bytes` to a temporary file in the folder of `path` and renames it to `path`. Whatever happens, even a power
/// cut, `path` has either its old content or the new one.
///
/// If `path` is a symbolic link, the target of the link is replaced. A device or a pipe is not replaced but written to.
///
/// # Errors
/// [`Error::Io`]; the old content is still there then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(path, bytes).at(path);
    }
    atomic::write(path, &[bytes]).at(path)
}

/// Checks that [`write_atomically`] can write to `path`. This is called before a long computation of what is written.
///
/// # Errors
/// [`Error::Io`] if it cannot.
pub(crate) fn check_writable(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(io::Error::new(ErrorKind::IsADirectory, "a folder: give the name of a file")).at(path)
        }
        Ok(metadata) if !metadata.is_file() => Ok(()),
        _ => {
            let target = target(path).at(path)?;
            let folder = folder_of(&target);
            if !folder.exists() {
                let message = format!("there is no folder {}: make it first", folder.display());
                return Err(io::Error::new(ErrorKind::NotFound, message)).at(path);
            }
            temporary_in(folder).map(drop).at(path)
        }
    }
}

/// Checks that `path` leads to a regular file, and not to a pipe or a device, for which a reader or a writer could wait
/// forever.
///
/// # Errors
/// [`Error::Io`] if it does not.
pub(crate) fn require_file(path: &Path) -> Result<(), Error> {
    check_file(path).at(path)
}

fn check_file(path: &Path) -> io::Result<()> {
    no_file(&fs::metadata(path)?).map_or(Ok(()), |kind| Err(in_place_of_a_file(kind)))
}

fn in_place_of_a_file(kind: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("this is {kind}, not a file"))
}

/// Reads a regular file. This is for files that the user has not named, such as those of a run: a pipe there is
/// refused.
///
/// # Errors
/// The errors of the operating system; [`ErrorKind::InvalidInput`] for anything but a regular file.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    check_file(path)?;
    fs::read(path)
}

/// Reads a file that the user has named, which may be a pipe. A device is refused, because it may have no end.
///
/// # Errors
/// The errors of the operating system; [`ErrorKind::InvalidInput`] for a folder, a device or a socket.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match no_file(&fs::metadata(path)?) {
        None | Some(NAMED_PIPE) => fs::read(path),
        Some(kind) => Err(in_place_of_a_file(kind)),
    }
}

/// Creates `directory` with its parents if necessary, locks it against other processes that use this function, and
/// checks that files can be written to it. Temporary files that a killed process has left are removed. The lock ends
/// when the returned value is dropped.
///
/// # Errors
/// [`Error::InUse`] if another process has the lock; [`Error::Io`].
pub fn lock_directory(directory: &Path) -> Result<DirectoryLock, Error> {
    if directory.exists() && !directory.is_dir() {
        return Err(ErrorKind::NotADirectory.into()).at(directory); // `create_dir_all` would say "File exists"
    }
    fs::create_dir_all(directory).at(directory)?;
    let lock = lock(directory)?;
    for entry in fs::read_dir(directory).at(directory)? {
        let entry = entry.at(directory)?;
        let (path, kind) = (entry.path(), entry.file_type().at(&entry.path())?);
        if is_temporary(&path) && kind.is_file() {
            fs::remove_file(&path).at(&path)?;
        }
    }
    temporary_in(directory).at(directory)?;
    Ok(DirectoryLock { directory: directory.to_owned(), _lock: lock })
}

/// The lock on a directory that only this process writes to.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: PathBuf,
    _lock: Option<fs::File>,
}

impl Deref for DirectoryLock {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.directory
    }
}

/// Locks `directory`. The operating system releases the lock when the process ends, in whatever way. On a file system
/// without locks there is none.
#[cfg(unix)]
fn lock(directory: &Path) -> Result<Option<fs::File>, Error> {
    let file = fs::File::open(directory).at(directory)?;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { directory: directory.to_owned() }),
        Err(fs::TryLockError::Error(_)) => Ok(None),
        Ok(()) => Ok(Some(file)),
    }
}

#[cfg(not(unix))]
fn lock(_: &Path) -> Result<Option<fs::File>, Error> {
    Ok(None)
}

/// Removes a file if it exists.
///
/// # Errors
/// [`Error::Io`] if it cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_by_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let locked = lock_directory(&directory).unwrap();
        write_atomically(&locked.join("kept"), b"1").unwrap();
        fs::write(locked.join(".vit-train-XYZ.tmp"), "half a fi").unwrap();
        fs::write(locked.join(".vit-train-notes"), "the user's").unwrap();
        fs::create_dir(locked.join(".vit-train-folder.tmp")).unwrap();
        if cfg!(unix) {
            assert!(matches!(lock_directory(&directory), Err(Error::InUse { .. })));
            assert!(locked.join(".vit-train-XYZ.tmp").exists());
        }
        drop(locked);
        let locked = lock_directory(&directory).unwrap();
        let names = fs::read_dir(&*locked).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, [".vit-train-folder.tmp", ".vit-train-notes", "kept"]);
    }
}
