//! The numbers that a run leaves.

use crate::{data::Splits, score::Score};
use serde::{Deserialize, Serialize};
use vit_nostd::argmax;

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean cross entropy of the training batches as they were seen: augmented, with dropout and label smoothing.
    pub train_loss: f64,
    /// Share of them that was classified right.
    pub train_acc: f64,
    /// Mean cross entropy of the validation images.
    pub val_loss: f64,
    /// Share of them that was classified right.
    pub val_acc: f64,
    /// Share of them whose class was one of the five likeliest.
    pub val_top5: f64,
    /// Learning rate.
    pub lr: f64,
    /// Of training and validation together.
    pub seconds: f64,
}

/// Scores of the engines on the test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// Of the float engine.
    pub f32: Score,
    /// Of the integer engine; none where the network could not be quantized.
    pub int8: Option<Score>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_error: Option<String>,
    /// Images that the two classify differently.
    pub disagreements: Option<usize>,
    /// One entry per class.
    #[serde(default)]
    pub classes: Vec<ClassScore>,
}

/// How the test images of a class were classified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The name of the class.
    pub label: String,
    /// Its images.
    pub images: usize,
    /// By the float engine.
    pub f32: Classified,
    /// By the integer engine, where there is a score of it.
    pub int8: Option<Classified>,
}

/// What an engine made of the images of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// Share of them that was classified right; 0 where there are none.
    pub acc: f64,
    /// For each class, how many of them were taken for it: a row of the confusion matrix.
    pub predicted: Vec<usize>,
}

/// How long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// All epochs, validation included.
    pub total_train_seconds: f64,
    /// The same per epoch.
    pub avg_epoch_seconds: f64,
    /// Of one optimizer step.
    pub median_step_ms: f64,
    /// Training images per second of the steps.
    pub images_per_second: f64,
}

impl TestScores {
    /// Of the logits (`images x classes`) that the two engines give for the test images of `data`; of the integer engine
    /// instead, why there are none.
    pub fn new(data: &Splits, f32_logits: &[f32], int8_logits: Result<&[f32], String>) -> Self {
        let labels = data.test.labels();
        let classes = data.class_names.len();
        let predicted = |logits: &[f32]| logits.chunks_exact(classes).map(argmax).collect::<Vec<_>>();
        let (int8_logits, int8_error) = (int8_logits.as_ref().ok(), int8_logits.as_ref().err().cloned());
        let (float, int8) = (predicted(f32_logits), int8_logits.map(|logits| predicted(logits)));
        let classified = |predictions: &[usize], class: usize| {
            let mut predicted = vec![0; classes];
            for (&prediction, &label) in predictions.iter().zip(labels) {
                predicted[prediction] += usize::from(usize::from(label) == class);
            }
            let images = predicted.iter().sum::<usize>().max(1);
            Classified { acc: 100.0 * predicted[class] as f64 / images as f64, predicted }
        };
        let scores = data.class_names.iter().enumerate().map(|(class, label)| ClassScore {
            label: label.clone(),
            images: labels.iter().filter(|&&label| usize::from(label) == class).count(),
            f32: classified(&float, class),
            int8: int8.as_ref().map(|int8| classified(int8, class)),
        });
        Self {
            f32: Score::new(f32_logits, labels.iter().copied()),
            int8: int8_logits.map(|logits| Score::new(logits, labels.iter().copied())),
            int8_error,
            disagreements: int8.as_ref().map(|int8| float.iter().zip(int8).filter(|(a, b)| a != b).count()),
            classes: scores.collect(),
        }
    }

    /// Where the network could not be quantized, a sentence that says why.
    pub fn no_integers(&self) -> Option<String> {
        let reason = self.int8_error.as_ref()?;
        Some(format!("integers: not possible because {reason}"))
    }

    /// The number of test images, where the report has them by class.
    pub(super) fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images).sum()
    }
}
