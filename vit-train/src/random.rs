//! Streams of random numbers.
//!
//! Every random choice has a stream of its own, whose key is a purpose and numbers such as (seed, epoch, index). The
//! order of calls and the number of threads therefore do not change it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The purpose of random numbers. The same seed gives unrelated numbers for each purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Choosing the images of the validation part.
    Split = 1,
    /// Augmenting a training image.
    Augment = 2,
    /// Drawing a digit.
    Digit = 3,
    /// The initial values of a parameter.
    Init = 4,
    /// The order of the training images in an epoch.
    Order = 5,
    /// Choosing the test images of a report.
    Show = 6,
    /// Corrupting a test image.
    Corrupt = 7,
    /// Drawing a road sign.
    Sign = 8,
    /// Drawing the training images of an epoch in which all classes are equally frequent.
    Balance = 9,
    /// The noise that an untrained network is shown.
    Noise = 10,
}

/// Returns the stream of random numbers for a purpose and a key. They become the key of ChaCha, which has room for all
/// of their bits, so that different keys never have the same stream.
pub(crate) fn stream(purpose: Purpose, key: [u64; 3]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip([purpose as u64, key[0], key[1], key[2]]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;
    use std::collections::HashSet;

    #[test]
    fn streams_are_different() {
        let mut first = HashSet::new();
        for purpose in [
            Purpose::Split,
            Purpose::Augment,
            Purpose::Digit,
            Purpose::Init,
            Purpose::Order,
            Purpose::Show,
            Purpose::Corrupt,
            Purpose::Sign,
            Purpose::Balance,
            Purpose::Noise,
        ] {
            for key in [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1 << 32, 0, 0]] {
                assert!(first.insert(stream(purpose, key).next_u64()));
            }
        }
    }
}
