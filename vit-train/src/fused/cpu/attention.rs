//! Attention, computed for one head of several images at a time.
//!
//! From naive to fast:
//!
//! 1. Naive: three loops for the scores, a softmax, three loops for the context, with the scores of all heads in
//!    memory.
//! 2. The products of a head are computed like those of a linear layer. This does not pay, because the matrices are so
//!    small that most tiles are incomplete, and packing takes as long as multiplying.
//! 3. Each lane of a vector holds one image ([`lanes`](super::lanes)). Every step of a product and of a softmax works
//!    on full vectors, for any number of tokens and any width of a head. A tile of up to 3 rows of 4 sums stays in
//!    registers: one step of the inner loop loads 7 vectors for 12 multiply-adds. This is the code below.

use super::{
    lanes::{Part, CHUNK},
    math,
    memory::Memory,
};
use crate::network::dropout::{Dropout, Site};
use pulp::{Arch, NullaryFnOnce, Simd};
use std::{array, mem};

/// The dimensions of attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// The number of rows of keys and values.
    pub tokens: usize,
    /// The number of rows of queries.
    pub queries: usize,
    /// The width of all heads together.
    pub embed: usize,
    /// The number of heads.
    pub heads: usize,
}

/// The dropout masks of attention's weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks<'a> {
    /// The dropout of this step.
    pub dropout: &'a Dropout,
    /// The site of this block's attention.
    pub site: Site,
    /// The position of the first image in the batch.
    pub first: usize,
}

/// The memory that attention works in. It is reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The queries of all images.
    query: Memory,
    /// The keys and values of all images.
    key_value: Memory,
    /// The context of one group, or its gradient.
    context: Memory,
    /// The gradient of the queries, the keys or the values of one group.
    gradient: Memory,
    /// The gradients of the scores of one group.
    scores: Memory,
    /// The masks of one group, image by image.
    masks: Memory,
    /// The masks of one group, with one image to a lane.
    mask: Memory,
}

impl Heads {
    /// Returns the number of weights of one head of an image.
    const fn weights(&self) -> usize {
        self.queries * self.tokens
    }

    /// Returns a head's part of the queries, or of the context.
    const fn query(&self, head: usize) -> Part {
        let &Self { queries, embed, heads, .. } = self;
        let columns = embed / heads;
        Part { image_len: queries * embed, first: head * columns, stride: embed, rows: queries, columns }
    }

    /// Returns a head's part of the keys.
    const fn key(&self, head: usize) -> Part {
        let &Self { tokens, embed, heads, .. } = self;
        let columns = embed / heads;
        Part {
            image_len: tokens * 2 * embed,
            first: head * columns,
            stride: 2 * embed,
            rows: tokens,
            columns,
        }
    }

    /// Returns a head's part of the values, which are on the right of the keys.
    const fn value(&self, head: usize) -> Part {
        let key = self.key(head);
        Part { first: key.first + self.embed, ..key }
    }

    /// Returns a head's part of the queries, of the keys and of the values.
    const fn parts(&self, head: usize) -> [Part; 3] {
        [self.query(head), self.key(head), self.value(head)]
    }

    /// Returns the queries, keys and values of a group, which must be in lanes.
    fn inputs<'a, S: Simd>(
        &self,
        group: Group,
        query: &'a [f32],
        key_value: &'a [f32],
    ) -> [Matrix<'a, S::f32s>; 3] {
        let [query_len, key_len] = [self.query(group.head), self.key(group.head)].map(|part| part.len());
        let query = group.of(S::as_simd_f32s(query).0, query_len);
        let (key, value) = group.of(S::as_simd_f32s(key_value).0, 2 * key_len).split_at(key_len);
        [query, key, value].map(|vectors| Matrix::new(vectors, self.embed / self.heads))
    }

    /// Returns the part that covers the whole mask of a head, as one row. It refers to a buffer that has the mask of one
    /// head only.
    const fn mask(&self) -> Part {
        let columns = self.weights();
        Part { image_len: columns, first: 0, stride: columns, rows: 1, columns }
    }

    /// Divides `images` images into groups of up to `lanes`. Returns each of them once for every head.
    fn groups(self, images: usize, lanes: usize) -> impl Iterator<Item = Group> {
        (0..images).step_by(lanes).enumerate().flat_map(move |(index, first)| {
            let count = lanes.min(images - first);
            (0..self.heads).map(move |head| Group { index: index * self.heads + head, head, first, count })
        })
    }
}

