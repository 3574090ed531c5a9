//! Helpers for model files in the tests of the format and of the engines.

use vit_nostd::{
    frame::Fit,
    model_file::{Metadata, Normalization, Provenance, ALIGNMENT},
    Network,
};

/// Calls `f` with a copy of `bytes` that is aligned like a model file.
pub fn aligned<R>(bytes: &[u8], f: impl FnOnce(&[u8]) -> R) -> R {
    let mut buffer = vec![0; bytes.len() + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let place = &mut buffer[start..start + bytes.len()];
    place.copy_from_slice(bytes);
    f(place)
}

/// Returns metadata of network `N` with these labels, another normalisation for each channel, and a value in every
/// optional field.
pub fn metadata<N: Network>(labels: &str) -> Metadata<'_> {
    let mut normalization = [Normalization::NO_CHANNEL; 3];
    let own = [(0.25, 0.5), (0.5, 0.25), (0.375, 0.75)].map(|(mean, std)| Normalization { mean, std });
    normalization[..N::CHANNELS].copy_from_slice(&own[..N::CHANNELS]);
    Metadata::new(
        Fit::Stretch,
        normalization,
        labels,
        Provenance {
            dataset: "synthetic",
            seed: 300,
            test_accuracy: Some(97.5),
            tool: "a test",
            checkpoint: Some(core::array::from_fn(|index| index as u8 + 1)),
        },
    )
}
