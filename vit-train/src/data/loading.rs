//! The way in which images are loaded.

use std::path::PathBuf;
use vit_nostd::frame::Fit;

/// How images are loaded.
pub(crate) struct Loading<'a> {
    /// How pictures are fitted to the images of a network.
    pub fit: Fit,
    /// What is done about files that cannot be used as pictures.
    pub unreadable: Unreadable,
    /// The folder in which the levels of decoded pictures are kept: see [`picture_cache`](super::picture_cache).
    /// Without one, all pictures are decoded.
    pub cache: Option<PathBuf>,
    /// A function that shows the progress.
    pub reading: Reading<'a>,
}

impl Default for Loading<'_> {
    fn default() -> Self {
        Self { fit: Fit::default(), unreadable: Unreadable::default(), cache: None, reading: &|_, _| {} }
    }
}

/// A function that is called with the number of pictures read so far and the number of all pictures, to show the
/// progress.
///
/// Several threads may call it at once. It is called only while pictures in class folders are read and while road
/// signs are drawn, because other data load quickly.
pub(crate) type Reading<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What is done about files in class folders that cannot be used as pictures.
#[derive(Clone, Debug, Default)]
pub(crate) enum Unreadable {
    /// They are an error.
    #[default]
    Refuse,
    /// They are left out.
    LeaveOut,
    /// These files are left out, even if they can be read, and others are an error. This is how a run finds the images
    /// that it was begun with. The paths are those of [`Splits::skipped`](super::Splits::skipped).
    Known(Vec<String>),
}
