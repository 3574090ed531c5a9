//! Dropout with counter-based masks.
//!
//! The seed of the run, the step, the site in the network, and the index of an element determine if the element is
//! dropped. The processor and the order of the computation do not matter.

use dfdx::prelude::*;
use pulp::Arch;

/// The dropout of one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dropout {
    rate: f32,
    key: u64,
}

/// A site in the network where activations are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// The sum of patch embedding and positions, `batch x tokens x embed`.
    Embedding,
    /// The attention weights of this block, `batch x heads x tokens x tokens`.
    Attention(usize),
    /// The hidden layer of this block's MLP after GELU, `batch x tokens x hidden`.
    Hidden(usize),
    /// The output of this block's MLP, `batch x tokens x embed`.
    Mlp(usize),
}

impl Site {
    /// Returns a number that is different for every site.
    pub(crate) const fn number(self) -> u64 {
        let (kind, block) = match self {
            Self::Embedding => (0, 0),
            Self::Attention(block) => (1, block as u64),
            Self::Hidden(block) => (2, block as u64),
            Self::Mlp(block) => (3, block as u64),
        };
        block << 2 | kind
    }
}

impl Dropout {
    /// Returns a dropout that keeps every element.
    pub(crate) const fn none() -> Self {
        Self { rate: 0.0, key: 0 }
    }

    /// Returns the dropout of step `step` in the run with `seed`. It drops elements with probability `rate`, which must
    /// be at least 0 and below 1, and is rounded to multiples of 1/65536.
    pub(crate) fn new(rate: f32, seed: u64, step: u64) -> Self {
        Self { rate, key: mix64(Self::seed_key(seed) ^ step) }
    }

    /// Returns the key of the run with `seed`. The key of a step is a hash of this key and the step's number.
    pub(crate) const fn seed_key(seed: u64) -> u64 {
        mix64(seed)
    }

    /// Fills `mask` with the factors of the elements at `site`: 0, or the inverse of the probability of being kept.
    pub(crate) fn fill(&self, site: Site, mask: &mut [f32]) {
        self.fill_from(site, 0, mask);
    }

    /// Fills `mask` like [`fill`](Self::fill), but with the factors of the elements from number `first` on.
    pub(crate) fn fill_from(&self, site: Site, first: usize, mask: &mut [f32]) {
        let key = mix64(self.key ^ site.number());
        let (threshold, keep) = (self.threshold(), self.keep());
        Arch::new().dispatch(|| fill(key, threshold, keep, first, mask));
    }

    /// Returns the threshold of the 16 random bits of an element: if they are below it, the element is dropped.
    pub(crate) fn threshold(&self) -> u32 {
        (self.rate * 65536.0).round() as u32
    }

    /// Returns the factor of elements that are kept: the inverse of the probability of being kept.
    pub(crate) fn keep(&self) -> f32 {
        65536.0 / (65536 - self.threshold()) as f32
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

/// The number of elements that are computed in a loop without branches.
const RUN: usize = 64;

/// Fills `mask` from element `first` on. A hash has 32 bits, which decide for two elements: the low half for an even
/// one, and the high half for the odd one after it.
#[inline(always)]
fn fill(key: u64, threshold: u32, keep: f32, first: usize, mask: &mut [f32]) {
    let (low, high) = (key as u32, (key >> 32) as u32);
    let value = |bits: u16| if u32::from(bits) >= threshold { keep } else { 0.0 };
    // If the mask begins with an odd element, the even one before it is skipped.
    let mut skip = first % 2;
    let mut counter = (first / 2) as u32;
    let mut rest = mask;
    while !rest.is_empty() {
        let mut bits = [0u32; RUN / 2];
        for (bits, index) in bits.iter_mut().zip(counter..) {
            *bits = mix32(mix32(index.wrapping_add(low)) ^ high).to_le();
        }
        let bits: &[u16] = &bytemuck::cast_slice(&bits)[skip..];
        let (run, others) = rest.split_at_mut(bits.len().min(rest.len()));
        run.iter_mut().zip(bits).for_each(|(mask, &bits)| *mask = value(u16::from_le(bits)));
        (rest, skip, counter) = (others, 0, counter.wrapping_add(RUN as u32 / 2));
    }
}

/// A bijection of 64-bit numbers that spreads every bit: the finalizer of SplitMix64.
const fn mix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A bijection of 32-bit numbers that spreads every bit: `lowbias32` of the Hash Prospector, two rounds of xor-shift
/// and multiplication with constants that were searched for low bias.
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
    fn drops_the_expected_share_and_keeps_the_mean() {
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

    #[test]
    fn a_mask_can_begin_anywhere() {
        let dropout = Dropout::new(0.1, 1, 2);
        let whole = mask(dropout, Site::Mlp(1), 5000);
        for (first, len) in
            [(0, 1), (1, 1), (1, 2), (3, 289), (64, 64), (289, 289), (578, 4422), (4999, 1), (7, 0)]
        {
            let mut part = vec![f32::NAN; len];
            dropout.fill_from(Site::Mlp(1), first, &mut part);
            assert_eq!(part, whole[first..first + len], "{first} {len}");
        }
    }

    #[test]
    fn masks_are_those_of_the_hash() {
        let dropout = Dropout::new(0.25, 42, 7);
        let key = mix64(dropout.key ^ (5 << 2 | 2));
        let expected = (0..1000).map(|i| {
            let bits = mix32(mix32((i as u32 / 2).wrapping_add(key as u32)) ^ (key >> 32) as u32);
            if (bits >> (16 * (i % 2)) & 0xffff) >= 65536 / 4 {
                4.0 / 3.0
            } else {
                0.0
            }
        });
        assert_eq!(mask(dropout, Site::Hidden(5), 1000), expected.collect::<Vec<f32>>());
    }
}
