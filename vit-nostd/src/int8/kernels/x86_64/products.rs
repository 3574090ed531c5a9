//! Sums of the products of tokens and rows, two rows and all tokens of a tile at a time: as many sums as there are
//! registers for.

use bytemuck::cast;
use core::{
    arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_hadd_epi32, _mm256_madd_epi16,
        _mm256_permute2x128_si256, _mm256_setzero_si256,
    },
    array,
    hint::black_box,
};

/// The number of tokens that go through a layer together.
pub const TILE: usize = 3;
/// The type that activations are widened to before multiplication.
pub type Wide = i16;
/// Rows side by side.
pub const PAIR: usize = 2;
/// Tokens that the results of a pair of rows have room for in a vector.
pub const SLOTS: usize = 4;
const _: () = assert!(TILE <= SLOTS);

/// Rows of equal length in vectors.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a, T, const ROWS: usize, const LANES: usize> {
    whole: [&'a [[T; LANES]]; ROWS],
    /// What is behind them, and zeros.
    rest: Option<[[T; LANES]; ROWS]>,
}

impl<'a, T: Copy + Default, const ROWS: usize, const LANES: usize> Vectors<'a, T, ROWS, LANES> {
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

    /// The vectors of one row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> impl Iterator<Item = &[T; LANES]> {
        let rest = self.rest.as_ref().and_then(|rest| rest.get(row));
        self.whole.get(row).copied().unwrap_or_default().iter().chain(rest)
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

/// Instructions that multiply `LANES` values of a token with as many of a row. An implementation says which extension of the
/// instruction set they belong to.
pub trait Multiply<const LANES: usize> {
    /// What a token's values are.
    type X: Copy + Default;

    /// The values of a row as they are multiplied.
    ///
    /// # Safety
    /// The processor must have the extension that the instructions belong to.
    unsafe fn weights(values: [i8; LANES]) -> __m256i;

    /// Adds the products to the 32-bit values of `sum`, several to each.
    ///
    /// # Safety
    /// The processor must have the extension that the instructions belong to.
    unsafe fn multiply_add(sum: __m256i, x: [Self::X; LANES], weights: __m256i) -> __m256i;
}

/// The sums of the products of each of the tokens `x` and two rows: both of the first token, both of the second one ...
///
/// # Safety
/// The processor must have AVX2, and the extension that the instructions of `M` belong to.
#[inline(always)] // into a function that has the instructions
pub unsafe fn products<M: Multiply<LANES>, const TOKENS: usize, const LANES: usize>(
    x: &Vectors<'_, M::X, TOKENS, LANES>,
    rows: &Vectors<'_, i8, PAIR, LANES>,
) -> __m256i {
    // SAFETY: the caller makes sure that the processor has AVX2 and the extension that `M` belongs to. The unsafe functions in this
    // block need nothing else.
    unsafe {
        let zero = _mm256_setzero_si256();
        let mut sums = [[zero; PAIR]; SLOTS];
        // That all are as long as that is known to the loop: it checks nothing.
        let steps = x.whole[0].len();
        let (Some(x_whole), Some(rows_whole)) = (x.first(steps), rows.first(steps)) else { return zero };
        for k in 0..steps {
            let (Some(&first), Some(&second)) = (rows_whole[0].get(k), rows_whole[1].get(k)) else {
                continue;
            };
            let (first, second) = (M::weights(first), M::weights(second));
            for (sums, x) in sums.iter_mut().zip(x_whole) {
                let Some(&x) = x.get(k) else { continue };
                sums[0] = M::multiply_add(sums[0], x, first);
                sums[1] = M::multiply_add(sums[1], x, second);
            }
        }
        if let (Some(x), Some(rows)) = (x.rest, rows.rest) {
            for (row, weights) in rows.into_iter().enumerate() {
                let weights = M::weights(weights);
                for (sums, x) in sums.iter_mut().zip(x) {
                    sums[row] = M::multiply_add(sums[row], x, weights);
                }
            }
        }
        totals(sums)
    }
}

/// The sum of each vector.
#[target_feature(enable = "avx2")]
#[inline]
pub fn totals([a, b, c, d]: [[__m256i; PAIR]; SLOTS]) -> __m256i {
    let ab = _mm256_hadd_epi32(_mm256_hadd_epi32(a[0], a[1]), _mm256_hadd_epi32(b[0], b[1]));
    let cd = _mm256_hadd_epi32(_mm256_hadd_epi32(c[0], c[1]), _mm256_hadd_epi32(d[0], d[1]));
    // Each half of a register was added up by itself.
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(ab, cd), _mm256_permute2x128_si256::<0x31>(ab, cd))
}

/// `VPMADDWD`, of AVX2: the tokens were widened before, the rows are widened as they are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Widened;

/// Values that fill a vector when they are widened.
pub const WIDE_LANES: usize = 16;

impl Multiply<WIDE_LANES> for Widened {
    type X = i16;

    #[inline(always)]
    unsafe fn weights(values: [i8; WIDE_LANES]) -> __m256i {
        // SAFETY: the caller makes sure that the processor has AVX2.
        unsafe { _mm256_cvtepi8_epi16(cast(values)) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sum: __m256i, x: [i16; WIDE_LANES], weights: __m256i) -> __m256i {
        // SAFETY: the caller makes sure that the processor has AVX2.
        unsafe { multiply_add(sum, cast(x), weights) }
    }
}

/// Adds the sum of the products of two neighbours to each 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
pub fn multiply_add(sum: __m256i, x: __m256i, y: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(x, y))
}
