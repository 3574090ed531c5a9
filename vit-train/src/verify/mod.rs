//! Verifies that the microcontroller's library computes what dfdx computes.

pub mod reference;

use crate::{
    data::Dataset,
    error::Error,
    formats::vit::read_float_model,
    inference::{check_logits, dfdx_logits, int8_raw_logits, nostd_logits, view},
    network::{
        model::Model,
        parameters::{self, Parameters},
        Trainable,
    },
};
use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};
use vit_nostd::{argmax, int8};

/// The largest difference of a logit that is accepted between dfdx's built-in operations and `vit-nostd`, as a
/// multiple of the image's largest logit (or of 1 if that is less).
///
/// Both add up the same products, but in different orders. The difference between the rounded sums is relative to
/// their size: with weights that are 1,000 times as large, logits and their differences are 1,000 times as large,
/// too.
pub const TOLERANCE: f32 = 1e-4;

/// The result of [`verify`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The number of images that were compared with dfdx's built-in operations.
    pub images: usize,
    /// The largest absolute difference of a logit between dfdx's built-in operations and `vit-nostd`.
    pub dfdx_vs_nostd_f32_max_abs: f32,
    /// The largest difference of a logit as a multiple of the image's largest logit, or of 1 if that is less. It
    /// should be at most [`TOLERANCE`]. `None` in a report of an earlier version.
    pub dfdx_vs_nostd_f32_max_relative: Option<f32>,
    /// The number of images that are classified differently. Ties do not count, that is, classes whose logits are
    /// equal within [`TOLERANCE`].
    pub argmax_disagreements: usize,
    /// The number of images that were compared with the [reference](reference::float), which sums in the canonical
    /// order.
    pub exact_images: usize,
    /// The number of these images' logits whose bits differ.
    pub exact_mismatches: usize,
    /// The result for the integer model, if there is one.
    #[serde(flatten)]
    pub int8: Option<IntegerVerification>,
}

/// The result of [`verify`] for the integer model.
///
/// In JSON, its fields are among those of [`Verification`], which is why their names say that they are about integers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntegerVerification {
    /// The number of images on which the integer engine was compared with its [reference](reference::int8).
    pub int8_images: usize,
    /// The number of these images' logits that differ.
    pub int8_mismatches: usize,
}

/// The model files to be verified, each with the path that errors name.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The model file of the float engine.
    pub f32: (&'a Path, &'a [u8]),
    /// The model file of the integer engine, or `None` if the network could not be quantized.
    pub int8: Option<(&'a Path, &'a [u8])>,
}

impl Verification {
    /// Returns true if all differences are within their bounds.
    pub fn passed(&self) -> bool {
        self.relative_difference() <= TOLERANCE
            && self.argmax_disagreements == 0
            && self.exact_mismatches == 0
            && self.int8.is_none_or(|int8| int8.int8_mismatches == 0)
    }

    /// Returns the relative difference. For a report of an earlier version, returns the absolute one, which is not
    /// smaller.
    fn relative_difference(&self) -> f32 {
        self.dfdx_vs_nostd_f32_max_relative.unwrap_or(self.dfdx_vs_nostd_f32_max_abs)
    }
}

/// Compares the logits of an image by two engines.
///
/// Returns the largest absolute difference of a logit, the same as a multiple of the largest logit of `dfdx` (or of 1
/// if that is less), and true if the classes differ other than by a tie. A difference that is not finite counts as
/// the largest finite number, which JSON can represent.
fn difference(dfdx: &[f32], nostd: &[f32]) -> (f32, f32, bool) {
    let size =
        dfdx.iter().filter(|logit| logit.is_finite()).fold(1.0, |size: f32, logit| size.max(logit.abs()));
    let differences = dfdx.iter().zip(nostd).map(|(a, b)| (a - b).abs().min(f32::MAX));
    let absolute = differences.fold(0.0, f32::max);
    // Each of the two logits may be off by the tolerance.
    let margin = dfdx[argmax(dfdx)] - dfdx[argmax(nostd)];
    (absolute, (absolute / size).min(f32::MAX), margin > 2.0 * TOLERANCE * size)
}

