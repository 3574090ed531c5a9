//! The samples that a training leaves next to the model, in `samples.bin`: test images with their classes, and with the
//! logits that the computer of the training has computed.

use vit_nostd::{image, Image, Network};

/// The number of bytes of the class and the zeros after it.
const CLASS_BYTES: usize = 4;
/// The number of bytes of a logit, of which the length of a record is a multiple.
const WORD: usize = size_of::<i32>();

/// A test image of network `N`.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a, N: Network> {
    /// The class that the image has in the data set. The network may take it for another one.
    pub class: usize,
    /// The image.
    pub image: &'a Image<N>,
    /// The bytes of the logits, four for each class, little-endian.
    logits: &'a [[u8; WORD]],
}

impl<N: Network> Sample<'_, N> {
    /// Returns true if `logits` are those that the computer of the training has computed, with equal bits.
    pub fn has_logits(&self, logits: &[i32]) -> bool {
        logits.iter().map(|logit| logit.to_le_bytes()).eq(self.logits.iter().copied())
    }
}

/// Returns the samples in the `bytes` of a file. The documentation of `vit_train::run::samples` describes its layout.
/// Bytes that are no whole sample are left out.
pub fn samples<N: Network>(bytes: &[u8]) -> impl Iterator<Item = Sample<'_, N>> {
    let image_bytes = N::DIMS.image_values();
    let record = CLASS_BYTES + WORD * N::CLASSES + image_bytes.next_multiple_of(WORD);
    bytes.chunks_exact(record).filter_map(move |record| {
        let (class, rest) = record.split_first_chunk::<CLASS_BYTES>()?;
        let (logits, rest) = rest.split_at_checked(WORD * N::CLASSES)?;
        let image = image::<N>(rest.get(..image_bytes)?)?;
        Some(Sample { class: u32::from_le_bytes(*class) as usize, image, logits: logits.as_chunks().0 })
    })
}
