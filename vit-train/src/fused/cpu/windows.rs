//! The windows of convolutions: cutting them out of images and maps, and adding their gradients up.

use std::ops::Range;
use vit_nostd::Windows;

/// An input of a convolution: its windows, and the distances in memory between its channels, rows and pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    windows: Windows,
    channel: usize,
    row: usize,
    pixel: usize,
}

impl Input {
    /// Returns the input whose values are stored channel by channel, and in a channel row by row.
    pub(crate) const fn image(windows: Windows) -> Self {
        Self { windows, channel: windows.height * windows.width, row: windows.width, pixel: 1 }
    }

    /// Returns the input whose values are stored pixel by pixel, with all channels of a pixel side by side.
    pub(crate) const fn map(windows: Windows) -> Self {
        Self { windows, channel: 1, row: windows.width * windows.channels, pixel: windows.channels }
    }

    /// Copies the windows of one input to the rows of `out`. The values of a window are in the order channel, row,
    /// pixel, as in PyTorch's `Conv2d`. Values outside of the input are zero.
    pub(crate) fn cut(&self, input: &[f32], out: &mut [f32]) {
        for (index, window) in out.chunks_exact_mut(self.windows.values()).enumerate() {
            if self.windows.padding > 0 {
                window.fill(0.0);
            }
            self.each_line(index, |start, places| {
                let line = &mut window[places];
                if self.pixel == 1 {
                    let len = line.len();
                    line.copy_from_slice(&input[start..start + len]);
                } else {
                    let values = input[start..].iter().step_by(self.pixel);
                    line.iter_mut().zip(values).for_each(|(out, &value)| *out = value);
                }
            });
        }
    }

    /// Sets the gradient of an input, given those of its windows: does the opposite of [`cut`](Self::cut).
    pub(crate) fn add_up(&self, d_windows: &[f32], d_input: &mut [f32]) {
        d_input.fill(0.0);
        for (index, window) in d_windows.chunks_exact(self.windows.values()).enumerate() {
            self.each_line(index, |start, places| {
                let sums = d_input[start..].iter_mut().step_by(self.pixel);
                sums.zip(&window[places]).for_each(|(sum, d)| *sum += d);
            });
        }
    }

    /// Calls `line` for each row of each channel of window `index` that is in the input, with the place of its first
    /// value in the input and the places of its values in the window.
    fn each_line(&self, index: usize, mut line: impl FnMut(usize, Range<usize>)) {
        let Windows { height, width, channels, kernel, stride, padding } = self.windows;
        let columns = self.windows.columns();
        let (top, left) = (index / columns * stride[0], index % columns * stride[1]);
        // The first pixel in the input, and the one after the last, counted from the left of the window.
        let first = padding.saturating_sub(left);
        let end = (width + padding).saturating_sub(left).min(kernel[1]);
        if first >= end {
            return;
        }
        for channel in 0..channels {
            for row in 0..kernel[0] {
                let Some(y) = (top + row).checked_sub(padding).filter(|&y| y < height) else { continue };
                let start = channel * self.channel + y * self.row + (left + first - padding) * self.pixel;
                let place = (channel * kernel[0] + row) * kernel[1];
                line(start, place + first..place + end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: [Windows; 4] = [
        Windows { height: 4, width: 6, channels: 3, kernel: [2, 3], stride: [2, 3], padding: 0 },
        Windows { height: 5, width: 3, channels: 2, kernel: [3, 3], stride: [2, 2], padding: 2 },
        Windows { height: 7, width: 8, channels: 1, kernel: [2, 2], stride: [3, 3], padding: 0 },
        Windows { height: 2, width: 1, channels: 3, kernel: [4, 4], stride: [1, 1], padding: 3 },
    ];

    /// Returns the place of each value of each window in an input, or `None` outside of it.
    fn places(input: &Input) -> Vec<Option<usize>> {
        let Windows { height, width, channels, kernel, stride, padding } = input.windows;
        let mut places = vec![];
        for window_row in 0..input.windows.rows() {
            for window_column in 0..input.windows.columns() {
                for channel in 0..channels {
                    for row in 0..kernel[0] {
                        for column in 0..kernel[1] {
                            let (y, x) = (window_row * stride[0] + row, window_column * stride[1] + column);
                            let inside =
                                y >= padding && x >= padding && y < height + padding && x < width + padding;
                            places.push(inside.then(|| {
                                channel * input.channel
                                    + (y - padding) * input.row
                                    + (x - padding) * input.pixel
                            }));
                        }
                    }
                }
            }
        }
        places
    }

    #[test]
    fn windows_have_the_values_of_their_places() {
        for input in WINDOWS.into_iter().flat_map(|windows| [Input::image(windows), Input::map(windows)]) {
            let len = input.windows.height * input.windows.width * input.windows.channels;
            let values: Vec<f32> = (1..=len).map(|value| value as f32).collect();
            let places = places(&input);
            let mut out = vec![f32::NAN; places.len()];
            input.cut(&values, &mut out);
            let expected: Vec<f32> =
                places.iter().map(|place| place.map_or(0.0, |place| values[place])).collect();
            assert_eq!(out, expected, "{input:?}");

            let mut sums = vec![f32::NAN; len];
            input.add_up(&(1..=places.len()).map(|d| d as f32).collect::<Vec<f32>>(), &mut sums);
            let mut expected = vec![0.0; len];
            for (index, place) in places.iter().enumerate() {
                place.map(|place| expected[place] += (index + 1) as f32);
            }
            assert_eq!(sums, expected, "{input:?}");
        }
    }
}
