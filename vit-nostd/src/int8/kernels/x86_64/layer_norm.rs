//! LayerNorm, eight values at a time.

use super::requantize::{requantize, Scales, EIGHT};
use crate::int8::layer_norm::{scale, Norm};
use bytemuck::cast;
use core::arch::x86_64::{
    __m128i, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_si128, _mm256_cvtepi16_epi32,
    _mm256_cvtepu32_epi64, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_sub_epi32, _mm_madd_epi16, _mm_packs_epi16,
    _mm_packs_epi32,
};

/// The [function](crate::int8::layer_norm::layer_norm) of the same name.
#[target_feature(enable = "avx2")]
pub fn layer_norm(x: &[i16], norm: Norm, out: &mut [i8]) {
    let (eights, rest) = x.as_chunks::<EIGHT>();
    let padded = padded(rest);
    let (mut sums, mut squares) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    // Zeros add nothing.
    for eight in eights.iter().chain([&padded]) {
        let eight: __m128i = cast(*eight);
        sums = _mm256_add_epi32(sums, _mm256_cvtepi16_epi32(eight));
        // Two squares of 2^30 are not negative, taken as unsigned.
        squares = _mm256_add_epi64(squares, _mm256_cvtepu32_epi64(_mm_madd_epi16(eight, eight)));
    }
    let sum = cast::<_, [i32; EIGHT]>(sums).iter().sum();
    let square = cast::<_, [u64; 4]>(squares).iter().sum();

    let row =
        Row { width: x.len() as i32, sum, scales: Scales::all(scale(x.len() as i32, sum, square, norm)) };
    let (out, out_rest) = out.as_chunks_mut::<EIGHT>();
    for (out, eight) in out.iter_mut().zip(eights) {
        *out = normalise(*eight, row);
    }
    let normalised = normalise(padded, row);
    out_rest.iter_mut().zip(normalised).zip(rest).for_each(|((out, value), _)| *out = value);
}

/// What the values of a row have in common.
#[derive(Clone, Copy, Debug)]
struct Row {
    width: i32,
    sum: i32,
    scales: Scales,
}

#[target_feature(enable = "avx2")]
#[inline]
fn normalise(eight: [i16; EIGHT], Row { width, sum, scales }: Row) -> [i8; EIGHT] {
    // A product of the lower 16 bits, in which the values stand.
    let product = _mm256_madd_epi16(_mm256_cvtepi16_epi32(cast(eight)), _mm256_set1_epi32(width));
    let distance = _mm256_slli_epi32::<8>(_mm256_sub_epi32(product, _mm256_set1_epi32(sum)));
    let values = requantize(distance, scales);
    let words = _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values));
    let [bytes, _]: [[i8; EIGHT]; 2] = cast(_mm_packs_epi16(words, words));
    bytes
}

/// Fewer values than eight, and zeros behind them.
#[inline(always)]
fn padded(values: &[i16]) -> [i16; EIGHT] {
    let mut padded = [0; EIGHT];
    padded.iter_mut().zip(values).for_each(|(padded, &value)| *padded = value);
    padded
}
