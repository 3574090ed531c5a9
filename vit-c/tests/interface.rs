//! Calls the C interface as a C program would, and compares it with `vit_nostd`.

use core::{ffi::c_void, mem::MaybeUninit, ptr, slice, str};
use vit_c::*;
use vit_nostd::{
    frame::{Frame, Input, PixelFormat, Resizer},
    include_model,
    int8::{Model, Scratch},
    model_file::PREAMBLE_LEN,
    top_k, Nano, Network, Softmax,
};

static MODEL: &[u8] = include_model!("../../firmware-example/models/nano.int8.vit", Nano, Int8);

vit_c::export!(vit_nano: Nano);

/// Returns an opened model.
fn opened() -> VitModel {
    let mut model = MaybeUninit::uninit();
    // SAFETY: All pointers lead to what the function expects.
    let error = unsafe { vit_open(model.as_mut_ptr(), &vit_nano, MODEL.as_ptr(), MODEL.len()) };
    assert_eq!(error, VitError::VIT_OK);
    // SAFETY: The function has written the model.
    unsafe { model.assume_init() }
}

fn image(seed: usize) -> Vec<u8> {
    (0..Nano::DIMS.image_values()).map(|at| (at * (seed + 3) * 37 % 251) as u8).collect()
}

#[test]
fn inference_has_the_bits_of_the_library() {
    /// Checks that the steps come in their order.
    extern "C" fn observe(context: *mut c_void, done: u32, total: u32) {
        // SAFETY: The context is the one that is passed below.
        let last: &mut (u32, u32) = unsafe { &mut *context.cast() };
        assert_eq!(done, last.0 + 1);
        *last = (done, total);
    }
    let reference = Model::<Nano>::from_bytes(MODEL).unwrap();
    let model = opened();
    let bytes = vit_nano.sizes().scratch_bytes;
    let mut scratch = vec![MaybeUninit::<u64>::uninit(); bytes.div_ceil(8)];
    for seed in 0..5 {
        let image = image(seed);
        let expected = reference.infer(vit_nostd::image::<Nano>(&image).unwrap(), &mut Scratch::new());
        let mut progress = (0_u32, 0_u32);
        for observer in [None, Some(observe as unsafe extern "C" fn(*mut c_void, u32, u32))] {
            let mut logits = [i32::MAX; 10];
            // SAFETY: All pointers and lengths are correct, and the context is what the observer expects.
            let error = unsafe {
                vit_infer_observed(
                    &model,
                    image.as_ptr(),
                    image.len(),
                    scratch.as_mut_ptr().cast(),
                    bytes,
                    logits.as_mut_ptr(),
                    logits.len(),
                    observer,
                    (&raw mut progress).cast(),
                )
            };
            assert_eq!((error, logits), (VitError::VIT_OK, expected));
        }
        assert!(progress.0 == progress.1 && progress.0 > 100, "{progress:?}");

        let mut best = [VitPrediction { class_index: 99, probability: 9.0 }; 12];
        let mut probabilities = [9.0; 10];
        // SAFETY: All pointers and lengths are correct.
        unsafe {
            assert_eq!(vit_top_k(&model, expected.as_ptr(), 10, best.as_mut_ptr(), 12), VitError::VIT_OK);
            let error = vit_softmax(&model, expected.as_ptr(), probabilities.as_mut_ptr(), 10);
            assert_eq!(error, VitError::VIT_OK);
        }
        let real = reference.dequantize(&expected);
        let in_rust = top_k::<12>(&real).map(|best| (best.class, best.probability.to_bits()));
        assert_eq!(best.map(|best| (best.class_index, best.probability.to_bits())), in_rust);
        let softmax = Softmax::of(real.iter().copied());
        assert_eq!(probabilities, real.map(|logit| softmax.probability(logit)));
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn frames_become_the_images_of_the_library() {
    let model = opened();
    let fit = Model::<Nano>::from_bytes(MODEL).unwrap().metadata().fit;
    for (format, in_rust) in [
        (VIT_GREY8, PixelFormat::Grey8),
        (VIT_RGB888, PixelFormat::Rgb888),
        (VIT_RGB565_LE, PixelFormat::Rgb565Le),
        (VIT_RGB565_BE, PixelFormat::Rgb565Be),
        (VIT_YUYV, PixelFormat::Yuyv),
        (VIT_UYVY, PixelFormat::Uyvy),
    ] {
        let frame = Frame { width: 64, height: 48, format: in_rust };
        let lines: Vec<u8> = (0..frame.line_bytes() * 48).map(|at| (at * at % 253) as u8).collect();
        let (mut sums, mut expected) = ([0; 28], [0; 784]);
        let input = Input::of::<Nano>();
        let mut resizer = Resizer::new(frame, fit, input, &mut sums, &mut expected).unwrap();
        lines.chunks(frame.line_bytes()).for_each(|line| resizer.row(line).unwrap());
        resizer.finish().unwrap();

        let (mut sums, mut image) = (MaybeUninit::<[u32; 28]>::uninit(), MaybeUninit::<[u8; 784]>::uninit());
        let mut resizer = MaybeUninit::<VitResizer>::uninit();
        let frame = VitFrame { width: 64, height: 48, format };
        // SAFETY: All pointers and lengths are correct, and the resizer has written the image at its end.
        let image = unsafe {
            let (sums, image) = (sums.as_mut_ptr().cast(), image.as_mut_ptr().cast());
            let error = vit_resizer_begin(resizer.as_mut_ptr(), &model, frame, sums, 28, image, 784);
            assert_eq!(error, VitError::VIT_OK);
            for line in lines.chunks(lines.len() / 48) {
                let error = vit_resizer_row(resizer.as_mut_ptr(), line.as_ptr(), line.len());
                assert_eq!(error, VitError::VIT_OK);
            }
            assert_eq!(vit_resizer_end(resizer.as_mut_ptr()), VitError::VIT_OK);
            assert_eq!(vit_resizer_end(resizer.as_mut_ptr()), VitError::VIT_ERROR_NOT_BEGUN);
            slice::from_raw_parts(image, 784)
        };
        assert!(image == expected, "{in_rust:?}");
    }
}

/// A file with a wrong field and the checksum of its content is refused, too.
#[test]
fn a_wrong_field_is_an_error_even_if_the_checksum_is_correct() {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut errors = Vec::new();
    for offset in 0..PREAMBLE_LEN {
        let mut file = vec![0_u128; MODEL.len().div_ceil(16)];
        let file: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut file)[..MODEL.len()];
        file.copy_from_slice(MODEL);
        file[offset] ^= 0x80;
        let (content, checksum) = file.split_last_chunk_mut::<4>().unwrap();
        *checksum = crc.checksum(content).to_le_bytes();
        let mut model = MaybeUninit::<VitModel>::uninit();
        // SAFETY: All pointers and lengths are correct.
        errors.push(unsafe { vit_open(model.as_mut_ptr(), &vit_nano, file.as_ptr(), file.len()) });
    }
    assert!(!errors.contains(&VitError::VIT_OK), "{errors:?}");
    for error in [
        VitError::VIT_ERROR_NO_MODEL,
        VitError::VIT_ERROR_FORMAT_VERSION,
        VitError::VIT_ERROR_KIND,
        VitError::VIT_ERROR_UNSUPPORTED,
        VitError::VIT_ERROR_SHAPE,
        VitError::VIT_ERROR_FILE_LENGTH,
        VitError::VIT_ERROR_CONTENT,
    ] {
        assert!(errors.contains(&error), "no {error:?} among {errors:?}");
    }
}

#[test]
fn labels_are_those_of_the_model() {
    let model = opened();
    let labels = Model::<Nano>::from_bytes(MODEL).unwrap();
    for (class, expected) in labels.metadata().labels().enumerate() {
        let (mut label, mut bytes) = (ptr::null(), 0);
        // SAFETY: The pointers are correct, and the label is part of the model file.
        let label = unsafe {
            assert_eq!(vit_label(&model, class, &mut label, &mut bytes), VitError::VIT_OK);
            slice::from_raw_parts(label.cast::<u8>(), bytes)
        };
        assert_eq!(str::from_utf8(label), Ok(expected));
    }
}
