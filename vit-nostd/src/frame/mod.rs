//! From a camera's frame to a network's input, line by line and in integers.
//!
//! A [`Resizer`] takes the lines of a frame in the order in which a camera delivers them, so that the frame itself never
//! has to be in memory. It cuts out or pads the frame ([`Fit`]), converts its pixels ([`PixelFormat`]) to grey or RGB,
//! and averages the part of the frame that each pixel of the input covers. The same formula enlarges a frame that is
//! smaller than the input. The arithmetic is specified in NUMERICS.md. Every machine computes the same bytes.
//!
//! Apart from the input itself, this needs a sum for each channel of each pixel in a row of the input ([`Sums`]), and
//! some hundred bytes of stack. [`Resizer::for_network`] makes the input of a network, and [`Resizer::new`] one whose
//! sizes are given as numbers.
//!
//! This example reads a frame of 320 x 240 pixels in RGB 565 for a network whose input has 32 x 32 pixels in colour:
//!
//! ```
//! use vit_nostd::frame::{Fit, Frame, FrameError, PixelFormat, Resizer, Sums};
//! use vit_nostd::{network, Element, Image};
//!
//! network! {
//!     Gestures { image: [32, 32, 3], patch: 8, embed: 64, heads: 4, hidden: 128, depth: 6, classes: 5 }
//! }
//!
//! const FRAME: Frame = Frame { width: 320, height: 240, format: PixelFormat::Rgb565Le };
//!
//! /// Reads a frame from the camera into the network's input.
//! fn capture(
//!     mut next_line: impl FnMut(&mut [u8]),
//!     image: &mut Image<Gestures>,
//! ) -> Result<(), FrameError> {
//!     let mut sums = Sums::<Gestures>::ZERO;
//!     let mut resizer = Resizer::for_network::<Gestures>(FRAME, Fit::Crop, &mut sums, image)?;
//!     let mut line = [0; FRAME.line_bytes()];
//!     for _ in 0..FRAME.height {
//!         next_line(&mut line);
//!         resizer.row(&line)?;
//!     }
//!     resizer.finish()
//! }
//!
//! let mut image = Image::<Gestures>::ZERO;
//! capture(|line| line.fill(0xFF), &mut image)?; // a white frame
//! assert_eq!(image, [[[255; 3]; 32]; 32]);
//! # Ok::<(), FrameError>(())
//! ```
//!
//! If the format is a constant, as here, link-time optimisation removes the code of all other formats.

mod error;
mod fit;
mod pixels;

pub use error::FrameError;
pub use fit::{Fit, MAX_SIDE};
pub use pixels::PixelFormat;

use crate::{
    network::{Image, Network},
    shape::Matrix,
};
use core::{num::NonZeroU32, ops::Range};
use fit::Axis;
use pixels::{grey_of_luma, grey_of_rgb, one_by_one, packed_565, rgb_of_565, Paired, Pixels, Single};

// A pixel of the input consists of as many units of area as the view has pixels. Its largest sum, with half the area for
// the rounding, fits 32 bits.
const _: () = assert!(255 * MAX_SIDE.pow(2) + MAX_SIDE.pow(2) / 2 <= u32::MAX as usize);

/// The frames of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame {
    /// The number of pixels in a line, from 1 to [`MAX_SIDE`].
    pub width: usize,
    /// The number of lines, from 1 to [`MAX_SIDE`].
    pub height: usize,
    /// The bytes of a pixel.
    pub format: PixelFormat,
}

impl Frame {
    /// Returns the number of bytes in a line.
    pub const fn line_bytes(self) -> usize {
        self.width * self.format.bytes()
    }
}

/// The dimensions of a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Input {
    /// The number of rows, from 1 to [`MAX_SIDE`].
    pub height: usize,
    /// The number of pixels in a row, from 1 to [`MAX_SIDE`].
    pub width: usize,
    /// The number of channels: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

/// Memory for the sums of one row of the input of network `N`, for [`Resizer::for_network`].
pub type Sums<N> = Matrix<<N as Network>::Width, <N as Network>::Channels, u32>;

impl Input {
    /// Returns the dimensions of the input of network `N`.
    pub const fn of<N: Network>() -> Self {
        Self { height: N::HEIGHT, width: N::WIDTH, channels: N::CHANNELS }
    }

    /// Returns the number of sums that a [`Resizer`] needs: one for each channel of each pixel in a row.
    pub const fn sums(self) -> usize {
        self.width * self.channels
    }

    /// Returns the number of bytes: one for each channel of each pixel.
    pub const fn bytes(self) -> usize {
        self.height * self.sums()
    }
}

