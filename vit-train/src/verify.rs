//! Does the microcontroller's library compute what dfdx computes?

use crate::{
    data::Dataset,
    error::Error,
    export::read_float_model,
    inference::{dfdx_logits, int8_raw_logits, nostd_logits, view},
    model::{Model, Network},
    parameters::{self, Parameters},
    reference,
};
use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};
use vit_nostd::{argmax, int8};

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
    /// Of the integer model, where there is one.
    #[serde(flatten)]
    pub int8: Option<IntegerVerification>,
}

/// What [`verify`] found of the integer model. The names of the fields are those in JSON, where they stand among those
/// of [`Verification`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntegerVerification {
    /// Images that the integer engine is compared on with its reference in dfdx.
    pub int8_images: usize,
    /// Logits of them that differ.
    pub int8_mismatches: usize,
}

/// The model files to be verified, with the paths that errors name.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Of the float engine.
    pub f32: (&'a Path, &'a [u8]),
    /// Of the integer engine; none where the network could not be quantized.
    pub int8: Option<(&'a Path, &'a [u8])>,
}

impl Verification {
    /// Whether everything is as it must be.
    pub fn passed(&self) -> bool {
        self.dfdx_vs_nostd_f32_max_abs <= TOLERANCE
            && self.argmax_disagreements == 0
            && self.exact_mismatches == 0
            && self.int8.is_none_or(|int8| int8.int8_mismatches == 0)
    }
}

/// Compares the float model, which was made of `parameters`, with dfdx: all images of `data` with its built-in
/// operations, and the first `exact_images` bit by bit with its tensors in the canonical order. Compares the integer
/// model with its reference on dfdx's tensors: all logits of all images.
///
/// `parameters` must be in the order of `S`'s layout.
///
/// # Errors
/// [`Error::Model`] if the files are not models of shape `S`; [`Error::NotFinite`].
pub fn verify<S: Network>(
    parameters: &Parameters,
    files: Files<'_>,
    data: &Dataset,
    exact_images: usize,
) -> Result<Verification, Error> {
    let (path, file) = files.f32;
    let refused = |error| Error::Model { path: path.to_owned(), error };
    let model = read_float_model::<S>(file, path)?;
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
    let exact = reference::float::logits::<S>(file, &views).map_err(refused)?;
    let exact = exact.iter().flat_map(AsRef::<[f32]>::as_ref);
    let exact_mismatches = exact.zip(&nostd).filter(|(a, b)| a.to_bits() != b.to_bits()).count();

    let int8 = files.int8.map(|file| verify_integers::<S>(file, data)).transpose()?;
    Ok(Verification {
        images,
        dfdx_vs_nostd_f32_max_abs: max_abs,
        argmax_disagreements,
        exact_images,
        exact_mismatches,
        int8,
    })
}

/// Counts the logits of `data` that the integer engine and its reference do not agree on.
fn verify_integers<S: Network>(
    (path, file): (&Path, &[u8]),
    data: &Dataset,
) -> Result<IntegerVerification, Error> {
    let refused = |error| Error::Model { path: path.to_owned(), error };
    let model = int8::Model::<S>::from_bytes(file).map_err(refused)?;
    let views: Vec<_> = (0..data.len()).map(|index| view::<S>(data, index)).collect();
    let reference = reference::int8::logits::<S>(file, &views).map_err(refused)?;
    let reference = reference.iter().flat_map(AsRef::<[i32]>::as_ref);
    let engine = int8_raw_logits(&model, data, data.len());
    let int8_mismatches = reference.zip(&engine).filter(|(a, b)| a != b).count();
    Ok(IntegerVerification { int8_images: data.len(), int8_mismatches })
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |good| if good { "ok  " } else { "FAIL" };
        let difference = self.dfdx_vs_nostd_f32_max_abs;
        writeln!(f, "vit-nostd against                              images  result")?;
        writeln!(
            f,
            "{} f32: dfdx, largest difference of a logit {:>7}  {difference:.2e} (at most {TOLERANCE:.0e})",
            mark(difference <= TOLERANCE),
            self.images
        )?;
        writeln!(
            f,
            "{} f32: dfdx, images classified otherwise   {:>7}  {}",
            mark(self.argmax_disagreements == 0),
            self.images,
            self.argmax_disagreements
        )?;
        write!(
            f,
            "{} f32: dfdx in canonical order, bits       {:>7}  {} logits differ",
            mark(self.exact_mismatches == 0),
            self.exact_images,
            self.exact_mismatches
        )?;
        let Some(IntegerVerification { int8_images, int8_mismatches }) = self.int8 else { return Ok(()) };
        write!(
            f,
            "\n{} int8: dfdx in integers                   {int8_images:>7}  {int8_mismatches} logits differ",
            mark(int8_mismatches == 0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_logit_is_a_failure() {
        let right = Verification {
            images: 10,
            dfdx_vs_nostd_f32_max_abs: 1e-5,
            argmax_disagreements: 0,
            exact_images: 5,
            exact_mismatches: 0,
            int8: Some(IntegerVerification { int8_images: 10, int8_mismatches: 0 }),
        };
        assert!(right.passed() && !right.to_string().contains("FAIL"));
        for wrong in [
            Verification { dfdx_vs_nostd_f32_max_abs: f32::NAN, ..right },
            Verification { argmax_disagreements: 1, ..right },
            Verification { exact_mismatches: 1, ..right },
            Verification { int8: Some(IntegerVerification { int8_images: 10, int8_mismatches: 1 }), ..right },
        ] {
            assert!(!wrong.passed());
            assert_eq!(wrong.to_string().matches("FAIL").count(), 1, "{wrong}");
        }

        // In JSON, as in reports of earlier versions, all numbers stand side by side.
        let json = serde_json::to_value(right).unwrap();
        assert_eq!((&json["int8_images"], json.as_object().unwrap().len()), (&10.into(), 7));
        assert_eq!(serde_json::from_value::<Verification>(json).unwrap(), right);

        let without = Verification { int8: None, ..right };
        assert!(without.passed() && !without.to_string().contains("int8"), "{without}");
        let json = serde_json::to_value(without).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 5);
        assert_eq!(serde_json::from_value::<Verification>(json).unwrap(), without);
    }
}
