//! The float engine: 32-bit IEEE 754 arithmetic in one defined order, so that every machine computes the same bits.
//!
//! # Arithmetic
//!
//! Every operation below is one IEEE 754 single-precision operation, rounded to nearest even. There are no fused
//! multiply-adds and no reordered sums: a sum starts with the first term that is written, and adds the others in
//! ascending order of their index. The square root is [`sqrt`], and `exp` and `gelu` are those of the model's [`Math`],
//! which is [`Polynomial`] by default.
//!
//! | stage | formula |
//! |---|---|
//! | pixel | `x = (p / 255 - mean) / std`, with the mean and the standard deviation of the channel |
//! | linear | `y[j] = ((bias[j] + x[0] * w[0][j]) + x[1] * w[1][j]) + ...` |
//! | stem | `map[y][x] = gelu(linear(values of window (y, x) of the image, row by row, pixel by pixel, channel by channel))`, with 0 for values outside of the image |
//! | embedding | `token[0] = cls + pos[0]`; `token[1 + n] = linear(values of patch n, row by row, pixel by pixel, channel by channel) + pos[1 + n]`, with 0 for values outside of the image or of the map |
//! | LayerNorm | `m = (0 + x[0] + x[1] + ...) / D`; `v = (0 + (x[0] - m)^2 + ...) / D`; `r = 1 / sqrt(v + 1e-6)`; `y[j] = ((x[j] - m) * r) * w[j] + b[j]` |
//! | scores | `s[t] = (0 + q[0] * k[t][0] + ...) * (1 / sqrt(HEAD_DIM))` over the head's channels |
//! | softmax | `e[t] = exp(s[t] - max(s))`; `p[t] = e[t] * (1 / (0 + e[0] + e[1] + ...))` |
//! | context | `c[d] = 0 + p[0] * v[0][d] + p[1] * v[1][d] + ...` |
//! | residual | `x[j] = x[j] + linear(...)[j]` |
//! | logits | `linear(LayerNorm(x of token 0))` with the weights of [`Head`](weights::Head) |
//!
//! Head `h` owns the channels `h * HEAD_DIM ..` of queries, keys, values and context. A block is
//! `x += proj(attention(norm1(x)))`, then `x += mlp(gelu(hidden(norm2(x))))`. Only the class token is needed after the
//! last block, so that the last block computes the query and the MLP of that token alone.

mod linear;
pub mod math;
#[cfg(feature = "micromath")]
mod micromath;
pub mod weights;

use crate::{
    model_file::{
        error::{Field, ModelError},
        Kind, Metadata, ModelFile, Normalization,
    },
    network::{Image, Network},
    observer::{Observer, Probe, Stage, Values},
    shape::{Array, Element, Matrix, Vector},
    tokenizer::{move_to_front, Windows},
};
use core::{array, marker::PhantomData, ops::Range};
use linear::{add_products, linear, TILE};
use math::{sqrt, Math, Polynomial};
use weights::{Block, Weights};

#[cfg(feature = "micromath")]
pub use self::micromath::Micromath;

pub use crate::model_file::LAYER_NORM_EPSILON;

/// A float model of network `N`, borrowed from its file, which computes with the functions of `M`. The struct consists
/// of a few pointers and is cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a, N: Network, M: Math = Polynomial> {
    metadata: Metadata<'a>,
    weights: Weights<'a, N>,
    math: PhantomData<M>,
}

/// The memory that an inference works in. Its content between inferences does not matter.
///
/// Everything else is on the stack: the logits, with 4 bytes for each class, and in an optimised build for a Cortex-M
/// less than 1 KB more. A build without optimisation copies arrays via the stack and needs many times as much.
#[derive(Clone, Copy, Debug)]
pub struct Scratch<N: Network> {
    /// The residual stream.
    tokens: Matrix<N::Tokens, N::Embed, f32>,
    /// The keys, transposed: a row has one channel of all tokens, so that the scores of a query for all tokens are
    /// summed together.
    keys: Matrix<N::Embed, N::Tokens, f32>,
    values: Matrix<N::Tokens, N::Embed, f32>,
    /// A tile of tokens after LayerNorm.
    normed: [Vector<N::Embed, f32>; TILE],
    /// The tile's keys, values or queries, and later the outputs of a layer that are added to the residual stream.
    projected: [Vector<N::Embed, f32>; TILE],
    /// The tile's weighted sums of the values, with all heads joined.
    context: [Vector<N::Embed, f32>; TILE],
    /// The scores, and then the probabilities, of one head for each token of the tile.
    scores: [Vector<N::Tokens, f32>; TILE],
    /// The tile's hidden activations in the MLP.
    hidden: [Vector<N::Hidden, f32>; TILE],
    /// Those rows of the map that a row of tokens needs. Where they are above or below the map, the content does not
    /// matter.
    stripe: Matrix<N::Stripe, N::StemChannels, f32>,
}

