//! What a network expects of images, and what the files of a data set are called.

use vit_nostd::Network;

/// The environment variable that names a folder with MNIST's four files.
pub const MNIST_DIR: &str = "MNIST_DIR";

/// The file beside those in MNIST's format that names the classes, one a line, class 0 first; without it, they are
/// called by their numbers.
pub const CLASS_NAMES: &str = "labels.txt";

/// The most classes: a label has 8 bits.
pub const MAX_CLASSES: usize = 256;

/// What the network expects of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Width and height of an image in pixels.
    pub side: usize,
    /// The number of classes; labels are smaller.
    pub classes: usize,
}

impl Format {
    /// What a network of shape `N` expects.
    pub const fn of<N: Network>() -> Self {
        Self { side: N::IMAGE, classes: N::CLASSES }
    }

    /// The number of pixels of one image.
    pub const fn pixels(self) -> usize {
        self.side * self.side
    }
}
