//! Corruptions of images, with which the robustness of a trained network is measured.

use super::{
    augment::{Affine, Warp, Window},
    dataset::Dataset,
    format::Format,
    sine::sin_cos,
};
use crate::random::{stream, Purpose};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::{f32::consts::PI, fmt};

/// A corruption of images. Each image of a data set gets its own random direction or noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Corruption {
    /// The image is shifted by this many pixels in a random direction.
    Shift(f32),
    /// The image is rotated about its centre by this many degrees, clockwise or counterclockwise at random.
    Rotation(f32),
    /// Normally distributed noise is added to each level. The number is its standard deviation as a fraction of the
    /// range of grey values.
    Noise(f32),
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shift(pixels) => write!(f, "shifted by {pixels} px"),
            Self::Rotation(degrees) => write!(f, "rotated by {degrees} degrees"),
            Self::Noise(part) => write!(f, "noise of {:.0} % of the range", 100.0 * part),
        }
    }
}

impl Corruption {
    /// The corruptions with which robustness is measured.
    pub(crate) const ALL: [Self; 9] = [
        Self::Shift(1.0),
        Self::Shift(2.0),
        Self::Shift(4.0),
        Self::Rotation(10.0),
        Self::Rotation(20.0),
        Self::Rotation(40.0),
        Self::Noise(0.1),
        Self::Noise(0.2),
        Self::Noise(0.4),
    ];

    /// Returns a corrupted copy of `data`. The same data always give the same copy.
    pub(crate) fn apply(self, data: &Dataset) -> Dataset {
        let format = data.format();
        let mut corrupted = data.clone();
        let images = corrupted.pixels.par_chunks_exact_mut(format.values().max(1)).enumerate();
        images.for_each(|(index, out)| {
            let mut random = stream(Purpose::Corrupt, [index as u64, 0, 0]);
            self.corrupt(data.image(index), format, &mut random, out);
        });
        corrupted
    }

    fn corrupt(self, image: &[u8], format: Format, random: &mut impl Rng, out: &mut [u8]) {
        let mut move_by = |affine| Warp::new(format, affine, Window::WHOLE).apply(image, format, out);
        match self {
            Self::Shift(pixels) => {
                let (sin, cos) = sin_cos(PI * (2.0 * random.random::<f32>() - 1.0));
                move_by(Affine { shift: [pixels * cos, pixels * sin], ..Affine::NONE });
            }
            Self::Rotation(degrees) => {
                let degrees = if random.random() { degrees } else { -degrees };
                move_by(Affine { angle: degrees.to_radians(), ..Affine::NONE });
            }
            Self::Noise(part) => {
                for (out, &level) in out.iter_mut().zip(image) {
                    let noise = 255.0 * part * random.sample::<f32, _>(StandardNormal);
                    *out = (f32::from(level) + noise).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::synthetic, *};

    /// Returns the centre of mass of the ink as \[column, row\].
    fn centre(image: &[u8]) -> [f64; 2] {
        let mass: f64 = image.iter().map(|&ink| f64::from(ink)).sum();
        [(|at| at % 28) as fn(usize) -> usize, |at| at / 28].map(|place| {
            image.iter().enumerate().map(|(at, &ink)| place(at) as f64 * f64::from(ink)).sum::<f64>() / mass
        })
    }

    #[test]
    fn shifts_have_their_length_and_any_direction() {
        // A spot in the middle, which stays within the image.
        let mut image = vec![0; 28 * 28];
        image[14 * 28 + 14] = 255;
        let data = synthetic::dataset(60, 1);
        let data = Dataset { pixels: image.repeat(60), ..data };
        let moved = Corruption::Shift(3.0).apply(&data);
        let mut quadrants = [0; 4];
        for index in 0..data.len() {
            let ([x, y], [to_x, to_y]) = (centre(data.image(index)), centre(moved.image(index)));
            let (dx, dy) = (to_x - x, to_y - y);
            // The tolerance allows for the rounding of grey values.
            assert!((2.95..3.05).contains(&dx.hypot(dy)), "{dx} {dy}");
            quadrants[usize::from(dx > 0.0) + 2 * usize::from(dy > 0.0)] += 1;
        }
        assert!(quadrants.iter().all(|&count| count > 5), "{quadrants:?}");
        assert_eq!(moved.images(), Corruption::Shift(3.0).apply(&data).images());
        assert_eq!(moved.labels(), data.labels());
    }

    #[test]
    fn rotations_go_both_ways_about_the_centre() {
        // A spot ten pixels to the right of the centre, and half a pixel down.
        let mut image = vec![0; 28 * 28];
        for at in [13 * 28 + 23, 13 * 28 + 24, 14 * 28 + 23, 14 * 28 + 24] {
            image[at] = 255;
        }
        let mut ways = [0; 2];
        for index in 0..20 {
            let mut out = vec![0; 28 * 28];
            let mut random = stream(Purpose::Corrupt, [index, 0, 0]);
            Corruption::Rotation(30.0).corrupt(&image, synthetic::FORMAT, &mut random, &mut out);
            let [x, y] = centre(&out);
            // 10 cos 30 and 10 sin 30.
            assert!((x - 13.5 - 8.66).abs() < 0.2 && ((y - 13.5).abs() - 5.0).abs() < 0.2, "{x} {y}");
            ways[usize::from(y > 13.5)] += 1;
        }
        assert!(ways.iter().all(|&count| count > 3), "{ways:?}");
    }

    #[test]
    fn noise_has_its_deviation() {
        let grey = vec![128; 28 * 28];
        let mut out = grey.clone();
        Corruption::Noise(0.1).corrupt(
            &grey,
            synthetic::FORMAT,
            &mut stream(Purpose::Corrupt, [1, 0, 0]),
            &mut out,
        );
        let errors = out.iter().map(|&pixel| f64::from(pixel) - 128.0);
        let variance = errors.map(|error| error * error).sum::<f64>() / 784.0;
        // The expected value is 25.5. Estimated from 784 samples, it varies by about 3 %.
        assert!((23.5..27.5).contains(&variance.sqrt()), "{}", variance.sqrt());
    }
}
