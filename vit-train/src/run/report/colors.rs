//! The colours of all pictures. They differ in lightness, so that people who do not see red and green can tell them
//! apart.

/// A colour: red, green and blue, 0 to 255.
pub(super) type Paint = [u8; 3];

/// The background.
pub(super) const PAPER: Paint = [255, 255, 255];
/// The colour of text.
pub(super) const TEXT: Paint = [32, 33, 36];
/// The colour of text that matters less.
pub(super) const FAINT: Paint = [95, 99, 104];
/// The colour of lines that help to read a value.
pub(super) const LINES: Paint = [224, 226, 230];
/// The colour of correct predictions.
pub(super) const CORRECT: Paint = [0, 124, 92];
/// The colour of wrong predictions.
pub(super) const WRONG: Paint = [196, 66, 0];
/// The colour of the first of two curves.
pub(super) const FIRST: Paint = [0, 98, 160];
/// The colour of the second of two curves.
pub(super) const SECOND: Paint = [214, 104, 0];

/// Mixes `color` with [`PAPER`]: a `share` of 0 gives the paper, 1 the full colour.
pub(super) fn mix(color: Paint, share: f64) -> Paint {
    std::array::from_fn(|i| {
        let (paper, full) = (f64::from(PAPER[i]), f64::from(color[i]));
        (paper + (full - paper) * share.clamp(0.0, 1.0)).round() as u8
    })
}
