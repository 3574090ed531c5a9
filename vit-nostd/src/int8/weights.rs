//! The tensors of an integer model, in the order of the file.
//!
//! The file has [`Convolutions`], [`Embedding`], one [`Block`] for each encoder block, and [`Head`]. Each has its
//! tensors in the order in which they are declared below, and there are no gaps. The type
//! `Matrix<N::Tokens, N::Embed, i16>` is a matrix of `i16` with a row per token and a column per channel.
//!
//! The weights of linear layers have a row per output and a column per input. A linear layer has a bias, a multiplier
//! and a shift per output; NUMERICS.md defines what they mean. The order of the tensors is such that each is aligned to
//! the size of its numbers.

use super::{
    layer_norm::{factor, Norm, NormTensor, MAX_WIDTH},
    linear::Linear,
    requantize::Scale,
    softmax::{one, ExpTable, MAX_CONTEXT_SHIFT},
};
use crate::{
    network::{Dims, Network},
    shape::{Array, Len, Matrix, Vector},
    tensors::tensors,
};
use core::marker::PhantomData;

/// The multiplier and the shift of a [`Scale`] that a whole tensor shares, as the file holds them.
pub type ScaleTensor = [u32; 2];

tensors! {
    /// The tensors of the convolutions, except for the last one, which is the patch projection of [`Embedding`]. They
    /// are empty in a network without convolutions, and all but `zeros` are empty in one without a stem.
    Convolutions,
    /// The tensors of [`Convolutions`], mutably borrowed.
    ConvolutionsMut {
        /// The values that stand for zero around the input of each convolution. There are four: one for each channel of
        /// an image, or a single one for all channels of a map; the others are 0.
        zeros: Vector<N::Zeros, i8>,
        /// The biases of the stem.
        stem_bias: Vector<N::StemChannels, i32>,
        /// The multipliers of the stem.
        stem_multiplier: Vector<N::StemChannels, u16>,
        /// The shifts of the stem.
        stem_shift: Vector<N::StemChannels, u8>,
        /// The GELU of the stem as a table, like that of a [`Block`].
        stem_gelu_table: Matrix<N::Stems, Len<256>, i8>,
        /// The weights of the stem: one for each value of its windows, and zeros up to a multiple of 4.
        stem_weight: Matrix<N::StemChannels, N::StemRow, i8>,
    }
}

tensors! {
    /// The tensors that turn pixels into tokens.
    Embedding,
    /// The tensors of [`Embedding`], mutably borrowed.
    EmbeddingMut {
        /// The exponentials that the softmax of every block uses.
        exp_table: ExpTable,
        /// The biases of the patch projection.
        patch_bias: Vector<N::Embed, i32>,
        /// The positions, in the scale of the residual stream. That of token 0 includes the class token.
        positions: Matrix<N::Tokens, N::Embed, i16>,
        /// The multipliers of the patch projection.
        patch_multiplier: Vector<N::Embed, u16>,
        /// The shifts of the patch projection.
        patch_shift: Vector<N::Embed, u8>,
        /// The weights of the patch projection: one for each value of a patch, and zeros up to a multiple of 4.
        patch_weight: Matrix<N::Embed, N::PatchRow, i8>,
    }
}

tensors! {
    /// The tensors of one encoder block.
    Block,
    /// The tensors of [`Block`], mutably borrowed.
    BlockMut {
        /// The constants of the LayerNorm before the attention.
        norm1: NormTensor,
        /// The constants of the LayerNorm before the MLP.
        norm2: NormTensor,
        /// The scale that turns a difference of scores into a step of the exponential table.
        score_scale: ScaleTensor,
        /// The scale that turns the weighted sum of values into an input of the output projection.
        context_scale: ScaleTensor,
        /// The biases of the query projection.
        query_bias: Vector<N::Embed, i32>,
        /// The biases of the key projection.
        key_bias: Vector<N::Embed, i32>,
        /// The biases of the value projection.
        value_bias: Vector<N::Embed, i32>,
        /// The biases of the projection of the joined heads.
        proj_bias: Vector<N::Embed, i32>,
        /// The biases of the MLP's first layer.
        hidden_bias: Vector<N::Hidden, i32>,
        /// The biases of the MLP's second layer.
        mlp_bias: Vector<N::Embed, i32>,
        /// The multipliers of the query projection.
        query_multiplier: Vector<N::Embed, u16>,
        /// The multipliers of the key projection.
        key_multiplier: Vector<N::Embed, u16>,
        /// The multipliers of the value projection.
        value_multiplier: Vector<N::Embed, u16>,
        /// The multipliers of the projection of the joined heads.
        proj_multiplier: Vector<N::Embed, u16>,
        /// The multipliers of the MLP's first layer.
        hidden_multiplier: Vector<N::Hidden, u16>,
        /// The multipliers of the MLP's second layer.
        mlp_multiplier: Vector<N::Embed, u16>,
        /// The shifts of the query projection.
        query_shift: Vector<N::Embed, u8>,
        /// The shifts of the key projection.
        key_shift: Vector<N::Embed, u8>,
        /// The shifts of the value projection.
        value_shift: Vector<N::Embed, u8>,
        /// The shifts of the projection of the joined heads.
        proj_shift: Vector<N::Embed, u8>,
        /// The shifts of the MLP's first layer.
        hidden_shift: Vector<N::Hidden, u8>,
        /// The shifts of the MLP's second layer.
        mlp_shift: Vector<N::Embed, u8>,
        /// The GELU as a table: entry `x + 128` is the input of the MLP's second layer for the output `x` of the first
        /// one.
        gelu_table: [i8; 256],
        /// The weights of the query projection.
        query_weight: Matrix<N::Embed, N::Embed, i8>,
        /// The weights of the key projection.
        key_weight: Matrix<N::Embed, N::Embed, i8>,
        /// The weights of the value projection.
        value_weight: Matrix<N::Embed, N::Embed, i8>,
        /// The weights of the projection of the joined heads.
        proj_weight: Matrix<N::Embed, N::Embed, i8>,
        /// The weights of the MLP's first layer.
        hidden_weight: Matrix<N::Hidden, N::Embed, i8>,
        /// The weights of the MLP's second layer.
        mlp_weight: Matrix<N::Embed, N::Hidden, i8>,
    }
}

