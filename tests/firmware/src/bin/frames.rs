//! Resizes frames from the host and returns every byte of the images, so that the host can compare them with its own.
//!
//! The data are files, over semihosting:
//!
//! - `frames.bin` has the frames, one after the other: seven numbers of 16 bits, little-endian, and the pixels. The
//!   numbers are the index of the format in [`FORMATS`], the index of the fit in [`FITS`], the frame's width and
//!   height, and the input's height, width and channels.
//! - `images.bin` is the answer: the bytes of all images.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use semihosting::{
    fs::File,
    io::{Read, Write},
};
use test_firmware::bits::expect;
use vit_boards::exit;
use vit_nostd::frame::{
    Fit, Frame, FrameError, Input,
    PixelFormat::{self, *},
    Resizer,
};

const FORMATS: [PixelFormat; 6] = [Grey8, Rgb888, Rgb565Le, Rgb565Be, Yuyv, Uyvy];
const FITS: [Fit; 3] = [Fit::Stretch, Fit::Crop, Fit::Pad];

#[entry]
fn main() -> ! {
    let mut frames = expect(File::open(c"frames.bin"), "opening frames.bin");
    let mut images = expect(File::create(c"images.bin"), "creating images.bin");
    let mut left = expect(frames.metadata(), "sizing frames.bin").len() as usize;
    while left > 0 {
        let numbers: [usize; 7] = core::array::from_fn(|_| {
            let mut bytes = [0; 2];
            expect(frames.read_exact(&mut bytes), "reading frames.bin");
            u16::from_le_bytes(bytes).into()
        });
        let [format, fit, width, height, input_height, input_width, channels] = numbers;
        let frame = Frame { width, height, format: FORMATS[format] };
        let input = Input { height: input_height, width: input_width, channels };
        left -= 2 * numbers.len() + height * frame.line_bytes();
        if resize(frame, FITS[fit], input, &mut frames, &mut images).is_err() {
            defmt::panic!("{}, {} was refused", frame, input);
        }
    }
    exit(0)
}

/// Reads the lines of a frame, and writes the image.
fn resize(
    frame: Frame,
    fit: Fit,
    input: Input,
    frames: &mut File,
    images: &mut File,
) -> Result<(), FrameError> {
    // A frame has lines of at most 1024 bytes, and an input at most 32 x 32 pixels in colour.
    let (mut line, mut sums, mut image) = ([0; 1024], [0; 32 * 3], [0; 32 * 32 * 3]);
    let (line, image) = (&mut line[..frame.line_bytes()], &mut image[..input.bytes()]);
    let mut resizer = Resizer::new(frame, fit, input, &mut sums[..input.sums()], image)?;
    for _ in 0..frame.height {
        expect(frames.read_exact(line), "reading frames.bin");
        resizer.row(line)?;
    }
    resizer.finish()?;
    expect(images.write_all(image), "writing images.bin");
    Ok(())
}
