//! Where random numbers come from: every choice has a stream of its own, named by what it is for and by numbers such
//! as (seed, epoch, index), so that no order of calls and no number of threads changes it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The first values of the parameters.
    Init = 16,
    /// The order of the training images in an epoch.
    Order,
}

/// The stream of random numbers for `purpose` and `key`.
pub(crate) fn stream(purpose: Purpose, key: [u64; 3]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip([purpose as u64, key[0], key[1], key[2]]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}