/// One head of several images, with at most one image for each lane of a vector.
#[derive(Clone, Copy)]
struct Group {
    /// The position among all groups.
    index: usize,
    head: usize,
    /// The first image.
    first: usize,
    /// The number of images.
    count: usize,
}

impl Group {
    /// Returns the group's `len` vectors among those of all groups.
    fn of<V>(self, vectors: &[V], len: usize) -> &[V] {
        &vectors[self.index * len..][..len]
    }

    /// Returns the group's `len` vectors among those of all groups.
    fn of_mut<V>(self, vectors: &mut [V], len: usize) -> &mut [V] {
        &mut vectors[self.index * len..][..len]
    }

    /// Loads `part` of the group's images into `vectors`, with one image to a lane.
    #[inline(always)]
    fn load<S: Simd>(self, simd: S, part: Part, images: &[f32], vectors: &mut [S::f32s]) {
        part.load(simd, &images[self.first * part.image_len..], self.count, vectors);
    }

    /// Stores `vectors` as `part` of the group's images.
    #[inline(always)]
    fn store<S: Simd>(self, simd: S, vectors: &[S::f32s], part: Part, images: &mut [f32]) {
        part.store(simd, vectors, self.count, &mut images[self.first * part.image_len..]);
    }

    /// Fills `images` with the masks of the group's images, one after the other.
    fn fill_masks(self, heads: Heads, masks: Masks<'_>, images: &mut Memory) {
        let len = heads.weights();
        images.resize(self.count * len);
        for (image, mask) in images.chunks_exact_mut(len).enumerate() {
            // Masks are numbered as if every token had a query, even in the last block, where only the class token has
            // one.
            let number = (masks.first + self.first + image) * heads.heads + self.head;
            masks.dropout.fill_from(masks.site, number * heads.tokens * heads.tokens, mask);
        }
    }
}

/// Computes attention for `images` images: the `weights` before and after the dropout, and the context. The factor
/// `1 / sqrt(HEAD_DIM)` is already in the queries: see [`fold`](crate::fused::fold).
///
/// `query` and `key_value` are rows when it is called. When it returns, they and `weights` are vectors with one image
/// to a lane, group by group, as [`backward`] takes them. Their memory must have room for whole vectors.
#[pulp::with_simd(forward = Arch::new())]
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward_with_simd<S: Simd>(
    simd: S,
    heads: Heads,
    scratch: &mut Scratch,
    masks: Masks<'_>,
    images: usize,
    query: &mut Memory,
    key_value: &mut Memory,
    weights: [&mut [f32]; 2],
    context: &mut [f32],
) {
    const { assert!(CHUNK.is_multiple_of(S::F32_LANES), "a chunk must fill all lanes of its vectors") };
    scratch.query.resize(query.len());
    scratch.key_value.resize(key_value.len());
    let [kept, dropped] = weights.map(|weights| S::as_mut_simd_f32s(weights).0);
    for group in heads.groups(images, S::F32_LANES) {
        let [query_part, key_part, value_part] = heads.parts(group.head);
        let vectors = S::as_mut_simd_f32s(&mut scratch.query).0;
        group.load(simd, query_part, query, group.of_mut(vectors, query_part.len()));
        let vectors = S::as_mut_simd_f32s(&mut scratch.key_value).0;
        let (key, value) = group.of_mut(vectors, 2 * key_part.len()).split_at_mut(key_part.len());
        group.load(simd, key_part, key_value, key);
        group.load(simd, value_part, key_value, value);
        let [query, key, value] = heads.inputs::<S>(group, &scratch.query, &scratch.key_value);
        let kept = group.of_mut(kept, heads.weights());
        let dropped = group.of_mut(dropped, heads.weights());
        group.fill_masks(heads, masks, &mut scratch.masks);
        let mask = scratch.mask.vectors::<S>(heads.weights());
        Group { first: 0, ..group }.load(simd, heads.mask(), &scratch.masks, mask);

        multiply(simd, query, key.transpose(), kept);
        softmax(simd, kept, heads.tokens);
        for ((dropped, &kept), &mask) in dropped.iter_mut().zip(&*kept).zip(&*mask) {
            *dropped = simd.mul_f32s(kept, mask);
        }
        let result = scratch.context.vectors::<S>(query_part.len());
        multiply(simd, Matrix::new(dropped, heads.tokens), value, result);
        group.store(simd, result, query_part, context);
    }
    mem::swap(query, &mut scratch.query);
    mem::swap(key_value, &mut scratch.key_value);
}

