//! Does the microcontroller's library compute what dfdx computes?

use crate::{
    data::Dataset,
    inference::{dfdx_logits, nostd_logits, view},
    model::{Model, Network},
    parameters::{self, Parameters},
    reference,
};
use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use std::fmt;
use vit_nostd::{argmax, float, ModelError};

/// The largest difference of a logit that dfdx's own operations, which sum in another order, may show.
pub const TOLERANCE: f32 = 1e-4;

/// What [`verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Images compared with dfdx's built-in operations.
    pub images: usize,
    /// The largest difference of a logit.
    pub dfdx_vs_nostd_f32_max_abs: f32,
    /// Images that are classified differently.
    pub argmax_disagreements: usize,
    /// Images compared with dfdx in the canonical order.
    pub exact_images: usize,
    /// Logits of them whose bits differ.
    pub exact_mismatches: usize,
}

impl Verification {
    /// Whether everything is as it must be.
    pub fn passed(&self) -> bool {
        self.dfdx_vs_nostd_f32_max_abs <= TOLERANCE
            && self.argmax_disagreements == 0
            && self.exact_mismatches == 0
    }
}

/// Compares the float model in `file`, which was made of `parameters`, with dfdx: all images of `data` with its
/// built-in operations, and the first `exact_images` bit by bit with its tensors in the canonical order.
///
/// `parameters` must be in the order of `S`'s layout.
///
/// # Errors
/// If `file` is not a float model of shape `S`.
pub fn verify<S: Network>(
    parameters: &Parameters,
    file: &[u8],
    data: &Dataset,
    exact_images: usize,
) -> Result<Verification, ModelError> {
    let model = float::Model::<S>::from_bytes(file)?;
    let images = data.len();
    let exact_images = exact_images.min(images);
    let mut network = S::Model::zeros(&Cpu::default());
    parameters::load(&mut network, &parameters.values);
    let indices: Vec<usize> = (0..images).collect();
    let built_in = dfdx_logits(&network, model.metadata().normalization, data, &indices);
    let nostd = nostd_logits(&model, data, images);

    let differences = built_in.iter().zip(&nostd).map(|(a, b)| (a - b).abs());
    // A difference that is not a number is a difference, too.
    let max_abs = differences.fold(0.0, |max: f32, d| if d <= max { max } else { d });
    let classes = built_in.chunks_exact(S::CLASSES).zip(nostd.chunks_exact(S::CLASSES));
    let argmax_disagreements = classes.filter(|(a, b)| argmax(a) != argmax(b)).count();

    let views: Vec<_> = (0..exact_images).map(|index| view::<S>(data, index)).collect();
    let exact = reference::float::logits::<S>(file, &views)?;
    let exact = exact.iter().flat_map(AsRef::<[f32]>::as_ref);
    let exact_mismatches = exact.zip(&nostd).filter(|(a, b)| a.to_bits() != b.to_bits()).count();

    Ok(Verification {
        images,
        dfdx_vs_nostd_f32_max_abs: max_abs,
        argmax_disagreements,
        exact_images,
        exact_mismatches,
    })
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |good| if good { "ok  " } else { "FAIL" };
        let difference = self.dfdx_vs_nostd_f32_max_abs;
        writeln!(f, "vit-nostd f32 against                  images  result")?;
        writeln!(
            f,
            "{} dfdx, largest difference of a logit {:>7}  {difference:.2e} (at most {TOLERANCE:.0e})",
            mark(difference <= TOLERANCE),
            self.images
        )?;
        writeln!(
            f,
            "{} dfdx, images classified otherwise   {:>7}  {}",
            mark(self.argmax_disagreements == 0),
            self.images,
            self.argmax_disagreements
        )?;
        write!(
            f,
            "{} dfdx in canonical order, bits       {:>7}  {} logits differ",
            mark(self.exact_mismatches == 0),
            self.exact_images,
            self.exact_mismatches
        )
    }
}
