//! The pixels of a camera, and their conversion to grey or RGB.
//!
//! Pixels are converted and added in one loop, so that no line of converted pixels is kept.

use core::ops::Range;

/// The encoding of the pixels of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PixelFormat {
    /// A byte for the grey level.
    Grey8,
    /// Three bytes: red, green, blue.
    Rgb888,
    /// 5 bits of red, 6 of green and 5 of blue, from the highest bit to the lowest of a 16-bit number, whose low byte
    /// comes first.
    Rgb565Le,
    /// The same number as [`PixelFormat::Rgb565Le`], whose high byte comes first.
    Rgb565Be,
    /// Two pixels in four bytes: luma of the first, U (Cb), luma of the second, V (Cr), as BT.601 defines them, in the
    /// limited range: luma from 16 to 235, U and V from 16 to 240. A line has an even number of pixels.
    Yuyv,
    /// The same values as [`PixelFormat::Yuyv`] in the order U, luma of the first pixel, V, luma of the second.
    Uyvy,
}

impl PixelFormat {
    /// Returns the number of bytes of a pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Grey8 => 1,
            Self::Rgb888 => 3,
            Self::Rgb565Le | Self::Rgb565Be | Self::Yuyv | Self::Uyvy => 2,
        }
    }

    pub(super) const fn is_yuv(self) -> bool {
        matches!(self, Self::Yuyv | Self::Uyvy)
    }
}

/// The pixels of a line, from left to right, as levels from 0 to 255 in each channel.
pub(super) trait Pixels<const CHANNELS: usize> {
    /// Takes this many pixels, or all that are left if these are fewer, and adds their levels to `sums`.
    fn take(&mut self, count: usize, sums: &mut [u32; CHANNELS]);

    /// Returns the next pixel without taking it, or black if none is left.
    fn peek(&self) -> [u32; CHANNELS];
}

/// Pixels with their own bytes.
pub(super) struct Single<'a, const BYTES: usize, F> {
    pixels: &'a [[u8; BYTES]],
    sum: F,
}

impl<'a, const BYTES: usize, F> Single<'a, BYTES, F> {
    /// Returns the pixels `shown` of a line. `sum` converts at most eight pixels and returns their sum.
    pub(super) fn new(line: &'a [u8], shown: Range<usize>, sum: F) -> Self {
        Self { pixels: line.as_chunks().0.get(shown).unwrap_or_default(), sum }
    }

    /// Takes `GROUP` pixels, or none if fewer are left, and returns whether it did.
    fn take_group<const GROUP: usize, const CHANNELS: usize>(&mut self, sums: &mut [u32; CHANNELS]) -> bool
    where
        F: Fn(&[[u8; BYTES]]) -> [u32; CHANNELS],
    {
        let Some((&group, rest)) = self.pixels.split_first_chunk::<GROUP>() else { return false };
        self.pixels = rest;
        add(sums, (self.sum)(&group));
        true
    }
}

impl<const BYTES: usize, const CHANNELS: usize, F> Pixels<CHANNELS> for Single<'_, BYTES, F>
where
    F: Fn(&[[u8; BYTES]]) -> [u32; CHANNELS],
{
    fn take(&mut self, mut count: usize, sums: &mut [u32; CHANNELS]) {
        // The compiler unrolls the sum of a group, so that few instructions are spent on counting.
        while count >= 8 && self.take_group::<8, CHANNELS>(sums) {
            count -= 8;
        }
        if count == 0 {
            return;
        }
        if count >= 4 && self.take_group::<4, CHANNELS>(sums) {
            count -= 4;
        }
        if count >= 2 && self.take_group::<2, CHANNELS>(sums) {
            count -= 2;
        }
        if count >= 1 {
            self.take_group::<1, CHANNELS>(sums);
        }
    }

    fn peek(&self) -> [u32; CHANNELS] {
        self.pixels.first_chunk::<1>().map_or([0; CHANNELS], |pixel| (self.sum)(pixel))
    }
}

/// Returns a function that sums pixels after their conversion.
pub(super) fn one_by_one<const BYTES: usize, const CHANNELS: usize>(
    convert: impl Fn([u8; BYTES]) -> [u32; CHANNELS],
) -> impl Fn(&[[u8; BYTES]]) -> [u32; CHANNELS] {
    move |pixels| {
        let mut sums = [0; CHANNELS];
        pixels.iter().for_each(|&pixel| add(&mut sums, convert(pixel)));
        sums
    }
}

