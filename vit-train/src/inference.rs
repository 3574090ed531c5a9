//! Running networks over whole data sets.

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

/// Images in a batch of evaluation.
const BATCH: usize = 100;

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
    mut observer: &mut dyn FnMut(Probe, Values<'_>),
) -> Vector<N::Classes, f32> {
    model.infer_observed(image, scratch, &mut observer)
}

/// The logits of the first `images` images of `data` by the integer engine, in real numbers, `images x classes`, on
/// all threads.
pub fn int8_logits<N: Network>(model: &int8::Model<'_, N>, data: &Dataset, images: usize) -> Vec<f32> {
    each_image::<N, _, _>(data, images, int8::Scratch::new, |image, scratch| {
        model.dequantize(&model.infer(image, scratch))
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
    fn logits_that_are_no_numbers() {
        for logits in [[f32::NAN, 0.0], [0.0, f32::INFINITY], [f32::NEG_INFINITY, 0.0]] {
            let error = check_logits(&logits, Path::new("x.vit")).unwrap_err().to_string();
            assert!(error.starts_with("x.vit: the network's output is not a number ("), "{error}");
        }
        check_logits(&[f32::MAX, f32::MIN], Path::new("x.vit")).unwrap();
    }
}
