//! From a camera's frame to an image, line by line.

use crate::{
    error::VitError,
    memory::{check, check_apart},
    model::VitModel,
};
use core::slice;
use vit_nostd::frame::{Frame, Input, PixelFormat, Resizer};

/// The encoding of the pixels of a frame: one of the constants below.
pub type VitPixelFormat = u32;

/// A byte for the grey level.
pub const VIT_GREY8: VitPixelFormat = 0;
/// Three bytes: red, green, blue.
pub const VIT_RGB888: VitPixelFormat = 1;
/// 5 bits of red, 6 of green and 5 of blue, from the highest bit to the lowest of a 16-bit number, low byte first.
pub const VIT_RGB565_LE: VitPixelFormat = 2;
/// The same number, high byte first.
pub const VIT_RGB565_BE: VitPixelFormat = 3;
/// YUV 4:2:2 as BT.601 defines it, in the limited range. Two pixels in four bytes: Y, U, Y, V.
pub const VIT_YUYV: VitPixelFormat = 4;
/// The same values in the order U, Y, V, Y.
pub const VIT_UYVY: VitPixelFormat = 5;

/// The frames of a camera.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VitFrame {
    /// The number of pixels in a line, from 1 to 4096.
    pub width: u32,
    /// The number of lines, from 1 to 4096.
    pub height: u32,
    /// The encoding of the pixels.
    pub format: VitPixelFormat,
}

/// A resizer that `vit_resizer_begin` has begun. Its content is private, and it must not be copied.
#[repr(C)]
pub union VitResizer {
    /// Aligns the resizer.
    align: u64,
    /// The content.
    words: [usize; 40],
}

/// The content of a [`VitResizer`].
#[repr(C)]
struct Begun {
    /// The number that tells a resizer which has begun from other memory.
    magic: u32,
    /// The addresses at which the sums and the image begin, each with the one at which it ends.
    buffers: [[usize; 2]; 2],
    resizer: Resizer<'static>,
}

const MAGIC: u32 = 0x5649_5403;

const _: () = assert!(size_of::<Begun>() <= size_of::<VitResizer>(), "there are too few words");
const _: () = assert!(align_of::<Begun>() <= align_of::<VitResizer>());

impl VitResizer {
    /// Returns the resizer that a C program passes.
    ///
    /// # Safety
    /// `resizer` is null, or points to as much readable memory as a resizer has. If it is a resizer, its buffers still
    /// exist, and nothing else uses them during `'a`.
    unsafe fn begun<'a>(resizer: *mut Self) -> Result<&'a mut Begun, VitError> {
        check(resizer, 1)?;
        let begun = resizer.cast::<Begun>();
        // SAFETY: The pointer is neither null nor misaligned, and the caller promises that the memory can be read. Only
        // the number is looked at before it is known that the rest is a resizer.
        if unsafe { (&raw const (*begun).magic).read() } != MAGIC {
            return Err(VitError::VIT_ERROR_NOT_BEGUN);
        }
        // SAFETY: `vit_resizer_begin` has written it, and the caller promises that nothing else uses it.
        Ok(unsafe { &mut *begun })
    }
}

fn pixel_format(format: VitPixelFormat) -> Result<PixelFormat, VitError> {
    Ok(match format {
        VIT_GREY8 => PixelFormat::Grey8,
        VIT_RGB888 => PixelFormat::Rgb888,
        VIT_RGB565_LE => PixelFormat::Rgb565Le,
        VIT_RGB565_BE => PixelFormat::Rgb565Be,
        VIT_YUYV => PixelFormat::Yuyv,
        VIT_UYVY => PixelFormat::Uyvy,
        _ => return Err(VitError::VIT_ERROR_PIXEL_FORMAT),
    })
}

