//! The tensors of an integer model, in the order of the file.
//!
//! [`Embedding`], the weights of the patch projection, [`Block`] as often as there are blocks, [`Head`]: each with its
//! tensors as they are declared below, without gaps. `S::Tokens<S::Embed<i16>>` is a matrix of `i16`, a row per token and
//! a column per channel. The weights of the patch projection are `i8`, a row per channel: one per pixel of a patch, and
//! zeros up to a multiple of 4.
//!
//! Weights are in natural row order, `output x input`. A linear layer has a bias, a multiplier and a shift per output;
//! see NUMERICS.md for what they mean. The widest numbers come first, so that everything is aligned.

use super::{
    layer_norm::{Norm, NormTensor, MAX_WIDTH},
    requantize::Scale,
    softmax::{ExpTable, EXP_ONE},
};
use crate::{
    shape::{Array, Shape},
    tensors::tensors,
};

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
        patch_bias: S::Embed<i32>,
        /// Positions, and for token 0 also the class token, in the scale of the residual stream.
        positions: S::Tokens<S::Embed<i16>>,
        /// Multipliers of the patch projection.
        patch_multiplier: S::Embed<u16>,
        /// Shifts of the patch projection.
        patch_shift: S::Embed<u8>,
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
        query_bias: S::Embed<i32>,
        /// Bias of the key projection.
        key_bias: S::Embed<i32>,
        /// Bias of the value projection.
        value_bias: S::Embed<i32>,
        /// Bias of the projection of the joined heads.
        proj_bias: S::Embed<i32>,
        /// Bias of the MLP's first layer.
        hidden_bias: S::Hidden<i32>,
        /// Bias of the MLP's second layer.
        mlp_bias: S::Embed<i32>,
        /// Multipliers of the query projection.
        query_multiplier: S::Embed<u16>,
        /// Multipliers of the key projection.
        key_multiplier: S::Embed<u16>,
        /// Multipliers of the value projection.
        value_multiplier: S::Embed<u16>,
        /// Multipliers of the projection of the joined heads.
        proj_multiplier: S::Embed<u16>,
        /// Multipliers of the MLP's first layer.
        hidden_multiplier: S::Hidden<u16>,
        /// Multipliers of the MLP's second layer.
        mlp_multiplier: S::Embed<u16>,
        /// Shifts of the query projection.
        query_shift: S::Embed<u8>,
        /// Shifts of the key projection.
        key_shift: S::Embed<u8>,
        /// Shifts of the value projection.
        value_shift: S::Embed<u8>,
        /// Shifts of the projection of the joined heads.
        proj_shift: S::Embed<u8>,
        /// Shifts of the MLP's first layer.
        hidden_shift: S::Hidden<u8>,
        /// Shifts of the MLP's second layer.
        mlp_shift: S::Embed<u8>,
        /// GELU, from the MLP's first layer (plus 128) to what the second one takes.
        gelu_table: [i8; 256],
        /// Query projection.
        query_weight: S::Embed<S::Embed<i8>>,
        /// Key projection.
        key_weight: S::Embed<S::Embed<i8>>,
        /// Value projection.
        value_weight: S::Embed<S::Embed<i8>>,
        /// Projection of the joined heads.
        proj_weight: S::Embed<S::Embed<i8>>,
        /// The MLP's first layer.
        hidden_weight: S::Hidden<S::Embed<i8>>,
        /// The MLP's second layer.
        mlp_weight: S::Embed<S::Hidden<i8>>,
    }
}

tensors! {
    /// From the class token to the logits.
    Head,
    /// [`Head`], to be written.
    HeadMut {
        /// The last LayerNorm.
        norm: NormTensor,
        /// What a logit of 1 stands for; only for people.
        logit_scale: f32,
        /// Bias of the classifier.
        head_bias: S::Classes<i32>,
        /// Classifier.
        head_weight: S::Classes<S::Embed<i8>>,
    }
}

/// All weights of an integer model, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, S: Shape> {
    /// From pixels to tokens.
    pub embedding: Embedding<'a, S>,
    /// Patch projection: a row of [`Self::PATCH_ROW`] weights for each channel, one per pixel and then zeros.
    pub patch_weight: &'a [i8],
    blocks: &'a [u8],
    /// From the class token to the logits.
    pub head: Head<'a, S>,
}

