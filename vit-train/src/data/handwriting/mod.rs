//! Brings a digit that somebody drew, scanned or photographed to the form of MNIST's images.
//!
//! MNIST's digits are light ink on a dark ground; they fill a box of 20x20 pixels, with their proportions, and their
//! centre of mass is in the middle of 28x28. A user's picture has any size and is mostly dark on light, and a photograph
//! has shadows, noise, lines on the paper, and a table around it. These steps follow each other:
//!
//! 1. A large picture is shrunk, which averages noise out, and a small photograph is enlarged.
//! 2. A bright sheet that ends within the picture is found, and the table around it is painted over (`sheet`).
//! 3. The ground is subtracted (`ground`): a smooth surface, of second degree in x and y, is fitted to what most pixels
//!    show. If the ground is not smooth, because of the edge of a shadow or a fold, everything wider than a stroke is
//!    ground.
//! 4. Pixels that differ from the ground by more than its noise are ink: either the darker or the lighter ones,
//!    whichever there are more of.
//! 5. Straight lines across the picture and frames are removed, except where a stroke crosses them (`lines`).
//! 6. The digit is the largest connected component with the components near to it (`components`). Specks, blots, pale
//!    stains and components that touch the edge of the picture are left out.
//! 7. Lines that would be thinner than a pixel of the result are thickened.
//! 8. The box around the digit is scaled and moved.
//!
//! If the result does not look like one digit, a [`Doubt`] says why.

mod components;
mod doubt;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "pictures of tests may differ in a bit between platforms")]
mod drawn;
mod ground;
mod lines;
mod plane;
mod polygon;
mod sheet;
#[cfg(test)]
mod tests;

pub(crate) use doubt::Doubt;

use super::{picture, DataError, Format, PictureError};
use ground::{Ink, SURELY_INK};
use image::{imageops, GrayImage, Luma};
use plane::Plane;
use std::path::Path;

/// The longest side, in pixels, of a picture that is not shrunk.
const LONGEST_SIDE: u32 = 512;
/// The shortest side, in pixels, of a photograph that is not enlarged.
const SHORTEST_SIDE: u32 = 128;
/// A pixel that differs from the ground by more than this times the noise is ink if it touches ink.
const PERHAPS_INK: f32 = 2.5;
/// In a smaller picture, lines and stains cannot be told from strokes, or a sheet from what is written.
const LEAST_PHOTOGRAPH: u32 = 48;
/// The least share of full ink in a pixel that belongs to a stroke, in a photograph and in a small picture, whose edges
/// are soft.
const PALE_INK: (f32, f32) = (0.35, 0.04);
/// The side of the box that a digit fills, relative to the image: 20 of MNIST's 28 pixels.
const BOX: f32 = 20.0 / 28.0;
/// The least width of a line, relative to the box.
const LEAST_LINE: f32 = 0.11;

/// An image in the form of MNIST's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handwriting {
    /// Grey values, row by row: 0 is the background, 255 full ink.
    pub pixels: Vec<u8>,
    /// True if the picture was dark on light.
    pub inverted: bool,
    /// The reason, if there is one, why this may not be the digit that was meant.
    pub doubt: Option<Doubt>,
}

/// Reads a picture file and returns the digit in it as an image of `side` rows and columns.
///
/// # Errors
/// [`DataError::Picture`]; [`DataError::BlankPicture`].
pub(crate) fn read(path: &Path, side: usize) -> Result<Handwriting, DataError> {
    let picture = picture::read_grey(path).map_err(|error| not_a_picture(path, error))?;
    find(&picture, side).ok_or_else(|| DataError::BlankPicture { path: path.to_owned() })
}

/// Returns true if digits can be prepared as images of this format.
pub(crate) fn takes(format: Format) -> bool {
    format.height == format.width && format.channels == 1
}

fn not_a_picture(path: &Path, error: PictureError) -> DataError {
    DataError::Picture { path: path.to_owned(), error }
}

