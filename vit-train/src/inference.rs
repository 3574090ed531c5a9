//! Running networks over whole data sets.

use crate::{
    data::Dataset,
    error::Error,
    network::{model::Model, Trainable},
};
use dfdx::prelude::Cpu;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use vit_nostd::{
    float, float::math::Math, image, int8, model_file::Normalization, Element, Image, Network, Station,
    Values, Vector,
};

/// Images in a batch of evaluation.
const BATCH: usize = 100;

/// How well a network does on a data set. Accuracies in percent. Of equal logits, that of the lower class counts as the
/// larger one; an image with a logit that is NaN is classified wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross entropy, without label smoothing.
    pub loss: f64,
    /// Share of images whose class is the likeliest.
    pub acc: f64,
    /// Share of images whose class is one of the five likeliest.
    pub top5: f64,
}

impl Score {
    /// Of `logits` (`images x classes`) against `labels`.
    pub fn new(logits: &[f32], labels: impl ExactSizeIterator<Item = u8>) -> Self {
        let images = labels.len();
        let classes = logits.len() / images.max(1);
        let mut sum = Self { loss: 0.0, acc: 0.0, top5: 0.0 };
        for (logits, label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let below = |logit: f32| match logit - max {
                // The difference of two finite numbers may be larger than any `f32`.
                f32::NEG_INFINITY => f64::from(logit) - f64::from(max),
                difference => f64::from(difference),
            };
            let total: f64 = logits.iter().map(|&logit| below(logit).exp()).sum();
            sum.loss += total.ln() - below(logits[usize::from(label)]);
            let rank = rank(logits, usize::from(label));
            sum.acc += f64::from(u8::from(rank == Some(0)));
            sum.top5 += f64::from(u8::from(rank.is_some_and(|rank| rank < 5)));
        }
        let images = images.max(1) as f64;
        Self { loss: sum.loss / images, acc: 100.0 * sum.acc / images, top5: 100.0 * sum.top5 / images }
    }
}

/// How many classes are likelier than `class`; none if a logit is not a number.
fn rank(logits: &[f32], class: usize) -> Option<usize> {
    let own = logits[class];
    let likelier = |&(other, &logit): &(usize, &f32)| logit > own || (logit == own && other < class);
    (!logits.iter().any(|logit| logit.is_nan())).then(|| logits.iter().enumerate().filter(likelier).count())
}

/// Checks that the logits of the network in file `path` are finite numbers.
///
/// # Errors
/// [`Error::Output`].
pub fn check_logits(logits: &[f32], path: &Path) -> Result<(), Error> {
    match logits.iter().find(|logit| !logit.is_finite()) {
        Some(&logit) => Err(Error::Output { path: path.to_owned(), logit }),
        None => Ok(()),
    }
}

/// Turns pixels into what the network's first layer takes.
pub fn normalize(pixels: &[u8], normalization: Normalization) -> impl Iterator<Item = f32> + '_ {
    let Normalization { mean, std } = normalization;
    pixels.iter().map(move |&pixel| (f32::from(pixel) / 255.0 - mean) / std)
}

/// The logits of the images `indices` of `data` by the dfdx model, `images x classes`, on all threads.
pub fn dfdx_logits(
    model: &Model<impl Trainable, Cpu>,
    normalization: Normalization,
    data: &Dataset,
    indices: &[usize],
) -> Vec<f32> {
    let logits = model.logits();
    let batches = indices.par_chunks(BATCH);
    let batches = batches.flat_map_iter(|batch| {
        let pixels = batch.iter().flat_map(|&index| normalize(data.image(index), normalization)).collect();
        logits(pixels, batch.len())
    });
    batches.collect()
}

/// The logits of the first `images` images of `data` by the float engine, `images x classes`, on all threads.
pub fn nostd_logits<N: Network, M: Math>(
    model: &float::Model<'_, N, M>,
    data: &Dataset,
    images: usize,
) -> Vec<f32> {
    each_image::<N, _, _>(data, images, float::Scratch::new, |image, scratch| infer(model, image, scratch))
}

/// [`float::Model::infer`], compiled for vectors that this processor has. The same bits: there is one order of
/// operations, and Rust does not fuse a multiplication and an addition.
// Inlined, it has been left without vectors by the compiler for one of its callers.
#[inline(never)]
pub fn infer<N: Network, M: Math>(
    model: &float::Model<'_, N, M>,
    image: &Image<N>,
    scratch: &mut float::Scratch<N>,
) -> Vector<N::Classes, f32> {
    struct Infer<'a, N: Network, M: Math>(
        &'a float::Model<'a, N, M>,
        &'a Image<N>,
        &'a mut float::Scratch<N>,
    );
    impl<N: Network, M: Math> NullaryFnOnce for Infer<'_, N, M> {
        type Output = Vector<N::Classes, f32>;
        // Into the function that has these vectors: a closure as large as this would not be.
        #[inline(always)]
        fn call(self) -> Self::Output {
            self.0.infer(self.1, self.2)
        }
    }
    arch().dispatch(Infer(model, image, scratch))
}

