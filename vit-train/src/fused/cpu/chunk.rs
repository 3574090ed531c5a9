//! The operations on a chunk of a batch. They run on one thread, except that other threads may help with matrix
//! products.

use super::{
    attention::{self, Heads, Masks},
    memory::Memory,
    product::{product, Output, Packed, View},
    remaining::Remaining,
    rows,
    windows::Input,
};
use crate::{
    fused::{
        buffer::{AttentionWeights, Buffer, Image, KeyValue, Layer, Map, One, PatchValues, StemValues},
        fold::Place,
        ops::{Ops, Store},
    },
    network::{
        dimensions::Dimensions,
        dropout::{Dropout, Site},
    },
};
use dfdx::shapes::{ConstDim, ConstShape};

/// A buffer of activations, or of their gradients, in the memory of the CPU.
pub(crate) type Matrix<S> = Buffer<Memory, S>;

impl<S: ConstShape> Matrix<S> {
    /// Returns the elements of the first `images` images.
    pub(crate) fn get(&self, images: usize) -> &[f32] {
        &self.values[..images * Self::IMAGE_LEN]
    }

    /// Returns the elements of the first `images` images for writing.
    pub(crate) fn get_mut(&mut self, images: usize) -> &mut [f32] {
        &mut self.values[..images * Self::IMAGE_LEN]
    }

    fn image(&self, index: usize) -> &[f32] {
        &self.values[index * Self::IMAGE_LEN..][..Self::IMAGE_LEN]
    }

    fn image_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.values[index * Self::IMAGE_LEN..][..Self::IMAGE_LEN]
    }
}

/// A linear layer, packed for both directions.
#[derive(Debug)]
pub(crate) struct Linear {
    place: Place,
    /// The `inputs x outputs` matrix.
    forward: Packed,
    /// The `outputs x inputs` matrix.
    backward: Packed,
    bias: Vec<f32>,
}

impl Linear {
    /// Makes the layer at `place`. Its weights are loaded by [`load`](Self::load).
    pub(crate) fn new(place: &Place) -> Self {
        let (forward, backward) = (Packed::default(), Packed::default());
        Self { place: place.clone(), forward, backward, bias: vec![0.0; place.bias.len()] }
    }

    /// Packs the layer's weights and copies its biases from `parameters`, which must be folded.
    pub(crate) fn load(&mut self, parameters: &[f32]) {
        let Place { weight, bias, inputs, outputs } = &self.place;
        let weight = View::rows(&parameters[weight.clone()], *inputs);
        self.forward.set(weight.transpose(), *inputs, *outputs);
        self.backward.set(weight, *outputs, *inputs);
        self.bias.copy_from_slice(&parameters[bias.clone()]);
    }

    /// Sets `y = x W^T + b`, or adds that to `y`, on up to `threads` threads.
    fn forward(&self, x: &[f32], y: &mut [f32], store: Store, threads: usize) {
        self.product(x, y, Output { add: store == Store::Add, bias: Some(&self.bias) }, threads);
    }

    /// Sets `d_x = d_y W`, the gradient of `x`, or adds that to `d_x`. It is not inlined into the generic operations,
    /// because the product would be compiled again for each of their shapes.
    fn backward(&self, d_y: &[f32], d_x: &mut [f32], store: Store, threads: usize) {
        let Place { inputs, outputs, .. } = self.place;
        let output = Output { add: store == Store::Add, bias: None };
        product(View::rows(d_y, outputs), &self.backward, d_y.len() / outputs, d_x, inputs, output, threads);
    }

    /// Computes `x W^T`, and stores it in `y` as `output` says.
    fn product(&self, x: &[f32], y: &mut [f32], output: Output<'_>, threads: usize) {
        let Place { inputs, outputs, .. } = self.place;
        product(View::rows(x, inputs), &self.forward, x.len() / inputs, y, outputs, output, threads);
    }
}

/// The memory that the operations work in.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    mask: Memory,
    product: Memory,
    packed: Packed,
    attention: attention::Scratch,
}

/// A chunk: consecutive images of a batch that go through the network together.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    /// The position of the first image in the batch.
    pub first: usize,
    /// The number of images in this chunk.
    pub images: usize,
    /// The number of images in the batch.
    pub batch: usize,
    /// The dropout of this step.
    pub dropout: Dropout,
    /// The gradients of all (folded) parameters.
    pub gradients: &'a mut [f32],
    /// True if gradients are added to those of other chunks, false if they replace what is there.
    pub add: bool,
    /// The number of shards that are left, from which follows how many threads can help.
    pub remaining: &'a Remaining,
    /// The memory that the operations work in; its content does not matter.
    pub scratch: &'a mut Scratch,
}

