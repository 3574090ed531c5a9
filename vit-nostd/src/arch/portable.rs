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

/// Channels of a head side by side: a probability is fetched once for all of them.
const GROUP: usize = if cfg!(target_arch = "arm") { 4 } else { 8 };

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
        scores::<S>(query, tokens, head, keys, out);
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
        context::<S>(probabilities, tokens, head, values, scale, out);
    }
}

/// See [`Kernels::scores`].
#[inline(always)]
pub fn scores<S: Shape>(query: &Tile<'_>, tokens: usize, head: usize, keys: &Rows<S>, out: &mut Scores<S>) {
    let channels = head * S::HEAD_DIM..(head + 1) * S::HEAD_DIM;
    for (token, scores) in out.iter_mut().enumerate().take(tokens) {
        let query = query.row(token).get(channels.clone()).unwrap_or_default();
        for (score, key) in scores.as_mut().iter_mut().zip(keys.as_ref()) {
            *score = dot(query, key.as_ref().get(channels.clone()).unwrap_or_default());
        }
    }
}

/// See [`Kernels::context`].
#[inline(always)]
pub fn context<S: Shape>(
    probabilities: &Scores<S>,
    tokens: usize,
    head: usize,
    values: &Rows<S>,
    scale: Scale,
    out: &mut Tile<'_>,
) {
    for (token, probabilities) in probabilities.iter().enumerate().take(tokens) {
        let mut channel = head * S::HEAD_DIM;
        let context = out.row_mut(token).get_mut(channel..channel + S::HEAD_DIM).unwrap_or_default();
        for context in context.chunks_mut(GROUP) {
            let mut sums = [0; GROUP];
            for (&p, value) in probabilities.as_ref().iter().zip(values.as_ref()) {
                let values = value.as_ref().get(channel..).unwrap_or_default();
                match values.first_chunk::<GROUP>() {
                    Some(values) => sums.iter_mut().zip(values).for_each(|(sum, &v)| *sum += p * i32::from(v)),
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
/// Whether it pays to take all rows and tokens through one loop: not where the loop of one pair is vectorised, nor where
/// the registers do not suffice.
const SIDE_BY_SIDE: bool = cfg!(target_arch = "arm") && TILE > 1;

/// The sums of products of two rows of weights with all tokens; what is behind `tokens` does not count.
#[inline(always)]
fn dots<R: Row>(x: &Tile<'_>, tokens: usize, rows: &[i8]) -> [[i32; TILE]; PAIR] {
    let mut sums = [[0; TILE]; PAIR];
    let (first, second) = rows.split_at_checked(R::LEN).unwrap_or((rows, &[]));
    if SIDE_BY_SIDE && tokens == TILE {
        // Two tokens: the first one and the last one.
        let (one, other) = (x.row(0).as_chunks::<4>().0, x.row(TILE - 1).as_chunks::<4>().0);
        let (first, second) = (first.as_chunks::<4>().0, second.as_chunks::<4>().0);
        let [mut s, mut t, mut u, mut v] = [0; 4];
        for (((a, b), x), y) in first.iter().zip(second).zip(one).zip(other) {
            for k in 0..4 {
                let (a, b, x, y) = (i32::from(a[k]), i32::from(b[k]), i32::from(x[k]), i32::from(y[k]));
                (s, t, u, v) = in_registers((s + a * x, t + a * y, u + b * x, v + b * y));
            }
        }
        (sums[0][0], sums[0][TILE - 1], sums[1][0], sums[1][TILE - 1]) = (s, t, u, v);
    } else {
        for token in 0..tokens.min(TILE) {
            sums[0][token] = dot(x.row(token), first);
            sums[1][token] = dot(x.row(token), second);
        }
    }
    sums
}

/// The same values. Without this, the compiler takes the four sums one after the other, and lays all that it has fetched
/// for the first one on the stack for the next.
#[inline(always)]
#[allow(unused_mut)]
fn in_registers((mut s, mut t, mut u, mut v): (i32, i32, i32, i32)) -> (i32, i32, i32, i32) {
    #[cfg(target_arch = "arm")]
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!(
            "/* {} {} {} {} */", inout(reg) s, inout(reg) t, inout(reg) u, inout(reg) v,
            options(pure, nomem, nostack, preserves_flags)
        )
    }
    (s, t, u, v)
}
