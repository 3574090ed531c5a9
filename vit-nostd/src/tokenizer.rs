//! Tokenizers: how an image is divided into the windows that become tokens.
//!
//! A tokenizer is one or two convolutions. In the short form, the windows of a single convolution are patches, which
//! touch each other and do not overlap. With two convolutions, the first one, the *stem*, turns the image into a *map*
//! with more channels and fewer pixels, whose values go through GELU; the second one gathers its windows from the map.
//! The last convolution has an output for each channel of a token.
//!
//! In every tokenizer, the window of a token is called its patch.

use core::cell::Cell;

/// The largest kernel, stride and padding, which a model file holds in one byte each.
const MAX: u16 = 255;

/// One convolution of a [`network!`](crate::network) declaration, with square windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Convolution {
    /// The height and the width of a window, from 1 to 255.
    pub kernel: u16,
    /// The distance from one window to the next, from 1 to 255.
    pub stride: u16,
    /// The number of rows and columns of zeros around the input, fewer than `kernel`.
    pub padding: u16,
    /// The number of outputs of a window. In the last convolution, it is 0 in a declaration, which stands for `embed`.
    pub channels: u16,
}

impl Convolution {
    /// The fields that a declaration need not have: a stride of 1, no padding, and as many channels as a token. A
    /// declaration without `kernel` is refused, because no window is empty.
    pub const DEFAULT: Self = Self { kernel: 0, stride: 1, padding: 0, channels: 0 };

    /// Returns the windows that the convolution gathers from an input of this height, width and number of channels.
    ///
    /// # Errors
    /// If they do not fit into the input, the reason.
    #[inline(always)]
    const fn of(self, input: Windows) -> Result<Windows, &'static str> {
        let Self { kernel, stride, padding, .. } = self;
        if kernel == 0 || kernel > MAX || stride == 0 || stride > MAX {
            return Err("`kernel` and `stride` of a convolution must be from 1 to 255");
        }
        if padding >= kernel {
            return Err("the `padding` of a convolution must be less than its `kernel`");
        }
        let (kernel, stride, padding) = (kernel as usize, stride as usize, padding as usize);
        if kernel > input.height + 2 * padding || kernel > input.width + 2 * padding {
            return Err("the `kernel` of a convolution must fit into its padded input");
        }
        Ok(Windows { kernel: [kernel; 2], stride: [stride; 2], padding, ..input })
    }

    /// Returns `length` as the length of a convolution.
    ///
    /// # Panics
    /// If it does not fit in 16 bits.
    pub const fn length(length: usize) -> u16 {
        assert!(length <= u16::MAX as usize, "no length of a convolution may be above 65,535");
        length as u16
    }
}

/// The tokenizer of a [`Declaration`](crate::Declaration).
#[derive(Clone, Copy, Debug)]
pub enum Tokenizer<'a> {
    /// Patches of this height and this width, which touch each other.
    Patches([usize; 2]),
    /// One or two convolutions.
    Convolutions(&'a [Convolution]),
}

impl Tokenizer<'_> {
    /// Returns the stem and the windows that become tokens, for the input `image` and tokens of `embed` channels.
    ///
    /// # Errors
    /// If the tokenizer does not fit the image, the reason.
    #[inline(always)]
    pub(crate) const fn windows(
        self,
        image: Windows,
        embed: usize,
    ) -> Result<(Option<Convolution>, Windows), &'static str> {
        let (stem, last) = match self {
            Self::Patches([height, width]) => {
                if height == 0 || width == 0 {
                    return Err("the height and the width of `patch` must not be 0");
                }
                if !image.height.is_multiple_of(height) {
                    return Err("the height of `patch` must divide that of `image`");
                }
                if !image.width.is_multiple_of(width) {
                    return Err("the width of `patch` must divide that of `image`");
                }
                return Ok((None, Windows { kernel: [height, width], stride: [height, width], ..image }));
            }
            Self::Convolutions(&[last]) => (None, last),
            Self::Convolutions(&[stem, last]) => (Some(stem), last),
            Self::Convolutions(_) => return Err("`tokenizer` must have one or two convolutions"),
        };
        if last.channels != 0 && last.channels as usize != embed {
            return Err("the last convolution of `tokenizer` has `embed` channels: leave its `channels` out");
        }
        let map = match stem {
            None => image,
            Some(Convolution { channels: 0, .. }) => {
                return Err("the first convolution of `tokenizer` needs `channels`");
            }
            Some(stem) => match stem.of(image) {
                Ok(windows) => Windows {
                    height: windows.rows(),
                    width: windows.columns(),
                    channels: stem.channels as usize,
                    ..image
                },
                Err(fault) => return Err(fault),
            },
        };
        match last.of(map) {
            Ok(patches) => Ok((stem, patches)),
            Err(fault) => Err(fault),
        }
    }
}

