//! A static library for C: models and their networks, built for one processor, with a header, examples and a CMake file.

mod build;
mod compiler;
mod files;
mod header;
pub(crate) mod model;
mod object;
mod pictures;
pub(crate) mod target;
mod text;

use crate::{
    error::Error,
    folder::{check_replaceable, replace},
};
use model::ExportedModel;
pub(crate) use object::{Bytes, Sizes};
use std::path::Path;
use target::Target;

/// What an export has made.
pub(crate) struct Exported {
    pub sizes: Sizes,
}

/// Builds a library for `target` with the networks of `models`, and writes it to `directory` with everything that a C
/// project needs. The folder must not exist, or have nothing but the files of an earlier export, which are replaced.
///
/// # Errors
/// [`Error::Usage`] if the folder has other files or a model is not valid; [`Error::Compiler`] if the library cannot be
/// built; [`Error::Io`] if something cannot be read or written.
pub(crate) fn export(models: &[ExportedModel], target: &Target, directory: &Path) -> Result<Exported, Error> {
    let built = build::build(models, target)?;
    let sizes = built.library.sizes();
    let files = files::files(models, target, &built)?;
    check(directory)?; // also if it was checked before: somebody may have put something there in the meantime
    replace(directory, &files)?;
    Ok(Exported { sizes })
}

/// Checks that an export may replace a folder.
///
/// # Errors
/// [`Error::Usage`] if it may not.
pub(crate) fn check(directory: &Path) -> Result<(), Error> {
    check_replaceable(directory, &files::of_earlier_export(directory))
}
