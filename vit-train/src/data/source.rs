//! The sources of images that a user can choose.

use super::{format::MNIST_DIR, idx};
use crate::paths::resolve;
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The folder where MNIST is looked for if the environment variable [`MNIST_DIR`] is not set, and to which it is
/// downloaded. The path is relative to the working directory.
pub(crate) const MNIST_CACHE: &str = "data/mnist";

/// The source of the images: the argument of `--data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `auto`: MNIST, or the built-in digits if MNIST can be neither found nor downloaded.
    #[default]
    Auto,
    /// `mnist`: MNIST from `$MNIST_DIR` if that is set, or else from `data/mnist`, to which it is downloaded if
    /// necessary.
    Mnist,
    /// `synthetic`: the built-in digits of [`synthetic`](super::synthetic).
    Synthetic,
    /// A folder with four files in MNIST's format and possibly `labels.txt`, or with a folder
    /// of PNG and JPEG files for each class. If a folder has the name of one of the other sources, it is written as a
    /// path, such as `./mnist`.
    Directory(PathBuf),
}

impl Source {
    /// Returns true if `path` is the folder of this source or lies in it, so that writing there could change the data.
    ///
    /// A subfolder of a folder with files in MNIST's format does not count, because it is not read.
    pub fn is_within(&self, path: &Path) -> bool {
        let directory = match self {
            Self::Directory(directory) => directory.clone(),
            Self::Auto | Self::Mnist => chosen_directory().unwrap_or_else(|| MNIST_CACHE.into()),
            Self::Synthetic => return false,
        };
        let (directory, path) = (resolve(&directory), resolve(path));
        let is_idx = || idx::FILES.iter().any(|file| file.find(&directory).is_some());
        path == directory || path.starts_with(&directory) && (path.is_file() || !is_idx())
    }
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "mnist" => Self::Mnist,
            "synthetic" => Self::Synthetic,
            directory => Self::Directory(directory.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Mnist => f.write_str("mnist"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::Directory(directory) => directory.display().fmt(f),
        }
    }
}

/// Returns the folder that the environment variable [`MNIST_DIR`] names, if it is set and not empty.
pub(super) fn chosen_directory() -> Option<PathBuf> {
    env::var_os(MNIST_DIR).filter(|value| !value.is_empty()).map(PathBuf::from)
}
