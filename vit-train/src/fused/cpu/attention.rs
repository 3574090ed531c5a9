//! Attention, one head of one image at a time.
//!
//! 1. Naive: three loops for the scores, a softmax, three loops for the context, with the scores of all heads in memory.
//! 2. The products of a head are too small to be worth a thread and just large enough for the [`product`]: its right
//!    matrix, at most `tokens` rows, is packed, and everything of a head stays in the L1 cache.
//! 3. The scores are rows padded to whole vectors with minus infinity, so that the softmax needs no special case; only
//!    weights are kept for the backward pass.

use super::{
    math,
    product::{product, Output, Packed, View},
    vectors::{sum, update},
};
use crate::dropout::{Dropout, Site};
use pulp::{Arch, Simd};

/// The dimensions of attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Rows of keys and values.
    pub tokens: usize,
    /// Rows of queries.
    pub queries: usize,
    /// Width of all heads.
    pub embed: usize,
    /// Number of heads.
    pub heads: usize,
}

/// Memory that attention works in.
#[derive(Debug, Default)]
pub struct Scratch {
    packed: Packed,
    mask: Vec<f32>,
    /// Scores, or their gradients.
    scores: Vec<f32>,
}

/// More than the lanes of any processor: the scores' padding.
const PADDING: usize = 16;

impl Heads {
    /// The columns of head `head`.
    fn columns(&self, head: usize) -> std::ops::Range<usize> {
        let width = self.embed / self.heads;
        head * width..(head + 1) * width
    }

    /// Forward, for image `image` of the batch: `weights` before and behind the dropout, and the context.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        scratch: &mut Scratch,
        dropout: (&Dropout, Site, usize),
        query: &[f32],
        key_value: &[f32],
        weights: [&mut [f32]; 2],
        context: &mut [f32],
    ) {
        let &Self { tokens, queries, embed, heads } = self;
        let (dropout, site, image) = dropout;
        let key_value = View::rows(key_value, 2 * embed);
        let padded = tokens.next_multiple_of(PADDING);
        scratch.scores.resize(queries * padded, 0.0);
        scratch.scores.fill(f32::NEG_INFINITY);
        scratch.mask.resize(queries * tokens, 0.0);
        let [kept, dropped] = weights;
        let kept = kept.chunks_exact_mut(queries * tokens);
        let dropped = dropped.chunks_exact_mut(queries * tokens);
        for (head, (kept, dropped)) in kept.zip(dropped).enumerate() {
            let columns = self.columns(head);
            let width = columns.len();
            let key = key_value.columns(columns.start);
            scratch.packed.set(key.transpose(), width, tokens);
            let left = View::rows(query, embed).columns(columns.start);
            product(left, &scratch.packed, queries, &mut scratch.scores, padded, Output::default());

            dropout.fill_from(site, (image * heads + head) * tokens * tokens, &mut scratch.mask);
            softmax(&scratch.scores, tokens, kept);
            super::rows::masked(dropped, kept, &scratch.mask);

            scratch.packed.set(key_value.columns(embed + columns.start), tokens, width);
            let (left, out) = (View::rows(dropped, tokens), &mut context[columns.start..]);
            product(left, &scratch.packed, queries, out, embed, Output::default());
        }
    }

    /// Backward, for one image.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        scratch: &mut Scratch,
        query: &[f32],
        key_value: &[f32],
        weights: [&[f32]; 2],
        d_context: &[f32],
        d_query: &mut [f32],
        d_key_value: &mut [f32],
    ) {
        let &Self { tokens, queries, embed, .. } = self;
        let Scratch { packed, scores: d_scores, .. } = scratch;
        d_scores.resize(queries * tokens, 0.0);
        let [kept, dropped] = weights;
        let (kept, dropped) = (kept.chunks_exact(queries * tokens), dropped.chunks_exact(queries * tokens));
        for (head, (kept, dropped)) in kept.zip(dropped).enumerate() {
            let columns = self.columns(head);
            let (start, width) = (columns.start, columns.len());
            let key_value = View::rows(key_value, 2 * embed);
            let (keys, values) = (key_value.columns(start), key_value.columns(embed + start));
            let d_context = View::rows(d_context, embed).columns(start);

            packed.set(values.transpose(), width, tokens);
            product(d_context, packed, queries, d_scores, tokens, Output::default());
            packed.set(d_context, queries, width);
            let d_values = &mut d_key_value[embed + start..];
            product(
                View::rows(dropped, tokens).transpose(),
                packed,
                tokens,
                d_values,
                2 * embed,
                Output::default(),
            );

            softmax_backward(kept, dropped, tokens, d_scores);
            packed.set(keys, tokens, width);
            let d_scores = View::rows(d_scores, tokens);
            product(d_scores, packed, queries, &mut d_query[start..], embed, Output::default());
            packed.set(View::rows(query, embed).columns(start), queries, width);
            let d_keys = &mut d_key_value[start..];
            product(d_scores.transpose(), packed, tokens, d_keys, 2 * embed, Output::default());
        }
    }
}