/// The vectors of the float engine, 256 bits where there are more: given AVX-512, the compiler gathers its operands from
/// all over the memory, and an image takes 30 times as long.
fn arch() -> Arch {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return Arch::V3(avx2);
    }
    Arch::new()
}

/// [`float::Model::infer_observed`], compiled once for a shape, whoever observes.
pub fn infer_observed<N: Network, M: Math>(
    model: &float::Model<'_, N, M>,
    image: &Image<N>,
    scratch: &mut float::Scratch<N>,
    mut observer: &mut dyn FnMut(Station, Values<'_>),
) -> Vector<N::Classes, f32> {
    model.infer_observed(image, scratch, &mut observer)
}

/// The logits of the first `images` images of `data` by the integer engine, in real numbers, `images x classes`, on
/// all threads.
pub fn int8_logits<N: Network>(model: &int8::Model<'_, N>, data: &Dataset, images: usize) -> Vec<f32> {
    each_image::<N, _, _>(data, images, int8::Scratch::new, |image, scratch| {
        model.to_real(&model.infer(image, scratch))
    })
}

/// The logits of the first `images` images of `data` by the integer engine, as they are, `images x classes`, on all
/// threads.
pub fn int8_raw_logits<N: Network>(model: &int8::Model<'_, N>, data: &Dataset, images: usize) -> Vec<i32> {
    each_image::<N, _, _>(data, images, int8::Scratch::new, |image, scratch| model.infer(image, scratch))
}

fn each_image<N: Network, T: Element, Scratch>(
    data: &Dataset,
    images: usize,
    scratch: impl Fn() -> Scratch + Sync,
    infer: impl Fn(&Image<N>, &mut Scratch) -> Vector<N::Classes, T> + Sync,
) -> Vec<T> {
    let mut logits = vec![T::ZERO; images * N::CLASSES];
    let jobs = logits.par_chunks_exact_mut(N::CLASSES).enumerate();
    jobs.for_each_init(
        || Box::new(scratch()),
        |scratch, (index, out)| {
            out.copy_from_slice(infer(view::<N>(data, index), scratch).as_ref());
        },
    );
    logits
}

/// Image `index` of `data` as the engine takes it.
///
/// # Panics
/// If the data set has images of another size than `N`; [`data::load`](crate::data::load) was told the size.
pub fn view<N: Network>(data: &Dataset, index: usize) -> &Image<N> {
    image::<N>(data.image(index)).expect("the data set was loaded for this shape")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        // Two classes, equal logits: the loss is ln 2; ties go to the lower class.
        let score = Score::new(&[0.0, 0.0, 0.0, 0.0], [0, 1].into_iter());
        assert!((score.loss - std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!((score.acc, score.top5), (50.0, 100.0));
        // Seven classes: the sixth likeliest is not among the five likeliest.
        let logits = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(Score::new(&logits, [5].into_iter()).top5, 0.0);
        assert_eq!(Score::new(&logits, [4].into_iter()).top5, 100.0);
        // Ten classes, equal logits: the first class is the likeliest, the first five are the five likeliest.
        let score = Score::new(&[0.25; 100], 0..10);
        assert_eq!((score.acc, score.top5), (10.0, 50.0));
    }

    #[test]
    fn logits_that_are_no_numbers() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        for logits in [[nan; 10], [[nan; 1].as_slice(), &[0.0; 9]].concat().try_into().unwrap()] {
            for label in [0, 9] {
                let score = Score::new(&logits, [label].into_iter());
                assert!((score.acc, score.top5) == (0.0, 0.0) && score.loss.is_nan(), "{score:?}");
            }
            assert!(check_logits(&logits, Path::new("x.vit")).is_err());
        }
        // Finite logits have a finite loss, and what is infinite cannot be hidden.
        let score = Score::new(&[f32::MAX, f32::MIN], [1].into_iter());
        assert!(score.loss > 6e38 && score.loss.is_finite(), "{score:?}");
        assert!(!Score::new(&[infinite, 0.0], [0].into_iter()).loss.is_finite());
        check_logits(&[f32::MAX, f32::MIN], Path::new("x.vit")).unwrap();
        let error = check_logits(&[0.0, infinite], Path::new("x.vit")).unwrap_err().to_string();
        assert!(error.starts_with("x.vit: the network's output is not a number (inf);"), "{error}");
    }
}
