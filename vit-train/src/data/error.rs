//! Why there are no images.

use super::{Format, MNIST_DIR};
use std::{io, path::PathBuf};

/// Why there are no images: each message is one line that says what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder does not exist, or is not a folder.
    #[error("{}: no such directory: check the path", path.display())]
    MissingDirectory {
        /// The folder.
        path: PathBuf,
    },
    /// One of the four files is not in the folder.
    #[error("{}: no {name}, neither raw nor .gz: put MNIST's four files there", path.display())]
    MissingFile {
        /// The folder.
        path: PathBuf,
        /// The file's name, without `.gz`.
        name: String,
    },
    /// The operating system refuses to read or write.
    #[error("{}: {error}: check the path and its permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A compressed file is truncated or damaged.
    #[error("{}: truncated or damaged gzip file ({error}): fetch it again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor says.
        error: io::Error,
    },
    /// The file is not of the kind that its name says.
    #[error("{}: starts with {found:#010x} instead of {expected:#010x}: this is not an IDX file of {kind}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// `images` or `labels`.
        kind: &'static str,
        /// What the file should start with.
        expected: u32,
        /// What it starts with.
        found: u32,
    },
    /// The file is longer or shorter than its header says.
    #[error("{}: {found} bytes, but its header asks for {expected}: fetch the file again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The number of bytes, uncompressed, that there should be, header included.
        expected: u64,
        /// The number of bytes, uncompressed, that there are.
        found: u64,
    },
    /// The images are not of the size that the network takes.
    #[error("{}: images of {rows}x{columns} pixels, but the network takes {side}x{side}: choose other data", path.display())]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// The height of its images.
        rows: u32,
        /// The width of its images.
        columns: u32,
        /// The height and width that fit.
        side: usize,
    },
    /// There are no images.
    #[error("{}: no images in it: choose other data", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There are not as many labels as images.
    #[error("{}: {images} images, but {labels} labels: take both files from the same data set", path.display())]
    Count {
        /// The file of the labels.
        path: PathBuf,
        /// The number of images.
        images: usize,
        /// The number of labels.
        labels: usize,
    },
    /// A label names a class that the network does not have.
    #[error("{}: label {label} at index {index}, but there are {classes} classes: labels go from 0 to {}", path.display(), classes.saturating_sub(1))]
    Label {
        /// The file of the labels.
        path: PathBuf,
        /// The position of the label, counted from 0.
        index: usize,
        /// The label.
        label: u8,
        /// The number of classes.
        classes: usize,
    },
    /// The file is well-formed, but it is not MNIST's.
    #[error("{}: not MNIST's file (SHA-256 {found} instead of {expected}): fetch it again, or pass the folder to --data", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The SHA-256 of MNIST's uncompressed file.
        expected: &'static str,
        /// The SHA-256 of this one, uncompressed.
        found: String,
    },
    /// MNIST is not on the disk, and no mirror delivers it.
    #[error("cannot download {name} ({reasons}): put MNIST's four files into {}, or set {MNIST_DIR} to their folder", path.display())]
    Download {
        /// The folder that the file was meant for.
        path: PathBuf,
        /// The file.
        name: String,
        /// What went wrong, mirror by mirror.
        reasons: String,
    },
    /// A file that is no picture.
    #[error("{}: cannot be read as a PNG or JPEG image ({error})", path.display())]
    NotAPicture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: image::ImageError,
    },
    /// A picture without anything on it.
    #[error("{}: blank: there is nothing on it that stands out", path.display())]
    BlankPicture {
        /// The file.
        path: PathBuf,
    },
    /// A folder without pictures.
    #[error("{}: no PNG or JPEG files in it", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// The built-in digits do not fit the network.
    #[error(
        "synthetic: digits of 28x28 pixels in 10 classes, but the network takes {0}x{0} and {1}: pass other data to --data",
        format.side, format.classes
    )]
    Synthetic {
        /// What the network takes.
        format: Format,
    },
}
