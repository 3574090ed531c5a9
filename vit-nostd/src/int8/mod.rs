//! The integer engine: integers only, from the pixel to the logit, with one rounding function.
//!
//! The arithmetic is defined operation by operation in `NUMERICS.md`, in the folder of this crate. Weights are 8 bits and
//! stay in flash; activations are 8 bits; the residual stream is 16 bits.

pub mod layer_norm;
pub mod linear;
pub mod requantize;
pub mod softmax;
pub mod weights;

use crate::{
    error::{Field, ModelError},
    model_file::{Kind, Metadata, ModelFile},
    observer::{Observer, Stage, Station, Values},
    shape::{Array, Element, Image, Shape},
};
use layer_norm::{layer_norm, Norm};
use linear::{dot, linear, Outputs};
use requantize::{requantize, sat16, sat8};
use softmax::{softmax, ExpTable};
use weights::{scale_from, Block, Weights};

/// An integer model, borrowed from its file: a few pointers.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a, S: Shape> {
    metadata: Metadata<'a>,
    weights: Weights<'a, S>,
}

/// The memory an inference works in. Its content between inferences does not matter.
#[derive(Clone, Copy, Debug)]
pub struct Scratch<S: Shape> {
    /// One token's and one head's attention.
    scores: S::Tokens<i32>,
    /// The residual stream.
    tokens: S::Tokens<S::Embed<i16>>,
    /// Before the first block: one patch.
    keys: S::Tokens<S::Embed<i8>>,
    values: S::Tokens<S::Embed<i8>>,
    /// One token, normalised.
    normed: S::Embed<i8>,
    /// One token's query.
    query: S::Embed<i8>,
    /// One token's attention, all heads.
    context: S::Embed<i8>,
    /// One token in the MLP.
    hidden: S::Hidden<i8>,
}

impl<S: Shape> Scratch<S> {
    /// Bytes of the scratch memory.
    pub const BYTES: usize = size_of::<Self>();

    /// All zero, to be put into a `static`.
    pub const fn new() -> Self {
        Self {
            scores: Element::ZERO,
            tokens: Element::ZERO,
            keys: Element::ZERO,
            values: Element::ZERO,
            normed: Element::ZERO,
            query: Element::ZERO,
            context: Element::ZERO,
            hidden: Element::ZERO,
        }
    }
}

