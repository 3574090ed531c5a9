//! Files: written whole or not at all.

use crate::{
    error::{Error, IoContext},
    paths::{folder_of, no_file, NAMED_PIPE},
};
use std::{
    fs,
    io::{self, ErrorKind, Write},
    ops::Deref,
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile};

/// What the names of temporary files begin with.
const TEMPORARY: &str = ".vit-train-";

/// Writes `bytes` to a temporary file beside `path` and renames it: whatever happens, also to the machine, the old
/// content is there or the new one. A symbolic link stays one, and its target is written; what is no file (a device, a
/// pipe) is not replaced, but written to.
///
/// # Errors
/// [`Error::Io`]; what was at `path` before is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(path, bytes).at(path);
    }
    let target = target(path)?;
    let directory = folder_of(&target);
    let mut file = temporary_in(directory).at(path)?;
    file.as_file_mut().write_all(bytes).at(path)?;
    // On the disk before it gets the name: otherwise the name could outlive a power cut, and the content not.
    file.as_file().sync_all().at(path)?;
    file.persist(&target).map_err(|error| error.error).at(path)?;
    sync_directory(directory);
    Ok(())
}

/// Checks that [`write_atomically`] can write to `path`, before there is something to write.
///
/// # Errors
/// [`Error::Io`].
pub fn check_writable(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            Err(io::Error::new(ErrorKind::IsADirectory, "a folder: give the name of a file")).at(path)
        }
        Ok(metadata) if !metadata.is_file() => Ok(()),
        _ => {
            let target = target(path)?;
            let folder = folder_of(&target);
            if !folder.exists() {
                let message = format!("there is no folder {}: make it first", folder.display());
                return Err(io::Error::new(ErrorKind::NotFound, message)).at(path);
            }
            temporary_in(folder).map(drop).at(path)
        }
    }
}

/// The file that is written where `path` is a link to it.
fn target(path: &Path) -> Result<PathBuf, Error> {
    if path.is_symlink() {
        let target = fs::canonicalize(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                io::Error::new(ErrorKind::NotFound, "this link leads to no file: remove it")
            }
            _ => error,
        });
        target.at(path)
    } else {
        Ok(path.to_owned())
    }
}

/// Checks that a file is at `path`, and nothing that a reader or a writer would wait for without end.
///
/// # Errors
/// [`Error::Io`].
pub fn require_file(path: &Path) -> Result<(), Error> {
    check_file(path).at(path)
}

fn check_file(path: &Path) -> io::Result<()> {
    no_file(&fs::metadata(path)?).map_or(Ok(()), |kind| Err(in_place_of_a_file(kind)))
}

fn in_place_of_a_file(kind: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("this is {kind}, and no file"))
}
/// Reads a file of a run, which the user has not named: a pipe in its place is refused.
///
/// # Errors
/// Those of the operating system; [`ErrorKind::InvalidInput`] where something else than a file is there.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    check_file(path)?;
    fs::read(path)
}

/// Reads a file that the user has named, which may be a pipe. A device is refused, because it may have no end.
///
/// # Errors
/// Those of the operating system; [`ErrorKind::InvalidInput`] for a folder, a device or a socket.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match no_file(&fs::metadata(path)?) {
        None | Some(NAMED_PIPE) => fs::read(path),
        Some(kind) => Err(in_place_of_a_file(kind)),
    }
}

/// A file that whoever may read the folder may read. (By itself, `tempfile` makes it for its owner only, and tells its
/// name in every error, for which nobody asked.)
fn temporary_in(directory: &Path) -> io::Result<NamedTempFile<fs::File>> {
    let create = |path: &Path| fs::OpenOptions::new().write(true).create_new(true).open(path);
    Builder::new().prefix(TEMPORARY).make_in(directory, create)
}

/// Puts the names in `directory` on the disk. Some file systems cannot, and the file is there all the same.
#[cfg(unix)]
fn sync_directory(directory: &Path) {
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) {}

/// Makes `directory`, with its parents, makes sure that files can be written to it, and that no other process does as
/// long as the result lives. Temporary files of a process that was killed are removed.
///
/// # Errors
/// [`Error::Io`]; [`Error::InUse`].
pub fn lock_directory(directory: &Path) -> Result<DirectoryLock, Error> {
    if directory.exists() && !directory.is_dir() {
        return Err(ErrorKind::NotADirectory.into()).at(directory); // "File exists", it would be called otherwise
    }
    fs::create_dir_all(directory).at(directory)?;
    let lock = lock(directory)?;
    for entry in fs::read_dir(directory).at(directory)? {
        let entry = entry.at(directory)?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path()).at(&entry.path())?;
        }
    }
    temporary_in(directory).at(directory)?;
    Ok(DirectoryLock { directory: directory.to_owned(), _lock: lock })
}

/// A directory that is this process's to write to.
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

/// The operating system forgets the lock when the process ends, however it does. Where it has no locks, we do without.
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

/// Removes a file, if it is there.
///
/// # Errors
/// [`Error::Io`].
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
    fn a_directory_is_one_process_s() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let locked = lock_directory(&directory).unwrap();
        write_atomically(&locked.join("kept"), b"1").unwrap();
        fs::write(locked.join(".vit-train-XYZ"), "half a fi").unwrap();
        if cfg!(unix) {
            assert!(matches!(lock_directory(&directory), Err(Error::InUse { .. })));
            assert!(locked.join(".vit-train-XYZ").exists());
        }
        drop(locked);
        let locked = lock_directory(&directory).unwrap();
        let names: Vec<_> = fs::read_dir(&*locked).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
    }
}
