//! The errors of reading a picture.

use super::{format::Format, jpeg};
use image::ImageError;
use std::io;
use vit_nostd::frame::MAX_SIDE;

/// The formats that can be read.
pub(crate) const FORMATS: &str = "PNG, JPEG, WebP, BMP and GIF";

/// A reason why a file cannot be used as a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The operating system refuses to read the file.
    #[error("{0}")]
    Io(io::Error),
    /// The path is not that of a file. The text names the kind of thing, with an article.
    #[error("{0} instead of a picture file")]
    NotAFile(&'static str),
    /// The file is empty.
    #[error("an empty file")]
    Empty,
    /// The file has a known format that cannot be read. The text names it, with an article.
    #[error("{0}, but only {FORMATS} are read")]
    OtherFormat(&'static str),
    /// The file has no known format.
    #[error("cannot be read as a picture (its content is none of {FORMATS})")]
    NoPicture,
    /// The file ends before the picture does.
    #[error("cannot be read as a picture (it is truncated: a part of the picture is missing)")]
    Truncated,
    /// The content is damaged, or is a variant of the format that cannot be read.
    #[error("cannot be read as a picture ({0})")]
    Damaged(String),
    /// The picture is too large.
    #[error("takes more than 512 MiB when it is read")]
    TooLarge,
    /// The network takes images that are too large for pictures to be fitted to.
    #[error("the network takes images of {0}, but pictures are fitted to at most {MAX_SIDE} pixels a side")]
    LargeInput(Format),
    /// There is too little memory to decode the picture.
    #[error("{width} x {height} pixels, for which there is too little memory")]
    OutOfMemory {
        /// The width of the picture in pixels.
        width: u32,
        /// The height of the picture in pixels.
        height: u32,
    },
}

impl PictureError {
    /// Returns what the user should do, as the end of an error message.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => "check the path",
            Self::Io(_) => "check the file and its permissions",
            Self::NotAFile(_) => "give a file, or remove it",
            Self::OtherFormat(_) => "convert it to PNG or JPEG",
            Self::Empty | Self::NoPicture | Self::Truncated | Self::Damaged(_) => "replace or remove it",
            Self::TooLarge | Self::OutOfMemory { .. } => "scale it down",
            Self::LargeInput(_) => "declare a network with a smaller input",
        }
    }
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            ImageError::IoError(error) => Self::Damaged(error.to_string()),
            ImageError::Limits(_) => Self::TooLarge,
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<jpeg::Fault> for PictureError {
    fn from(fault: jpeg::Fault) -> Self {
        match fault {
            jpeg::Fault::Truncated => Self::Truncated,
            jpeg::Fault::Damaged => Self::Damaged("its data are inconsistent".to_owned()),
        }
    }
}
