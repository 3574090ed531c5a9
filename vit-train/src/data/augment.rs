//! Augmentation: random changes of the training images. Handwriting is warped a little and distorted elastically;
//! photographs are mirrored, cropped, changed in their colours, and erased in part.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use std::{array, fmt};

use super::{format::Format, sine::sin_cos, splits::Style};
use crate::random::{stream, Purpose};

/// The limits of the random changes of training images, because of which every epoch sees each image a little
/// differently.
///
/// Where a limit is the largest change in either direction, the change is drawn uniformly between the limit and minus
/// the limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// The largest rotation about the centre in either direction, in degrees from 0 to 180.
    pub rotation_degrees: f32,
    /// The largest translation along each axis, as a fraction of the image's width and height from 0 to 1.
    pub translation: f32,
    /// The largest change of the image's width and of its height, as a fraction of its size from 0 to 0.9.
    pub scale: f32,
    /// The largest shear (slant of upright lines) in either direction, in degrees from 0 to 60.
    pub shear_degrees: f32,
    /// The largest displacement of the knots of an elastic distortion along each axis, as a fraction of the image's
    /// width and height from 0 to 1. The knots are the points of a 5 x 5 grid over the image; the pixels between them
    /// are displaced by bilinear interpolation.
    pub elastic: f32,
    /// The share of images that are mirrored, so that left becomes right, from 0 to 1.
    pub mirror: f32,
    /// The largest share of the area of an image that is cut off at its edges, from 0 to 0.9. What remains, with
    /// slightly changed proportions, is enlarged to the whole image.
    pub crop: f32,
    /// The largest change of the brightness in either direction, as a fraction from 0 to 1: levels are multiplied.
    pub brightness: f32,
    /// The largest change of the contrast, which is the distance from medium grey, as a fraction from 0 to 1.
    pub contrast: f32,
    /// The largest change of the saturation, which is the distance from the pixel's grey level, as a fraction from 0 to
    /// 1.
    pub saturation: f32,
    /// The share of images of which a rectangle is erased, from 0 to 1. The rectangle has from 2 to 20 % of the area,
    /// and one random colour.
    pub erasing: f32,
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rotation_degrees, translation, scale, shear_degrees, elastic, .. } = self;
        let Self { mirror, crop, brightness, contrast, saturation, erasing, .. } = self;
        let parts = [
            (rotation_degrees, format!("rotation up to {rotation_degrees} degrees")),
            (translation, format!("translation up to {translation} of the sides")),
            (scale, format!("scale up to {scale}")),
            (shear_degrees, format!("shear up to {shear_degrees} degrees")),
            (elastic, format!("elastic distortion up to {elastic} of the sides")),
            (mirror, format!("{mirror} of the images mirrored")),
            (crop, format!("up to {crop} of the area cropped")),
            (brightness, format!("brightness changed by up to {brightness}")),
            (contrast, format!("contrast by up to {contrast}")),
            (saturation, format!("saturation by up to {saturation}")),
            (erasing, format!("a part of {erasing} of the images erased")),
        ];
        let parts: Vec<_> =
            parts.into_iter().filter(|(limit, _)| **limit != 0.0).map(|(_, text)| text).collect();
        match parts[..] {
            [] => f.write_str("none"),
            _ => f.write_str(&parts.join(", ")),
        }
    }
}

/// The number of images of handwriting from which on they are changed less.
const MANY_DIGITS: usize = 2000;

/// The number of knots of an elastic distortion along each axis.
pub(super) const KNOTS: usize = 5;

// The number 1 among source coordinates, which are fixed-point numbers with 16 fraction bits. Rounding one down is a
// shift, and every machine computes the same pixels.
const ONE: f32 = 65536.0;

impl Default for Augmentation {
    /// Returns the augmentation of the default recipe: rotations of up to 7 degrees, and translations of up to a
    /// tenth of the side.
    fn default() -> Self {
        Self { rotation_degrees: 7.0, translation: 0.1, ..Self::NONE }
    }
}

impl Augmentation {
    /// No augmentation: images stay as they are.
    pub const NONE: Self = Self {
        rotation_degrees: 0.0,
        translation: 0.0,
        scale: 0.0,
        shear_degrees: 0.0,
        elastic: 0.0,
        mirror: 0.0,
        crop: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        saturation: 0.0,
        erasing: 0.0,
    };

