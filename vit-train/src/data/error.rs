//! The errors of loading images.

use super::{
    format::{Format, CLASS_NAMES, MAX_CLASSES},
    picture_error::PictureError,
    signs,
};
use std::{
    io,
    path::{Path, PathBuf},
};
use vit_nostd::LabelFault;

/// The largest number of names that a message lists. If there are more, it lists the first ones.
const NAMED: usize = 12;

/// A reason why images cannot be loaded. Each message is one line that says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder does not exist.
    #[error("{}: no such directory: check the path", path.display())]
    MissingDirectory {
        /// The folder.
        path: PathBuf,
    },
    /// A file was given where a folder is expected.
    #[error(
        "{}: a file, and images to train or test on are given as a folder",
        path.display()
    )]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// One of the four files in MNIST's format is not in the folder.
    #[error("{}: {name} is missing, also as .gz: put MNIST's four files there", path.display())]
    MissingFile {
        /// The folder.
        path: PathBuf,
        /// The file's name, without `.gz`.
        name: String,
    },
    /// One of the files of CIFAR-10 is not in the folder.
    #[error("{}: {name} is missing: put the files of cifar-10-binary.tar.gz there", path.display())]
    MissingCifarFile {
        /// The folder.
        path: PathBuf,
        /// The file's name.
        name: &'static str,
    },
    /// A file of CIFAR-10 has not a whole number of images.
    #[error("{}: {found} bytes, but each image has {record}, and a part of one is left over: fetch the file again", path.display())]
    Records {
        /// The file.
        path: PathBuf,
        /// The number of bytes of the file.
        found: u64,
        /// The number of bytes of an image and its label.
        record: usize,
    },
    /// There is too little memory for the images.
    #[error(
        "{}: {images} images of {bytes_each} bytes take {}, {}: use fewer of them, or a network with smaller images",
        path.display(), gib(*images as u128 * *bytes_each as u128), too_little(*available)
    )]
    Memory {
        /// The file or folder.
        path: PathBuf,
        /// The number of images.
        images: usize,
        /// The number of bytes that an image takes.
        bytes_each: usize,
        /// The number of bytes that are available, if it is known.
        available: Option<u64>,
    },
    /// The operating system refuses to read or write a file or folder.
    #[error("{}: {error}: check the path and its permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// Something that is not a file, such as a folder or a pipe, has the name of a data set's file.
    #[error("{}: {kind} instead of a file: replace or remove it", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The kind of thing at this path, with an article, such as `a named pipe`.
        kind: &'static str,
    },
    /// A compressed file is truncated or damaged.
    #[error("{}: truncated or damaged gzip file ({error}): fetch it again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// The error of the decompressor.
        error: io::Error,
    },
    /// The file does not begin with the magic number of the kind of file that its name stands for.
    #[error("{}: starts with {found:#010x} instead of {expected:#010x}: this is not an IDX file of {kind}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The kind of the file: `images` or `labels`.
        kind: &'static str,
        /// The magic number that the file should start with.
        expected: u32,
        /// The number that the file starts with.
        found: u32,
    },
    /// The file is longer or shorter than its header says.
    #[error("{}: {found} bytes, but {expected} according to its header: fetch the file again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The number of bytes, uncompressed and including the header, that the file should have.
        expected: u64,
        /// The number of bytes, uncompressed and including the header, that the file has.
        found: u64,
    },
    /// The images do not have the size that the network takes.
    #[error("{}: images of {columns}x{rows} pixels, but the network takes {format}: choose other data, or give them as PNG files in class folders, which are resized", path.display())]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// The height of the images in pixels.
        rows: u32,
        /// The width of the images in pixels.
        columns: u32,
        /// The format that the network takes.
        format: Format,
    },
    /// A file or a class folder contains no images.
    #[error("{}: no images in it: add some, or choose other data", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// The numbers of labels and images differ.
    #[error("{}: {images} images, but {labels} labels: take both files from the same data set", path.display())]
    Count {
        /// The file of the labels.
        path: PathBuf,
        /// The number of images.
        images: usize,
        /// The number of labels.
        labels: usize,
    },
    /// A label is not the number of one of the network's classes.
    #[error("{}: label {label} at index {index}, but there are {classes} classes: labels go from 0 to {}; for other classes, declare a network (docs/guide.md says how)", path.display(), classes.saturating_sub(1))]
    Label {
        /// The file of the labels.
        path: PathBuf,
        /// The position of the label, counted from 0.
        index: usize,
        /// The label.
        label: u16,
        /// The number of classes.
        classes: usize,
    },
    /// The file is well-formed, but its content is not that of MNIST's file.
    #[error("{}: not MNIST's file (SHA-256 {found} instead of {expected})", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The SHA-256 of MNIST's uncompressed file, in hexadecimal digits.
        expected: &'static str,
        /// The SHA-256 of this file, uncompressed, in hexadecimal digits.
        found: String,
    },
    /// A data set is not on the disk, and no server provides it.
    #[error("cannot download {name} ({reasons}): put {files} into {}, or set {variable} to their folder", path.display())]
    Download {
        /// The folder to which the file was to be downloaded.
        path: PathBuf,
        /// The name of the file.
        name: String,
        /// The errors of all servers, each preceded by its address.
        reasons: String,
        /// The files of the data set, in words.
        files: &'static str,
        /// The environment variable that names their folder.
        variable: &'static str,
    },
    /// The folder holds neither files in MNIST's format nor class folders.
    #[error("{}: no images: add MNIST's four files, those of CIFAR-10, or a folder of pictures (PNG, JPEG, WebP, BMP or GIF files) for each class", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// The network or the data set has more classes than labels can tell apart.
    #[error(
        "{classes} classes, but labels have 16 bits: at most {MAX_CLASSES} classes can be trained or tested"
    )]
    TooManyClasses {
        /// The number of classes.
        classes: usize,
    },
    /// The number of class folders differs from the network's number of classes.
    #[error(
        "{}: {} class folders ({}), but the network has {classes} classes: provide one folder for each, or declare \
        a network with as many classes as folders (docs/guide.md says how)",
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
    /// The name of a class folder is not a valid name of a class.
    #[error("{path:?}: the name of the class {fault}: rename the folder")]
    ClassName {
        /// The class folder.
        path: PathBuf,
        /// The rule that the name breaks.
        fault: LabelFault,
    },
    /// The name of a class folder is not text in UTF-8.
    #[error("{path:?}: the name of the class is not UTF-8: rename the folder")]
    ClassNameEncoding {
        /// The class folder.
        path: PathBuf,
    },
    /// The names of two class folders are the same after Unicode normalization.
    #[error(
        "{}: means the same class as {}, because the names differ only in how Unicode composes letters: merge the two",
        path.display(), other.display()
    )]
    SameClass {
        /// The second of the two folders.
        path: PathBuf,
        /// The first of the two folders.
        other: PathBuf,
    },
    /// Several folders have names that stand for the same part of the data.
    #[error("{}: both {} and {} look like the images to {purpose} on: keep one of them here", path.display(), name(first), name(second))]
    TwoParts {
        /// The folder that contains them.
        path: PathBuf,
        /// The purpose of the part: `train` or `test`.
        purpose: &'static str,
        /// One of these folders.
        first: PathBuf,
        /// Another of these folders.
        second: PathBuf,
    },
    /// There is a folder of images to test on, but none of images to train on.
    #[error(
        "{}: {} has class folders, but there is no folder `train` with class folders next to it: expected `train` and `test` with a \
        folder for each class in both, or a folder for each class and nothing else",
        path.display(), name(test)
    )]
    NoTrain {
        /// The folder that should contain both.
        path: PathBuf,
        /// The folder of images to test on.
        test: PathBuf,
    },
    /// The folder of one part of the data contains no class folders, although that of the other part does.
    #[error("{}: no class folders in it, although {} has some: put a folder for each class into it, or remove it", path.display(), other.display())]
    NoClasses {
        /// The folder without class folders.
        path: PathBuf,
        /// The folder with class folders.
        other: PathBuf,
    },
    /// A class occurs in the images to test on, but not in those to train on.
    #[error("{}: no such class in {}: every class of the test images must also be among the training images", path.display(), train.display())]
    UnknownClass {
        /// The class folder.
        path: PathBuf,
        /// The folder of the images to train on.
        train: PathBuf,
    },
    /// A class folder contains a folder.
    #[error("{}: a folder within a class folder: give the folder whose folders are the classes", path.display())]
    Nested {
        /// The inner folder.
        path: PathBuf,
    },
    /// A class has only one image, so that none can be set aside for testing.
    #[error("{}: only one image, so that none can be set aside for testing: add more", path.display())]
    TooFew {
        /// The class folder.
        path: PathBuf,
    },
    /// A file cannot be used as a picture.
    #[error("{}: {error}: {}", path.display(), error.advice())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The reason why it cannot be used.
        error: PictureError,
    },
    /// Files in class folders cannot be used as pictures.
    #[error("{}: {error} ({count} of {files} files cannot be used): {}", path.display(), error.advice())]
    Unreadable {
        /// The first of these files.
        path: PathBuf,
        /// The reason why this file cannot be used.
        error: PictureError,
        /// The number of files that cannot be used.
        count: usize,
        /// The number of all files.
        files: usize,
    },
    /// No file of a class can be used as a picture, so that nothing is left if such files are left out.
    #[error("{}: none of its files can be read as a picture: replace them, or remove the folder", path.display())]
    NothingReadable {
        /// The class folder.
        path: PathBuf,
    },
    /// The list of class names does not have one name for each class of the network.
    #[error("{}: {found} names, but the network has {classes} classes: write one name per line, class 0 first", path.display())]
    ClassNames {
        /// The file with the list.
        path: PathBuf,
        /// The number of names in the list.
        found: usize,
        /// The number of classes that the network has.
        classes: usize,
    },
    /// A network cannot be trained on the images that a program passed.
    #[error("{name}: {reason}")]
    Unfit {
        /// The name of the data set.
        name: String,
        /// The reason why the images do not fit the network.
        reason: String,
    },
    /// A line of the list of class names is not a valid name of a class.
    #[error("{}: the name in line {line} {fault}: write one name per line, class 0 first", path.display())]
    ClassLine {
        /// The file with the list.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: usize,
        /// The rule that the name breaks.
        fault: LabelFault,
    },
    /// Two lines of the list of class names are the same.
    #[error("{}: the name {name} occurs twice: give each class a name of its own", path.display())]
    ClassTwice {
        /// The file with the list.
        path: PathBuf,
        /// The repeated name.
        name: String,
    },
    /// The list of class names is not text in UTF-8, or is too large.
    #[error("{}: {encoding}: save {CLASS_NAMES} as UTF-8", path.display())]
    ClassEncoding {
        /// The file with the list.
        path: PathBuf,
        /// A description of the content, such as `text in UTF-16`.
        encoding: &'static str,
    },
    /// All pixels of the images to train on have the same level, or nearly so.
    #[error("{}: all pixels of the images to train on have one level: check the images", path.display())]
    Blank {
        /// The folder.
        path: PathBuf,
    },
    /// A picture shows nothing but background.
    #[error("{}: blank: nothing differs from the background", path.display())]
    BlankPicture {
        /// The file.
        path: PathBuf,
    },
    /// A folder contains no pictures.
    #[error("{}: no pictures in it (PNG, JPEG, WebP, BMP or GIF files)", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// The network has more classes than there are built-in road signs.
    #[error("synthetic-signs: pictures of {} classes, but the network has {classes}", signs::MAX_CLASSES)]
    Signs {
        /// The number of classes that the network has.
        classes: usize,
    },
    /// The built-in digits do not fit the network.
    #[error(
        "synthetic: digits of 28x28 grey pixels in 10 classes, but the network takes {format} and has {} classes",
        format.classes
    )]
    Synthetic {
        /// The format that the network takes.
        format: Format,
    },
}

/// Lists the first [`NAMED`] names, followed by an ellipsis if there are more.
pub(crate) fn list(names: &[String]) -> String {
    let more = if names.len() > NAMED { ", ..." } else { "" };
    names[..names.len().min(NAMED)].join(", ") + more
}

/// Returns a clause that says that memory is too small.
fn too_little(available: Option<u64>) -> String {
    match available {
        Some(available) => format!("but only {} of memory are available", gib(available.into())),
        None => "but the operating system does not have as much memory".to_owned(),
    }
}

/// Returns the name of a folder, without the path to it.
fn name(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or_default()).display()
}

/// Formats a number of bytes in GiB.
fn gib(bytes: u128) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}
