//! Helpers for model files in the tests of the format and of the engines.

use vit_nostd::model_file::{Metadata, Normalization, Provenance, ALIGNMENT};

/// Calls `f` with a copy of `bytes` that is aligned like a model file.
pub fn aligned<R>(bytes: &[u8], f: impl FnOnce(&[u8]) -> R) -> R {
    let mut buffer = vec![0; bytes.len() + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let place = &mut buffer[start..start + bytes.len()];
    place.copy_from_slice(bytes);
    f(place)
}

/// Returns metadata with these labels, and with a value in every optional field.
pub fn metadata(labels: &str) -> Metadata<'_> {
    Metadata::new(
        Normalization { mean: 0.25, std: 0.5 },
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
