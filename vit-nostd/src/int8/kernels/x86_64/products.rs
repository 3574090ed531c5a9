//! Sums of the products of tokens and rows of weights, for two rows and all tokens of a tile at a time. That is as many
//! sums as fit into the registers.

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
pub(crate) const TILE: usize = 3;
/// The type that activations are widened to before multiplication.
pub(crate) type Wide = i16;
/// The number of rows of weights that are multiplied together.
pub(super) const PAIR: usize = 2;
/// The number of tokens whose results for a pair of rows fit into a vector.
pub(super) const SLOTS: usize = 4;
const _: () = assert!(TILE <= SLOTS);

/// Rows of equal length, divided into vectors of `LANES` values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vectors<'a, T, const ROWS: usize, const LANES: usize> {
    /// The whole vectors of each row.
    whole: [&'a [[T; LANES]]; ROWS],
    /// The remaining values of each row, padded with zeros to a vector, unless there are none.
    rest: Option<[[T; LANES]; ROWS]>,
}

impl<'a, T: Copy + Default, const ROWS: usize, const LANES: usize> Vectors<'a, T, ROWS, LANES> {
    /// Divides `ROWS` rows of `len` values each, which lie one after the other. Missing rows become empty.
    #[inline(always)]
    pub(super) fn new(rows: &'a [T], len: usize) -> Self {
        let mut rows = rows.chunks_exact(len);
        Self::of(array::from_fn(|_| rows.next().unwrap_or_default()), len)
    }

    /// Divides rows of `len` values.
    #[inline(always)]
    pub(super) fn of(rows: [&'a [T]; ROWS], len: usize) -> Self {
        let mut whole = [&[][..]; ROWS];
        let mut rest = [[T::default(); LANES]; ROWS];
        for ((whole, padded), row) in whole.iter_mut().zip(&mut rest).zip(rows) {
            let (chunks, rest) = row.as_chunks();
            *whole = chunks;
            padded.iter_mut().zip(rest).for_each(|(padded, &value)| *padded = value);
        }
        Self { whole, rest: (!len.is_multiple_of(LANES)).then_some(rest) }
    }

    /// Returns the vectors of one row, the padded one included.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = &[T; LANES]> {
        let rest = self.rest.as_ref().and_then(|rest| rest.get(row));
        self.whole.get(row).copied().unwrap_or_default().iter().chain(rest)
    }

    /// Returns the same rows, but hides their length from the compiler. Otherwise it would unroll loops so far that the
    /// sums no longer fit into the registers.
    #[inline(always)]
    pub(super) fn of_unknown_length(self) -> Self {
        let whole = self.first(black_box(self.whole[0].len())).unwrap_or(self.whole);
        Self { whole, ..self }
    }

    /// Returns the first `vectors` whole vectors of each row, or `None` if a row has fewer.
    #[inline(always)]
    fn first(&self, vectors: usize) -> Option<[&'a [[T; LANES]]; ROWS]> {
        let mut whole = self.whole;
        for whole in &mut whole {
            *whole = whole.get(..vectors)?;
        }
        Some(whole)
    }
}

/// Instructions that multiply `LANES` values of a token by as many of a row. The documentation of an implementation
/// states which extension of the instruction set they belong to.
pub(super) trait Multiply<const LANES: usize> {
    /// The type of a token's values.
    type X: Copy + Default;

    /// Converts the values of a row to the form in which they are multiplied.
    ///
    /// # Safety
    /// The processor must have the extension that the instructions belong to.
    unsafe fn weights(values: [i8; LANES]) -> __m256i;

    /// Adds the products to the 32-bit values of `sum`, several of them to each.
    ///
    /// # Safety
    /// The processor must have the extension that the instructions belong to.
    unsafe fn multiply_add(sum: __m256i, x: [Self::X; LANES], weights: __m256i) -> __m256i;
}

/// Returns the sums of products of each of the tokens `x` and two rows: both sums of the first token, both of the
/// second, and so on.
///
/// # Safety
/// The processor must have AVX2, and the extension that the instructions of `M` belong to.
#[inline(always)] // into a function that is compiled for the instructions
pub(super) unsafe fn products<M: Multiply<LANES>, const TOKENS: usize, const LANES: usize>(
    x: &Vectors<'_, M::X, TOKENS, LANES>,
    rows: &Vectors<'_, i8, PAIR, LANES>,
) -> __m256i {
    // SAFETY: the caller makes sure that the processor has AVX2 and the extension that the instructions of `M` belong
    // to. The unsafe functions in this block have no other conditions.
    unsafe {
        let zero = _mm256_setzero_si256();
        let mut sums = [[zero; PAIR]; SLOTS];
        // Slices of equal, known length spare the loop its bounds checks.
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

/// Returns the sum of the 32-bit values of each vector.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn totals([a, b, c, d]: [[__m256i; PAIR]; SLOTS]) -> __m256i {
    let ab = _mm256_hadd_epi32(_mm256_hadd_epi32(a[0], a[1]), _mm256_hadd_epi32(b[0], b[1]));
    let cd = _mm256_hadd_epi32(_mm256_hadd_epi32(c[0], c[1]), _mm256_hadd_epi32(d[0], d[1]));
    // `hadd` adds within each half of a register: the last step adds the two halves.
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(ab, cd), _mm256_permute2x128_si256::<0x31>(ab, cd))
}

/// Multiplication by `VPMADDWD` of AVX2. The tokens' values were widened to 16 bits beforehand, and those of the rows
/// are widened when they are loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widened;

/// The number of values in a vector after they are widened to 16 bits.
pub(super) const WIDE_LANES: usize = 16;

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

/// Adds to each 32-bit value of `sum` the products of two neighbouring pairs of 16-bit values of `x` and `y`.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn multiply_add(sum: __m256i, x: __m256i, y: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(x, y))
}
