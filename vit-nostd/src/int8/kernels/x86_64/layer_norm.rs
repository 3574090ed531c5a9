//! LayerNorm, eight values at a time.

use super::requantize::{requantize, Scales, EIGHT};
use crate::int8::layer_norm::{factor, scale, Norm};
use bytemuck::cast;
use core::arch::x86_64::{
    __m128i, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_si128, _mm256_cvtepi16_epi32,
    _mm256_cvtepu32_epi64, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_mullo_epi32,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sub_epi32, _mm_madd_epi16, _mm_packs_epi16,
    _mm_packs_epi32,
};

/// Does the same as [`int8::layer_norm::layer_norm`](crate::int8::layer_norm::layer_norm), for eight values at a time.
#[target_feature(enable = "avx2")]
pub(super) fn layer_norm(x: &[i16], norm: Norm, out: &mut [i8]) {
    let (eights, rest) = x.as_chunks::<EIGHT>();
    let padded = padded(rest);
    let (mut sums, mut squares) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    // The padding with zeros changes neither sum.
    for eight in eights.iter().chain([&padded]) {
        let eight: __m128i = cast(*eight);
        sums = _mm256_add_epi32(sums, _mm256_cvtepi16_epi32(eight));
        // The sum of two squares is at most 2^31, which is correct if it is taken as unsigned.
        squares = _mm256_add_epi64(squares, _mm256_cvtepu32_epi64(_mm_madd_epi16(eight, eight)));
    }
    let sum = cast::<_, [i32; EIGHT]>(sums).iter().sum();
    let square = cast::<_, [u64; 4]>(squares).iter().sum();

    let width = x.len() as i32;
    let scales = Scales::all(scale(width, sum, square, norm));
    let row = Row { width, sum, factor: factor(x.len()), scales };
    let (out, out_rest) = out.as_chunks_mut::<EIGHT>();
    for (out, eight) in out.iter_mut().zip(eights) {
        *out = normalise(*eight, row);
    }
    let normalised = normalise(padded, row);
    out_rest.iter_mut().zip(normalised).zip(rest).for_each(|((out, value), _)| *out = value);
}

/// The quantities that all values of a row are normalised with.
#[derive(Clone, Copy, Debug)]
struct Row {
    width: i32,
    sum: i32,
    factor: i32,
    scales: Scales,
}

#[target_feature(enable = "avx2")]
#[inline]
fn normalise(eight: [i16; EIGHT], Row { width, sum, factor, scales }: Row) -> [i8; EIGHT] {
    // `madd` multiplies the 16-bit halves of each lane and adds the two products. The lower halves are the value and
    // the width. The product of the higher halves is 0, because the higher half of the width is.
    let product = _mm256_madd_epi16(_mm256_cvtepi16_epi32(cast(eight)), _mm256_set1_epi32(width));
    let distance = _mm256_sub_epi32(product, _mm256_set1_epi32(sum));
    let values = requantize(_mm256_mullo_epi32(distance, _mm256_set1_epi32(factor)), scales);
    let words = _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values));
    let [bytes, _]: [[i8; EIGHT]; 2] = cast(_mm_packs_epi16(words, words));
    bytes
}

/// Returns fewer than eight values, followed by zeros.
#[inline(always)]
fn padded(values: &[i16]) -> [i16; EIGHT] {
    let mut padded = [0; EIGHT];
    padded.iter_mut().zip(values).for_each(|(padded, &value)| *padded = value);
    padded
}