tensors! {
    /// The tensors that turn the class token into logits.
    Head,
    /// The tensors of [`Head`], mutably borrowed.
    HeadMut {
        /// The constants of the last LayerNorm.
        norm: NormTensor,
        /// The real number that a logit of 1 stands for, finite and above 0. The inference does not use it.
        logit_scale: f32,
        /// The biases of the classifier.
        head_bias: Vector<N::Classes, i32>,
        /// The weights of the classifier.
        head_weight: Matrix<N::Classes, N::Embed, i8>,
    }
}

/// All weights of an integer model, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, N: Network> {
    /// The tensors of the convolutions.
    pub convolutions: Convolutions<'a, N>,
    /// The tensors that turn pixels into tokens.
    pub embedding: Embedding<'a, N>,
    blocks: &'a [u8],
    /// The tensors that turn the class token into logits.
    pub head: Head<'a, N>,
}

impl<'a, N: Network> Weights<'a, N> {
    const BLOCKS: usize = N::DEPTH * Block::<N>::BYTES;
    /// The size of all weights, in bytes. It does not compile for a network that the integer engine cannot run.
    pub const BYTES: usize = {
        if let Err(fault) = check(&N::DIMS) {
            panic!("{}", fault);
        }
        Convolutions::<N>::BYTES + Embedding::<N>::BYTES + Self::BLOCKS + Head::<N>::BYTES
    };

