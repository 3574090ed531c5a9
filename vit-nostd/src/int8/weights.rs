//! The tensors of an integer model, in the order of the file.
//!
//! [`Embedding`], the weights of the patch projection, [`Block`] as often as there are blocks, [`Head`]: each with its
//! tensors as they are declared below, without gaps. `Matrix<N::Tokens, N::Embed, i16>` is a matrix of `i16`, a row per token and
//! a column per channel. The weights of the patch projection are `i8`, a row per channel: one per pixel of a patch, and
//! zeros up to a multiple of 4.
//!
//! Weights are in natural row order, `output x input`. A linear layer has a bias, a multiplier and a shift per output;
//! see NUMERICS.md for what they mean. The widest numbers come first, so that everything is aligned.

use super::{
    layer_norm::{Norm, NormTensor, MAX_WIDTH},
    linear::{Linear, PatchRow, Row},
    requantize::Scale,
    softmax::{ExpTable, EXP_ONE},
};
use crate::{
    network::Network,
    shape::{Array, Matrix, Vector},
    tensors::tensors,
};
use core::marker::PhantomData;

/// A multiplier and a shift of a whole tensor.
pub type ScaleTensor = [u32; 2];

tensors! {
    /// From pixels to tokens; the weights of the patches stand beside it in [`Weights`].
    Embedding,
    /// [`Embedding`], to be written.
    EmbeddingMut {
        /// Exponentials of the softmax.
        exp_table: ExpTable,
        /// Bias of the patch projection.
        patch_bias: Vector<N::Embed, i32>,
        /// Positions, and for token 0 also the class token, in the scale of the residual stream.
        positions: Matrix<N::Tokens, N::Embed, i16>,
        /// Multipliers of the patch projection.
        patch_multiplier: Vector<N::Embed, u16>,
        /// Shifts of the patch projection.
        patch_shift: Vector<N::Embed, u8>,
    }
}

tensors! {
    /// One encoder block.
    Block,
    /// [`Block`], to be written.
    BlockMut {
        /// LayerNorm before the attention.
        norm1: NormTensor,
        /// LayerNorm before the MLP.
        norm2: NormTensor,
        /// From a difference of scores to a step of the exponential table.
        score_scale: ScaleTensor,
        /// From the weighted sum of values to the context.
        context_scale: ScaleTensor,
        /// Bias of the query projection.
        query_bias: Vector<N::Embed, i32>,
        /// Bias of the key projection.
        key_bias: Vector<N::Embed, i32>,
        /// Bias of the value projection.
        value_bias: Vector<N::Embed, i32>,
        /// Bias of the projection of the joined heads.
        proj_bias: Vector<N::Embed, i32>,
        /// Bias of the MLP's first layer.
        hidden_bias: Vector<N::Hidden, i32>,
        /// Bias of the MLP's second layer.
        mlp_bias: Vector<N::Embed, i32>,
        /// Multipliers of the query projection.
        query_multiplier: Vector<N::Embed, u16>,
        /// Multipliers of the key projection.
        key_multiplier: Vector<N::Embed, u16>,
        /// Multipliers of the value projection.
        value_multiplier: Vector<N::Embed, u16>,
        /// Multipliers of the projection of the joined heads.
        proj_multiplier: Vector<N::Embed, u16>,
        /// Multipliers of the MLP's first layer.
        hidden_multiplier: Vector<N::Hidden, u16>,
        /// Multipliers of the MLP's second layer.
        mlp_multiplier: Vector<N::Embed, u16>,
        /// Shifts of the query projection.
        query_shift: Vector<N::Embed, u8>,
        /// Shifts of the key projection.
        key_shift: Vector<N::Embed, u8>,
        /// Shifts of the value projection.
        value_shift: Vector<N::Embed, u8>,
        /// Shifts of the projection of the joined heads.
        proj_shift: Vector<N::Embed, u8>,
        /// Shifts of the MLP's first layer.
        hidden_shift: Vector<N::Hidden, u8>,
        /// Shifts of the MLP's second layer.
        mlp_shift: Vector<N::Embed, u8>,
        /// GELU, from the MLP's first layer (plus 128) to what the second one takes.
        gelu_table: [i8; 256],
        /// Query projection.
        query_weight: Matrix<N::Embed, N::Embed, i8>,
        /// Key projection.
        key_weight: Matrix<N::Embed, N::Embed, i8>,
        /// Value projection.
        value_weight: Matrix<N::Embed, N::Embed, i8>,
        /// Projection of the joined heads.
        proj_weight: Matrix<N::Embed, N::Embed, i8>,
        /// The MLP's first layer.
        hidden_weight: Matrix<N::Hidden, N::Embed, i8>,
        /// The MLP's second layer.
        mlp_weight: Matrix<N::Embed, N::Hidden, i8>,
    }
}

