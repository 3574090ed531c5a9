//! The windows of a convolution, as places in its input.

use vit_nostd::Windows;

/// Returns the place in the input of each value of a window, in the order of a checkpoint: channel, row, column. `None`
/// stands for a zero around the input.
///
/// The windows are counted row by row. `place` returns the place of the value of a channel at a row and a column.
pub(crate) fn places(
    windows: Windows,
    window: usize,
    place: impl Fn([usize; 3]) -> usize,
) -> impl Iterator<Item = Option<usize>> {
    let Windows { height, width, kernel, stride, padding, .. } = windows;
    let (top, left) = (window / windows.columns() * stride[0], window % windows.columns() * stride[1]);
    (0..windows.values()).map(move |value| {
        let (channel, pixel) = (value / (kernel[0] * kernel[1]), value % (kernel[0] * kernel[1]));
        let (y, x) = (top + pixel / kernel[1], left + pixel % kernel[1]);
        let inside = (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x);
        inside.then(|| place([channel, y - padding, x - padding]))
    })
}
