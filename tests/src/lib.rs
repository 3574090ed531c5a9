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

use std::path::Path;
use vit_nostd::{frame::Fit, model_file::Normalization};
use vit_random_models::{random_image, Random};
use vit_train::{
    data::{Dataset, Format},
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
        fit: Fit::Crop,
        // Different from MNIST's, and from channel to channel.
        normalization: (0..N::CHANNELS)
            .map(|channel| Normalization {
                mean: 0.125 * (channel + 1) as f32,
                std: 0.375 / (channel + 1) as f32,
            })
            .collect(),
        labels: (0..N::CLASSES).map(|class| format!("class {class}")).collect(),
        test_accuracy: None,
    };
    Checkpoint { parameters, description: Some(description) }
}

/// Returns images of noise for network `N`, all of class 0.
pub fn noise<N: Trainable>(images: usize, seed: u64) -> Dataset {
    let mut random = Random(seed);
    let levels: Vec<Vec<u8>> = (0..images).map(|index| random_image::<N>(&mut random, 2 + index)).collect();
    let noise = Dataset::new(Format::of::<N>(), levels.concat(), vec![0; images], Path::new("noise"));
    noise.expect("there is a label for each image")
}
