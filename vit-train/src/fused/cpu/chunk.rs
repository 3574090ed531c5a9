//! The operations on some images of a batch, on one thread.

use super::{
    attention::{self, Heads},
    product::{product, Output, Packed, View},
    rows,
};
use crate::{
    dropout::{Dropout, Site},
    fused::{
        fold::Place,
        network::Sizes,
        ops::{Ops, Store},
    },
};

/// A buffer for up to as many images as it was made for.
#[derive(Debug)]
pub struct Matrix {
    values: Vec<f32>,
    rows_per_image: usize,
    width: usize,
}

impl Matrix {
    /// All zero.
    pub fn zeros(images: usize, rows_per_image: usize, width: usize) -> Self {
        Self { values: vec![0.0; images * rows_per_image * width], rows_per_image, width }
    }

    /// The rows of the first `images` images.
    pub fn get(&self, images: usize) -> &[f32] {
        &self.values[..images * self.image_len()]
    }

    /// The rows of the first `images` images.
    pub fn get_mut(&mut self, images: usize) -> &mut [f32] {
        let len = images * self.image_len();
        &mut self.values[..len]
    }

    fn image(&self, index: usize) -> &[f32] {
        &self.values[index * self.image_len()..][..self.image_len()]
    }

    fn image_mut(&mut self, index: usize) -> &mut [f32] {
        let len = self.image_len();
        &mut self.values[index * len..][..len]
    }

    fn image_len(&self) -> usize {
        self.rows_per_image * self.width
    }
}

/// A linear layer, packed for both directions.
#[derive(Debug)]
pub struct Linear {
    place: Place,
    /// `inputs x outputs`.
    forward: Packed,
    /// `outputs x inputs`.
    backward: Packed,
    bias: Vec<f32>,
}

impl Linear {
    /// For the layer at `place`; [`load`](Self::load) comes next.
    pub fn new(place: &Place) -> Self {
        let (forward, backward) = (Packed::default(), Packed::default());
        Self { place: place.clone(), forward, backward, bias: vec![0.0; place.bias.len()] }
    }

    /// Takes its weights and biases from `parameters`, which are folded.
    pub fn load(&mut self, parameters: &[f32]) {
        let Place { weight, bias, inputs, outputs } = &self.place;
        let weight = View::rows(&parameters[weight.clone()], *inputs);
        self.forward.set(weight.transpose(), *inputs, *outputs);
        self.backward.set(weight, *outputs, *inputs);
        self.bias.copy_from_slice(&parameters[bias.clone()]);
    }

    /// `y = x W^T + b`, or added to `y`.
    fn forward(&self, x: &[f32], y: &mut [f32], store: Store) {
        self.product(x, y, Output { add: store == Store::Add, bias: Some(&self.bias) });
    }

    /// `x W^T`.
    fn product(&self, x: &[f32], y: &mut [f32], output: Output<'_>) {
        let Place { inputs, outputs, .. } = self.place;
        product(View::rows(x, inputs), &self.forward, x.len() / inputs, y, outputs, output);
    }
}

/// Memory that the operations work in.
#[derive(Debug, Default)]
pub struct Scratch {
    mask: Vec<f32>,
    product: Vec<f32>,
    packed: Packed,
    attention: attention::Scratch,
}

/// Some images of a batch.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The network's dimensions.
    pub sizes: Sizes,
    /// The first image.
    pub first: usize,
    /// Images in this chunk.
    pub images: usize,
    /// Images in the batch.
    pub batch: usize,
    /// What is dropped in this step.
    pub dropout: Dropout,
    /// The gradients of all (folded) parameters.
    pub gradients: &'a mut [f32],
    /// Whether gradients are added to those of other chunks, or replace what is there.
    pub add: bool,
    /// Any.
    pub scratch: &'a mut Scratch,
}

