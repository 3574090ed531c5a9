//! Numbers as vectors like them.

use aligned_vec::AVec;
use pulp::Simd;
use std::ops::{Deref, DerefMut};

/// Numbers that begin with a cache line, so that no vector of them lies on two.
#[derive(Clone, Debug)]
pub struct Memory {
    values: AVec<f32>,
    /// The first ones, which are in use.
    len: usize,
}

impl Memory {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut memory = Self::default();
        memory.resize(len);
        memory
    }

    /// Makes room for `len` numbers. Those beyond the length it had are zero, or what was there once.
    pub fn resize(&mut self, len: usize) {
        // Scratch memory is now small and now large: what has been there once is not filled anew.
        if self.values.len() < len {
            self.values.resize(len, 0.0);
        }
        self.len = len;
    }

    /// The first `len` vectors, for which it makes room.
    #[inline(always)]
    pub fn vectors<S: Simd>(&mut self, len: usize) -> &mut [S::f32s] {
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
