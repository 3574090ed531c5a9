//! AdamW and gradient clipping on plain numbers.
//!
//! All parameters are one slice, which is cut into pieces for the threads. The compiler vectorises the loops for the
//! instruction set of the processor.

use pulp::Arch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", algorithm 2), with PyTorch's defaults:
/// beta 0.9 and 0.999, epsilon 1e-8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    weight_decay: f32,
    /// The running means of the gradients.
    mean: Vec<f32>,
    /// The running means of the squares of the gradients.
    square: Vec<f32>,
    steps: i32,
}

const BETA_MEAN: f32 = 0.9;
const BETA_SQUARE: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// The number of parameters that a thread takes at a time.
const PIECE: usize = 1 << 14;

impl AdamW {
    /// Makes the optimizer of `len` parameters.
    pub fn new(len: usize, weight_decay: f32) -> Self {
        Self { weight_decay, mean: vec![0.0; len], square: vec![0.0; len], steps: 0 }
    }

    /// Returns the number of parameters, or 0 if a damaged file has different numbers of means and squares.
    #[allow(clippy::len_without_is_empty)] // every network has parameters
    pub fn len(&self) -> usize {
        if self.mean.len() == self.square.len() {
            self.mean.len()
        } else {
            0
        }
    }

    /// Returns the running means of the gradients and of their squares, and the number of steps. They are for another
    /// implementation of [`step`](Self::step).
    pub(crate) fn parts_mut(&mut self) -> (&mut [f32], &mut [f32], &mut i32) {
        (&mut self.mean, &mut self.square, &mut self.steps)
    }

    /// Does a step with learning rate `lr`.
    pub fn step(&mut self, parameters: &mut [f32], gradients: &[f32], lr: f32) {
        self.steps += 1;
        let correction = |beta: f32| (1.0 - f64::from(beta).powi(self.steps)) as f32;
        let rate = lr / correction(BETA_MEAN);
        let square_correction = correction(BETA_SQUARE);
        let decay = 1.0 - lr * self.weight_decay;
        let moments = self.mean.par_chunks_mut(PIECE).zip(self.square.par_chunks_mut(PIECE));
        let pieces = parameters.par_chunks_mut(PIECE).zip(gradients.par_chunks(PIECE)).zip(moments);
        pieces.for_each(|((parameters, gradients), (mean, square))| {
            Arch::new().dispatch(|| {
                let moments = mean.iter_mut().zip(square);
                for ((p, &g), (mean, square)) in parameters.iter_mut().zip(gradients).zip(moments) {
                    *mean = BETA_MEAN * *mean + (1.0 - BETA_MEAN) * g;
                    *square = BETA_SQUARE * *square + (1.0 - BETA_SQUARE) * g * g;
                    let deviation = f32::sqrt(*square / square_correction);
                    *p = *p * decay - rate * *mean / (deviation + EPSILON);
                }
            });
        });
    }
}

/// Scales `gradients` so that their Euclidean norm is at most `max_norm`. Returns the norm that they had before.
pub(crate) fn clip(gradients: &mut [f32], max_norm: f32) -> f32 {
    // The sums of the pieces are added up in order, whichever threads computed them.
    let squares = gradients.par_chunks(PIECE).map(|piece| Arch::new().dispatch(|| sum_of_squares(piece)));
    let squares: Vec<f64> = squares.collect();
    let norm = f64::sqrt(squares.iter().sum()) as f32;
    if norm > max_norm {
        let scale = max_norm / norm;
        gradients.par_chunks_mut(PIECE).for_each(|piece| {
            Arch::new().dispatch(|| piece.iter_mut().for_each(|g| *g *= scale));
        });
    }
    norm
}

#[inline(always)]
fn sum_of_squares(gradients: &[f32]) -> f64 {
    // There is a sum for each lane of a vector, so that additions do not wait for each other.
    let mut sums = [0.0; 16];
    for gradients in gradients.chunks(sums.len()) {
        sums.iter_mut().zip(gradients).for_each(|(sum, &g)| *sum += f64::from(g) * f64::from(g));
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps() {
        let mut adam = AdamW::new(3, 0.01);
        let mut parameters = [1.0, -2.0, 0.5];
        for step in 0..3 {
            adam.step(&mut parameters, &[0.5, -1.0, 2.0 * step as f32], 0.1);
        }
        // The expected values are those of the paper's recurrence in f64.
        for (found, expected) in parameters.iter().zip([0.697_302_9, -1.694_305_9, 0.341_304_97]) {
            assert!((found - expected).abs() < 1e-6, "{parameters:?}");
        }
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let mut gradients = [3.0, -4.0];
        assert_eq!(clip(&mut gradients, 1.0), 5.0);
        assert_eq!(gradients, [0.6, -0.8]);
        assert_eq!(clip(&mut gradients, 2.0), 1.0);
        assert_eq!(gradients, [0.6, -0.8]);
    }

    /// All pieces are clipped and updated, also the last one, which is shorter than a vector.
    #[test]
    fn all_pieces_count() {
        let len = 2 * PIECE + 5;
        let mut gradients: Vec<f32> = (0..len).map(|index| if index % 2 == 0 { 3.0 } else { -3.0 }).collect();
        let norm = clip(&mut gradients, 1.0);
        let expected = 3.0 * (len as f32).sqrt();
        assert!((norm / expected - 1.0).abs() < 1e-6, "{norm}, expected {expected}");
        let length = gradients.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 1e-6, "{length}");

        // The length of the first step is the learning rate, whatever the gradient is.
        let mut parameters = vec![0.0; len];
        AdamW::new(len, 0.0).step(&mut parameters, &gradients, 0.25);
        for (index, (p, g)) in parameters.iter().zip(&gradients).enumerate() {
            assert!((p + 0.25 * g.signum()).abs() < 1e-4, "{index}: {p}");
        }
    }
}