impl Chunk<'_> {
    /// Returns the number of threads that have time for a product.
    fn threads(&self) -> usize {
        self.remaining.threads_for_each(rayon::current_num_threads())
    }

    /// Calls `f` with the mask of each image in turn, for `R` rows of `W` elements. Masks are numbered as if every
    /// image had `T` rows, one for every token, even where there is a class token only.
    fn for_each_mask<T: ConstDim, R: ConstDim, W: ConstDim>(
        &mut self,
        site: Site,
        mut f: impl FnMut(usize, &[f32]),
    ) {
        let mask = &mut self.scratch.mask;
        mask.resize(R::SIZE * W::SIZE);
        for image in 0..self.images {
            self.dropout.fill_from(site, (self.first + image) * T::SIZE * W::SIZE, mask);
            f(image, mask);
        }
    }

    fn mask_in_place<T: ConstDim, W: ConstDim>(&mut self, site: Site, x: &mut Matrix<(T, W)>) {
        self.for_each_mask::<T, T, W>(site, |image, mask| rows::multiply(x.image_mut(image), mask));
    }

    /// Computes the gradients of a layer's weights and biases.
    fn layer_gradients(&mut self, layer: &Linear, x: &[f32], d_y: &[f32]) {
        let (threads, Place { weight, bias, inputs, outputs }) = (self.threads(), &layer.place);
        let bias = &mut self.gradients[bias.clone()];
        if !self.add {
            bias.fill(0.0);
        }
        // The bias is one row, or, in the embedding, a row for each token of an image.
        let len = bias.len();
        rows::add_rows(bias, d_y, len);
        self.scratch.packed.set(View::rows(x, *inputs), d_y.len() / outputs, *inputs);
        let weight = &mut self.gradients[weight.clone()];
        let left = View::rows(d_y, *outputs).transpose();
        let output = Output { add: self.add, bias: None };
        product(left, &self.scratch.packed, *outputs, weight, *inputs, output, threads);
    }
}

/// Returns the dimensions of attention with `R` queries.
const fn heads<D: Dimensions, R: ConstDim>() -> Heads {
    Heads { tokens: D::Tokens::SIZE, queries: R::SIZE, embed: D::Embed::SIZE, heads: D::Heads::SIZE }
}

