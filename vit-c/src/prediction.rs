//! Classes and probabilities from logits.

use crate::{
    error::VitError,
    memory::{check, check_apart},
    model::VitModel,
};
use core::{mem::offset_of, ops::Range, slice};
use vit_nostd::{rank, Prediction, Softmax};

/// A class and its probability.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VitPrediction {
    /// The index of the class.
    pub class_index: usize,
    /// The probability, from 0 to 1: the softmax of the logits.
    pub probability: f32,
}

// `vit_top_k` takes the one for the other.
const _: () = {
    assert!(size_of::<VitPrediction>() == size_of::<Prediction>());
    assert!(align_of::<VitPrediction>() == align_of::<Prediction>());
    assert!(offset_of!(VitPrediction, class_index) == offset_of!(Prediction, class));
    assert!(offset_of!(VitPrediction, probability) == offset_of!(Prediction, probability));
};

/// Returns the logits of a model as real numbers, in their order, and the addresses of the model file.
///
/// # Safety
/// `model` is a model whose file still exists, and `logits` has `classes` numbers.
unsafe fn real_logits<'a>(
    model: *const VitModel,
    logits: *const i32,
    classes: usize,
) -> Result<(impl Iterator<Item = f32> + Clone + 'a, Range<usize>), VitError> {
    // SAFETY: The caller promises what `header` needs.
    let header = unsafe { VitModel::header(model)? };
    check(logits, classes)?;
    if classes != header.network.sizes.classes {
        return Err(VitError::VIT_ERROR_CLASSES);
    }
    // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be read.
    let logits: &'a [i32] = unsafe { slice::from_raw_parts(logits, classes) };
    let scale = header.logit_scale;
    Ok((logits.iter().map(move |&logit| logit as f32 * scale), header.file()))
}

/// Writes the probability of each class, from 0 to 1: the softmax of the logits. The sum of all is 1, up to rounding.
///
/// # Safety
/// `model` is a model whose file still exists. `logits` and `probabilities` have `classes` numbers each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_softmax(
    model: *const VitModel,
    logits: *const i32,
    probabilities: *mut f32,
    classes: usize,
) -> VitError {
    let write = || {
        // SAFETY: The caller promises what `real_logits` needs.
        let (real, file) = unsafe { real_logits(model, logits, classes)? };
        check_apart([&check(probabilities, classes)?], [&check(model, 1)?, &file, &check(logits, classes)?])?;
        let softmax = Softmax::of(real.clone());
        for (class, logit) in real.enumerate() {
            // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be
            // written to.
            unsafe { probabilities.add(class).write(softmax.probability(logit)) };
        }
        Ok(())
    };
    write().into()
}

/// Writes the `k` likeliest classes, likeliest first. Among classes with equal logits, the lower index comes first. If
/// there are fewer classes than `k`, the remaining places hold class 0 with probability 0.
///
/// # Safety
/// `model` is a model whose file still exists. `logits` has `classes` numbers, and `best` has `k` predictions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_top_k(
    model: *const VitModel,
    logits: *const i32,
    classes: usize,
    best: *mut VitPrediction,
    k: usize,
) -> VitError {
    let write = || {
        // SAFETY: The caller promises what `real_logits` needs.
        let (real, file) = unsafe { real_logits(model, logits, classes)? };
        check_apart([&check(best, k)?], [&check(model, 1)?, &file, &check(logits, classes)?])?;
        for place in 0..k {
            // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be
            // written to.
            unsafe { best.add(place).write(VitPrediction { class_index: 0, probability: 0.0 }) };
        }
        // SAFETY: The same holds, the predictions are initialised, and a prediction in C has the layout of one in Rust.
        rank(real, unsafe { slice::from_raw_parts_mut(best.cast::<Prediction>(), k) });
        Ok(())
    };
    write().into()
}
