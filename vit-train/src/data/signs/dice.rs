//! The random numbers from which a picture is drawn.

use super::{super::sine::sin_cos, colour::Colour};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The random numbers from which a picture is drawn.
pub(super) struct Dice(pub(super) ChaCha8Rng);

impl Dice {
    /// Draws a number that is uniformly distributed between `low` and `high`.
    pub(super) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// Draws a number from a bell curve around 0 with the standard deviation `sigma`, of at most `3 * sigma` in
    /// absolute value.
    pub(super) fn bell(&mut self, sigma: f32) -> f32 {
        sigma * (self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0))
    }

    /// Draws an index below `length`.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    /// Returns `true` with this probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.0.random::<f32>() < probability
    }

    /// Draws a muted colour, whose lightness is uniformly distributed between `low` and `high`.
    pub(super) fn colour(&mut self, low: f32, high: f32) -> Colour {
        let light = self.uniform(low, high);
        [(); 3].map(|()| light * (1.0 + self.bell(0.18)))
    }

    /// Draws the sine and the cosine of an angle, of at most `limit` radians to both sides; `limit` is at most pi.
    pub(super) fn rotation(&mut self, limit: f32) -> (f32, f32) {
        sin_cos(self.uniform(-limit, limit))
    }
}
