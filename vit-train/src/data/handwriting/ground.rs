//! Separates ink from the paper that it is on.

use super::{
    components::{components, Component},
    plane::{filtered, Plane},
};
use image::imageops;

/// The number of times that the surface is fitted, each time to the pixels that were near to the last one.
const FITS: usize = 12;
/// The least noise, in grey levels, because of rounding and of JPEG.
const LEAST_NOISE: f32 = 1.0;
/// A pixel that differs from the ground by more than this times the noise is ink.
pub(super) const SURELY_INK: f32 = 5.0;
/// The width of the widest stroke, relative to the longer side of the picture, if the ground is not smooth.
const WIDEST_STROKE: f32 = 0.25;
/// The ground is not smooth if more than this share of the picture's edge differs from the surface.
const ROUGH_EDGE: f32 = 0.02;
/// The edge of the picture has one grey value if at most this share of it differs from that value.
const UNEVEN_EDGE: f32 = 0.05;
/// A difference that is less than this share of the largest one is too pale to be taken for ink.
const HARMLESS: f32 = 0.2;
/// The longer side of the reduced picture in which medians of the surroundings are computed.
const COARSE_SIDE: u32 = 48;
/// The grey value that paper has at least, also in the darkest shadow.
const LEAST_LIGHT: f32 = 40.0;

/// The differences of all pixels from the ground, in grey levels; ink is positive.
pub(super) struct Ink {
    pub plane: Plane,
    /// The standard deviation of the ground's noise.
    pub noise: f32,
    /// True if ink is darker than the ground.
    pub dark: bool,
}

/// Subtracts the ground: a smooth surface, or everything that is wider than a stroke if a shadow, a fold or a table
/// makes that impossible.
pub(super) fn remove(plane: &Plane, is_photograph: bool) -> Ink {
    let (width, height) = plane.dimensions();
    let (differences, noise) = surface(plane);
    let differences = Plane::from_raw(width, height, differences).expect("as many as the plane's");
    if !is_photograph || is_smooth(plane, &differences, noise) {
        // The sum of squares counts contrast more than width.
        let energy = |sign: f32| {
            let beyond = differences
                .iter()
                .map(|&x| f64::from(sign * x))
                .filter(|&x| x > f64::from(SURELY_INK * noise));
            beyond.map(|x| x * x).sum::<f64>()
        };
        let dark = energy(-1.0) > energy(1.0);
        Ink { plane: signed(&differences, dark), noise, dark }
    } else {
        narrow(&differences, plane)
    }
}

fn signed(differences: &Plane, dark: bool) -> Plane {
    let mut plane = differences.clone();
    if dark {
        plane.iter_mut().for_each(|x| *x = -*x);
    }
    plane
}

/// The pixels at the edge of the picture.
fn edge(plane: &Plane) -> Vec<f32> {
    let (width, height) = plane.dimensions();
    let at_edge = |x: u32, y: u32| x == 0 || y == 0 || x + 1 == width || y + 1 == height;
    plane.enumerate_pixels().filter(|&(x, y, _)| at_edge(x, y)).map(|(_, _, pixel)| pixel.0[0]).collect()
}

/// Returns the share of the picture's edge that differs by more than `limit` from its median.
fn uneven(picture: &Plane, limit: f32) -> f32 {
    let greys = edge(picture);
    let usual = median(greys.clone());
    greys.iter().filter(|&grey| (grey - usual).abs() > limit).count() as f32 / greys.len() as f32
}

/// True if the edge of the picture has one grey value, without the noise of a photograph.
pub(super) fn is_flat(picture: &Plane) -> bool {
    uneven(picture, LEAST_NOISE) <= UNEVEN_EDGE
}

/// True if the edge of the picture shows only ground, and either the picture has one grey value there or neighbouring
/// pixels differ from each other as much as pixels do from the surface.
fn is_smooth(picture: &Plane, differences: &Plane, noise: f32) -> bool {
    let largest = differences.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    let limit = (SURELY_INK * noise).max(HARMLESS * largest);
    let ground = edge(differences);
    let beyond = ground.iter().filter(|x| x.abs() > limit).count() as f32 / ground.len() as f32;
    let is_even = uneven(picture, HARMLESS * largest) <= UNEVEN_EDGE;

    let steps =
        differences.rows().flat_map(|row| row.clone().zip(row.skip(1)).map(|(a, b)| (a.0[0] - b.0[0]).abs()));
    let steps: Vec<f32> = steps.collect();
    // A difference of two has 1.4 times the deviation of one.
    let own_noise = if steps.is_empty() { noise } else { 1.06 * median(steps) };
    beyond <= ROUGH_EDGE && (is_even || noise <= 2.0 * own_noise + 2.0 * LEAST_NOISE)
}

