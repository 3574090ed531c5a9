//! What somebody drew, scanned or photographed, brought to the form of MNIST's images.
//!
//! MNIST's digits are light ink on a dark ground; they fill a box of 20x20 pixels, with their proportions, and their
//! centre of mass is in the middle of 28x28. A user's picture is of any size, mostly dark on light, and a photograph has
//! a shadow on one side and noise everywhere. So, one after the other:
//!
//! 1. A large picture is shrunk, which averages noise out.
//! 2. The ground is what most pixels show. A smooth surface, of second degree in x and y, is fitted to it, and pixels
//!    that are far off are left out of the next fit, until only the ground is left.
//! 3. What differs from the ground more than its noise does is ink, darker or lighter: whichever there is more of.
//! 4. Specks are no ink, and neither is what lies across the edge of the picture (a shadow, the table), if there is
//!    something else.
//! 5. Lines that would be thinner than a pixel of the result are thickened.
//! 6. The box around the ink is scaled and moved.

use super::{picture, DataError, PictureError};
use image::{imageops, GrayImage, ImageBuffer, Luma};
use std::path::Path;

/// The longest side, in pixels, of a picture that is not shrunk.
const WORKING_SIDE: u32 = 512;
/// Fits of the surface.
const FITS: usize = 12;
/// Times the noise: what differs more is ink.
const SURELY_INK: f32 = 5.0;
/// Times the noise: what differs more is ink, where it touches ink.
const PERHAPS_INK: f32 = 2.5;
/// The least noise, in grey levels: of rounding and of JPEG's.
const LEAST_NOISE: f32 = 1.0;
/// A piece with a smaller part of the largest one's area is a speck.
const SPECK: f32 = 0.02;
/// Of MNIST's 28 pixels, the digit fills 20.
const BOX: f32 = 20.0 / 28.0;
/// The least width of a line, as a part of the box.
const LEAST_LINE: f32 = 0.11;

type Plane = ImageBuffer<Luma<f32>, Vec<f32>>;

/// An image as MNIST has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handwriting {
    /// Grey values, row by row: 0 is the background, 255 full ink.
    pub pixels: Vec<u8>,
    /// Whether the picture was dark on light.
    pub inverted: bool,
}

/// What is written in a PNG or JPEG file, as an image of `side` rows and columns.
///
/// # Errors
/// [`DataError::Picture`]; [`DataError::BlankPicture`].
pub fn read(path: &Path, side: usize) -> Result<Handwriting, DataError> {
    let picture = picture::read_grey(path).map_err(|error| not_a_picture(path, error))?;
    find(&picture, side).ok_or_else(|| DataError::BlankPicture { path: path.to_owned() })
}

/// A PNG or JPEG file as it is, grey and stretched to `side` rows and columns.
///
/// # Errors
/// [`DataError::Picture`].
pub fn read_raw(path: &Path, side: usize) -> Result<Vec<u8>, DataError> {
    picture::read_square(path, side).map_err(|error| not_a_picture(path, error))
}

fn not_a_picture(path: &Path, error: PictureError) -> DataError {
    DataError::Picture { path: path.to_owned(), error, others: Vec::new() }
}

/// What is written in a picture, as an image of `side` rows and columns; nothing, where the picture is blank.
pub fn find(picture: &GrayImage, side: usize) -> Option<Handwriting> {
    let plane = shrink(picture);
    let (width, height) = (plane.width() as usize, plane.height() as usize);
    let (mut ink, noise) = without_ground(&plane);
    // The sum of squares counts what stands out, and not what is wide.
    let energy = |sign: f32| {
        let beyond = ink.iter().map(|&x| f64::from(sign * x)).filter(|&x| x > f64::from(SURELY_INK * noise));
        beyond.map(|x| x * x).sum::<f64>()
    };
    let inverted = energy(-1.0) > energy(1.0);
    if inverted {
        ink.iter_mut().for_each(|x| *x = -*x);
    }
    let threshold = threshold(&ink, SURELY_INK * noise)?;
    let mut strong: Vec<f32> = ink.iter().copied().filter(|&x| x > threshold).collect();
    strong.sort_by(f32::total_cmp);
    let full = strong[strong.len() * 9 / 10];
    let kept = pieces(&ink, width, (PERHAPS_INK * noise).max(0.04 * full), threshold)?;
    for (x, kept) in ink.iter_mut().zip(kept) {
        *x = if kept { (*x / full).min(1.0) } else { 0.0 };
    }
    let ink = Plane::from_raw(width as u32, height as u32, ink)?;
    Some(Handwriting { pixels: place(&thicken(&crop(&ink)), side), inverted })
}

