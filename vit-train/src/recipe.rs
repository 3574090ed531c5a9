//! Recipes: the settings of a training run.

use crate::{
    data::{Augmentation, Style},
    error::Error,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{
    f64::consts::PI,
    fmt::{self, Display},
    ops::{Bound, RangeBounds},
};

/// The processor on which a network is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda {
        /// The number of the GPU, from 0.
        index: usize,
        /// The precision of matrix products.
        precision: Precision,
    },
}

/// Writes what affects the results: the kind of processor and the precision, but not the number of the GPU.
impl Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("the CPU"),
            Self::Cuda { precision, .. } => write!(f, "a GPU with {precision}"),
        }
    }
}

/// The precision of matrix products. All other computations are in 32-bit floating point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// TensorFloat-32: factors are rounded to 10 bits of fraction, sums are in 32-bit floating point. It is several
    /// times faster.
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

/// The settings of a run. The defaults are those of the reference recipe, `--recipe article`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The number of passes over the training images, at least 1.
    pub epochs: usize,
    /// The number of images in a step, at least 1.
    pub batch_size: usize,
    /// The largest learning rate, above 0: see [`lr_of`](Self::lr_of).
    pub lr: f32,
    /// The number of epochs in which the learning rate rises, less than [`epochs`](Self::epochs).
    #[serde(default)]
    pub warmup: usize,
    /// The weight decay of AdamW, at least 0.
    pub weight_decay: f32,
    /// The largest norm of the gradients, to which they are clipped, above 0.
    pub grad_clip: f32,
    /// The share of activations that are dropped, from 0 to below 1.
    pub dropout: f32,
    /// The share of a target's probability that is spread over all classes, from 0 to below 1.
    pub label_smoothing: f32,
    /// The augmentation of training images.
    pub augmentation: Augmentation,
    /// True if each epoch has equally many images of each class. Images of small classes are then repeated, and some of
    /// large classes left out.
    #[serde(default)]
    pub balance: bool,
    /// The seed of all random choices: the same seed gives the same model on processors with the same vector
    /// instructions.
    pub seed: u64,
    /// The processor on which the run is trained.
    #[serde(default)]
    pub processor: Processor,
}

/// The numbers of parameters at which the recipe changes: the geometric means of those of `nano` (79,690) and `tiny`
/// (205,962), and of those of `tiny` and `base` (1,797,130).
const NANO_TO_TINY: usize = 128_000;
const TINY_TO_BASE: usize = 608_000;

/// The number of images from which on their number does not change the recipe.
const MANY_IMAGES: usize = 45_000;
/// The largest number of epochs for few images.
const MOST_EPOCHS: usize = 1000;
/// The size of the smallest batches.
const SMALLEST_BATCH: usize = 16;

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
            balance: false,
            seed: 42,
            processor: Processor::Cpu,
        }
    }
}

impl Recipe {
    /// Returns the best known recipe for a network with this many parameters that is trained on this many images of
    /// this style: that of the preset, `base`, `tiny` or `nano`, that is nearest in size. With fewer than 45,000
    /// images, there are more epochs and as many more of warm-up: with a quarter of that, twice as many. With fewer
    /// than 2,080 images, batches and the learning rate are smaller; the [augmentation](Augmentation::best) depends on
    /// the number of images, too. `RECIPES.md` in the folder of this crate says how the recipes were found.
    pub fn best(parameters: usize, images: usize, style: Style) -> Self {
        let augmentation = Augmentation::best(style, images);
        let shared = Self { warmup: 1, weight_decay: 0.05, dropout: 0.0, augmentation, ..Self::default() };
        let recipe = match parameters {
            ..NANO_TO_TINY => Self { epochs: 60, lr: 3e-3, ..shared },
            NANO_TO_TINY..TINY_TO_BASE => Self { epochs: 30, lr: 2e-3, warmup: 2, ..shared },
            TINY_TO_BASE.. => Self { epochs: 30, ..shared },
        };
        if images >= MANY_IMAGES {
            return recipe;
        }
        let more = (MANY_IMAGES as f64 / images.max(1) as f64).sqrt();
        let epochs = ((recipe.epochs as f64 * more).round() as usize).min(MOST_EPOCHS);
        let batch_size = (images / 32).next_power_of_two().clamp(SMALLEST_BATCH, recipe.batch_size);
        let lr = recipe.lr * (batch_size as f32 / recipe.batch_size as f32).sqrt().sqrt();
        let lr = (1e5 * lr).round() / 1e5; // the exact number does not matter, and a short one is easier to read
        Self { epochs, batch_size, lr, warmup: recipe.warmup * epochs / recipe.epochs, ..recipe }
    }

