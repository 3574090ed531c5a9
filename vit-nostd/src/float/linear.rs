//! Sums of products, for a few tokens at a time.
//!
//! 1. Naive: a token's sums are in memory, and every input adds its row of weights to them. Each product costs two loads
//!    and a store, and the weights are read again for every token.
//! 2. [`TILE`] tokens at a time, and as many of their sums as there are registers for: a step of the inputs reads a few
//!    weights, which serve all tokens of the tile, and one number of each token, which serves all of its sums. Every sum
//!    still runs over the inputs upwards: the bits are the same.

use crate::{prefetch::prefetch, shape::Array};

/// Tokens that go through a layer together.
pub const TILE: usize = 6;
/// Sums of a token that are computed side by side: two vectors of AVX, which leaves 4 of its 16 registers; on a small
/// chip with an FPU, 24 of its 32 registers.
const WIDE: usize = if cfg!(target_pointer_width = "64") { 16 } else { 4 };
/// Where fewer are left.
const NARROW: usize = if cfg!(target_pointer_width = "64") { 8 } else { 2 };

/// Rows of weights that are fetched ahead. 4 and 8 were about equally fast, 16 and 32 slower (BENCHMARKS.md, 2026-11-26).
const AHEAD: usize = 4;

/// `out[t][j] = bias[j] + sum over k of x[t][k] * weight[k][j]`, k upwards.
#[inline(always)]
pub fn linear<I: Array<f32>, O: Array<f32>, W: Array<O>>(
    x: &[I; TILE],
    weight: &W,
    bias: &O,
    out: &mut [O; TILE],
) {
    // Row by row: an array of rows would lie on the stack first, where the compiler does not optimise.
    for row in &mut *out {
        *row = *bias;
    }
    add_products(
        x.each_ref().map(I::as_ref),
        weight.as_ref().iter().map(O::as_ref),
        O::LEN,
        out.each_mut().map(O::as_mut),
    );
}

/// `out[t][j] += x[t][k] * row[k][j]` for each row, k upwards. The rows are as long as `out`'s, and lie `stride` numbers
/// apart.
#[inline(always)]
pub fn add_products<'a>(
    x: [&[f32]; TILE],
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    stride: usize,
    mut out: [&mut [f32]; TILE],
) {
    let len = out[0].len();
    let (wide, narrow) = (len / WIDE, len % WIDE / NARROW);
    for index in 0..wide {
        add_part::<WIDE>(x, rows.clone(), stride, &mut out, index);
    }
    for index in wide * WIDE / NARROW..wide * WIDE / NARROW + narrow {
        add_part::<NARROW>(x, rows.clone(), stride, &mut out, index);
    }
    // What is left, such as the scores of a last token.
    for index in wide * WIDE + narrow * NARROW..len {
        add_part::<1>(x, rows.clone(), stride, &mut out, index);
    }
}

/// The sums from `J * index` on, `J` of them.
#[inline(always)]
fn add_part<'a, const J: usize>(
    x: [&[f32]; TILE],
    rows: impl Iterator<Item = &'a [f32]>,
    stride: usize,
    out: &mut [&mut [f32]; TILE],
    index: usize,
) {
    let mut sums = [[0.0; J]; TILE];
    for t in 0..TILE {
        let Some(before) = out[t].as_chunks::<J>().0.get(index) else { return };
        sums[t] = *before;
    }
    let [a, b, c, d, e, f] = x;
    let columns = a.iter().zip(b).zip(c.iter().zip(d)).zip(e.iter().zip(f));
    for (row, (((a, b), (c, d)), (e, f))) in rows.zip(columns) {
        let Some(row) = row.as_chunks::<J>().0.get(index) else { return };
        // Of what these sums need soon, and of what the next ones need: all of it lies a row away from what they need
        // before, where no processor looks for it.
        prefetch(row.as_ptr().wrapping_add(AHEAD * stride));
        prefetch(row.as_ptr().wrapping_add(J));
        let x = [a, b, c, d, e, f];
        for t in 0..TILE {
            for j in 0..J {
                sums[t][j] += x[t] * row[j];
            }
        }
    }
    for t in 0..TILE {
        let Some(out) = out[t].as_chunks_mut::<J>().0.get_mut(index) else { return };
        *out = sums[t];
    }
}