fn shrink(picture: &GrayImage) -> Plane {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let shrunk = (longest > WORKING_SIDE).then(|| {
        let scaled =
            |side: u32| (u64::from(side) * u64::from(WORKING_SIDE)).div_ceil(u64::from(longest)) as u32;
        imageops::resize(picture, scaled(width), scaled(height), imageops::FilterType::Triangle)
    });
    let picture = shrunk.as_ref().unwrap_or(picture);
    Plane::from_fn(picture.width(), picture.height(), |x, y| Luma([f32::from(picture.get_pixel(x, y).0[0])]))
}

/// The differences from the ground, and its noise (a standard deviation).
fn without_ground(plane: &Plane) -> (Vec<f32>, f32) {
    let (width, height) = (plane.width() as usize, plane.height() as usize);
    let centred =
        |at: usize, len: usize| if len < 2 { 0.0 } else { 2.0 * at as f64 / (len - 1) as f64 - 1.0 };
    let terms = |index: usize| {
        let (x, y) = (centred(index % width, width), centred(index / width, height));
        [1.0, x, y, x * x, x * y, y * y]
    };
    let pixels = plane.as_raw();

    // The first guess is the edge of the picture, where the ground is.
    let (inner_x, inner_y) = (1..width.saturating_sub(1), 1..height.saturating_sub(1));
    let on_edge =
        |&index: &usize| !(inner_x.contains(&(index % width)) && inner_y.contains(&(index / width)));
    let edge = median((0..pixels.len()).filter(on_edge).map(|index| pixels[index]).collect());
    let mut differences: Vec<f32> = pixels.iter().map(|x| x - edge).collect();
    let mut deviation = 0.0;
    for fit in 0..=FITS {
        deviation = median(differences.iter().map(|x| x.abs()).collect()).max(LEAST_NOISE / 1.5);
        if fit == FITS {
            break;
        }
        let mut matrix = [[0.0; 7]; 6];
        for (index, &pixel) in
            pixels.iter().enumerate().filter(|&(index, _)| differences[index].abs() <= 3.0 * deviation)
        {
            let terms = terms(index);
            for (row, a) in matrix.iter_mut().zip(terms) {
                for (sum, b) in row.iter_mut().zip(terms.into_iter().chain([f64::from(pixel)])) {
                    *sum += a * b;
                }
            }
        }
        // Where there is little ground, or on one side only, the surface is flat.
        let ridge = 1e-3 * matrix[0][0] + 1e-9;
        (1..6).for_each(|i| matrix[i][i] += ridge);
        let surface = solve(matrix);
        for (index, (difference, &pixel)) in differences.iter_mut().zip(pixels).enumerate() {
            let ground: f64 = terms(index).iter().zip(surface).map(|(term, factor)| term * factor).sum();
            *difference = pixel - ground as f32;
        }
    }
    // Half of all values lie within 0.67 standard deviations.
    (differences, 1.5 * deviation)
}

/// Solves six equations with a positive definite matrix, whose right side is the last column.
fn solve(mut matrix: [[f64; 7]; 6]) -> [f64; 6] {
    for pivot in 0..6 {
        let row = matrix[pivot];
        for (_, values) in matrix.iter_mut().enumerate().filter(|&(other, _)| other != pivot) {
            let factor = values[pivot] / row[pivot];
            values.iter_mut().zip(row).for_each(|(value, x)| *value -= factor * x);
        }
    }
    std::array::from_fn(|i| matrix[i][6] / matrix[i][i])
}

fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Half of the mean of what is above it, and at least `least`; nothing, where nothing is.
fn threshold(ink: &[f32], least: f32) -> Option<f32> {
    let mut threshold = least;
    for _ in 0..20 {
        let above = || ink.iter().filter(|&&x| x > threshold).map(|&x| f64::from(x));
        match above().count() {
            0 => return None,
            count => threshold = (above().sum::<f64>() / count as f64 / 2.0).max(least.into()) as f32,
        }
    }
    Some(threshold)
}

/// Which pixels belong to what is written: to a piece of pixels above `low` that has enough above `high`.
fn pieces(ink: &[f32], width: usize, low: f32, high: f32) -> Option<Vec<bool>> {
    struct Piece {
        area: usize,
        /// Leftmost and rightmost column, uppermost and lowest row.
        bounds: [usize; 4],
    }
    let height = ink.len() / width;
    let mut numbers = vec![usize::MAX; ink.len()];
    let mut pieces = Vec::new();
    let mut open = Vec::new();
    for start in 0..ink.len() {
        if ink[start] <= low || numbers[start] != usize::MAX {
            continue;
        }
        let mut piece = Piece { area: 0, bounds: [usize::MAX, 0, usize::MAX, 0] };
        numbers[start] = pieces.len();
        open.push(start);
        while let Some(index) = open.pop() {
            let (x, y) = (index % width, index / width);
            piece.area += usize::from(ink[index] > high);
            let [left, right, top, bottom] = piece.bounds;
            piece.bounds = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    let neighbour = y * width + x;
                    if ink[neighbour] > low && numbers[neighbour] == usize::MAX {
                        numbers[neighbour] = pieces.len();
                        open.push(neighbour);
                    }
                }
            }
        }
        pieces.push(piece);
    }

    let inside = |piece: &Piece| {
        let [left, right, top, bottom] = piece.bounds;
        left > 0 && top > 0 && right + 1 < width && bottom + 1 < height
    };
    let large = |piece: &Piece| {
        let [left, right, top, bottom] = piece.bounds;
        piece.area > 0 && 10 * (right - left).max(bottom - top) >= width.max(height)
    };
    let only_inside = pieces.iter().any(|piece| inside(piece) && large(piece));
    let candidate = |piece: &&Piece| piece.area > 0 && (inside(piece) || !only_inside);
    let largest = pieces.iter().filter(candidate).map(|piece| piece.area).max()?;
    let kept = |number: usize| {
        let Some(piece) = pieces.get(number) else { return false };
        candidate(&piece) && piece.area as f32 >= SPECK * largest as f32
    };
    Some(numbers.into_iter().map(kept).collect())
}

/// The box around what is not 0; there is something.
fn crop(ink: &Plane) -> Plane {
    let mut bounds = [u32::MAX, 0, u32::MAX, 0];
    for (x, y, _) in ink.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0.0) {
        let [left, right, top, bottom] = bounds;
        bounds = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
    }
    let [left, right, top, bottom] = bounds;
    imageops::crop_imm(ink, left, top, right + 1 - left, bottom + 1 - top).to_image()
}

/// Makes lines that are too thin for the size of what is written thicker, all by as much.
fn thicken(ink: &Plane) -> Plane {
    let full = |x: i64, y: i64| {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return false };
        ink.get_pixel_checked(x, y).is_some_and(|pixel| pixel.0[0] > 0.5)
    };
    let (width, height) = ink.dimensions();
    let (mut area, mut outline) = (0.0_f32, 0.0_f32);
    for (x, y) in (0..i64::from(height)).flat_map(|y| (0..i64::from(width)).map(move |x| (x, y))) {
        if full(x, y) {
            area += 1.0;
            let open =
                [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)].into_iter().filter(|&(x, y)| !full(x, y));
            outline += open.count() as f32;
        }
    }
    // A line has two sides; sides that slant have 4 / pi times their length in pixels, on average.
    let line = 2.0 * area / (outline * 0.785).max(1.0);
    let radius = (LEAST_LINE * width.max(height) as f32 - line) / 2.0;
    if radius < 0.5 {
        return ink.clone();
    }
    let margin = radius.ceil() as u32;
    let mut thick = Plane::new(width + 2 * margin, height + 2 * margin);
    for (x, y, pixel) in ink.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0.0) {
        for dy in 0..=2 * margin {
            for dx in 0..=2 * margin {
                let (a, b) = (dx as f32 - margin as f32, dy as f32 - margin as f32);
                // Round, with a soft edge.
                let share = (radius + 0.5 - (a * a + b * b).sqrt()).clamp(0.0, 1.0);
                let value = &mut thick.get_pixel_mut(x + dx, y + dy).0[0];
                *value = value.max(share * pixel.0[0]);
            }
        }
    }
    crop(&thick)
}

