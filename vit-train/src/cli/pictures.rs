//! Reads the pictures that are named on the command line.

use super::{
    output::{Output, STANDARD_OUTPUT},
    progress,
};
use crate::{
    data::{handwriting, pictures_in, DataError},
    Error,
};
use clap::Args;
use rayon::prelude::*;
use serde::{
    ser::{SerializeSeq, Serializer as _},
    Serialize,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The number of pictures that each thread reads before results are printed.
const AT_A_TIME: usize = 8;

#[derive(Args, Debug)]
pub(super) struct PictureArguments {
    /// PNG or JPEG files of any size, or folders of them; `-` reads a picture from the standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Only convert pictures to grey and scale them, for networks that were not trained on handwriting like MNIST's.
    /// Without this option, dark writing on light ground is inverted, and the writing is cut out, scaled and centred as
    /// in MNIST
    #[arg(long)]
    pub raw: bool,
}

/// A picture that is prepared for a network.
pub(super) struct Picture {
    pub path: PathBuf,
    /// The grey levels, row by row.
    pub pixels: Vec<u8>,
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
    raw: bool,
}

impl PictureArguments {
    /// Lists all files that are named, and those in folders that are named.
    pub(super) fn list(&self) -> Pictures {
        let files = self.images.iter().flat_map(|path| match path.is_dir() {
            true => pictures_in(path).unwrap_or_else(|error| vec![(path.clone(), Err(error))]),
            false => vec![(path.clone(), Ok(()))],
        });
        Pictures { files: files.collect(), raw: self.raw }
    }
}

impl Pictures {
    /// Returns the number of characters of the longest path.
    pub(super) fn longest_path(&self) -> usize {
        self.files.iter().map(|(path, _)| path.display().to_string().chars().count()).max().unwrap_or(0)
    }

    /// Reads all pictures, scales them to `side` rows and columns, and calls `work` with each, in parallel. `finish`
    /// gets the results in the order of the arguments. It prints them or, if `json` is true, returns what is printed as
    /// an entry of a list. Only a few pictures are in memory at a time.
    ///
    /// For a picture that cannot be used, an error is printed, and the others are still classified. The exit code is
    /// then 1, or 2 if no picture could be used.
    pub(super) fn each<T: Send, U: Serialize>(
        self,
        side: usize,
        json: bool,
        work: impl Fn(Picture) -> T + Sync,
        mut finish: impl FnMut(T) -> Result<U, Error>,
    ) -> Result<ExitCode, Error> {
        let Self { files, raw } = self;
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
                let picture = found.and_then(|()| read(&path, side, raw));
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

fn read(path: &Path, side: usize, raw: bool) -> Result<Picture, DataError> {
    let (pixels, inverted, unsure) = if raw {
        (handwriting::read_raw(path, side)?, false, None)
    } else {
        let found = handwriting::read(path, side)?;
        (found.pixels, found.inverted, found.doubt.map(|doubt| doubt.to_string()))
    };
    Ok(Picture { path: path.to_owned(), pixels, inverted, unsure })
}
