//! The bytes of model files, aligned in memory.

use crate::{
    error::{Error, IoContext},
    files,
};
use aligned_vec::{AVec, CACHELINE_ALIGN};
use std::{ops::Deref, path::Path};
use vit_nostd::model_file::{Preamble, ALIGNMENT};

/// The bytes of a model file or of its weights, aligned in memory as [`vit_nostd`] requires.
///
/// If they are made from the bytes of a float model, its weights begin at a cache line, because inference is slower
/// if vectors of weights cross the border between two lines.
#[derive(Clone, Debug)]
pub struct ModelBytes {
    memory: AVec<u8>,
    /// The offset in `memory` at which the file begins.
    first: usize,
}

const _: () = assert!(CACHELINE_ALIGN.is_multiple_of(ALIGNMENT));

impl ModelBytes {
    /// Returns `len` bytes that are zero.
    pub fn zeros(len: usize) -> Self {
        let mut memory = AVec::new(CACHELINE_ALIGN);
        memory.resize(len, 0);
        Self { memory, first: 0 }
    }

    /// Reads the model file at `path`. Its content is not checked.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::from(files::read(path).at(path)?.as_slice()))
    }

    /// Returns the bytes for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.first..]
    }
}

impl From<&[u8]> for ModelBytes {
    fn from(bytes: &[u8]) -> Self {
        let weights =
            Preamble::read(bytes).ok().and_then(|preamble| preamble.float_weights_at()).unwrap_or(0);
        // This is a multiple of `ALIGNMENT`, also if the bytes are not a model file. The file is therefore aligned as
        // well.
        let first = weights.next_multiple_of(CACHELINE_ALIGN) - weights.next_multiple_of(ALIGNMENT);
        let mut copy = Self { first, ..Self::zeros(first + bytes.len()) };
        copy.bytes_mut().copy_from_slice(bytes);
        copy
    }
}

impl Deref for ModelBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.first..]
    }
}
