//! The names of a network's parameters, which are those of PyTorch's `state_dict`. No other file spells them out, so
//! that a name cannot be written in two ways.

/// The class token.
pub(crate) const CLS_TOKEN: &str = "cls_token";
/// The positions of all tokens.
pub(crate) const POS_EMBED: &str = "pos_embed";
/// The first of two convolutions.
pub(crate) const STEM: &str = "tokenizer.conv1";

/// Returns the name of the layer that embeds patches, which is the last convolution of a tokenizer with this number of
/// convolutions.
pub(crate) const fn patch_embed(convolutions: usize) -> &'static str {
    match convolutions {
        0 => "patch_embed.proj",
        1 => "tokenizer.conv1",
        _ => "tokenizer.conv2",
    }
}

/// The last LayerNorm.
pub(crate) const NORM: &str = "norm";
/// The layer that computes the logits.
pub(crate) const HEAD: &str = "head";

/// The LayerNorm before a block's attention: see [`in_block`].
pub(crate) const NORM1: &str = "norm1";
/// The layer that computes queries, keys and values, one after the other, in a block.
pub(crate) const IN_PROJ: &str = "attn.in_proj";
/// The projection after a block's attention.
pub(crate) const OUT_PROJ: &str = "attn.out_proj";
/// The LayerNorm before a block's MLP.
pub(crate) const NORM2: &str = "norm2";
/// The first layer of a block's MLP, before GELU.
pub(crate) const HIDDEN: &str = "mlp.0";
/// The last layer of a block's MLP.
pub(crate) const MLP: &str = "mlp.3";

/// Returns the name of a layer, or of another part, of block `index`.
pub(crate) fn in_block(index: usize, part: &str) -> String {
    format!("blocks.{index}.{part}")
}

/// Returns the name of a layer's weights, or of a LayerNorm's scale.
pub(crate) fn weight(layer: &str) -> String {
    format!("{layer}{}weight", separator(layer))
}

/// Returns the name of a layer's biases, or of a LayerNorm's shift.
pub(crate) fn bias(layer: &str) -> String {
    format!("{layer}{}bias", separator(layer))
}

/// Returns the character between the name of a layer and that of its parameter. It is a dot, except in PyTorch's
/// `MultiheadAttention`, where the packed projection is not a layer, but two parameters such as `in_proj_weight`.
fn separator(layer: &str) -> char {
    if layer.ends_with(IN_PROJ) {
        '_'
    } else {
        '.'
    }
}
