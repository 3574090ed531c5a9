//! The memory that a network takes on a chip, as formulas of its dimensions.

use super::core::Kernels;
use vit_nostd::Dims;

/// The number of bytes of `vit_nostd::int8::Scratch` for a network, with the kernels of a processor.
///
/// The formula follows the fields of that type: the residual stream, what the tokenizer, attention and the MLP need at
/// different times, two tiles of tokens, and the scores of one head.
pub fn scratch_bytes(dims: &Dims, kernels: Kernels) -> usize {
    let (tokens, embed, hidden) =
        (usize::from(dims.tokens), usize::from(dims.embed), usize::from(dims.hidden));
    // A tile has the activations of a few tokens and, for kernels that widen them, 16 bits more for each.
    let tile = |width: usize| kernels.tile() * width * if kernels.widen() { 3 } else { 1 };
    let residual_stream = 2 * tokens * embed;
    let keys_and_values = 2 * tokens * embed;
    let stripe = dims.stripe() * dims.stem_channels();
    let tokenizer = tile(patch_row(dims)) + tile(stem_row(dims)) + stripe;
    let shared = keys_and_values.max(tokenizer).max(tile(hidden));
    let tag = 4; // of the enum that the shared memory is
    let scores = 4 * kernels.scored() * tokens;
    residual_stream + tag + shared + 2 * tile(embed) + scores
}

/// The number of bytes of `vit_nostd::frame::Sums` and of the image, which a firmware needs to resize frames.
pub fn frame_bytes(dims: &Dims) -> usize {
    let sums = 4 * usize::from(dims.width) * usize::from(dims.channels);
    sums + dims.image_values()
}

/// The number of bytes of the weights in an integer model file, `vit_nostd::int8::Model::WEIGHT_BYTES`.
pub fn weight_bytes(dims: &Dims) -> usize {
    const EXP_TABLE: usize = 2 * 256;
    const GELU_TABLE: usize = 256;
    /// The constants of a LayerNorm: five numbers of 32 bits.
    const NORM: usize = 5 * 4;
    /// A multiplier and a shift, in 32 bits each.
    const SCALE: usize = 2 * 4;
    /// A bias, a multiplier and a shift.
    const OUTPUT: usize = 4 + 2 + 1;
    let linear = |inputs: usize, outputs: usize| outputs * (OUTPUT + inputs);

    let (tokens, embed, hidden) =
        (usize::from(dims.tokens), usize::from(dims.embed), usize::from(dims.hidden));
    let zeros = 4 * dims.convolutions();
    let stem = match dims.stem {
        Some(_) => linear(stem_row(dims), dims.stem_channels()) + GELU_TABLE,
        None => 0,
    };
    let embedding = EXP_TABLE + 2 * tokens * embed + linear(patch_row(dims), embed);
    let attention = 4 * linear(embed, embed) + 2 * SCALE;
    let mlp = linear(embed, hidden) + GELU_TABLE + linear(hidden, embed);
    let block = 2 * NORM + attention + mlp;
    let head = NORM + 4 + usize::from(dims.classes) * (4 + embed);
    zeros + stem + embedding + usize::from(dims.depth) * block + head
}

/// The number of values of a patch, rounded up to a multiple of 4.
pub(super) fn patch_row(dims: &Dims) -> usize {
    dims.patch_values().next_multiple_of(4)
}

/// The number of values of a window of the stem, rounded up to a multiple of 4, or 0 without a stem.
pub(super) fn stem_row(dims: &Dims) -> usize {
    dims.stem_values().next_multiple_of(4)
}

/// Some of the dimensions of a network, to compute with.
pub(super) struct Lengths {
    pub tokens: usize,
    pub embed: usize,
    pub hidden: usize,
}

impl Lengths {
    pub(super) fn of(dims: &Dims) -> Self {
        let [tokens, embed, hidden] = [dims.tokens, dims.embed, dims.hidden].map(usize::from);
        Self { tokens, embed, hidden }
    }
}
