//! The integer engine: it computes with integers only, from the pixel to the logit, and has one rounding function.
//!
//! `NUMERICS.md`, in the folder of this crate, defines the arithmetic operation by operation. Weights have 8 bits and
//! stay in flash. Activations have 8 bits, and the residual stream has 16 bits.
//!
//! Tokens go through the layers in tiles of one to three tokens. [`Kernels`] are the inner loops for the processor that
//! the library is built for.

pub mod kernels;
pub mod layer_norm;
pub mod linear;
pub mod requantize;
pub mod softmax;
pub mod weights;

use crate::{
    model_file::{
        error::{Field, ModelError},
        Kind, Metadata, ModelFile,
    },
    network::{Image, Network},
    observer::{Observer, Probe, Stage, Values},
    shape::{Element, Length, Matrix, Vector},
    tokenizer::{move_to_front, Windows},
};
use core::hint::black_box;
use kernels::{Kernels, Rows, Scores, TileMemory, Wide, SCORED, TILE};
use layer_norm::Norm;
use linear::dot;
use softmax::{row_scale, ExpTable};
use weights::{scale_from, Block, Weights};

/// An integer model of network `N`, borrowed from its file. The struct consists of a few pointers and is cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a, N: Network> {
    metadata: Metadata<'a>,
    weights: Weights<'a, N>,
}

/// The memory that an inference works in. Its content between inferences does not matter.
///
/// Everything else is on the stack: the logits, with 4 bytes for each class, and in an optimised build for a Cortex-M
/// less than 1 KB more. A build without optimisation copies arrays via the stack and needs many times as much, up to
/// the size of this memory.
#[derive(Clone, Copy, Debug)]
pub struct Scratch<N: Network> {
    /// The residual stream.
    tokens: Matrix<N::Tokens, N::Embed, i16>,
    shared: Shared<N>,
    /// A tile of tokens after LayerNorm.
    normed: TileMemory<Vector<N::Embed, i8>, Vector<N::Embed, Wide>>,
    /// The tile's queries. The attention's weighted sums of the values replace them, one head after the other.
    mixed: TileMemory<Vector<N::Embed, i8>, Vector<N::Embed, Wide>>,
    /// The scores, and then their exponentials, of one head.
    scores: Scores<N>,
}

/// Memory that is used for different purposes at different times.
#[derive(Clone, Copy, Debug)]
enum Shared<N: Network> {
    /// The keys and values of all tokens. This is the first variant so that its tag is 0: a new scratch memory then
    /// consists of zeros, and a `static` one takes no flash.
    Attention(KeysValues<N>),
    /// The patches, the windows of the stem and the part of its map that are needed at a time.
    Tokenizer(TokenizerMemory<N>),
    /// The hidden activations of a tile of tokens.
    Mlp(TileMemory<Vector<N::Hidden, i8>, Vector<N::Hidden, Wide>>),
}

/// The memory of the tokenizer.
#[derive(Clone, Copy, Debug)]
struct TokenizerMemory<N: Network> {
    /// A tile of patches.
    patches: TileMemory<Vector<N::PatchRow, i8>, Vector<N::PatchRow, Wide>>,
    /// A tile of windows of the stem.
    stem: TileMemory<Vector<N::StemRow, i8>, Vector<N::StemRow, Wide>>,
    /// Those rows of the map that a row of tokens needs. Where they are above or below the map, the content does not
    /// matter.
    stripe: Matrix<N::Stripe, N::StemChannels, i8>,
}

/// The keys and values of all tokens, aligned to 4 bytes because kernels fetch four values at once.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
struct KeysValues<N: Network> {
    keys: Rows<N>,
    values: Rows<N>,
}

impl<N: Network> KeysValues<N> {
    const ZERO: Self = Self { keys: Element::ZERO, values: Element::ZERO };
}

impl<N: Network> Scratch<N> {
    /// The size of the scratch memory, in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// Returns a scratch memory of zeros. It is a `const fn`, so that a `static` can hold the memory.
    pub const fn new() -> Self {
        Self {
            tokens: Element::ZERO,
            shared: Shared::Attention(KeysValues::ZERO),
            normed: TileMemory::ZERO,
            mixed: TileMemory::ZERO,
            scores: [Element::ZERO; SCORED],
        }
    }
}

