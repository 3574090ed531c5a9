//! Images and their labels.

use super::{error::DataError, format::Format};
use crate::random::{stream, Purpose};
use rand::seq::SliceRandom;
use std::path::Path;
use vit_nostd::model_file::Normalization;

/// The mean and standard deviation of MNIST's training images, with grey values scaled to 0..1. The built-in digits,
/// which stand in for MNIST, are normalised with them, too.
pub(crate) const MNIST_NORMALIZATION: Normalization = Normalization { mean: 0.1307, std: 0.3081 };

/// A set of square grey images and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub(super) format: Format,
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
}

impl Dataset {
    /// Creates a data set from `pixels`, image after image and row by row, and one label per image. `origin` is the
    /// file or folder that errors name.
    ///
    /// # Errors
    ///
    /// - [`DataError::Empty`] if there are no images,
    /// - [`DataError::Count`] if there is not one label for every image of `format`,
    /// - [`DataError::Label`] if a label is not below `format.classes`.
    pub fn new(format: Format, pixels: Vec<u8>, labels: Vec<u8>, origin: &Path) -> Result<Self, DataError> {
        let Format { classes, .. } = format;
        let path = || origin.to_path_buf();
        let images = pixels.len() / format.pixels().max(1);
        if labels.is_empty() && pixels.is_empty() {
            return Err(DataError::Empty { path: path() });
        }
        if images != labels.len() || images * format.pixels() != pixels.len() {
            return Err(DataError::Count { path: path(), images, labels: labels.len() });
        }
        match labels.iter().position(|&label| usize::from(label) >= classes) {
            Some(index) => Err(DataError::Label { path: path(), index, label: labels[index], classes }),
            None => Ok(Self { format, pixels, labels }),
        }
    }

    /// Returns the size of the images and the number of classes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the number of images, which is never 0.
    #[allow(clippy::len_without_is_empty)] // it would always be false
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns the grey values of image `index`, row by row. In MNIST and the built-in digits, 0 is the background
    /// and 255 full ink.
    ///
    /// # Panics
    ///
    /// Panics if `index >= self.len()`.
    pub fn image(&self, index: usize) -> &[u8] {
        let pixels = self.format.pixels();
        &self.pixels[index * pixels..][..pixels]
    }

    /// Keeps the first `images` images, but at least one.
    pub fn truncate(&mut self, images: usize) {
        let images = images.clamp(1, self.len().max(1));
        self.labels.truncate(images);
        self.pixels.truncate(images * self.format.pixels());
    }

    /// Returns the class of image `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index >= self.len()`.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// Returns the grey values of all images, image after image and row by row.
    pub fn images(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns the mean and standard deviation of all pixels, scaled to 0..1 and rounded to four decimals as is
    /// customary.
    ///
    /// Returns `None` if the rounded standard deviation is 0: such images cannot be normalised.
    pub fn normalization(&self) -> Option<Normalization> {
        let mut counts = [0_u64; 256];
        self.pixels.iter().for_each(|&pixel| counts[usize::from(pixel)] += 1);
        let sum = |power| {
            counts.iter().zip(0_u64..).map(|(count, grey)| count * grey.pow(power)).sum::<u64>() as f64
        };
        let mean = sum(1) / sum(0) / 255.0;
        let std = (sum(2) / sum(0) / 255.0 / 255.0 - mean * mean).max(0.0).sqrt();
        let round = |value: f64| ((1e4 * value).round() / 1e4) as f32;
        Some(Normalization { mean: round(mean), std: round(std) })
            .filter(|normalization| normalization.std > 0.0)
    }

    /// Returns the labels of all images.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Draws a tenth of the images for validation and keeps the rest for training. Returns two ascending lists of
    /// indices, (train, validation).
    ///
    /// The lists depend only on the seed and the number of images. If there is a single image, the validation part is
    /// empty.
    pub fn split(&self, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut train: Vec<usize> = (0..self.len()).collect();
        train.shuffle(&mut stream(Purpose::Split, [seed, 0, 0]));
        let mut validation = train.split_off(self.len() - self.len().div_ceil(10).min(self.len() - 1));
        train.sort_unstable();
        validation.sort_unstable();
        (train, validation)
    }
}
