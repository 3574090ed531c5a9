//! The tensors of a float model, in the order of the file.
//!
//! Weights of linear layers are stored input-major (`[input][output]`, the transpose of PyTorch's), so that the engine,
//! which keeps a running sum for every output, reads the weights of neighbouring outputs from neighbouring addresses.
//! The file has [`Embedding`], then all tensors of one [`Block`] after those of the other, then [`Head`].

use crate::{
    network::Network,
    shape::{Matrix, Vector},
    tensors::tensors,
};

tensors! {
    /// The tensors that turn pixels into tokens. Those of the stem are empty in a network without one.
    Embedding,
    /// The tensors of [`Embedding`], mutably borrowed.
    EmbeddingMut {
        /// The weights of the stem, `window row x window column x channel of the image x channel of the map`.
        stem_weight: Matrix<N::StemKernel, N::StemKernel, Matrix<N::Channels, N::StemChannels, f32>>,
        /// The bias of the stem.
        stem_bias: Vector<N::StemChannels, f32>,
        /// The weights of the patch projection, `patch row x patch column x channel x embed`.
        patch_weight: Matrix<N::PatchHeight, N::PatchWidth, Matrix<N::PatchChannels, N::Embed, f32>>,
        /// The bias of the patch projection.
        patch_bias: Vector<N::Embed, f32>,
        /// The class token, before its position is added.
        cls_token: Vector<N::Embed, f32>,
        /// The learned position of each token, `tokens x embed`.
        pos_embed: Matrix<N::Tokens, N::Embed, f32>,
    }
}

tensors! {
    /// The tensors of one encoder block.
    Block,
    /// The tensors of [`Block`], mutably borrowed.
    BlockMut {
        /// The scale of the LayerNorm before the attention.
        norm1_weight: Vector<N::Embed, f32>,
        /// The offset of the LayerNorm before the attention.
        norm1_bias: Vector<N::Embed, f32>,
        /// The weights of the query projection, `input x output`. Head `h` owns the outputs `h * HEAD_DIM ..`.
        query_weight: Matrix<N::Embed, N::Embed, f32>,
        /// The bias of the query projection.
        query_bias: Vector<N::Embed, f32>,
        /// The weights of the key projection, `input x output`.
        key_weight: Matrix<N::Embed, N::Embed, f32>,
        /// The bias of the key projection.
        key_bias: Vector<N::Embed, f32>,
        /// The weights of the value projection, `input x output`.
        value_weight: Matrix<N::Embed, N::Embed, f32>,
        /// The bias of the value projection.
        value_bias: Vector<N::Embed, f32>,
        /// The weights of the projection of the joined heads, `input x output`.
        proj_weight: Matrix<N::Embed, N::Embed, f32>,
        /// The bias of the projection of the joined heads.
        proj_bias: Vector<N::Embed, f32>,
        /// The scale of the LayerNorm before the MLP.
        norm2_weight: Vector<N::Embed, f32>,
        /// The offset of the LayerNorm before the MLP.
        norm2_bias: Vector<N::Embed, f32>,
        /// The weights of the MLP's first layer, `embed x hidden`.
        hidden_weight: Matrix<N::Embed, N::Hidden, f32>,
        /// The bias of the MLP's first layer.
        hidden_bias: Vector<N::Hidden, f32>,
        /// The weights of the MLP's second layer, `hidden x embed`.
        mlp_weight: Matrix<N::Hidden, N::Embed, f32>,
        /// The bias of the MLP's second layer.
        mlp_bias: Vector<N::Embed, f32>,
    }
}

tensors! {
    /// The tensors that turn the class token into logits.
    Head,
    /// The tensors of [`Head`], mutably borrowed.
    HeadMut {
        /// The scale of the last LayerNorm.
        norm_weight: Vector<N::Embed, f32>,
        /// The offset of the last LayerNorm.
        norm_bias: Vector<N::Embed, f32>,
        /// The weights of the classifier, `embed x classes`.
        head_weight: Matrix<N::Embed, N::Classes, f32>,
        /// The bias of the classifier.
        head_bias: Vector<N::Classes, f32>,
    }
}

/// All weights of a float model, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, N: Network> {
    /// The tensors that turn pixels into tokens.
    pub embedding: Embedding<'a, N>,
    blocks: &'a [u8],
    /// The tensors that turn the class token into logits.
    pub head: Head<'a, N>,
}

impl<'a, N: Network> Weights<'a, N> {
    const BLOCKS: usize = N::DEPTH * Block::<N>::BYTES;
    /// The size of all weights, in bytes.
    pub const BYTES: usize = Embedding::<N>::BYTES + Self::BLOCKS + Head::<N>::BYTES;

    /// Views `bytes` as weights. Returns `None` if their number is not [`Self::BYTES`], or if they are not aligned to 4
    /// bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (embedding, bytes) = Embedding::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_checked(Self::BLOCKS)?;
        let (head, rest) = Head::split_from(bytes)?;
        rest.is_empty().then_some(Self { embedding, blocks, head })
    }

    /// Returns the `N::DEPTH` encoder blocks in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a, N>> {
        // Every chunk has the size and the alignment of a block, so that `filter_map` drops none.
        self.blocks.chunks_exact(Block::<N>::BYTES).filter_map(|chunk| Some(Block::split_from(chunk)?.0))
    }
}

/// True if no weight is NaN or infinite.
pub(super) fn are_finite(bytes: &[u8]) -> bool {
    bytes.as_chunks().0.iter().all(|&weight| f32::from_le_bytes(weight).is_finite())
}

/// All weights of a float model, mutably borrowed, for programs that write model files.
#[derive(Debug)]
pub struct WeightsMut<'a, N: Network> {
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
        let (embedding, bytes) = EmbeddingMut::split_from(bytes)?;
        let (blocks, bytes) = bytes.split_at_mut_checked(Weights::<N>::BLOCKS)?;
        let (head, rest) = HeadMut::split_from(bytes)?;
        rest.is_empty().then_some(Self { embedding, blocks, head })
    }

    /// Returns the `N::DEPTH` encoder blocks in order.
    pub fn blocks(&mut self) -> impl Iterator<Item = BlockMut<'_, N>> {
        self.blocks
            .chunks_exact_mut(Block::<N>::BYTES)
            .filter_map(|chunk| Some(BlockMut::split_from(chunk)?.0))
    }
}