/// Computes the gradients of queries, keys and values of `images` images. `query`, `key_value` and `weights` are in
/// lanes, as [`forward`] left them; the gradients are rows.
#[pulp::with_simd(backward = Arch::new())]
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward_with_simd<S: Simd>(
    simd: S,
    heads: Heads,
    scratch: &mut Scratch,
    images: usize,
    query: &[f32],
    key_value: &[f32],
    weights: [&[f32]; 2],
    d_context: &[f32],
    d_query: &mut [f32],
    d_key_value: &mut [f32],
) {
    let weights = weights.map(|weights| S::as_simd_f32s(weights).0);
    for group in heads.groups(images, S::F32_LANES) {
        let [query_part, key_part, value_part] = heads.parts(group.head);
        let [query, key, value] = heads.inputs::<S>(group, query, key_value);
        let [kept, dropped] = weights.map(|weights| group.of(weights, heads.weights()));
        let d_vectors = scratch.context.vectors::<S>(query_part.len());
        group.load(simd, query_part, d_context, d_vectors);
        let d_context = Matrix::new(d_vectors, query_part.columns);

        let gradient = scratch.gradient.vectors::<S>(key_part.len());
        multiply(simd, Matrix::new(dropped, heads.tokens).transpose(), d_context, gradient);
        group.store(simd, gradient, value_part, d_key_value);

        let d_scores = scratch.scores.vectors::<S>(heads.weights());
        multiply(simd, d_context, value.transpose(), d_scores);
        softmax_backward(simd, kept, dropped, heads.tokens, d_scores);
        let d_scores = Matrix::new(d_scores, heads.tokens);
        multiply(simd, d_scores.transpose(), query, gradient);
        group.store(simd, gradient, key_part, d_key_value);
        let gradient = &mut gradient[..query_part.len()];
        multiply(simd, d_scores, key, gradient);
        group.store(simd, gradient, query_part, d_query);
    }
}

/// The buffers that are in lanes between [`forward`] and [`backward`].
#[cfg(test)]
#[derive(Clone, Copy)]
pub(crate) enum InLanes {
    Query,
    KeyValues,
    Weights,
}

#[cfg(test)]
impl InLanes {
    /// Returns every part of every group, and the range of its vectors.
    fn parts(self, heads: Heads, images: usize, lanes: usize) -> Vec<(Group, Part, std::ops::Range<usize>)> {
        let mut start = 0;
        let parts = heads.groups(images, lanes).flat_map(|group| {
            let ([query, key, value], columns) = (heads.parts(group.head), heads.weights());
            let parts = match self {
                Self::Query => vec![query],
                Self::KeyValues => vec![key, value],
                Self::Weights => vec![Part {
                    image_len: heads.heads * columns,
                    first: group.head * columns,
                    ..heads.mask()
                }],
            };
            parts.into_iter().map(move |part| (group, part))
        });
        let vectors = parts.map(|(group, part)| {
            let range = start..start + part.len();
            start = range.end;
            (group, part, range)
        });
        vectors.collect()
    }
}

