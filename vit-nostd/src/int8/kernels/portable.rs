//! Kernels in plain Rust.

use super::{Kernels, Output, Rows, Scores, Tile, TILE};
use crate::{
    int8::{
        layer_norm::{layer_norm, Norm},
        linear::{dot, Linear, Row},
        requantize::{requantize, sat8, Scale},
        softmax::{softmax, ExpTable},
    },
    network::Network,
};
use core::ops::Range;

/// Kernels in plain Rust, for every processor.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Outputs side by side: an activation is fetched once for both.
const PAIR: usize = 2;

/// Channels of a head side by side: a probability is fetched once for all of them.
const GROUP: usize = if cfg!(target_arch = "arm") { 4 } else { 8 };

impl Kernels for Portable {
    fn name(self) -> &'static str {
        "portable"
    }

    #[inline(never)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        layer_norm(x, norm, out);
    }

    fn widen(self, _: &mut Tile<'_>, _: usize) {}

    #[inline(never)]
    fn linear<R: Row, O: Output>(self, x: &Tile<'_>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
        let outputs = layer.bias.len();
        // The outputs are a multiple of 4.
        let (biases, _) = layer.bias.as_chunks::<PAIR>();
        let (multipliers, _) = layer.multiplier.as_chunks::<PAIR>();
        let (shifts, _) = layer.shift.as_chunks::<PAIR>();
        let mut weights = layer.weight;
        let mut first = 0;
        for (bias, (multiplier, shift)) in biases.iter().zip(multipliers.iter().zip(shifts)) {
            let Some((rows, rest)) = weights.split_at_checked(PAIR * R::LEN) else { return };
            weights = rest;
            let Some(sums) = dots::<R>(x, tokens, rows) else { return };
            for channel in 0..PAIR {
                let scale = Scale { multiplier: multiplier[channel], shift: shift[channel] };
                let mut at = first + channel;
                for sum in &sums[channel] {
                    if let Some(out) = out.get_mut(at) {
                        out.put(requantize(bias[channel] + sum, scale));
                    }
                    at += outputs;
                }
            }
            first += PAIR;
        }
    }

    #[inline(never)]
    fn scores<N: Network>(
        self,
        query: &Tile<'_>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<N>,
        out: &mut Scores<N>,
    ) {
        scores::<N>(query, tokens, head, keys, out);
    }

    #[inline(never)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        softmax(scores, scale, table);
    }

    #[inline(never)]
    fn context<N: Network>(
        self,
        probabilities: &Scores<N>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<N>,
        scale: Scale,
        out: &mut Tile<'_>,
    ) {
        context::<N>(probabilities, tokens, head, values, scale, out);
    }
}

/// See [`Kernels::scores`].
#[inline(always)]
pub fn scores<N: Network>(
    query: &Tile<'_>,
    tokens: Range<usize>,
    head: usize,
    keys: &Rows<N>,
    out: &mut Scores<N>,
) {
    let channels = head * N::HEAD_DIM..(head + 1) * N::HEAD_DIM;
    for (token, scores) in tokens.zip(out) {
        let query = query.row(token).get(channels.clone()).unwrap_or_default();
        for (score, key) in scores.as_mut().iter_mut().zip(keys.as_ref()) {
            *score = dot(query, key.as_ref().get(channels.clone()).unwrap_or_default());
        }
    }
}

/// See [`Kernels::context`].
#[inline(always)]
pub fn context<N: Network>(
    probabilities: &Scores<N>,
    tokens: Range<usize>,
    head: usize,
    values: &Rows<N>,
    scale: Scale,
    out: &mut Tile<'_>,
) {
    for (token, probabilities) in tokens.zip(probabilities) {
        let mut channel = head * N::HEAD_DIM;
        let context = out.row_mut(token).get_mut(channel..channel + N::HEAD_DIM).unwrap_or_default();
        for context in context.chunks_mut(GROUP) {
            let mut sums = [0; GROUP];
            for (&p, value) in probabilities.as_ref().iter().zip(values.as_ref()) {
                let values = value.as_ref().get(channel..).unwrap_or_default();
                match values.first_chunk::<GROUP>() {
                    Some(values) => {
                        sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += p * i32::from(v))
                    }
                    None => sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += p * i32::from(v)),
                }
            }
            for (out, &sum) in context.iter_mut().zip(&sums) {
                *out = sat8(requantize(sum, scale));
            }
            channel += GROUP;
        }
    }
}

/// The sums of products of two rows of weights with all tokens; what is behind `tokens` does not count.
#[inline(always)]
fn dots<R: Row>(x: &Tile<'_>, tokens: usize, rows: &[i8]) -> Option<[[i32; TILE]; PAIR]> {
    // Of a single token, too: the rows behind it cost less than another loop.
    #[cfg(kernels = "armv7m")]
    if const { super::armv7m::fits::<R>() } {
        return super::armv7m::dots::<R>(x.rows, rows);
    }
    let mut sums = [[0; TILE]; PAIR];
    let (first, second) = (rows.get(..R::LEN)?, rows.get(R::LEN..2 * R::LEN)?);
    let [a, b] = &mut sums;
    for (token, (a, b)) in a.iter_mut().zip(b).enumerate().take(tokens) {
        let x = x.row(token).get(..R::LEN)?;
        (*a, *b) = (dot(x, first), dot(x, second));
    }
    Some(sums)
}
