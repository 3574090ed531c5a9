//! The file that names the classes of images in MNIST's format.

use super::{error::DataError, format::Format};
use crate::paths::no_file;
use std::{
    collections::HashSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};
use unicode_normalization::UnicodeNormalization;
use vit_nostd::model_file::check_label;

/// The character that some editors put at the beginning of a text in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the first name that is in the list a second time, or `None` if all names are different.
pub(crate) fn repeated(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|&name| !seen.insert(name))
}

/// The largest size of a list of class names, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

/// Reads the names of the classes of `format`. The errors include those of [`read_list`].
///
/// # Errors
/// [`DataError::ClassNames`] if there is not one name for each class.
pub(super) fn read_class_names(path: PathBuf, format: Format) -> Result<Vec<String>, DataError> {
    let (names, classes) = (read_list(path.clone())?, format.classes);
    match names.len() {
        found if found == classes => Ok(names),
        found => Err(DataError::ClassNames { path, found, classes }),
    }
}

/// Reads a list of class names, one per line. A byte-order mark and empty lines at the end are ignored.
///
/// # Errors
/// Returns a [`DataError`] that says what is wrong with the list.
pub(super) fn read_list(path: PathBuf) -> Result<Vec<String>, DataError> {
    let read = |path: &Path| {
        let error = |error| DataError::Io { path: path.to_owned(), error };
        // Reading a pipe could block forever.
        if let Some(kind) = no_file(&fs::metadata(path).map_err(error)?) {
            return Err(DataError::NotAFile { path: path.to_owned(), kind });
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(error)?;
        file.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(error)?;
        Ok(bytes)
    };
    let bytes = read(&path)?;
    if bytes.len() as u64 > LONGEST_LIST {
        return Err(DataError::ClassEncoding {
            path,
            encoding: "larger than 1 MiB and hence not a list of names",
        });
    }
    let Ok(text) = str::from_utf8(&bytes) else {
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let encoding = if utf16 { "text in UTF-16" } else { "not text in UTF-8" };
        return Err(DataError::ClassEncoding { path, encoding });
    };
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim_end();
    let names: Vec<_> = text.lines().map(|line| line.trim().nfc().collect::<String>()).collect();
    for (name, line) in names.iter().zip(1..) {
        if let Err(fault) = check_label(name) {
            return Err(DataError::ClassLine { path, line, fault });
        }
    }
    if let Some(name) = repeated(&names) {
        return Err(DataError::ClassTwice { path, name: name.clone() });
    }
    Ok(names)
}
