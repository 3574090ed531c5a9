//! Augmentation: small random warps and elastic distortions of the training images.

use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::{array, fmt};

use super::sine::sin_cos;
use crate::random::{stream, Purpose};

/// The limits of the random warps of training images, because of which every epoch sees each image a little
/// differently.
///
/// Every random number is drawn uniformly between its limit and minus its limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// The largest rotation about the centre in either direction, in degrees from 0 to 180.
    pub rotation_degrees: f32,
    /// The largest translation along each axis, as a fraction of the image's side from 0 to 1.
    pub translation: f32,
    /// The largest change of the image's width and of its height, as a fraction of its size from 0 to 0.9.
    pub scale: f32,
    /// The largest shear (slant of upright lines) in either direction, in degrees from 0 to 60.
    pub shear_degrees: f32,
    /// The largest displacement of the knots of an elastic distortion along each axis, as a fraction of the image's
    /// side from 0 to 1. The knots are the points of a 5 x 5 grid over the image; the pixels between them are
    /// displaced by bilinear interpolation.
    pub elastic: f32,
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rotation_degrees, translation, scale, shear_degrees, elastic } = self;
        write!(
            f,
            "rotation up to {rotation_degrees} degrees, translation up to {translation} of the side, scale up to \
             {scale}, shear up to {shear_degrees} degrees, elastic distortion up to {elastic} of the side"
        )
    }
}

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
    pub const NONE: Self =
        Self { rotation_degrees: 0.0, translation: 0.0, scale: 0.0, shear_degrees: 0.0, elastic: 0.0 };

    /// Writes a warped copy of `image`, which has `side` rows and columns, to `out`.
    ///
    /// Pixels are interpolated bilinearly, and are 0 where their source is outside the image. `key` is (seed, epoch,
    /// index); the result depends on nothing else.
    ///
    /// # Panics
    ///
    /// Panics if `image` or `out` does not have `side * side` pixels.
    pub fn apply(&self, image: &[u8], side: usize, key: (u64, u64, u64), out: &mut [u8]) {
        assert_eq!(
            (image.len(), out.len()),
            (side * side, side * side),
            "an image of side {side} does not have its number of pixels"
        );
        self.warp(side, key).apply(image, side, out);
    }

    /// Returns the warp with which [`apply`](Self::apply) changes the image of this key.
    pub(crate) fn warp(&self, side: usize, key: (u64, u64, u64)) -> Warp {
        let mut rng = stream(Purpose::Augment, [key.0, key.1, key.2]);
        let mut within = |limit: f32| limit * (2.0 * rng.random::<f32>() - 1.0);
        let part_of_side = |part: f32| part.clamp(0.0, 1.0) * side as f32;
        let angle = within(self.rotation_degrees.clamp(0.0, 180.0).to_radians());
        let shift = part_of_side(self.translation);
        let (dx, dy) = (within(shift), within(shift));
        let scale = self.scale.clamp(0.0, 0.9);
        let scale = [1.0 + within(scale), 1.0 + within(scale)];
        let slant = within(self.shear_degrees.clamp(0.0, 60.0).to_radians());
        let mut warp = Warp::new(side, Affine { angle, scale, slant, shift: [dx, dy] });
        if self.elastic > 0.0 {
            let pull = ONE * part_of_side(self.elastic);
            warp.knots = warp.knots.map(|row| row.map(|knot| knot.map(|_| within(pull) as i64)));
        }
        warp
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

    /// Returns the warp that moves an image with `side` rows and columns like an affine map.
    pub(super) fn new(
        side: usize,
        Affine { angle, scale: [width, height], slant, shift: [dx, dy] }: Affine,
    ) -> Self {
        let (sin, cos) = sin_cos(angle);
        let (slant_sin, slant_cos) = sin_cos(slant);
        let slant = slant_sin / slant_cos;
        let centre = (side as f32 - 1.0) / 2.0;
        // The source of a target pixel q is found by the inverse map: (q - centre - d) is rotated, sheared and scaled
        // back.
        let across = [(cos + slant * sin) / width, -sin / height];
        let down = [(sin - slant * cos) / width, cos / height];
        let (x, y) = (centre + dx, centre + dy);
        let fixed = |value: f32| (value * ONE).round() as i64;
        let start = [0, 1].map(|axis| fixed(centre - across[axis] * x - down[axis] * y));
        Self { start, across: across.map(fixed), down: down.map(fixed), ..Self::NONE }
    }

    /// Writes the warped `image` to `out`.
    pub(super) fn apply(&self, image: &[u8], side: usize, out: &mut [u8]) {
        let Self { start: mut row_start, across, down, ref knots } = *self;
        let is_bent = *knots != Self::NONE.knots;
        for (row, out) in out.chunks_exact_mut(side.max(1)).enumerate() {
            let place = between(row, side);
            let row_knots: [_; KNOTS] = array::from_fn(|at| mix(place, |row| knots[row][at]));
            let [mut x, mut y] = row_start;
            for (column, pixel) in out.iter_mut().enumerate() {
                let [bend_x, bend_y] =
                    if is_bent { mix(between(column, side), |at| row_knots[at]) } else { [0; 2] };
                *pixel = bilinear(image, side, x + (bend_x >> 16), y + (bend_y >> 16));
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
fn bilinear(image: &[u8], side: usize, x: i64, y: i64) -> u8 {
    let (column, row) = ((x >> 16) as usize, (y >> 16) as usize); // negative ones become huge
    let (right, down) = ((x >> 8 & 255) as u32, (y >> 8 & 255) as u32);
    let [a, b, c, d] = if column < side - 1 && row < side - 1 {
        let at = row * side + column;
        let pixels = &image[at..at + side + 2];
        [pixels[0], pixels[1], pixels[side], pixels[side + 1]]
    } else {
        let get = |column: usize, row: usize| {
            let inside = column < side && row < side;
            if inside {
                image[row * side + column]
            } else {
                0
            }
        };
        let (next_column, next_row) = (column.wrapping_add(1), row.wrapping_add(1));
        [get(column, row), get(next_column, row), get(column, next_row), get(next_column, next_row)]
    }
    .map(u32::from);
    let above = a * (256 - right) + b * right;
    let below = c * (256 - right) + d * right;
    ((above * (256 - down) + below * down + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    const SIDE: usize = 28;
    const ALL: Augmentation = Augmentation {
        rotation_degrees: 7.0,
        translation: 0.1,
        scale: 0.1,
        shear_degrees: 7.0,
        elastic: 0.04,
    };

    fn moved(augmentation: Augmentation, key: (u64, u64, u64)) -> Vec<u8> {
        let mut out = vec![77; SIDE * SIDE];
        augmentation.apply(&synthetic::digit(5, 1), SIDE, key, &mut out);
        out
    }

    fn warped(image: &[u8], affine: Affine) -> Vec<u8> {
        let mut out = vec![77; SIDE * SIDE];
        Warp::new(SIDE, affine).apply(image, SIDE, &mut out);
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
        warp.apply(&image, SIDE, &mut out);
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
            Augmentation::default().apply(&image, SIDE, (42, 0, index), &mut out);
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

    #[test]
    fn wild_parameters_and_tiny_images_do_no_harm() {
        for value in [f32::NAN, f32::INFINITY, -1.0, 1e30] {
            let wild = Augmentation {
                rotation_degrees: value,
                translation: value,
                scale: value,
                shear_degrees: value,
                elastic: value,
            };
            moved(wild, (1, 1, 1));
        }
        for side in [0, 1, 2] {
            ALL.apply(&[9; 4][..side * side], side, (1, 1, 1), &mut [0; 4][..side * side]);
        }
    }
}