    /// The best known augmentation for handwriting.
    pub const DIGITS: Self = Self {
        rotation_degrees: 10.0,
        translation: 0.07,
        scale: 0.1,
        shear_degrees: 10.0,
        elastic: 0.03,
        ..Self::NONE
    };

    /// The best known augmentation for handwriting of which there are few images, which would be learned by heart
    /// otherwise.
    pub const FEW_DIGITS: Self = Self {
        rotation_degrees: 15.0,
        translation: 0.1,
        scale: 0.2,
        shear_degrees: 15.0,
        elastic: 0.06,
        ..Self::NONE
    };

    /// The best known augmentation for photographs. It does not mirror them, because arrows, letters and gestures would
    /// get another meaning.
    pub const PHOTOS: Self =
        Self { crop: 0.3, brightness: 0.3, contrast: 0.3, saturation: 0.3, erasing: 0.1, ..Self::NONE };

    /// Returns the best known augmentation for this many images of this style. Fewer than 2,000 images of handwriting
    /// are changed more than others.
    pub fn best(style: Style, images: usize) -> Self {
        match style {
            Style::Digits if images < MANY_DIGITS => Self::FEW_DIGITS,
            Style::Digits => Self::DIGITS,
            Style::Photos => Self::PHOTOS,
        }
    }

    /// Writes a changed copy of `image`, which has the size of `format`, to `out`.
    ///
    /// Pixels are interpolated bilinearly, and are 0 where their source is outside the image. `key` is (seed, epoch,
    /// index); the result depends on nothing else.
    ///
    /// # Panics
    ///
    /// Panics if `image` or `out` does not have the number of values of the format.
    pub fn apply(&self, image: &[u8], format: Format, key: (u64, u64, u64), out: &mut [u8]) {
        assert_eq!(
            (image.len(), out.len()),
            (format.values(), format.values()),
            "an image of {format} does not have its number of values"
        );
        self.variation(format, key).apply(image, format, out);
    }

    /// Returns the variation by which [`apply`](Self::apply) changes the image of this key.
    pub(crate) fn variation(&self, format: Format, key: (u64, u64, u64)) -> Variation {
        let mut rng = stream(Purpose::Augment, [key.0, key.1, key.2]);
        let mut within = |limit: f32| limit * (2.0 * rng.random::<f32>() - 1.0);
        let part_of_sides =
            |part: f32| [format.width, format.height].map(|side| part.clamp(0.0, 1.0) * side as f32);
        let angle = within(self.rotation_degrees.clamp(0.0, 180.0).to_radians());
        let shift = part_of_sides(self.translation).map(&mut within);
        let scale = self.scale.clamp(0.0, 0.9);
        let scale = [1.0 + within(scale), 1.0 + within(scale)];
        let slant = within(self.shear_degrees.clamp(0.0, 60.0).to_radians());
        let affine = Affine { angle, scale, slant, shift };
        let mut knots = Warp::NONE.knots;
        if self.elastic > 0.0 {
            let pull = part_of_sides(self.elastic).map(|pull| ONE * pull);
            knots = knots.map(|row| row.map(|_| pull.map(|pull| within(pull) as i64)));
        }

        // The numbers above come first, so that augmentations without what follows have the same ones.
        let mut variation = Variation::NONE;
        let mut window = Window::WHOLE;
        if self.crop > 0.0 {
            window = Window::random(self.crop.clamp(0.0, 0.9) * rng.random::<f32>(), &mut rng);
        }
        if rng.random::<f32>() < self.mirror {
            window = window.mirrored();
        }
        variation.warp = Warp { knots, ..Warp::new(format, affine, window) };
        let mut factor = |limit: f32| {
            let change = limit.clamp(0.0, 1.0) * (2.0 * rng.random::<f32>() - 1.0);
            (256.0 * (1.0 + change)).round() as i32
        };
        variation.colours = Colours {
            saturation: factor(self.saturation),
            contrast: factor(self.contrast),
            brightness: factor(self.brightness),
        };
        if rng.random::<f32>() < self.erasing {
            let window = Window::random(0.98 - 0.18 * rng.random::<f32>(), &mut rng);
            variation.erased = Erased::new(format, window, rng.random());
        }
        variation
    }
}

