//! Files: written whole or not at all, and read to where a model can be used.

use crate::error::{Error, IoContext};
use std::{
    fs,
    io::Write,
    ops::Deref,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;
use vit_nostd::model_file::ALIGNMENT;

/// Writes `bytes` to a temporary file beside `path` and renames it.
///
/// # Errors
/// [`Error::Io`]; what was at `path` before is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(directory).at(path)?;
    file.write_all(bytes).at(path)?;
    make_readable(file.path()).at(path)?;
    file.persist(path).map_err(|error| error.error).at(path)?;
    Ok(())
}

/// Temporary files are for their owner only; results are for whoever may read the folder.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Makes `directory`, with its parents, and makes sure that files can be written to it.
///
/// # Errors
/// [`Error::Io`].
pub fn create_output_directory(directory: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(directory).at(directory)?;
    NamedTempFile::new_in(directory).at(directory)?;
    Ok(directory.to_owned())
}

/// The bytes of a model file, aligned as the library needs them.
#[derive(Clone, Debug)]
pub struct ModelBytes {
    words: Vec<u128>,
    len: usize,
}

const _: () = assert!(align_of::<u128>() >= ALIGNMENT);

impl ModelBytes {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(size_of::<u128>())], len }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::from(fs::read(path).at(path)?.as_slice()))
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    /// Cuts off what is behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl From<&[u8]> for ModelBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeros(bytes.len());
        aligned.bytes_mut().copy_from_slice(bytes);
        aligned
    }
}

impl Deref for ModelBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}
