//! Writes whole folders completely or not at all.

use crate::{
    error::{Error, IoContext},
    paths::{folder_of, resolve},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Checks that [`replace`] may write to `directory`: it does not exist, or has only files that are `ours`, which are paths
/// in it.
///
/// # Errors
/// [`Error::Usage`] if it has other files, or is no folder.
pub(crate) fn check_replaceable(directory: &Path, ours: &[PathBuf]) -> Result<(), Error> {
    let refused = |what: &str| {
        let directory = directory.display();
        Err(Error::Usage(format!("{directory}: {what}: name a folder that does not exist yet")))
    };
    match fs::read_dir(directory) {
        Ok(_) => match other_file(directory, Path::new(""), ours).at(directory)? {
            None => Ok(()),
            Some(path) => refused(&format!("{} in it would be lost", path.display())),
        },
        Err(_) if directory.symlink_metadata().is_ok() => refused("this is not a folder that can be read"),
        Err(_) => Ok(()),
    }
}

/// Finds something in the folder `inner` of `directory` that is neither one of the files `ours` nor a folder of them.
fn other_file(directory: &Path, inner: &Path, ours: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory.join(inner))? {
        let entry = entry?;
        let path = inner.join(entry.file_name());
        let is_folder_of_ours =
            entry.file_type()?.is_dir() && ours.iter().any(|file| file.starts_with(&path));
        let other = match is_folder_of_ours {
            true => other_file(directory, &path, ours)?,
            false => (!ours.contains(&path)).then_some(path),
        };
        if other.is_some() {
            return Ok(other);
        }
    }
    Ok(None)
}

/// Replaces the folder `directory` by one with these files, which are paths in it and contents. Whatever happens, the
/// folder has either its old content or the new one, except that it may be missing if the program is killed between two
/// renamings, or if the second of them fails and cannot be undone: the old content is then in a folder next to it, whose
/// name ends in `.tmp`.
///
/// # Errors
/// [`Error::Io`] if something cannot be written; the old content is still there then.
pub(crate) fn replace(directory: &Path, files: &[(PathBuf, Vec<u8>)]) -> Result<(), Error> {
    let target = resolve(directory);
    let parent = folder_of(&target);
    fs::create_dir_all(parent).at(parent)?;
    let temporary = || {
        let folder = tempfile::Builder::new().prefix(".vit-train-").suffix(".tmp").tempdir_in(parent);
        folder.map_err(|error| error.kind().into()).at(parent)
    };
    let new = temporary()?;
    for (path, content) in files {
        let path = new.path().join(path);
        fs::create_dir_all(folder_of(&path)).at(&path)?;
        fs::write(&path, content).at(&path)?;
    }
    share(new.path()).at(directory)?;
    if !target.exists() {
        return fs::rename(new.path(), &target).at(directory);
    }
    let old = temporary()?;
    let saved = old.path().join("old");
    fs::rename(&target, &saved).at(directory)?;
    if let Err(error) = fs::rename(new.path(), &target) {
        if fs::rename(&saved, &target).is_err() {
            let _ = old.keep();
        }
        return Err(error).at(directory);
    }
    Ok(())
}

/// Gives a folder the usual permissions: `tempfile` makes it accessible for its owner only.
#[cfg(unix)]
pub(crate) fn share(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
pub(crate) fn share(_: &Path) -> io::Result<()> {
    Ok(())
}