impl<N: Network> Scratch<N> {
    /// The size of the scratch memory, in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// Returns a scratch memory of zeros. It is a `const fn`, so that a `static` can hold the memory.
    pub const fn new() -> Self {
        Self {
            tokens: Element::ZERO,
            keys: Element::ZERO,
            values: Element::ZERO,
            normed: Element::ZERO,
            projected: Element::ZERO,
            context: Element::ZERO,
            scores: Element::ZERO,
            hidden: Element::ZERO,
            stripe: Element::ZERO,
        }
    }
}

impl<N: Network> Default for Scratch<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, N: Network, M: Math> Model<'a, N, M> {
    /// The size of the weights in the model file, in bytes.
    pub const WEIGHT_BYTES: usize = Weights::<N>::BYTES;

    /// Validates `bytes`, a whole model file, as a float model of network `N`. The weights are not copied.
    ///
    /// `bytes` must begin at a multiple of [`ALIGNMENT`](crate::model_file::ALIGNMENT).
    ///
    /// # Errors
    /// Returns the error of the first check that fails. Checks are made in the order of the variants of [`ModelError`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let file = ModelFile::parse::<N>(bytes, Kind::F32, Self::WEIGHT_BYTES)?;
        let weights = Weights::from_bytes(file.weights).filter(|_| weights::are_finite(file.weights));
        let weights = weights.ok_or(ModelError::BadField(Field::Weights))?;
        Ok(Self { metadata: file.metadata, weights, math: PhantomData })
    }

    /// Returns the model's fit, input normalisation, labels and provenance.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// Classifies `image`: returns one logit per class. This cannot fail and cannot panic.
    ///
    /// Weights that are finite but huge can overflow single precision. Then logits are NaN or infinite, and
    /// [`top_k`](crate::top_k) returns NaN as probabilities.
    #[inline(always)]
    pub fn infer(&self, image: &Image<N>, scratch: &mut Scratch<N>) -> Vector<N::Classes, f32> {
        self.infer_observed(image, scratch, &mut ())
    }

    /// Does the same as [`infer`](Self::infer), and calls `observer` after each stage for each token.
    #[inline(always)]
    pub fn infer_observed<O: Observer>(
        &self,
        image: &Image<N>,
        scratch: &mut Scratch<N>,
        observer: &mut O,
    ) -> Vector<N::Classes, f32> {
        let mut observe = |stage, block, token, values: &[f32]| {
            observer.observe(Probe { stage, block, token }, Values::F32(values));
        };
        self.embed(image, scratch, &mut observe);
        for (index, block) in self.weights.blocks().enumerate() {
            let block = &Layer::<N, M> { index, block, math: PhantomData };
            block.keys_and_values(scratch, &mut observe);
            // Only the class token is needed after the last block.
            let queries = if index + 1 == N::DEPTH { 1 } else { N::TOKENS };
            block.attend(queries, scratch, &mut observe);
            block.mlp(queries, scratch, &mut observe);
        }
        self.classify(scratch, &mut observe)
    }

    #[inline(always)]
    fn embed(
        &self,
        image: &Image<N>,
        scratch: &mut Scratch<N>,
        observe: &mut impl FnMut(Stage, usize, usize, &[f32]),
    ) {
        let weights = &self.weights.embedding;
        let Scratch { tokens, stripe, .. } = scratch;
        let columns = const { N::PATCHES.columns() };
        let tokens = tokens.as_mut().iter_mut().zip(weights.pos_embed.as_ref());
        for (index, (token, position)) in tokens.enumerate() {
            match index.checked_sub(1) {
                None => *token = *weights.cls_token,
                Some(patch) => {
                    let [row, column] = [patch / columns, patch % columns];
                    if column == 0 {
                        self.stem(image, row, stripe, observe);
                    }
                    *token = *weights.patch_bias;
                    let top = N::PATCHES.input_row(row, 0);
                    let value = |y: usize, x, channel: usize| match N::STEM {
                        Some(_) if y >= N::PATCHES.height || x >= N::PATCHES.width => 0.0,
                        Some(_) => {
                            let pixel = stripe.as_ref().get(y.wrapping_sub(top) * N::PATCHES.width + x);
                            pixel.map_or(0.0, |pixel: &Vector<N::StemChannels, f32>| {
                                pixel.as_ref().get(channel).copied().unwrap_or_default()
                            })
                        }
                        None => self.level(image, y, x, channel),
                    };
                    let rows = weights.patch_weight.as_ref();
                    add_window(N::PATCHES, [row, column], value, rows, token.as_mut());
                }
            }
            add::<N>(token, position);
            observe(Stage::Embedding, 0, index, token.as_ref());
        }
    }

    /// Computes those rows of the map that row `row` of the tokens needs. The rows that it shares with the row of tokens
    /// before it are already in `stripe`, at its end, and move to its beginning.
    #[inline(always)]
    fn stem(
        &self,
        image: &Image<N>,
        row: usize,
        stripe: &mut Matrix<N::Stripe, N::StemChannels, f32>,
        observe: &mut impl FnMut(Stage, usize, usize, &[f32]),
    ) {
        let Some(stem) = N::STEM else { return };
        let ([height, _], [stride, _], width) = (N::PATCHES.kernel, N::PATCHES.stride, N::PATCHES.width);
        let shared = if row == 0 { 0 } else { height.saturating_sub(stride) };
        let stripe = stripe.as_mut();
        if shared > 0 {
            move_to_front(stripe, stride * width);
        }
        let weights = &self.weights.embedding;
        for (index, pixels) in stripe.chunks_mut(width).enumerate().skip(shared) {
            let y = N::PATCHES.input_row(row, index);
            if y >= N::PATCHES.height {
                continue;
            }
            for (x, pixel) in pixels.iter_mut().enumerate() {
                *pixel = *weights.stem_bias;
                let value = |y, x, channel| self.level(image, y, x, channel);
                add_window(stem, [y, x], value, weights.stem_weight.as_ref(), pixel.as_mut());
                pixel.as_mut().iter_mut().for_each(|value| *value = M::gelu(*value));
                observe(Stage::Stem, 0, y * width + x, pixel.as_ref());
            }
        }
    }

    /// Returns a level of the image after normalisation, or 0 outside of the image.
    #[inline(always)]
    fn level(&self, image: &Image<N>, y: usize, x: usize, channel: usize) -> f32 {
        let level = image.as_ref().get(y).and_then(|row| row.as_ref().get(x)?.as_ref().get(channel));
        match (level, self.metadata.normalization.get(channel)) {
            (Some(&level), Some(&Normalization { mean, std })) => (f32::from(level) / 255.0 - mean) / std,
            _ => 0.0,
        }
    }

    #[inline(always)]
    fn classify(
        &self,
        scratch: &mut Scratch<N>,
        observe: &mut impl FnMut(Stage, usize, usize, &[f32]),
    ) -> Vector<N::Classes, f32> {
        let head = &self.weights.head;
        let Scratch { tokens, normed, .. } = scratch;
        let cls = tokens.as_ref().get(..1).unwrap_or_default();
        layer_norm::<N>(cls, head.norm_weight, head.norm_bias, normed);
        let [normed, ..] = normed;
        // The logits of the class token alone are on the stack; those of a tile would take six times as much.
        let mut logits = *head.head_bias;
        for (x, row) in normed.as_ref().iter().zip(head.head_weight.as_ref()) {
            logits.as_mut().iter_mut().zip(row.as_ref()).for_each(|(logit, w)| *logit += x * w);
        }
        observe(Stage::Norm, N::DEPTH, 0, normed.as_ref());
        observe(Stage::Head, N::DEPTH, 0, logits.as_ref());
        logits
    }
}

