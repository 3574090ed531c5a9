//! The figures of a run: of its epochs, of its test, and of its duration.

use crate::{data::Splits, score::Score};
use serde::{Deserialize, Serialize};
use vit_nostd::argmax;

/// The figures of one epoch. Accuracies are in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The number of the epoch, counted from 1.
    pub epoch: usize,
    /// The mean cross entropy of the training images as the network saw them: augmented, with dropout and label
    /// smoothing.
    pub train_loss: f64,
    /// The share of the training images that was classified correctly.
    pub train_acc: f64,
    /// The mean cross entropy of the validation images.
    pub val_loss: f64,
    /// The share of the validation images that was classified correctly.
    pub val_acc: f64,
    /// The share of the validation images whose class was among the five likeliest.
    pub val_top5: f64,
    /// The learning rate.
    pub lr: f64,
    /// The duration of training and validation together, in seconds.
    pub seconds: f64,
}

/// The scores of both engines on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// The score of the float engine.
    pub f32: Score,
    /// The score of the integer engine; None if the network could not be quantized.
    pub int8: Option<Score>,
    /// The reason why the network could not be quantized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_error: Option<String>,
    /// A sentence, without a full stop, which warns that the integer model is far from the float network. None if it is
    /// not, if there is no integer model, or if the report is one of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_warning: Option<String>,
    /// The number of images that the two engines classify differently.
    pub disagreements: Option<usize>,
    /// The results by class, class 0 first. Reports of earlier versions do not have them.
    #[serde(default)]
    pub classes: Vec<ClassScore>,
}

/// The results on the test images of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The name of the class.
    pub label: String,
    /// The number of test images of the class.
    pub images: usize,
    /// The results of the float engine.
    pub f32: Classified,
    /// The results of the integer engine; None if the network could not be quantized.
    pub int8: Option<Classified>,
}

/// The results of one engine on the images of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// The share of the images that was classified correctly, in percent; 0 if there are no images.
    pub acc: f64,
    /// The number of images that were taken for each of the classes: a row of the confusion matrix.
    pub predicted: Vec<usize>,
}

/// The duration of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The duration of all epochs, validation included, in seconds.
    pub total_train_seconds: f64,
    /// The mean duration of an epoch, validation included, in seconds.
    pub avg_epoch_seconds: f64,
    /// The median duration of an optimizer step, in milliseconds.
    pub median_step_ms: f64,
    /// The number of training images per second, counting the time of the steps only.
    pub images_per_second: f64,
}

impl TestScores {
    /// Scores the logits (`images x classes`) that the two engines compute for the test images of `data`. If there is
    /// no integer model, `int8_logits` is the reason.
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
            int8_warning: None,
            disagreements: int8.as_ref().map(|int8| float.iter().zip(int8).filter(|(a, b)| a != b).count()),
            classes: scores.collect(),
        }
    }

    /// Returns a sentence, without a full stop, that says why the network could not be quantized; None if it could.
    pub fn no_integers(&self) -> Option<String> {
        let reason = self.int8_error.as_ref()?;
        Some(format!("The network cannot be quantized because {reason}"))
    }

    /// Returns the number of test images, or 0 if the report does not have them by class.
    pub(super) fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images).sum()
    }
}