/// Scales to the box and moves the centre of mass to the middle.
fn place(ink: &Plane, side: usize) -> Vec<u8> {
    let (width, height) = ink.dimensions();
    let length = (BOX * side as f32).round().max(1.0);
    let scale = length / width.max(height) as f32;
    let scaled = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let (width, height) = (scaled(width), scaled(height));
    // Lines of a small picture would be blurred by a filter that only interpolates.
    let filter = if scale > 1.0 { imageops::FilterType::CatmullRom } else { imageops::FilterType::Triangle };
    let ink = imageops::resize(ink, width, height, filter);

    let mut sums = [1e-9_f64; 3];
    for (x, y, pixel) in ink.enumerate_pixels() {
        let mass = f64::from(pixel.0[0]);
        let terms = [mass, mass * f64::from(x), mass * f64::from(y)];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
    let offset = |moment: f64, len: u32| {
        let middle = side as f64 / 2.0 - 0.5;
        ((middle - moment / sums[0]).round().max(0.0) as usize).min(side - len as usize)
    };
    let (left, top) = (offset(sums[1], width), offset(sums[2], height));
    let mut pixels = vec![0; side * side];
    for (x, y, pixel) in ink.enumerate_pixels() {
        let value = (255.0 * pixel.0[0]).round().clamp(0.0, 255.0) as u8;
        pixels[(top + y as usize) * side + left + x as usize] = value;
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synthetic::digit;

    fn picture(pixels: &[u8]) -> GrayImage {
        GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap()
    }

    /// The cosine of the angle between two images, the second one moved by up to two pixels: 1 where they are alike, but
    /// for their place and the amount of ink.
    fn alike(a: &[u8], b: &[u8]) -> f64 {
        let sum = |pairs: &mut dyn Iterator<Item = (u8, u8)>| {
            pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum::<f64>()
        };
        let norms = [a, b].map(|x| sum(&mut x.iter().map(|&x| (x, x))).sqrt());
        let moves = (0..25).map(|at| (at % 5 - 2) + 28 * (at / 5 - 2));
        let moved = moves.map(|by: isize| {
            let other = |at: usize| at.checked_add_signed(by).and_then(|at| b.get(at)).copied();
            sum(&mut a.iter().enumerate().map(|(at, &a)| (a, other(at).unwrap_or(0))))
        });
        moved.fold(0.0, f64::max) / (norms[0] * norms[1])
    }

    fn check(kind: &str, least: f64, change: impl Fn(&GrayImage) -> GrayImage, inverted: bool) {
        let mut worst = 1.0_f64;
        for index in 0..20 {
            let original = digit(index, u64::from(index));
            let found = find(&change(&picture(&original)), 28).unwrap();
            assert_eq!(found.inverted, inverted, "{kind}, {index}");
            // What is found in the digit itself: as large as the box, with lines that are not too thin.
            let expected = find(&picture(&original), 28).unwrap();
            assert!(alike(&original, &expected.pixels) >= 0.65, "{index}");
            worst = worst.min(alike(&expected.pixels, &found.pixels));
        }
        println!("{kind}: {worst}");
        assert!(worst >= least, "{kind}: {worst}");
    }

    #[test]
    fn mnist_s_form_is_kept() {
        check("original", 1.0 - 1e-9, GrayImage::clone, false);
        let invert = |image: &GrayImage| {
            let mut image = image.clone();
            imageops::invert(&mut image);
            image
        };
        check("inverted", 1.0 - 1e-9, invert, true);
    }

    /// `digit`, enlarged, at (60, 10) of a picture of 400x300.
    fn enlarged(digit: &GrayImage) -> GrayImage {
        let large = imageops::resize(digit, 200, 200, imageops::FilterType::CatmullRom);
        let mut canvas = GrayImage::new(400, 300);
        imageops::replace(&mut canvas, &large, 60, 10);
        canvas
    }

    #[test]
    fn size_place_and_light_do_not_matter() {
        check("enlarged", 0.8, enlarged, false);
        let uneven = |digit: &GrayImage| {
            let large = enlarged(digit);
            let mut random = 1u32;
            GrayImage::from_fn(400, 300, |x, y| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (random >> 24) as f32 / 16.0 - 8.0;
                let light = 1.0 - 0.4 * x as f32 / 400.0 - 0.2 * (y * y) as f32 / 9e4;
                let paper = 230.0 - 120.0 * f32::from(large.get_pixel(x, y).0[0]) / 255.0;
                Luma([(light * paper + noise) as u8])
            })
        };
        check("uneven", 0.8, uneven, true);
        let dirty = |digit: &GrayImage| {
            let mut picture = enlarged(digit);
            for (x, y) in [(10, 10), (380, 150), (300, 290)] {
                (0..9).for_each(|at| picture.put_pixel(x + at % 3, y + at / 3, Luma([255])));
            }
            // Across the lower right corner.
            for (x, y) in (0..60).flat_map(|x| (0..60 - x).map(move |y| (x, y))) {
                picture.put_pixel(399 - x, 299 - y, Luma([200]));
            }
            picture
        };
        check("dirty", 0.8, dirty, false);
    }

    /// As MNIST says of its images: the centre of mass is that of the image, to a whole pixel.
    #[test]
    fn the_centre_of_mass_is_in_the_middle() {
        for index in 0..20 {
            let found = find(&enlarged(&picture(&digit(index, u64::from(index)))), 28).unwrap();
            let mut sums = [0.0; 3];
            for (at, &grey) in found.pixels.iter().enumerate() {
                let terms = [1.0, (at % 28) as f64, (at / 28) as f64].map(|factor| factor * f64::from(grey));
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
            let (x, y) = (sums[1] / sums[0], sums[2] / sums[0]);
            // Half a pixel, and what greys are rounded by.
            assert!((x - 13.5).abs() <= 0.51 && (y - 13.5).abs() <= 0.51, "{index}: {x}, {y}");
        }
    }

    #[test]
    fn large_pictures_are_shrunk() {
        let large = |digit: &GrayImage| imageops::resize(digit, 1400, 1400, imageops::FilterType::CatmullRom);
        check("large", 0.8, large, false);
    }

    #[test]
    fn thin_lines_are_thickened() {
        // A pencil of one pixel, 400 pixels high: without it, 1/20 of a pixel of the result is ink.
        let line = GrayImage::from_fn(500, 500, |x, y| {
            Luma([if x == 250 && (50..450).contains(&y) { 0 } else { 255 }])
        });
        let found = find(&line, 28).unwrap();
        assert!(found.inverted);
        let full = found.pixels.iter().filter(|&&pixel| pixel >= 128).count();
        assert!((20..=60).contains(&full), "{full}");
        // In the middle, and as high as the box.
        let rows = found.pixels.chunks(28).filter(|row| row.iter().any(|&pixel| pixel > 0)).count();
        assert_eq!(rows, 20);
    }

    #[test]
    fn blank_is_nothing() {
        assert_eq!(find(&GrayImage::from_pixel(200, 100, Luma([255])), 28), None);
        let slope = GrayImage::from_fn(300, 300, |x, y| Luma([(250 - x / 3 - y / 6) as u8]));
        assert_eq!(find(&slope, 28), None);
        let mut random = 1u32;
        let noise = GrayImage::from_fn(300, 300, |_, _| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Luma([200 + (random >> 27) as u8])
        });
        assert_eq!(find(&noise, 28), None);
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(1, 1), (1, 2), (2, 1), (1, 50), (50, 1), (3, 3), (600, 1), (1, 2000)] {
            for step in 2..5 {
                let picture = GrayImage::from_fn(width, height, |x, y| {
                    Luma([if (x + y) % step == 0 { 255 } else { 0 }])
                });
                for side in [1, 4, 28] {
                    let found = find(&picture, side);
                    assert!(found.is_none_or(|found| found.pixels.len() == side * side));
                }
            }
        }
    }
}