impl<N: Network> Default for Scratch<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A function that calls an [`Observer`] with a stage, a block, a token and the values of the stage.
trait Watch: FnMut(Stage, usize, usize, Values<'_>) {}
impl<F: FnMut(Stage, usize, usize, Values<'_>)> Watch for F {}

impl<'a, N: Network> Model<'a, N> {
    /// The size of the weights in the model file, in bytes.
    pub const WEIGHT_BYTES: usize = Weights::<N>::BYTES;

    /// Validates `bytes`, a whole model file, as an integer model of network `N`. The weights are not copied.
    ///
    /// `bytes` must begin at a multiple of [`ALIGNMENT`](crate::model_file::ALIGNMENT).
    ///
    /// # Errors
    /// Returns the error of the first check that fails. Checks are made in the order of the variants of [`ModelError`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let file = ModelFile::parse::<N>(bytes, Kind::Int8, Self::WEIGHT_BYTES)?;
        let weights = Weights::from_bytes(file.weights).filter(Weights::is_valid);
        let weights = weights.ok_or(ModelError::BadField(Field::Weights))?;
        Ok(Self { metadata: file.metadata, weights })
    }

    /// Returns the model's fit, input normalisation, labels and provenance.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// Returns the real number that a logit of 1 stands for. It is finite and above 0.
    pub fn logit_scale(&self) -> f32 {
        *self.weights.head.logit_scale
    }

    /// Returns the logits as real numbers, which is what [`top_k`](crate::top_k) takes.
    pub fn dequantize(&self, logits: &Vector<N::Classes, i32>) -> Vector<N::Classes, f32> {
        let mut real = Vector::<N::Classes, f32>::ZERO;
        for (real, &logit) in real.as_mut().iter_mut().zip(logits.as_ref()) {
            *real = logit as f32 * self.logit_scale();
        }
        real
    }

    /// Classifies `image`: returns one logit per class, in units of the model's logit scale (see
    /// [`dequantize`](Self::dequantize)). This cannot fail and cannot panic.
    pub fn infer(&self, image: &Image<N>, scratch: &mut Scratch<N>) -> Vector<N::Classes, i32> {
        self.infer_observed(image, scratch, &mut ())
    }

    /// Does the same as [`infer`](Self::infer), and calls `observer` after each stage for each token.
    pub fn infer_observed<O: Observer>(
        &self,
        image: &Image<N>,
        scratch: &mut Scratch<N>,
        observer: &mut O,
    ) -> Vector<N::Classes, i32> {
        kernels::with_best!(kernels => self.infer_with(kernels, image, scratch, observer))
    }

    /// Does the same as [`infer_observed`](Self::infer_observed), with the given kernels instead of the best ones.
    pub fn infer_with<K: Kernels, O: Observer>(
        &self,
        kernels: K,
        image: &Image<N>,
        scratch: &mut Scratch<N>,
        observer: &mut O,
    ) -> Vector<N::Classes, i32> {
        let mut observe = |stage, block, token, values: Values<'_>| {
            observer.observe(Probe { stage, block, token }, values);
        };
        self.embed(kernels, image, scratch, &mut observe);
        for (index, block) in self.weights.blocks().enumerate() {
            let layer = Layer { kernels, index, block };
            layer.keys_and_values(scratch, &mut observe);
            // Only the class token is needed after the last block.
            let queries = if index + 1 == N::DEPTH { 1 } else { N::TOKENS };
            layer.attend(self.weights.embedding.exp_table, queries, scratch, &mut observe);
            layer.mlp(queries, scratch, &mut observe);
        }
        self.classify(kernels, scratch, &mut observe)
    }

    fn embed(
        &self,
        kernels: impl Kernels,
        image: &Image<N>,
        scratch: &mut Scratch<N>,
        observe: &mut impl Watch,
    ) {
        let Scratch { tokens, shared, .. } = scratch;
        // An assignment may become a call of `memmove`, which takes more flash than `memcpy`.
        tokens.as_mut().copy_from_slice(self.weights.embedding.positions.as_ref());
        let Some((cls, tokens)) = tokens.as_mut().split_first_mut() else { return };
        observe(Stage::Embedding, 0, 0, Values::I16(cls.as_ref()));

        *shared = Shared::Tokenizer(TokenizerMemory {
            patches: TileMemory::ZERO,
            stem: TileMemory::ZERO,
            stripe: Element::ZERO,
        });
        let Shared::Tokenizer(memory) = shared else { return };
        let columns = const { N::PATCHES.columns() };
        // With a stem, only those rows of the map that a row of tokens needs are there at a time.
        let together = if N::STEM.is_some() { columns } else { N::TOKENS - 1 };
        for (row, tokens) in tokens.chunks_mut(together).enumerate() {
            self.stem(kernels, image, row, memory, observe);
            let TokenizerMemory { patches, stripe, .. } = memory;
            let mut patches = patches.tile(<N::PatchRow as Length>::LEN);
            for (tile, tokens) in tokens.chunks_mut(TILE).enumerate() {
                let first = row * together + tile * TILE;
                for token in 0..tokens.len() {
                    let at = [(first + token) / columns, (first + token) % columns];
                    let patch = patches.row_mut(token);
                    if N::STEM.is_some() {
                        let map = (N::PATCHES.input_row(row, 0), bytemuck::cast_slice(stripe.as_ref()));
                        gather_patch(&N::PATCHES, at, self.weights.zeros(1, 1), map, 0, patch);
                    } else {
                        let zeros = self.weights.zeros(0, N::CHANNELS);
                        gather_patch(&N::PATCHES, at, zeros, (0, bytemuck::bytes_of(image)), CENTRE, patch);
                    }
                }
                kernels.widen(&mut patches, tokens.len());
                kernels.add_linear(
                    &patches,
                    tokens.len(),
                    self.weights.patch(),
                    bytemuck::cast_slice_mut::<_, i16>(tokens),
                );
                for (token, x) in (1 + first..).zip(&*tokens) {
                    observe(Stage::Embedding, 0, token, Values::I16(x.as_ref()));
                }
            }
        }
    }

    /// Computes those rows of the map that row `row` of the tokens needs. The rows that it shares with the row of tokens
    /// before it are already in `stripe`, at its end, and move to its beginning.
    fn stem(
        &self,
        kernels: impl Kernels,
        image: &Image<N>,
        row: usize,
        memory: &mut TokenizerMemory<N>,
        observe: &mut impl Watch,
    ) {
        let Some(stem) = N::STEM else { return };
        let [height, _] = N::PATCHES.kernel;
        let [stride, _] = N::PATCHES.stride;
        let width = N::PATCHES.width;
        let shared = if row == 0 { 0 } else { height.saturating_sub(stride) };
        let TokenizerMemory { stem: windows, stripe, .. } = memory;
        let stripe = stripe.as_mut();
        if shared > 0 {
            move_to_front(stripe, stride * width);
        }

        let mut windows = windows.tile(<N::StemRow as Length>::LEN);
        let zeros = self.weights.zeros(0, N::CHANNELS);
        let gelu_table = self.weights.convolutions.stem_gelu_table.as_ref();
        let Some(gelu_table) = gelu_table.first() else { return };
        for (index, pixels_of_row) in stripe.chunks_mut(width).enumerate().skip(shared) {
            let y = N::PATCHES.input_row(row, index);
            if y >= N::PATCHES.height {
                continue;
            }
            for (tile, map) in pixels_of_row.chunks_mut(TILE).enumerate() {
                let first = tile * TILE;
                for pixel in 0..map.len() {
                    let at = [y, first + pixel];
                    let image = (0, bytemuck::bytes_of(image));
                    stem.gather(at, zeros, image, CENTRE, windows.row_mut(pixel));
                }
                kernels.widen(&mut windows, map.len());
                kernels.linear(&windows, map.len(), self.weights.stem(), bytemuck::cast_slice_mut(map));
                for (pixel, values) in map.iter_mut().enumerate() {
                    apply(gelu_table, values.as_mut());
                    observe(Stage::Stem, 0, y * width + first + pixel, Values::I8(values.as_ref()));
                }
            }
        }
    }

    fn classify(
        &self,
        kernels: impl Kernels,
        scratch: &mut Scratch<N>,
        observe: &mut impl Watch,
    ) -> Vector<N::Classes, i32> {
        let head = &self.weights.head;
        let mut logits = Vector::<N::Classes, i32>::ZERO;
        let Scratch { tokens, normed, .. } = scratch;
        if let Some(cls) = tokens.as_ref().first() {
            let mut normed = normed.tile::<Wide>(N::EMBED);
            kernels.layer_norm(cls.as_ref(), Norm::from_tensor(head.norm), normed.row_mut(0));
            observe(Stage::Norm, N::DEPTH, 0, Values::I8(normed.row(0)));
            let rows = head.head_weight.as_ref().iter().zip(head.head_bias.as_ref());
            for (logit, (row, bias)) in logits.as_mut().iter_mut().zip(rows) {
                *logit = bias + dot(normed.row(0), row.as_ref());
            }
            observe(Stage::Head, N::DEPTH, 0, Values::I32(logits.as_ref()));
        }
        logits
    }
}

