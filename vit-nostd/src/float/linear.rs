//! Sums of products, for a few tokens at a time.
//!
//! 1. The naive way: a token's sums are in memory, and every input adds its row of weights to them. Each product costs
//!    two loads and a store, and the weights are read again for every token.
//! 2. The way used here: [`TILE`] tokens at a time, and as many of their sums as fit into the registers. For each
//!    input, the code reads a few weights, which all tokens of the tile share, and one value of each token, which all
//!    sums of the token share. Every sum still adds its terms in the order of the inputs, so that the bits are the
//!    same.

use crate::{prefetch::prefetch, shape::Array};

/// The number of tokens that go through a layer together.
pub(super) const TILE: usize = 6;
/// The number of a token's sums that are computed together. On 64-bit processors they are two AVX vectors, so that the
/// sums of a tile take 12 of the 16 registers. On a small chip with an FPU they take 24 of the 32 registers.
const WIDE: usize = if cfg!(target_pointer_width = "64") { 16 } else { 4 };
/// The number of a token's sums that are computed together if fewer than [`WIDE`] are left.
const NARROW: usize = if cfg!(target_pointer_width = "64") { 8 } else { 2 };

/// The number of rows by which weights are prefetched ahead. 4 and 8 were about equally fast, 16 and 32 slower
/// (measured on 2026-11-26, see `benchmarks/record`).
const AHEAD: usize = 4;

/// Computes `out[t][j] = bias[j] + sum over k of x[t][k] * weight[k][j]`, in ascending order of `k`.
#[inline(always)]
pub(super) fn linear<I: Array<f32>, O: Array<f32>, W: Array<O>>(
    x: &[I; TILE],
    weight: &W,
    bias: &O,
    out: &mut [O; TILE],
) {
    // The rows are assigned one by one: an unoptimised build would put an array of rows on the stack first.
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

/// Adds `x[t][k] * rows[k][j]` to `out[t][j]` for each row, in ascending order of `k`. Each row is as long as a row of
/// `out`. `stride` is the distance between the starts of two rows in memory, in values; only the prefetching uses it.
#[inline(always)]
pub(super) fn add_products<'a>(
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
    // The remaining sums, such as the scores of a last token.
    for index in wide * WIDE + narrow * NARROW..len {
        add_part::<1>(x, rows.clone(), stride, &mut out, index);
    }
}

/// Computes the `J` sums from number `J * index` on, for all tokens.
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
        // Prefetches what these sums need soon, and what the next sums need. Each access is a whole row away from the
        // one before it, a pattern that hardware prefetchers do not recognise.
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
