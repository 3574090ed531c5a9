//! The one rounding, eight at a time.

use crate::int8::requantize::Scale;
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_madd_epi16, _mm256_mulhi_epu16, _mm256_set1_epi32, _mm256_slli_epi32,
    _mm256_sllv_epi32, _mm256_srav_epi32, _mm256_sub_epi32,
};

/// Values of 32 bits in a vector.
pub const EIGHT: usize = 8;

/// A [`Scale`] for each of eight values.
#[derive(Clone, Copy, Debug)]
pub struct Scales {
    multiplier: __m256i,
    /// The same in the higher 16 bits.
    multiplier_high: __m256i,
    half: __m256i,
    shift: __m256i,
}

impl Scales {
    /// Of multipliers and shifts of 32 bits.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub fn new(multiplier: __m256i, shift: __m256i) -> Self {
        Self {
            multiplier,
            multiplier_high: _mm256_slli_epi32::<16>(multiplier),
            half: _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_sub_epi32(shift, _mm256_set1_epi32(17))),
            shift: _mm256_sub_epi32(shift, _mm256_set1_epi32(16)),
        }
    }

    /// The same for all.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub fn all(Scale { multiplier, shift }: Scale) -> Self {
        Self::new(_mm256_set1_epi32(i32::from(multiplier)), _mm256_set1_epi32(i32::from(shift)))
    }
}

/// The [function](crate::int8::requantize::requantize) of the same name: the product is made of those of the lower and the
/// higher 16 bits.
#[target_feature(enable = "avx2")]
#[inline]
pub fn requantize(a: __m256i, scales: Scales) -> __m256i {
    let low = _mm256_mulhi_epu16(a, scales.multiplier);
    let high = _mm256_madd_epi16(a, scales.multiplier_high);
    _mm256_srav_epi32(_mm256_add_epi32(_mm256_add_epi32(high, low), scales.half), scales.shift)
}