impl<S: Shape> Default for Scratch<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls an [`Observer`] with the integers of a stage.
trait Watch: FnMut(Stage, usize, usize, Values<'_>) {}
impl<F: FnMut(Stage, usize, usize, Values<'_>)> Watch for F {}

impl<'a, S: Shape> Model<'a, S> {
    /// Bytes of the weights in the model file.
    pub const WEIGHT_BYTES: usize = Weights::<S>::BYTES;

    /// Validates `bytes` as an integer model of shape `S`. The weights stay where they are.
    ///
    /// # Errors
    /// See [`ModelError`]; `bytes` must be aligned to [`ALIGNMENT`](crate::model_file::ALIGNMENT).
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let file = ModelFile::parse::<S>(bytes, Kind::Int8, Self::WEIGHT_BYTES)?;
        let weights = Weights::from_bytes(file.weights).filter(Weights::is_valid);
        let weights = weights.ok_or(ModelError::BadField(Field::Weights))?;
        Ok(Self { metadata: file.metadata, weights })
    }

    /// Normalisation, labels and provenance.
    pub fn metadata(&self) -> &Metadata<'a> {
        &self.metadata
    }

    /// The logits as real numbers, for people: what [`top_k`](crate::top_k) takes.
    pub fn to_real(&self, logits: &S::Classes<i32>) -> S::Classes<f32> {
        let mut real = S::Classes::<f32>::ZERO;
        for (real, &logit) in real.as_mut().iter_mut().zip(logits.as_ref()) {
            *real = logit as f32 * self.weights.head.logit_scale;
        }
        real
    }

    /// Classifies `image`: returns one logit per class. Cannot fail and cannot panic.
    pub fn infer(&self, image: &Image<S>, scratch: &mut Scratch<S>) -> S::Classes<i32> {
        self.infer_observed(image, scratch, &mut ())
    }

    /// [`infer`](Self::infer), with `observer` called after each stage for each token.
    pub fn infer_observed<O: Observer>(
        &self,
        image: &Image<S>,
        scratch: &mut Scratch<S>,
        observer: &mut O,
    ) -> S::Classes<i32> {
        let mut observe = |stage, block, token, values: Values<'_>| {
            observer.observe(Station { stage, block, token }, values);
        };
        self.embed(image, scratch, &mut observe);
        for (index, block) in self.weights.blocks().enumerate() {
            // After the last block only the class token counts.
            let queries = if index + 1 == S::DEPTH { 1 } else { S::TOKENS };
            attend(index, &block, self.weights.embedding.exp_table, queries, scratch, &mut observe);
            mlp(index, &block, queries, scratch, &mut observe);
        }
        self.classify(scratch, &mut observe)
    }

    fn embed(&self, image: &Image<S>, scratch: &mut Scratch<S>, observe: &mut impl Watch) {
        const { assert!(S::PATCH * S::PATCH <= S::TOKENS * S::EMBED, "a patch must fit where the keys will be") }
        let Scratch { tokens, keys, .. } = scratch;
        let keys: &mut [i8] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(keys));
        let patch = keys.get_mut(..S::PATCH * S::PATCH).unwrap_or_default();
        let weights = &self.weights.embedding;
        let outputs = Outputs {
            bias: weights.patch_bias.as_ref(),
            multiplier: weights.patch_multiplier.as_ref(),
            shift: weights.patch_shift.as_ref(),
        };
        let positions = weights.positions.as_ref().iter();
        for (index, (token, position)) in tokens.as_mut().iter_mut().zip(positions).enumerate() {
            *token = *position;
            if let Some(n) = index.checked_sub(1) {
                let (top, left) = (n / S::GRID * S::PATCH, n % S::GRID * S::PATCH);
                let rows = image.as_ref().iter().skip(top).take(S::PATCH);
                let pixels = rows.flat_map(|row| row.as_ref().iter().skip(left).take(S::PATCH));
                for (x, &pixel) in patch.iter_mut().zip(pixels) {
                    *x = (i16::from(pixel) - 128) as i8;
                }
                // The rows are longer than the patch: what is behind it counts nothing.
                // Not `chunks_exact`, which a zip divides by: at some optimisation levels, that can panic.
                let mut rest = self.weights.patch_weight;
                let rows = core::iter::from_fn(move || {
                    let (row, tail) = rest.split_at_checked(Weights::<S>::PATCH_ROW)?;
                    rest = tail;
                    Some(row)
                });
                add::<S>(token, linear(patch, rows, outputs));
            }
            observe(Stage::Embedding, 0, index, Values::I16(token.as_ref()));
        }
    }

    fn classify(&self, scratch: &mut Scratch<S>, observe: &mut impl Watch) -> S::Classes<i32> {
        let head = &self.weights.head;
        let mut logits = S::Classes::<i32>::ZERO;
        if let Some(cls) = scratch.tokens.as_ref().first() {
            let normed = scratch.normed.as_mut();
            layer_norm(cls.as_ref(), Norm::from_tensor(head.norm), normed);
            observe(Stage::Norm, S::DEPTH, 0, Values::I8(normed));
            let rows = head.head_weight.as_ref().iter().zip(head.head_bias.as_ref());
            for (logit, (row, bias)) in logits.as_mut().iter_mut().zip(rows) {
                *logit = bias + dot(normed, row.as_ref());
            }
            observe(Stage::Head, S::DEPTH, 0, Values::I32(logits.as_ref()));
        }
        logits
    }
}