/// The windows that a convolution gathers from its input, which is an image or a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The height of the input.
    pub height: usize,
    /// The width of the input.
    pub width: usize,
    /// The number of channels of the input.
    pub channels: usize,
    /// The height and the width of a window.
    pub kernel: [usize; 2],
    /// The distances from one window to the next below it, and to the next at its right.
    pub stride: [usize; 2],
    /// The number of rows and columns of zeros around the input.
    pub padding: usize,
}

impl Windows {
    /// Returns the number of values of a window, one for each channel of each of its pixels.
    pub const fn values(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }

    /// Returns the number of windows below each other.
    pub const fn rows(&self) -> usize {
        count(self.height + 2 * self.padding, self.kernel[0], self.stride[0])
    }

    /// Returns the number of windows next to each other.
    pub const fn columns(&self) -> usize {
        count(self.width + 2 * self.padding, self.kernel[1], self.stride[1])
    }

    /// Returns the row of the input in which row `row` of window row `window` lies, or a number that is no row of the
    /// input if it is padding.
    pub(crate) const fn input_row(&self, window: usize, row: usize) -> usize {
        (window * self.stride[0] + row).wrapping_sub(self.padding)
    }

    /// Fills `out` with the values of the window in row `row` and column `column` of the windows, in the order row,
    /// pixel, channel.
    ///
    /// `input` has the rows of the input from row `first` on; as values, its bytes are combined with `mask` by exclusive
    /// or. `zeros` has the value that stands for zero in each channel, or a single one for all channels.
    #[inline(always)]
    pub(crate) fn gather(
        &self,
        [row, column]: [usize; 2],
        zeros: &[i8],
        (first, input): (usize, &[u8]),
        mask: u8,
        mut out: &mut [i8],
    ) {
        let width = self.width * self.channels;
        let left = column * self.stride[1] * self.channels;
        let padding = self.padding * self.channels;
        for index in 0..self.kernel[0] {
            let Some((line, below)) = out.split_at_mut_checked(self.kernel[1] * self.channels) else {
                return;
            };
            out = below;
            let y = self.input_row(row, index);
            let rows = if y < self.height { input.get(y.wrapping_sub(first) * width..) } else { None };
            let values = rows.and_then(|rows| rows.get(left.saturating_sub(padding)..width));
            let values = values.unwrap_or_default();
            let outside = padding.saturating_sub(left);
            if padding > 0 && (outside > 0 || values.len() < line.len()) {
                line.iter_mut().zip(zeros.iter().cycle()).for_each(|(out, &zero)| *out = zero);
            }
            let inside = line.get_mut(outside..).unwrap_or_default();
            inside.iter_mut().zip(values).for_each(|(out, &value)| *out = (value ^ mask) as i8);
        }
    }
}

/// Moves the values from index `from` on to the beginning of the slice, like `copy_within`, but without a panic.
pub(crate) fn move_to_front<T: Copy>(values: &mut [T], from: usize) {
    let cells = Cell::from_mut(values).as_slice_of_cells();
    for (place, value) in cells.iter().zip(cells.get(from..).unwrap_or_default()) {
        place.set(value.get());
    }
}

/// Returns the number of windows of `kernel` values that fit into `length` values, at distances of `stride`.
const fn count(length: usize, kernel: usize, stride: usize) -> usize {
    match length.saturating_sub(kernel).checked_div(stride) {
        Some(last) => last + 1,
        None => 0,
    }
}
