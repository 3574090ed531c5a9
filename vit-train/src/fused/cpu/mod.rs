//! The training pass on a CPU.
//!
//! A batch is cut into chunks of `CHUNK` images. One thread takes a chunk through the whole network, forward and
//! backward. The activations of the forward pass are still in the cache when the backward pass needs them, and threads
//! do not wait for each other.
//!
//! Neighbouring chunks form up to `SHARDS` shards. A shard adds up the gradients of its chunks one after the other, and
//! at the end the gradients of the shards are added up in order. When no shard is left to begin, threads without one
//! help the others with their matrix products (`remaining`).
//!
//! The sums and their order do not depend on the number of threads, so the result is the same to the bit.

pub(super) mod attention;
pub(super) mod chunk;
pub(super) mod lanes;
mod math;
pub(super) mod memory;
mod peak;
mod product;
pub(super) mod remaining;
pub(super) mod rows;
mod vectors;
mod windows;

pub(crate) use peak::multiply_adds;

use super::{
    buffer::{Buffer, Image},
    fold::Fold,
    network::{Activations, Block, Layers, Sizes},
    timed::{Timed, Times},
};
use crate::network::{dimensions::Dimensions, dropout::Dropout, parameters::Layout};
use chunk::{Chunk, Linear, Scratch};
use lanes::CHUNK;
use memory::Memory;
use rayon::prelude::*;
use remaining::Remaining;
use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

/// The largest number of shards. It limits how many threads can work on chunks at a time, and each shard takes a sum of
/// gradients that is as large as the network.
const SHARDS: usize = 8;
/// The number of gradients that a thread adds up at a time.
const PIECE: usize = 1 << 14;

/// The training pass of one network, with all the memory that it needs.
#[derive(Debug)]
pub(crate) struct Cpu<D: Dimensions> {
    sizes: Sizes,
    fold: Fold,
    folded: Vec<f32>,
    layers: Layers<D, Linear>,
    shards: Vec<Shard>,
    /// The sums of gradients of all shards, one after the other. The first chunk of a shard overwrites the gradients of
    /// all layers, so they need not be cleared. The gradients of what is folded into the layers
    /// are computed from these at the end.
    gradients: Memory,
    /// The workspaces: as many as there were shards in work at the same time.
    workspaces: Pool<D>,
}

/// The sums over some neighbouring chunks.
#[derive(Debug, Default)]
struct Shard {
    loss: f64,
    times: Times,
}

/// The memory in which a thread works on a shard.
#[derive(Debug)]
struct Workspace<D: Dimensions> {
    activations: Activations<D, Memory>,
    scratch: Scratch,
}

/// A batch of images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    /// The normalised pixels, image by image.
    pub pixels: &'a [f32],
    /// A distribution over the classes for each image.
    pub targets: &'a [f32],
}

impl<D: Dimensions> Cpu<D> {
    /// Makes the pass for networks of these sizes whose parameters are laid out as `layout` says.
    pub(crate) fn new(sizes: Sizes, layout: Layout) -> Self {
        let folded = vec![0.0; layout.len()];
        let fold = Fold::new(sizes, layout);
        let layers = fold.places().map(Linear::new);
        Self {
            sizes,
            fold,
            folded,
            layers,
            shards: Vec::new(),
            gradients: Memory::default(),
            workspaces: Pool::default(),
        }
    }

