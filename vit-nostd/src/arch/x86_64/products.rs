//! Sums of products, of 16 at a time (`VPMADDWD`): of values that were widened before, and of values that are widened as
//! they are fetched.

use bytemuck::cast;
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_hadd_epi32, _mm256_madd_epi16,
    _mm256_permute2x128_si256, _mm256_setzero_si256,
};
use core::{array, hint::black_box};

/// Rows side by side.
pub const PAIR: usize = 2;
/// Tokens that the results of a pair of rows have room for in a vector.
pub const SLOTS: usize = 4;
const _: () = assert!(crate::arch::TILE <= SLOTS);
/// Values of a vector.
pub const LANES: usize = 16;

/// Rows of equal length in vectors.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a, T, const ROWS: usize> {
    whole: [&'a [[T; LANES]]; ROWS],
    /// What is behind them, and zeros.
    rest: Option<[[T; LANES]; ROWS]>,
}

impl<'a, T: Copy + Default, const ROWS: usize> Vectors<'a, T, ROWS> {
    /// Of rows of `len` values, which lie one behind the other; those that are missing are empty.
    #[inline(always)]
    pub fn new(rows: &'a [T], len: usize) -> Self {
        let mut rows = rows.chunks_exact(len);
        Self::of(array::from_fn(|_| rows.next().unwrap_or_default()), len)
    }

    /// Of rows of `len` values.
    #[inline(always)]
    pub fn of(rows: [&'a [T]; ROWS], len: usize) -> Self {
        let mut whole = [&[][..]; ROWS];
        let mut rest = [[T::default(); LANES]; ROWS];
        for ((whole, padded), row) in whole.iter_mut().zip(&mut rest).zip(rows) {
            let (chunks, rest) = row.as_chunks();
            *whole = chunks;
            padded.iter_mut().zip(rest).for_each(|(padded, &value)| *padded = value);
        }
        Self { whole, rest: (!len.is_multiple_of(LANES)).then_some(rest) }
    }

    /// The same, but the compiler does not know how long they are: it would unroll until the sums do not fit into the
    /// registers.
    #[inline(always)]
    pub fn of_unknown_length(self) -> Self {
        let whole = self.first(black_box(self.whole[0].len())).unwrap_or(self.whole);
        Self { whole, ..self }
    }

    /// So many vectors of each row, if there are as many.
    #[inline(always)]
    fn first(&self, vectors: usize) -> Option<[&'a [[T; LANES]]; ROWS]> {
        let mut whole = self.whole;
        for whole in &mut whole {
            *whole = whole.get(..vectors)?;
        }
        Some(whole)
    }
}

/// The sums of the products of each of the tokens `x` and two rows: both of the first token, both of the second one ...
#[target_feature(enable = "avx2")]
#[inline] // into each kernel
pub fn products<const TOKENS: usize>(x: &Vectors<'_, i16, TOKENS>, rows: &Vectors<'_, i8, PAIR>) -> __m256i {
    let mut sums = [[_mm256_setzero_si256(); PAIR]; SLOTS];
    // That all are as long as that is known to the loop: it checks nothing.
    let steps = x.whole[0].len();
    let (Some(x_whole), Some(rows_whole)) = (x.first(steps), rows.first(steps)) else { return sums[0][0] };
    for k in 0..steps {
        let (Some(&first), Some(&second)) = (rows_whole[0].get(k), rows_whole[1].get(k)) else { continue };
        let (first, second) = (_mm256_cvtepi8_epi16(cast(first)), _mm256_cvtepi8_epi16(cast(second)));
        for (sums, x) in sums.iter_mut().zip(x_whole) {
            let Some(&x) = x.get(k) else { continue };
            multiply_add(&mut sums[0], cast(x), first);
            multiply_add(&mut sums[1], cast(x), second);
        }
    }
    if let (Some(x), Some(rows)) = (x.rest, rows.rest) {
        for (row, weights) in rows.into_iter().enumerate() {
            let weights = _mm256_cvtepi8_epi16(cast(weights));
            for (sums, x) in sums.iter_mut().zip(x) {
                multiply_add(&mut sums[row], cast(x), weights);
            }
        }
    }
    let [a, b, c, d] = sums;
    let ab = _mm256_hadd_epi32(_mm256_hadd_epi32(a[0], a[1]), _mm256_hadd_epi32(b[0], b[1]));
    let cd = _mm256_hadd_epi32(_mm256_hadd_epi32(c[0], c[1]), _mm256_hadd_epi32(d[0], d[1]));
    // Each half of a register was added up by itself.
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(ab, cd), _mm256_permute2x128_si256::<0x31>(ab, cd))
}

/// Adds the sum of the products of two neighbours to each 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
pub fn multiply_add(sum: &mut __m256i, x: __m256i, y: __m256i) {
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, y));
}
