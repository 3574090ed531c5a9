//! The operations of a training pass, each fused with its neighbours.

use crate::dropout::Site;

/// What happens to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It replaces what was there.
    Set,
    /// It is added to what was there.
    Add,
}

/// The operations of a training pass on the images of one batch, or of a part of it, on some device.
///
/// A buffer is a matrix with one row per token of each image, or with one row per image where only class tokens
/// count. `d_x` is the gradient of the loss with respect to `x`. The gradients of a layer's parameters are added up
/// where the device keeps them.
pub trait Ops {
    /// Activations, or their gradients.
    type Buffer;
    /// A linear layer's weights and bias, laid out for products, and the place of their gradients.
    type Linear;

    /// `patches` = the images cut up, with a row of zeros for the class token; `stream` = dropout(layer(`patches`)).
    fn embed(
        &mut self,
        layer: &Self::Linear,
        pixels: &Self::Buffer,
        patches: &mut Self::Buffer,
        stream: &mut Self::Buffer,
    );
    /// The gradients of [`embed`](Self::embed)'s layer. Leaves in `d_stream` the gradient in front of the dropout.
    fn embed_backward(&mut self, layer: &Self::Linear, patches: &Self::Buffer, d_stream: &mut Self::Buffer);

    /// `normed` = each row of `x` with mean 0 and variance 1; `scale` = what it was multiplied with. LayerNorm's own
    /// scale and shift are part of the next layer, see [`fold`](super::fold).
    fn normalize(&mut self, x: &Self::Buffer, normed: &mut Self::Buffer, scale: &mut Self::Buffer);
    /// `d_x` = (or +=) the gradient through [`normalize`](Self::normalize).
    fn normalize_backward(
        &mut self,
        normed: &Self::Buffer,
        scale: &Self::Buffer,
        d_normed: &Self::Buffer,
        d_x: &mut Self::Buffer,
        store: Store,
    );

    /// `y` = layer(`x`), or `y` += layer(`x`).
    fn linear(&mut self, layer: &Self::Linear, x: &Self::Buffer, y: &mut Self::Buffer, store: Store);
    /// The gradients of [`linear`](Self::linear)'s layer, and `d_x` = (or +=) the one of its input.
    fn linear_backward(
        &mut self,
        layer: &Self::Linear,
        x: &Self::Buffer,
        d_y: &Self::Buffer,
        d_x: &mut Self::Buffer,
        store: Store,
    );

    /// `y` = dropout(gelu(layer(`x`))); `slope` = the derivative of `y` by layer(`x`).
    fn linear_gelu_dropout(
        &mut self,
        layer: &Self::Linear,
        x: &Self::Buffer,
        site: Site,
        y: &mut Self::Buffer,
        slope: &mut Self::Buffer,
    );
    /// Turns the gradient behind GELU and dropout into the one in front of them.
    fn gelu_dropout_backward(&mut self, slope: &Self::Buffer, d: &mut Self::Buffer);

    /// `stream` += dropout(layer(`x`)).
    fn linear_dropout_add(
        &mut self,
        layer: &Self::Linear,
        x: &Self::Buffer,
        site: Site,
        stream: &mut Self::Buffer,
    );
    /// `d_x` = the gradient in front of a dropout, `d_y` the one behind it.
    fn dropout_backward(&mut self, site: Site, d_y: &Self::Buffer, d_x: &mut Self::Buffer);

    /// `context` = dropout(softmax(query key^T)) value, for every head. `key_value` has the keys on the left and the
    /// values on the right; `weights` is the softmax, before and behind the dropout.
    fn attention(
        &mut self,
        site: Site,
        query: &Self::Buffer,
        key_value: &Self::Buffer,
        weights: &mut [Self::Buffer; 2],
        context: &mut Self::Buffer,
    );
    /// The gradients of queries, keys and values.
    fn attention_backward(
        &mut self,
        query: &Self::Buffer,
        key_value: &Self::Buffer,
        weights: &[Self::Buffer; 2],
        d_context: &Self::Buffer,
        d_query: &mut Self::Buffer,
        d_key_value: &mut Self::Buffer,
    );

    /// `class` = the rows of the class tokens.
    fn class_tokens(&mut self, all: &Self::Buffer, class: &mut Self::Buffer);
    /// `d_all` = (or +=) `d_class` in the rows of the class tokens, and zero (or nothing) elsewhere.
    fn class_tokens_backward(&mut self, d_class: &Self::Buffer, d_all: &mut Self::Buffer, store: Store);

    /// `losses` = each image's cross entropy between softmax(`logits`) and `targets`; `d_logits` = the gradient of
    /// their mean over the batch.
    fn cross_entropy(
        &mut self,
        logits: &Self::Buffer,
        targets: &Self::Buffer,
        losses: &mut Self::Buffer,
        d_logits: &mut Self::Buffer,
    );
}