/// A part of an image, relative to the image: the part that becomes the whole image, or the part that is erased.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// The left end and the upper end, from 0 to 1.
    start: [f32; 2],
    /// The width and the height, from 0 to 1. The width is negative if the part is mirrored: `start` is its right end
    /// then.
    size: [f32; 2],
}

impl Window {
    /// The whole image.
    pub(super) const WHOLE: Self = Self { start: [0.0; 2], size: [1.0; 2] };

    /// Returns a part at a random place that leaves out `rest` of the area, from 0 to 1. Its proportions are those of
    /// the image but for up to 15 %.
    fn random(rest: f32, rng: &mut impl Rng) -> Self {
        let (side, stretch) = ((1.0 - rest).sqrt(), 1.0 + 0.15 * (2.0 * rng.random::<f32>() - 1.0));
        let size = [side * stretch, side / stretch].map(|size| size.min(1.0));
        Self { start: size.map(|size| rng.random::<f32>() * (1.0 - size)), size }
    }

    /// Returns the same part with left and right exchanged.
    fn mirrored(self) -> Self {
        let Self { start: [left, top], size: [width, height] } = self;
        Self { start: [left + width, top], size: [-width, height] }
    }
}

/// The change of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variation {
    /// The places from which pixels are taken.
    pub warp: Warp,
    /// The change of the colours.
    pub colours: Colours,
    /// The part that is erased.
    pub erased: Erased,
}

impl Variation {
    /// No change.
    pub(crate) const NONE: Self = Self { warp: Warp::NONE, colours: Colours::NONE, erased: Erased::NONE };

    /// Writes the changed `image` to `out`.
    fn apply(&self, image: &[u8], format: Format, out: &mut [u8]) {
        self.warp.apply(image, format, out);
        if self.colours != Colours::NONE {
            match format.channels {
                1 => out.as_chunks_mut::<1>().0.iter_mut().for_each(|pixel| self.colours.apply(pixel)),
                _ => out.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| self.colours.apply(pixel)),
            }
        }
        let Erased { left, top, right, bottom, colour } = self.erased;
        for row in top..bottom {
            let start = row as usize * format.width;
            let pixels =
                (start + left as usize) * format.channels..(start + right as usize) * format.channels;
            out[pixels].chunks_exact_mut(format.channels).for_each(|pixel| {
                pixel.copy_from_slice(&colour[..format.channels]);
            });
        }
    }
}

/// A change of colours. The factors are in 1/256, so that every machine computes the same levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colours {
    /// The factor of the distance from the pixel's grey level.
    pub saturation: i32,
    /// The factor of the distance from medium grey.
    pub contrast: i32,
    /// The factor of the level.
    pub brightness: i32,
}

impl Colours {
    /// No change.
    pub(super) const NONE: Self = Self { saturation: 256, contrast: 256, brightness: 256 };

    fn apply<const CHANNELS: usize>(self, pixel: &mut [u8; CHANNELS]) {
        const MEDIUM: i32 = 128 << 8;
        let grey = match pixel[..] {
            [red, green, blue] => {
                (77 * i32::from(red) + 150 * i32::from(green) + 29 * i32::from(blue) + 128) >> 8
            }
            _ => i32::from(pixel[0]),
        };
        for level in pixel {
            let saturated = 256 * grey + self.saturation * (i32::from(*level) - grey);
            let contrasted = MEDIUM + ((self.contrast * (saturated - MEDIUM)) >> 8);
            let bright = (self.brightness * contrasted) >> 8;
            *level = ((bright + 128) >> 8).clamp(0, 255) as u8;
        }
    }
}

/// A rectangle that is filled with a colour. The right and the bottom end do not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erased {
    /// The first column.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// The column after the last one.
    pub right: u32,
    /// The row after the last one.
    pub bottom: u32,
    /// The level of each channel.
    pub colour: [u8; 3],
}

impl Erased {
    /// No rectangle.
    pub(super) const NONE: Self = Self { left: 0, top: 0, right: 0, bottom: 0, colour: [0; 3] };

    fn new(format: Format, Window { start, size }: Window, colour: [u8; 3]) -> Self {
        let sides = [format.width, format.height];
        let at = |axis: usize, place: f32| {
            (place * sides[axis] as f32).round().clamp(0.0, sides[axis] as f32) as u32
        };
        let [left, top] = [0, 1].map(|axis| at(axis, start[axis]));
        let [right, bottom] = [0, 1].map(|axis| at(axis, start[axis] + size[axis]));
        Self { left, top, right, bottom, colour }
    }
}

