//! A data set in its two parts.

use super::{dataset::Dataset, error::DataError, format::Format, source::Source};
use crate::hex::hex;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use vit_nostd::model_file::Normalization;

/// A data set in its two parts, and where it came from.
#[derive(Debug)]
pub struct Splits {
    /// `mnist`, `synthetic`, or the folder's name. A folder that is called like one of the variants of [`Source`] has the
    /// name `./mnist`, unless its content is MNIST.
    pub name: String,
    /// Where they were found: never [`Source::Auto`], and a folder by its absolute path.
    pub source: Source,
    /// Whether these are the built-in digits. Accuracies on them say nothing about real handwriting.
    pub synthetic: bool,
    /// Why [`Source::Auto`] fell back to the built-in digits; to be shown loudly.
    pub fallback: Option<DataError>,
    /// Folders next to those of images to train and to test on, of which nothing was read; to be named to the user.
    pub passed_over: Vec<PathBuf>,
    /// What a label stands for, one name per class.
    pub class_names: Vec<String>,
    /// How pixels become numbers: by mean and standard deviation of the images to train on.
    pub normalization: Normalization,
    /// The images to train (and validate) on.
    pub train: Dataset,
    /// The images to test on, once, at the end.
    pub test: Dataset,
}

impl Splits {
    /// Checks that a network that expects `format` can be trained on these images; it can, on those that [`load`](super::load) returns.
    ///
    /// # Errors
    ///
    /// [`DataError::Unfit`].
    pub fn check(&self, format: Format) -> Result<(), DataError> {
        let unfit = |reason| Err(DataError::Unfit { name: self.name.clone(), reason });
        let Format { side, classes } = format;
        for part in [&self.train, &self.test] {
            let Format { side: theirs, .. } = part.format();
            if theirs != side {
                return unfit(format!(
                    "images of {theirs}x{theirs} pixels, but the network takes {side}x{side}"
                ));
            }
            if part.format().classes != classes {
                let found = part.format().classes;
                return unfit(format!("images of {found} classes, but the network has {classes}"));
            }
        }
        if self.train.len() < 2 {
            return unfit("a single image to train on, so that none is left to validate with".to_owned());
        }
        Ok(())
    }

    /// The SHA-256 in hexadecimal digits of all images and labels: of the first `training_images` to train on, and of
    /// those to test on.
    pub fn sha256(&self, training_images: usize) -> String {
        let mut hash = Sha256::new();
        for (part, images) in
            [(&self.train, training_images.min(self.train.len())), (&self.test, self.test.len())]
        {
            hash.update(&part.images()[..images * part.format().pixels()]);
            hash.update(&part.labels()[..images]);
        }
        hex(hash.finalize())
    }
}