/// The attention half of a block; the first `queries` tokens are updated.
fn attend<S: Shape>(
    index: usize,
    block: &Block<'_, S>,
    exp_table: &ExpTable,
    queries: usize,
    scratch: &mut Scratch<S>,
    observe: &mut impl Watch,
) {
    let Scratch { tokens, keys, values, normed, query, context, scores, .. } = scratch;
    let (normed, scores) = (normed.as_mut(), scores.as_mut());
    let norm = Norm::from_tensor(block.norm1);
    // Loading made sure that both are valid.
    let (Some(score_scale), Some(context_scale)) =
        (scale_from(block.score_scale), scale_from(block.context_scale))
    else {
        return;
    };

    let keys_values = keys.as_mut().iter_mut().zip(values.as_mut());
    for (token, (x, (key, value))) in tokens.as_ref().iter().zip(keys_values).enumerate() {
        layer_norm(x.as_ref(), norm, normed);
        observe(Stage::NormKeyValue, index, token, Values::I8(normed));
        store(
            key.as_mut(),
            linear(
                normed,
                rows::<S::Embed<i8>, _>(block.key_weight),
                Outputs {
                    bias: block.key_bias.as_ref(),
                    multiplier: block.key_multiplier.as_ref(),
                    shift: block.key_shift.as_ref(),
                },
            ),
        );
        observe(Stage::KeyValue, index, token, Values::I8(key.as_ref()));
        store(
            value.as_mut(),
            linear(
                normed,
                rows::<S::Embed<i8>, _>(block.value_weight),
                Outputs {
                    bias: block.value_bias.as_ref(),
                    multiplier: block.value_multiplier.as_ref(),
                    shift: block.value_shift.as_ref(),
                },
            ),
        );
        observe(Stage::KeyValue, index, token, Values::I8(value.as_ref()));
    }

    for (token, x) in tokens.as_mut().iter_mut().take(queries).enumerate() {
        layer_norm(x.as_ref(), norm, normed);
        store(
            query.as_mut(),
            linear(
                normed,
                rows::<S::Embed<i8>, _>(block.query_weight),
                Outputs {
                    bias: block.query_bias.as_ref(),
                    multiplier: block.query_multiplier.as_ref(),
                    shift: block.query_shift.as_ref(),
                },
            ),
        );
        observe(Stage::Query, index, token, Values::I8(query.as_ref()));

        for head in 0..S::HEADS {
            let channels = head * S::HEAD_DIM;
            let query = query.as_ref().iter().skip(channels).take(S::HEAD_DIM);
            for (score, key) in scores.iter_mut().zip(keys.as_ref()) {
                let products = query.clone().zip(key.as_ref().iter().skip(channels));
                *score = products.map(|(&q, &k)| i32::from(q) * i32::from(k)).sum();
            }
            softmax(scores, score_scale, exp_table);
            let context = context.as_mut().iter_mut().skip(channels).take(S::HEAD_DIM);
            for (offset, out) in context.enumerate() {
                let column = values.as_ref().iter().filter_map(|value| value.as_ref().get(channels + offset));
                let sum = scores.iter().zip(column).map(|(&p, &v)| p * i32::from(v)).sum();
                *out = sat8(requantize(sum, context_scale));
            }
        }
        observe(Stage::Attention, index, token, Values::I8(context.as_ref()));

        add::<S>(
            x,
            linear(
                context.as_ref(),
                rows::<S::Embed<i8>, _>(block.proj_weight),
                Outputs {
                    bias: block.proj_bias.as_ref(),
                    multiplier: block.proj_multiplier.as_ref(),
                    shift: block.proj_shift.as_ref(),
                },
            ),
        );
        observe(Stage::Projection, index, token, Values::I16(x.as_ref()));
    }
}

/// The MLP half of a block, for the first `queries` tokens.
fn mlp<S: Shape>(
    index: usize,
    block: &Block<'_, S>,
    queries: usize,
    scratch: &mut Scratch<S>,
    observe: &mut impl Watch,
) {
    let Scratch { tokens, normed, hidden, .. } = scratch;
    let (normed, hidden) = (normed.as_mut(), hidden.as_mut());
    let norm = Norm::from_tensor(block.norm2);
    for (token, x) in tokens.as_mut().iter_mut().take(queries).enumerate() {
        layer_norm(x.as_ref(), norm, normed);
        observe(Stage::NormMlp, index, token, Values::I8(normed));
        store(
            hidden,
            linear(
                normed,
                rows::<S::Embed<i8>, _>(block.hidden_weight),
                Outputs {
                    bias: block.hidden_bias.as_ref(),
                    multiplier: block.hidden_multiplier.as_ref(),
                    shift: block.hidden_shift.as_ref(),
                },
            ),
        );
        for h in hidden.iter_mut() {
            *h = block.gelu_table[usize::from((i16::from(*h) + 128) as u8)];
        }
        observe(Stage::Hidden, index, token, Values::I8(hidden));
        add::<S>(
            x,
            linear(
                hidden,
                rows::<S::Hidden<i8>, _>(block.mlp_weight),
                Outputs {
                    bias: block.mlp_bias.as_ref(),
                    multiplier: block.mlp_multiplier.as_ref(),
                    shift: block.mlp_shift.as_ref(),
                },
            ),
        );
        observe(Stage::Mlp, index, token, Values::I16(x.as_ref()));
    }
}

/// The rows of a weight matrix.
fn rows<R: Array<i8>, W: Array<R>>(weight: &W) -> impl Iterator<Item = &[i8]> {
    weight.as_ref().iter().map(|row| row.as_ref())
}

/// Keeps activations in 8 bits.
fn store(out: &mut [i8], values: impl Iterator<Item = i32>) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = sat8(value));
}

/// Adds to the residual stream.
fn add<S: Shape>(x: &mut S::Embed<i16>, values: impl Iterator<Item = i32>) {
    x.as_mut().iter_mut().zip(values).for_each(|(x, value)| *x = sat16(i32::from(*x) + value));
}