/// Fits one frame to the input of a network. The [module](self) has an example.
#[derive(Debug)]
pub struct Resizer<'a> {
    frame: Frame,
    channels: usize,
    columns: Axis,
    rows: Axis,
    /// The units of area of a pixel of the input.
    area: NonZeroU32,
    /// The sums of the current row of the input.
    sums: &'a mut [u32],
    image: &'a mut [u8],
    /// The index in `image` at which the current row begins.
    begin: usize,
    /// The units of the current row's height that no line has covered yet.
    uncovered: u32,
    /// The number of lines so far.
    lines: usize,
}

impl<'a> Resizer<'a> {
    /// Prepares for a frame. The result is written into `image`, [`Input::bytes`] bytes in the order height, width,
    /// channels. `sums` is memory for [`Input::sums`] sums. What both contain before does not matter.
    ///
    /// # Errors
    /// If the frame or the input has an impossible size, or a slice has the wrong length.
    pub fn new(
        frame: Frame,
        fit: Fit,
        input: Input,
        sums: &'a mut [u32],
        image: &'a mut [u8],
    ) -> Result<Self, FrameError> {
        let of_frame = sides([frame.width, frame.height])?;
        let of_input = sides([input.width, input.height])?;
        let of_view = sides(fit.view(of_frame, of_input).map(|side| side as usize))?;
        if !matches!(input.channels, 1 | 3) {
            return Err(FrameError::Channels { found: input.channels });
        }
        if frame.format.is_yuv() && !frame.width.is_multiple_of(2) {
            return Err(FrameError::OddWidth { found: frame.width });
        }
        if sums.len() != input.sums() {
            return Err(FrameError::SumsLength { expected: input.sums(), actual: sums.len() });
        }
        if image.len() != input.bytes() {
            return Err(FrameError::ImageLength { expected: input.bytes(), actual: image.len() });
        }
        sums.fill(0);
        image.fill(0); // Rows in the padding stay black.
        let ([frame_width, frame_height], [width, height], [input_width, input_height]) =
            (of_frame, of_view, of_input);
        let columns = Axis::new(frame_width, width, input_width);
        let rows = Axis::new(frame_height, height, input_height);
        Ok(Self {
            frame,
            channels: input.channels,
            area: width.saturating_mul(height),
            begin: rows.begin * sums.len(),
            uncovered: rows.uncovered,
            columns,
            rows,
            sums,
            image,
            lines: 0,
        })
    }

    /// Prepares for a frame whose result is an image of network `N`. [`Metadata::fit`](crate::model_file::Metadata::fit)
    /// says how the network's training pictures were fitted.
    ///
    /// # Errors
    /// If the frame has an impossible size, or the network's input is larger than [`MAX_SIDE`].
    pub fn for_network<N: Network>(
        frame: Frame,
        fit: Fit,
        sums: &'a mut Sums<N>,
        image: &'a mut Image<N>,
    ) -> Result<Self, FrameError> {
        let sums = bytemuck::cast_slice_mut(sums.as_mut());
        Self::new(frame, fit, Input::of::<N>(), sums, bytemuck::bytes_of_mut(image))
    }

    /// Takes the next line of the frame, from the top to the bottom: [`Frame::line_bytes`] bytes.
    ///
    /// # Errors
    /// If the line has the wrong length, or if all lines of the frame were already given. The line is ignored then.
    pub fn row(&mut self, line: &[u8]) -> Result<(), FrameError> {
        if self.lines == self.frame.height {
            return Err(FrameError::TooManyLines { expected: self.frame.height });
        }
        let expected = self.frame.line_bytes();
        if line.len() != expected {
            return Err(FrameError::LineLength { expected, actual: line.len() });
        }
        if self.rows.shown.contains(&self.lines) {
            let mut height = self.rows.frame_pixel;
            while height > 0 {
                let covered = height.min(self.uncovered);
                self.add(line, covered);
                height -= covered;
                self.uncovered -= covered;
                if self.uncovered == 0 {
                    self.end_row();
                }
            }
        }
        self.lines += 1;
        // Padding covers the rest of a row.
        if self.lines == self.rows.shown.end && self.uncovered < self.rows.input_pixel {
            self.end_row();
        }
        Ok(())
    }

    /// Ends the frame. The image is complete if this returns no error.
    ///
    /// # Errors
    /// If the frame has more lines than the resizer was given.
    pub fn finish(self) -> Result<(), FrameError> {
        let expected = self.frame.height;
        if self.lines == expected {
            Ok(())
        } else {
            Err(FrameError::MissingLines { expected, actual: self.lines })
        }
    }

