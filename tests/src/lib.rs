//! Tests that the host, the `no_std` library and the emulated chip compute the same bits.

pub mod chip_bench;

/// The Rust examples in the documents, as documentation tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../../vit-nostd/README.md")]
    struct Nostd;
    #[doc = include_str!("../../vit-train/README.md")]
    struct Train;
    #[doc = include_str!("../../link/README.md")]
    struct Link;
}

use vit_nostd::model_file::Normalization;
use vit_train::{
    formats::checkpoint::{Checkpoint, Description},
    network::{parameters::Parameters, Trainable},
};

/// Returns a network with random weights of the size of those in a trained network. Each of them affects the logits.
pub fn random_checkpoint<N: Trainable>(seed: u64) -> Checkpoint {
    let mut parameters = Parameters::init::<N>(seed);
    let noise = Parameters::init::<N>(seed + 1).values;
    parameters
        .values
        .iter_mut()
        .zip(noise.iter().rev())
        .for_each(|(value, noise)| *value = 2.0 * *value + 0.5 * noise);
    let description = Description {
        dataset: "none".to_owned(),
        seed,
        normalization: Normalization { mean: 0.125, std: 0.375 }, // different from MNIST's
        labels: (0..N::CLASSES).map(|class| format!("class {class}")).collect(),
        test_accuracy: None,
    };
    Checkpoint { parameters, description: Some(description) }
}
