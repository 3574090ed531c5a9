//! The state of a training run and the batches it works on, which the training loop and the engines share.

use super::optimizer::{clip, AdamW};
use crate::{
    data::{Dataset, Format},
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

/// The plan of an epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpochPlan {
    /// The number of the epoch, from 1.
    pub number: usize,
    /// The training images in the order in which they are used. For a data set of `n` images, `index + k * n` means the
    /// image `index`, which the epoch has for the `k`-th time, from 0. It is augmented differently each time.
    pub order: Vec<usize>,
    /// The learning rate of the epoch.
    pub lr: f32,
}

/// The part of an epoch that is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// The number of steps.
    pub steps: usize,
    /// The number of training images in these steps.
    pub images: usize,
    /// The sum of the cross entropies of these images.
    pub loss_sum: f64,
    /// The number of these images that were classified correctly.
    pub correct: usize,
}

impl Current {
    /// Returns the mean cross entropy of the images.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.images as f64
    }
}

/// The pixels and the target distributions of a batch, in memory that is reused.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The augmented and normalised pixels, image by image.
    pub pixels: Vec<f32>,
    /// The smoothed target distributions, `batch x classes`.
    pub targets: Vec<f32>,
}

impl Batch {
    /// Prepares the images of `batch`, a part of [`EpochPlan::order`], with the augmentation of epoch `epoch`.
    pub(crate) fn fill<N: Trainable>(
        &mut self,
        recipe: &Recipe,
        data: &Dataset,
        normalization: &[Normalization],
        batch: &[usize],
        epoch: usize,
    ) {
        let format = Format::of::<N>();
        self.pixels.resize(batch.len() * format.values(), 0.0);
        let images = self.pixels.par_chunks_exact_mut(format.values()).zip(batch);
        images.for_each_init(
            || vec![0; format.values()],
            |image, (pixels, &index)| {
                let key = (recipe.seed, epoch as u64, index as u64);
                recipe.augmentation.apply(data.image(index % data.len()), format, key, image);
                pixels.iter_mut().zip(normalize(image, normalization)).for_each(|(pixel, x)| *pixel = x);
            },
        );

        self.targets.clear();
        self.targets.resize(batch.len() * N::CLASSES, recipe.label_smoothing / N::CLASSES as f32);
        for (target, &index) in self.targets.chunks_exact_mut(N::CLASSES).zip(batch) {
            target[usize::from(data.label(index % data.len()))] += 1.0 - recipe.label_smoothing;
        }
    }
}

/// The state of a run that changes with each step.
pub(crate) struct State<N: Trainable> {
    /// The network on the CPU.
    pub model: Model<N, Cpu>,
    /// The parameters of the network, as plain numbers.
    pub parameters: Parameters,
    /// The optimizer with its moments and its number of steps.
    pub optimizer: AdamW,
    /// The memory for the gradients of a step.
    gradients: Vec<f32>,
}

impl<N: Trainable> State<N> {
    /// Makes the state before the first step, with these `parameters`, which must be in the order of the layout of `N`.
    pub(crate) fn new(parameters: Parameters, weight_decay: f32) -> Self {
        let mut model = Model::<N, _>::zeros(&Cpu::default());
        parameters::load(&mut model, &parameters.values);
        let len = parameters.values.len();
        Self { model, parameters, optimizer: AdamW::new(len, weight_decay), gradients: vec![0.0; len] }
    }

    /// Checks that all parameters are finite. The error names step `step` of epoch `epoch`.
    pub(super) fn check(&self, epoch: usize, step: usize) -> Result<(), Error> {
        let Some(name) = self.parameters.not_finite() else { return Ok(()) };
        Err(Error::Diverged { epoch, sign: Divergence::Parameters { step, name: name.to_owned() } })
    }

    /// Does a step of the optimizer with the gradients of `pass`, clipped to `max_norm`. Returns the norm of the
    /// gradients before clipping.
    pub(crate) fn update(&mut self, pass: &mut Pass<Cpu>, max_norm: f32, lr: f32) -> f32 {
        parameters::collect_gradients(&mut self.model, &mut pass.gradients, &mut self.gradients);
        let norm = clip(&mut self.gradients, max_norm);
        self.optimizer.step(&mut self.parameters.values, &self.gradients, lr);
        parameters::load(&mut self.model, &self.parameters.values);
        norm
    }
}