    /// Returns the same recipe for another number of epochs. If there are too few epochs for the warm-up, it is
    /// shortened, so that at least one epoch has the full learning rate.
    pub fn with_epochs(self, epochs: usize) -> Self {
        Self { epochs, warmup: self.warmup.min(epochs.saturating_sub(1)), ..self }
    }

    /// Checks that all settings are in their ranges.
    ///
    /// # Errors
    /// Returns [`Error::Recipe`] for the first setting that is not.
    pub fn check(&self) -> Result<(), Error> {
        let Augmentation { rotation_degrees, translation, scale, shear_degrees, elastic, .. } =
            self.augmentation;
        let Augmentation { mirror, crop, brightness, contrast, saturation, erasing, .. } = self.augmentation;
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
            ("mirror", mirror, Allowed::PART),
            ("crop", crop, Allowed::SCALE),
            ("brightness", brightness, Allowed::PART),
            ("contrast", contrast, Allowed::PART),
            ("saturation", saturation, Allowed::PART),
            ("erasing", erasing, Allowed::PART),
        ] {
            check(setting, value, allowed.contains(value), allowed.expected)?;
        }
        Ok(())
    }

    /// Returns the learning rate of `epoch` (from 1), which is constant within the epoch. It rises in equal steps
    /// during the warm-up, and then falls from [`lr`](Self::lr) to 0 along half a cosine wave.
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

/// The range of a setting's values. NaN and infinity are never allowed.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    range: (Bound<f32>, Bound<f32>),
    /// A description of the range that follows the word "expected" in messages.
    pub expected: &'static str,
}

impl Allowed {
    /// The range of learning rates and of the largest norm of gradients.
    pub const POSITIVE: Self = Self {
        range: (Bound::Excluded(0.0), Bound::Excluded(f32::INFINITY)),
        expected: "a number above 0, such as 1e-3",
    };
    /// The range of weight decay.
    pub const NOT_NEGATIVE: Self = Self {
        range: (Bound::Included(0.0), Bound::Excluded(f32::INFINITY)),
        expected: "a number of at least 0, such as 1e-4",
    };
    /// The range of shares that must not be the whole.
    pub const SHARE: Self =
        Self { range: (Bound::Included(0.0), Bound::Excluded(1.0)), expected: "a number from 0 to below 1" };
    /// The range of shares that may be the whole.
    pub const PART: Self = Self::up_to(1.0, "a number from 0 to 1");
    /// The range of angles in degrees by which images are rotated.
    pub const ROTATION: Self = Self::up_to(180.0, "a number from 0 to 180");
    /// The range of angles in degrees by which images are sheared.
    pub const SHEAR: Self = Self::up_to(60.0, "a number from 0 to 60");
    /// The range of shares by which images are enlarged and reduced.
    pub const SCALE: Self = Self::up_to(0.9, "a number from 0 to 0.9");

    const fn up_to(max: f32, expected: &'static str) -> Self {
        Self { range: (Bound::Included(0.0), Bound::Included(max)), expected }
    }

