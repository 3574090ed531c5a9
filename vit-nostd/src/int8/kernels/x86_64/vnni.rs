//! Products of 8 bits by 8 bits (`VPDPBUSD` of AVX-512 VNNI).
//!
//! One factor of the instruction is unsigned. It is the weight plus 128, which adds 128 times the sum of the token's
//! values to every sum of products. This excess is the same for every row of weights, and is subtracted afterwards.

use super::products::{totals, Multiply, Vectors, PAIR, SLOTS};
use bytemuck::cast;
use core::arch::x86_64::{
    __m256i, _mm256_dpbusd_epi32, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_xor_si256,
};

/// The number of 8-bit values in a vector.
pub(super) const LANES: usize = 32;

/// Multiplication by `VPDPBUSD` of AVX-512 VNNI, which needs no widening.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes;

/// The bits of 128 as an unsigned byte, which is a weight of zero plus 128.
const ZERO: i8 = -128;

impl Multiply<LANES> for Bytes {
    type X = i8;

    #[inline(always)]
    unsafe fn weights(values: [i8; LANES]) -> __m256i {
        // SAFETY: the caller makes sure that the processor has AVX-512 VNNI, and with it AVX2.
        unsafe { _mm256_xor_si256(cast(values), _mm256_set1_epi8(ZERO)) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: __m256i, x: [i8; LANES], weights: __m256i) -> __m256i {
        // SAFETY: the caller makes sure that the processor has AVX-512 VNNI, and with it AVX2.
        unsafe { _mm256_dpbusd_epi32(sum, weights, cast(x)) }
    }
}

/// Returns the excess of the sums of products of each token and any two rows: 128 times the sum of the token's values.
#[target_feature(enable = "avx512vl,avx512vnni")]
#[inline]
pub(super) fn excess<const TOKENS: usize>(x: &Vectors<'_, i8, TOKENS, LANES>) -> __m256i {
    let mut sums = [[_mm256_setzero_si256(); PAIR]; SLOTS];
    for (token, sums) in sums.iter_mut().take(TOKENS).enumerate() {
        for &x in x.row(token) {
            sums[0] = _mm256_dpbusd_epi32(sums[0], _mm256_set1_epi8(ZERO), cast(x));
        }
        sums[1] = sums[0];
    }
    totals(sums)
}
