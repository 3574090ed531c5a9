//! Images and their labels.

use super::{error::DataError, format::Format};
use crate::random::{stream, Purpose};
use rand::seq::SliceRandom;
use std::path::Path;
use vit_nostd::model_file::Normalization;

/// The mean and standard deviation of MNIST's training images, with grey values scaled to 0..1. The built-in digits,
/// which stand in for MNIST, are normalised with them, too.
pub(crate) const MNIST_NORMALIZATION: Normalization = Normalization { mean: 0.1307, std: 0.3081 };

/// A set of images and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub(super) format: Format,
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u16>,
}

impl Dataset {
    /// Creates a data set from `pixels`, image after image, and one label per image. An image is given row by row and
    /// pixel by pixel, with the channels of a pixel next to each other. `origin` is the file or folder that errors name.
    ///
    /// # Errors
    ///
    /// - [`DataError::Empty`] if there are no images,
    /// - [`DataError::Count`] if there is not one label for every image of `format`,
    /// - [`DataError::Label`] if a label is not below `format.classes`.
    pub fn new(format: Format, pixels: Vec<u8>, labels: Vec<u16>, origin: &Path) -> Result<Self, DataError> {
        let Format { classes, .. } = format;
        let path = || origin.to_path_buf();
        let images = pixels.len() / format.values().max(1);
        if labels.is_empty() && pixels.is_empty() {
            return Err(DataError::Empty { path: path() });
        }
        if images != labels.len() || images * format.values() != pixels.len() {
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

    /// Returns the levels of image `index`, row by row and pixel by pixel. In MNIST and the built-in digits, 0 is the
    /// background and 255 full ink.
    ///
    /// # Panics
    ///
    /// Panics if `index >= self.len()`.
    pub fn image(&self, index: usize) -> &[u8] {
        let values = self.format.values();
        &self.pixels[index * values..][..values]
    }

    /// Keeps the first `images` images, but at least one.
    pub fn truncate(&mut self, images: usize) {
        let images = images.clamp(1, self.len().max(1));
        self.labels.truncate(images);
        self.pixels.truncate(images * self.format.values());
    }

    /// Returns the class of image `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index >= self.len()`.
    pub fn label(&self, index: usize) -> u16 {
        self.labels[index]
    }

    /// Returns the levels of all images, image after image.
    pub fn images(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns the mean and standard deviation of each channel, scaled to 0..1 and rounded to four decimals as is
    /// customary. The standard deviation of a channel that has the same level everywhere is 1.
    ///
    /// Returns `None` if all channels are like that: such images cannot be normalised.
    pub fn normalization(&self) -> Option<Vec<Normalization>> {
        let channels = self.format.channels;
        let mut is_blank = true;
        let normalization = (0..channels).map(|channel| {
            let mut counts = [0_u64; 256];
            let levels = self.pixels.iter().skip(channel).step_by(channels);
            levels.for_each(|&level| counts[usize::from(level)] += 1);
            let sum = |power| {
                counts.iter().zip(0_u64..).map(|(count, level)| count * level.pow(power)).sum::<u64>() as f64
            };
            let mean = sum(1) / sum(0) / 255.0;
            let std = (sum(2) / sum(0) / 255.0 / 255.0 - mean * mean).max(0.0).sqrt();
            let round = |value: f64| ((1e4 * value).round() / 1e4) as f32;
            let std = Some(round(std)).filter(|&std| std > 0.0);
            is_blank &= std.is_none();
            Normalization { mean: round(mean), std: std.unwrap_or(1.0) }
        });
        let normalization = normalization.collect();
        (!is_blank).then_some(normalization)
    }

    /// Returns the labels of all images.
    pub fn labels(&self) -> &[u16] {
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
