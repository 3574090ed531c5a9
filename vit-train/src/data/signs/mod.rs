//! Road signs as a small camera sees them, which replace a folder of pictures in a first try, a test or a
//! demonstration.
//!
//! A class is a sign, such as "stop" or "limit 30". Some classes differ in shape and colours, some only in the
//! symbol, some only in the direction of an arrow, and some only in the colours. A picture shows one sign: the scene
//! behind it, its place, size and slant, its wear, the light, what covers a part of it, and the camera's blur and noise
//! are random.
//!
//! The pixels are computed with `+ - * /` and square roots only, so that they are the same on every machine. A picture
//! depends only on its class, the seed and its index.

mod camera;
mod canvas;
mod catalogue;
mod colour;
mod dice;
mod geometry;
mod scene;
mod symbols;

use image::RgbImage;

use crate::random::{stream, Purpose};
use camera::Camera;
use canvas::{Canvas, Noise};
use catalogue::{Sign, SIGNS};
use colour::{mix, Colour};
use dice::Dice;
use geometry::Figure;

/// The side, in pixels, of images in which all signs can be told apart. Pictures have other sizes, and are fitted.
pub const SIDE: usize = 32;

/// The largest number of classes. A class is the same sign, however many classes a data set has.
pub const MAX_CLASSES: usize = SIGNS.len();

/// Returns the name of a class, such as "stop": at most 40 letters, digits and spaces.
///
/// # Panics
///
/// Panics if `class` is not below [`MAX_CLASSES`].
pub fn name(class: usize) -> &'static str {
    SIGNS[class].name
}

/// Draws picture `index` of the data set with this seed, which shows the sign of a class. Its width and height are from
/// 48 to 96 pixels.
///
/// Equal arguments give equal pixels.
///
/// # Panics
///
/// Panics if `class` is not below [`MAX_CLASSES`].
pub fn picture(class: usize, seed: u64, index: u64) -> RgbImage {
    let sign = &SIGNS[class];
    let dice = &mut Dice(stream(Purpose::Sign, [seed, class as u64, index]));

    let width = 48 + dice.index(49);
    let height = (width as f32 * dice.uniform(0.75, 1.33)).clamp(48.0, 96.0) as usize;
    let mut canvas = Canvas::new(width, height);
    let camera = Camera::new(canvas.width, canvas.height, dice);

    scene::background(&mut canvas, dice);
    if dice.chance(0.6) {
        let width = camera.radius * dice.uniform(0.12, 0.25);
        scene::pole(&mut canvas, camera.middle, width, dice.bell(0.05), dice);
    }
    put_up(sign, &camera, &mut canvas, dice);
    cover(&camera, &mut canvas, dice);
    photograph(&mut canvas, dice)
}