    /// Adds a line, which covers `height` units of the current row.
    fn add(&mut self, line: &[u8], height: u32) {
        use PixelFormat::*;
        let (columns, sums) = (&self.columns, &mut *self.sums);
        macro_rules! add {
            ($pixels:ident, $by:expr) => {
                add(columns, sums, height, |shown| $pixels::new(line, shown, $by))
            };
        }
        match (self.frame.format, self.channels) {
            (Grey8, 1) => add!(Single, one_by_one(|[grey]: [u8; 1]| [grey.into()])),
            (Grey8, _) => add!(Single, one_by_one(|[grey]: [u8; 1]| [grey.into(); 3])),
            (Rgb888, 1) => add!(Single, one_by_one(|rgb: [u8; 3]| grey_of_rgb(rgb.map(u32::from)))),
            (Rgb888, _) => add!(Single, one_by_one(|rgb: [u8; 3]| rgb.map(u32::from))),
            (Rgb565Le, 1) => add!(Single, one_by_one(|n| grey_of_rgb(rgb_of_565(u16::from_le_bytes(n))))),
            (Rgb565Le, _) => add!(Single, packed_565(u16::from_le_bytes)),
            (Rgb565Be, 1) => add!(Single, one_by_one(|n| grey_of_rgb(rgb_of_565(u16::from_be_bytes(n))))),
            (Rgb565Be, _) => add!(Single, packed_565(u16::from_be_bytes)),
            (Yuyv, 1) => add!(Single, one_by_one(|[y, _]: [u8; 2]| grey_of_luma(y))),
            (Yuyv, _) => add!(Paired, |yuyv: [u8; 4]| yuyv),
            (Uyvy, 1) => add!(Single, one_by_one(|[_, y]: [u8; 2]| grey_of_luma(y))),
            (Uyvy, _) => add!(Paired, |[u, first, v, second]: [u8; 4]| [first, u, second, v]),
        }
    }

    /// Writes the current row of the input, and begins the next one.
    fn end_row(&mut self) {
        let image = self.image.get_mut(self.begin..).unwrap_or_default();
        match self.channels {
            1 => write::<1>(self.sums, self.area, image),
            _ => write::<3>(self.sums, self.area, image),
        }
        self.begin += self.sums.len();
        self.uncovered = self.rows.input_pixel;
    }
}

/// Writes the levels of a row with these sums, and clears the sums.
fn write<const CHANNELS: usize>(sums: &mut [u32], area: NonZeroU32, image: &mut [u8]) {
    let half = area.get() / 2;
    let mut before = [0; CHANNELS];
    for (levels, sums) in image.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(sums.as_chunks_mut().0) {
        for ((level, sum), before) in levels.iter_mut().zip(*sums).zip(before) {
            *level = ((sum.wrapping_sub(before) + half) / area) as u8;
        }
        before = *sums;
        *sums = [0; CHANNELS];
    }
}

/// Returns a width and a height if they are possible.
fn sides([width, height]: [usize; 2]) -> Result<[NonZeroU32; 2], FrameError> {
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(FrameError::TooLarge { width, height });
    }
    match (NonZeroU32::new(width as u32), NonZeroU32::new(height as u32)) {
        (Some(width), Some(height)) => Ok([width, height]),
        _ => Err(FrameError::NoPixels),
    }
}

/// Adds a line, which covers `height` units of a row of the input, to the sums of that row: to each sum the integral of
/// the line from its left end to the right end of the sum's pixel.
///
/// The sum of a pixel alone is the difference of two neighbours. It is less than 2^32, and so it is right although the
/// sums may wrap.
#[inline(never)] // Inlined, the loop would share registers with its caller, and take more instructions.
fn add<const CHANNELS: usize, P: Pixels<CHANNELS>>(
    columns: &Axis,
    sums: &mut [u32],
    height: u32,
    pixels: impl FnOnce(Range<usize>) -> P,
) {
    let mut pixels = pixels(columns.shown.clone());
    let sums = sums.as_chunks_mut::<CHANNELS>().0.get_mut(columns.begin..).unwrap_or_default();
    let frame_pixel = height * columns.frame_pixel;
    // From the end of one pixel of the input to that of the next, `count` pixels of the frame end, and the area `part`
    // of another one is covered.
    let (mut count, mut part) = (columns.first.0, height * columns.first.1);
    let (step, rest) = (columns.step.0, height * columns.step.1);
    let mut levels = [0; CHANNELS];
    for sums in sums {
        pixels.take(count, &mut levels);
        for (sum, level) in sums.iter_mut().zip(levels) {
            *sum = sum.wrapping_add(frame_pixel.wrapping_mul(level));
        }
        if part > 0 {
            for (sum, level) in sums.iter_mut().zip(pixels.peek()) {
                *sum = sum.wrapping_add(part * level);
            }
        }
        count = step;
        part += rest;
        if part >= frame_pixel {
            part -= frame_pixel;
            count += 1;
        }
    }
}
