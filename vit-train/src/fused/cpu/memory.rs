//! Memory that is aligned for vectors.

use aligned_vec::AVec;
use pulp::Simd;
use std::ops::{Deref, DerefMut};

/// A growable array of numbers that begins at a cache line, so that no vector crosses the border of two lines.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    values: AVec<f32>,
    /// The number of values that are in use: the first ones.
    len: usize,
}

impl Memory {
    /// Returns `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut memory = Self::default();
        memory.resize(len);
        memory
    }

    /// Sets the length to `len`. The numbers beyond the old length are zero or those of an earlier use.
    pub(crate) fn resize(&mut self, len: usize) {
        // The length of scratch memory goes up and down. Memory that was in use before is not cleared again.
        if self.values.len() < len {
            self.values.resize(len, 0.0);
        }
        self.len = len;
    }

    /// Sets the length to that of `len` vectors, and returns them.
    #[inline(always)]
    pub(crate) fn vectors<S: Simd>(&mut self, len: usize) -> &mut [S::f32s] {
        self.resize(len * S::F32_LANES);
        S::as_mut_simd_f32s(self).0
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { values: AVec::new(0), len: 0 }
    }
}

impl Deref for Memory {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}
