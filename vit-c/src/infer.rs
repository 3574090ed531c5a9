//! Inference.

use crate::{
    error::VitError,
    memory::{check, check_apart, check_layout},
    model::VitModel,
};
use core::{ffi::c_void, mem::MaybeUninit, slice};
use vit_nostd::{image, int8::Scratch, Network};

/// A function that is called again and again during an inference, to feed a watchdog or to show the progress: `done` of
/// `total` steps are done. `context` is what `vit_infer_observed` was given. Steps differ in length, and several calls may
/// follow each other at once: for a network like `nano`, the longest step takes five times as long as the average. The
/// function must return: neither longjmp nor an exception may leave it.
pub type VitObserver = Option<unsafe extern "C" fn(context: *mut c_void, done: u32, total: u32)>;

/// The progress of an inference, and who wants to know about it.
pub(crate) struct Progress {
    observer: VitObserver,
    context: *mut c_void,
    done: u32,
    total: u32,
}

impl Progress {
    fn step(&mut self) {
        self.done += 1;
        if let Some(observer) = self.observer {
            // SAFETY: The caller of `vit_infer_observed` promises that the function may be called.
            unsafe { observer(self.context, self.done, self.total) };
        }
    }
}

/// The alignment of the scratch memory that C programs provide, which is that of the type in the network's header.
const SCRATCH_ALIGN: usize = 8;

/// The number of bytes that the scratch memory has in addition, because its first address with the alignment of
/// `Scratch<N>` may come later. This is 0 on chips. The vectors of a PC have a larger alignment.
pub(crate) const fn scratch_padding<N: Network>() -> usize {
    align_of::<Scratch<N>>().saturating_sub(SCRATCH_ALIGN)
}

/// The type of [`infer`].
pub(crate) type Infer = unsafe fn(*const VitModel, &[u8], *mut u8, &mut [i32], &mut Progress);

/// Classifies an image with a model of network `N`. Nothing happens if the image is not one of the network's.
///
/// # Safety
/// `model` holds an opened model of network `N`. `scratch` is aligned to [`SCRATCH_ALIGN`] and has the size of
/// `Scratch<N>` with its [padding](scratch_padding), and nothing else uses this memory.
pub(crate) unsafe fn infer<N: Network>(
    model: *const VitModel,
    pixels: &[u8],
    scratch: *mut u8,
    logits: &mut [i32],
    progress: &mut Progress,
) {
    // SAFETY: The caller promises it.
    let model = unsafe { VitModel::model::<N>(model) };
    let Some(image) = image::<N>(pixels) else { return };
    let skipped = match scratch_padding::<N>() {
        0 => 0,
        _ => scratch.addr().wrapping_neg() % align_of::<Scratch<N>>(),
    };
    // SAFETY: The caller promises that there are as many bytes as may be skipped in addition to those of a `Scratch<N>`,
    // which is aligned after them. Memory that may be uninitialised may have any content.
    let scratch = unsafe { &mut *scratch.add(skipped).cast::<MaybeUninit<Scratch<N>>>() };
    let scratch = scratch.write(Scratch::new());
    let result = model.infer_observed(image, scratch, &mut |_, _: vit_nostd::Values<'_>| progress.step());
    for (logit, &result) in logits.iter_mut().zip(result.as_ref()) {
        *logit = result;
    }
}

/// Classifies an image: writes one logit for each class. The class with the largest logit is the likeliest one.
///
/// The image has `height * width * channels` bytes: row by row, pixel by pixel, and red, green, blue of a pixel next to
/// each other, or one grey level. It may be in flash or in RAM. The scratch memory must be in RAM, as large as
/// `vit_network_sizes` and the network's header say, and aligned to 8 bytes. What it contains before does not matter, and
/// other code may use it between two inferences. The logits must be in RAM.
///
/// # Safety
/// `model` is a model whose file still exists. The buffers have the given lengths, and no other code uses them during the
/// call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_infer(
    model: *const VitModel,
    image: *const u8,
    image_bytes: usize,
    scratch: *mut c_void,
    scratch_bytes: usize,
    logits: *mut i32,
    classes: usize,
) -> VitError {
    // SAFETY: The caller promises the same.
    unsafe {
        vit_infer_observed(
            model,
            image,
            image_bytes,
            scratch,
            scratch_bytes,
            logits,
            classes,
            None,
            core::ptr::null_mut(),
        )
    }
}

/// Does the same as `vit_infer`, and calls `observer` after each step, unless it is null.
///
/// # Safety
/// The conditions are those of `vit_infer`. In addition, `observer` may be called with `context`, and it does not touch
/// the buffers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_infer_observed(
    model: *const VitModel,
    image: *const u8,
    image_bytes: usize,
    scratch: *mut c_void,
    scratch_bytes: usize,
    logits: *mut i32,
    classes: usize,
    observer: VitObserver,
    context: *mut c_void,
) -> VitError {
    let infer = || {
        // SAFETY: The caller promises what `header` needs.
        let header = unsafe { VitModel::header(model)? };
        let network = header.network;
        let sizes = network.sizes;
        let of_image = check(image, image_bytes)?;
        let of_scratch = check_layout(scratch.cast(), SCRATCH_ALIGN, Some(scratch_bytes))?;
        let of_logits = check(logits, classes)?;
        check_apart([&of_scratch, &of_logits], [&check(model, 1)?, &header.file(), &of_image])?;
        if image_bytes != sizes.image_bytes {
            return Err(VitError::VIT_ERROR_IMAGE_SIZE);
        }
        if scratch_bytes < sizes.scratch_bytes {
            return Err(VitError::VIT_ERROR_SCRATCH_SIZE);
        }
        if classes != sizes.classes {
            return Err(VitError::VIT_ERROR_CLASSES);
        }
        // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be read.
        let image = unsafe { slice::from_raw_parts(image, image_bytes) };
        // The logits may be uninitialised, and there is no slice of uninitialised numbers.
        for class in 0..classes {
            // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be
            // written to.
            unsafe { logits.add(class).write(0) };
        }
        // SAFETY: The same holds, the logits are initialised, and no other buffer overlaps them.
        let logits = unsafe { slice::from_raw_parts_mut(logits, classes) };
        let mut progress = Progress { observer, context, done: 0, total: network.steps };
        // SAFETY: The model is open, and the function is that of its network. The size and the alignment of the scratch
        // memory have been checked, it overlaps no other buffer, and the caller promises that nothing else uses it.
        unsafe { (network.infer)(model, image, scratch.cast(), logits, &mut progress) };
        Ok(())
    };
    infer().into()
}