/// Gathers a patch. The windows of a stem are small and many, so that constants and loops without turns pay for them. For
/// patches, this function keeps the compiler from unrolling loops.
#[inline(never)]
fn gather_patch(
    patches: &Windows,
    at: [usize; 2],
    zeros: &[i8],
    input: (usize, &[u8]),
    mask: u8,
    out: &mut [i8],
) {
    let [height, width] = patches.kernel;
    let patches = Windows { kernel: [black_box(height), width], ..*patches };
    patches.gather(at, zeros, input, mask, out);
}

/// The bit that is flipped to turn a level of the image, from 0 to 255, into an activation, which is lower by 128.
const CENTRE: u8 = 1 << 7;

/// Replaces each value by the entry of a table of GELU for it.
#[inline(always)]
fn apply(table: &[i8; 256], values: &mut [i8]) {
    for value in values {
        *value = table[usize::from((i16::from(*value) + 128) as u8)];
    }
}

/// An encoder block, its index, and the kernels that compute it.
struct Layer<'a, N: Network, K> {
    kernels: K,
    index: usize,
    block: Block<'a, N>,
}

impl<N: Network, K: Kernels> Layer<'_, N, K> {
    /// Computes the keys and values of all tokens.
    fn keys_and_values(&self, scratch: &mut Scratch<N>, observe: &mut impl Watch) {
        let &Self { kernels, index, ref block } = self;
        let Scratch { tokens, shared, normed, .. } = scratch;
        let norm = Norm::from_tensor(block.norm1);
        let mut normed = normed.tile(N::EMBED);
        *shared = Shared::Attention(KeysValues::ZERO);
        let Shared::Attention(KeysValues { keys, values }) = shared else { return };

        // `zip` is avoided: it divides by the length of a chunk, and at some optimisation levels, the panic for a
        // division by zero remains.
        let (mut keys, mut values) = (keys.as_mut().chunks_mut(TILE), values.as_mut().chunks_mut(TILE));
        for (tile, tokens) in tokens.as_ref().chunks(TILE).enumerate() {
            let (Some(keys), Some(values)) = (keys.next(), values.next()) else { return };
            for (token, x) in tokens.iter().enumerate() {
                kernels.layer_norm(x.as_ref(), norm, normed.row_mut(token));
                observe(Stage::Norm1, index, tile * TILE + token, Values::I8(normed.row(token)));
            }
            kernels.widen(&mut normed, tokens.len());
            let mut project = |layer, rows: &mut [_], stage| {
                kernels.linear(&normed, tokens.len(), layer, bytemuck::cast_slice_mut::<_, i8>(rows));
                for (token, row) in (tile * TILE..).zip(&*rows) {
                    let row: &Vector<N::Embed, i8> = row;
                    observe(stage, index, token, Values::I8(row.as_ref()));
                }
            };
            project(block.key(), keys, Stage::Key);
            project(block.value(), values, Stage::Value);
        }
    }

    /// Computes attention and output projection for the first `queries` tokens, and adds the result to these tokens.
    fn attend(
        &self,
        exp_table: &ExpTable,
        queries: usize,
        scratch: &mut Scratch<N>,
        observe: &mut impl Watch,
    ) {
        let &Self { kernels, index, ref block } = self;
        let Scratch { tokens, shared, normed, mixed, scores } = scratch;
        let norm = Norm::from_tensor(block.norm1);
        let (mut normed, mut mixed) = (normed.tile(N::EMBED), mixed.tile(N::EMBED));
        let Shared::Attention(KeysValues { keys, values }) = shared else { return };
        // `Model::from_bytes` has checked that both are valid.
        let (Some(score_scale), Some(context_scale)) =
            (scale_from(block.score_scale), scale_from(block.context_scale))
        else {
            return;
        };

        let tokens = tokens.as_mut().get_mut(..queries).unwrap_or_default();
        for (tile, tokens) in tokens.chunks_mut(TILE).enumerate() {
            let count = tokens.len();
            for (token, x) in tokens.iter().enumerate() {
                kernels.layer_norm(x.as_ref(), norm, normed.row_mut(token));
            }
            kernels.widen(&mut normed, count);
            kernels.linear(&normed, count, block.query(), mixed.rows);
            for token in 0..count {
                observe(Stage::Query, index, tile * TILE + token, Values::I8(mixed.row(token)));
            }

            kernels.widen(&mut mixed, count);
            for head in 0..N::HEADS {
                for first in (0..count).step_by(SCORED) {
                    let tokens = first..count.min(first + SCORED);
                    kernels.scores::<N>(&mixed, tokens.clone(), head, keys, scores);
                    let mut scales = [context_scale; SCORED];
                    for (scores, scale) in scores.iter_mut().zip(&mut scales).take(tokens.len()) {
                        let sum = kernels.exponentials(scores.as_mut(), score_scale, exp_table);
                        *scale = row_scale(context_scale, sum);
                    }
                    kernels.context::<N>(scores, tokens, head, values, &scales, &mut mixed);
                }
            }
            for token in 0..count {
                observe(Stage::Attention, index, tile * TILE + token, Values::I8(mixed.row(token)));
            }

            kernels.widen(&mut mixed, count);
            kernels.add_linear(&mixed, count, block.proj(), bytemuck::cast_slice_mut::<_, i16>(tokens));
            for (token, x) in (tile * TILE..).zip(&*tokens) {
                observe(Stage::Projection, index, token, Values::I16(x.as_ref()));
            }
        }
    }

    /// Computes the MLP of the first `queries` tokens and adds it to them.
    fn mlp(&self, queries: usize, scratch: &mut Scratch<N>, observe: &mut impl Watch) {
        let &Self { kernels, index, ref block } = self;
        let Scratch { tokens, shared, normed, .. } = scratch;
        let norm = Norm::from_tensor(block.norm2);
        let mut normed = normed.tile(N::EMBED);
        *shared = Shared::Mlp(TileMemory::ZERO);
        let Shared::Mlp(hidden) = shared else { return };
        let mut hidden = hidden.tile(N::HIDDEN);

        let tokens = tokens.as_mut().get_mut(..queries).unwrap_or_default();
        for (tile, tokens) in tokens.chunks_mut(TILE).enumerate() {
            let count = tokens.len();
            for (token, x) in tokens.iter().enumerate() {
                kernels.layer_norm(x.as_ref(), norm, normed.row_mut(token));
                observe(Stage::Norm2, index, tile * TILE + token, Values::I8(normed.row(token)));
            }
            kernels.widen(&mut normed, count);
            kernels.linear(&normed, count, block.hidden(), hidden.rows);
            for token in 0..count {
                apply(block.gelu_table, hidden.row_mut(token));
                observe(Stage::Hidden, index, tile * TILE + token, Values::I8(hidden.row(token)));
            }
            kernels.widen(&mut hidden, count);
            kernels.add_linear(&hidden, count, block.mlp(), bytemuck::cast_slice_mut::<_, i16>(tokens));
            for (token, x) in (tile * TILE..).zip(&*tokens) {
                observe(Stage::Mlp, index, token, Values::I16(x.as_ref()));
            }
        }
    }
}
