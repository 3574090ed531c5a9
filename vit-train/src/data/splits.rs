//! A data set that is split into a part to train on and a part to test on.

use super::{dataset::Dataset, error::DataError, format::Format, source::Source};
use crate::hex::hex;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use vit_nostd::{frame::Fit, model_file::Normalization};

/// What images show, which decides how they are augmented if no recipe says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Handwriting, in the style of MNIST.
    Digits,
    /// Photographs of anything.
    Photos,
}

/// A data set that is split into a part to train on and a part to test on, and its origin.
#[derive(Debug)]
pub struct Splits {
    /// The name of the data set: `mnist`, `synthetic`, or the name of the folder. A folder that has the name of a
    /// built-in source is named `./mnist`, for example, unless its content is MNIST.
    pub name: String,
    /// The source in which the images were found. It is never [`Source::Auto`], and a folder has its absolute path.
    pub source: Source,
    /// True if these are built-in images. Accuracies on them say nothing about real ones.
    pub synthetic: bool,
    /// The reason why [`Source::Auto`] fell back to the built-in digits, if it did. Users should be shown it
    /// prominently.
    pub fallback: Option<DataError>,
    /// The folders next to those of images to train and to test on, from which nothing was read. Users should be told.
    pub passed_over: Vec<PathBuf>,
    /// What the images show: images in MNIST's format and the built-in digits are taken for handwriting, and
    /// all others for photographs.
    pub style: Style,
    /// The files that were left out because they cannot be used as pictures: sorted paths relative to the folder of the
    /// data set, with slashes. [`load`](super::load) leaves out none.
    pub skipped: Vec<String>,
    /// The names of the classes, indexed by label.
    pub class_names: Vec<String>,
    /// How pictures were fitted to the size of the images. Images that have this size from the start are said to be
    /// stretched.
    pub fit: Fit,
    /// The mean and standard deviation of each channel of the images to train on, with which levels are normalised.
    pub normalization: Vec<Normalization>,
    /// The images to train and validate on.
    pub train: Dataset,
    /// The images to test on, once, after training.
    pub test: Dataset,
}

impl Splits {
    /// Checks that a network that expects `format` can be trained on these images.
    ///
    /// Data sets that a program assembles need this check. Those that [`load`](super::load) returned for `format`
    /// have its size and classes.
    ///
    /// # Errors
    ///
    /// Returns [`DataError::Unfit`] if the images have another size or number of classes, or if there are fewer than
    /// two images to train on.
    pub fn check(&self, format: Format) -> Result<(), DataError> {
        let unfit = |reason| Err(DataError::Unfit { name: self.name.clone(), reason });
        for part in [&self.train, &self.test] {
            let found = part.format();
            if !found.has_images_of(format) {
                return unfit(format!("images of {found}, but the network takes {format}"));
            }
            if found.classes != format.classes {
                let (found, classes) = (found.classes, format.classes);
                return unfit(format!("images of {found} classes, but the network has {classes}"));
            }
        }
        if self.train.len() < 2 {
            return unfit("only one image to train on, so that none is left for validation".to_owned());
        }
        Ok(())
    }

    /// Returns the SHA-256, in hexadecimal digits, of images and labels: those of the first `training_images` images
    /// to train on, followed by those of all images to test on. A label has one byte, or two
    /// if there are more than 256 classes, the lower one first.
    pub fn sha256(&self, training_images: usize) -> String {
        let mut hash = Sha256::new();
        for (part, images) in
            [(&self.train, training_images.min(self.train.len())), (&self.test, self.test.len())]
        {
            hash.update(&part.images()[..images * part.format().values()]);
            let label_bytes = if part.format().classes > 256 { 2 } else { 1 };
            for label in &part.labels()[..images] {
                hash.update(&label.to_le_bytes()[..label_bytes]);
            }
        }
        hex(hash.finalize())
    }
}
