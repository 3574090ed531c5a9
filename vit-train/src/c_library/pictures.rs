//! The test pictures of a library.

use super::model::ExportedModel;

/// The number of pictures.
const MOST: usize = 4;

/// Returns the levels of a few pictures: samples of the model's run or, if there are none, patterns.
pub(super) fn levels(model: &ExportedModel) -> Vec<Vec<u8>> {
    if model.samples.is_empty() {
        return (0..MOST).map(|index| pattern(index, model)).collect();
    }
    model.samples.iter().take(MOST).cloned().collect()
}

/// Returns a picture with a gradient and stripes, which depend on `index`.
fn pattern(index: usize, model: &ExportedModel) -> Vec<u8> {
    let [width, channels] = [model.dims.width, model.dims.channels].map(usize::from);
    let level = |at: usize| {
        let (y, x, channel) = (at / channels / width, at / channels % width, at % channels);
        let gradient = (y * (3 + index) + x * (7 - index) + 85 * channel) & 0xFF;
        let stripe = 40 * ((x + index * y) / 5 % 2);
        gradient.saturating_sub(stripe) as u8
    };
    (0..model.dims.image_values()).map(level).collect()
}