/// Returns what is darker or brighter than the ground and narrower than the widest stroke. A morphological closing or
/// opening removes strokes and leaves the ground with its steps; the difference is ink. It is divided by the light,
/// because ink in the shadow has less contrast in the proportion in which there is less light.
fn narrow(plane: &Plane, picture: &Plane) -> Ink {
    let (width, height) = plane.dimensions();
    let reach = (WIDEST_STROKE * width.max(height) as f32 / 2.0).ceil() as usize;
    let smooth = filtered(plane, |plane| imageops::blur(plane, 1.0));
    let usual = usual(plane);
    let hats = [true, false].map(|dark| {
        let (mut hat, plane) = (signed(&smooth, !dark), signed(plane, !dark));
        // This is the closing of dark ink, or of the negative if ink is bright.
        hat = extreme(&hat, reach, f32::max);
        hat = extreme(&hat, reach, f32::min);
        hat.iter_mut().zip(plane.iter()).for_each(|(ground, &own)| *ground -= own);
        // The maximum of many values is above the ground.
        let bias = median(hat.to_vec());
        for (hat, &grey) in hat.iter_mut().zip(picture.iter()) {
            *hat -= bias;
            let light = if dark { grey + *hat } else { grey };
            *hat *= 255.0 / light.max(LEAST_LIGHT);
        }
        let noise = (1.5 * median(hat.iter().map(|x| x.abs()).collect())).max(LEAST_NOISE);
        Ink { plane: hat, noise, dark }
    });
    // The inside of a digit's loop is narrow as well, but it has the grey value of most pixels around it, so it is not
    // ink.
    let sure = hats.each_ref().map(|ink| {
        let sign = if ink.dark { 1.0 } else { -1.0 };
        let mut sure = ink.plane.clone();
        for ((sure, &own), &usual) in sure.iter_mut().zip(plane.iter()).zip(usual.iter()) {
            *sure = sure.min(sign * (usual - own));
        }
        let least = SURELY_INK * ink.noise;
        (components(&sure, least, least), sure)
    });
    let energy = |counts: fn(&Component, &Plane) -> bool| {
        sure.each_ref().map(|(found, sure)| {
            let pixels = found.iter().filter(|found| counts(found, sure)).flat_map(|found| &found.pixels);
            pixels.map(|&index| f64::from(sure.as_raw()[index]).powi(2)).sum::<f64>()
        })
    };
    // A component at the edge of the picture may be a corner in the shadow. It counts only if it is a stroke, of a
    // digit that is cut off, or if there is nothing else.
    let inside = energy(|component, picture| component.is_inside(picture) || component.is_thin());
    let energies = if inside == [0.0; 2] { energy(|_, _| true) } else { inside };
    let [dark, bright] = hats;
    if energies[0] >= energies[1] {
        dark
    } else {
        bright
    }
}

/// Returns for each pixel the median of its surroundings, which are half as wide and half as high as the picture.
fn usual(plane: &Plane) -> Plane {
    let (width, height) = plane.dimensions();
    let scaled = |side: u32| (side * COARSE_SIDE / width.max(height)).clamp(1, side);
    let coarse = filtered(plane, |plane| {
        imageops::resize(plane, scaled(width), scaled(height), imageops::FilterType::Triangle)
    });
    let (across, down) = coarse.dimensions();
    let range = |at: u32, len: u32| at.saturating_sub(len / 4)..(at + len / 4 + 1).min(len);
    let medians = Plane::from_fn(across, down, |x, y| {
        let around = range(y, down).flat_map(|y| range(x, across).map(move |x| (x, y)));
        [median(around.map(|(x, y)| coarse.get_pixel(x, y).0[0]).collect())].into()
    });
    Plane::from_fn(width, height, |x, y| *medians.get_pixel(x * across / width, y * down / height))
}

/// Returns for each pixel the extreme of the pixels at most `reach` rows and columns away: a dilation or an erosion.
fn extreme(plane: &Plane, reach: usize, better: fn(f32, f32) -> f32) -> Plane {
    let (width, height) = plane.dimensions();
    let mut result = plane.clone();
    for line in result.chunks_exact_mut(width as usize) {
        extreme_of_line(line, reach, better);
    }
    let mut column = vec![0.0; height as usize];
    for x in 0..width {
        (0..height).zip(&mut column).for_each(|(y, value)| *value = result.get_pixel(x, y).0[0]);
        extreme_of_line(&mut column, reach, better);
        (0..height).zip(&column).for_each(|(y, value)| result.get_pixel_mut(x, y).0[0] = *value);
    }
    result
}

/// Replaces each value with the extreme of its window by van Herk's algorithm: with the running extremes from the start
/// and from the end of each block, every window needs only two of them.
fn extreme_of_line(line: &mut [f32], reach: usize, better: fn(f32, f32) -> f32) {
    let window = 2 * reach + 1;
    // The values at the ends continue beyond the ends.
    let (first, last) = (line[0], line[line.len() - 1]);
    let ends = |value| std::iter::repeat_n(value, reach);
    let mut from_start: Vec<f32> = ends(first).chain(line.iter().copied()).chain(ends(last)).collect();
    let mut to_end = from_start.clone();
    for at in 1..from_start.len() {
        if !at.is_multiple_of(window) {
            from_start[at] = better(from_start[at], from_start[at - 1]);
        }
        let back = from_start.len() - 1 - at;
        if !(back + 1).is_multiple_of(window) {
            to_end[back] = better(to_end[back], to_end[back + 1]);
        }
    }
    for (at, value) in line.iter_mut().enumerate() {
        *value = better(to_end[at], from_start[at + window - 1]);
    }
}

/// Fits a surface of second degree in x and y to what most pixels show. Returns the differences of all pixels from it,
/// and the standard deviation of its noise.
fn surface(plane: &Plane) -> (Vec<f32>, f32) {
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

/// Solves six linear equations with a positive definite matrix; the last column is the right-hand side.
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

pub(super) fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