/// An affine map of the plane. It scales, shears and rotates about the centre, in this order, and then shifts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    /// The angle of the rotation in radians, clockwise on the screen.
    pub angle: f32,
    /// The factors of the width and of the height.
    pub scale: [f32; 2],
    /// The angle by which upright lines are slanted, in radians.
    pub slant: f32,
    /// The shift in pixels, to the right and down.
    pub shift: [f32; 2],
}

impl Affine {
    /// The identity.
    pub(super) const NONE: Self = Self { angle: 0.0, scale: [1.0; 2], slant: 0.0, shift: [0.0; 2] };
}

/// The places in the original image from which the pixels of a warped image are sampled.
///
/// Each place is a pair (column, row) of fixed-point numbers with 16 fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Warp {
    /// The source of the first pixel.
    pub start: [i64; 2],
    /// The step from the source of a pixel to that of its right neighbour.
    pub across: [i64; 2],
    /// The step from the source of a pixel to that of the pixel below.
    pub down: [i64; 2],
    /// The displacements of the sources at the knots of a grid that covers the image, corners included. Between the
    /// knots, they are interpolated linearly along each axis.
    pub knots: [[[i64; 2]; KNOTS]; KNOTS],
}

impl Warp {
    /// The identity: each pixel is its own source.
    pub(crate) const NONE: Self =
        Self { start: [0, 0], across: [1 << 16, 0], down: [0, 1 << 16], knots: [[[0; 2]; KNOTS]; KNOTS] };

    /// Returns the warp that moves an image of this size like an affine map, after a part of it has been enlarged to the
    /// whole image.
    pub(super) fn new(
        format: Format,
        Affine { angle, scale: [width, height], slant, shift: [dx, dy] }: Affine,
        Window { start: first, size }: Window,
    ) -> Self {
        let (sin, cos) = sin_cos(angle);
        let (slant_sin, slant_cos) = sin_cos(slant);
        let slant = slant_sin / slant_cos;
        let centre = [format.width, format.height].map(|side| (side as f32 - 1.0) / 2.0);
        // The source of a target pixel q is found by the inverse map: (q - centre - d) is rotated, sheared and scaled
        // back.
        let across = [(cos + slant * sin) / width, -sin / height];
        let down = [(sin - slant * cos) / width, cos / height];
        let (x, y) = (centre[0] + dx, centre[1] + dy);
        let fixed = |value: f32| (value * ONE).round() as i64;
        // The outermost pixels of the window are those of the image.
        let last = [format.width, format.height].map(|side| side as f32 - 1.0);
        let in_window = |axis: usize, place: f32| first[axis] * last[axis] + size[axis] * place;
        let start =
            [0, 1].map(|axis| fixed(in_window(axis, centre[axis] - across[axis] * x - down[axis] * y)));
        let [across, down] =
            [across, down].map(|step| [0, 1].map(|axis: usize| fixed(size[axis] * step[axis])));
        Self { start, across, down, ..Self::NONE }
    }

    /// Writes the warped `image` to `out`.
    pub(super) fn apply(&self, image: &[u8], format: Format, out: &mut [u8]) {
        match format.channels {
            1 => self.apply_to::<1>(image, format, out),
            _ => self.apply_to::<3>(image, format, out),
        }
    }

    /// Does what [`apply`](Self::apply) does, for images with this number of channels.
    fn apply_to<const CHANNELS: usize>(&self, image: &[u8], format: Format, out: &mut [u8]) {
        let Self { start: mut row_start, across, down, ref knots } = *self;
        let Format { height, width, .. } = format;
        let is_bent = *knots != Self::NONE.knots;
        let (image, out) = (image.as_chunks::<CHANNELS>().0, out.as_chunks_mut::<CHANNELS>().0);
        for (row, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
            let place = between(row, height);
            let row_knots: [_; KNOTS] = array::from_fn(|at| mix(place, |row| knots[row][at]));
            let [mut x, mut y] = row_start;
            for (column, pixel) in out.iter_mut().enumerate() {
                let [bend_x, bend_y] =
                    if is_bent { mix(between(column, width), |at| row_knots[at]) } else { [0; 2] };
                *pixel = bilinear(image, [width, height], x + (bend_x >> 16), y + (bend_y >> 16));
                x += across[0];
                y += across[1];
            }
            row_start[0] += down[0];
            row_start[1] += down[1];
        }
    }
}