/// Draws the sign, made and worn in its own way.
fn put_up(sign: &Sign, camera: &Camera, canvas: &mut Canvas, dice: &mut Dice) {
    // Old paint is pale, and its colours differ.
    let (pale, dull) = (dice.uniform(0.0, 1.0), dice.uniform(0.0, 0.35));
    let pale = 0.45 * pale * pale;
    let tint = [(); 3].map(|()| 1.0 + dice.bell(0.05));
    let mut paint = |colour: Colour| {
        let mut colour = [0, 1, 2].map(|i: usize| colour[i] * tint[i] + dice.bell(0.02));
        let grey = colour.iter().sum::<f32>() / 3.0;
        mix(&mut colour, &[grey; 3], dull);
        mix(&mut colour, &[0.75, 0.73, 0.70], pale);
        colour
    };
    let (ground, rim) = (paint(sign.ground), paint(sign.rim));
    let colours: Vec<Colour> = sign.marks.iter().map(|mark| paint(mark.colour)).collect();

    let (scale, weight) = (dice.uniform(0.88, 1.08), dice.uniform(0.8, 1.25));
    let (right, down) = (dice.bell(0.025), dice.bell(0.025));
    let figures: Vec<Figure> = sign
        .marks
        .iter()
        .map(|mark| {
            let mut place = mark.place;
            place.scale *= scale;
            place.shift = (place.shift.0 * scale + right, place.shift.1 * scale + down);
            Figure::new(mark.symbol, &place, weight)
        })
        .collect();
    let rim_width = sign.rim_width * dice.uniform(0.75, 1.25);
    // Many signs have a thin edge of metal.
    let edge = if dice.chance(0.5) { dice.uniform(0.02, 0.06) } else { 0.0 };
    let metal = [dice.uniform(0.3, 0.9); 3];

    // Light falls at an angle, dirt lies in patches.
    let (light, across, along) = (dice.uniform(0.75, 1.1), dice.bell(0.1), dice.bell(0.1));
    let dirt = Noise::new(canvas, canvas.width as f32 / dice.uniform(4.0, 16.0), dice);
    let dirtiness = dice.uniform(0.0, 0.7) * dice.uniform(0.0, 1.0);
    let (glare, glare_x, glare_y) = if dice.chance(0.15) {
        (dice.uniform(0.2, 0.7), dice.uniform(-0.8, 0.8), dice.uniform(-0.8, 0.8))
    } else {
        (0.0, 0.0, 0.0)
    };

    let pixel_size = camera.pixel();
    let inside = |distance: f32| (0.5 - distance / pixel_size).clamp(0.0, 1.0);
    canvas.paint_box(camera.bounds(), |column, row, pixel| {
        let (x, y) = camera.sign(column, row);
        let distance = sign.shape.distance(x, y);
        let share = inside(distance - edge);
        if share <= 0.0 {
            return;
        }
        let mut colour = metal;
        mix(&mut colour, &rim, inside(distance));
        let on_ground = inside(distance + rim_width);
        if on_ground > 0.0 {
            mix(&mut colour, &ground, on_ground);
            for (figure, paint) in figures.iter().zip(&colours) {
                let distance = figure.distance(x, y, pixel_size);
                mix(&mut colour, paint, on_ground * inside(distance));
            }
        }
        let light = (light + across * x + along * y) * (1.0 - dirtiness * dirt.at(column, row));
        colour = colour.map(|value| value * light);
        let far = (x - glare_x) * (x - glare_x) + (y - glare_y) * (y - glare_y);
        mix(&mut colour, &[1.0; 3], glare * (1.0 - 2.0 * far).max(0.0));
        mix(pixel, &colour, share);
    });
}

/// May cast a shadow on the sign and put something in front of it.
fn cover(camera: &Camera, canvas: &mut Canvas, dice: &mut Dice) {
    let mut place = |reach: f32| camera.picture(dice.uniform(-reach, reach), dice.uniform(-reach, reach));
    let (near, rim) = (place(0.9), place(1.1));
    if dice.chance(0.4) {
        scene::shadow(canvas, near, dice);
    }
    match dice.index(10) {
        0 => {
            scene::pole(canvas, (near.0, 0.0), camera.radius * dice.uniform(0.1, 0.35), dice.bell(0.1), dice)
        }
        1 | 2 => scene::leaves(canvas, rim, camera.radius * dice.uniform(0.2, 0.5), dice),
        _ => {}
    }
}