tensors! {
    /// From the class token to the logits.
    Head,
    /// [`Head`], to be written.
    HeadMut {
        /// The last LayerNorm.
        norm: NormTensor,
        /// What a logit of 1 stands for, finite and above 0; only for people.
        logit_scale: f32,
        /// Bias of the classifier.
        head_bias: Vector<N::Classes, i32>,
        /// Classifier.
        head_weight: Matrix<N::Classes, N::Embed, i8>,
    }
}

/// All weights of an integer model, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, N: Network> {
    /// From pixels to tokens.
    pub embedding: Embedding<'a, N>,
    /// Patch projection: a row of [`Self::PATCH_ROW`] weights for each channel, one per pixel and then zeros.
    pub patch_weight: &'a [i8],
    blocks: &'a [u8],
    /// From the class token to the logits.
    pub head: Head<'a, N>,
}

impl<'a, N: Network> Weights<'a, N> {
    /// Weights of a row of the patch projection: the pixels of a patch, rounded up to a multiple of 4.
    pub const PATCH_ROW: usize = PatchRow::<N>::LEN;
    const PATCH_WEIGHT: usize = N::EMBED * Self::PATCH_ROW;
    const BLOCKS: usize = N::DEPTH * Block::<N>::BYTES;
    /// Bytes of all weights.
    pub const BYTES: usize = {
        assert!(N::EMBED <= MAX_WIDTH, "the integer engine's LayerNorm takes at most 128 channels");
        assert!(N::EMBED.is_multiple_of(4), "the integer engine needs EMBED to be a multiple of 4");
        assert!(N::HIDDEN.is_multiple_of(4), "the integer engine needs HIDDEN to be a multiple of 4");
        bounds::<N>();
        Embedding::<N>::BYTES + Self::PATCH_WEIGHT + Self::BLOCKS + Head::<N>::BYTES
    };

    /// Views `bytes` as weights; nothing if they are not [`Self::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (embedding, bytes) = Embedding::split_from(bytes)?;
        let (patch_weight, bytes) = bytes.split_at_checked(Self::PATCH_WEIGHT)?;
        let (blocks, bytes) = bytes.split_at_checked(Self::BLOCKS)?;
        let (head, rest) = Head::split_from(bytes)?;
        let patch_weight = bytemuck::cast_slice(patch_weight);
        rest.is_empty().then_some(Self { embedding, patch_weight, blocks, head })
    }

    /// The encoder blocks, `N::DEPTH` of them.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a, N>> {
        // Every chunk has the size of a block and its alignment, so that no block is left out.
        self.blocks.chunks_exact(Block::<N>::BYTES).filter_map(|chunk| Some(Block::split_from(chunk)?.0))
    }

    /// From the pixels of a patch, minus 128, to its token.
    pub(crate) fn patch(&self) -> Linear<'a, PatchRow<N>> {
        let Embedding { patch_bias, patch_multiplier, patch_shift, .. } = self.embedding;
        layer(self.patch_weight, patch_bias, patch_multiplier, patch_shift)
    }

    /// Whether every number is within the bounds that NUMERICS.md gives.
    pub(crate) fn is_valid(&self) -> bool {
        let exp_table = self.embedding.exp_table;
        let Head { norm, head_bias, logit_scale, .. } = self.head;
        exp_table[0] == EXP_ONE
            && exp_table.iter().all(|&entry| entry <= EXP_ONE)
            && is_valid(self.patch())
            && self.blocks().all(|block| block.is_valid())
            && Norm::from_tensor(norm).is_valid()
            && head_bias.as_ref().iter().all(|&bias| is_valid_bias(bias))
            && logit_scale.is_finite()
            && *logit_scale > 0.0
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident: $row:ty = $weight:ident, $bias:ident, $multiplier:ident, $shift:ident;)*) => {
        impl<'a, N: Network> Block<'a, N> {
            $($(#[$doc])* pub(crate) fn $name(&self) -> Linear<'a, $row> {
                let weight = bytemuck::cast_slice(self.$weight.as_ref());
                layer(weight, self.$bias, self.$multiplier, self.$shift)
            })*

            fn is_valid(&self) -> bool {
                Norm::from_tensor(self.norm1).is_valid()
                    && Norm::from_tensor(self.norm2).is_valid()
                    && scale_from(self.score_scale).is_some()
                    && scale_from(self.context_scale).is_some()
                    $(&& is_valid(self.$name()))*
            }
        }
    };
}
layers! {
    /// Query projection.
    query: Vector<N::Embed, i8> = query_weight, query_bias, query_multiplier, query_shift;
    /// Key projection.
    key: Vector<N::Embed, i8> = key_weight, key_bias, key_multiplier, key_shift;
    /// Value projection.
    value: Vector<N::Embed, i8> = value_weight, value_bias, value_multiplier, value_shift;
    /// Projection of the joined heads.
    proj: Vector<N::Embed, i8> = proj_weight, proj_bias, proj_multiplier, proj_shift;
    /// The MLP's first layer.
    hidden: Vector<N::Embed, i8> = hidden_weight, hidden_bias, hidden_multiplier, hidden_shift;
    /// The MLP's second layer.
    mlp: Vector<N::Hidden, i8> = mlp_weight, mlp_bias, mlp_multiplier, mlp_shift;
}