/// Compares the models of a network in `vit-nostd` with dfdx and with the [references](mod@reference).
///
/// The logits of the float model are compared with those of dfdx's built-in operations on all images of `data`, and
/// bit by bit with those of its reference on the first `exact_images` of them. The logits of the integer model are
/// compared with those of its reference on all images.
///
/// `parameters` are those from which the models were made, in the order of `N`'s layout.
///
/// # Errors
/// - [`Error::Model`] if the files are not models of shape `N`,
/// - [`Error::NotFinite`] if a weight is not a finite number,
/// - [`Error::Output`] if both sides compute logits that are not finite.
pub fn verify<N: Trainable>(
    parameters: &Parameters,
    files: Files<'_>,
    data: &Dataset,
    exact_images: usize,
) -> Result<Verification, Error> {
    let (path, file) = files.f32;
    let refused = |error| Error::Model { path: path.to_owned(), error };
    let model = read_float_model::<N>(file, path)?;
    let images = data.len();
    let exact_images = exact_images.min(images);
    let mut network = Model::<N, _>::zeros(&Cpu::default());
    parameters::load(&mut network, &parameters.values);
    let indices: Vec<usize> = (0..images).collect();
    let built_in = dfdx_logits(&network, &model.metadata().normalization[..N::CHANNELS], data, &indices);
    let nostd = nostd_logits(&model, data, images);

    // Logits that are not finite are an error if both sides have them. If only one side has them, they are a
    // difference.
    check_logits(&built_in, path).or_else(|_| check_logits(&nostd, path))?;
    let pairs = built_in.chunks_exact(N::CLASSES).zip(nostd.chunks_exact(N::CLASSES));
    let differences: Vec<_> = pairs.map(|(dfdx, nostd)| difference(dfdx, nostd)).collect();
    let max_abs = differences.iter().map(|&(absolute, ..)| absolute).fold(0.0, f32::max);
    let max_relative = differences.iter().map(|&(_, relative, _)| relative).fold(0.0, f32::max);
    let argmax_disagreements = differences.iter().filter(|&&(.., other_class)| other_class).count();

    let views: Vec<_> = (0..exact_images).map(|index| view::<N>(data, index)).collect();
    let exact = reference::float::logits::<N>(file, &views).map_err(refused)?;
    let exact = exact.iter().flat_map(AsRef::<[f32]>::as_ref);
    let exact_mismatches = exact.zip(&nostd).filter(|(a, b)| a.to_bits() != b.to_bits()).count();

    let int8 = files.int8.map(|file| verify_integers::<N>(file, data)).transpose()?;
    Ok(Verification {
        images,
        dfdx_vs_nostd_f32_max_abs: max_abs,
        dfdx_vs_nostd_f32_max_relative: Some(max_relative),
        argmax_disagreements,
        exact_images,
        exact_mismatches,
        int8,
    })
}

