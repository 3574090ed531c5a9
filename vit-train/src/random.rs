//! Where random numbers come from: every choice has a stream of its own, named by what it is for and by numbers such
//! as (seed, epoch, index), so that no order of calls and no number of threads changes it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for: the same seed gives unrelated numbers for each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Setting a validation part aside.
    Split = 1,
    /// Moving a training image.
    Augment = 2,
    /// Drawing a digit.
    Digit = 3,
    /// The first values of a parameter.
    Init = 4,
    /// The order of the training images in an epoch.
    Order = 5,
    /// Choosing test images to be shown.
    Show = 6,
    /// Corrupting a test image.
    Corrupt = 7,
}

/// The random numbers that belong to `key`. A ChaCha key has room for all of it, so that no two streams collide.
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
    fn streams_do_not_meet() {
        let mut first = HashSet::new();
        for purpose in [
            Purpose::Split,
            Purpose::Augment,
            Purpose::Digit,
            Purpose::Init,
            Purpose::Order,
            Purpose::Show,
            Purpose::Corrupt,
        ] {
            for key in [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1 << 32, 0, 0]] {
                assert!(first.insert(stream(purpose, key).next_u64()));
            }
        }
    }
}