    /// Returns true if `value` is in the range.
    pub fn contains(&self, value: f32) -> bool {
        self.range.contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vit_nostd::{Base, Dims, Nano, Network, Tiny};

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

    /// The expected settings are those of RECIPES.md.
    #[test]
    fn networks_have_the_recipe_of_their_size() {
        for (parameters, epochs, lr, warmup) in [
            (1, 60, 3e-3, 1),
            (Nano::DIMS.parameters(), 60, 3e-3, 1),
            (Tiny::DIMS.parameters(), 30, 2e-3, 2),
            (Base::DIMS.parameters(), 30, 1e-3, 1),
            (10 * Base::DIMS.parameters(), 30, 1e-3, 1),
        ] {
            let recipe = Recipe::best(parameters, 54_000, Style::Digits);
            assert_eq!((recipe.epochs, recipe.lr, recipe.warmup), (epochs, lr, warmup), "{parameters}");
            assert_eq!((recipe.weight_decay, recipe.dropout), (0.05, 0.0));
        }
    }

    #[test]
    fn few_images_are_seen_more_often_in_smaller_batches() {
        for parameters in [Base::DIMS, Tiny::DIMS, Nano::DIMS].map(|dims| dims.parameters()) {
            let many = Recipe::best(parameters, MANY_IMAGES, Style::Photos);
            assert_eq!(many, Recipe::best(parameters, usize::MAX, Style::Photos));
            let mut before = many.clone();
            for images in [10_000, 4_000, 1_000, 300, 50, 1] {
                let recipe = Recipe::best(parameters, images, Style::Photos);
                recipe.check().unwrap();
                assert!(
                    recipe.epochs >= before.epochs && recipe.batch_size <= before.batch_size,
                    "{recipe:?}"
                );
                assert!(recipe.lr <= before.lr && recipe.epochs <= MOST_EPOCHS, "{recipe:?}");
                before = recipe;
            }
            assert!(before.epochs > many.epochs && before.batch_size == 16);
            assert_eq!(before.augmentation, Augmentation::PHOTOS);
        }

        let numbers = |dims: Dims, images| {
            let Recipe { epochs, warmup, batch_size, lr, .. } =
                Recipe::best(dims.parameters(), images, Style::Photos);
            (epochs, warmup, batch_size, lr)
        };
        assert_eq!(numbers(Nano::DIMS, 11_250), (120, 2, 128, 3e-3));
        assert_eq!(numbers(Tiny::DIMS, 11_250), (60, 4, 128, 2e-3));
        assert_eq!(numbers(Tiny::DIMS, 2080), (140, 9, 128, 2e-3));
        assert_eq!(numbers(Tiny::DIMS, 2079), (140, 9, 64, 1.68e-3));
        assert_eq!(numbers(Base::DIMS, 288), (375, 12, 16, 5.9e-4));
        assert_eq!(numbers(Nano::DIMS, 100), (1000, 16, 16, 1.78e-3));

        let augmentation = |images| Recipe::best(Nano::DIMS.parameters(), images, Style::Digits).augmentation;
        assert_eq!(augmentation(1999), Augmentation::FEW_DIGITS);
        assert_eq!(augmentation(2000), Augmentation::DIGITS);
    }

    #[test]
    fn every_run_reaches_its_learning_rate() {
        for parameters in [Base::DIMS, Tiny::DIMS, Nano::DIMS].map(|dims| dims.parameters()) {
            let best = Recipe::best(parameters, 54_000, Style::Digits);
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
            ("mirror", augmentation(|a| a.mirror = 1.5)),
            ("crop", augmentation(|a| a.crop = 1.0)),
            ("brightness", augmentation(|a| a.brightness = f32::NAN)),
            ("contrast", augmentation(|a| a.contrast = -0.1)),
            ("saturation", augmentation(|a| a.saturation = f32::INFINITY)),
            ("erasing", augmentation(|a| a.erasing = 2.0)),
        ] {
            let error = recipe.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{setting} is ")), "{error}");
        }
        let error = Recipe { epochs: 0, ..good }.check().unwrap_err().to_string();
        assert_eq!(error, "epochs is 0: expected at least 1");
    }
}