/// Returns the digit in a picture as an image of `side` rows and columns, or None if the picture is blank.
pub(crate) fn find(picture: &GrayImage, side: usize) -> Option<Handwriting> {
    let mut picture = scaled(picture, u32::max, |longer| longer.min(LONGEST_SIDE));
    let is_photograph = picture.width().min(picture.height()) >= LEAST_PHOTOGRAPH;
    if is_photograph {
        picture = scaled(&picture, u32::min, |shorter| shorter.max(SHORTEST_SIDE));
    }
    let plane = Plane::from_fn(picture.width(), picture.height(), |x, y| {
        Luma([f32::from(picture.get_pixel(x, y).0[0])])
    });
    let sheet = if is_photograph { sheet::without_table(&plane) } else { None };
    let on_sheet = sheet.and_then(|sheet| find_on(&sheet, is_photograph, side));
    let is_at_edge = |found: &Handwriting| found.inverted && found.doubt == Some(Doubt::AtEdge);
    let is_over_edge = on_sheet.as_ref().is_some_and(is_at_edge);
    let on_sheet = on_sheet.filter(|found| found.inverted && found.doubt != Some(Doubt::AtEdge));
    let is_sure = |found: &Option<Handwriting>| found.as_ref().is_some_and(|found| found.doubt.is_none());
    if is_sure(&on_sheet) && !ground::is_flat(&plane) {
        return on_sheet;
    }
    // The supposed sheet may be the digit itself: a thick, bright 8 has dark spots in it.
    let mut found = find_on(&plane, is_photograph, side);
    if let Some(found) = found.as_mut().filter(|found| is_over_edge && !found.inverted) {
        // This is the sheet, with a hole where the digit is that reaches its edge.
        found.doubt = found.doubt.or(Some(Doubt::AtEdge));
    }
    if on_sheet.is_none() || is_sure(&found) {
        return found;
    }
    on_sheet
}

fn find_on(plane: &Plane, is_photograph: bool, side: usize) -> Option<Handwriting> {
    let (width, height) = plane.dimensions();
    let Ink { plane: mut ink, noise, dark } = ground::remove(plane, is_photograph);
    let pale = if is_photograph { PALE_INK.0 } else { PALE_INK.1 };
    let levels = |ink: &Plane| {
        let high = threshold(ink, SURELY_INK * noise)?;
        let mut strong: Vec<f32> = ink.iter().copied().filter(|&x| x > high).collect();
        strong.sort_by(f32::total_cmp);
        let full = strong[strong.len() * 9 / 10];
        Some(((PERHAPS_INK * noise).max(pale * full), high, full))
    };
    let (mut low, mut high, mut full) = levels(&ink)?;
    if is_photograph {
        lines::remove(&mut ink, low, high);
        (low, high, full) = levels(&ink)?;
    }
    let found = components::components(&ink, low, high);
    let (digit, doubt) = components::digit(&found, &ink, is_photograph)?;
    let mut kept = Plane::new(width, height);
    for &index in digit.iter().flat_map(|component| &component.pixels) {
        kept.as_mut()[index] = (ink.as_raw()[index] / full).min(1.0);
    }
    Some(Handwriting { pixels: place(&thicken(&crop(&kept)), side), inverted: dark, doubt })
}

/// Scales a picture until the shorter or the longer one of its sides, by `which`, has another length.
fn scaled(picture: &GrayImage, which: fn(u32, u32) -> u32, to: impl Fn(u32) -> u32) -> GrayImage {
    let (width, height) = picture.dimensions();
    let from = which(width, height);
    let to = to(from);
    if from == to {
        return picture.clone();
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(to)).div_ceil(u64::from(from)) as u32;
    imageops::resize(picture, scaled(width), scaled(height), imageops::FilterType::Triangle)
}

/// Returns the threshold that is half of the mean of the values above it, and at least `least`; or None if no value is
/// above it.
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

/// Crops a picture to the box around the pixels that are not 0. There is at least one.
fn crop(ink: &Plane) -> Plane {
    let mut bounds = [u32::MAX, 0, u32::MAX, 0];
    for (x, y, _) in ink.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0.0) {
        let [left, right, top, bottom] = bounds;
        bounds = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
    }
    let [left, right, top, bottom] = bounds;
    imageops::crop_imm(ink, left, top, right + 1 - left, bottom + 1 - top).to_image()
}

/// Thickens lines that are too thin for the size of the digit, all by the same width.
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
    // A line has two sides, and on average over all directions an outline has 4 / pi times as many sides of pixels as
    // its length.
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
                // The pen is round and has a soft edge.
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
    // A filter that only interpolates would blur the lines of a small picture.
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