    /// Views `bytes` as weights. Returns `None` if their number is not [`Self::BYTES`], or if they are not aligned to 4
    /// bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (convolutions, bytes) = Convolutions::split_from(bytes)?;
        let (embedding, bytes) = Embedding::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_checked(Self::BLOCKS)?;
        let (head, rest) = Head::split_from(bytes)?;
        rest.is_empty().then_some(Self { convolutions, embedding, blocks, head })
    }

    /// Returns the `N::DEPTH` encoder blocks in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a, N>> {
        // Every chunk has the size and the alignment of a block, so that `filter_map` drops none.
        self.blocks.chunks_exact(Block::<N>::BYTES).filter_map(|chunk| Some(Block::split_from(chunk)?.0))
    }

    /// Returns the stem, which turns a window of the image into a pixel of the map, before GELU.
    pub(crate) fn stem(&self) -> Linear<'a, Vector<N::StemRow, i8>> {
        let Convolutions { stem_weight, stem_bias, stem_multiplier, stem_shift, .. } = self.convolutions;
        let stem_weight = bytemuck::cast_slice(stem_weight.as_ref());
        layer(stem_weight, stem_bias, stem_multiplier, stem_shift)
    }

    /// Returns the values that stand for zero around the input of convolution `index`, of which there are `channels`.
    pub(crate) fn zeros(&self, index: usize, channels: usize) -> &'a [i8] {
        self.convolutions.zeros.as_ref().get(4 * index..4 * index + channels).unwrap_or_default()
    }

    /// Returns the patch projection, which turns the values of a patch into a token.
    pub(crate) fn patch(&self) -> Linear<'a, Vector<N::PatchRow, i8>> {
        let Embedding { patch_weight, patch_bias, patch_multiplier, patch_shift, .. } = self.embedding;
        let patch_weight = bytemuck::cast_slice(patch_weight.as_ref());
        layer(patch_weight, patch_bias, patch_multiplier, patch_shift)
    }

    /// True if every number is within the bounds that NUMERICS.md states.
    pub(crate) fn is_valid(&self) -> bool {
        let exp_table = self.embedding.exp_table;
        let Head { norm, head_bias, logit_scale, .. } = self.head;
        exp_table[0] == one(N::TOKENS)
            && exp_table.iter().all(|&entry| entry <= exp_table[0])
            && is_valid(self.stem())
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
                    && scale_from(self.context_scale).is_some_and(|scale| scale.shift <= MAX_CONTEXT_SHIFT)
                    $(&& is_valid(self.$name()))*
            }
        }
    };
}
layers! {
    /// Returns the query projection.
    query: Vector<N::Embed, i8> = query_weight, query_bias, query_multiplier, query_shift;
    /// Returns the key projection.
    key: Vector<N::Embed, i8> = key_weight, key_bias, key_multiplier, key_shift;
    /// Returns the value projection.
    value: Vector<N::Embed, i8> = value_weight, value_bias, value_multiplier, value_shift;
    /// Returns the projection of the joined heads.
    proj: Vector<N::Embed, i8> = proj_weight, proj_bias, proj_multiplier, proj_shift;
    /// Returns the MLP's first layer.
    hidden: Vector<N::Embed, i8> = hidden_weight, hidden_bias, hidden_multiplier, hidden_shift;
    /// Returns the MLP's second layer.
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

/// Returns the scale that a file holds, if it is valid.
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

/// The largest absolute value of a bias.
const MAX_BIAS: u32 = (1 << 30) - 1;

/// Checks that the integer engine can run a network, and that none of its sums can overflow, whatever the weights and
/// the pixels are.
///
/// # Errors
/// If it cannot, the reason.
pub const fn check(dims: &Dims) -> Result<(), &'static str> {
    const I8: u64 = 1 << 7; // the largest absolute values of each type
    const I16: u64 = 1 << 15;
    const I32: u64 = i32::MAX as u64;
    // A requantized sum is at most 2^(31 + 15 - 17) + 1, and a value of the residual stream is added to it.
    const {
        assert!((1 << (31 + 15 - Scale::MIN_SHIFT as u64)) + 1 + I16 <= I32);
    }
    if dims.embed == 0 || dims.tokens == 0 {
        return Err("no length of a network may be 0");
    }
    if dims.embed as usize > MAX_WIDTH {
        return Err("the integer engine needs EMBED to be at most 256");
    }
    if !dims.embed.is_multiple_of(4) {
        return Err("the integer engine needs EMBED to be a multiple of 4");
    }
    if !dims.hidden.is_multiple_of(4) {
        return Err("the integer engine needs HIDDEN to be a multiple of 4");
    }
    if !dims.stem_channels().is_multiple_of(4) {
        return Err("the integer engine needs the channels of the first convolution to be a multiple of 4");
    }
    let (embed, hidden, tokens) = (dims.embed as u64, dims.hidden as u64, dims.tokens as u64);
    let mut terms = dims.patch_values().next_multiple_of(4) as u64;
    let stem = dims.stem_values().next_multiple_of(4) as u64;
    terms = if terms < stem { stem } else { terms };
    terms = if terms < embed { embed } else { terms };
    terms = if terms < hidden { hidden } else { terms };
    if terms > I32 || MAX_BIAS as u64 + terms * I8 * I8 > I32 {
        return Err("too many terms for 32 bits");
    }
    if 2 * dims.head_dim as u64 * I8 * I8 > I32 {
        return Err("differences of scores must fit 32 bits");
    }
    let one = one(dims.tokens as usize) as u64;
    if one < 1 << 8 {
        return Err("the sum of exponentials must be at least 2^8");
    }
    if tokens * one * I8 > I32 {
        return Err("a weighted sum of values must fit 32 bits");
    }
    // LayerNorm: `D * x - sum` is the sum of D - 1 differences of two values, and the variance is at most a quarter of
    // the square of such a difference.
    if factor(dims.embed as usize) as u64 * (embed - 1) * (2 * I16 - 1) > I32 {
        return Err("the distance from the mean, times its factor, must fit 32 bits");
    }
    if embed * embed * I16 * I16 + Norm::MAX_EPSILON >= 1 << 52 {
        return Err("the variance must fit 52 bits");
    }
    Ok(())
}

/// All weights of an integer model, mutably borrowed, for programs that write model files.
#[derive(Debug)]
pub struct WeightsMut<'a, N: Network> {
    /// The tensors of the convolutions.
    pub convolutions: ConvolutionsMut<'a, N>,
    /// The tensors that turn pixels into tokens.
    pub embedding: EmbeddingMut<'a, N>,
    blocks: &'a mut [u8],
    /// The tensors that turn the class token into logits.
    pub head: HeadMut<'a, N>,
}

impl<'a, N: Network> WeightsMut<'a, N> {
    /// Views `bytes` as weights. Returns `None` if their number is not [`Weights::BYTES`], or if they are not aligned
    /// to 4 bytes.
    pub fn from_bytes(bytes: &'a mut [u8]) -> Option<Self> {
        let (convolutions, bytes) = ConvolutionsMut::split_from(bytes)?;
        let (embedding, bytes) = EmbeddingMut::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_mut_checked(Weights::<N>::BLOCKS)?;
        let (head, rest) = HeadMut::split_from(bytes)?;
        rest.is_empty().then_some(Self { convolutions, embedding, blocks, head })
    }

    /// Returns the `N::DEPTH` encoder blocks in order.
    pub fn blocks(&mut self) -> impl Iterator<Item = BlockMut<'_, N>> {
        self.blocks
            .chunks_exact_mut(Block::<N>::BYTES)
            .filter_map(|chunk| Some(BlockMut::split_from(chunk)?.0))
    }
}
