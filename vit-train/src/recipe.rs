//! What a training run does.

use crate::{data::Augmentation, engine::Processor, preset::Preset};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The settings of a run; the defaults are the reference recipe's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training images, at least 1.
    pub epochs: usize,
    /// Images in a step, at least 1.
    pub batch_size: usize,
    /// Largest learning rate: see [`lr_of`](Self::lr_of).
    pub lr: f32,
    /// Epochs in which the learning rate rises.
    #[serde(default)]
    pub warmup: usize,
    /// AdamW's.
    pub weight_decay: f32,
    /// Largest norm of the gradients.
    pub grad_clip: f32,
    /// Share of activations dropped.
    pub dropout: f32,
    /// Share of a target's probability that is spread over all classes.
    pub label_smoothing: f32,
    /// How training images are varied.
    pub augmentation: Augmentation,
    /// Of every random choice.
    pub seed: u64,
    /// What it runs on.
    #[serde(default)]
    pub processor: Processor,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch_size: 128,
            lr: 1e-3,
            warmup: 0,
            weight_decay: 1e-4,
            grad_clip: 1.0,
            dropout: 0.1,
            label_smoothing: 0.1,
            augmentation: Augmentation::default(),
            seed: 42,
            processor: Processor::Cpu,
        }
    }
}

impl Recipe {
    /// The best that is known for a preset: see `RECIPES.md` in the folder of this crate.
    pub fn best(preset: Preset) -> Self {
        let augmentation = Augmentation {
            rotation_degrees: 10.0,
            translation: 0.07,
            scale: 0.1,
            shear_degrees: 10.0,
            elastic: 0.03,
        };
        let shared = Self { warmup: 1, weight_decay: 0.05, dropout: 0.0, augmentation, ..Self::default() };
        match preset {
            Preset::Base => Self { epochs: 30, ..shared },
            Preset::Tiny => Self { epochs: 30, lr: 2e-3, warmup: 2, ..shared },
            Preset::Nano => Self { epochs: 60, lr: 3e-3, ..shared },
        }
    }

    /// The learning rate of `epoch` (from 1), constant within it: it rises in equal steps while it warms up, and then
    /// falls from [`lr`](Self::lr) to 0 along half a cosine wave.
    pub fn lr_of(&self, epoch: usize) -> f64 {
        let lr = f64::from(self.lr);
        if epoch <= self.warmup {
            return lr * epoch as f64 / (self.warmup + 1) as f64;
        }
        let (done, all) = (epoch - 1 - self.warmup, self.epochs - self.warmup);
        lr * 0.5 * (1.0 + (PI * done as f64 / all as f64).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(recipe: &Recipe, expected: &[f64]) {
        let rates: Vec<f64> = (1..=recipe.epochs).map(|epoch| recipe.lr_of(epoch)).collect();
        assert_eq!(rates.len(), expected.len());
        let agree = rates.iter().zip(expected).all(|(rate, expected)| (rate - expected).abs() < 1e-7);
        assert!(agree, "{rates:?}");
    }

    #[test]
    fn learning_rate_follows_the_cosine() {
        let recipe = Recipe { epochs: 4, lr: 1.0, ..Recipe::default() };
        check(&recipe, &[1.0, 0.853_553_39, 0.5, 0.146_446_61]);
    }

    #[test]
    fn learning_rate_rises_first() {
        let recipe = Recipe { epochs: 7, lr: 1.0, warmup: 3, ..Recipe::default() };
        check(&recipe, &[0.25, 0.5, 0.75, 1.0, 0.853_553_39, 0.5, 0.146_446_61]);
        check(&Recipe { epochs: 2, lr: 1.0, warmup: 9, ..Recipe::default() }, &[0.1, 0.2]);
    }
}
