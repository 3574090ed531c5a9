//! Where images come from.

use super::{format::MNIST_DIR, idx};
use crate::paths::resolve;
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where MNIST is looked for without [`MNIST_DIR`], and downloaded to; relative to the working directory.
pub const MNIST_CACHE: &str = "data/mnist";

/// Where the images come from: the argument of `--data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `auto`: MNIST, and where it cannot be had, the built-in digits.
    #[default]
    Auto,
    /// `mnist`: MNIST from `$MNIST_DIR`, from `data/mnist`, or downloaded there.
    Mnist,
    /// `synthetic`: the built-in digits.
    Synthetic,
    /// A folder with four files in MNIST's format, perhaps with [`CLASS_NAMES`](super::CLASS_NAMES), or with a folder of PNG and JPEG files
    /// for each class. One that is called like a variant above is `./mnist`.
    Directory(PathBuf),
}

impl Source {
    /// Whether `path` is the folder, or lies in it. A folder in a folder with files in MNIST's format does not count: it is
    /// not read.
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

/// The folder that [`MNIST_DIR`] names.
pub(super) fn chosen_directory() -> Option<PathBuf> {
    env::var_os(MNIST_DIR).filter(|value| !value.is_empty()).map(PathBuf::from)
}
