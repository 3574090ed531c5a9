//! Kernels in plain Rust.

use super::{Kernels, Rows, Scores, Tile, TILE};
use crate::{
    int8::{
        layer_norm::{layer_norm, Norm},
        linear::{dot, Linear, Output, Row},
        requantize::{requantize, sat8, Scale},
        softmax::{softmax, ExpTable},
    },
    shape::Shape,
};

/// Kernels in plain Rust, for every processor.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Outputs side by side: an activation is fetched once for both.
const PAIR: usize = 2;

impl Kernels for Portable {
    const NAME: &'static str = "portable";

    #[inline(never)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        layer_norm(x, norm, out);
    }

    fn widen(self, _: &mut Tile<'_>, _: usize) {}

    #[inline(never)]
    fn linear<R: Row, O: Output>(self, x: &Tile<'_>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
        let outputs = layer.bias.len();
        let scales = layer.multiplier.chunks(PAIR).zip(layer.shift.chunks(PAIR));
        let mut weights = layer.weight;
        for (pair, (bias, (multiplier, shift))) in layer.bias.chunks(PAIR).zip(scales).enumerate() {
            let (rows, rest) = weights.split_at_checked(PAIR * R::LEN).unwrap_or((weights, &[]));
            weights = rest;
            let sums = dots::<R>(x, tokens, rows);
            for (channel, sums) in sums.iter().enumerate() {
                let (Some(&bias), Some(&multiplier), Some(&shift)) =
                    (bias.get(channel), multiplier.get(channel), shift.get(channel))
                else {
                    break;
                };
                for (token, sum) in sums.iter().enumerate().take(tokens) {
                    if let Some(out) = out.get_mut(token * outputs + PAIR * pair + channel) {
                        out.put(requantize(bias + sum, Scale { multiplier, shift }));
                    }
                }
            }
        }
    }

    #[inline(never)]
    fn scores<S: Shape>(self, query: &Tile<'_>, tokens: usize, head: usize, keys: &Rows<S>, out: &mut Scores<S>) {
        let channels = head * S::HEAD_DIM..(head + 1) * S::HEAD_DIM;
        for (token, scores) in out.iter_mut().enumerate().take(tokens) {
            let query = query.row(token).get(channels.clone()).unwrap_or_default();
            for (score, key) in scores.as_mut().iter_mut().zip(keys.as_ref()) {
                *score = dot(query, key.as_ref().get(channels.clone()).unwrap_or_default());
            }
        }
    }

    #[inline(never)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        softmax(scores, scale, table);
    }

    #[inline(never)]
    fn context<S: Shape>(
        self,
        probabilities: &Scores<S>,
        tokens: usize,
        head: usize,
        values: &Rows<S>,
        scale: Scale,
        out: &mut Tile<'_>,
    ) {
        for (token, probabilities) in probabilities.iter().enumerate().take(tokens) {
            let context = out.row_mut(token).iter_mut().skip(head * S::HEAD_DIM).take(S::HEAD_DIM);
            for (offset, out) in context.enumerate() {
                let channel = head * S::HEAD_DIM + offset;
                let column = values.as_ref().iter().filter_map(|value| value.as_ref().get(channel));
                let sum = probabilities.as_ref().iter().zip(column).map(|(&p, &v)| p * i32::from(v)).sum();
                *out = sat8(requantize(sum, scale));
            }
        }
    }
}

/// The sums of products of two rows of weights with all tokens; what is behind `tokens` does not count.
#[inline(always)]
fn dots<R: Row>(x: &Tile<'_>, tokens: usize, rows: &[i8]) -> [[i32; TILE]; PAIR] {
    let (first, second) = rows.split_at_checked(R::LEN).unwrap_or((rows, &[]));
    let mut sums = [[0; TILE]; PAIR];
    if tokens == TILE {
        let x: [&[i8]; TILE] = core::array::from_fn(|token| x.row(token).get(..R::LEN).unwrap_or_default());
        for (k, (&a, &b)) in first.iter().zip(second).enumerate() {
            for (token, x) in x.iter().enumerate() {
                let x = i32::from(x.get(k).copied().unwrap_or_default());
                sums[0][token] += x * i32::from(a);
                sums[1][token] += x * i32::from(b);
            }
        }
    } else {
        for token in 0..tokens.min(TILE) {
            sums[0][token] = dot(x.row(token), first);
            sums[1][token] = dot(x.row(token), second);
        }
    }
    sums
}
