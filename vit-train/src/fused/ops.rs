//! The operations of a training pass, each fused with its neighbours.

use super::buffer::{Area, AttentionWeights, Buffer, KeyValue, Layer, One};
use crate::network::{dimensions::Dimensions, dropout::Site};
use dfdx::shapes::ConstDim;

/// What happens to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It replaces what was there.
    Set,
    /// It is added to what was there.
    Add,
}

/// The operations of a training pass on the images of one batch, or of a part of it, on some device, in a network with
/// the dimensions `D`. What buffers and layers consist of, `V` and `L`, is the device's: a layer has its weights and
/// bias, laid out for products, and the place of their gradients.
///
/// A buffer has `R` rows for each image: one per token, or [`One`] where only class tokens count. `d_x` is the gradient
/// of the loss with respect to `x`. The gradients of a layer's parameters are added up where the device keeps them.
pub trait Ops<D: Dimensions, V, L> {
    /// `patches` = the images cut up, with a row of zeros for the class token; `stream` = dropout(layer(`patches`)).
    fn embed(
        &mut self,
        layer: &Layer<L, Area<D>, D::Embed>,
        pixels: &Buffer<V, (D::Image, D::Image)>,
        patches: &mut Buffer<V, (D::Tokens, Area<D>)>,
        stream: &mut Buffer<V, (D::Tokens, D::Embed)>,
    );
    /// The gradients of [`embed`](Self::embed)'s layer. Leaves in `d_stream` the gradient in front of the dropout.
    fn embed_backward(
        &mut self,
        layer: &Layer<L, Area<D>, D::Embed>,
        patches: &Buffer<V, (D::Tokens, Area<D>)>,
        d_stream: &mut Buffer<V, (D::Tokens, D::Embed)>,
    );

    /// `normed` = each row of `x` with mean 0 and variance 1; `scale` = what it was multiplied with. LayerNorm's own
    /// scale and shift are part of the next layer, see [`fold`](super::fold).
    fn normalize<R: ConstDim>(
        &mut self,
        x: &Buffer<V, (R, D::Embed)>,
        normed: &mut Buffer<V, (R, D::Embed)>,
        scale: &mut Buffer<V, (R,)>,
    );
    /// `d_x` = (or +=) the gradient through [`normalize`](Self::normalize).
    fn normalize_backward<R: ConstDim>(
        &mut self,
        normed: &Buffer<V, (R, D::Embed)>,
        scale: &Buffer<V, (R,)>,
        d_normed: &Buffer<V, (R, D::Embed)>,
        d_x: &mut Buffer<V, (R, D::Embed)>,
        store: Store,
    );

    /// `y` = layer(`x`), or `y` += layer(`x`).
    fn linear<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<L, I, O>,
        x: &Buffer<V, (R, I)>,
        y: &mut Buffer<V, (R, O)>,
        store: Store,
    );
    /// The gradients of [`linear`](Self::linear)'s layer, and `d_x` = (or +=) the one of its input.
    fn linear_backward<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<L, I, O>,
        x: &Buffer<V, (R, I)>,
        d_y: &Buffer<V, (R, O)>,
        d_x: &mut Buffer<V, (R, I)>,
        store: Store,
    );

    /// `y` = dropout(gelu(layer(`x`))); `slope` = the derivative of `y` by layer(`x`).
    fn linear_gelu_dropout<R: ConstDim>(
        &mut self,
        layer: &Layer<L, D::Embed, D::Hidden>,
        x: &Buffer<V, (R, D::Embed)>,
        site: Site,
        y: &mut Buffer<V, (R, D::Hidden)>,
        slope: &mut Buffer<V, (R, D::Hidden)>,
    );
    /// Turns the gradient behind GELU and dropout into the one in front of them.
    fn gelu_dropout_backward<R: ConstDim>(
        &mut self,
        slope: &Buffer<V, (R, D::Hidden)>,
        d: &mut Buffer<V, (R, D::Hidden)>,
    );

    /// `stream` += dropout(layer(`x`)).
    fn linear_dropout_add<R: ConstDim>(
        &mut self,
        layer: &Layer<L, D::Hidden, D::Embed>,
        x: &Buffer<V, (R, D::Hidden)>,
        site: Site,
        stream: &mut Buffer<V, (R, D::Embed)>,
    );
    /// `d_x` = the gradient in front of a dropout, `d_y` the one behind it.
    fn dropout_backward<R: ConstDim>(
        &mut self,
        site: Site,
        d_y: &Buffer<V, (R, D::Embed)>,
        d_x: &mut Buffer<V, (R, D::Embed)>,
    );

    /// `context` = dropout(softmax(query key^T)) value, for every head. `key_value` has the keys on the left and the
    /// values on the right; `weights` is the softmax, before and behind the dropout. How these three lie in memory
    /// afterwards is between the device and [`attention_backward`](Self::attention_backward), which takes them.
    fn attention<R: ConstDim>(
        &mut self,
        site: Site,
        query: &mut Buffer<V, (R, D::Embed)>,
        key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
        weights: &mut [Buffer<V, AttentionWeights<D, R>>; 2],
        context: &mut Buffer<V, (R, D::Embed)>,
    );
    /// The gradients of queries, keys and values.
    fn attention_backward<R: ConstDim>(
        &mut self,
        query: &Buffer<V, (R, D::Embed)>,
        key_value: &Buffer<V, (D::Tokens, KeyValue<D>)>,
        weights: &[Buffer<V, AttentionWeights<D, R>>; 2],
        d_context: &Buffer<V, (R, D::Embed)>,
        d_query: &mut Buffer<V, (R, D::Embed)>,
        d_key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
    );

    /// `class` = the rows of the class tokens.
    fn class_tokens(
        &mut self,
        all: &Buffer<V, (D::Tokens, D::Embed)>,
        class: &mut Buffer<V, (One, D::Embed)>,
    );
    /// `d_all` = (or +=) `d_class` in the rows of the class tokens, and zero (or nothing) elsewhere.
    fn class_tokens_backward(
        &mut self,
        d_class: &Buffer<V, (One, D::Embed)>,
        d_all: &mut Buffer<V, (D::Tokens, D::Embed)>,
        store: Store,
    );

    /// `losses` = each image's cross entropy between softmax(`logits`) and `targets`; `d_logits` = the gradient of
    /// their mean over the batch.
    fn cross_entropy(
        &mut self,
        logits: &Buffer<V, (One, D::Classes)>,
        targets: &Buffer<V, (One, D::Classes)>,
        losses: &mut Buffer<V, (One,)>,
        d_logits: &mut Buffer<V, (One, D::Classes)>,
    );
}
