//! Dropout with masks that are a function of a counter: element `i` at a place of the network in a step of a run is
//! kept or dropped whatever computes it, in whatever order.

use dfdx::prelude::*;

/// Dropout in one training step, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f32,
    key: u64,
}

/// Where in the network a mask is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// On the sum of patch embedding and positions, `batch x tokens x embed`.
    Embedding,
    /// On the attention of a block, `batch x heads x tokens x tokens`.
    Attention(usize),
    /// Behind the GELU of a block, `batch x tokens x hidden`.
    Hidden(usize),
    /// On the result of a block's MLP, `batch x tokens x embed`.
    Mlp(usize),
}

impl Dropout {
    /// Keeps everything.
    pub const fn none() -> Self {
        Self { rate: 0.0, key: 0 }
    }

    /// Drops elements with probability `rate` (0 <= rate < 1, in steps of 1/65536); the masks belong to step `step`
    /// of the run with `seed`.
    pub fn new(rate: f32, seed: u64, step: u64) -> Self {
        Self { rate, key: mix64(mix64(seed) ^ step) }
    }

    /// Fills `mask` with what the elements at `site` are to be multiplied with: 0, or the inverse of the probability
    /// of being kept.
    pub fn fill(&self, site: Site, mask: &mut [f32]) {
        let (kind, block) = match site {
            Site::Embedding => (0, 0),
            Site::Attention(block) => (1, block as u64),
            Site::Hidden(block) => (2, block as u64),
            Site::Mlp(block) => (3, block as u64),
        };
        let key = mix64(self.key ^ (block << 2 | kind));
        let (low, high) = (key as u32, (key >> 32) as u32);
        let threshold = self.threshold();
        let keep = 65536.0 / (65536 - threshold) as f32;
        let value = |bits: u32| if bits >= threshold { keep } else { 0.0 };
        for (counter, pair) in mask.chunks_mut(2).enumerate() {
            let bits = mix32(mix32((counter as u32).wrapping_add(low)) ^ high);
            let values = [value(bits & 0xffff), value(bits >> 16)];
            pair.copy_from_slice(&values[..pair.len()]);
        }
    }

    fn threshold(&self) -> u32 {
        (self.rate * 65536.0).round() as u32
    }

    /// Applies the mask of `site` to `x`.
    pub(crate) fn apply<S: Shape, D: Device<f32>, T: Tape<f32, D>>(
        &self,
        x: Tensor<S, f32, D, T>,
        site: Site,
    ) -> Tensor<S, f32, D, T> {
        if self.threshold() == 0 {
            return x;
        }
        let mut mask = vec![0.0; x.shape().num_elements()];
        self.fill(site, &mut mask);
        let mask = x.device().tensor_from_vec(mask, *x.shape());
        x * mask
    }
}

/// A bijection of 64-bit numbers that spreads every bit: the finalizer of SplitMix64.
const fn mix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A bijection of 32-bit numbers that spreads every bit: two rounds of xor-shift and multiply, constants from the
/// hash prospector's search for low bias.
const fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(dropout: Dropout, site: Site, len: usize) -> Vec<f32> {
        let mut mask = vec![f32::NAN; len];
        dropout.fill(site, &mut mask);
        mask
    }

    #[test]
    fn drops_the_right_share_and_keeps_the_mean() {
        for rate in [0.1, 0.5] {
            let mask = mask(Dropout::new(rate, 42, 7), Site::Hidden(3), 1_000_001);
            let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f32 / mask.len() as f32;
            assert!((dropped - rate).abs() < 2e-3, "{dropped}");
            let mean = mask.iter().map(|&m| f64::from(m)).sum::<f64>() / mask.len() as f64;
            assert!((mean - 1.0).abs() < 3e-3, "{mean}");
        }
    }

    #[test]
    fn masks_of_different_places_are_unrelated() {
        let base = Dropout::new(0.5, 42, 7);
        let one = mask(base, Site::Hidden(3), 100_000);
        let others = [
            mask(base, Site::Hidden(2), 100_000),
            mask(base, Site::Mlp(3), 100_000),
            mask(Dropout::new(0.5, 42, 8), Site::Hidden(3), 100_000),
            mask(Dropout::new(0.5, 43, 7), Site::Hidden(3), 100_000),
        ];
        for other in others {
            let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!((49_000..51_000).contains(&equal), "{equal}");
        }
        let neighbours = one.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((49_000..51_000).contains(&neighbours), "{neighbours}");
    }

    #[test]
    fn a_shorter_mask_is_the_beginning_of_a_longer_one() {
        let dropout = Dropout::new(0.1, 1, 2);
        assert_eq!(mask(dropout, Site::Embedding, 999), mask(dropout, Site::Embedding, 5000)[..999]);
    }
}