/// Begins a frame, which becomes an image for a model: it is fitted like the pictures of the model's training, and its
/// pixels are converted. Give the lines of the frame to `vit_resizer_row` and call `vit_resizer_end`; then the image is
/// complete.
///
/// `sums` is memory that the resizer works in, and `image` is the image; `vit_network_sizes` and the network's header say
/// how large they are. Both must be in RAM, and no other code may use them before `vit_resizer_end`. What they contain
/// before does not matter.
///
/// If this fails, the resizer has not begun, even if it had begun a frame before.
///
/// # Safety
/// `resizer` can be written to. `model` is a model. The buffers have the given lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_resizer_begin(
    resizer: *mut VitResizer,
    model: *const VitModel,
    frame: VitFrame,
    sums: *mut u32,
    sums_count: usize,
    image: *mut u8,
    image_bytes: usize,
) -> VitError {
    let begin = || {
        let of_resizer = check(resizer, 1)?;
        let of_model = check(model, 1);
        if let Ok(of_model) = &of_model {
            check_apart([&of_resizer], [of_model])?;
        }
        // SAFETY: The pointer is neither null nor misaligned, and the caller promises that the memory can be written to.
        unsafe { (&raw mut (*resizer.cast::<Begun>()).magic).write(0) };
        // SAFETY: The caller promises what `header` needs.
        let header = unsafe { VitModel::header(model)? };
        let sizes = header.network.sizes;
        let of_sums = check(sums, sums_count)?;
        let of_image = check(image, image_bytes)?;
        check_apart([&of_resizer, &of_sums, &of_image], [&of_model?, &header.file()])?;
        let frame = Frame {
            width: frame.width as usize,
            height: frame.height as usize,
            format: pixel_format(frame.format)?,
        };
        let input = Input { height: sizes.height, width: sizes.width, channels: sizes.channels };
        if sums_count != input.sums() {
            return Err(VitError::VIT_ERROR_SUMS);
        }
        if image_bytes != input.bytes() {
            return Err(VitError::VIT_ERROR_IMAGE_SIZE);
        }
        // The buffers may be uninitialised, and there is no slice of uninitialised numbers.
        // SAFETY: The pointers and lengths have been checked, and the caller promises that the memory can be written to.
        // All of it is initialised then, nothing overlaps, and nothing else uses it before the resizer has ended.
        let (sums, image) = unsafe {
            sums.write_bytes(0, sums_count);
            image.write_bytes(0, image_bytes);
            (slice::from_raw_parts_mut(sums, sums_count), slice::from_raw_parts_mut(image, image_bytes))
        };
        let begun = Resizer::new(frame, header.fit, input, sums, image)?;
        let buffers = [&of_sums, &of_image].map(|range| [range.start, range.end]);
        // SAFETY: The pointer has been checked, and the caller promises that the memory can be written to.
        unsafe { resizer.cast::<Begun>().write(Begun { magic: MAGIC, buffers, resizer: begun }) };
        Ok(())
    };
    begin().into()
}

/// Takes the next line of the frame, from the top to the bottom: its width times the bytes of a pixel. The line is not
/// needed after this. A line of the wrong length is ignored.
///
/// # Safety
/// `resizer` is a resizer whose buffers still exist. `line` has `line_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_resizer_row(
    resizer: *mut VitResizer,
    line: *const u8,
    line_bytes: usize,
) -> VitError {
    let row = || {
        // SAFETY: The caller promises what `begun` needs.
        let begun = unsafe { VitResizer::begun(resizer)? };
        let [sums, image] = begun.buffers.map(|[start, end]| start..end);
        check_apart([&check(resizer, 1)?, &sums, &image], [&check(line, line_bytes)?])?;
        // SAFETY: The pointer and the length have been checked, and the caller promises that the memory can be read.
        let line = unsafe { slice::from_raw_parts(line, line_bytes) };
        Ok(begun.resizer.row(line)?)
    };
    row().into()
}

/// Ends a frame. The image is complete if this returns `VIT_OK`. In any case, the resizer has ended.
///
/// # Safety
/// `resizer` is a resizer whose buffers still exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vit_resizer_end(resizer: *mut VitResizer) -> VitError {
    let end = || {
        // SAFETY: The caller promises what `begun` needs.
        let begun = unsafe { VitResizer::begun(resizer)? };
        begun.magic = 0;
        // SAFETY: The resizer is moved out, and without its number nobody takes the memory for a resizer any more.
        Ok(unsafe { (&raw const begun.resizer).read() }.finish()?)
    };
    end().into()
}
