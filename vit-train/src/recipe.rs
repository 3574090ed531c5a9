//! What a training run does.

use crate::{data::Augmentation, error::Error};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{
    f64::consts::PI,
    fmt::{self, Display},
    ops::{Bound, RangeBounds},
};

/// What a network is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda {
        /// Which one, from 0.
        index: usize,
        /// Of matrix products.
        precision: Precision,
    },
}

/// What of it shows in the results.
impl Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("the CPU"),
            Self::Cuda { precision, .. } => write!(f, "a GPU with {precision}"),
        }
    }
}

/// How exactly matrix products are computed. All else is in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// In 32-bit floating point.
    F32,
    /// With inputs rounded to 10 bits behind the point and sums in 32-bit floating point: several times faster.
    #[default]
    Tf32,
}

impl Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
        })
    }
}

/// The settings of a run; the defaults are the reference recipe's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training images, at least 1.
    pub epochs: usize,
    /// Images in a step, at least 1.
    pub batch_size: usize,
    /// Largest learning rate: see [`lr_of`](Self::lr_of).
    pub lr: f32,
    /// Epochs in which the learning rate rises, fewer than [`epochs`](Self::epochs).
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

/// Parameters halfway, as a ratio, from `nano` (79,690) to `tiny` (205,962), and from there to `base` (1,797,130).
const NANO_TO_TINY: usize = 128_000;
const TINY_TO_BASE: usize = 608_000;

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
    /// The best that is known for a network with so many parameters: that of the one of `base`, `tiny` and `nano` that is
    /// nearest in size. `RECIPES.md` in the folder of this crate says how they were found.
    pub fn for_size(parameters: usize) -> Self {
        let augmentation = Augmentation {
            rotation_degrees: 10.0,
            translation: 0.07,
            scale: 0.1,
            shear_degrees: 10.0,
            elastic: 0.03,
        };
        let shared = Self { warmup: 1, weight_decay: 0.05, dropout: 0.0, augmentation, ..Self::default() };
        match parameters {
            ..NANO_TO_TINY => Self { epochs: 60, lr: 3e-3, ..shared },
            NANO_TO_TINY..TINY_TO_BASE => Self { epochs: 30, lr: 2e-3, warmup: 2, ..shared },
            TINY_TO_BASE.. => Self { epochs: 30, ..shared },
        }
    }

    /// The same recipe for another number of epochs. If they are too few for its warm-up, that is shortened, so that one
    /// epoch at least has the full learning rate.
    pub fn with_epochs(self, epochs: usize) -> Self {
        Self { epochs, warmup: self.warmup.min(epochs.saturating_sub(1)), ..self }
    }

    /// Checks that a run can work with these settings.
    ///
    /// # Errors
    /// [`Error::Recipe`] names the first setting that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let Augmentation { rotation_degrees, translation, scale, shear_degrees, elastic } = self.augmentation;
        check("epochs", self.epochs, self.epochs > 0, "at least 1")?;
        check("batch_size", self.batch_size, self.batch_size > 0, "at least 1")?;
        check(
            "warmup",
            self.warmup,
            self.warmup < self.epochs,
            "fewer than the epochs of the run, so that the full learning rate is reached",
        )?;
        for (setting, value, allowed) in [
            ("lr", self.lr, Allowed::POSITIVE),
            ("weight_decay", self.weight_decay, Allowed::NOT_NEGATIVE),
            ("grad_clip", self.grad_clip, Allowed::POSITIVE),
            ("dropout", self.dropout, Allowed::SHARE),
            ("label_smoothing", self.label_smoothing, Allowed::SHARE),
            ("rotation_degrees", rotation_degrees, Allowed::ROTATION),
            ("translation", translation, Allowed::SHARE),
            ("scale", scale, Allowed::SCALE),
            ("shear_degrees", shear_degrees, Allowed::SHEAR),
            ("elastic", elastic, Allowed::SHARE),
        ] {
            check(setting, value, allowed.contains(value), allowed.expected)?;
        }
        Ok(())
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

fn check(
    setting: &'static str,
    value: impl Display,
    good: bool,
    expected: &'static str,
) -> Result<(), Error> {
    if good {
        return Ok(());
    }
    Err(Error::Recipe { setting, value: value.to_string(), expected })
}

/// The numbers that a setting may have. NaN and infinity are never among them.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    range: (Bound<f32>, Bound<f32>),
    /// Names them, after "expected".
    pub expected: &'static str,
}

impl Allowed {
    /// Of learning rates and the largest norm of gradients.
    pub const POSITIVE: Self = Self {
        range: (Bound::Excluded(0.0), Bound::Excluded(f32::INFINITY)),
        expected: "a number above 0, such as 1e-3",
    };
    /// Of weight decay.
    pub const NOT_NEGATIVE: Self = Self {
        range: (Bound::Included(0.0), Bound::Excluded(f32::INFINITY)),
        expected: "a number of at least 0, such as 1e-4",
    };
    /// Of parts of something, of which some is always left.
    pub const SHARE: Self =
        Self { range: (Bound::Included(0.0), Bound::Excluded(1.0)), expected: "a number from 0 to below 1" };
    /// Of angles by which images are rotated.
    pub const ROTATION: Self = Self::up_to(180.0, "a number from 0 to 180");
    /// Of angles by which images are slanted.
    pub const SHEAR: Self = Self::up_to(60.0, "a number from 0 to 60");
    /// Of parts by which images grow and shrink.
    pub const SCALE: Self = Self::up_to(0.9, "a number from 0 to 0.9");