/// An encoder block and its index.
struct Layer<'a, N: Network, M: Math> {
    index: usize,
    block: Block<'a, N>,
    math: PhantomData<M>,
}

impl<N: Network, M: Math> Layer<'_, N, M> {
    /// Computes the keys and values of all tokens.
    #[inline(always)]
    fn keys_and_values(
        &self,
        scratch: &mut Scratch<N>,
        observe: &mut impl FnMut(Stage, usize, usize, &[f32]),
    ) {
        let &Self { index, ref block, .. } = self;
        let Scratch { tokens, keys, values, normed, projected, .. } = scratch;
        let mut values = values.as_mut().chunks_mut(TILE);
        for (tile, tokens) in tokens.as_ref().chunks(TILE).enumerate() {
            let Some(values) = values.next() else { break };
            layer_norm::<N>(tokens, block.norm1_weight, block.norm1_bias, normed);
            observe_tile(tile, tokens.len(), normed, |t, x| observe(Stage::Norm1, index, t, x));
            linear(normed, block.key_weight, block.key_bias, projected);
            observe_tile(tile, tokens.len(), projected, |t, x| observe(Stage::Key, index, t, x));
            for (token, key) in (tile * TILE..).zip(projected.iter().take(tokens.len())) {
                for (column, key) in keys.as_mut().iter_mut().zip(key.as_ref()) {
                    column.as_mut().iter_mut().skip(token).take(1).for_each(|place| *place = *key);
                }
            }
            linear(normed, block.value_weight, block.value_bias, projected);
            observe_tile(tile, tokens.len(), projected, |t, x| observe(Stage::Value, index, t, x));
            values.iter_mut().zip(&*projected).for_each(|(value, projected)| *value = *projected);
        }
    }

    /// Computes the attention of the first `queries` tokens, with the output projection, and adds it to them.
    #[inline(always)]
    fn attend(
        &self,
        queries: usize,
        scratch: &mut Scratch<N>,
        observe: &mut impl FnMut(Stage, usize, usize, &[f32]),
    ) {
        let &Self { index, ref block, .. } = self;
        let Scratch { tokens, keys, values, normed, projected, context, scores, .. } = scratch;
        let scale = 1.0 / sqrt(N::HEAD_DIM as f32);
        let tokens = tokens.as_mut().get_mut(..queries).unwrap_or_default();
        for (tile, tokens) in tokens.chunks_mut(TILE).enumerate() {
            layer_norm::<N>(tokens, block.norm1_weight, block.norm1_bias, normed);
            linear(normed, block.query_weight, block.query_bias, projected);
            observe_tile(tile, tokens.len(), projected, |t, x| observe(Stage::Query, index, t, x));

            *context = Element::ZERO;
            for head in 0..N::HEADS {
                let channels = head * N::HEAD_DIM..(head + 1) * N::HEAD_DIM;
                *scores = Element::ZERO;
                let keys = part(keys.as_ref(), &channels);
                let queries = projected.each_ref().map(|row| part(row.as_ref(), &channels));
                let rows = keys.iter().map(AsRef::as_ref);
                add_products(queries, rows, N::TOKENS, scores.each_mut().map(AsMut::as_mut));
                for scores in scores.iter_mut().take(tokens.len()) {
                    scores.as_mut().iter_mut().for_each(|score| *score *= scale);
                    softmax::<M>(scores.as_mut());
                }
                let context =
                    context.each_mut().map(|row| row.as_mut().get_mut(channels.clone()).unwrap_or_default());
                add_products(
                    scores.each_ref().map(AsRef::as_ref),
                    values.as_ref().iter().map(|row| part(row.as_ref(), &channels)),
                    N::EMBED,
                    context,
                );
            }
            observe_tile(tile, tokens.len(), context, |t, x| observe(Stage::Attention, index, t, x));

            linear(context, block.proj_weight, block.proj_bias, projected);
            tokens.iter_mut().zip(&*projected).for_each(|(token, out)| add::<N>(token, out));
            observe_tile(tile, tokens.len(), tokens, |t, x| observe(Stage::Projection, index, t, x));
        }
    }

    /// Computes the MLP of the first `queries` tokens and adds it to them.
    #[inline(always)]
    fn mlp(
        &self,
        queries: usize,
        scratch: &mut Scratch<N>,
        observe: &mut impl FnMut(Stage, usize, usize, &[f32]),
    ) {
        let &Self { index, ref block, .. } = self;
        let Scratch { tokens, normed, projected, hidden, .. } = scratch;
        let tokens = tokens.as_mut().get_mut(..queries).unwrap_or_default();
        for (tile, tokens) in tokens.chunks_mut(TILE).enumerate() {
            layer_norm::<N>(tokens, block.norm2_weight, block.norm2_bias, normed);
            observe_tile(tile, tokens.len(), normed, |t, x| observe(Stage::Norm2, index, t, x));
            linear(normed, block.hidden_weight, block.hidden_bias, hidden);
            for hidden in hidden.iter_mut().take(tokens.len()) {
                hidden.as_mut().iter_mut().for_each(|h| *h = M::gelu(*h));
            }
            observe_tile(tile, tokens.len(), hidden, |t, x| observe(Stage::Hidden, index, t, x));
            linear(hidden, block.mlp_weight, block.mlp_bias, projected);
            tokens.iter_mut().zip(&*projected).for_each(|(token, out)| add::<N>(token, out));
            observe_tile(tile, tokens.len(), tokens, |t, x| observe(Stage::Mlp, index, t, x));
        }
    }
}