/// Copies the buffer `what` of `images` images from `rows` to `lanes`.
#[cfg(test)]
#[pulp::with_simd(to_lanes = Arch::new())]
#[inline(always)]
pub(crate) fn to_lanes_with_simd<S: Simd>(
    simd: S,
    what: InLanes,
    heads: Heads,
    images: usize,
    rows: &[f32],
    lanes: &mut [f32],
) {
    for (group, part, vectors) in what.parts(heads, images, S::F32_LANES) {
        group.load(simd, part, rows, &mut S::as_mut_simd_f32s(lanes).0[vectors]);
    }
}

/// Copies the buffer `what` of `images` images from `lanes` to `rows`.
#[cfg(test)]
#[pulp::with_simd(to_rows = Arch::new())]
#[inline(always)]
pub(crate) fn to_rows_with_simd<S: Simd>(
    simd: S,
    what: InLanes,
    heads: Heads,
    images: usize,
    lanes: &[f32],
    rows: &mut [f32],
) {
    for (group, part, vectors) in what.parts(heads, images, S::F32_LANES) {
        group.store(simd, &S::as_simd_f32s(lanes).0[vectors], part, rows);
    }
}

/// Replaces rows of `columns` scores by their softmax.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [S::f32s], columns: usize) {
    for row in scores.chunks_exact_mut(columns) {
        let max = row.iter().fold(row[0], |max, &score| simd.max_f32s(max, score));
        let mut total = simd.splat_f32s(0.0);
        for score in row.iter_mut() {
            [*score] = math::exp(simd, [simd.sub_f32s(*score, max)]);
            total = simd.add_f32s(total, *score);
        }
        let factor = simd.div_f32s(simd.splat_f32s(1.0), total);
        row.iter_mut().for_each(|e| *e = simd.mul_f32s(*e, factor));
    }
}

/// Turns `d`, the gradient of the weights after the dropout, into the gradient of the scores: `d = dropped * d - kept *
/// sum(dropped * d)`, where `kept` are the weights before the dropout and `dropped` those after it.
#[inline(always)]
fn softmax_backward<S: Simd>(
    simd: S,
    kept: &[S::f32s],
    dropped: &[S::f32s],
    columns: usize,
    d: &mut [S::f32s],
) {
    let rows = kept.chunks_exact(columns).zip(dropped.chunks_exact(columns));
    for (d, (kept, dropped)) in d.chunks_exact_mut(columns).zip(rows) {
        let mut total = simd.splat_f32s(0.0);
        for (d, &dropped) in d.iter_mut().zip(dropped) {
            *d = simd.mul_f32s(dropped, *d);
            total = simd.add_f32s(total, *d);
        }
        let total = simd.neg_f32s(total);
        d.iter_mut().zip(kept).for_each(|(d, &kept)| *d = simd.mul_add_e_f32s(kept, total, *d));
    }
}

/// A matrix of vectors, or its transpose.
#[derive(Clone, Copy)]
struct Matrix<'a, V> {
    /// The elements, at least `rows * columns`.
    values: &'a [V],
    rows: usize,
    columns: usize,
    /// The distances in `values` from one row to the next, and from one column to the next.
    strides: [usize; 2],
}

impl<'a, V: Copy> Matrix<'a, V> {
    fn new(values: &'a [V], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns, strides: [columns, 1] }
    }

    fn transpose(self) -> Self {
        let [row, column] = self.strides;
        Self { rows: self.columns, columns: self.rows, strides: [column, row], ..self }
    }

    /// Returns one element, without a bounds check.
    ///
    /// # Safety
    /// - `row` must be below `rows`.
    /// - `column` must be below `columns`.
    #[inline(always)]
    unsafe fn at(&self, row: usize, column: usize) -> V {
        // SAFETY: `values` has at least `rows * columns` elements. The strides are `[columns, 1]`, or `[1, rows]` in a
        // transpose. The caller guarantees that `row` and `column` are in the matrix, so the index is below
        // `rows * columns`.
        unsafe { *self.values.get_unchecked(row * self.strides[0] + column * self.strides[1]) }
    }
}