/// Returns a function that sums pixels in RGB 565, three channels with one addition. `number` returns the number that
/// the bytes of a pixel stand for.
///
/// To repeat the high bits of a channel `v` is to compute `8 * v + (v >> 2)`, or `4 * v + (v >> 4)` for green. The two
/// terms are summed separately, each in fields of one number: red at bit 11, green at bit 21, and blue at bit 0. The
/// bits that the shifts drop are masked away before the sum.
pub(super) fn packed_565(number: impl Fn([u8; 2]) -> u16) -> impl Fn(&[[u8; 2]]) -> [u32; 3] {
    const CHANNELS: u32 = 31 << 11 | 63 << 21 | 31;
    const HIGH_BITS: u32 = 0b11100 << 11 | 0b110000 << 21 | 0b11100;
    /// This many pixels fit the 10 bits of red, and the 11 bits of green.
    const MAX_PIXELS: u32 = 32;
    const { assert!(31 * MAX_PIXELS < 1 << 10 && 63 * MAX_PIXELS < 1 << 11) };
    move |pixels| {
        let (pairs, rest) = pixels.as_chunks();
        let (mut values, mut high_bits) = (0, 0);
        for &[first, second] in pairs {
            // The first pixel has its red and blue where their fields are, and the second one its green. In the other
            // order of the two, it is the other way round.
            let both = u32::from(number(first)) | u32::from(number(second)) << 16;
            for channels in [both, both.rotate_left(16)] {
                values += channels & CHANNELS;
                high_bits += channels & HIGH_BITS;
            }
        }
        let mut sums = one_by_one(|bytes| rgb_of_565(number(bytes)))(rest);
        let red = 8 * (values >> 11 & 0x3FF) + (high_bits >> 11 & 0x3FF) / 4;
        let green = 4 * (values >> 21) + (high_bits >> 21) / 16;
        let blue = 8 * (values & 0x7FF) + (high_bits & 0x7FF) / 4;
        add(&mut sums, [red, green, blue]);
        sums
    }
}

/// Pixels of which two share the bytes of their colour.
pub(super) struct Paired<'a, F> {
    pairs: &'a [[u8; 4]],
    pixels: Range<usize>,
    yuyv: F,
}

impl<'a, F> Paired<'a, F> {
    /// Returns the pixels `shown` of a line. `yuyv` brings the bytes of two pixels into the order of
    /// [`PixelFormat::Yuyv`].
    pub(super) fn new(line: &'a [u8], shown: Range<usize>, yuyv: F) -> Self {
        Self { pairs: line.as_chunks().0, pixels: shown, yuyv }
    }
}

impl<F: Fn([u8; 4]) -> [u8; 4]> Pixels<3> for Paired<'_, F> {
    fn take(&mut self, count: usize, sums: &mut [u32; 3]) {
        let end = self.pixels.end.min(self.pixels.start.saturating_add(count));
        if self.pixels.start < end && !self.pixels.start.is_multiple_of(2) {
            add(sums, self.peek());
            self.pixels.start += 1;
        }
        for &pair in self.pairs.get(self.pixels.start / 2..end / 2).unwrap_or_default() {
            let [first, u, second, v] = (self.yuyv)(pair);
            add(sums, rgb_of_yuv(first, u, v));
            add(sums, rgb_of_yuv(second, u, v));
            self.pixels.start += 2;
        }
        if self.pixels.start < end {
            add(sums, self.peek());
            self.pixels.start += 1;
        }
    }

    fn peek(&self) -> [u32; 3] {
        let pixel = self.pixels.start;
        match self.pairs.get(pixel / 2) {
            Some(&pair) if !self.pixels.is_empty() => {
                let [first, u, second, v] = (self.yuyv)(pair);
                rgb_of_yuv(if pixel.is_multiple_of(2) { first } else { second }, u, v)
            }
            _ => [0; 3],
        }
    }
}

fn add<const CHANNELS: usize>(sums: &mut [u32; CHANNELS], values: [u32; CHANNELS]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

/// Returns the grey level of a pixel in RGB. The weights are those of BT.601.
pub(super) fn grey_of_rgb([red, green, blue]: [u32; 3]) -> [u32; 1] {
    [(77 * red + 150 * green + 29 * blue + 128) >> 8]
}

/// Extends the channels of a pixel in RGB 565 to 8 bits by repeating their high bits.
pub(super) fn rgb_of_565(pixel: u16) -> [u32; 3] {
    let pixel = u32::from(pixel);
    let [red, green, blue] = [pixel >> 11, pixel >> 5 & 0x3F, pixel & 0x1F];
    [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2]
}

/// Converts a pixel from the limited range of BT.601 to RGB.
fn rgb_of_yuv(y: u8, u: u8, v: u8) -> [u32; 3] {
    let y = luma(y);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [y + 409 * v, y - 100 * u - 208 * v, y + 516 * u].map(round)
}

/// Returns the grey level of a luma in the limited range of BT.601.
pub(super) fn grey_of_luma(y: u8) -> [u32; 1] {
    [round(luma(y))]
}

/// Returns 256 times the grey level of a luma, which is below 0 or above 255 if the luma is out of its range.
fn luma(y: u8) -> i32 {
    298 * (i32::from(y) - 16)
}

/// Rounds 256 times a level, and clamps it.
fn round(level: i32) -> u32 {
    ((level + 128) >> 8).clamp(0, 255) as u32
}
