//! Finds the place of the images that a source means, and what is there.

use super::{
    cifar, download,
    error::DataError,
    folder,
    format::{CIFAR10_DIR, MNIST_DIR},
    idx,
    source::{chosen_directory, Source, CIFAR10_CACHE, MNIST_CACHE},
    splits::Style,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The name of the data set of a network that does not say what it was trained on.
pub(crate) const UNKNOWN: &str = "unknown";

/// The place of images.
pub(super) enum Place {
    /// A folder with MNIST's four files.
    Mnist(PathBuf),
    /// A folder with the files of CIFAR-10.
    Cifar10(PathBuf),
    /// The built-in digits. If they stand in for MNIST, the reason is given.
    Digits(Option<DataError>),
    /// The built-in road signs.
    Signs,
    /// A folder that the user has named.
    Named(Named),
}

/// A folder that the user has named.
pub(super) struct Named {
    /// The folder as it was named.
    pub directory: PathBuf,
    /// The name of the data set.
    pub name: String,
    /// The folder with its absolute path.
    pub source: Source,
    pub content: Content,
}

/// The content of a folder of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The four files in MNIST's format. They may be incomplete, and the folder may be missing.
    Idx,
    /// The files of CIFAR-10, or files of the same format. They may be incomplete.
    Cifar10,
    /// A folder for each class, or for each part of the data set.
    Folders,
}

impl Place {
    /// Finds the images of `source`. `mnist` and `cifar10` find the folders of these data sets.
    ///
    /// # Errors
    /// The errors of `mnist` (except for [`Source::Auto`]) and `cifar10`, and those of [`Named::find`].
    pub(super) fn find(
        source: &Source,
        mnist: impl FnOnce() -> Result<PathBuf, DataError>,
        cifar10: impl FnOnce() -> Result<PathBuf, DataError>,
    ) -> Result<Self, DataError> {
        Ok(match source {
            Source::Auto => match mnist() {
                Ok(directory) => Self::Mnist(directory),
                Err(reason) => Self::Digits(Some(reason)),
            },
            Source::Mnist => Self::Mnist(mnist()?),
            Source::Cifar10 => Self::Cifar10(cifar10()?),
            Source::Synthetic => Self::Digits(None),
            Source::SyntheticSigns => Self::Signs,
            Source::Directory(directory) => Self::Named(Named::find(directory)?),
        })
    }

    /// Returns what the images are taken for.
    pub(super) fn style(&self) -> Style {
        match self {
            Self::Mnist(_) | Self::Digits(_) | Self::Named(Named { content: Content::Idx, .. }) => {
                Style::Digits
            }
            Self::Cifar10(_) | Self::Signs | Self::Named(_) => Style::Photos,
        }
    }
}

impl Named {
    /// Finds out what is in `directory`.
    ///
    /// # Errors
    /// [`DataError::NoImages`], and [`DataError::Io`] if the folder cannot be read.
    fn find(directory: &Path) -> Result<Self, DataError> {
        // The name goes into the model file, whose readers need not know the whole path. A path such as `..` has no
        // name of its own; its canonical form does.
        let canonical = directory.canonicalize().unwrap_or_else(|_| directory.into());
        let name = directory.file_name().or(canonical.file_name()).unwrap_or(directory.as_os_str());
        let mut name = name.to_string_lossy().into_owned();
        if !matches!(name.parse(), Ok(Source::Directory(_))) || name == UNKNOWN {
            name.insert_str(0, "./"); // without it, the name would mean a built-in data set, or none
        }
        let source = Source::Directory(canonical);
        Ok(Self { directory: directory.into(), name, source, content: Content::of(directory)? })
    }
}

impl Content {
    fn of(directory: &Path) -> Result<Self, DataError> {
        if !directory.is_dir() || idx::FILES.iter().any(|file| file.find(directory).is_some()) {
            return Ok(Self::Idx);
        }
        if cifar::is_in(directory) {
            return Ok(Self::Cifar10);
        }
        if let Err(error) = fs::read_dir(directory) {
            return Err(DataError::Io { path: directory.into(), error });
        }
        match folder::has_folders(directory)? {
            true => Ok(Self::Folders),
            false => Err(DataError::NoImages { path: directory.into() }),
        }
    }
}

/// Returns the folder of MNIST, which is downloaded if necessary.
pub(super) fn mnist() -> Result<PathBuf, DataError> {
    found(MNIST_DIR, MNIST_CACHE, |cache| download::complete(cache, download::MIRRORS))
}

/// Returns the folder of CIFAR-10, which is downloaded if necessary.
pub(super) fn cifar10() -> Result<PathBuf, DataError> {
    found(CIFAR10_DIR, CIFAR10_CACHE, |cache| download::complete_cifar10(cache, &download::CIFAR10))
}

/// Returns the folder of a data set: the one that the environment `variable` names or, if it is not set, `cache`, which
/// `complete` fills.
fn found(
    variable: &str,
    cache: &str,
    complete: impl FnOnce(&Path) -> Result<(), DataError>,
) -> Result<PathBuf, DataError> {
    match chosen_directory(variable) {
        Some(directory) => Ok(directory),
        None => complete(cache.as_ref()).map(|()| cache.into()),
    }
}
