//! The colours of all pictures. Eyes that do not tell red from green tell these apart, by their lightness too.

/// A colour: red, green and blue, 0 to 255.
pub type Paint = [u8; 3];

/// Behind everything.
pub const PAPER: Paint = [255, 255, 255];
/// Text.
pub const TEXT: Paint = [32, 33, 36];
/// Text that matters less.
pub const FAINT: Paint = [95, 99, 104];
/// Lines that help to read a value.
pub const LINES: Paint = [224, 226, 230];
/// Right.
pub const RIGHT: Paint = [0, 124, 92];
/// Wrong.
pub const WRONG: Paint = [196, 66, 0];
/// The first of two curves.
pub const FIRST: Paint = [0, 98, 160];
/// The second of two curves.
pub const SECOND: Paint = [214, 104, 0];

/// `color`, mixed with [`PAPER`]: a `share` of 0 is paper, 1 the full colour.
pub fn mix(color: Paint, share: f64) -> Paint {
    std::array::from_fn(|i| {
        let (paper, full) = (f64::from(PAPER[i]), f64::from(color[i]));
        (paper + (full - paper) * share.clamp(0.0, 1.0)).round() as u8
    })
}
