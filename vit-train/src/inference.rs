//! Running networks on whole data sets.

use crate::{
    data::Dataset,
    error::Error,
    network::{model::Model, Trainable},
};
use dfdx::prelude::Cpu;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;
use std::path::Path;
use vit_nostd::{
    float, float::math::Math, image, int8, model_file::Normalization, Element, Image, Network, Probe, Values,
    Vector,
};

/// The number of images in a batch of evaluation.
const BATCH: usize = 100;

/// Checks that the logits of the network in file `path` are finite numbers.
///
/// # Errors
/// Returns [`Error::Output`] for the first logit that is not.
pub(crate) fn check_logits(logits: &[f32], path: &Path) -> Result<(), Error> {
    match logits.iter().find(|logit| !logit.is_finite()) {
        Some(&logit) => Err(Error::Output { path: path.to_owned(), logit }),
        None => Ok(()),
    }
}

/// Normalises an image for the first layer of the network: `(level / 255 - mean) / std` in each of the channels, of
/// which `normalization` has one element each. The image has the channels of a pixel next to each other; the result has
/// one channel after the other, as PyTorch has them.
pub(crate) fn normalize<'a>(
    image: &'a [u8],
    normalization: &'a [Normalization],
) -> impl Iterator<Item = f32> + 'a {
    normalization.iter().enumerate().flat_map(move |(channel, &Normalization { mean, std })| {
        let levels = image.iter().skip(channel).step_by(normalization.len());
        levels.map(move |&level| (f32::from(level) / 255.0 - mean) / std)
    })
}

/// Computes the logits of the images `indices` of `data` by the dfdx model, `images x classes`, on all threads.
pub(crate) fn dfdx_logits(
    model: &Model<impl Trainable, Cpu>,
    normalization: &[Normalization],
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

/// Computes the logits of the first `images` images of `data` by the float engine, `images x classes`, on all threads.
pub fn nostd_logits<N: Network, M: Math>(
    model: &float::Model<'_, N, M>,
    data: &Dataset,
    images: usize,
) -> Vec<f32> {
    each_image::<N, _, _>(data, images, float::Scratch::new, |image, scratch| infer(model, image, scratch))
}

/// Calls [`float::Model::infer`], compiled for the vector instructions of this processor. The result is the same to the
/// bit, because the order of operations is fixed and Rust does not fuse multiplications and additions.
// It must not be inlined: in one of its callers, the compiler then did not vectorise it.
#[inline(never)]
pub(crate) fn infer<N: Network, M: Math>(
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
        // It must be inlined into the function that has the instruction set. A closure of this size would not be.
        #[inline(always)]
        fn call(self) -> Self::Output {
            self.0.infer(self.1, self.2)
        }
    }
    arch().dispatch(Infer(model, image, scratch))
}

/// Returns the instruction set for the float engine, whose vectors have at most 256 bits. With AVX-512, the compiler
/// generates gather instructions, and an image takes 30 times as long.
fn arch() -> Arch {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return Arch::V3(avx2);
    }
    Arch::new()
}

/// Calls [`float::Model::infer_observed`] with a dynamic observer, so that it is compiled only once for a network.
pub(crate) fn infer_observed<N: Network, M: Math>(
    model: &float::Model<'_, N, M>,
    image: &Image<N>,
    scratch: &mut float::Scratch<N>,
    mut observer: &mut dyn FnMut(Probe, Values<'_>),
) -> Vector<N::Classes, f32> {
    model.infer_observed(image, scratch, &mut observer)
}

/// Computes the logits of the first `images` images of `data` by the integer engine, dequantized, `images x classes`,
/// on all threads.
pub fn int8_logits<N: Network>(model: &int8::Model<'_, N>, data: &Dataset, images: usize) -> Vec<f32> {
    each_image::<N, _, _>(data, images, int8::Scratch::new, |image, scratch| {
        model.dequantize(&model.infer(image, scratch))
    })
}

/// Computes the logits of the first `images` images of `data` by the integer engine, as integers, `images x classes`,
/// on all threads.
pub(crate) fn int8_raw_logits<N: Network>(
    model: &int8::Model<'_, N>,
    data: &Dataset,
    images: usize,
) -> Vec<i32> {
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

/// Returns image `index` of `data` as an input of network `N`.
///
/// # Panics
/// Panics if the images of the data set do not have the size that `N` takes. [`data::load`](crate::data::load) only
/// returns images of the size that it was asked for.
pub fn view<N: Network>(data: &Dataset, index: usize) -> &Image<N> {
    image::<N>(data.image(index)).expect("the data set was loaded for this size of images")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_that_are_no_numbers() {
        for logits in [[f32::NAN, 0.0], [0.0, f32::INFINITY], [f32::NEG_INFINITY, 0.0]] {
            let error = check_logits(&logits, Path::new("x.vit")).unwrap_err().to_string();
            assert!(error.starts_with("x.vit: the network's output is not a number ("), "{error}");
        }
        check_logits(&[f32::MAX, f32::MIN], Path::new("x.vit")).unwrap();
    }
}
