//! The tensors of a float model, in the order of the file.
//!
//! Weights of linear layers are stored input-major (`[input][output]`, the transpose of PyTorch's), so that the
//! engine, which gives every output its own running sum, reads neighbouring outputs from neighbouring addresses. The
//! blocks follow one another, each whole.

use crate::{
    network::Network,
    shape::{Matrix, Vector},
    tensors::tensors,
};

tensors! {
    /// From pixels to tokens.
    Embedding,
    /// [`Embedding`], to be written.
    EmbeddingMut {
        /// Patch projection, `patch row x patch column x embed`.
        patch_weight: Vector<N::Patch, Matrix<N::Patch, N::Embed, f32>>,
        /// Its bias.
        patch_bias: Vector<N::Embed, f32>,
        /// The class token, before its position is added.
        cls_token: Vector<N::Embed, f32>,
        /// Learned positions.
        pos_embed: Matrix<N::Tokens, N::Embed, f32>,
    }
}

tensors! {
    /// One encoder block.
    Block,
    /// [`Block`], to be written.
    BlockMut {
        /// Scale of the LayerNorm before the attention.
        norm1_weight: Vector<N::Embed, f32>,
        /// Its offset.
        norm1_bias: Vector<N::Embed, f32>,
        /// Query projection, `input x output`; head `h` owns the outputs `h * HEAD_DIM ..`.
        query_weight: Matrix<N::Embed, N::Embed, f32>,
        /// Its bias.
        query_bias: Vector<N::Embed, f32>,
        /// Key projection, `input x output`.
        key_weight: Matrix<N::Embed, N::Embed, f32>,
        /// Its bias.
        key_bias: Vector<N::Embed, f32>,
        /// Value projection, `input x output`.
        value_weight: Matrix<N::Embed, N::Embed, f32>,
        /// Its bias.
        value_bias: Vector<N::Embed, f32>,
        /// Projection of the joined heads, `input x output`.
        proj_weight: Matrix<N::Embed, N::Embed, f32>,
        /// Its bias.
        proj_bias: Vector<N::Embed, f32>,
        /// Scale of the LayerNorm before the MLP.
        norm2_weight: Vector<N::Embed, f32>,
        /// Its offset.
        norm2_bias: Vector<N::Embed, f32>,
        /// First layer of the MLP, `embed x hidden`.
        hidden_weight: Matrix<N::Embed, N::Hidden, f32>,
        /// Its bias.
        hidden_bias: Vector<N::Hidden, f32>,
        /// Second layer of the MLP, `hidden x embed`.
        mlp_weight: Matrix<N::Hidden, N::Embed, f32>,
        /// Its bias.
        mlp_bias: Vector<N::Embed, f32>,
    }
}

tensors! {
    /// From the class token to the logits.
    Head,
    /// [`Head`], to be written.
    HeadMut {
        /// Scale of the last LayerNorm.
        norm_weight: Vector<N::Embed, f32>,
        /// Its offset.
        norm_bias: Vector<N::Embed, f32>,
        /// Classifier, `embed x classes`.
        head_weight: Matrix<N::Embed, N::Classes, f32>,
        /// Its bias.
        head_bias: Vector<N::Classes, f32>,
    }
}

/// All weights of a float model, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, N: Network> {
    /// From pixels to tokens.
    pub embedding: Embedding<'a, N>,
    blocks: &'a [u8],
    /// From the class token to the logits.
    pub head: Head<'a, N>,
}

impl<'a, N: Network> Weights<'a, N> {
    const BLOCKS: usize = N::DEPTH * Block::<N>::BYTES;
    /// Bytes of all weights.
    pub const BYTES: usize = Embedding::<N>::BYTES + Self::BLOCKS + Head::<N>::BYTES;

    /// Views `bytes` as weights; nothing if they are not [`Self::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (embedding, bytes) = Embedding::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_checked(Self::BLOCKS)?;
        let (head, rest) = Head::split_from(bytes)?;
        rest.is_empty().then_some(Self { embedding, blocks, head })
    }

    /// The encoder blocks, `N::DEPTH` of them.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a, N>> {
        // Every chunk has the size of a block and its alignment, so that no block is left out.
        self.blocks.chunks_exact(Block::<N>::BYTES).filter_map(|chunk| Some(Block::split_from(chunk)?.0))
    }
}

/// Whether every weight is a number, and not an infinite one.
pub(super) fn are_finite(bytes: &[u8]) -> bool {
    bytes.as_chunks().0.iter().all(|&weight| f32::from_le_bytes(weight).is_finite())
}

/// All weights of a float model, to be written.
#[derive(Debug)]
pub struct WeightsMut<'a, N: Network> {
    /// From pixels to tokens.
    pub embedding: EmbeddingMut<'a, N>,
    blocks: &'a mut [u8],
    /// From the class token to the logits.
    pub head: HeadMut<'a, N>,
}

impl<'a, N: Network> WeightsMut<'a, N> {
    /// Views `bytes` as weights; nothing if they are not [`Weights::BYTES`] many, or not aligned to 4 bytes.
    pub fn from_bytes(bytes: &'a mut [u8]) -> Option<Self> {
        let (embedding, bytes) = EmbeddingMut::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_mut_checked(Weights::<N>::BLOCKS)?;
        let (head, rest) = HeadMut::split_from(bytes)?;
        rest.is_empty().then_some(Self { embedding, blocks, head })
    }

    /// The encoder blocks, `N::DEPTH` of them.
    pub fn blocks(&mut self) -> impl Iterator<Item = BlockMut<'_, N>> {
        self.blocks
            .chunks_exact_mut(Block::<N>::BYTES)
            .filter_map(|chunk| Some(BlockMut::split_from(chunk)?.0))
    }
}
