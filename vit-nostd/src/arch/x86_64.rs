//! Kernels for x86-64 with AVX2: 16 products in one instruction (`VPMADDWD`), of activations that were widened before and
//! of weights that are widened as they are fetched. Four channels and three tokens side by side, as many as there are
//! registers for their sums.

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
use bytemuck::cast;
use core::arch::x86_64::{
    __m128i, __m256i, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_setzero_si256, _mm_add_epi32,
    _mm_cvtepu8_epi32, _mm_cvtsi32_si128, _mm_madd_epi16, _mm_mulhi_epu16, _mm_set1_epi32, _mm_setzero_si128,
    _mm_slli_epi32, _mm_sllv_epi32, _mm_srav_epi32, _mm_sub_epi32,
};
use core::ops::Range;

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

/// Channels side by side.
const CHANNELS: usize = 4;
/// Values of a vector.
const LANES: usize = 16;

// SAFETY of all the calls here: the functions need AVX2, and a processor without it has no value `self`.
impl Kernels for Avx2 {
    const NAME: &'static str = "AVX2";

    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        // SAFETY: see above.
        unsafe { layer_norm(x, norm, out) }
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
                1 => linear::<R, O, 1>(x.wide, layer, out),
                2 => linear::<R, O, 2>(x.wide, layer, out),
                _ => linear::<R, O, TILE>(x.wide, layer, out),
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
        unsafe { scores::<S>(query, tokens, head, keys, out) }
    }

    #[inline(always)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        // SAFETY: see above.
        unsafe { softmax(scores, scale, table) }
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
        unsafe { context::<S>(probabilities, tokens, head, values, scale, out) }
    }
}

#[target_feature(enable = "avx2")]
fn layer_norm(x: &[i16], norm: Norm, out: &mut [i8]) {
    crate::int8::layer_norm::layer_norm(x, norm, out);
}

#[target_feature(enable = "avx2")]
fn softmax(scores: &mut [i32], scale: Scale, table: &ExpTable) {
    crate::int8::softmax::softmax(scores, scale, table);
}

#[target_feature(enable = "avx2")]
fn scores<S: Shape>(
    query: &Tile<'_>,
    tokens: Range<usize>,
    head: usize,
    keys: &Rows<S>,
    out: &mut Scores<S>,
) {
    super::portable::scores::<S>(query, tokens, head, keys, out);
}

#[target_feature(enable = "avx2")]
fn context<S: Shape>(
    probabilities: &Scores<S>,
    tokens: Range<usize>,
    head: usize,
    values: &Rows<S>,
    scale: Scale,
    out: &mut Tile<'_>,
) {
    super::portable::context::<S>(probabilities, tokens, head, values, scale, out);
}

#[target_feature(enable = "avx2")]
fn widen(x: &mut Tile<'_>, tokens: usize) {
    let values = tokens * x.width;
    x.wide.iter_mut().zip(&*x.rows).take(values).for_each(|(wide, &value)| *wide = i16::from(value));
}

#[target_feature(enable = "avx2")]
fn linear<R: Row, O: Output, const TOKENS: usize>(wide: &[i16], layer: Linear<'_, R>, out: &mut [O]) {
    let outputs = layer.bias.len();
    let (biases, _) = layer.bias.as_chunks::<CHANNELS>();
    let (multipliers, _) = layer.multiplier.as_chunks::<CHANNELS>();
    let (shifts, _) = layer.shift.as_chunks::<CHANNELS>();
    let mut x = [&[][..]; TOKENS];
    for (token, x) in x.iter_mut().enumerate() {
        *x = wide.get(token * R::LEN..(token + 1) * R::LEN).unwrap_or_default();
    }
    let rows = layer.weight.chunks_exact(CHANNELS * R::LEN);
    let mut channel = 0;
    for ((rows, bias), (multiplier, shift)) in rows.zip(biases).zip(multipliers.iter().zip(shifts)) {
        let [a, b, c, d] = *multiplier;
        let multiplier: __m128i = cast([u32::from(a), u32::from(b), u32::from(c), u32::from(d)]);
        let shift = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(i32::from_le_bytes(*shift)));
        let sums = sums::<R, TOKENS>(x, rows);
        for (token, sums) in sums.into_iter().enumerate() {
            let sums = _mm_add_epi32(sums, cast(*bias));
            let values: [i32; CHANNELS] = cast(requantize(sums, multiplier, shift));
            let begin = token * outputs + channel;
            if let Some(out) = out.get_mut(begin..begin + CHANNELS) {
                out.iter_mut().zip(values).for_each(|(out, value)| out.put(value));
            }
        }
        channel += CHANNELS;
    }
}