impl<D: Dimensions> Ops<D, Memory, Linear> for Chunk<'_> {
    fn stem(
        &mut self,
        layer: &Layer<Linear, StemValues<D>, D::StemChannels>,
        pixels: &Matrix<Image<D>>,
        windows: &mut Matrix<(D::MapPixels, StemValues<D>)>,
        map: &mut Matrix<Map<D>>,
        slope: &mut Matrix<Map<D>>,
    ) {
        let Some(of_stem) = D::STEM_WINDOWS else { return };
        let input = Input::image(of_stem);
        for index in 0..self.images {
            input.cut(pixels.image(index), windows.image_mut(index));
        }
        let (slope, map) = (slope.get_mut(self.images), map.get_mut(self.images));
        layer.weights.forward(windows.get(self.images), slope, Store::Set, self.threads());
        let mask = &mut self.scratch.mask;
        mask.resize(map.len());
        mask.fill(1.0); // no dropout
        rows::gelu_dropout(slope, mask, map);
    }

    fn stem_backward(
        &mut self,
        layer: &Layer<Linear, StemValues<D>, D::StemChannels>,
        windows: &Matrix<(D::MapPixels, StemValues<D>)>,
        slope: &Matrix<Map<D>>,
        d_map: &mut Matrix<Map<D>>,
    ) {
        rows::multiply(d_map.get_mut(self.images), slope.get(self.images));
        self.layer_gradients(&layer.weights, windows.get(self.images), d_map.get(self.images));
    }

    fn cut_images(&mut self, pixels: &Matrix<Image<D>>, patches: &mut Matrix<(D::Tokens, PatchValues<D>)>) {
        let input = Input::image(D::PATCH_WINDOWS);
        for index in 0..self.images {
            // The class token has a row, too, which stays zero.
            let patches = &mut patches.image_mut(index)[PatchValues::<D>::SIZE..];
            input.cut(pixels.image(index), patches);
        }
    }

    fn cut_maps(&mut self, map: &Matrix<Map<D>>, patches: &mut Matrix<(D::Tokens, PatchValues<D>)>) {
        let input = Input::map(D::PATCH_WINDOWS);
        for index in 0..self.images {
            let patches = &mut patches.image_mut(index)[PatchValues::<D>::SIZE..];
            input.cut(map.image(index), patches);
        }
    }

    fn cut_maps_backward(
        &mut self,
        layer: &Layer<Linear, PatchValues<D>, D::Embed>,
        d_stream: &Matrix<(D::Tokens, D::Embed)>,
        d_patches: &mut Matrix<(D::Tokens, PatchValues<D>)>,
        d_map: &mut Matrix<Map<D>>,
    ) {
        let (d_stream, threads) = (d_stream.get(self.images), self.threads());
        layer.weights.backward(d_stream, d_patches.get_mut(self.images), Store::Set, threads);
        let input = Input::map(D::PATCH_WINDOWS);
        for index in 0..self.images {
            let d_patches = &d_patches.image(index)[PatchValues::<D>::SIZE..];
            input.add_up(d_patches, d_map.image_mut(index));
        }
    }

    fn embed(
        &mut self,
        layer: &Layer<Linear, PatchValues<D>, D::Embed>,
        patches: &Matrix<(D::Tokens, PatchValues<D>)>,
        stream: &mut Matrix<(D::Tokens, D::Embed)>,
    ) {
        let layer = &layer.weights;
        for index in 0..self.images {
            // The bias has a row for each token of an image.
            stream.image_mut(index).copy_from_slice(&layer.bias);
        }
        let output = Output { add: true, bias: None };
        layer.product(patches.get(self.images), stream.get_mut(self.images), output, self.threads());
        self.mask_in_place(Site::Embedding, stream);
    }

    fn embed_backward(
        &mut self,
        layer: &Layer<Linear, PatchValues<D>, D::Embed>,
        patches: &Matrix<(D::Tokens, PatchValues<D>)>,
        d_stream: &mut Matrix<(D::Tokens, D::Embed)>,
    ) {
        self.mask_in_place(Site::Embedding, d_stream);
        self.layer_gradients(&layer.weights, patches.get(self.images), d_stream.get(self.images));
    }

    fn normalize<R: ConstDim>(
        &mut self,
        x: &Matrix<(R, D::Embed)>,
        normed: &mut Matrix<(R, D::Embed)>,
        scale: &mut Matrix<(R,)>,
    ) {
        let images = self.images;
        rows::normalize(x.get(images), D::Embed::SIZE, normed.get_mut(images), scale.get_mut(images));
    }

    fn normalize_backward<R: ConstDim>(
        &mut self,
        normed: &Matrix<(R, D::Embed)>,
        scale: &Matrix<(R,)>,
        d_normed: &Matrix<(R, D::Embed)>,
        d_x: &mut Matrix<(R, D::Embed)>,
        store: Store,
    ) {
        let images = self.images;
        let (normed, scale, d_normed) = (normed.get(images), scale.get(images), d_normed.get(images));
        let width = D::Embed::SIZE;
        rows::normalize_backward(normed, scale, d_normed, width, d_x.get_mut(images), store == Store::Add);
    }

    fn linear<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        y: &mut Matrix<(R, O)>,
        store: Store,
    ) {
        layer.weights.forward(x.get(self.images), y.get_mut(self.images), store, self.threads());
    }

    fn linear_backward<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        d_y: &Matrix<(R, O)>,
        d_x: &mut Matrix<(R, I)>,
        store: Store,
    ) {
        let (x, d_y, d_x) = (x.get(self.images), d_y.get(self.images), d_x.get_mut(self.images));
        self.layer_gradients(&layer.weights, x, d_y);
        layer.weights.backward(d_y, d_x, store, self.threads());
    }

    fn linear_gelu_dropout<R: ConstDim>(
        &mut self,
        layer: &Layer<Linear, D::Embed, D::Hidden>,
        x: &Matrix<(R, D::Embed)>,
        site: Site,
        y: &mut Matrix<(R, D::Hidden)>,
        slope: &mut Matrix<(R, D::Hidden)>,
    ) {
        layer.weights.forward(x.get(self.images), slope.get_mut(self.images), Store::Set, self.threads());
        self.for_each_mask::<D::Tokens, R, D::Hidden>(site, |image, mask| {
            rows::gelu_dropout(slope.image_mut(image), mask, y.image_mut(image));
        });
    }

    fn gelu_dropout_backward<R: ConstDim>(
        &mut self,
        slope: &Matrix<(R, D::Hidden)>,
        d: &mut Matrix<(R, D::Hidden)>,
    ) {
        rows::multiply(d.get_mut(self.images), slope.get(self.images));
    }

    fn linear_dropout_add<R: ConstDim>(
        &mut self,
        layer: &Layer<Linear, D::Hidden, D::Embed>,
        x: &Matrix<(R, D::Hidden)>,
        site: Site,
        stream: &mut Matrix<(R, D::Embed)>,
    ) {
        let mut y = std::mem::take(&mut self.scratch.product);
        y.resize(stream.get(self.images).len());
        layer.weights.forward(x.get(self.images), &mut y, Store::Set, self.threads());
        let len = R::SIZE * D::Embed::SIZE;
        self.for_each_mask::<D::Tokens, R, D::Embed>(site, |image, mask| {
            rows::add_masked(stream.image_mut(image), &y[image * len..][..len], mask);
        });
        self.scratch.product = y;
    }

    fn dropout_backward<R: ConstDim>(
        &mut self,
        site: Site,
        d_y: &Matrix<(R, D::Embed)>,
        d_x: &mut Matrix<(R, D::Embed)>,
    ) {
        self.for_each_mask::<D::Tokens, R, D::Embed>(site, |image, mask| {
            rows::masked(d_x.image_mut(image), d_y.image(image), mask);
        });
    }

    fn attention<R: ConstDim>(
        &mut self,
        site: Site,
        query: &mut Matrix<(R, D::Embed)>,
        key_value: &mut Matrix<(D::Tokens, KeyValue<D>)>,
        [kept, dropped]: &mut [Matrix<AttentionWeights<D, R>>; 2],
        context: &mut Matrix<(R, D::Embed)>,
    ) {
        let masks = Masks { dropout: &self.dropout, site, first: self.first };
        attention::forward(
            heads::<D, R>(),
            &mut self.scratch.attention,
            masks,
            self.images,
            &mut query.values,
            &mut key_value.values,
            [&mut kept.values, &mut dropped.values],
            context.get_mut(self.images),
        );
    }

    fn attention_backward<R: ConstDim>(
        &mut self,
        query: &Matrix<(R, D::Embed)>,
        key_value: &Matrix<(D::Tokens, KeyValue<D>)>,
        [kept, dropped]: &[Matrix<AttentionWeights<D, R>>; 2],
        d_context: &Matrix<(R, D::Embed)>,
        d_query: &mut Matrix<(R, D::Embed)>,
        d_key_value: &mut Matrix<(D::Tokens, KeyValue<D>)>,
    ) {
        attention::backward(
            heads::<D, R>(),
            &mut self.scratch.attention,
            self.images,
            &query.values,
            &key_value.values,
            [&kept.values, &dropped.values],
            d_context.get(self.images),
            d_query.get_mut(self.images),
            d_key_value.get_mut(self.images),
        );
    }

    fn class_tokens(&mut self, all: &Matrix<(D::Tokens, D::Embed)>, class: &mut Matrix<(One, D::Embed)>) {
        for image in 0..self.images {
            class.image_mut(image).copy_from_slice(&all.image(image)[..D::Embed::SIZE]);
        }
    }

    fn class_tokens_backward(
        &mut self,
        d_class: &Matrix<(One, D::Embed)>,
        d_all: &mut Matrix<(D::Tokens, D::Embed)>,
        store: Store,
    ) {
        if store == Store::Set {
            d_all.get_mut(self.images).fill(0.0);
        }
        for image in 0..self.images {
            let d_all = d_all.image_mut(image).iter_mut();
            d_all.zip(d_class.image(image)).for_each(|(sum, d)| *sum += d);
        }
    }

    fn cross_entropy(
        &mut self,
        logits: &Matrix<(One, D::Classes)>,
        targets: &Matrix<(One, D::Classes)>,
        losses: &mut Matrix<(One,)>,
        d_logits: &mut Matrix<(One, D::Classes)>,
    ) {
        for image in 0..self.images {
            let (logits, targets) = (logits.image(image), targets.image(image));
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponential = |&logit: &f32| f64::from(logit - max).exp();
            let total: f64 = logits.iter().map(exponential).sum();
            let mass: f64 = targets.iter().copied().map(f64::from).sum();
            let terms = logits.iter().zip(targets);
            let loss: f64 = terms.map(|(&x, &t)| f64::from(t) * (total.ln() - f64::from(x - max))).sum();
            losses.image_mut(image)[0] = loss as f32;
            for ((d, x), &t) in d_logits.image_mut(image).iter_mut().zip(logits).zip(targets) {
                *d = ((mass * exponential(x) / total - f64::from(t)) / self.batch as f64) as f32;
            }
        }
    }
}
