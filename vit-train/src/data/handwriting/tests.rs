use super::drawn::{pen, Kind, KINDS};
use super::*;
use crate::{
    data::{
        load,
        synthetic::{digit, strokes, FORMAT},
        Source, MNIST_DIR,
    },
    formats::{model_bytes::ModelBytes, vit::read_float_model},
    inference::infer,
};
use rayon::prelude::*;
use vit_nostd::frame::Fit;
use vit_nostd::{argmax, float::Scratch, image, Nano};

fn picture(pixels: &[u8]) -> GrayImage {
    GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap()
}

/// Returns the greatest cosine of the angle between two images, the second one moved by up to two pixels: 1 if they
/// differ only in their place and the amount of ink.
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
        // The expectation is the digit itself, as large as the box, with lines that are not too thin.
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

/// Returns a picture of 400x300 pixels with `digit`, enlarged, at (60, 10).
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

/// MNIST's images have their centre of mass in the middle, to a whole pixel.
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
    let line =
        GrayImage::from_fn(500, 500, |x, y| Luma([if x == 250 && (50..450).contains(&y) { 0 } else { 255 }]));
    let found = find(&line, 28).unwrap();
    assert!(found.inverted);
    let full = found.pixels.iter().filter(|&&pixel| pixel >= 128).count();
    assert!((20..=60).contains(&full), "{full}");
    // The line is as high as the box.
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
            let picture =
                GrayImage::from_fn(width, height, |x, y| Luma([if (x + y) % step == 0 { 255 } else { 0 }]));
            for side in [1, 4, 28] {
                let found = find(&picture, side);
                assert!(found.is_none_or(|found| found.pixels.len() == side * side));
            }
        }
    }
}

/// Draws every kind of picture that people take and lets the network of `nano.f32.vit` read it. With `--nocapture`, this
/// prints a table; `PICTURES_OF_A_KIND=60` draws more than the usual 12 of each kind.
#[test]
fn photographs_are_read_or_doubted() {
    read_or_doubt(KINDS, |picture| picture);
}

/// The same holds for small pictures, such as cut-outs of a screen. A scribble is too coarse there to be told from a
/// digit.
#[test]
fn small_photographs_are_read_or_doubted() {
    let kinds: Vec<_> = KINDS.iter().filter(|kind| kind.name != "scribble").copied().collect();
    read_or_doubt(&kinds, |picture| scaled(&picture, u32::min, |_| 64));
}

/// Draws pictures of every kind, changes them, and checks how many of them are read correctly, doubted, and read
/// wrongly.
fn read_or_doubt(kinds: &[Kind], change: impl Fn(GrayImage) -> GrayImage + Sync) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-example/models/nano.f32.vit");
    let file = ModelBytes::read(&path).unwrap();
    let model = read_float_model::<Nano>(&file, &path).unwrap();
    let read = |pixels: &[u8]| {
        let logits = infer(&model, image::<Nano>(pixels).unwrap(), &mut Box::new(Scratch::new()));
        argmax(logits.as_ref())
    };
    let write = |class: u8, seed: u64, height: f32| {
        let thickness = (0.03 + 0.1 * (seed * 37 % 100) as f32 / 100.0) * height;
        pen(&strokes(class, seed), height, thickness.max(2.0), 0.0)
    };
    let count: usize = std::env::var("PICTURES_OF_A_KIND").map_or(12, |count| count.parse().unwrap());
    println!("kind                 correct unsure wrong blank");
    for kind in kinds {
        let results = (0..count as u64).into_par_iter().map(|index| {
            let class = (index % 10) as u8;
            match find(&change(kind.picture(class, 7_000_000 + index, &write)), 28) {
                Some(Handwriting { doubt: None, pixels, .. })
                    if kind.readable && read(&pixels) == usize::from(class) =>
                {
                    0
                }
                Some(Handwriting { doubt: None, .. }) => 2,
                None if kind.readable => 3,
                _ => 1,
            }
        });
        let results: Vec<usize> = results.collect();
        let [correct, unsure, wrong, blank] =
            [0, 1, 2, 3].map(|which| results.iter().filter(|&&result| result == which).count());
        println!("{:<20} {correct:>7} {unsure:>6} {wrong:>5} {blank:>5}", kind.name);
        assert!(6 * wrong <= count, "{}: {wrong} of {count} wrong", kind.name);
        // Most of these are doubted or count as blank.
        let is_hard = matches!(kind.name, "board and table" | "close paper");
        assert!(is_hard || 20 * blank <= count, "{}: {blank} of {count} count as blank", kind.name);
        let is_cut = matches!(kind.name, "cut off" | "cropped");
        assert!(!is_cut || 30 * wrong <= count.max(30), "{}: {wrong} of {count} wrong", kind.name);
        if kind.name.contains(" on ") {
            assert!(30 * (count - correct) <= count.max(30), "{}: {correct} of {count} correct", kind.name);
        } else if kind.readable && !is_hard {
            assert!(3 * correct >= 2 * count, "{}: {correct} of {count} correct", kind.name);
        }
    }
}

/// At most one in a hundred of MNIST's own test images is doubted. The test needs MNIST's files.
#[test]
fn mnist_is_not_doubted() {
    let Some(folder) = std::env::var_os(MNIST_DIR) else { return };
    let data = load(&Source::Directory(folder.into()), FORMAT, Fit::Crop).unwrap().test;
    let doubts = (0..data.len())
        .into_par_iter()
        .filter(|&index| find(&picture(data.image(index)), 28).is_none_or(|found| found.doubt.is_some()));
    let doubts = doubts.count();
    println!("{doubts} of {} doubted", data.len());
    assert!(100 * doubts <= data.len(), "{doubts} of {}", data.len());
}

/// A bright sheet that is low in a wide picture has nothing inside its edge.
#[test]
fn low_sheets_are_none() {
    for (low, high) in [(30, 63), (32, 63), (32, 64), (30, 66), (34, 60)] {
        let on_sheet = |x: u32, y: u32| (94..900).contains(&x) && (low..high).contains(&y);
        let strip = GrayImage::from_fn(1000, 100, |x, y| Luma([if on_sheet(x, y) { 230 } else { 40 }]));
        assert!(find(&strip, 28).is_some(), "{low}, {high}");
    }
}
