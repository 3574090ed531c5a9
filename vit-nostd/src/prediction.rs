//! From logits to something a person reads.

use crate::float::math::exp;

/// A class and how sure the network is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Prediction {
    /// Index of the class.
    pub class: usize,
    /// Softmax of the logits, 0 to 1.
    pub probability: f32,
}

/// The `K` likeliest classes, likeliest first; of equal logits the lower class first.
///
/// Where there are fewer classes than `K`, the rest has probability 0.
///
/// ```
/// let [first, second] = vit_nostd::top_k([1.0, 3.0, 2.0].as_slice());
/// assert_eq!((first.class, second.class), (1, 2));
/// assert!((first.probability - 0.665).abs() < 1e-3);
/// ```
pub fn top_k<const K: usize>(logits: &[f32]) -> [Prediction; K] {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|&logit| exp(logit - max)).sum();
    let mut best = [Prediction { class: 0, probability: 0.0 }; K];
    for (class, &logit) in logits.iter().enumerate() {
        let mut candidate = Prediction { class, probability: exp(logit - max) / sum };
        for place in &mut best {
            if candidate.probability > place.probability {
                core::mem::swap(place, &mut candidate);
            }
        }
    }
    best
}

/// The index of the largest logit, the first of equal ones.
pub fn argmax<T: PartialOrd + Copy>(logits: &[T]) -> usize {
    let mut best = 0;
    let mut largest: Option<T> = None;
    for (class, &logit) in logits.iter().enumerate() {
        if largest.is_none_or(|largest| logit > largest) {
            (best, largest) = (class, Some(logit));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_class() {
        let best = top_k::<3>(&[1.0, 2.0, 2.0]);
        assert_eq!(best.map(|p| p.class), [1, 2, 0]);
        assert_eq!(argmax(&[1, 2, 2]), 1);
    }

    #[test]
    fn more_places_than_classes() {
        let best = top_k::<3>(&[0.5]);
        assert_eq!(best.map(|p| p.probability), [1.0, 0.0, 0.0]);
    }
}
