//! The sources of images that a user can choose.

use super::{
    cifar,
    format::{CIFAR10_DIR, MNIST_DIR},
    idx,
};
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

/// The folder for CIFAR-10, like [`MNIST_CACHE`].
pub(crate) const CIFAR10_CACHE: &str = "data/cifar10";

/// The folder for the levels of decoded pictures, like [`MNIST_CACHE`].
pub(crate) const PICTURE_CACHE: &str = "data/pictures";

/// The name of the environment variable that names another folder for the levels of decoded pictures.
pub(crate) const PICTURE_CACHE_DIR: &str = "VIT_TRAIN_CACHE";

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
    /// `cifar10`: CIFAR-10 from `$CIFAR10_DIR` if that is set, or else from `data/cifar10`, to which it is downloaded if
    /// necessary.
    Cifar10,
    /// `synthetic`: the built-in digits of [`synthetic`](super::synthetic).
    Synthetic,
    /// `synthetic-signs`: pictures of the road signs of [`signs`](super::signs).
    #[serde(rename = "synthetic-signs")]
    SyntheticSigns,
    /// A folder with four files in MNIST's format and possibly `labels.txt`, with the files of CIFAR-10 in its binary
    /// format, or with a folder of pictures for each class. If a folder has the name of one of the other sources, it is
    /// written as a path, such as `./mnist`.
    Directory(PathBuf),
}

impl Source {
    /// Returns true if `path` is the folder of this source or lies in it, so that writing there could change the data.
    ///
    /// A subfolder of a folder with files in the format of MNIST or CIFAR-10 does not count, because it is not read.
    pub fn is_within(&self, path: &Path) -> bool {
        let directory = match self {
            Self::Directory(directory) => directory.clone(),
            Self::Auto | Self::Mnist => chosen_directory(MNIST_DIR).unwrap_or_else(|| MNIST_CACHE.into()),
            Self::Cifar10 => chosen_directory(CIFAR10_DIR).unwrap_or_else(|| CIFAR10_CACHE.into()),
            Self::Synthetic | Self::SyntheticSigns => return false,
        };
        let (directory, path) = (resolve(&directory), resolve(path));
        let is_flat =
            || idx::FILES.iter().any(|file| file.find(&directory).is_some()) || cifar::is_in(&directory);
        path == directory || path.starts_with(&directory) && (path.is_file() || !is_flat())
    }
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "mnist" => Self::Mnist,
            "cifar10" => Self::Cifar10,
            "synthetic" => Self::Synthetic,
            "synthetic-signs" => Self::SyntheticSigns,
            directory => Self::Directory(directory.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Mnist => f.write_str("mnist"),
            Self::Cifar10 => f.write_str("cifar10"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::SyntheticSigns => f.write_str("synthetic-signs"),
            Self::Directory(directory) => directory.display().fmt(f),
        }
    }
}

/// Returns the folder that an environment variable names, if it is set and not empty.
pub(super) fn chosen_directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