impl Chunk<'_> {
    /// The mask of each image in turn, for the rows that `rows_per_image` says.
    fn for_each_mask(
        &mut self,
        site: Site,
        rows_per_image: usize,
        width: usize,
        mut f: impl FnMut(usize, &[f32]),
    ) {
        let mask = &mut self.scratch.mask;
        mask.resize(rows_per_image * width, 0.0);
        for image in 0..self.images {
            // Masks have a row for every token, also where there is a class token only.
            self.dropout.fill_from(site, (self.first + image) * self.sizes.tokens * width, mask);
            f(image, mask);
        }
    }

    fn mask_in_place(&mut self, site: Site, x: &mut Matrix) {
        let (rows, width) = (x.rows_per_image, x.width);
        self.for_each_mask(site, rows, width, |image, mask| rows::multiply(x.image_mut(image), mask));
    }

    fn heads(&self, query: &Matrix) -> Heads {
        let Sizes { tokens, embed, heads, .. } = self.sizes;
        Heads { tokens, queries: query.rows_per_image, embed, heads }
    }

    /// Adds up the gradients of a layer's weights and biases.
    fn layer_gradients(&mut self, layer: &Linear, x: &[f32], d_y: &[f32]) {
        let Place { weight, bias, inputs, outputs } = &layer.place;
        let bias = &mut self.gradients[bias.clone()];
        if !self.add {
            bias.fill(0.0);
        }
        rows::add_pieces(bias, d_y);
        self.scratch.packed.set(View::rows(x, *inputs), d_y.len() / outputs, *inputs);
        let weight = &mut self.gradients[weight.clone()];
        let left = View::rows(d_y, *outputs).transpose();
        let output = Output { add: self.add, bias: None };
        product(left, &self.scratch.packed, *outputs, weight, *inputs, output);
    }
}