/// Counts the logits of all images of `data` in which the integer engine and its reference differ.
fn verify_integers<N: Trainable>(
    (path, file): (&Path, &[u8]),
    data: &Dataset,
) -> Result<IntegerVerification, Error> {
    let refused = |error| Error::Model { path: path.to_owned(), error };
    let model = int8::Model::<N>::from_bytes(file).map_err(refused)?;
    let views: Vec<_> = (0..data.len()).map(|index| view::<N>(data, index)).collect();
    let reference = reference::int8::logits::<N>(file, &views).map_err(refused)?;
    let reference = reference.iter().flat_map(AsRef::<[i32]>::as_ref);
    let engine = int8_raw_logits(&model, data, data.len());
    let int8_mismatches = reference.zip(&engine).filter(|(a, b)| a != b).count();
    Ok(IntegerVerification { int8_images: data.len(), int8_mismatches })
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |good| if good { "ok  " } else { "FAIL" };
        let (absolute, relative) = (self.dfdx_vs_nostd_f32_max_abs, self.relative_difference());
        writeln!(f, "vit-nostd against                              images  result")?;
        writeln!(
            f,
            "{} f32: dfdx, largest difference of a logit {:>7}  {absolute:.2e}, or {relative:.2e} of the image's largest \
             logit (at most {TOLERANCE:.0e})",
            mark(relative <= TOLERANCE),
            self.images
        )?;
        writeln!(
            f,
            "{} f32: dfdx, images classified differently {:>7}  {}",
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
    use crate::{
        data::synthetic,
        formats::{checkpoint::Checkpoint, vit::float_model},
        quantize::quantize_and_score,
    };
    use vit_nostd::{ConvNano, Nano};

    #[test]
    fn one_wrong_logit_is_a_failure() {
        let good = Verification {
            images: 10,
            dfdx_vs_nostd_f32_max_abs: 1e-2,
            dfdx_vs_nostd_f32_max_relative: Some(1e-5),
            argmax_disagreements: 0,
            exact_images: 5,
            exact_mismatches: 0,
            int8: Some(IntegerVerification { int8_images: 10, int8_mismatches: 0 }),
        };
        assert!(good.passed() && !good.to_string().contains("FAIL"));
        for wrong in [
            Verification { dfdx_vs_nostd_f32_max_relative: Some(f32::NAN), ..good },
            Verification { dfdx_vs_nostd_f32_max_relative: Some(2e-4), ..good },
            Verification { dfdx_vs_nostd_f32_max_relative: None, ..good },
            Verification { argmax_disagreements: 1, ..good },
            Verification { exact_mismatches: 1, ..good },
            Verification { int8: Some(IntegerVerification { int8_images: 10, int8_mismatches: 1 }), ..good },
        ] {
            assert!(!wrong.passed());
            assert_eq!(wrong.to_string().matches("FAIL").count(), 1, "{wrong}");
        }

        // In JSON, all numbers are fields of one object, as in reports of earlier versions.
        let json = serde_json::to_value(good).unwrap();
        assert_eq!((&json["int8_images"], json.as_object().unwrap().len()), (&10.into(), 8));
        assert_eq!(serde_json::from_value::<Verification>(json).unwrap(), good);

        let without = Verification { int8: None, ..good };
        assert!(without.passed() && !without.to_string().contains("int8"), "{without}");
        let json = serde_json::to_value(without).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 6);
        assert_eq!(serde_json::from_value::<Verification>(json).unwrap(), without);
    }

    #[test]
    fn networks_with_convolutions_are_verified() {
        fn assert_passed<N: Trainable>() {
            let checkpoint = Checkpoint { parameters: Parameters::init::<N>(1), description: None };
            let (path, data) = (Path::new("model.vit"), synthetic::dataset(20, 1));
            let indices: Vec<usize> = (0..data.len()).collect();
            let float = float_model::<N>(&checkpoint, path).unwrap();
            let (integers, _) = quantize_and_score::<N>(&checkpoint, (&data, &indices), &data, path).unwrap();
            let files = Files { f32: (path, &float), int8: Some((path, &integers)) };
            let verification = verify::<N>(&checkpoint.parameters, files, &data, 5).unwrap();
            assert!(verification.passed(), "{verification}");
        }
        vit_nostd::network! {
            Overlapping {
                image: 28, tokenizer: [{ kernel: 9, stride: 5, padding: 3 }],
                embed: 8, heads: 2, hidden: 12, depth: 2, classes: 10,
            }
        }
        assert_passed::<ConvNano>();
        assert_passed::<Overlapping>();
    }

    /// The weights are finite, but both sides overflow.
    #[test]
    fn a_network_that_computes_no_numbers_is_named() {
        let mut parameters = Parameters::init::<Nano>(1);
        parameters.get_mut("head.weight").unwrap().fill(f32::MAX);
        parameters.get_mut("norm.bias").unwrap().fill(1.0);
        let checkpoint = Checkpoint { parameters, description: None };
        let path = Path::new("model.f32.vit");
        let file = float_model::<Nano>(&checkpoint, path).unwrap();
        let files = Files { f32: (path, &file), int8: None };
        let error = verify::<Nano>(&checkpoint.parameters, files, &synthetic::dataset(2, 1), 1).unwrap_err();
        assert!(matches!(error, Error::Output { .. }), "{error}");
    }

    #[test]
    fn differences_are_in_proportion_to_the_logits() {
        // The logits are equal, then small, then large. Rounding changes large ones by more.
        assert_eq!(difference(&[0.5, 0.25], &[0.5, 0.25]), (0.0, 0.0, false));
        let (absolute, relative, other_class) = difference(&[0.5, -0.25], &[0.5, -0.5]);
        assert_eq!((absolute, relative, other_class), (0.25, 0.25, false));
        let (absolute, relative, other_class) = difference(&[4096.0, -8192.0], &[4096.0, -8192.125]);
        assert!(absolute == 0.125 && relative < TOLERANCE && !other_class);
        // If rounding breaks a tie, the class does not count as different. If a clear winner loses, it does.
        assert!(!difference(&[1000.0, 999.9999], &[999.9999, 1000.0]).2);
        assert!(difference(&[1.0, 0.5], &[0.5, 1.0]).2);
        // A logit that is not finite is a difference.
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (dfdx, nostd) in [([1.0, wrong], [1.0, 2.0]), ([1.0, 2.0], [1.0, wrong])] {
                let (absolute, relative, _) = difference(&dfdx, &nostd);
                assert!(
                    absolute == f32::MAX && relative > TOLERANCE && relative.is_finite(),
                    "{dfdx:?} {nostd:?}"
                );
            }
        }
    }
}
