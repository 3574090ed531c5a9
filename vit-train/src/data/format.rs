//! The format of images that a network expects, and the names of a data set's files.

use vit_nostd::Network;

/// The name of the environment variable that holds the path of a folder with MNIST's four files.
pub const MNIST_DIR: &str = "MNIST_DIR";

/// The name of the file, next to files in MNIST's format, that lists the names of the classes: one per line, class 0
/// first. Without this file, the classes are named by their numbers.
pub(crate) const CLASS_NAMES: &str = "labels.txt";

/// The largest number of classes, because a label has 8 bits.
pub(crate) const MAX_CLASSES: usize = 256;

/// The size of the images and the number of classes that a network expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The width and the height of an image in pixels.
    pub side: usize,
    /// The number of classes. Labels are numbers from 0 to `classes - 1`.
    pub classes: usize,
}

impl Format {
    /// Returns the format that a network of shape `N` expects.
    pub const fn of<N: Network>() -> Self {
        Self { side: N::IMAGE, classes: N::CLASSES }
    }

    /// Returns the number of pixels of one image.
    pub const fn pixels(self) -> usize {
        self.side * self.side
    }
}
