//! The operations of a training pass, each fused with its neighbours.

use super::buffer::{AttentionWeights, Buffer, Image, KeyValue, Layer, Map, One, PatchValues, StemValues};
use crate::network::{dimensions::Dimensions, dropout::Site};
use dfdx::shapes::ConstDim;

/// The way a result is stored in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The result replaces the content.
    Set,
    /// The result is added to the content.
    Add,
}

/// The operations of a training pass, on some device, in a network with the dimensions `D`.
///
/// They work on the images of a batch or of a part of it. Each device has types of its own for the memory of a buffer
/// (`V`) and for a layer (`L`). A layer has its weights and its bias, laid out for products, and knows where the device
/// adds up their gradients.
///
/// A buffer has `R` rows for each image: one per token, or [`One`] where only the class token counts. `d_x` is the
/// gradient of the loss with respect to `x`.
pub(crate) trait Ops<D: Dimensions, V, L> {
    /// Sets `windows` = the windows of the stem in the images, `map` = gelu(layer(`windows`)), and `slope` = the derivative
    /// of `map` with respect to layer(`windows`).
    fn stem(
        &mut self,
        layer: &Layer<L, StemValues<D>, D::StemChannels>,
        pixels: &Buffer<V, Image<D>>,
        windows: &mut Buffer<V, (D::MapPixels, StemValues<D>)>,
        map: &mut Buffer<V, Map<D>>,
        slope: &mut Buffer<V, Map<D>>,
    );
    /// Computes the gradients of the layer of [`stem`](Self::stem). Turns `d_map` into the gradient before GELU.
    fn stem_backward(
        &mut self,
        layer: &Layer<L, StemValues<D>, D::StemChannels>,
        windows: &Buffer<V, (D::MapPixels, StemValues<D>)>,
        slope: &Buffer<V, Map<D>>,
        d_map: &mut Buffer<V, Map<D>>,
    );
    /// Sets `patches` = the patches of the images, with a row of zeros for the class token.
    fn cut_images(
        &mut self,
        pixels: &Buffer<V, Image<D>>,
        patches: &mut Buffer<V, (D::Tokens, PatchValues<D>)>,
    );
    /// Sets `patches` = the patches of the maps, with a row of zeros for the class token.
    fn cut_maps(&mut self, map: &Buffer<V, Map<D>>, patches: &mut Buffer<V, (D::Tokens, PatchValues<D>)>);
    /// Sets `d_map` to the gradient of the map. `layer` is that of [`embed`](Self::embed), `d_stream` the gradient of
    /// its result, and `d_patches` memory for the gradient of the patches.
    fn cut_maps_backward(
        &mut self,
        layer: &Layer<L, PatchValues<D>, D::Embed>,
        d_stream: &Buffer<V, (D::Tokens, D::Embed)>,
        d_patches: &mut Buffer<V, (D::Tokens, PatchValues<D>)>,
        d_map: &mut Buffer<V, Map<D>>,
    );
    /// Sets `stream` = dropout(layer(`patches`)).
    fn embed(
        &mut self,
        layer: &Layer<L, PatchValues<D>, D::Embed>,
        patches: &Buffer<V, (D::Tokens, PatchValues<D>)>,
        stream: &mut Buffer<V, (D::Tokens, D::Embed)>,
    );
    /// Computes the gradients of the layer of [`embed`](Self::embed). Turns `d_stream` into the gradient before the
    /// dropout.
    fn embed_backward(
        &mut self,
        layer: &Layer<L, PatchValues<D>, D::Embed>,
        patches: &Buffer<V, (D::Tokens, PatchValues<D>)>,
        d_stream: &mut Buffer<V, (D::Tokens, D::Embed)>,
    );

    /// Sets `normed` = each row of `x` scaled to mean 0 and variance 1, and `scale` = the factor of each row. The
    /// learned scale and shift of LayerNorm are part of the next layer: see [`fold`](super::fold).
    fn normalize<R: ConstDim>(
        &mut self,
        x: &Buffer<V, (R, D::Embed)>,
        normed: &mut Buffer<V, (R, D::Embed)>,
        scale: &mut Buffer<V, (R,)>,
    );
    /// Sets `d_x` to the gradient through [`normalize`](Self::normalize), or adds it.
    fn normalize_backward<R: ConstDim>(
        &mut self,
        normed: &Buffer<V, (R, D::Embed)>,
        scale: &Buffer<V, (R,)>,
        d_normed: &Buffer<V, (R, D::Embed)>,
        d_x: &mut Buffer<V, (R, D::Embed)>,
        store: Store,
    );