    const fn up_to(max: f32, expected: &'static str) -> Self {
        Self { range: (Bound::Included(0.0), Bound::Included(max)), expected }
    }

    /// Whether `value` is one of them.
    pub fn contains(&self, value: f32) -> bool {
        self.range.contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vit_nostd::{Base, Nano, Network, Tiny};

    #[track_caller]
    fn check_rates(recipe: &Recipe, expected: &[f64]) {
        let rates: Vec<f64> = (1..=recipe.epochs).map(|epoch| recipe.lr_of(epoch)).collect();
        assert_eq!(rates.len(), expected.len());
        let agree = rates.iter().zip(expected).all(|(rate, expected)| (rate - expected).abs() < 1e-7);
        assert!(agree, "{rates:?}");
    }

    #[test]
    fn learning_rate_follows_the_cosine() {
        let recipe = Recipe { epochs: 4, lr: 1.0, ..Recipe::default() };
        check_rates(&recipe, &[1.0, 0.853_553_39, 0.5, 0.146_446_61]);
    }

    #[test]
    fn learning_rate_rises_first() {
        let recipe = Recipe { epochs: 7, lr: 1.0, warmup: 3, ..Recipe::default() };
        check_rates(&recipe, &[0.25, 0.5, 0.75, 1.0, 0.853_553_39, 0.5, 0.146_446_61]);
        check_rates(&Recipe { epochs: 2, lr: 1.0, warmup: 1, ..Recipe::default() }, &[0.5, 1.0]);
    }

    /// The settings that RECIPES.md gives.
    #[test]
    fn networks_have_the_recipe_of_their_size() {
        for (parameters, epochs, lr, warmup) in [
            (1, 60, 3e-3, 1),
            (Nano::DIMS.parameters(), 60, 3e-3, 1),
            (Tiny::DIMS.parameters(), 30, 2e-3, 2),
            (Base::DIMS.parameters(), 30, 1e-3, 1),
            (10 * Base::DIMS.parameters(), 30, 1e-3, 1),
        ] {
            let recipe = Recipe::for_size(parameters);
            assert_eq!((recipe.epochs, recipe.lr, recipe.warmup), (epochs, lr, warmup), "{parameters}");
            assert_eq!((recipe.weight_decay, recipe.dropout), (0.05, 0.0));
        }
    }

    #[test]
    fn every_run_reaches_its_learning_rate() {
        for parameters in [Base::DIMS, Tiny::DIMS, Nano::DIMS].map(|dims| dims.parameters()) {
            let best = Recipe::for_size(parameters);
            for epochs in 1..5 {
                let recipe = best.clone().with_epochs(epochs);
                recipe.check().unwrap();
                let rates = (1..=epochs).map(|epoch| recipe.lr_of(epoch));
                assert_eq!(rates.fold(0.0, f64::max), f64::from(recipe.lr), "{recipe:?}");
            }
            assert_eq!(best.clone().with_epochs(best.epochs), best);
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let good = Recipe::default();
        good.check().unwrap();
        let augmentation = |change: fn(&mut Augmentation)| {
            let mut recipe = Recipe::default();
            change(&mut recipe.augmentation);
            recipe
        };
        for (setting, recipe) in [
            ("epochs", Recipe { epochs: 0, ..good.clone() }),
            ("batch_size", Recipe { batch_size: 0, ..good.clone() }),
            ("warmup", Recipe { warmup: 20, ..good.clone() }),
            ("lr", Recipe { lr: f32::NAN, ..good.clone() }),
            ("lr", Recipe { lr: 0.0, ..good.clone() }),
            ("lr", Recipe { lr: -1e-3, ..good.clone() }),
            ("lr", Recipe { lr: f32::INFINITY, ..good.clone() }),
            ("weight_decay", Recipe { weight_decay: -1.0, ..good.clone() }),
            ("grad_clip", Recipe { grad_clip: 0.0, ..good.clone() }),
            ("grad_clip", Recipe { grad_clip: f32::INFINITY, ..good.clone() }),
            ("dropout", Recipe { dropout: 1.0, ..good.clone() }),
            ("label_smoothing", Recipe { label_smoothing: -0.1, ..good.clone() }),
            ("rotation_degrees", augmentation(|a| a.rotation_degrees = 181.0)),
            ("translation", augmentation(|a| a.translation = f32::NAN)),
            ("scale", augmentation(|a| a.scale = 1.0)),
            ("shear_degrees", augmentation(|a| a.shear_degrees = 90.0)),
            ("elastic", augmentation(|a| a.elastic = -1.0)),
        ] {
            let error = recipe.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{setting} is ")), "{error}");
        }
        let error = Recipe { epochs: 0, ..good }.check().unwrap_err().to_string();
        assert_eq!(error, "epochs is 0: expected at least 1");
    }
}