/// Calls `observe` with the index of the token and the row, for the first `count` rows of tile number `tile`.
#[inline(always)]
fn observe_tile<A: Array<f32>>(
    tile: usize,
    count: usize,
    rows: &[A],
    mut observe: impl FnMut(usize, &[f32]),
) {
    rows.iter().take(count).zip(tile * TILE..).for_each(|(row, token)| observe(token, row.as_ref()));
}

/// Adds to `sums` the products of the values of a window, which `value` returns for a row, a column and a channel of the
/// input, with their rows of `weights`.
#[inline(always)]
fn add_window<R, P, C>(
    windows: Windows,
    [row, column]: [usize; 2],
    value: impl Fn(usize, usize, usize) -> f32,
    weights: &[R],
    sums: &mut [f32],
) where
    R: Array<P>,
    P: Array<C>,
    C: Array<f32>,
{
    for (index, weights) in weights.iter().enumerate() {
        let y = windows.input_row(row, index);
        for (index, weights) in weights.as_ref().iter().enumerate() {
            let x = (column * windows.stride[1] + index).wrapping_sub(windows.padding);
            for (channel, weights) in weights.as_ref().iter().enumerate() {
                let value = value(y, x, channel);
                for (sum, weight) in sums.iter_mut().zip(weights.as_ref()) {
                    *sum += value * weight;
                }
            }
        }
    }
}