impl Ops for Chunk<'_> {
    type Buffer = Matrix;
    type Linear = Linear;

    fn embed(&mut self, layer: &Linear, pixels: &Matrix, patches: &mut Matrix, stream: &mut Matrix) {
        let images = self.images;
        let Sizes { image, patch, tokens, .. } = self.sizes;
        let grid = image / patch;
        let cut = patches.get_mut(images).chunks_exact_mut(tokens * patch * patch);
        for (pixels, patches) in pixels.get(images).chunks_exact(image * image).zip(cut) {
            let lines = patches[patch * patch..].chunks_exact_mut(patch).enumerate();
            for (index, line) in lines {
                let (y, number) = (index % patch, index / patch);
                let start = (number / grid * patch + y) * image + number % grid * patch;
                line.copy_from_slice(&pixels[start..start + patch]);
            }
        }
        // The biases are rows for the tokens of an image.
        for stream in stream.get_mut(images).chunks_exact_mut(layer.bias.len()) {
            stream.copy_from_slice(&layer.bias);
        }
        layer.product(patches.get(images), stream.get_mut(images), Output { add: true, bias: None });
        self.mask_in_place(Site::Embedding, stream);
    }

    fn embed_backward(&mut self, layer: &Linear, patches: &Matrix, d_stream: &mut Matrix) {
        self.mask_in_place(Site::Embedding, d_stream);
        self.layer_gradients(layer, patches.get(self.images), d_stream.get(self.images));
    }

    fn normalize(&mut self, x: &Matrix, normed: &mut Matrix, scale: &mut Matrix) {
        let images = self.images;
        rows::normalize(x.get(images), x.width, normed.get_mut(images), scale.get_mut(images));
    }

    fn normalize_backward(
        &mut self,
        normed: &Matrix,
        scale: &Matrix,
        d_normed: &Matrix,
        d_x: &mut Matrix,
        store: Store,
    ) {
        let images = self.images;
        let (normed, scale, d_normed) = (normed.get(images), scale.get(images), d_normed.get(images));
        let width = d_x.width;
        rows::normalize_backward(normed, scale, d_normed, width, d_x.get_mut(images), store == Store::Add);
    }

    fn linear(&mut self, layer: &Linear, x: &Matrix, y: &mut Matrix, store: Store) {
        layer.forward(x.get(self.images), y.get_mut(self.images), store);
    }

    fn linear_backward(&mut self, layer: &Linear, x: &Matrix, d_y: &Matrix, d_x: &mut Matrix, store: Store) {
        let (x, d_y, d_x) = (x.get(self.images), d_y.get(self.images), d_x.get_mut(self.images));
        self.layer_gradients(layer, x, d_y);
        let Place { inputs, outputs, .. } = layer.place;
        let output = Output { add: store == Store::Add, bias: None };
        product(View::rows(d_y, outputs), &layer.backward, d_y.len() / outputs, d_x, inputs, output);
    }

    fn linear_gelu_dropout(
        &mut self,
        layer: &Linear,
        x: &Matrix,
        site: Site,
        y: &mut Matrix,
        slope: &mut Matrix,
    ) {
        layer.forward(x.get(self.images), slope.get_mut(self.images), Store::Set);
        self.for_each_mask(site, y.rows_per_image, y.width, |image, mask| {
            rows::gelu_dropout(slope.image_mut(image), mask, y.image_mut(image));
        });
    }

    fn gelu_dropout_backward(&mut self, slope: &Matrix, d: &mut Matrix) {
        rows::multiply(d.get_mut(self.images), slope.get(self.images));
    }

    fn linear_dropout_add(&mut self, layer: &Linear, x: &Matrix, site: Site, stream: &mut Matrix) {
        let mut y = std::mem::take(&mut self.scratch.product);
        y.resize(stream.get(self.images).len(), 0.0);
        layer.forward(x.get(self.images), &mut y, Store::Set);
        let len = stream.image_len();
        self.for_each_mask(site, stream.rows_per_image, stream.width, |image, mask| {
            rows::add_masked(stream.image_mut(image), &y[image * len..][..len], mask);
        });
        self.scratch.product = y;
    }

    fn dropout_backward(&mut self, site: Site, d_y: &Matrix, d_x: &mut Matrix) {
        self.for_each_mask(site, d_y.rows_per_image, d_y.width, |image, mask| {
            rows::masked(d_x.image_mut(image), d_y.image(image), mask);
        });
    }

    fn attention(
        &mut self,
        site: Site,
        query: &Matrix,
        key_value: &Matrix,
        weights: &mut [Matrix; 2],
        context: &mut Matrix,
    ) {
        let heads = self.heads(query);
        let [kept, dropped] = weights;
        for image in 0..self.images {
            heads.forward(
                &mut self.scratch.attention,
                (&self.dropout, site, self.first + image),
                query.image(image),
                key_value.image(image),
                [kept.image_mut(image), dropped.image_mut(image)],
                context.image_mut(image),
            );
        }
    }

    fn attention_backward(
        &mut self,
        query: &Matrix,
        key_value: &Matrix,
        [kept, dropped]: &[Matrix; 2],
        d_context: &Matrix,
        d_query: &mut Matrix,
        d_key_value: &mut Matrix,
    ) {
        let heads = self.heads(query);
        for image in 0..self.images {
            heads.backward(
                &mut self.scratch.attention,
                query.image(image),
                key_value.image(image),
                [kept.image(image), dropped.image(image)],
                d_context.image(image),
                d_query.image_mut(image),
                d_key_value.image_mut(image),
            );
        }
    }

    fn class_tokens(&mut self, all: &Matrix, class: &mut Matrix) {
        for image in 0..self.images {
            class.image_mut(image).copy_from_slice(&all.image(image)[..all.width]);
        }
    }

    fn class_tokens_backward(&mut self, d_class: &Matrix, d_all: &mut Matrix, store: Store) {
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
        logits: &Matrix,
        targets: &Matrix,
        losses: &mut Matrix,
        d_logits: &mut Matrix,
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