/// Takes the picture: exposure, colours, haze, blur and noise.
fn photograph(canvas: &mut Canvas, dice: &mut Dice) -> RgbImage {
    let exposure = dice.uniform(0.45, 1.25);
    let cast = [(); 3].map(|()| exposure * (1.0 + dice.bell(0.05)));
    let haze = dice.uniform(0.0, 1.0) * dice.uniform(0.0, 0.5);
    let veil = dice.uniform(0.3, 0.8);
    canvas.paint(|_, _, pixel| {
        pixel.iter_mut().zip(cast).for_each(|(value, cast)| *value *= cast);
        mix(pixel, &[veil; 3], haze);
    });
    let side = canvas.width.min(canvas.height) as f32;
    let blur = side * 0.04 * dice.uniform(0.0, 1.0) * dice.uniform(0.0, 1.0);
    let (mut across, mut down) = (1.0 + blur, 1.0 + blur);
    if dice.chance(0.2) {
        // The camera or the car moves.
        *if dice.chance(0.6) { &mut across } else { &mut down } += side * dice.uniform(0.01, 0.05);
    }
    canvas.blur(across, down);
    let noise = 0.15 * dice.uniform(0.0, 1.0) * dice.uniform(0.2, 1.0);
    canvas.develop(noise, dice)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sha2::{Digest, Sha256};

    use super::*;

    /// The pictures of every class, `count` of each.
    fn pictures(seed: u64, count: u64) -> impl Iterator<Item = RgbImage> {
        (0..MAX_CLASSES).flat_map(move |class| (0..count).map(move |index| picture(class, seed, index)))
    }

    #[test]
    fn equal_arguments_give_equal_pixels() {
        for class in [0, 7, MAX_CLASSES - 1] {
            assert!(picture(class, 1, 2) == picture(class, 1, 2));
        }
    }

    #[test]
    fn class_seed_and_index_give_different_pictures() {
        let mut seen = HashSet::new();
        for seed in [0, 1, u64::MAX] {
            for picture in pictures(seed, 3) {
                assert!(seen.insert(picture.into_raw()));
            }
        }
    }

    /// Published figures refer to these pictures, so that they must not change by accident.
    #[test]
    fn pixels_are_the_same_on_every_machine() {
        let mut sha256 = Sha256::new();
        for picture in pictures(1, 10) {
            sha256.update(picture.width().to_le_bytes());
            sha256.update(picture.as_raw());
        }
        let sha256: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, "964885f79cba1ee3a63d979ef3c828c069cd266f364bafb4a938c69c43e5e774");
    }

    #[test]
    fn names_are_unique_and_short() {
        let names: HashSet<&str> = (0..MAX_CLASSES).map(name).collect();
        assert_eq!(names.len(), MAX_CLASSES);
        for name in names {
            assert!((1..=40).contains(&name.len()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' '), "{name}");
        }
    }

    /// `SIGNS_OF_A_CLASS` sets how many pictures of each class are drawn.
    #[test]
    fn pictures_have_the_stated_sizes() {
        let count: u64 = std::env::var("SIGNS_OF_A_CLASS").map_or(20, |count| count.parse().unwrap());
        let (mut least, mut most) = (u32::MAX, 0);
        for seed in [3, u64::MAX] {
            for picture in pictures(seed, count.div_ceil(2)) {
                for side in [picture.width(), picture.height()] {
                    (least, most) = (least.min(side), most.max(side));
                }
            }
        }
        assert_eq!((least, most), (48, 96));
    }

    /// Returns the square in the middle of a picture as 12x12 samples, with a mean of 0 and a length of 1.
    fn samples(picture: &RgbImage) -> Vec<f32> {
        let side = picture.width().min(picture.height());
        let (left, top) = ((picture.width() - side) / 2, (picture.height() - side) / 2);
        let at = |length: u32, i: u32| length + (2 * i + 1) * side / 24;
        let pixels = (0..144).map(|i| picture.get_pixel(at(left, i % 12), at(top, i / 12)).0);
        let values: Vec<f32> = pixels.flatten().map(f32::from).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let length = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>().sqrt();
        values.iter().map(|value| (value - mean) / length).collect()
    }

    /// The mean pictures of the classes recognise few signs, but many more than chance, which would be 2 %.
    #[test]
    fn classes_can_be_told_apart() {
        let mean = |class| {
            let mut sum = vec![0.0; 3 * 144];
            for index in 0..40 {
                sum.iter_mut().zip(samples(&picture(class, 1, index))).for_each(|(sum, value)| *sum += value);
            }
            let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
            sum.iter().map(|value| value / length).collect()
        };
        let means: Vec<Vec<f32>> = (0..MAX_CLASSES).map(mean).collect();
        let nearest = |picture: RgbImage| {
            let samples = samples(&picture);
            let alike = means.iter().map(|mean| mean.iter().zip(&samples).map(|(a, b)| a * b).sum::<f32>());
            alike.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
        };
        let correct = pictures(2, 5).enumerate().filter(|(i, picture)| nearest(picture.clone()) == i / 5);
        let accuracy = 100.0 * correct.count() as f64 / (5 * MAX_CLASSES) as f64;
        assert!(accuracy >= 12.0, "{accuracy} %");
    }
}