    /// Returns the mean loss of `batch` with these `parameters`, and fills in the logits and the gradients of all
    /// parameters.
    pub(crate) fn pass(
        &mut self,
        parameters: &[f32],
        batch: Batch<'_>,
        dropout: &Dropout,
        logits: &mut [f32],
        gradients: &mut [f32],
    ) -> f32 {
        let (classes, values) = (self.sizes.classes, Buffer::<Memory, Image<D>>::IMAGE_LEN);
        self.fold.fold(parameters, &mut self.folded);
        self.load();

        let images = logits.len() / classes;
        let shard_images = images.div_ceil(SHARDS).next_multiple_of(CHUNK);
        let count = images.div_ceil(shard_images);
        self.shards.clear();
        self.shards.resize_with(count, Shard::default);
        self.gradients.resize(count * parameters.len());
        let remaining = Remaining::new(count);
        let shards = self.shards.par_iter_mut().zip(self.gradients.par_chunks_exact_mut(parameters.len()));
        let shards = shards.zip(logits.par_chunks_mut(shard_images * classes));
        shards.enumerate().with_max_len(1).for_each(|(index, ((shard, gradients), logits))| {
            remaining.begin();
            let mut workspace = self.workspaces.take().unwrap_or_else(|| Workspace::new(self.sizes.depth));
            for (chunk, logits) in logits.chunks_mut(CHUNK * classes).enumerate() {
                let (first, count) = (index * shard_images + chunk * CHUNK, logits.len() / classes);
                let Workspace { activations, scratch } = &mut workspace;
                let pixels = &batch.pixels[first * values..][..count * values];
                activations.pixels.get_mut(count).copy_from_slice(pixels);
                let targets = &batch.targets[first * classes..][..count * classes];
                activations.targets.get_mut(count).copy_from_slice(targets);
                let ops = Chunk {
                    first,
                    images: count,
                    batch: images,
                    dropout: *dropout,
                    gradients: &mut *gradients,
                    add: chunk > 0,
                    remaining: &remaining,
                    scratch,
                };
                activations.pass(&mut Timed { ops, times: &mut shard.times }, &self.layers);
                logits.copy_from_slice(activations.logits.get(count));
                shard.loss += activations.losses.get(count).iter().copied().map(f64::from).sum::<f64>();
            }
            self.workspaces.give(workspace);
            remaining.finish();
        });

        gradients.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sum)| {
            sum.fill(0.0);
            rows::add_rows(sum, &self.gradients[piece * PIECE..], parameters.len());
        });
        self.fold.unfold(parameters, gradients);
        (self.shards.iter().map(|shard| shard.loss).sum::<f64>() / images as f64) as f32
    }

    /// Returns the time that each operation of the last pass took, as the mean over the threads that had shards.
    /// Threads that only helped are not counted.
    pub(crate) fn times(&self) -> Times {
        let mut times = Times::default();
        self.shards.iter().for_each(|shard| times.add(&shard.times));
        times / self.shards.len().min(rayon::current_num_threads()).max(1)
    }

    /// Packs the weights of all layers.
    fn load(&mut self) {
        let Layers { stem, embedding, blocks, head } = &mut self.layers;
        let outside = stem.iter_mut().map(|stem| &mut stem.weights);
        let outside = outside.chain([&mut embedding.weights, &mut head.weights]);
        outside.for_each(|layer| layer.load(&self.folded));
        blocks.par_iter_mut().for_each(|block| {
            let Block { query, key_value, out, hidden, mlp } = block;
            let (first, second) = (
                [&mut query.weights, &mut key_value.weights, &mut out.weights],
                [&mut hidden.weights, &mut mlp.weights],
            );
            first.into_iter().chain(second).for_each(|layer| layer.load(&self.folded));
        });
    }
}

impl<D: Dimensions> Workspace<D> {
    fn new(depth: usize) -> Self {
        let zeros = |len| Ok::<_, Infallible>(Memory::zeros(CHUNK * len));
        let Ok(activations) = Activations::new(depth, zeros);
        Self { activations, scratch: Scratch::default() }
    }
}

/// The workspaces that are not in use.
#[derive(Debug)]
struct Pool<D: Dimensions>(Mutex<Vec<Workspace<D>>>);

impl<D: Dimensions> Default for Pool<D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<D: Dimensions> Pool<D> {
    fn take(&self) -> Option<Workspace<D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, workspace: Workspace<D>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
    }
}

#[cfg(test)]
macro_rules! on_each_instruction_set {
    ($simd:ident => $body:block) => {{
        {
            let $simd = pulp::Scalar::new();
            $body
        }
        #[cfg(target_arch = "x86_64")]
        {
            if let Some($simd) = pulp::x86::V3::try_new() {
                $body
            }
            if let Some($simd) = pulp::x86::V4::try_new() {
                $body
            }
        }
    }};
}
#[cfg(test)]
use on_each_instruction_set;
