//! What a training changes, and what it works on: shared by the loop and the engines.

use super::optimizer::{clip, AdamW};
use crate::{
    data::Dataset,
    error::{Divergence, Error},
    inference::normalize,
    network::{
        model::{Model, Pass},
        parameters::{self, Parameters},
        Trainable,
    },
    recipe::Recipe,
};
use dfdx::prelude::Cpu;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use vit_nostd::model_file::Normalization;

/// An epoch, before it begins.
#[derive(Clone, Debug, Default)]
pub struct EpochPlan {
    /// From 1.
    pub number: usize,
    /// The images in the order in which they are seen.
    pub order: Vec<usize>,
    /// Learning rate.
    pub lr: f32,
}

/// The part of an epoch that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// Steps.
    pub steps: usize,
    /// Their training images.
    pub images: usize,
    /// The sum of those images' cross entropies.
    pub loss_sum: f64,
    /// How many of them were classified right.
    pub correct: usize,
}

impl Current {
    /// The mean cross entropy.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.images as f64
    }
}

/// Pixels and target distributions of a batch, in memory that is used again.
#[derive(Debug, Default)]
pub struct Batch {
    /// Augmented and normalised, image by image.
    pub pixels: Vec<f32>,
    /// Smoothed, `batch x classes`.
    pub targets: Vec<f32>,
}

impl Batch {
    /// Prepares the images `batch` of `data` as epoch `epoch` sees them.
    pub fn fill<N: Trainable>(
        &mut self,
        recipe: &Recipe,
        data: &Dataset,
        normalization: Normalization,
        batch: &[usize],
        epoch: usize,
    ) {
        let area = N::IMAGE * N::IMAGE;
        self.pixels.resize(batch.len() * area, 0.0);
        let images = self.pixels.par_chunks_exact_mut(area).zip(batch);
        images.for_each_init(
            || vec![0; area],
            |image, (pixels, &index)| {
                let key = (recipe.seed, epoch as u64, index as u64);
                recipe.augmentation.apply(data.image(index), N::IMAGE, key, image);
                pixels.iter_mut().zip(normalize(image, normalization)).for_each(|(pixel, x)| *pixel = x);
            },
        );

        self.targets.clear();
        self.targets.resize(batch.len() * N::CLASSES, recipe.label_smoothing / N::CLASSES as f32);
        for (target, &index) in self.targets.chunks_exact_mut(N::CLASSES).zip(batch) {
            target[usize::from(data.label(index))] += 1.0 - recipe.label_smoothing;
        }
    }
}

/// What training changes, step by step.
pub struct State<N: Trainable> {
    /// The network with these parameters.
    pub model: Model<N, Cpu>,
    /// Their values.
    pub parameters: Parameters,
    /// Its moments and steps.
    pub optimizer: AdamW,
    /// Memory for the gradients of a step.
    gradients: Vec<f32>,
}

impl<N: Trainable> State<N> {
    /// Begins with `parameters`, in the order of `N`.
    pub fn new(parameters: Parameters, weight_decay: f32) -> Self {
        let mut model = Model::<N, _>::zeros(&Cpu::default());
        parameters::load(&mut model, &parameters.values);
        let len = parameters.values.len();
        Self { model, parameters, optimizer: AdamW::new(len, weight_decay), gradients: vec![0.0; len] }
    }

    /// Checks that the parameters are finite numbers after step `step` of epoch `epoch`.
    pub(super) fn check(&self, epoch: usize, step: usize) -> Result<(), Error> {
        let Some(name) = self.parameters.not_finite() else { return Ok(()) };
        Err(Error::Diverged { epoch, sign: Divergence::Parameters { step, name: name.to_owned() } })
    }

    /// One step of the optimizer, along the gradients of `pass`, clipped to `max_norm`; returns the norm they had.
    pub fn update(&mut self, pass: &mut Pass<Cpu>, max_norm: f32, lr: f32) -> f32 {
        parameters::collect_gradients(&mut self.model, &mut pass.gradients, &mut self.gradients);
        let norm = clip(&mut self.gradients, max_norm);
        self.optimizer.step(&mut self.parameters.values, &self.gradients, lr);
        parameters::load(&mut self.model, &self.parameters.values);
        norm
    }
}
