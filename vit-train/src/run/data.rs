//! The record of the images of a run: `data.json` in its directory.
//!
//! Commands that work with a finished run use its own images, which are found by this file and recognised by their
//! SHA-256. The place of the images is in no model file and in no report, because those are published.

use crate::{
    data::{load_and_tell, picture_cache, Format, Loading, Reading, Source, Splits, Unreadable},
    error::{Error, IoContext},
    files::{read_regular, write_atomically},
    run::folder::RunFolder,
};
use serde::{Deserialize, Serialize};
use std::{io::ErrorKind, path::Path};
use vit_nostd::frame::Fit;

/// The record of the images of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunData {
    /// The name of the data set: `mnist`, `synthetic`, or the name of the folder.
    pub name: String,
    /// The place that the images were loaded from. A folder is recorded with its absolute path; for MNIST no path is
    /// recorded, and it is looked for again.
    pub source: Source,
    /// The number of images that the run trains and validates on. They are the first of the training images in that
    /// place.
    pub training_images: usize,
    /// How the pictures are fitted to the images of the network.
    pub fit: Fit,
    /// The files that were left out because they cannot be used as pictures: see [`Splits::skipped`]. They are left out
    /// again whenever the images are loaded. Records of earlier versions have none.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// The names of the classes, class 0 first.
    pub class_names: Vec<String>,
    /// The hash of the images and labels that are used: see [`Splits::sha256`].
    pub sha256: String,
}

impl RunData {
    /// Makes the record of a run that uses all training images of `data`.
    pub fn of(data: &Splits) -> Self {
        let source = match &data.source {
            // JSON has room for text only, and a path may be something else.
            Source::Directory(place) => Source::Directory(place.to_string_lossy().into_owned().into()),
            source => source.clone(),
        };
        let training_images = data.train.len();
        Self {
            name: data.name.clone(),
            source,
            training_images,
            fit: data.fit,
            skipped: data.skipped.clone(),
            class_names: data.class_names.clone(),
            sha256: data.sha256(training_images),
        }
    }

    /// Reads the record of the run in `directory`. Returns None if there is none, as in runs of earlier versions.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::RunData`] if the file is damaged.
    pub fn load(directory: &Path) -> Result<Option<Self>, Error> {
        let path = RunFolder::data(directory);
        let bytes = match read_regular(&path) {
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Ok(None)
            }
            bytes => bytes.at(&path)?,
        };
        let message = |error: serde_json::Error| Error::RunData { path, message: error.to_string() };
        let data: Self = serde_json::from_slice(&bytes).map_err(message)?;
        if data.class_names.iter().chain([&data.name]).any(|name| name.contains(char::is_control)) {
            let message = "a name in it has control characters".to_owned();
            return Err(Error::RunData { path: RunFolder::data(directory), message });
        }
        Ok(Some(data))
    }

    /// Writes the record to the run in `directory`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = RunFolder::data(directory);
        let json = serde_json::to_string_pretty(self).map_err(Into::into).at(&path)?;
        write_atomically(&path, (json + "\n").as_bytes())
    }

    /// Returns true if `data` begin with the same training images, and have the same test images and classes.
    pub fn matches(&self, data: &Splits) -> bool {
        self.class_names == data.class_names && self.sha256 == data.sha256(self.training_images)
    }

    /// Removes the training images that the run did not use from `data`, which must [match](Self::matches) the record.
    /// Also restores the recorded name, because the folder may have been renamed since.
    pub fn restrict(&self, data: &mut Splits) {
        data.train.truncate(self.training_images);
        data.name.clone_from(&self.name);
    }

    /// Loads the images from their recorded place, including training images that the run did not use. `directory` is
    /// that of the run, for errors.
    ///
    /// # Errors
    /// [`Error::DataGone`] if they are not there any more, [`Error::DataChanged`] if there are others now, and
    /// [`Error::Data`] if they cannot be read.
    pub fn open(&self, directory: &Path, format: Format, reading: Reading) -> Result<Splits, Error> {
        let run = || directory.to_owned();
        match &self.source {
            Source::Directory(place) if !place.exists() => {
                Err(Error::DataGone { run: run(), name: self.name.clone(), place: place.clone() })
            }
            source => {
                let unreadable = Unreadable::Known(self.skipped.clone());
                let loading = Loading { fit: self.fit, unreadable, cache: picture_cache(), reading };
                let data = load_and_tell(source, format, &loading)?;
                let changed = || Error::DataChanged { run: run(), images: source.to_string() };
                self.matches(&data).then_some(data).ok_or_else(changed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::synthetic, train::snapshot::tests::data as digits};
    use std::fs;

    #[test]
    fn the_same_images_are_recognised_wherever_they_are() {
        let mut data = digits(30);
        data.train.truncate(20);
        let own = RunData::of(&data);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(RunData::load(folder.path()).unwrap(), None);
        own.write(folder.path()).unwrap();
        assert_eq!(RunData::load(folder.path()).unwrap().as_ref(), Some(&own));

        let mut moved = Splits { name: "moved".to_owned(), ..digits(30) };
        assert!(own.matches(&moved));
        own.restrict(&mut moved);
        assert_eq!((moved.name.as_str(), moved.train.len()), ("synthetic", 20));

        let other = |change: &dyn Fn(&mut Splits)| {
            let mut data = digits(30);
            change(&mut data);
            assert!(!own.matches(&data));
        };
        other(&|data| data.train = synthetic::dataset(30, 3));
        other(&|data| data.test = synthetic::dataset(10, 3));
        other(&|data| data.train.truncate(19));
        other(&|data| data.class_names[0] = "nought".to_owned());
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(RunFolder::data(folder.path()), "{}").unwrap();
        let error = RunData::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("data.json: not a record of the images of a run: "), "{error}");
    }
}