    /// Sets `y` = layer(`x`), or `y` += layer(`x`).
    fn linear<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<L, I, O>,
        x: &Buffer<V, (R, I)>,
        y: &mut Buffer<V, (R, O)>,
        store: Store,
    );
    /// Computes the gradients of the layer of [`linear`](Self::linear). Sets `d_x` to the gradient of its input, or
    /// adds it.
    fn linear_backward<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<L, I, O>,
        x: &Buffer<V, (R, I)>,
        d_y: &Buffer<V, (R, O)>,
        d_x: &mut Buffer<V, (R, I)>,
        store: Store,
    );

    /// Sets `y` = dropout(gelu(layer(`x`))) and `slope` = the derivative of `y` with respect to layer(`x`).
    fn linear_gelu_dropout<R: ConstDim>(
        &mut self,
        layer: &Layer<L, D::Embed, D::Hidden>,
        x: &Buffer<V, (R, D::Embed)>,
        site: Site,
        y: &mut Buffer<V, (R, D::Hidden)>,
        slope: &mut Buffer<V, (R, D::Hidden)>,
    );
    /// Turns `d`, the gradient after GELU and dropout, into the one before them.
    fn gelu_dropout_backward<R: ConstDim>(
        &mut self,
        slope: &Buffer<V, (R, D::Hidden)>,
        d: &mut Buffer<V, (R, D::Hidden)>,
    );

    /// Adds dropout(layer(`x`)) to `stream`.
    fn linear_dropout_add<R: ConstDim>(
        &mut self,
        layer: &Layer<L, D::Hidden, D::Embed>,
        x: &Buffer<V, (R, D::Hidden)>,
        site: Site,
        stream: &mut Buffer<V, (R, D::Embed)>,
    );
    /// Sets `d_x` to the gradient before a dropout, where `d_y` is the one after it.
    fn dropout_backward<R: ConstDim>(
        &mut self,
        site: Site,
        d_y: &Buffer<V, (R, D::Embed)>,
        d_x: &mut Buffer<V, (R, D::Embed)>,
    );

    /// Sets `context` = dropout(softmax(query key^T)) value, for every head. `key_value` has the keys on the left and
    /// the values on the right. Sets `weights` to the softmax before the dropout and after it.
    ///
    /// The device may change the memory layout of `query`, `key_value` and `weights`. Only
    /// [`attention_backward`](Self::attention_backward) of the same device may read them afterwards.
    fn attention<R: ConstDim>(
        &mut self,
        site: Site,
        query: &mut Buffer<V, (R, D::Embed)>,
        key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
        weights: &mut [Buffer<V, AttentionWeights<D, R>>; 2],
        context: &mut Buffer<V, (R, D::Embed)>,
    );
    /// Sets `d_query` and `d_key_value` to the gradients of queries, keys and values.
    fn attention_backward<R: ConstDim>(
        &mut self,
        query: &Buffer<V, (R, D::Embed)>,
        key_value: &Buffer<V, (D::Tokens, KeyValue<D>)>,
        weights: &[Buffer<V, AttentionWeights<D, R>>; 2],
        d_context: &Buffer<V, (R, D::Embed)>,
        d_query: &mut Buffer<V, (R, D::Embed)>,
        d_key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
    );

    /// Sets `class` to the rows of the class tokens.
    fn class_tokens(
        &mut self,
        all: &Buffer<V, (D::Tokens, D::Embed)>,
        class: &mut Buffer<V, (One, D::Embed)>,
    );
    /// Sets the rows of the class tokens in `d_all` to `d_class` and all others to zero, or adds `d_class` to the rows
    /// of the class tokens.
    fn class_tokens_backward(
        &mut self,
        d_class: &Buffer<V, (One, D::Embed)>,
        d_all: &mut Buffer<V, (D::Tokens, D::Embed)>,
        store: Store,
    );

    /// Sets `losses` to each image's cross entropy between softmax(`logits`) and `targets`, and `d_logits` to the
    /// gradient of its mean over the batch.
    fn cross_entropy(
        &mut self,
        logits: &Buffer<V, (One, D::Classes)>,
        targets: &Buffer<V, (One, D::Classes)>,
        losses: &mut Buffer<V, (One,)>,
        d_logits: &mut Buffer<V, (One, D::Classes)>,
    );
}
