//! The directory of a run: the names of the files in it, and the lock on it.

use crate::{
    error::Error,
    files::{lock_directory, remove, DirectoryLock},
};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

/// The directory of a run, locked by this process. It holds the results of one run only: those of an earlier run stay
/// complete until the first epoch of the new one is done.
#[derive(Debug)]
pub struct RunFolder {
    lock: DirectoryLock,
}

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident: $file:literal,)*) => {
        impl RunFolder {
            $($(#[$doc])* pub fn $name(directory: &Path) -> PathBuf {
                directory.join($file)
            })*

            /// Returns the paths of all files that a run leaves in `directory`.
            pub fn files(directory: &Path) -> Vec<PathBuf> {
                vec![$(Self::$name(directory)),*]
            }
        }
    };
}
files! {
    /// Returns the path of the checkpoint, which has the parameters of the epoch that is kept.
    checkpoint: "checkpoint.safetensors",
    /// Returns the path of the model file for the float engine.
    float_model: "model.f32.vit",
    /// Returns the path of the model file for the integer engine.
    int8_model: "model.int8.vit",
    /// Returns the path of the [samples](super::samples), with which a firmware checks the integer model.
    samples: "samples.bin",
    /// Returns the path of the record of the run's images.
    data: "data.json",
    /// Returns the path of the snapshot that the run can be resumed from.
    snapshot: "last.run",
    /// Returns the path of the snapshot that the run can be resumed from until its first epoch is done.
    new_snapshot: "new.run",
    /// Returns the path of the report for programs.
    json: "report.json",
    /// Returns the path of the report for people.
    markdown: "report.md",
    /// Returns the path of the curves of loss, accuracy and learning rate over the epochs.
    curves: "curves.svg",
    /// Returns the path of the confusion matrix of the test images.
    confusion: "confusion.svg",
    /// Returns the path of a picture of some test images with their predicted classes.
    predictions: "predictions.png",
    /// Returns the path of a picture of the test images that the network was most wrong about.
    mistakes: "mistakes.png",
}

impl RunFolder {
    /// Creates the directory with its parents if necessary, and locks it until the returned value is dropped.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has locked it; [`Error::Io`] if it cannot be created or written to.
    pub fn create(directory: &Path) -> Result<Self, Error> {
        Ok(Self { lock: lock_directory(directory)? })
    }

    /// Returns the paths of all files of the report in `directory`.
    pub fn report_files(directory: &Path) -> [PathBuf; 6] {
        [Self::json, Self::markdown, Self::curves, Self::confusion, Self::predictions, Self::mistakes]
            .map(|path| path(directory))
    }

    /// Removes the results and the snapshot of an earlier run. The snapshot of a new run stays.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        let new = Self::new_snapshot(self);
        Self::files(self).iter().filter(|path| **path != new).try_for_each(|path| remove(path))
    }
}

impl Deref for RunFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.lock
    }
}
