//! The folder of a run: what the files in it are called, and who may write to it.

use crate::{
    error::Error,
    files::{lock_directory, remove, DirectoryLock},
};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

/// A folder that holds the results of one run only. An earlier run in it stays whole until the first epoch of the new one is
/// done: see [`snapshot`](crate::train::snapshot).
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

            /// All files that a run leaves in `directory`.
            pub fn files(directory: &Path) -> Vec<PathBuf> {
                vec![$(Self::$name(directory)),*]
            }
        }
    };
}
files! {
    /// The parameters of the best epoch.
    checkpoint: "checkpoint.safetensors",
    /// The model file of the float engine.
    float_model: "model.f32.vit",
    /// The model file of the integer engine.
    int8_model: "model.int8.vit",
    /// Which images the run is about.
    data: "data.json",
    /// What the run can be resumed from.
    snapshot: "last.run",
    /// What the run can be resumed from until its first epoch is done.
    new_snapshot: "new.run",
    /// The part of the report for programs.
    json: "report.json",
    /// The part of the report for people.
    markdown: "report.md",
    /// Loss, accuracy and learning rate over the epochs.
    curves: "curves.svg",
    /// Which classes the test images of each class were taken for.
    confusion: "confusion.svg",
    /// Some test images, and what the network says of them.
    predictions: "predictions.png",
    /// The test images that the network was most wrong about.
    mistakes: "mistakes.png",
}

impl RunFolder {
    /// Makes the folder with its parents, and makes sure that it can be written to and that no other process does, as long
    /// as the result lives.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::InUse`].
    pub fn create(directory: &Path) -> Result<Self, Error> {
        Ok(Self { lock: lock_directory(directory)? })
    }

    /// All files of the report in `directory`.
    pub fn report_files(directory: &Path) -> [PathBuf; 6] {
        [Self::json, Self::markdown, Self::curves, Self::confusion, Self::predictions, Self::mistakes]
            .map(|path| path(directory))
    }

    /// Removes the results of an earlier run, and what it could be resumed from; the snapshot of a new run stays.
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