impl<'a, S: Shape> Weights<'a, S> {
    /// Weights of a row of the patch projection: the pixels of a patch, rounded up to a multiple of 4.
    pub const PATCH_ROW: usize = (S::PATCH * S::PATCH).next_multiple_of(4);
    const PATCH_WEIGHT: usize = S::EMBED * Self::PATCH_ROW;
    const BLOCKS: usize = S::DEPTH * Block::<S>::BYTES;
    /// Bytes of all weights.
    pub const BYTES: usize = {
        assert!(S::EMBED <= MAX_WIDTH, "the integer engine's LayerNorm takes at most 128 channels");
        assert!(S::EMBED.is_multiple_of(4), "the integer engine needs EMBED to be a multiple of 4");
        assert!(S::HIDDEN.is_multiple_of(4), "the integer engine needs HIDDEN to be a multiple of 4");
        // A sum of products is below 2^14 a term; with a bias below 2^30 it must fit 32 bits.
        assert!(
            S::HIDDEN < 1 << 16 && S::EMBED < 1 << 16 && Self::PATCH_ROW < 1 << 16,
            "too many terms for 32 bits"
        );
        // Weighted values: at most 255 * 128 a token.
        assert!(S::TOKENS < 1 << 16, "too many tokens for 32 bits");
        Embedding::<S>::BYTES + Self::PATCH_WEIGHT + Self::BLOCKS + Head::<S>::BYTES
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

    /// The encoder blocks, `S::DEPTH` of them.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a, S>> {
        // Every chunk has the size of a block and its alignment, so that no block is left out.
        self.blocks.chunks_exact(Block::<S>::BYTES).filter_map(|chunk| Some(Block::split_from(chunk)?.0))
    }

    /// Whether every number is within the bounds that NUMERICS.md gives.
    pub(crate) fn is_valid(&self) -> bool {
        let Embedding { exp_table, patch_bias, patch_multiplier, patch_shift, .. } = self.embedding;
        let Head { norm, head_bias, .. } = self.head;
        exp_table[0] == EXP_ONE
            && exp_table.iter().all(|&entry| entry <= EXP_ONE)
            && are_valid(patch_bias, patch_multiplier, patch_shift)
            && self.blocks().all(|block| block.is_valid())
            && Norm::from_tensor(norm).is_valid()
            && head_bias.as_ref().iter().all(|&bias| is_valid_bias(bias))
    }
}

impl<S: Shape> Block<'_, S> {
    fn is_valid(&self) -> bool {
        Norm::from_tensor(self.norm1).is_valid()
            && Norm::from_tensor(self.norm2).is_valid()
            && scale_from(self.score_scale).is_some()
            && scale_from(self.context_scale).is_some()
            && are_valid(self.query_bias, self.query_multiplier, self.query_shift)
            && are_valid(self.key_bias, self.key_multiplier, self.key_shift)
            && are_valid(self.value_bias, self.value_multiplier, self.value_shift)
            && are_valid(self.proj_bias, self.proj_multiplier, self.proj_shift)
            && are_valid(self.hidden_bias, self.hidden_multiplier, self.hidden_shift)
            && are_valid(self.mlp_bias, self.mlp_multiplier, self.mlp_shift)
    }
}

/// A valid scale, as it stands in the file.
pub(crate) fn scale_from(&[multiplier, shift]: &ScaleTensor) -> Option<Scale> {
    let scale = Scale { multiplier: u16::try_from(multiplier).ok()?, shift: u8::try_from(shift).ok()? };
    scale.is_valid().then_some(scale)
}

fn are_valid(bias: &impl Array<i32>, multiplier: &impl Array<u16>, shift: &impl Array<u8>) -> bool {
    let mut scales = multiplier.as_ref().iter().zip(shift.as_ref());
    bias.as_ref().iter().all(|&bias| is_valid_bias(bias))
        && scales.all(|(&multiplier, &shift)| Scale { multiplier, shift }.is_valid())
}

fn is_valid_bias(bias: i32) -> bool {
    bias.unsigned_abs() < 1 << 30
}

/// All weights of an integer model, to be written.
#[derive(Debug)]
pub struct WeightsMut<'a, S: Shape> {
    /// From pixels to tokens.
    pub embedding: EmbeddingMut<'a, S>,
    /// Patch projection, see [`Weights::patch_weight`].
    pub patch_weight: &'a mut [i8],
    blocks: &'a mut [u8],
    /// From the class token to the logits.
    pub head: HeadMut<'a, S>,
}

impl<'a, S: Shape> WeightsMut<'a, S> {
    /// Views `bytes` as weights; nothing if they are not [`Weights::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a mut [u8]) -> Option<Self> {
        let (embedding, bytes) = EmbeddingMut::split_from(bytes)?;
        let (patch_weight, bytes) = bytes.split_at_mut_checked(Weights::<S>::PATCH_WEIGHT)?;
        let (blocks, bytes) = bytes.split_at_mut_checked(Weights::<S>::BLOCKS)?;
        let (head, rest) = HeadMut::split_from(bytes)?;
        let patch_weight = bytemuck::cast_slice_mut(patch_weight);
        rest.is_empty().then_some(Self { embedding, patch_weight, blocks, head })
    }

    /// The encoder blocks, `S::DEPTH` of them.
    pub fn blocks(&mut self) -> impl Iterator<Item = BlockMut<'_, S>> {
        self.blocks
            .chunks_exact_mut(Block::<S>::BYTES)
            .filter_map(|chunk| Some(BlockMut::split_from(chunk)?.0))
    }
}