/// The softmax of rows of `width` scores, which are padded with minus infinity.
#[pulp::with_simd(softmax = Arch::new())]
#[inline(always)]
fn softmax_with_simd<S: Simd>(simd: S, scores: &[f32], width: usize, weights: &mut [f32]) {
    let scores = scores.chunks_exact(width.next_multiple_of(PADDING));
    for (scores, weights) in scores.zip(weights.chunks_exact_mut(width)) {
        let scores = &S::as_simd_f32s(scores).0[..width.div_ceil(S::F32_LANES)];
        let max = scores.iter().fold(scores[0], |max, &score| simd.max_f32s(max, score));
        let max = simd.splat_f32s(simd.reduce_max_f32s(max));
        let mut total = simd.splat_f32s(0.0);
        let (vectors, rest) = S::as_mut_simd_f32s(weights);
        for (index, &score) in scores.iter().enumerate() {
            // Minus infinity gives e^-87, which is nothing beside the 1 of the maximum.
            let e = math::exp(simd, simd.sub_f32s(score, max));
            total = simd.add_f32s(total, e);
            match vectors.get_mut(index) {
                Some(weight) => *weight = e,
                None => simd.partial_store_f32s(rest, e),
            }
        }
        let factor = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(total));
        update(simd, weights, [], |e, []| simd.mul_f32s(e, factor));
    }
}

/// From the gradients behind the dropout to those of the scores: `d = dropped * d - kept * sum(dropped * d)`.
#[pulp::with_simd(softmax_backward = Arch::new())]
#[inline(always)]
fn softmax_backward_with_simd<S: Simd>(simd: S, kept: &[f32], dropped: &[f32], width: usize, d: &mut [f32]) {
    let rows = kept.chunks_exact(width).zip(dropped.chunks_exact(width)).zip(d.chunks_exact_mut(width));
    for ((kept, dropped), d) in rows {
        let total = simd.splat_f32s(-sum(simd, [dropped, d], |[p, d]| simd.mul_f32s(p, d)));
        update(simd, d, [kept, dropped], |d, [kept, dropped]| {
            simd.mul_add_e_f32s(kept, total, simd.mul_f32s(dropped, d))
        });
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the tests compare with the standard library's f64
mod tests {
    use super::*;
    use crate::fused::{cpu::on_each_instruction_set, tests::numbers};

    const ROWS: usize = 3;

    fn textbook(scores: &[f32]) -> Vec<f64> {
        let max = scores.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x.into()));
        let powers: Vec<f64> = scores.iter().map(|&x| (f64::from(x) - max).exp()).collect();
        let total: f64 = powers.iter().sum();
        powers.iter().map(|e| e / total).collect()
    }

    #[test]
    fn softmax_and_its_gradient_are_those_of_the_textbook() {
        for width in [1usize, 2, 7, 8, 16, 17, 50] {
            let stride = width.next_multiple_of(PADDING);
            let mut scores = vec![f32::NEG_INFINITY; ROWS * stride];
            // Small differences, large ones, and one score far above all others.
            for (row, (scores, scale)) in scores.chunks_mut(stride).zip([1.0, 30.0, 1e4]).enumerate() {
                let values = numbers(width, row as u64 + 1);
                scores.iter_mut().zip(values).for_each(|(score, x)| *score = scale * x);
            }
            let expected: Vec<f64> =
                scores.chunks(stride).flat_map(|scores| textbook(&scores[..width])).collect();
            let kept: Vec<f32> = expected.iter().map(|&p| p as f32).collect();
            let mask = |at: usize| if at % 4 == 1 { 0.0 } else { 1.25 };
            let dropped: Vec<f32> = kept.iter().enumerate().map(|(at, p)| mask(at) * p).collect();
            let d = numbers(ROWS * width, 9);
            // d of score i: p_i * (mask_i * d_i - sum over j of p_j * mask_j * d_j).
            let gradient = |at: usize| {
                let masked = |at: usize| f64::from(mask(at)) * f64::from(d[at]);
                let row = at / width * width;
                let total: f64 = (row..row + width).map(|at| expected[at] * masked(at)).sum();
                expected[at] * (masked(at) - total)
            };
            on_each_instruction_set!(simd => {
                let mut weights = vec![7.0; ROWS * width];
                softmax_with_simd(simd, &scores, width, &mut weights);
                for (found, expected) in weights.iter().zip(&expected) {
                    assert!((f64::from(*found) - expected).abs() < 1e-6, "{width}: {found}, not {expected}");
                }
                let mut found = d.clone();
                softmax_backward_with_simd(simd, &kept, &dropped, width, &mut found);
                for (at, &found) in found.iter().enumerate() {
                    let expected = gradient(at);
                    assert!((f64::from(found) - expected).abs() < 1e-6, "{width}: {found}, not {expected}");
                }
            });
        }
    }
}
