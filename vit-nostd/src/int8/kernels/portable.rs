//! The inner loops in plain Rust, for every processor.

use super::tile::{Rows, Scores, Tile};
use crate::{
    int8::{
        layer_norm::{self, Norm},
        linear::{dot, Linear},
        requantize::{requantize, sat16, sat8, Product, Scale, Whole},
        softmax::{self, ExpTable},
    },
    network::Network,
    shape::Array,
};
use core::ops::Range;

/// The number of outputs that are computed together, so that an activation is loaded once for both.
pub(super) const PAIR: usize = 2;

/// The number of channels of a head that are computed together, so that an exponential is loaded once for all of them.
const GROUP: usize = if cfg!(target_arch = "arm") { 4 } else { 8 };

/// The type of the results of a linear layer.
pub(super) trait Output {
    /// Stores a requantized sum: replaces an activation, or adds to a value of the residual stream.
    fn put(&mut self, value: i32);
}

/// Activations.
impl Output for i8 {
    #[inline(always)]
    fn put(&mut self, value: i32) {
        *self = sat8(value);
    }
}

/// Values of the residual stream.
impl Output for i16 {
    #[inline(always)]
    fn put(&mut self, value: i32) {
        *self = sat16(i32::from(*self) + value);
    }
}

/// Computes the LayerNorm of one row.
#[inline(never)]
pub(super) fn layer_norm(x: &[i16], norm: Norm, out: &mut [i8]) {
    layer_norm::layer_norm::<Whole>(x, norm, out);
}

/// Computes a linear layer. `out` has a row for each token.
#[inline(never)]
pub(super) fn linear<R: Array<i8>, O: Output, W, P: Product, const TILE: usize>(
    x: &Tile<'_, W>,
    tokens: usize,
    layer: Linear<'_, R>,
    out: &mut [O],
) {
    linear_by::<R, O, P, TILE>(layer, out, |rows| dots::<R, W, TILE>(x, tokens, rows));
}

/// Computes a linear layer, given a function `dots` that returns the sums of products of two rows of weights with all
/// tokens of a tile, or `None` if it gets too few weights.
#[inline(always)]
pub(super) fn linear_by<R: Array<i8>, O: Output, P: Product, const TILE: usize>(
    layer: Linear<'_, R>,
    out: &mut [O],
    dots: impl Fn(&[i8]) -> Option<[[i32; TILE]; PAIR]>,
) {
    let outputs = layer.bias.len();
    // Nothing remains, because the number of outputs is a multiple of 4.
    let (biases, _) = layer.bias.as_chunks::<PAIR>();
    let (multipliers, _) = layer.multiplier.as_chunks::<PAIR>();
    let (shifts, _) = layer.shift.as_chunks::<PAIR>();
    let mut weights = layer.weight;
    let mut first = 0;
    for (bias, (multiplier, shift)) in biases.iter().zip(multipliers.iter().zip(shifts)) {
        let Some((rows, rest)) = weights.split_at_checked(PAIR * R::LEN) else { return };
        weights = rest;
        let Some(sums) = dots(rows) else { return };
        for channel in 0..PAIR {
            let scale = Scale { multiplier: multiplier[channel], shift: shift[channel] };
            let mut at = first + channel;
            for sum in &sums[channel] {
                if let Some(out) = out.get_mut(at) {
                    out.put(requantize::<P>(bias[channel] + sum, scale));
                }
                at += outputs;
            }
        }
        first += PAIR;
    }
}

/// Returns the sums of products of two rows of weights with the first `tokens` tokens. The other sums are 0. Returns
/// `None` if there are fewer than two rows.
#[inline(always)]
pub(super) fn dots<R: Array<i8>, W, const TILE: usize>(
    x: &Tile<'_, W>,
    tokens: usize,
    rows: &[i8],
) -> Option<[[i32; TILE]; PAIR]> {
    let mut sums = [[0; TILE]; PAIR];
    let (first, second) = (rows.get(..R::LEN)?, rows.get(R::LEN..2 * R::LEN)?);
    let [a, b] = &mut sums;
    for (token, (a, b)) in a.iter_mut().zip(b).enumerate().take(tokens) {
        let x = x.row(token).get(..R::LEN)?;
        (*a, *b) = (dot(x, first), dot(x, second));
    }
    Some(sums)
}

/// Computes the scores of one head for every key, for a range of tokens.
#[inline(never)]
pub(super) fn scores<N: Network, W, const SCORED: usize>(
    query: &Tile<'_, W>,
    tokens: Range<usize>,
    head: usize,
    keys: &Rows<N>,
    out: &mut Scores<N, SCORED>,
) {
    let channels = head * N::HEAD_DIM..(head + 1) * N::HEAD_DIM;
    for (token, scores) in tokens.zip(out) {
        let query = query.row(token).get(channels.clone()).unwrap_or_default();
        for (score, key) in scores.as_mut().iter_mut().zip(keys.as_ref()) {
            *score = dot(query, key.as_ref().get(channels.clone()).unwrap_or_default());
        }
    }
}

/// Turns the scores of one token and head into exponentials, and returns their sum.
#[inline(never)]
pub(super) fn exponentials(scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
    softmax::exponentials::<Whole>(scores, scale, table)
}

/// Computes the weighted sums of one head's values, for a range of tokens, and requantizes them with the scale of each.
#[inline(always)]
pub(super) fn context<N: Network, W, P: Product, const SCORED: usize>(
    exponentials: &Scores<N, SCORED>,
    tokens: Range<usize>,
    head: usize,
    values: &Rows<N>,
    scales: &[Scale; SCORED],
    out: &mut Tile<'_, W>,
) {
    for (token, (exponentials, &scale)) in tokens.zip(exponentials.iter().zip(scales)) {
        let mut channel = head * N::HEAD_DIM;
        let context = out.row_mut(token).get_mut(channel..channel + N::HEAD_DIM).unwrap_or_default();
        for context in context.chunks_mut(GROUP) {
            let mut sums = [0; GROUP];
            for (&w, value) in exponentials.as_ref().iter().zip(values.as_ref()) {
                let values = value.as_ref().get(channel..).unwrap_or_default();
                match values.first_chunk::<GROUP>() {
                    Some(values) => {
                        sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += w * i32::from(v))
                    }
                    None => sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += w * i32::from(v)),
                }
            }
            for (out, &sum) in context.iter_mut().zip(&sums) {
                *out = sat8(requantize::<P>(sum, scale));
            }
            channel += GROUP;
        }
    }
}
