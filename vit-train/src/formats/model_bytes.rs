//! The bytes of model files.

use crate::{
    error::{Error, IoContext},
    files,
};
use aligned_vec::{AVec, CACHELINE_ALIGN};
use std::{ops::Deref, path::Path};
use vit_nostd::model_file::{Preamble, ALIGNMENT};

/// The bytes of a model file, aligned as the library needs them, or of its weights. Made from the bytes of a file, the
/// weights of a float model begin with a cache line: an inference is slower where vectors of them lie on two
/// (BENCHMARKS.md, 2026-11-26).
#[derive(Clone, Debug)]
pub struct ModelBytes {
    memory: AVec<u8>,
    /// Where the file begins.
    first: usize,
}

const _: () = assert!(CACHELINE_ALIGN.is_multiple_of(ALIGNMENT));

impl ModelBytes {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut memory = AVec::new(CACHELINE_ALIGN);
        memory.resize(len, 0);
        Self { memory, first: 0 }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::from(files::read(path).at(path)?.as_slice()))
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.first..]
    }
}

impl From<&[u8]> for ModelBytes {
    fn from(bytes: &[u8]) -> Self {
        let weights =
            Preamble::read(bytes).ok().and_then(|preamble| preamble.float_weights_at()).unwrap_or(0);
        // In a file that is none, too, it is a multiple of the alignment that the library looks at.
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
