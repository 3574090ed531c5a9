//! The tensors of a float model, in the order of the file.
//!
//! Weights of linear layers are stored input-major (`[input][output]`, the transpose of PyTorch's), so that the
//! engine, which gives every output its own running sum, reads neighbouring outputs from neighbouring addresses. The
//! blocks follow one another, each whole.

use crate::{shape::Shape, tensors::tensors};

tensors! {
    /// From pixels to tokens.
    Embedding,
    /// [`Embedding`], to be written.
    EmbeddingMut {
        /// Patch projection, `patch row x patch column x embed`.
        patch_weight: S::Patch<S::Patch<S::Embed<f32>>>,
        /// Its bias.
        patch_bias: S::Embed<f32>,
        /// The class token, before its position is added.
        cls_token: S::Embed<f32>,
        /// Learned positions.
        pos_embed: S::Tokens<S::Embed<f32>>,
    }
}

tensors! {
    /// One encoder block.
    Block,
    /// [`Block`], to be written.
    BlockMut {
        /// Scale of the LayerNorm before the attention.
        norm1_weight: S::Embed<f32>,
        /// Its offset.
        norm1_bias: S::Embed<f32>,
        /// Query projection, `input x output`; head `h` owns the outputs `h * HEAD_DIM ..`.
        query_weight: S::Embed<S::Embed<f32>>,
        /// Its bias.
        query_bias: S::Embed<f32>,
        /// Key projection, `input x output`.
        key_weight: S::Embed<S::Embed<f32>>,
        /// Its bias.
        key_bias: S::Embed<f32>,
        /// Value projection, `input x output`.
        value_weight: S::Embed<S::Embed<f32>>,
        /// Its bias.
        value_bias: S::Embed<f32>,
        /// Projection of the joined heads, `input x output`.
        proj_weight: S::Embed<S::Embed<f32>>,
        /// Its bias.
        proj_bias: S::Embed<f32>,
        /// Scale of the LayerNorm before the MLP.
        norm2_weight: S::Embed<f32>,
        /// Its offset.
        norm2_bias: S::Embed<f32>,
        /// First layer of the MLP, `embed x hidden`.
        hidden_weight: S::Embed<S::Hidden<f32>>,
        /// Its bias.
        hidden_bias: S::Hidden<f32>,
        /// Second layer of the MLP, `hidden x embed`.
        mlp_weight: S::Hidden<S::Embed<f32>>,
        /// Its bias.
        mlp_bias: S::Embed<f32>,
    }
}

tensors! {
    /// From the class token to the logits.
    Head,
    /// [`Head`], to be written.
    HeadMut {
        /// Scale of the last LayerNorm.
        norm_weight: S::Embed<f32>,
        /// Its offset.
        norm_bias: S::Embed<f32>,
        /// Classifier, `embed x classes`.
        head_weight: S::Embed<S::Classes<f32>>,
        /// Its bias.
        head_bias: S::Classes<f32>,
    }
}

/// All weights of a float model, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, S: Shape> {
    /// From pixels to tokens.
    pub embedding: Embedding<'a, S>,
    blocks: &'a [u8],
    /// From the class token to the logits.
    pub head: Head<'a, S>,
}

impl<'a, S: Shape> Weights<'a, S> {
    const BLOCKS: usize = S::DEPTH * Block::<S>::BYTES;
    /// Bytes of all weights.
    pub const BYTES: usize = Embedding::<S>::BYTES + Self::BLOCKS + Head::<S>::BYTES;

    /// Views `bytes` as weights; nothing if they are not [`Self::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (embedding, bytes) = Embedding::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_checked(Self::BLOCKS)?;
        let (head, rest) = Head::split_from(bytes)?;
        rest.is_empty().then_some(Self { embedding, blocks, head })
    }

    /// The encoder blocks, `S::DEPTH` of them.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a, S>> {
        // Every chunk has the size of a block and its alignment, so that no block is left out.
        self.blocks.chunks_exact(Block::<S>::BYTES).filter_map(|chunk| Some(Block::split_from(chunk)?.0))
    }
}

/// Whether every weight is a number, and not an infinite one.
pub(super) fn are_finite(bytes: &[u8]) -> bool {
    bytes.as_chunks().0.iter().all(|&weight| f32::from_le_bytes(weight).is_finite())
}

/// All weights of a float model, to be written.
#[derive(Debug)]
pub struct WeightsMut<'a, S: Shape> {
    /// From pixels to tokens.
    pub embedding: EmbeddingMut<'a, S>,
    blocks: &'a mut [u8],
    /// From the class token to the logits.
    pub head: HeadMut<'a, S>,
}

impl<'a, S: Shape> WeightsMut<'a, S> {
    /// Views `bytes` as weights; nothing if they are not [`Weights::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a mut [u8]) -> Option<Self> {
        let (embedding, bytes) = EmbeddingMut::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_mut_checked(Weights::<S>::BLOCKS)?;
        let (head, rest) = HeadMut::split_from(bytes)?;
        rest.is_empty().then_some(Self { embedding, blocks, head })
    }

    /// The encoder blocks, `S::DEPTH` of them.
    pub fn blocks(&mut self) -> impl Iterator<Item = BlockMut<'_, S>> {
        self.blocks
            .chunks_exact_mut(Block::<S>::BYTES)
            .filter_map(|chunk| Some(BlockMut::split_from(chunk)?.0))
    }
}
