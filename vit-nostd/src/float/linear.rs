//! Sums of products, for a few tokens at a time.
//!
//! 1. Naive: a token's sums are in memory, and every input adds its row of weights to them. Each product costs two loads
//!    and a store, and the weights are read again for every token.
//! 2. [`TILE`] tokens at a time take two rows at a time: a weight that was read serves all tokens of the tile, and a sum
//!    is read and written once for two products. Every sum still runs over the inputs upwards: the bits are the same.

use crate::shape::Array;

/// Tokens that go through a layer together.
pub const TILE: usize = 6;
/// Sums that are computed side by side: a vector of AVX, two of SSE.
const LANES: usize = 8;

/// `out[t][j] = bias[j] + sum over k of x[t][k] * weight[k][j]`, k upwards.
#[inline(always)]
pub fn linear<I: Array<f32>, O: Array<f32>, W: Array<O>>(
    x: &[I; TILE],
    weight: &W,
    bias: &O,
    out: &mut [O; TILE],
) {
    *out = [*bias; TILE];
    add_products(
        x.each_ref().map(I::as_ref),
        weight.as_ref().iter().map(O::as_ref),
        out.each_mut().map(O::as_mut),
    );
}

/// `out[t][j] += x[t][k] * row[k][j]` for each row, k upwards. The rows are as long as `out`'s.
#[inline(always)]
pub fn add_products<'a>(
    x: [&[f32]; TILE],
    mut rows: impl Iterator<Item = &'a [f32]>,
    mut out: [&mut [f32]; TILE],
) {
    let mut columns = (0..).map(|k| x.map(|x| x.get(k).copied().unwrap_or_default()));
    while let (Some(row), Some(column)) = (rows.next(), columns.next()) {
        match (rows.next(), columns.next()) {
            (Some(next_row), Some(next)) => add_rows([column, next], [row, next_row], &mut out),
            _ => add_rows([column], [row], &mut out),
        }
    }
}

/// `out[t][j] += x[0][t] * rows[0][j]`, then `+= x[1][t] * rows[1][j]`.
#[inline(always)]
fn add_rows<const K: usize>(x: [[f32; TILE]; K], rows: [&[f32]; K], out: &mut [&mut [f32]; TILE]) {
    let len = rows[0].len();
    for index in 0..len / LANES {
        add_part::<K, LANES>(&x, rows, out, index);
    }
    // What is left, such as the classes behind a multiple of `LANES`.
    for index in len / LANES * LANES..len {
        add_part::<K, 1>(&x, rows, out, index);
    }
}

/// The sums from `J * index` on, `J` of them.
#[inline(always)]
fn add_part<const K: usize, const J: usize>(
    x: &[[f32; TILE]; K],
    rows: [&[f32]; K],
    out: &mut [&mut [f32]; TILE],
    index: usize,
) {
    for t in 0..TILE {
        let Some(out) = out[t].as_chunks_mut::<J>().0.get_mut(index) else { return };
        let mut sums = *out;
        for k in 0..K {
            let Some(row) = rows[k].as_chunks::<J>().0.get(index) else { return };
            for j in 0..J {
                sums[j] += x[k][t] * row[j];
            }
        }
        *out = sums;
    }
}