fn layer<'a, R>(
    weight: &'a [i8],
    bias: &'a impl Array<i32>,
    multiplier: &'a impl Array<u16>,
    shift: &'a impl Array<u8>,
) -> Linear<'a, R> {
    let (bias, multiplier, shift) = (bias.as_ref(), multiplier.as_ref(), shift.as_ref());
    Linear { weight, bias, multiplier, shift, row: PhantomData }
}

/// A valid scale, as it stands in the file.
pub(crate) fn scale_from(&[multiplier, shift]: &ScaleTensor) -> Option<Scale> {
    let scale = Scale { multiplier: u16::try_from(multiplier).ok()?, shift: u8::try_from(shift).ok()? };
    scale.is_valid().then_some(scale)
}

fn is_valid<R>(layer: Linear<'_, R>) -> bool {
    let mut scales = layer.multiplier.iter().zip(layer.shift);
    layer.bias.iter().all(|&bias| is_valid_bias(bias))
        && scales.all(|(&multiplier, &shift)| Scale { multiplier, shift }.is_valid())
}

fn is_valid_bias(bias: i32) -> bool {
    bias.unsigned_abs() <= MAX_BIAS
}

/// The largest amount of a bias.
const MAX_BIAS: u32 = (1 << 30) - 1;

/// Proves that no sum of a network of shape `N` overflows, whatever the weights and the pixels are.
const fn bounds<N: Network>() {
    const I8: u64 = 1 << 7; // the largest amounts
    const I16: u64 = 1 << 15;
    const I32: u64 = i32::MAX as u64;
    let (embed, hidden, tokens) = (N::EMBED as u64, N::HIDDEN as u64, N::TOKENS as u64);
    let mut terms = PatchRow::<N>::LEN as u64;
    terms = if terms < embed { embed } else { terms };
    terms = if terms < hidden { hidden } else { terms };
    assert!(terms <= I32 && MAX_BIAS as u64 + terms * I8 * I8 <= I32, "too many terms for 32 bits");
    assert!(2 * N::HEAD_DIM as u64 * I8 * I8 <= I32, "differences of scores must fit 32 bits");
    assert!(tokens * EXP_ONE as u64 <= I32, "the sum of exponentials must fit 32 bits");
    assert!(tokens * 255 * I8 <= I32, "a weighted sum of values must fit 32 bits");
    // LayerNorm: D x - sum is D - 1 differences of two values; the variance is at most a quarter of their square.
    assert!(
        256 * (embed - 1) * (2 * I16 - 1) <= I32,
        "256 times the distance from the mean must fit 32 bits"
    );
    assert!(embed * embed * I16 * I16 + Norm::MAX_EPSILON < 1 << 52, "the variance must fit 52 bits");
    // Requantization keeps the 14 highest bits of a result at most, and the residual stream adds 16 bits.
    assert!(
        (1 << (31 + 15 - Scale::MIN_SHIFT as u64)) + 1 + I16 <= I32,
        "a requantized sum must fit 32 bits"
    );
}

/// All weights of an integer model, to be written.
#[derive(Debug)]
pub struct WeightsMut<'a, N: Network> {
    /// From pixels to tokens.
    pub embedding: EmbeddingMut<'a, N>,
    /// Patch projection, see [`Weights::patch_weight`].
    pub patch_weight: &'a mut [i8],
    blocks: &'a mut [u8],
    /// From the class token to the logits.
    pub head: HeadMut<'a, N>,
}

impl<'a, N: Network> WeightsMut<'a, N> {
    /// Views `bytes` as weights; nothing if they are not [`Weights::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a mut [u8]) -> Option<Self> {
        let (embedding, bytes) = EmbeddingMut::split_from(bytes)?;
        let (patch_weight, bytes) = bytes.split_at_mut_checked(Weights::<N>::PATCH_WEIGHT)?;
        let (blocks, bytes) = bytes.split_at_mut_checked(Weights::<N>::BLOCKS)?;
        let (head, rest) = HeadMut::split_from(bytes)?;
        let patch_weight = bytemuck::cast_slice_mut(patch_weight);
        rest.is_empty().then_some(Self { embedding, patch_weight, blocks, head })
    }

    /// The encoder blocks, `N::DEPTH` of them.
    pub fn blocks(&mut self) -> impl Iterator<Item = BlockMut<'_, N>> {
        self.blocks
            .chunks_exact_mut(Block::<N>::BYTES)
            .filter_map(|chunk| Some(BlockMut::split_from(chunk)?.0))
    }
}