/// Computes the LayerNorm of up to [`TILE`] tokens. The rows of `out` that have no token repeat the first one.
#[inline(always)]
fn layer_norm<N: Network>(
    tokens: &[Vector<N::Embed, f32>],
    weight: &Vector<N::Embed, f32>,
    bias: &Vector<N::Embed, f32>,
    out: &mut [Vector<N::Embed, f32>; TILE],
) {
    let Some(first) = tokens.first() else { return };
    let tile: [&Vector<N::Embed, f32>; TILE] = array::from_fn(|t| tokens.get(t).unwrap_or(first));
    let width = N::EMBED as f32;
    let means = sums::<N>(&tile, |_, x| x).map(|sum| sum / width);
    let variances = sums::<N>(&tile, |t, x| (x - means[t]) * (x - means[t])).map(|sum| sum / width);
    for (t, (x, out)) in tile.iter().zip(out).enumerate() {
        let (mean, inverse) = (means[t], 1.0 / sqrt(variances[t] + LAYER_NORM_EPSILON));
        let affine = weight.as_ref().iter().zip(bias.as_ref());
        for ((y, x), (weight, bias)) in out.as_mut().iter_mut().zip(x.as_ref()).zip(affine) {
            *y = ((x - mean) * inverse) * weight + bias;
        }
    }
}

/// Returns `0 + f(t, x[t][0]) + f(t, x[t][1]) + ...` for each token `t`. The sums are computed in parallel, because
/// each addition of one sum has to wait for the one before it.
#[inline(always)]
fn sums<N: Network>(x: &[&Vector<N::Embed, f32>; TILE], f: impl Fn(usize, f32) -> f32) -> [f32; TILE] {
    let mut sums = [0.0; TILE];
    for k in 0..N::EMBED {
        for t in 0..TILE {
            sums[t] += f(t, x[t].as_ref().get(k).copied().unwrap_or_default());
        }
    }
    sums
}

/// Returns `values[range]`, without a panic: the range is always within the slice.
#[inline(always)]
fn part<'a, T>(values: &'a [T], range: &Range<usize>) -> &'a [T] {
    values.get(range.clone()).unwrap_or_default()
}

#[inline(always)]
fn softmax<M: Math>(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = M::exp(*score - max));
    let inverse = 1.0 / scores.iter().fold(0.0, |sum, e| sum + e);
    scores.iter_mut().for_each(|score| *score *= inverse);
}

#[inline(always)]
fn add<N: Network>(x: &mut Vector<N::Embed, f32>, y: &Vector<N::Embed, f32>) {
    x.as_mut().iter_mut().zip(y.as_ref()).for_each(|(x, y)| *x += y);
}
