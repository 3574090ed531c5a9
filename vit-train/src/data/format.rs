//! The format of images that a network expects, and the names of a data set's files.

use std::fmt;
use vit_nostd::Network;

/// The name of the environment variable that holds the path of a folder with MNIST's four files.
pub const MNIST_DIR: &str = "MNIST_DIR";

/// The name of the environment variable that holds the path of a folder with the files of CIFAR-10 in its binary format.
pub const CIFAR10_DIR: &str = "CIFAR10_DIR";

/// The name of the file, next to files in MNIST's format, that lists the names of the classes: one per line, class 0
/// first. Without this file, the classes are named by their numbers.
pub(crate) const CLASS_NAMES: &str = "labels.txt";

/// The largest number of classes, because a label has 16 bits.
pub(crate) const MAX_CLASSES: usize = 1 << 16;

/// The size of the images and the number of classes that a network expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// The height of an image in pixels.
    pub height: usize,
    /// The width of an image in pixels.
    pub width: usize,
    /// The number of channels: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// The number of classes. Labels are numbers from 0 to `classes - 1`.
    pub classes: usize,
}

impl Format {
    /// Returns the format that a network of shape `N` expects.
    pub const fn of<N: Network>() -> Self {
        Self { height: N::HEIGHT, width: N::WIDTH, channels: N::CHANNELS, classes: N::CLASSES }
    }

    /// Returns the format of square grey images with `side` rows and columns.
    pub const fn grey(side: usize, classes: usize) -> Self {
        Self { height: side, width: side, channels: 1, classes }
    }

    /// Returns the number of values of one image, one for each channel of each pixel.
    pub const fn values(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Returns true if images of both formats have the same size and the same channels.
    pub fn has_images_of(self, other: Self) -> bool {
        Self { classes: 0, ..self } == Self { classes: 0, ..other }
    }
}

/// Formats the size of the images, such as `28x28 grey pixels`. The width comes first, as is usual for pictures.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colours = if self.channels == 1 { "grey" } else { "RGB" };
        write!(f, "{}x{} {colours} pixels", self.width, self.height)
    }
}
