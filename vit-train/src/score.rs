//! The loss and the accuracy of a network on a data set.

use serde::{Deserialize, Serialize};

/// The loss and the accuracies of a network on a data set.
///
/// If two logits are equal, the lower class is ranked first. An image with a logit that is NaN counts as misclassified.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean cross entropy, without label smoothing.
    pub loss: f64,
    /// The percentage of images whose class is the most probable one.
    pub acc: f64,
    /// The percentage of images whose class is one of the five most probable ones.
    pub top5: f64,
}

impl Score {
    /// Computes the score of `logits` (`images x classes`), where the correct classes are `labels`.
    pub fn new(logits: &[f32], labels: impl ExactSizeIterator<Item = u16>) -> Self {
        let images = labels.len();
        let classes = logits.len() / images.max(1);
        let mut sum = Self { loss: 0.0, acc: 0.0, top5: 0.0 };
        for (logits, label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let below = |logit: f32| match logit - max {
                // The difference of two finite numbers may be larger than any `f32`.
                f32::NEG_INFINITY => f64::from(logit) - f64::from(max),
                difference => f64::from(difference),
            };
            let total: f64 = logits.iter().map(|&logit| below(logit).exp()).sum();
            sum.loss += total.ln() - below(logits[usize::from(label)]);
            let rank = rank(logits, usize::from(label));
            sum.acc += f64::from(u8::from(rank == Some(0)));
            sum.top5 += f64::from(u8::from(rank.is_some_and(|rank| rank < 5)));
        }
        let images = images.max(1) as f64;
        Self { loss: sum.loss / images, acc: 100.0 * sum.acc / images, top5: 100.0 * sum.top5 / images }
    }
}

/// Returns the number of classes that are more probable than `class`, or `None` if a logit is NaN.
fn rank(logits: &[f32], class: usize) -> Option<usize> {
    let own = logits[class];
    let likelier = |&(other, &logit): &(usize, &f32)| logit > own || (logit == own && other < class);
    (!logits.iter().any(|logit| logit.is_nan())).then(|| logits.iter().enumerate().filter(likelier).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        // Two classes, equal logits: the loss is ln 2; ties go to the lower class.
        let score = Score::new(&[0.0, 0.0, 0.0, 0.0], [0, 1].into_iter());
        assert!((score.loss - std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!((score.acc, score.top5), (50.0, 100.0));
        // Seven classes: the sixth likeliest is not among the five likeliest.
        let logits = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(Score::new(&logits, [5].into_iter()).top5, 0.0);
        assert_eq!(Score::new(&logits, [4].into_iter()).top5, 100.0);
        // Ten classes, equal logits: the first class is the likeliest, the first five are the five likeliest.
        let score = Score::new(&[0.25; 100], 0..10);
        assert_eq!((score.acc, score.top5), (10.0, 50.0));
    }

    #[test]
    fn logits_that_are_no_numbers() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        for logits in [[nan; 10], [[nan; 1].as_slice(), &[0.0; 9]].concat().try_into().unwrap()] {
            for label in [0, 9] {
                let score = Score::new(&logits, [label].into_iter());
                assert!((score.acc, score.top5) == (0.0, 0.0) && score.loss.is_nan(), "{score:?}");
            }
        }
        // Finite logits have a finite loss, and an infinite logit makes the loss infinite or NaN.
        let score = Score::new(&[f32::MAX, f32::MIN], [1].into_iter());
        assert!(score.loss > 6e38 && score.loss.is_finite(), "{score:?}");
        assert!(!Score::new(&[infinite, 0.0], [0].into_iter()).loss.is_finite());
    }
}
