//! Linear layers, computed for two channels and all tokens of a tile at a time.

use super::{
    super::tile::Tile,
    products::{products, Multiply, Vectors, Wide, Widened, PAIR, SLOTS},
    requantize::{requantize, Scales},
    vnni,
};
use crate::{int8::linear::Linear, shape::Array};
use bytemuck::cast;
use core::arch::x86_64::{
    __m128i, __m256i, _mm256_add_epi32, _mm256_cvtepu16_epi32, _mm256_cvtepu8_epi32, _mm256_setzero_si256,
    _mm256_sub_epi32, _mm_add_epi32, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi16, _mm_set1_epi32,
    _mm_srai_epi32, _mm_unpackhi_epi16, _mm_unpacklo_epi16,
};
use core::array;

/// Computes a linear layer with AVX2. `out` has a row for each token.
#[target_feature(enable = "avx2")]
pub(super) fn linear<R: Array<i8>, O: Results, const TOKENS: usize>(
    x: &Tile<'_, Wide>,
    layer: Linear<'_, R>,
    out: &mut [O],
) {
    let x = Vectors::<_, TOKENS, _>::new(x.wide, R::LEN).of_unknown_length();
    // SAFETY: this function is compiled for AVX2, and called only on processors that have it. The instructions of
    // `Widened` belong to AVX2.
    unsafe { pairs_of_rows::<Widened, R, O, TOKENS, _>(&x, _mm256_setzero_si256(), layer, out) }
}

/// Computes a linear layer with AVX-512 VNNI. `out` has a row for each token.
#[target_feature(enable = "avx2,avx512vl,avx512vnni")]
pub(super) fn linear_vnni<R: Array<i8>, O: Results, const TOKENS: usize>(
    x: &Tile<'_, Wide>,
    layer: Linear<'_, R>,
    out: &mut [O],
) {
    let x = Vectors::<_, TOKENS, _>::new(x.rows, R::LEN);
    // AVX-512 has twice as many registers: if rows are short, the tokens' values fit into them as well.
    let x = if R::LEN <= 4 * vnni::LANES { x } else { x.of_unknown_length() };
    // SAFETY: this function is compiled for AVX2 and AVX-512 VNNI, and called only on processors that have both. The
    // instructions of `Bytes` belong to AVX-512 VNNI.
    unsafe { pairs_of_rows::<vnni::Bytes, R, O, TOKENS, _>(&x, vnni::excess(&x), layer, out) }
}

/// Computes the results of two rows at a time, for all tokens. `excess` is subtracted from the sums of products.
///
/// # Safety
/// The processor must have AVX2, and the extension that the instructions of `M` belong to.
#[inline(always)] // into a function that is compiled for the instructions
unsafe fn pairs_of_rows<
    M: Multiply<LANES>,
    R: Array<i8>,
    O: Results,
    const TOKENS: usize,
    const LANES: usize,
>(
    x: &Vectors<'_, M::X, TOKENS, LANES>,
    excess: __m256i,
    layer: Linear<'_, R>,
    out: &mut [O],
) {
    let outputs = layer.bias.len();
    let pairs = outputs / PAIR;
    let Some(mut out) = pairs_of_tokens::<O, TOKENS>(out, outputs) else { return };
    // Slices of equal, known length spare the loop its bounds checks.
    let (Some(biases), Some(multipliers), Some(shifts)) = (
        layer.bias.as_chunks::<PAIR>().0.get(..pairs),
        layer.multiplier.as_chunks::<PAIR>().0.get(..pairs),
        layer.shift.as_chunks::<PAIR>().0.get(..pairs),
    ) else {
        return;
    };
    for (pair, rows) in layer.weight.chunks_exact(PAIR * R::LEN).take(pairs).enumerate() {
        let rows = Vectors::new(rows, R::LEN);
        let mut results = [[O::default(); PAIR]; SLOTS];
        for (result, out) in results.iter_mut().zip(&out) {
            *result = out[pair];
        }
        // SAFETY: the caller makes sure that the processor has AVX2 and the extension that the instructions of `M`
        // belong to. The unsafe functions in this block have no other conditions.
        let results = unsafe {
            let multiplier = _mm256_cvtepu16_epi32(_mm_set1_epi32(cast(multipliers[pair])));
            let shift = _mm256_cvtepu8_epi32(_mm_set1_epi16(cast(shifts[pair])));
            let sums = _mm256_sub_epi32(products::<M, TOKENS, LANES>(x, &rows), excess);
            let sums = _mm256_add_epi32(sums, cast([biases[pair]; SLOTS]));
            O::put_all(results, requantize(sums, Scales::new(multiplier, shift)))
        };
        for (out, result) in out.iter_mut().zip(results) {
            out[pair] = result;
        }
    }
}

/// Splits `out` into one slice of pairs of results for each token, with `outputs` results each.
#[inline(always)]
fn pairs_of_tokens<O, const TOKENS: usize>(
    out: &mut [O],
    outputs: usize,
) -> Option<[&mut [[O; PAIR]]; TOKENS]> {
    let mut tokens = out.chunks_exact_mut(outputs.max(1)).take(TOKENS);
    let mut pairs = array::from_fn(|_| tokens.next().unwrap_or_default().as_chunks_mut().0);
    for pairs in &mut pairs {
        *pairs = core::mem::take(pairs).get_mut(..outputs / PAIR)?;
    }
    Some(pairs)
}

/// The type of the results of a linear layer.
pub(super) trait Results: Copy + Default {
    /// Returns the new results, given the old ones and the requantized sums: for activations the sums themselves, for
    /// the residual stream the old results plus the sums. Both saturate.
    ///
    /// # Safety
    /// The processor must have AVX2.
    unsafe fn put_all(before: [[Self; PAIR]; SLOTS], values: __m256i) -> [[Self; PAIR]; SLOTS];
}

impl Results for i8 {
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn put_all(_: [[Self; PAIR]; SLOTS], values: __m256i) -> [[Self; PAIR]; SLOTS] {
        let [low, high]: [__m128i; 2] = cast(values);
        let words = _mm_packs_epi32(low, high);
        let [bytes, _]: [[[Self; PAIR]; SLOTS]; 2] = cast(_mm_packs_epi16(words, words));
        bytes
    }
}

impl Results for i16 {
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn put_all(before: [[Self; PAIR]; SLOTS], values: __m256i) -> [[Self; PAIR]; SLOTS] {
        let [low, high]: [__m128i; 2] = cast(values);
        let before: __m128i = cast(before);
        let low = _mm_add_epi32(low, _mm_srai_epi32::<16>(_mm_unpacklo_epi16(before, before)));
        let high = _mm_add_epi32(high, _mm_srai_epi32::<16>(_mm_unpackhi_epi16(before, before)));
        cast(_mm_packs_epi32(low, high))
    }
}