/// Sets `out = left * right`, row by row.
#[inline(always)]
fn multiply<'a, S: Simd>(
    simd: S,
    left: Matrix<'a, S::f32s>,
    right: Matrix<'a, S::f32s>,
    out: &'a mut [S::f32s],
) {
    assert!(
        left.columns == right.rows && left.rows * right.columns == out.len(),
        "the sizes of the matrices do not match"
    );
    // `vectorize` keeps it a function of its own. Inlined, it would be compiled again for every call.
    simd.vectorize(Multiply { simd, left, right, out });
}

struct Multiply<'a, S: Simd> {
    simd: S,
    left: Matrix<'a, S::f32s>,
    right: Matrix<'a, S::f32s>,
    out: &'a mut [S::f32s],
}

/// The rows and columns of the largest tile: its 12 sums leave 4 of 16 registers for the factors.
const TILE: [usize; 2] = [3, 4];

impl<S: Simd> NullaryFnOnce for Multiply<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        for row in pieces(self.left.rows, TILE[0]) {
            for column in pieces(self.right.columns, TILE[1]) {
                match (row.len(), column.len()) {
                    (1, 1) => self.tile::<1, 1>(row.start, column.start),
                    (1, 2) => self.tile::<1, 2>(row.start, column.start),
                    (1, 3) => self.tile::<1, 3>(row.start, column.start),
                    (1, _) => self.tile::<1, 4>(row.start, column.start),
                    (2, 1) => self.tile::<2, 1>(row.start, column.start),
                    (2, 2) => self.tile::<2, 2>(row.start, column.start),
                    (2, 3) => self.tile::<2, 3>(row.start, column.start),
                    (2, _) => self.tile::<2, 4>(row.start, column.start),
                    (_, 1) => self.tile::<3, 1>(row.start, column.start),
                    (_, 2) => self.tile::<3, 2>(row.start, column.start),
                    (_, 3) => self.tile::<3, 3>(row.start, column.start),
                    _ => self.tile::<3, 4>(row.start, column.start),
                }
            }
        }
    }
}

/// Cuts `len` into as few pieces of at most `max` as possible. Their lengths differ by at most 1.
fn pieces(len: usize, max: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    (1..=len.div_ceil(max)).rev().map(move |left| {
        let piece = start..start + (len - start).div_ceil(left);
        start = piece.end;
        piece
    })
}

