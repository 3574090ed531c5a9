//! Small random rotations and translations of the training images.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::sin_cos;
use crate::random::{stream, Purpose};

/// How far training images are moved about at random: every epoch sees each image a little different.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// The largest rotation about the centre, either way, in degrees; at most 180.
    pub rotation_degrees: f32,
    /// The largest translation in each direction, as a part of the image's side; at most 1.
    pub translation: f32,
}

impl Default for Augmentation {
    /// 7 degrees and a tenth.
    fn default() -> Self {
        Self { rotation_degrees: 7.0, translation: 0.1 }
    }
}

// Source coordinates are fixed-point numbers with 16 fraction bits: the floor of one is a shift, and every machine
// gets the same pixels.
const ONE: f32 = 65536.0;

impl Augmentation {
    /// Nothing moves.
    pub const NONE: Self = Self { rotation_degrees: 0.0, translation: 0.0 };

    /// Writes a moved copy of `image`, which has `side` rows and columns, to `out`: bilinear, and black where the
    /// source is outside the image. `key` is (seed, epoch, index), and the result is a function of it.
    ///
    /// # Panics
    ///
    /// If `image` or `out` does not have `side * side` pixels.
    pub fn apply(&self, image: &[u8], side: usize, key: (u64, u64, u64), out: &mut [u8]) {
        assert_eq!(
            (image.len(), out.len()),
            (side * side, side * side),
            "pixels of an image with side {side}"
        );
        self.motion(side, key).apply(image, side, out);
    }

    /// How [`apply`](Self::apply) moves the image with that key.
    pub(crate) fn motion(&self, side: usize, key: (u64, u64, u64)) -> Motion {
        let mut rng = stream(Purpose::Augment, [key.0, key.1, key.2]);
        let mut within = |limit: f32| limit * (2.0 * rng.random::<f32>() - 1.0);
        let angle = within(self.rotation_degrees.clamp(0.0, 180.0).to_radians());
        let shift = self.translation.clamp(0.0, 1.0) * side as f32;
        let (dx, dy) = (within(shift), within(shift));
        Motion::new(side, angle, dx, dy)
    }
}

/// Where the pixels of a moved image are fetched from, in fixed-point numbers with 16 fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Motion {
    /// Column and row of what the first pixel fetches.
    pub start: [i64; 2],
    /// From one pixel to the next: the way along the row, and the way up.
    pub cos_sin: [i64; 2],
}

impl Motion {
    /// Each pixel from its place.
    pub(crate) const NONE: Self = Self { start: [0, 0], cos_sin: [1 << 16, 0] };

    /// Rotates by `angle` (clockwise on the screen) about the centre, then moves by (dx, dy) pixels.
    fn new(side: usize, angle: f32, dx: f32, dy: f32) -> Self {
        let (sin, cos) = sin_cos(angle);
        let centre = (side as f32 - 1.0) / 2.0;
        // Each target pixel fetches from where it came from: p = R^-1 (q - centre - d) + centre.
        let fixed = |value: f32| (value * ONE).round() as i64;
        let (x, y) = (centre + dx, centre + dy);
        let start = [fixed(centre - cos * x - sin * y), fixed(centre + sin * x - cos * y)];
        Self { start, cos_sin: [fixed(cos), fixed(sin)] }
    }

    /// Writes the moved `image` to `out`.
    fn apply(&self, image: &[u8], side: usize, out: &mut [u8]) {
        let ([mut row_x, mut row_y], [cos, sin]) = (self.start, self.cos_sin);
        for row in out.chunks_exact_mut(side.max(1)) {
            let (mut x, mut y) = (row_x, row_y);
            for pixel in row {
                *pixel = bilinear(image, side, x, y);
                x += cos;
                y -= sin;
            }
            row_x += sin;
            row_y += cos;
        }
    }
}

/// Mixes the four pixels around (x, y).
fn bilinear(image: &[u8], side: usize, x: i64, y: i64) -> u8 {
    let (column, row) = ((x >> 16) as usize, (y >> 16) as usize); // a negative one becomes huge
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

    fn moved(augmentation: Augmentation, key: (u64, u64, u64)) -> Vec<u8> {
        let mut out = vec![77; SIDE * SIDE];
        augmentation.apply(&synthetic::digit(5, 1), SIDE, key, &mut out);
        out
    }

    fn warped(image: &[u8], angle: f32, dx: f32, dy: f32) -> Vec<u8> {
        let mut out = vec![77; SIDE * SIDE];
        Motion::new(SIDE, angle, dx, dy).apply(image, SIDE, &mut out);
        out
    }

    #[test]
    fn none_changes_nothing() {
        assert_eq!(moved(Augmentation::NONE, (1, 2, 3)), synthetic::digit(5, 1));
    }

    #[test]
    fn result_is_a_function_of_the_key() {
        let default = Augmentation::default();
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
        let out = warped(&image, 0.0, 9.0, -12.0);
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
        let out = warped(&image, std::f32::consts::FRAC_PI_2, 0.0, 0.0);
        for (at, &pixel) in out.iter().enumerate() {
            let (column, row) = (at % SIDE, at / SIDE);
            assert!(pixel.abs_diff(image[(SIDE - 1 - column) * SIDE + row]) <= 1, "({column}, {row})");
        }
    }

    /// The plain formula in floating point, pixel by pixel.
    fn oracle(image: &[u8], angle: f64, dx: f64, dy: f64) -> Vec<f64> {
        let (cos, sin) = (1.0 - angle * angle / 2.0 + angle.powi(4) / 24.0, angle - angle.powi(3) / 6.0);
        let ink = |column: f64, row: f64| {
            let inside = (0.0..SIDE as f64).contains(&column) && (0.0..SIDE as f64).contains(&row);
            if inside {
                f64::from(image[row as usize * SIDE + column as usize])
            } else {
                0.0
            }
        };
        let pixel = |at: usize| {
            let (x, y) = ((at % SIDE) as f64 - 13.5 - dx, (at / SIDE) as f64 - 13.5 - dy);
            let (x, y) = (cos * x + sin * y + 13.5, -sin * x + cos * y + 13.5);
            let (left, top) = (x.floor(), y.floor());
            let (u, v) = (x - left, y - top);
            (ink(left, top) * (1.0 - u) + ink(left + 1.0, top) * u) * (1.0 - v)
                + (ink(left, top + 1.0) * (1.0 - u) + ink(left + 1.0, top + 1.0) * u) * v
        };
        (0..SIDE * SIDE).map(pixel).collect()
    }

    #[test]
    fn agrees_with_the_oracle() {
        for (seed, (angle, dx, dy)) in
            [(0.1, 0.3, -2.7), (-0.12, 2.8, 2.2), (0.05, -6.5, 9.25)].into_iter().enumerate()
        {
            // Full ink to the edge, so that the border is tried too.
            let image = synthetic::digit(8, seed as u64).map(|ink| 255 - ink);
            let out = warped(&image, angle as f32, dx as f32, dy as f32);
            for (at, (&a, b)) in out.iter().zip(oracle(&image, angle, dx, dy)).enumerate() {
                // Fractions of 1/256 of a pixel.
                assert!((f64::from(a) - b).abs() <= 2.5, "{at}: {a} instead of {b}");
            }
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
            moved(Augmentation { rotation_degrees: value, translation: value }, (1, 1, 1));
        }
        for side in [0, 1, 2] {
            Augmentation::default().apply(
                &[9; 4][..side * side],
                side,
                (1, 1, 1),
                &mut [0; 4][..side * side],
            );
        }
    }
}
