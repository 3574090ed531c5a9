//! Why there are no images.

use super::{
    format::{Format, CLASS_NAMES, MAX_CLASSES, MNIST_DIR},
    picture::PictureError,
};
use std::{
    io,
    path::{Path, PathBuf},
};
use vit_nostd::LabelFault;

/// Of more names than these, a message tells the number only.
const NAMED: usize = 12;

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
    /// A file where a folder is expected.
    #[error(
        "{}: a file, and images to train or test on are given as a folder",
        path.display()
    )]
    NotADirectory {
        /// The file.
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
    /// Something else has the name of a file of a data set.
    #[error("{}: {kind} instead of a file: replace or remove it", path.display())]
    NotAFile {
        /// What has the name.
        path: PathBuf,
        /// What it is, with an article.
        kind: &'static str,
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
    #[error("{}: images of {rows}x{columns} pixels, but the network takes {side}x{side}: choose other data, or give them as PNG files in class folders, which are resized", path.display())]
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
    #[error("{}: no images in it: add some, or choose other data", path.display())]
    Empty {
        /// The file or folder.
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
    #[error("{}: label {label} at index {index}, but there are {classes} classes: labels go from 0 to {}; for other classes, declare a network (README.md says how)", path.display(), classes.saturating_sub(1))]
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
    #[error("{}: not MNIST's file (SHA-256 {found} instead of {expected})", path.display())]
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
    /// The folder holds neither files in MNIST's format nor class folders.
    #[error("{}: no images: put in MNIST's four files, or a folder of PNG or JPEG files for each class", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// The network has more classes than labels can tell apart.
    #[error("the network has {classes} classes, but labels have 8 bits: at most {MAX_CLASSES} classes can be trained or tested")]
    TooManyClasses {
        /// The number of classes that the network has.
        classes: usize,
    },
    /// There are not as many class folders as the network has classes.
    #[error(
        "{}: {} class folders ({}), but the network has {classes} classes: give as many, or declare a network of such a \
        shape (README.md says how)",
        path.display(), names.len(), list(names)
    )]
    Classes {
        /// The folder with the class folders.
        path: PathBuf,
        /// The names of the class folders.
        names: Vec<String>,
        /// The number of classes that the network has.
        classes: usize,
    },
    /// A name that no class can have.
    #[error("{path:?}: the name of the class {fault}: rename the folder")]
    ClassName {
        /// The class folder.
        path: PathBuf,
        /// What is wrong with the name.
        fault: LabelFault,
    },
    /// A name of a class that is not text.
    #[error("{path:?}: the name of the class is not UTF-8: rename the folder")]
    ClassNameEncoding {
        /// The class folder.
        path: PathBuf,
    },
    /// Two class folders for one class.
    #[error(
        "{}: means the same class as {}, because the names differ only in how Unicode composes letters: merge the two",
        path.display(), other.display()
    )]
    SameClass {
        /// The second of the two folders.
        path: PathBuf,
        /// The first.
        other: PathBuf,
    },
    /// Several folders for one part of the data.
    #[error("{}: both {} and {} look like the images to {purpose} on: keep one of them here", path.display(), name(first), name(second))]
    TwoParts {
        /// The folder that they are in.
        path: PathBuf,
        /// `train` or `test`.
        purpose: &'static str,
        /// One of them.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A folder of images to test on without one of images to train on.
    #[error(
        "{}: {} has class folders, but there is no folder `train` with class folders next to it: expected `train` and `test` with a \
        folder for each class in both, or a folder for each class and nothing else",
        path.display(), name(test)
    )]
    NoTrain {
        /// The folder that should have both.
        path: PathBuf,
        /// The folder of images to test on.
        test: PathBuf,
    },
    /// A folder for a part of the data, but without class folders.
    #[error("{}: no class folders in it, although {} has some: put a folder for each class into it, or remove it", path.display(), other.display())]
    NoClasses {
        /// The folder.
        path: PathBuf,
        /// The one that has class folders.
        other: PathBuf,
    },
    /// A class to test on that there is nothing of to train on.
    #[error("{}: no such class in {}: both parts have the same classes", path.display(), train.display())]
    UnknownClass {
        /// The class folder.
        path: PathBuf,
        /// The folder with those to train on.
        train: PathBuf,
    },
    /// A folder in a class folder.
    #[error("{}: a folder within a class folder: give the folder whose folders are the classes", path.display())]
    Nested {
        /// The inner one.
        path: PathBuf,
    },
    /// A class that has no image to spare for the test.
    #[error("{}: only one image, so that none can be set aside to test on: add more", path.display())]
    TooFew {
        /// The class folder.
        path: PathBuf,
    },
    /// Files that are not pictures, or cannot be used as such.
    #[error("{}: {error}{}: {}", path.display(), and(others), error.advice())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: PictureError,
        /// Those that cannot be used either.
        others: Vec<PathBuf>,
    },
    /// The list of the classes' names does not fit the network.
    #[error("{}: {found} names, but the network has {classes} classes: write one name a line, class 0 first", path.display())]
    ClassNames {
        /// The list.
        path: PathBuf,
        /// The number of names in it.
        found: usize,
        /// The number of classes that the network has.
        classes: usize,
    },
    /// Images that a program put together, and that the network cannot be trained on.
    #[error("{name}: {reason}")]
    Unfit {
        /// The name of the data.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A line of the list of the classes' names cannot be used.
    #[error("{}: the name in line {line} {fault}: write one name a line, class 0 first", path.display())]
    ClassLine {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: LabelFault,
    },
    /// Two lines of the list of the classes' names are the same.
    #[error("{}: {name} is there twice: give each class a name of its own", path.display())]
    ClassTwice {
        /// The list.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The list of the classes' names is not text as expected.
    #[error("{}: {encoding}: save {CLASS_NAMES} as UTF-8", path.display())]
    ClassEncoding {
        /// The list.
        path: PathBuf,
        /// What it is instead.
        encoding: &'static str,
    },
    /// All pixels to train on are the same.
    #[error("{}: nothing but one grey value in all images to train on: check them", path.display())]
    Blank {
        /// The folder.
        path: PathBuf,
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
        "synthetic: digits of 28x28 pixels in 10 classes, but the network takes {0}x{0} in {1}",
        format.side, format.classes
    )]
    Synthetic {
        /// What the network takes.
        format: Format,
    },
}

/// The first of the names.
fn list(names: &[String]) -> String {
    let more = if names.len() > NAMED { ", ..." } else { "" };
    names[..names.len().min(NAMED)].join(", ") + more
}

/// The name of a folder, without its path.
fn name(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or_default()).display()
}

/// Says that these cannot be used either.
fn and(others: &[PathBuf]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let names: Vec<_> = others.iter().map(|path| path.display().to_string()).collect();
    format!(", and {} more cannot be used either ({})", names.len(), list(&names))
}
