//! Classes and probabilities from logits.

use crate::float::math::exp;
use core::cmp::Ordering;

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Prediction {
    /// The index of the class.
    pub class: usize,
    /// The softmax of the logits, from 0 to 1. It is NaN if the softmax is not defined (see [`top_k`]): then a
    /// comparison with a threshold, such as `probability > 0.9`, is false.
    pub probability: f32,
}

impl Prediction {
    /// A place that no class takes.
    const NONE: Self = Self { class: 0, probability: 0.0 };
}

/// Returns the `K` likeliest classes, likeliest first. Among classes with equal logits, the lower index comes first.
///
/// If there are fewer classes than `K`, the remaining places hold class 0 with probability 0. To skip them, use
/// `.iter().take(logits.len())`.
///
/// Softmax is not defined if a logit is NaN, or if the largest one is infinite. The float engine returns such logits if
/// its arithmetic overflows. In that case all probabilities are NaN. The classes still come in the order of their
/// logits, NaN last.
///
/// ```
/// let [first, second] = vit_nostd::top_k([1.0, 3.0, 2.0].as_slice());
/// assert_eq!((first.class, second.class), (1, 2));
/// assert!((first.probability - 0.665).abs() < 1e-3);
///
/// let [first] = vit_nostd::top_k([1.0, f32::NAN, 2.0].as_slice());
/// assert!(first.class == 2 && first.probability.is_nan());
/// ```
pub fn top_k<const K: usize>(logits: &[f32]) -> [Prediction; K] {
    let mut best = [Prediction::NONE; K];
    rank(logits.iter().copied(), &mut best);
    best
}

/// Fills `best` with the likeliest classes, like [`top_k`], for logits that are not in one slice, or for a number of
/// places that is not a constant.
pub fn rank(logits: impl Iterator<Item = f32> + Clone, best: &mut [Prediction]) {
    let softmax = Softmax::of(logits.clone());
    let mut filled = 0;
    for (class, logit) in logits.enumerate() {
        // A place holds the logit of its class until all of them are known.
        let mut candidate = Prediction { class, probability: logit };
        for place in best.iter_mut().take(filled) {
            if ranks_before(candidate, *place) {
                core::mem::swap(place, &mut candidate);
            }
        }
        if let Some(place) = best.get_mut(filled) {
            *place = candidate;
            filled += 1;
        }
    }
    for (index, place) in best.iter_mut().enumerate() {
        *place = match index < filled {
            true => Prediction { probability: softmax.probability(place.probability), ..*place },
            false => Prediction::NONE,
        };
    }
}

/// True if `a`, a class with its logit instead of its probability, comes before `b` in the order of [`top_k`].
fn ranks_before(a: Prediction, b: Prediction) -> bool {
    match a.probability.partial_cmp(&b.probability) {
        Some(Ordering::Equal) => a.class < b.class,
        Some(order) => order == Ordering::Greater,
        None if a.probability.is_nan() && b.probability.is_nan() => a.class < b.class,
        None => b.probability.is_nan(),
    }
}

/// The softmax of some logits: `exp(logit - max) / sum`, in which `sum` is the sum of `exp(logit - max)` over all of them.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    max: f32,
    /// The sum of the exponentials. It is NaN if the softmax is not defined.
    sum: f32,
}

impl Softmax {
    /// Prepares the softmax of these logits.
    pub fn of(logits: impl Iterator<Item = f32> + Clone) -> Self {
        let max = logits.clone().fold(f32::NEG_INFINITY, f32::max);
        let is_defined = max.is_finite() && !logits.clone().any(f32::is_nan);
        let sum = if is_defined { logits.map(|logit| exp(logit - max)).sum() } else { f32::NAN };
        Self { max, sum }
    }

    /// Returns the probability of the class with this logit, which is one of those that the softmax was prepared with. It
    /// is NaN if the softmax is not defined (see [`top_k`]).
    pub fn probability(&self, logit: f32) -> f32 {
        exp(logit - self.max) / self.sum
    }
}

/// Returns the index of the largest logit, the first one if several are equal. NaN counts as less than every number.
/// Returns 0 if there are no logits.
pub fn argmax<T: PartialOrd + Copy>(logits: &[T]) -> usize {
    let mut best = 0;
    let mut largest: Option<T> = None;
    for (class, &logit) in logits.iter().enumerate() {
        let is_number = logit.partial_cmp(&logit).is_some();
        if is_number && largest.is_none_or(|largest| logit > largest) {
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
        // The order of a tie is kept if a likelier class that comes later moves both down.
        let best = top_k::<3>(&[1.0, 1.0, 2.0]);
        assert_eq!(best.map(|p| p.class), [2, 0, 1]);
        assert_eq!(argmax(&[1, 2, 2]), 1);
    }

    /// The order holds even for classes whose probabilities are both 0 in single precision.
    #[test]
    fn unlikely_classes_are_in_order() {
        let best = top_k::<4>(&[-400.0, 0.0, -300.0, -200.0]);
        assert_eq!(best.map(|p| p.class), [1, 3, 2, 0]);
    }

    #[test]
    fn what_is_not_a_number_is_never_likely() {
        const NAN: f32 = f32::NAN;
        const INF: f32 = f32::INFINITY;
        for (logits, order) in [
            ([NAN, 1.0, 2.0], [2, 1, 0]),
            ([1.0, NAN, -INF], [0, 2, 1]),
            ([NAN, NAN, NAN], [0, 1, 2]),
            ([NAN, 0.0, NAN], [1, 0, 2]),
            ([0.0, INF, NAN], [1, 0, 2]),
            ([0.0, INF, INF], [1, 2, 0]),
            ([-INF, -INF, -INF], [0, 1, 2]),
        ] {
            let best = top_k::<3>(&logits);
            assert_eq!(best.map(|p| p.class), order, "{logits:?}");
            assert!(best.iter().all(|p| p.probability.is_nan()), "{logits:?}: {best:?}");
            assert_eq!(argmax(&logits), order[0], "{logits:?}");
        }
        // A logit of -infinity rules out its class, but the softmax of the others is still defined.
        let best = top_k::<2>(&[-INF, 1.0]);
        assert_eq!(best.map(|p| p.class), [1, 0]);
        assert!(best[0].probability == 1.0 && best[1].probability < 1e-30);
    }

    #[test]
    fn more_places_than_classes() {
        let best = top_k::<3>(&[0.5]);
        assert_eq!(best.map(|p| p.probability), [1.0, 0.0, 0.0]);
        assert_eq!(top_k::<1>(&[]).map(|p| p.probability), [0.0]);
    }
}
