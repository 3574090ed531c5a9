//! Numbers as vectors like them.

use aligned_vec::AVec;
use pulp::Simd;
use std::ops::{Deref, DerefMut};

/// Numbers that begin with a cache line, so that no vector of them lies on two.
#[derive(Clone, Debug)]
pub struct Memory(AVec<f32>);

impl Memory {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut memory = Self::default();
        memory.resize(len);
        memory
    }

    /// Makes room for `len` numbers; new ones are zero.
    pub fn resize(&mut self, len: usize) {
        self.0.resize(len, 0.0);
    }

    /// The first `len` vectors, for which it makes room.
    #[inline(always)]
    pub fn vectors<S: Simd>(&mut self, len: usize) -> &mut [S::f32s] {
        self.resize(len * S::F32_LANES);
        S::as_mut_simd_f32s(&mut self.0).0
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self(AVec::new(0))
    }
}

impl Deref for Memory {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
