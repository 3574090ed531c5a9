//! Reads the pictures that are named on the command line.

use super::{
    output::{Output, STANDARD_OUTPUT},
    progress,
};
use crate::{
    data::{
        handwriting::{self, Handwriting},
        pictures_in, read_fitted, DataError, Format,
    },
    Error,
};
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde::{
    ser::{SerializeSeq, Serializer as _},
    Serialize,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::frame::Fit;

/// The number of pictures that each thread reads before results are printed.
const AT_A_TIME: usize = 8;

#[derive(Args, Debug)]
pub(super) struct PictureArguments {
    /// PNG, JPEG, WebP, BMP or GIF files of any size, or folders of them; `-` reads a picture from the standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// How pictures become images of the network [default: digits, if the network was trained on MNIST or the built-in
    /// digits, and otherwise the way in which its training pictures were fitted]
    #[arg(long, value_enum, value_name = "HOW")]
    prepare: Option<Prepare>,
}

/// A way to prepare a picture for a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Prepare {
    /// As MNIST's images were made: dark writing on light ground is inverted, and the writing is cut out, scaled and
    /// centred
    Digits,
    /// The largest part in the middle that has the proportions of the network's images
    Crop,
    /// The whole picture, with black bars on two sides
    Pad,
    /// The whole picture, with changed proportions
    Stretch,
}

impl Prepare {
    /// Returns the preparation for a network that takes images of `format` and whose training pictures were fitted like
    /// `fit`. `is_of_digits` tells whether it was trained on MNIST or the built-in digits.
    pub(super) fn of(format: Format, fit: Fit, is_of_digits: bool) -> Self {
        match fit {
            _ if is_of_digits && handwriting::takes(format) => Self::Digits,
            Fit::Crop => Self::Crop,
            Fit::Pad => Self::Pad,
            Fit::Stretch => Self::Stretch,
        }
    }
}

/// A picture that is prepared for a network.
pub(super) struct Picture {
    pub path: PathBuf,
    /// The levels, row by row and pixel by pixel.
    pub levels: Vec<u8>,
    /// True if dark on light was turned into light on dark.
    pub inverted: bool,
    /// The reason why the picture does not look like one digit, if there is one.
    pub unsure: Option<String>,
}

/// Returns the text that is appended to a printed line to say why the prediction is doubtful.
pub(super) fn unsure_note(unsure: Option<&str>) -> String {
    unsure.map(|reason| format!("; unsure: {reason}")).unwrap_or_default()
}

/// An entry of the list that is printed as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<T> {
    Result(T),
    Failure { file: String, error: String },
}

/// The pictures that are named, each with an error if the file cannot be a picture.
pub(super) struct Pictures {
    files: Vec<(PathBuf, Result<(), DataError>)>,
    prepare: Option<Prepare>,
}

impl PictureArguments {
    /// Lists all files that are named, and those in folders that are named.
    pub(super) fn list(&self) -> Pictures {
        let files = self.images.iter().flat_map(|path| match path.is_dir() {
            true => pictures_in(path).unwrap_or_else(|error| vec![(path.clone(), Err(error))]),
            false => vec![(path.clone(), Ok(()))],
        });
        Pictures { files: files.collect(), prepare: self.prepare }
    }
}

impl Pictures {
    /// Returns the number of characters of the longest path.
    pub(super) fn longest_path(&self) -> usize {
        self.files.iter().map(|(path, _)| path.display().to_string().chars().count()).max().unwrap_or(0)
    }

    /// Reads all pictures, makes images of `format` of them, in the `usual` way unless another one was given, and calls
    /// `work` with each, in parallel. `finish` gets the results in the order of the arguments. It prints them or, if
    /// `json` is true, returns what is printed as an entry of a list. Only a few pictures are in memory at a time.
    ///
    /// For a picture that cannot be used, an error is printed, and the others are still classified. The exit code is
    /// then 1, or 2 if no picture could be used.
    pub(super) fn each<T: Send, U: Serialize>(
        self,
        (format, usual): (Format, Prepare),
        json: bool,
        work: impl Fn(Picture) -> T + Sync,
        mut finish: impl FnMut(T) -> Result<U, Error>,
    ) -> Result<ExitCode, Error> {
        let Self { files, prepare } = self;
        let prepare = prepare.unwrap_or(usual);
        if prepare == Prepare::Digits && !handwriting::takes(format) {
            return Err(Error::Usage(format!(
                "--prepare digits: digits are prepared for square grey images, but the network takes {format}"
            )));
        }
        let at_a_time = AT_A_TIME * rayon::current_num_threads();
        let bar = progress::pictures(files.len(), at_a_time);
        let not_json =
            |error: serde_json::Error| Error::Io { path: STANDARD_OUTPUT.into(), error: error.into() };
        let mut serializer = serde_json::Serializer::pretty(Output);
        let list = json.then(|| serializer.serialize_seq(None)).transpose();
        let mut list = list.map_err(not_json)?;

        let (mut used, mut failed, mut outcome) = (0, 0, Ok(()));
        let mut files = files.into_iter();
        while files.len() > 0 {
            let some: Vec<_> = files.by_ref().take(at_a_time).collect();
            let read = some.into_par_iter().map(|(path, found)| {
                let picture = found.and_then(|()| read(&path, format, prepare));
                (path, picture.map(&work))
            });
            let read: Vec<_> = read.collect();
            bar.inc(read.len() as u64);
            let printed = bar.suspend(|| {
                read.into_iter().try_for_each(|(path, result)| {
                    let entry = match result {
                        Ok(result) => {
                            used += 1;
                            Entry::Result(finish(result)?)
                        }
                        Err(error) => {
                            failed += 1;
                            err!("error: {error}");
                            Entry::Failure { file: path.display().to_string(), error: error.to_string() }
                        }
                    };
                    list.as_mut().map_or(Ok(()), |list| list.serialize_element(&entry)).map_err(not_json)
                })
            });
            if printed.is_err() {
                outcome = printed;
                break;
            }
        }
        bar.finish_and_clear();
        if let Some(list) = list {
            list.end().map_err(not_json)?;
            out!("");
        }
        outcome?;
        Ok(match (used, failed) {
            (_, 0) => ExitCode::SUCCESS,
            (0, _) => ExitCode::from(2),
            _ => ExitCode::from(1),
        })
    }
}

fn read(path: &Path, format: Format, prepare: Prepare) -> Result<Picture, DataError> {
    let fit = match prepare {
        Prepare::Digits => {
            let Handwriting { pixels, inverted, doubt } = handwriting::read(path, format.width)?;
            let unsure = doubt.map(|doubt| doubt.to_string());
            return Ok(Picture { path: path.to_owned(), levels: pixels, inverted, unsure });
        }
        Prepare::Crop => Fit::Crop,
        Prepare::Pad => Fit::Pad,
        Prepare::Stretch => Fit::Stretch,
    };
    let levels = read_fitted(path, format, fit);
    let levels = levels.map_err(|error| DataError::Picture { path: path.to_owned(), error })?;
    Ok(Picture { path: path.to_owned(), levels, inverted: false, unsure: None })
}