/// Returns the last knot that is not beyond row or column `at`, and the distance from it in 1/256 of the distance
/// between knots.
fn between(at: usize, side: usize) -> (usize, i64) {
    let place = at * (KNOTS - 1) * 256 / (side - 1).max(1);
    let knot = (place >> 8).min(KNOTS - 2);
    (knot, (place - (knot << 8)) as i64)
}

/// Interpolates linearly between the values at a knot and the next one, and returns 256 times the result.
fn mix((knot, beyond): (usize, i64), values: impl Fn(usize) -> [i64; 2]) -> [i64; 2] {
    let (before, after) = (values(knot), values(knot + 1));
    [0, 1].map(|axis| before[axis] * (256 - beyond) + after[axis] * beyond)
}

/// Interpolates between the four pixels around (x, y). Pixels outside the image count as 0.
fn bilinear<const CHANNELS: usize>(
    image: &[[u8; CHANNELS]],
    [width, height]: [usize; 2],
    x: i64,
    y: i64,
) -> [u8; CHANNELS] {
    let (column, row) = ((x >> 16) as usize, (y >> 16) as usize); // negative ones become huge
    let (right, down) = ((x >> 8 & 255) as u32, (y >> 8 & 255) as u32);
    let [a, b, c, d] = if column < width - 1 && row < height - 1 {
        let at = row * width + column;
        let pixels = &image[at..at + width + 2];
        [pixels[0], pixels[1], pixels[width], pixels[width + 1]]
    } else {
        let get = |column: usize, row: usize| {
            let inside = column < width && row < height;
            if inside {
                image[row * width + column]
            } else {
                [0; CHANNELS]
            }
        };
        let (next_column, next_row) = (column.wrapping_add(1), row.wrapping_add(1));
        [get(column, row), get(next_column, row), get(column, next_row), get(next_column, next_row)]
    };
    array::from_fn(|channel| {
        let [a, b, c, d] = [a, b, c, d].map(|pixel| u32::from(pixel[channel]));
        let above = a * (256 - right) + b * right;
        let below = c * (256 - right) + d * right;
        ((above * (256 - down) + below * down + (1 << 15)) >> 16) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    const SIDE: usize = 28;
    const FORMAT: Format = synthetic::FORMAT;
    const ALL: Augmentation = Augmentation {
        rotation_degrees: 7.0,
        translation: 0.1,
        scale: 0.1,
        shear_degrees: 7.0,
        elastic: 0.04,
        ..Augmentation::NONE
    };

    fn moved(augmentation: Augmentation, key: (u64, u64, u64)) -> Vec<u8> {
        let mut out = vec![77; SIDE * SIDE];
        augmentation.apply(&synthetic::digit(5, 1), FORMAT, key, &mut out);
        out
    }

    fn warped(image: &[u8], affine: Affine) -> Vec<u8> {
        let mut out = vec![77; SIDE * SIDE];
        Warp::new(FORMAT, affine, Window::WHOLE).apply(image, FORMAT, &mut out);
        out
    }

    #[test]
    fn none_changes_nothing() {
        assert_eq!(moved(Augmentation::NONE, (1, 2, 3)), synthetic::digit(5, 1));
    }

    #[test]
    fn result_is_a_function_of_the_key() {
        let default = ALL;
        let first = moved(default, (1, 2, 3));
        moved(default, (9, 9, 9));
        assert_eq!(first, std::thread::spawn(move || moved(default, (1, 2, 3))).join().unwrap());
        for other in [(0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3), (1, 3, 2)] {
            assert_ne!(first, moved(default, other), "{other:?}");
        }
    }

    #[test]
    fn whole_pixels_move_exactly() {
        let image = synthetic::digit(2, 3);
        let out = warped(&image, Affine { shift: [9.0, -12.0], ..Affine::NONE });
        for (at, &pixel) in out.iter().enumerate() {
            let (column, row) = (at % SIDE, at / SIDE);
            let expected =
                if column >= 9 && row + 12 < SIDE { image[(row + 12) * SIDE + column - 9] } else { 0 };
            assert_eq!(pixel, expected, "({column}, {row})");
        }
    }

    #[test]
    fn quarter_turn_is_exact_and_clockwise() {
        let image = synthetic::digit(2, 3);
        let out = warped(&image, Affine { angle: std::f32::consts::FRAC_PI_2, ..Affine::NONE });
        for (at, &pixel) in out.iter().enumerate() {
            let (column, row) = (at % SIDE, at / SIDE);
            assert!(pixel.abs_diff(image[(SIDE - 1 - column) * SIDE + row]) <= 1, "({column}, {row})");
        }
    }

    /// Returns the grey value of `image` at a place between pixels, in floating point.
    fn ink(image: &[u8], x: f64, y: f64) -> f64 {
        let at = |column: f64, row: f64| {
            let inside = (0.0..SIDE as f64).contains(&column) && (0.0..SIDE as f64).contains(&row);
            if inside {
                f64::from(image[row as usize * SIDE + column as usize])
            } else {
                0.0
            }
        };
        let (left, top) = (x.floor(), y.floor());
        let (u, v) = (x - left, y - top);
        (at(left, top) * (1.0 - u) + at(left + 1.0, top) * u) * (1.0 - v)
            + (at(left, top + 1.0) * (1.0 - u) + at(left + 1.0, top + 1.0) * u) * v
    }

    /// Returns the columns of the matrix that scales, shears and rotates: the images of (1, 0) and (0, 1).
    fn columns(affine: Affine) -> [[f64; 2]; 2] {
        let (angle, slant) = (f64::from(affine.angle), f64::from(affine.slant));
        let (cos, sin) = (1.0 - angle * angle / 2.0 + angle.powi(4) / 24.0, angle - angle.powi(3) / 6.0);
        let tan = slant + slant.powi(3) / 3.0 + 2.0 * slant.powi(5) / 15.0;
        let [width, height] = affine.scale.map(f64::from);
        // Upright lines lean by the slant, then everything turns clockwise: x is to the right, and y down.
        let turned = |[x, y]: [f64; 2]| [cos * x - sin * y, sin * x + cos * y];
        [turned([width, 0.0]), turned([tan * height, height])]
    }

    #[test]
    fn agrees_with_the_oracle() {
        let affine = |angle, scale, slant, shift| Affine { angle, scale, slant, shift };
        for (seed, affine) in [
            affine(0.1, [1.0, 1.0], 0.0, [0.3, -2.7]),
            affine(-0.12, [1.15, 0.9], 0.0, [2.8, 2.2]),
            affine(0.05, [1.0, 1.0], 0.2, [-6.5, 9.25]),
            affine(-0.1, [0.85, 1.1], -0.15, [1.5, -0.25]),
        ]
        .into_iter()
        .enumerate()
        {
            // White up to the edge, so that the border is tested, too.
            let image = synthetic::digit(8, seed as u64).map(|ink| 255 - ink);
            let out = warped(&image, affine);
            let [[a, b], [c, d]] = columns(affine);
            let determinant = a * d - b * c;
            for (at, &found) in out.iter().enumerate() {
                let [dx, dy] = affine.shift.map(f64::from);
                let (x, y) = ((at % SIDE) as f64 - 13.5 - dx, (at / SIDE) as f64 - 13.5 - dy);
                // Cramer's rule gives the point that the map sends to this pixel.
                let (x, y) = ((x * d - y * c) / determinant, (a * y - b * x) / determinant);
                let expected = ink(&image, x + 13.5, y + 13.5);
                // The tolerance allows for coordinates in steps of 1/256 of a pixel.
                assert!((f64::from(found) - expected).abs() <= 2.5, "{at}: {found} instead of {expected}");
            }
        }
    }

    /// The grid of knots has 4 x 4 cells, each with a side of 27 / 4 = 6.75 pixels.
    #[test]
    fn a_net_pulls_at_its_knots_and_between_them() {
        let image = synthetic::digit(8, 4).map(|ink| 255 - ink);
        let mut warp = Warp::NONE;
        let pulls =
            [((0, 0), [2.0, 1.0]), ((2, 1), [-1.5, 0.75]), ((4, 4), [-3.0, -2.5]), ((2, 2), [0.5, 3.25])];
        for ((row, column), pull) in pulls {
            warp.knots[row][column] = pull.map(|pull: f64| (pull * 65536.0) as i64);
        }
        let mut out = vec![0; SIDE * SIDE];
        warp.apply(&image, FORMAT, &mut out);
        for (at, &found) in out.iter().enumerate() {
            let (column, row) = ((at % SIDE) as f64, (at / SIDE) as f64);
            // The weight of a knot falls linearly to 0 at its neighbours.
            let tent = |at: f64, knot: usize| (1.0 - (at - 6.75 * knot as f64).abs() / 6.75).max(0.0);
            let bend = |axis: usize| -> f64 {
                pulls.iter().map(|&((r, c), pull)| tent(row, r) * tent(column, c) * pull[axis]).sum()
            };
            let expected = ink(&image, column + bend(0), row + bend(1));
            // The distance between knots is divided into steps of 1/256, too, which are 0.026 pixels. The displacement
            // changes by up to 3 pixels in 6.75.
            assert!((f64::from(found) - expected).abs() <= 6.0, "{at}: {found} instead of {expected}");
        }
    }

    #[test]
    fn moves_as_far_as_allowed_and_no_further() {
        let mut image = [0; SIDE * SIDE];
        for at in [13 * SIDE + 13, 13 * SIDE + 14, 14 * SIDE + 13, 14 * SIDE + 14] {
            image[at] = 255;
        }
        let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
        for index in 0..500 {
            let mut out = [0; SIDE * SIDE];
            Augmentation::default().apply(&image, FORMAT, (42, 0, index), &mut out);
            let mass: f64 = out.iter().map(|&ink| f64::from(ink)).sum();
            let mean = |of: fn(usize) -> usize| {
                out.iter().enumerate().map(|(at, &ink)| of(at) as f64 * f64::from(ink)).sum::<f64>() / mass
                    - 13.5
            };
            for (axis, value) in [mean(|at| at % SIDE), mean(|at| at / SIDE)].into_iter().enumerate() {
                low[axis] = low[axis].min(value);
                high[axis] = high[axis].max(value);
            }
        }
        for axis in 0..2 {
            assert!(
                (-2.85..-2.5).contains(&low[axis]) && (2.5..2.85).contains(&high[axis]),
                "{low:?} {high:?}"
            );
        }
    }

    const COLOUR: Format = Format { height: 12, width: 20, channels: 3, classes: 2 };

    /// Returns an image whose red is the column, whose green is the row, and whose blue is the same everywhere.
    fn gradient() -> Vec<u8> {
        (0..12).flat_map(|row| (0..20).flat_map(move |column| [10 * column, 20 * row, 77])).collect()
    }

    fn varied(augmentation: Augmentation, index: u64) -> Vec<u8> {
        let mut out = vec![1; COLOUR.values()];
        augmentation.apply(&gradient(), COLOUR, (5, 6, index), &mut out);
        out
    }

    #[test]
    fn half_of_the_images_are_mirrored() {
        let mirrored: Vec<u8> = gradient()
            .chunks(60)
            .flat_map(|row| row.chunks(3).rev().flatten().copied().collect::<Vec<_>>())
            .collect();
        let half = Augmentation { mirror: 0.5, ..Augmentation::NONE };
        let count = (0..400).filter(|&index| match varied(half, index) {
            image if image == mirrored => true,
            image => {
                assert_eq!(image, gradient());
                false
            }
        });
        let count = count.count();
        assert!((150..250).contains(&count), "{count} of 400");
        assert_eq!(varied(Augmentation { mirror: 1.0, ..Augmentation::NONE }, 1), mirrored);
    }

    #[test]
    fn a_crop_is_a_part_of_the_image() {
        let crop = Augmentation { crop: 0.5, ..Augmentation::NONE };
        let (mut least, mut corners) = (1.0f64, [false; 4]);
        for index in 0..300 {
            let image = varied(crop, index);
            let pixel = |row: usize, column: usize| {
                [0, 1].map(|channel| f64::from(image[(row * 20 + column) * 3 + channel]))
            };
            // The colours of the corners say where the part begins and ends.
            let ([left, top], [right, bottom]) = (pixel(0, 0), pixel(11, 19));
            let (width, height) = ((right - left) / 190.0, (bottom - top) / 220.0);
            least = least.min(width * height);
            assert!((0.45..=1.01).contains(&(width * height)), "{width} x {height}");
            assert!((0.7..1.43).contains(&(width / height)), "{width} x {height}");
            let middle = pixel(6, 10);
            assert!((middle[0] - (left + (right - left) * 10.0 / 19.0)).abs() < 2.0, "{middle:?}");
            assert!((middle[1] - (top + (bottom - top) * 6.0 / 11.0)).abs() < 2.0, "{middle:?}");
            assert!(
                image.chunks(3).all(|pixel| pixel[2] == 77),
                "something outside of the image is in the crop"
            );
            for (seen, near) in corners.iter_mut().zip([left < 5.0, top < 5.0, right > 185.0, bottom > 215.0])
            {
                *seen |= near;
            }
        }
        assert!(least < 0.55 && corners == [true; 4], "{least} {corners:?}");
    }

    /// Compares the colours with the formulas in floating point.
    #[test]
    fn colours_change_as_they_should() {
        let factor = |x: i32| f64::from(x) / 256.0;
        let mut random = stream(Purpose::Show, [1, 2, 3]);
        for _ in 0..20_000 {
            let [saturation, contrast, brightness] = [(); 3].map(|()| random.random_range(0..=512));
            let colours = Colours { saturation, contrast, brightness };
            let before: [u8; 3] = random.random();
            let mut after = before;
            colours.apply(&mut after);
            let [red, green, blue] = before.map(f64::from);
            let grey = (0.299 * red + 0.587 * green + 0.114 * blue).round();
            for (found, level) in after.iter().zip([red, green, blue]) {
                let saturated = grey + factor(saturation) * (level - grey);
                let contrasted = 128.0 + factor(contrast) * (saturated - 128.0);
                let expected = (factor(brightness) * contrasted).clamp(0.0, 255.0);
                // The grey level has coefficients of 8 bits, and is rounded once more than here.
                assert!(
                    (f64::from(*found) - expected).abs() <= 5.0,
                    "{before:?} {colours:?}: {found} {expected}"
                );
            }
            let mut grey = [before[0]];
            Colours { saturation, ..Colours::NONE }.apply(&mut grey);
            assert_eq!(grey, [before[0]], "grey has no saturation");
            let mut same = before;
            Colours::NONE.apply(&mut same);
            assert_eq!(same, before);
        }
    }

    #[test]
    fn what_is_erased_is_a_rectangle_of_one_colour() {
        let erasing = Augmentation { erasing: 1.0, ..Augmentation::NONE };
        let (mut least, mut most) = (usize::MAX, 0);
        for index in 0..300 {
            let (image, before) = (varied(erasing, index), gradient());
            let is_other = |at: usize| image[3 * at..3 * at + 3] != before[3 * at..3 * at + 3];
            let others: Vec<usize> = (0..240).filter(|&at| is_other(at)).collect();
            let columns = others.iter().map(|at| at % 20);
            let (left, right) = (columns.clone().min().unwrap(), columns.max().unwrap());
            let (top, bottom) = (others[0] / 20, others[others.len() - 1] / 20);
            let colour = &image[3 * others[0]..][..3];
            for row in top..=bottom {
                assert!((left..=right).all(|column| image[3 * (20 * row + column)..][..3] == *colour));
            }
            let area = (right + 1 - left) * (bottom + 1 - top);
            assert!(others.len() >= area - 1, "a pixel may have the colour before");
            (least, most) = (least.min(area), most.max(area));
        }
        // From 2 to 20 % of 240 pixels, with sides that are rounded.
        assert!(least <= 8 && (40..=58).contains(&most), "{least} {most}");
        let some = Augmentation { erasing: 0.25, ..Augmentation::NONE };
        let erased = (0..400).filter(|&index| varied(some, index) != gradient()).count();
        assert!((60..140).contains(&erased), "{erased} of 400");
    }

    #[test]
    fn wild_parameters_and_tiny_images_do_no_harm() {
        for value in [f32::NAN, f32::INFINITY, -1.0, 1e30] {
            let wild = Augmentation {
                rotation_degrees: value,
                translation: value,
                scale: value,
                shear_degrees: value,
                elastic: value,
                mirror: value,
                crop: value,
                brightness: value,
                contrast: value,
                saturation: value,
                erasing: value,
            };
            moved(wild, (1, 1, 1));
        }
        for side in [0, 1, 2] {
            let (format, image) = (Format::grey(side, 1), &[9; 4][..side * side]);
            ALL.apply(image, format, (1, 1, 1), &mut [0; 4][..side * side]);
        }
    }
}
