//! Kernels for x86-64 with AVX2.

mod attention;
mod layer_norm;
mod linear;
mod products;
mod requantize;

use super::{Kernels, Rows, Scores, Tile, TILE};
use crate::{
    int8::{
        layer_norm::Norm,
        linear::{Linear, Output, Row},
        requantize::Scale,
        softmax::ExpTable,
    },
    shape::Shape,
};
use core::ops::Range;

pub use linear::Results;

cpufeatures::new!(avx2, "avx2");

/// Kernels for x86-64 with AVX2; a value of it exists only on such a processor.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// Looks for AVX2.
    #[inline(always)]
    pub fn detect() -> Option<Self> {
        avx2::get().then_some(Self(()))
    }
}

// SAFETY of all the calls here: the functions need AVX2, and a processor without it has no value `self`.
impl Kernels for Avx2 {
    const NAME: &'static str = "AVX2";

    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        // SAFETY: see above.
        unsafe { layer_norm::layer_norm(x, norm, out) }
    }

    #[inline(always)]
    fn widen(self, x: &mut Tile<'_>, tokens: usize) {
        // SAFETY: see above.
        unsafe { widen(x, tokens) }
    }

    #[inline(always)]
    fn linear<R: Row, O: Output>(self, x: &Tile<'_>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
        // SAFETY: see above.
        unsafe {
            match tokens {
                1 => linear::linear::<R, O, 1>(x.wide, layer, out),
                2 => linear::linear::<R, O, 2>(x.wide, layer, out),
                _ => linear::linear::<R, O, TILE>(x.wide, layer, out),
            }
        }
    }

    #[inline(always)]
    fn scores<S: Shape>(
        self,
        query: &Tile<'_>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<S>,
        out: &mut Scores<S>,
    ) {
        // SAFETY: see above.
        unsafe { attention::scores::<S>(query, tokens, head, keys, out) }
    }

    #[inline(always)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        // SAFETY: see above.
        unsafe { attention::softmax(scores, scale, table) }
    }

    #[inline(always)]
    fn context<S: Shape>(
        self,
        probabilities: &Scores<S>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<S>,
        scale: Scale,
        out: &mut Tile<'_>,
    ) {
        // SAFETY: see above.
        unsafe { attention::context::<S>(probabilities, tokens, head, values, scale, out) }
    }
}

#[target_feature(enable = "avx2")]
fn widen(x: &mut Tile<'_>, tokens: usize) {
    let values = tokens * x.width;
    x.wide.iter_mut().zip(&*x.rows).take(values).for_each(|(wide, &value)| *wide = i16::from(value));
}
