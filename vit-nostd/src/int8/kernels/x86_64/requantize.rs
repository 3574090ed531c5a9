//! Requantization of eight values at a time.

use crate::int8::requantize::Scale;
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_madd_epi16, _mm256_mulhi_epu16, _mm256_set1_epi32, _mm256_slli_epi32,
    _mm256_sllv_epi32, _mm256_srav_epi32, _mm256_sub_epi32,
};

/// The number of 32-bit values in a vector.
pub(super) const EIGHT: usize = 8;

/// A [`Scale`] for each of eight values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scales {
    multiplier: __m256i,
    /// The multipliers in the higher 16 bits of each value.
    multiplier_high: __m256i,
    half: __m256i,
    shift: __m256i,
}

impl Scales {
    /// Returns the scales with these multipliers and shifts, which have 32 bits each.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn new(multiplier: __m256i, shift: __m256i) -> Self {
        Self {
            multiplier,
            multiplier_high: _mm256_slli_epi32::<16>(multiplier),
            half: _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(shift, _mm256_set1_epi32(17))),
            shift: _mm256_sub_epi32(shift, _mm256_set1_epi32(16)),
        }
    }

    /// Returns one scale for all eight values.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn all(Scale { multiplier, shift }: Scale) -> Self {
        Self::new(_mm256_set1_epi32(i32::from(multiplier)), _mm256_set1_epi32(i32::from(shift)))
    }
}

/// Does the same as [`int8::requantize::requantize`](crate::int8::requantize::requantize), for eight values. The
/// product is the sum of those of the higher and the lower 16 bits of `a`.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn requantize(a: __m256i, scales: Scales) -> __m256i {
    let low = _mm256_mulhi_epu16(a, scales.multiplier);
    let high = _mm256_madd_epi16(a, scales.multiplier_high);
    _mm256_srav_epi32(_mm256_add_epi32(_mm256_add_epi32(high, low), scales.half), scales.shift)
}
