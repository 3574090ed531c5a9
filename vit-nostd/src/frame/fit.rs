//! This module determines the part of a frame that the input shows.

use core::{num::NonZeroU32, ops::Range};
use serde::{Deserialize, Serialize};

/// The largest width and height of a frame, with its padding, and of an input, in pixels.
pub const MAX_SIDE: usize = 4096;

/// The way in which a frame is fitted to an input with another aspect ratio. The discriminant is the number in a
/// [model file](crate::model_file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fit {
    /// The whole frame is stretched to the input, so that its aspect ratio changes.
    Stretch = 0,
    /// The input shows the largest part in the middle of the frame that has the input's aspect ratio.
    #[default]
    Crop = 1,
    /// The input shows the whole frame, with black padding on two sides that gives it the input's aspect ratio.
    Pad = 2,
}

impl Fit {
    /// Returns the width and height of the view, which is what the input shows, in pixels of the frame: a part of the
    /// frame, or the frame with its padding.
    pub(super) fn view(self, frame: [NonZeroU32; 2], input: [NonZeroU32; 2]) -> [u32; 2] {
        let [width, height] = frame.map(NonZeroU32::get);
        let [across, down] = input;
        let is_wider = width * down.get() > height * across.get();
        let by_width = || [width, (width * down.get() / across).max(1)];
        let by_height = || [(height * across.get() / down).max(1), height];
        match (self, is_wider) {
            (Self::Stretch, _) => [width, height],
            (Self::Crop, true) | (Self::Pad, false) => by_height(),
            (Self::Crop, false) | (Self::Pad, true) => by_width(),
        }
    }
}

/// The width or the height of a frame, of the view and of the input that shows the view.
///
/// Lengths are measured in a unit that divides the pixels of the frame and those of the input, so that their overlaps
/// are integers.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// The pixels of the frame in the view.
    pub(super) shown: Range<usize>,
    /// The length of a pixel of the frame, which is the number of pixels of the input.
    pub(super) frame_pixel: u32,
    /// The length of a pixel of the input, which is the number of the frame's pixels in the view, with the padding.
    pub(super) input_pixel: u32,
    /// The pixel of the input in which the padding before the frame ends.
    pub(super) begin: usize,
    /// The length of that pixel after the padding.
    pub(super) uncovered: u32,
    /// The same length, as a number of pixels of the frame and a remainder.
    pub(super) first: (usize, u32),
    /// The length of any other pixel of the input, as a number of pixels of the frame and a remainder.
    pub(super) step: (usize, u32),
}

impl Axis {
    /// Centres a view on a frame. All lengths are in pixels.
    pub(super) fn new(frame: NonZeroU32, view: NonZeroU32, input: NonZeroU32) -> Self {
        let first = frame.get().saturating_sub(view.get()) / 2;
        let padding = view.get().saturating_sub(frame.get()) / 2 * input.get();
        let uncovered = view.get() - padding % view;
        let divide = |length: u32| ((length / input) as usize, length % input);
        Self {
            shown: first as usize..(first + frame.min(view).get()) as usize,
            frame_pixel: input.get(),
            input_pixel: view.get(),
            begin: (padding / view) as usize,
            uncovered,
            first: divide(uncovered),
            step: divide(view.get()),
        }
    }
}
