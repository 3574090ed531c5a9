//! The models of a library.

use crate::{
    error::Error,
    files,
    formats::model_bytes::ModelBytes,
    paths::folder_of,
    run::{folder::RunFolder, samples},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use vit_nostd::{
    model_file::{Kind, Preamble},
    Dims,
};

/// A model, and the name of its network in C.
#[derive(Debug)]
pub(crate) struct ExportedModel {
    pub path: PathBuf,
    pub name: String,
    pub file: ModelBytes,
    pub dims: Dims,
    /// The levels of the samples of the model's run. There are none if the model is not in the folder of a run.
    pub samples: Vec<Vec<u8>>,
}

/// The names that functions, types and files of the library have after `vit_`, or for which they would be mistaken.
#[rustfmt::skip]
const RESERVED: [&str; 24] = [
    "c", "error", "error_name", "file_bytes", "format_version", "frame", "infer", "infer_observed", "label", "model",
    "network", "network_sizes", "observer", "open", "pixel_format", "prediction", "resizer", "resizer_begin",
    "resizer_end", "resizer_row", "sizes", "softmax", "top_k", "version",
];

impl ExportedModel {
    /// Opens a model file. `name` is the name of its network, or None for that of the file, or of the run that it is in.
    ///
    /// # Errors
    /// [`Error::Model`] if it is not a model file, and [`Error::Usage`] if it is a float model or has an impossible name.
    pub(crate) fn open(path: PathBuf, name: Option<&str>) -> Result<Self, Error> {
        let file = ModelBytes::read(&path)?;
        let preamble = Preamble::read(&file).map_err(|error| Error::Model { path: path.clone(), error })?;
        if preamble.kind != Kind::Int8 {
            return Err(Error::Usage(format!(
                "{}: a float model; the library for C runs integer models, which `vit-train quantize` makes",
                path.display()
            )));
        }
        let name = match name {
            Some(name) => checked(name).ok_or_else(|| {
                Error::Usage(format!(
                    "--name {name}: the name of a network in C has lower-case letters, digits and _, begins with a \
                     letter, and is not one that the library uses itself"
                ))
            })?,
            None => name_of(&path).ok_or_else(|| {
                Error::Usage(format!("{}: its name cannot be that of a network in C: give --name", path.display()))
            })?,
        };
        let samples = samples_of(&path, &preamble.dims);
        Ok(Self { path, name, file, dims: preamble.dims, samples })
    }

    /// Returns the name in capitals, as in macros.
    pub(crate) fn capitals(&self) -> String {
        self.name.to_uppercase()
    }

    /// Returns the name of the network's type in Rust.
    pub(crate) fn network(&self) -> String {
        format!("Network_{}", self.name)
    }
}

/// Returns a name if it can be that of a network in C.
fn checked(name: &str) -> Option<String> {
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= 40
        && !name.ends_with("_model")
        && !name.ends_with("_scratch")
        && !RESERVED.contains(&name);
    is_name.then(|| name.to_owned())
}

/// Returns the name of a network after its model file: `nano` for `models/nano.int8.vit` and `runs/nano/model.int8.vit`.
fn name_of(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let of_file = path.file_name()?.to_str()?.split('.').next()?.to_owned();
    let name = match of_file.as_str() {
        "model" => path.parent()?.file_name()?.to_str()?.to_owned(),
        _ => of_file,
    };
    checked(&name.to_lowercase().replace(['-', ' ', '.'], "_"))
}

/// Returns the levels of the samples next to a model: those of a run, or those that are named like the model.
fn samples_of(path: &Path, dims: &Dims) -> Vec<Vec<u8>> {
    let own = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".int8.vit"));
    let own = own.map(|name| path.with_file_name(format!("{name}.samples.bin")));
    let of_run = RunFolder::samples(folder_of(path));
    let file = own.filter(|own| own.exists()).unwrap_or(of_run);
    let read = files::read(&file).ok().and_then(|bytes| samples::read(dims, &bytes));
    read.unwrap_or_default().into_iter().map(|sample| sample.levels).collect()
}