/// The sums of products of four rows of weights with each token.
#[target_feature(enable = "avx2")]
#[inline] // into each kernel
fn sums<R: Row, const TOKENS: usize>(x: [&[i16]; TOKENS], rows: &[i8]) -> [__m128i; TOKENS] {
    let mut sums = [[_mm256_setzero_si256(); CHANNELS]; TOKENS];
    let mut added = [_mm_setzero_si128(); TOKENS];
    let chunks = R::LEN / LANES;
    // That they are all as long as that is known to the loop: it checks nothing.
    let mut wide = [&[][..]; TOKENS];
    for (wide, x) in wide.iter_mut().zip(x) {
        let Some(x) = x.as_chunks::<LANES>().0.get(..chunks) else { return added };
        *wide = x;
    }
    let mut narrow = [&[][..]; CHANNELS];
    for (channel, narrow) in narrow.iter_mut().enumerate() {
        let Some(row) = rows.get(channel * R::LEN..(channel + 1) * R::LEN) else { return added };
        let Some(row) = row.as_chunks::<LANES>().0.get(..chunks) else { return added };
        *narrow = row;
    }
    for k in 0..chunks {
        for channel in 0..CHANNELS {
            let Some(&weights) = narrow[channel].get(k) else { continue };
            let weights = _mm256_cvtepi8_epi16(cast(weights));
            for token in 0..TOKENS {
                let Some(&x) = wide[token].get(k) else { continue };
                multiply_add(&mut sums[token][channel], cast(x), weights);
            }
        }
    }
    if !R::LEN.is_multiple_of(LANES) {
        for (channel, row) in rows.chunks_exact(R::LEN).enumerate().take(CHANNELS) {
            let weights = _mm256_cvtepi8_epi16(cast(padded(row.get(chunks * LANES..).unwrap_or_default())));
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = padded(x.get(chunks * LANES..).unwrap_or_default());
                multiply_add(&mut sums[channel], cast(x), weights);
            }
        }
    }
    for (added, &[a, b, c, d]) in added.iter_mut().zip(&sums) {
        let quarters = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        *added = _mm_add_epi32(_mm256_castsi256_si128(quarters), _mm256_extracti128_si256::<1>(quarters));
    }
    added
}

#[target_feature(enable = "avx2")]
#[inline]
fn multiply_add(sum: &mut __m256i, x: __m256i, y: __m256i) {
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, y));
}

/// Fewer values than a vector has, and zeros behind them.
#[inline(always)]
fn padded<T: Copy + Default>(values: &[T]) -> [T; LANES] {
    let mut padded = [T::default(); LANES];
    for (padded, &value) in padded.iter_mut().zip(values) {
        *padded = value;
    }
    padded
}

/// The [function](crate::int8::requantize::requantize) of the same name, four at once: the product is made of those of the
/// lower and the higher 16 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn requantize(a: __m128i, multiplier: __m128i, shift: __m128i) -> __m128i {
    let low = _mm_mulhi_epu16(a, multiplier);
    let high = _mm_madd_epi16(a, _mm_slli_epi32::<16>(multiplier));
    let half = _mm_sllv_epi32(_mm_set1_epi32(1), _mm_sub_epi32(shift, _mm_set1_epi32(17)));
    let rounded = _mm_add_epi32(_mm_add_epi32(high, low), half);
    _mm_srav_epi32(rounded, _mm_sub_epi32(shift, _mm_set1_epi32(16)))
}