impl<S: Simd> Multiply<'_, S> {
    /// Computes the tile of `R` rows from `row` on and `C` columns from `column` on.
    #[inline(always)]
    fn tile<const R: usize, const C: usize>(&mut self, row: usize, column: usize) {
        let &mut Self { simd, left, right, .. } = self;
        assert!(row + R <= left.rows && column + C <= right.columns && left.columns <= right.rows);
        let mut sums = [[simd.splat_f32s(0.0); C]; R];
        for k in 0..left.columns {
            // SAFETY: the assertion above guarantees that rows `row..row + R` are in the left matrix and columns
            // `column..column + C` in the right one. `k` is below `left.columns`, and so below `right.rows`.
            let (left, right): ([_; R], [_; C]) = unsafe {
                (array::from_fn(|r| left.at(row + r, k)), array::from_fn(|c| right.at(k, column + c)))
            };
            for (sums, left) in sums.iter_mut().zip(left) {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = simd.mul_add_e_f32s(left, right, *sum);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            self.out[(row + r) * right.columns + column..][..C].copy_from_slice(&sums);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the tests compare with the standard library's f64
mod tests {
    use super::*;
    use crate::fused::{cpu::on_each_instruction_set, tests::numbers};

    const SITE: Site = Site::Attention(1);
    /// The position of the first image in the batch.
    const FIRST: usize = 3;

    /// The context and the gradients in f64, computed by the textbook's formulas.
    #[derive(Default)]
    struct Textbook {
        context: Vec<f64>,
        d_query: Vec<f64>,
        d_key_value: Vec<f64>,
    }

    /// Computes one head of one image, and adds it to `sums`.
    fn textbook(
        Heads { tokens, queries, embed, heads }: Heads,
        (image, head): (usize, usize),
        dropout: &Dropout,
        [query, key_value, d_context]: [&[f32]; 3],
        sums: &mut Textbook,
    ) {
        let width = embed / heads;
        let row = |i: usize, d: usize| (image * queries + i) * embed + head * width + d;
        let key = |j: usize, d: usize| (image * tokens + j) * 2 * embed + head * width + d;
        let value = |j: usize, d: usize| key(j, d) + embed;
        let mut mask = vec![0.0; queries * tokens];
        dropout.fill_from(SITE, ((FIRST + image) * heads + head) * tokens * tokens, &mut mask);
        let mask = |i: usize, j: usize| f64::from(mask[i * tokens + j]);
        let number = |slice: &[f32], at: usize| f64::from(slice[at]);
        for i in 0..queries {
            let score = |j| -> f64 {
                (0..width).map(|d| number(query, row(i, d)) * number(key_value, key(j, d))).sum()
            };
            let max = (0..tokens).map(score).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = (0..tokens).map(|j| (score(j) - max).exp()).sum();
            let kept = |j| (score(j) - max).exp() / total;
            let d_dropped = |j| -> f64 {
                (0..width).map(|d| number(d_context, row(i, d)) * number(key_value, value(j, d))).sum()
            };
            let mean: f64 = (0..tokens).map(|j| kept(j) * mask(i, j) * d_dropped(j)).sum();
            for j in 0..tokens {
                let d_score = kept(j) * (mask(i, j) * d_dropped(j) - mean);
                for d in 0..width {
                    let dropped = kept(j) * mask(i, j);
                    sums.context[row(i, d)] += dropped * number(key_value, value(j, d));
                    sums.d_key_value[value(j, d)] += dropped * number(d_context, row(i, d));
                    sums.d_query[row(i, d)] += d_score * number(key_value, key(j, d));
                    sums.d_key_value[key(j, d)] += d_score * number(query, row(i, d));
                }
            }
        }
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f64], what: &str) {
        for (at, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error < 2e-6 * (3.0 + expected.abs()), "{what} {at}: {found}, not {expected}");
        }
    }

    /// The shapes have complete and incomplete tiles and blocks. There are fewer images than lanes, exactly as many,
    /// and more.
    #[test]
    fn attention_and_its_gradients_are_those_of_the_textbook() {
        let shapes =
            [(5, 5, 6, 2), (5, 1, 6, 2), (17, 17, 24, 1), (2, 2, 5, 1), (13, 13, 14, 2), (1, 1, 8, 2)];
        for (tokens, queries, embed, heads) in shapes {
            let heads = Heads { tokens, queries, embed, heads };
            for (images, scale) in [(1, 1.0), (3, 4.0), (8, 1.0), (19, 2.0)] {
                let dropout = Dropout::new(0.25, 7, 1);
                let query: Vec<f32> =
                    numbers(images * queries * embed, 1).iter().map(|x| scale * x).collect();
                let key_value = numbers(images * tokens * 2 * embed, 2);
                let d_context = numbers(images * queries * embed, 3);
                let mut expected = Textbook {
                    context: vec![0.0; query.len()],
                    d_query: vec![0.0; query.len()],
                    d_key_value: vec![0.0; key_value.len()],
                };
                for image in 0..images {
                    for head in 0..heads.heads {
                        let numbers = [&query[..], &key_value, &d_context];
                        textbook(heads, (image, head), &dropout, numbers, &mut expected);
                    }
                }
                on_each_instruction_set!(simd => {
                    let mut scratch = Scratch::default();
                    let masks = Masks { dropout: &dropout, site: SITE, first: FIRST };
                    // Room for whole vectors of any processor.
                    let room = |numbers: &[f32], len: usize| {
                        let mut memory = Memory::zeros(images.next_multiple_of(CHUNK) * len);
                        memory.fill(f32::NAN);
                        memory[..numbers.len()].copy_from_slice(numbers);
                        memory
                    };
                    let (mut query, mut key_value) = (room(&query, queries * embed), room(&key_value, 2 * tokens * embed));
                    let weights = heads.heads * heads.weights();
                    let (mut kept, mut dropped) = (room(&[], weights), room(&[], weights));
                    let mut context = vec![f32::NAN; expected.context.len()];
                    forward_with_simd(
                        simd, heads, &mut scratch, masks, images, &mut query, &mut key_value,
                        [&mut kept, &mut dropped], &mut context,
                    );
                    let mut d_query = vec![f32::NAN; expected.d_query.len()];
                    let mut d_key_value = vec![f32::NAN; expected.d_key_value.len()];
                    backward_with_simd(
                        simd, heads, &mut scratch, images, &query, &key_value, [&kept, &dropped],
                        &d_context, &mut d_query, &mut d_key_value,
                    );
                    assert_close(&context, &expected.context, "context");
                    assert_close(&d_query, &expected.d_query, "queries");
                    assert_close(&d_key_value, &expected.d_key_value, "keys and values");
                });
            }
        }
    }

    /// The rows have small differences, large ones, and one score far above all others. Every lane has the same scores.
    #[test]
    fn softmax_and_its_gradient_are_those_of_the_textbook() {
        for width in [1usize, 2, 7, 8, 16, 17, 50] {
            let scores: Vec<f32> = [1.0, 30.0, 1e4]
                .iter()
                .zip(1..)
                .flat_map(|(scale, seed)| numbers(width, seed).into_iter().map(move |x| scale * x))
                .collect();
            let expected: Vec<f64> = scores.chunks(width).flat_map(powers).collect();
            let mask = |at: usize| if at % 4 == 1 { 0.0 } else { 1.25 };
            let d = numbers(scores.len(), 9);
            // d of score i: p_i * (mask_i * d_i - sum over j of p_j * mask_j * d_j).
            let gradient = |at: usize| {
                let masked = |at: usize| f64::from(mask(at)) * f64::from(d[at]);
                let row = at / width * width;
                let total: f64 = (row..row + width).map(|at| expected[at] * masked(at)).sum();
                expected[at] * (masked(at) - total)
            };
            on_each_instruction_set!(simd => {
                let splat = |x: f32| simd.splat_f32s(x);
                let mut weights: Vec<_> = scores.iter().map(|&x| splat(x)).collect();
                softmax(simd, &mut weights, width);
                let kept: Vec<_> = expected.iter().map(|&p| splat(p as f32)).collect();
                let dropped: Vec<_> =
                    expected.iter().enumerate().map(|(at, &p)| splat(mask(at) * p as f32)).collect();
                let mut found: Vec<_> = d.iter().map(|&x| splat(x)).collect();
                softmax_backward(simd, &kept, &dropped, width, &mut found);
                for (at, (weight, found)) in weights.iter().zip(&found).enumerate() {
                    for &weight in bytemuck::cast_slice::<_, f32>(std::slice::from_ref(weight)) {
                        let expected = expected[at];
                        assert!((f64::from(weight) - expected).abs() < 1e-6, "{width}: {weight}, not {expected}");
                    }
                    for &found in bytemuck::cast_slice::<_, f32>(std::slice::from_ref(found)) {
                        let expected = gradient(at);
                        assert!((f64::from(found) - expected).abs() < 1e-6, "{width}: {found}, not {expected}");
                    }
                }
            });
        }
    }

    /// Returns the softmax of a row.
    fn powers(scores: &[f32]) -> Vec<f64> {
        let max = scores.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x.into()));
        let powers: Vec<f64> = scores.iter().map(|&x| (f64::from(x) - max).exp()).collect();
        let total: f64 = powers.iter().sum();
        powers.iter().map(|e| e / total).collect()
    }

    #[test]
    fn pieces_are_of_nearly_the_same_length() {
        let lengths = |len| pieces(len, 4).map(|piece| piece.len()).collect::<Vec<_>>();
        assert_eq!(lengths(17), [4, 4, 3, 3, 3]);
        assert_eq!(lengths(8), [4, 4]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(pieces(5, 3).collect::<Vec<_>>(), [0..3, 3..5]);
    }

    /// Nothing is read after the end of a matrix.
    #[test]
    #[should_panic(expected = "the sizes of the matrices do not match")]
    fn matrices_must_fit() {
        let values = [1.0; 12];
        let mut out = [0.0; 9];
        let left = Matrix::new(&values, 4);
        multiply(pulp::Scalar::new(), left, left, &mut out);
    }
}
