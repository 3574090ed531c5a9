//! The names of a network's parameters, which are those of PyTorch's `state_dict`. No other file spells them out, so
//! that a name cannot be written in two ways.

/// The class token.
pub const CLS_TOKEN: &str = "cls_token";
/// The positions of all tokens.
pub const POS_EMBED: &str = "pos_embed";
/// The layer that embeds patches.
pub const PATCH_EMBED: &str = "patch_embed.proj";
/// The last LayerNorm.
pub const NORM: &str = "norm";
/// The layer that computes the logits.
pub const HEAD: &str = "head";

/// The LayerNorm before a block's attention: see [`in_block`].
pub const NORM1: &str = "norm1";
/// The layer that computes queries, keys and values, one after the other, in a block.
pub const IN_PROJ: &str = "attn.in_proj";
/// The projection after a block's attention.
pub const OUT_PROJ: &str = "attn.out_proj";
/// The LayerNorm before a block's MLP.
pub const NORM2: &str = "norm2";
/// The first layer of a block's MLP, before GELU.
pub const HIDDEN: &str = "mlp.0";
/// The last layer of a block's MLP.
pub const MLP: &str = "mlp.3";

/// Returns the name of a layer, or of another part, of block `index`.
pub fn in_block(index: usize, part: &str) -> String {
    format!("blocks.{index}.{part}")
}

/// Returns the name of a layer's weights, or of a LayerNorm's scale.
pub fn weight(layer: &str) -> String {
    format!("{layer}{}weight", separator(layer))
}

/// Returns the name of a layer's biases, or of a LayerNorm's shift.
pub fn bias(layer: &str) -> String {
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
