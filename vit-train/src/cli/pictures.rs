//! Pictures that are named on the command line.

use clap::Args;
use rayon::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
};
use vit_train::{
    data::{handwriting, DataError},
    Error,
};

#[derive(Args, Debug)]
pub struct PictureArguments {
    /// PNG or JPEG files, or folders of them, of any size
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Take pictures as they are, only grey and scaled: for networks that were not trained on handwriting like MNIST's.
    /// Otherwise, dark on light is inverted, and what is written is cut out, scaled and centred as in MNIST
    #[arg(long)]
    pub raw: bool,
}

/// A picture as a network takes it.
pub struct Picture {
    pub path: PathBuf,
    pub pixels: Vec<u8>,
    /// Whether dark on light was turned into light on dark.
    pub inverted: bool,
    /// Why it does not look like one digit.
    pub unsure: Option<String>,
}

/// What follows a prediction on a line for a person: why it is doubtful.
pub fn unsure_note(unsure: Option<&str>) -> String {
    unsure.map(|reason| format!("; unsure: {reason}")).unwrap_or_default()
}

impl PictureArguments {
    /// All of them, with `side` rows and columns.
    pub fn read(&self, side: usize) -> Result<Vec<Picture>, Error> {
        let mut paths = Vec::new();
        for path in &self.images {
            if path.is_dir() {
                paths.extend(pictures_in(path)?);
            } else {
                paths.push(path.clone());
            }
        }
        let read = |path: PathBuf| {
            let (pixels, inverted, unsure) = if self.raw {
                (handwriting::read_raw(&path, side)?, false, None)
            } else {
                let found = handwriting::read(&path, side)?;
                (found.pixels, found.inverted, found.doubt.map(|doubt| doubt.to_string()))
            };
            Ok(Picture { path, pixels, inverted, unsure })
        };
        // The first error of a list is told, whichever is found first.
        let results: Vec<Result<_, Error>> = paths.into_par_iter().map(read).collect();
        results.into_iter().collect()
    }
}

/// The PNG and JPEG files in a folder, by name.
fn pictures_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |error| Error::Io { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if ["png", "jpg", "jpeg"].iter().any(|name| extension == *name) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(DataError::NoPictures { path: directory.to_owned() }.into());
    }
    paths.sort();
    Ok(paths)
}
