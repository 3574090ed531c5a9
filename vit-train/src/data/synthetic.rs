//! Digits like handwritten ones, which replace MNIST in a first try, a test or a demonstration.
//!
//! A digit is drawn as a hand would write it. One of several skeletons of its class (an open or a closed 4, a 7 with
//! or without a bar) is bent by a smooth random field, stretched, slanted and rotated. A pen of varying pressure
//! follows the skeleton. The result gets the form of MNIST: it is 20 pixels tall or wide, and its centre of mass is
//! in the middle of an image of 28x28 pixels.
//!
//! The pixels are computed with `+ - * /` and square roots only, so that they are the same on every machine. Image
//! `i` of a data set depends only on the seed and on `i`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{dataset::Dataset, format::Format, sine::sin_cos};
use crate::random::{stream, Purpose};

/// The format of the digits, which is that of MNIST: 28x28 pixels and 10 classes.
pub(crate) const FORMAT: Format = Format::grey(SIDE, SKELETONS.len());

/// The number of images to train and validate on in [`Source::Synthetic`](super::Source::Synthetic).
pub(crate) const TRAIN_IMAGES: usize = 12_000;
/// The number of images to test on in [`Source::Synthetic`](super::Source::Synthetic).
pub(crate) const TEST_IMAGES: usize = 2_000;
/// The seed of the images to train on. It is constant, so that the data are the same in every run, as MNIST's are.
pub(crate) const TRAIN_SEED: u64 = 1;
/// The seed of the images to test on.
pub(crate) const TEST_SEED: u64 = 2;

const SIDE: usize = 28;
/// The side, in pixels, of the box that a digit fills before it is centred.
const BOX: f32 = 20.0;

/// Draws one digit and returns its grey values row by row: 0 is the background, 255 full ink.
///
/// Equal arguments give equal pixels. The digit is the last decimal digit of `class`.
pub fn digit(class: u8, seed: u64) -> [u8; SIDE * SIDE] {
    draw(class % 10, seed, 0)
}

/// Draws `count` digits, but at least one. The classes take turns, so that every part of the data set is balanced.
pub fn dataset(count: usize, seed: u64) -> Dataset {
    let labels: Vec<u16> = (0..10).cycle().take(count.max(1)).collect();
    let mut pixels = Vec::with_capacity(labels.len() * FORMAT.values());
    for (index, &class) in labels.iter().enumerate() {
        pixels.extend_from_slice(&draw(class as u8, seed, index as u64));
    }
    Dataset { format: FORMAT, pixels, labels }
}

/// A smooth curve through points, which are given in hundredths of the writing box with x to the right and y down. A
/// point that occurs twice in a row is a corner.
type Stroke = &'static [(i8, i8)];

/// The skeletons of each digit: different ways to write it, each a list of strokes.
#[rustfmt::skip]
const SKELETONS: [&[&[Stroke]]; 10] = [
    &[ // 0: round, narrow, closed with a tail, begun on the left
        &[&[(38, 1), (14, 16), (3, 50), (14, 84), (36, 99), (58, 84), (68, 50), (58, 15), (38, 1)]],
        &[&[(45, 4), (28, 2), (10, 25), (5, 60), (16, 94), (36, 97), (55, 72), (62, 35), (52, 8), (36, 6)]],
        &[&[(52, 8), (34, 3), (10, 24), (2, 58), (16, 92), (42, 98), (66, 72), (70, 38), (54, 10), (30, 6)]],
        &[&[(20, 14), (6, 48), (14, 88), (38, 98), (60, 78), (66, 42), (54, 8), (32, 2), (14, 18)]],
        &[&[(40, 2), (5, 20), (0, 55), (22, 95), (60, 96), (82, 60), (76, 18), (40, 2)]],
    ],
    &[ // 1: a bar, a bar that bends, with a flag, with a flag and a foot
        &[&[(35, 0), (35, 50), (35, 100)]],
        &[&[(38, 0), (34, 50), (35, 100)]],
        &[&[(33, 0), (37, 50), (35, 100)]],
        &[&[(35, 0), (35, 34), (35, 67), (35, 100)]],
        &[&[(20, 20), (30, 12), (36, 0), (36, 0), (36, 50), (35, 100)]],
        &[&[(14, 24), (38, 0), (38, 0), (37, 50), (37, 98)], &[(14, 99), (37, 98), (62, 98)]],
    ],
    &[ // 2: with a corner, with a loop, with a wave at the foot
        &[&[(8, 22), (20, 4), (42, 0), (62, 16), (58, 42), (34, 70), (5, 98), (5, 98), (36, 97), (70, 96)]],
        &[&[(6, 18), (26, 3), (52, 6), (62, 26), (50, 52), (26, 76), (2, 98), (2, 98), (34, 92), (74, 94)]],
        &[&[(8, 16), (34, 1), (58, 14), (56, 44), (34, 76), (12, 94), (2, 84), (14, 74), (36, 84), (56, 96), (76, 90)]],
        &[&[(10, 26), (26, 4), (50, 3), (60, 24), (48, 54), (24, 84), (8, 96), (1, 86), (14, 78), (40, 92), (72, 98)]],
        &[&[(12, 10), (36, 0), (58, 12), (60, 36), (42, 68), (14, 92), (14, 92), (34, 86), (52, 96), (72, 90)]],
        &[&[(4, 34), (16, 8), (42, 0), (60, 20), (50, 56), (20, 92), (20, 92), (46, 94), (78, 88)]],
        &[&[(8, 20), (24, 3), (50, 2), (62, 20), (50, 48), (26, 80), (6, 97), (-6, 84), (8, 68), (34, 76), (60, 88), (90, 78)]],
        &[&[(10, 14), (34, 0), (54, 16), (54, 42), (40, 78), (18, 98), (4, 84), (18, 66), (40, 80), (56, 94), (80, 98)]],
        &[&[(2, 14), (30, 6), (58, 4), (60, 14), (36, 50), (-4, 92), (-4, 92), (30, 94), (72, 96)]],
        &[&[(6, 26), (18, 8), (40, 2), (54, 18), (48, 50), (28, 84), (10, 92), (10, 92), (50, 92), (96, 86)]],
    ],
    &[ // 3: two bows, with a small loop between, with a flat top
        &[&[(10, 12), (32, 0), (56, 10), (54, 34), (28, 46), (28, 46), (58, 56), (64, 80), (40, 99), (6, 90)]],
        &[&[(8, 18), (28, 2), (54, 6), (58, 28), (34, 48), (34, 48), (62, 62), (58, 90), (30, 99), (4, 86)]],
        &[&[(12, 8), (40, 0), (60, 16), (48, 38), (30, 48), (24, 44), (34, 46), (58, 58), (60, 86), (34, 98), (6, 92)]],
        &[&[(8, 4), (58, 2), (58, 2), (28, 42), (28, 42), (56, 50), (64, 76), (44, 98), (8, 94)]],
        &[&[(12, 14), (36, 0), (54, 16), (44, 40), (54, 54), (60, 78), (38, 98), (8, 88)]],
        &[&[(8, 10), (30, 2), (60, 0), (64, 8), (46, 30), (24, 44), (24, 44), (52, 50), (56, 76), (32, 96), (-8, 98)]],
        &[&[(4, 8), (34, 0), (64, 8), (52, 30), (22, 46), (22, 46), (50, 44), (68, 62), (56, 90), (24, 100), (-4, 92)]],
        &[&[(16, 16), (30, 2), (52, 4), (56, 22), (40, 44), (56, 66), (48, 94), (20, 100), (4, 86), (10, 76)]],
    ],
    &[ // 4: open, open and round, closed, in one stroke
        &[&[(14, 2), (10, 30), (6, 54), (6, 54), (34, 54), (66, 50)], &[(58, 4), (54, 50), (50, 100)]],
        &[&[(10, 4), (4, 34), (14, 52), (38, 50), (60, 36)], &[(64, 0), (60, 40), (52, 100)]],
        &[&[(12, 6), (8, 36), (20, 50), (46, 46), (58, 6), (58, 6), (54, 50), (50, 100)]],
        &[&[(52, 100), (52, 50), (54, 0), (54, 0), (4, 64), (4, 64), (40, 64), (76, 62)]],
        &[&[(48, 0), (28, 30), (4, 56), (4, 56), (36, 58), (72, 54)], &[(52, 4), (50, 50), (46, 100)]],
        &[&[(26, 0), (14, 30), (2, 56), (2, 56), (36, 58), (74, 56)], &[(50, 30), (48, 60), (44, 100)]],
        &[&[(14, 0), (12, 26), (12, 44), (12, 44), (34, 48), (62, 44)], &[(62, 0), (60, 50), (60, 100)]],
        &[&[(26, 2), (14, 34), (0, 68), (0, 68), (36, 66), (80, 60)], &[(62, 10), (50, 50), (38, 100)]],
        &[&[(22, 0), (8, 34), (4, 58), (16, 66), (42, 60), (70, 48)], &[(70, 2), (54, 50), (40, 100)]],
        &[&[(2, 4), (2, 38), (6, 66), (6, 66), (40, 68), (86, 66)], &[(56, 2), (54, 50), (52, 100)]],
    ],
    &[ // 5: in one stroke, with the bar apart, drawn out like an N
        &[&[(66, 2), (24, 4), (24, 4), (14, 44), (14, 44), (44, 38), (64, 60), (52, 92), (28, 100), (4, 88)]],
        &[&[(22, 6), (16, 44), (16, 44), (44, 42), (60, 64), (46, 94), (22, 99), (2, 88)], &[(22, 6), (44, 5), (68, 0)]],
        &[&[(72, 2), (44, 2), (24, 12), (18, 34), (44, 50), (58, 72), (42, 96), (16, 98), (2, 86)]],
        &[&[(28, 8), (10, 46), (10, 46), (38, 48), (50, 68), (38, 92), (18, 98), (2, 92)], &[(28, 8), (54, 6), (82, 2)]],
        &[&[(62, 0), (30, 2), (30, 2), (20, 30), (24, 44), (48, 56), (54, 78), (38, 98), (8, 94)]],
        &[&[(26, 12), (18, 42), (18, 42), (48, 46), (54, 68), (36, 92), (0, 98)], &[(26, 12), (56, 10), (92, 0)]],
        &[&[(60, 0), (16, 2), (16, 2), (10, 40), (10, 40), (50, 36), (70, 58), (60, 90), (30, 99), (2, 94), (4, 84)]],
    ],
    &[ // 6: a long neck, a bent neck, a wide bowl, a small bowl
        &[&[(48, 0), (24, 22), (8, 56), (10, 88), (34, 100), (56, 84), (54, 60), (34, 54), (10, 72)]],
        &[&[(58, 6), (34, 10), (10, 44), (6, 80), (28, 99), (54, 88), (58, 64), (38, 54), (10, 70)]],
        &[&[(36, 0), (14, 34), (4, 70), (18, 97), (46, 98), (64, 78), (54, 58), (30, 60), (12, 82)]],
        &[&[(30, 0), (16, 30), (8, 66), (16, 96), (38, 98), (48, 80), (40, 66), (24, 70), (12, 84)]],
        &[&[(70, 2), (38, 24), (10, 58), (6, 86), (28, 100), (52, 86), (50, 66), (28, 66), (8, 82)]],
        &[&[(36, 0), (12, 28), (0, 64), (14, 96), (44, 98), (66, 70), (54, 42), (28, 48), (14, 74)]],
        &[&[(44, 0), (18, 20), (2, 54), (12, 92), (44, 98), (72, 72), (64, 46), (40, 46), (18, 66), (14, 86)]],
        &[&[(14, 0), (6, 36), (6, 74), (22, 98), (50, 92), (60, 66), (44, 48), (20, 60), (8, 80)]],
        &[&[(40, 0), (20, 26), (8, 62), (16, 94), (40, 94), (52, 70), (44, 44), (26, 54), (22, 80), (36, 98)]],
    ],
    &[ // 7: a corner, a hook before it, a bent leg, a bar
        &[&[(4, 6), (34, 4), (66, 2), (66, 2), (48, 44), (30, 100)]],
        &[&[(4, 10), (36, 6), (64, 6), (64, 6), (58, 50), (54, 100)]],
        &[&[(4, 22), (8, 6), (8, 6), (38, 6), (66, 2), (66, 2), (46, 46), (32, 100)]],
        &[&[(2, 16), (24, 4), (54, 8), (64, 16), (56, 40), (42, 68), (36, 100)]],
        &[&[(4, 6), (36, 4), (68, 2), (68, 2), (48, 46), (28, 100)], &[(24, 50), (46, 48), (68, 46)]],
        &[&[(6, 12), (40, 8), (62, 6), (62, 6), (42, 38), (38, 100)]],
        &[&[(0, 32), (12, 12), (36, 16), (66, 2), (66, 2), (46, 40), (18, 100)]],
        &[&[(0, 18), (22, 8), (22, 8), (52, 12), (64, 8), (48, 40), (24, 68), (16, 100)]],
        &[&[(8, 30), (16, 8), (16, 8), (44, 8), (66, 4), (66, 4), (62, 40), (56, 70), (56, 100)]],
        &[&[(12, 12), (40, 4), (60, 8), (60, 34), (52, 68), (44, 100)], &[(28, 52), (54, 48), (80, 46)]],
    ],
    &[ // 8: a loop over a loop, begun at the top right, begun in the middle, left open at the top
        &[&[(58, 12), (34, 0), (12, 16), (24, 40), (50, 60), (56, 86), (30, 100), (8, 84), (22, 58), (52, 34), (58, 12)]],
        &[&[(64, 6), (38, 2), (14, 18), (26, 44), (48, 66), (44, 94), (20, 98), (12, 76), (34, 52), (56, 28), (62, 8)]],
        &[&[(36, 46), (12, 26), (28, 2), (54, 6), (56, 30), (36, 46), (10, 70), (16, 96), (46, 98), (58, 74), (36, 46)]],
        &[&[(66, 14), (40, 0), (16, 14), (22, 38), (46, 58), (50, 86), (28, 99), (8, 84), (22, 60), (48, 40), (70, 22)]],
        &[&[(50, 20), (36, 6), (22, 18), (30, 42), (42, 66), (40, 94), (24, 98), (18, 78), (34, 52), (52, 24)]],
        &[&[(56, 16), (40, 0), (18, 8), (14, 28), (36, 46), (60, 64), (60, 90), (34, 100), (12, 88), (20, 64), (44, 44), (56, 16)]],
        &[&[(30, 42), (14, 20), (32, 0), (54, 12), (48, 36), (28, 48), (4, 68), (8, 94), (34, 100), (50, 80), (30, 42)]],
        &[&[(84, 2), (54, 0), (26, 12), (24, 34), (42, 54), (44, 80), (24, 100), (4, 90), (14, 66), (46, 40), (80, 10)]],
        &[&[(34, 0), (14, 10), (16, 36), (38, 44), (56, 26), (50, 6), (34, 0)], &[(32, 44), (8, 60), (12, 92), (38, 100), (58, 82), (50, 54), (32, 44)]],
    ],
    &[ // 9: a straight stem, a bent one, a hook, a long tail, a flat loop
        &[&[(56, 12), (34, 0), (10, 18), (12, 42), (36, 46), (56, 16), (56, 16), (54, 56), (52, 100)]],
        &[&[(60, 14), (36, 2), (10, 24), (16, 48), (42, 44), (60, 14), (60, 14), (56, 54), (34, 100)]],
        &[&[(56, 10), (30, 2), (8, 22), (16, 44), (42, 40), (58, 14), (58, 40), (50, 76), (30, 98), (8, 92)]],
        &[&[(52, 18), (32, 10), (6, 34), (14, 50), (36, 44), (58, 6), (58, 6), (46, 56), (34, 100)]],
        &[&[(46, 8), (22, 12), (4, 34), (22, 46), (48, 32), (56, 10), (48, 8), (50, 50), (46, 100)]],
        &[&[(54, 22), (38, 2), (16, 8), (8, 30), (22, 46), (44, 40), (54, 22), (54, 22), (50, 62), (40, 100)]],
        &[&[(58, 30), (46, 4), (20, 4), (6, 26), (20, 48), (46, 46), (58, 30), (58, 30), (58, 66), (58, 100)]],
        &[&[(50, 30), (56, 8), (36, 0), (12, 14), (14, 38), (36, 44), (54, 22), (54, 22), (42, 60), (22, 100)]],
        &[&[(50, 6), (28, 0), (10, 16), (18, 38), (42, 36), (52, 10), (52, 10), (58, 44), (54, 78), (32, 100), (10, 90)]],
    ],
];

/// The random numbers from which a digit is drawn.
struct Hand(ChaCha8Rng);

impl Hand {
    /// Draws a number that is uniformly distributed between `low` and `high`.
    fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// Draws a number from a bell curve around 0 with the standard deviation `sigma`, of at most `3 * sigma` in
    /// absolute value.
    fn bell(&mut self, sigma: f32) -> f32 {
        sigma * (self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0) + self.uniform(-1.0, 1.0))
    }

    /// Draws an index below `length`.
    fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }
}

/// A point on the path of the pen.
#[derive(Clone, Copy)]
struct Point {
    x: f32,
    y: f32,
    /// The pressure of the pen, as a factor of its width.
    pressure: f32,
}

/// Draws image `index` of the data set with this seed, whose class is `class`.
fn draw(class: u8, seed: u64, index: u64) -> [u8; SIDE * SIDE] {
    let mut hand = Hand(stream(Purpose::Digit, [seed, u64::from(class), index]));
    let mut strokes = written(class, &mut hand);

    // The pen is 1.3 to 4.9 pixels wide, and more often thin than thick.
    let thickness = hand.uniform(0.0, 1.0);
    let radius = 0.65 + 1.8 * thickness * (0.3 + 0.7 * hand.uniform(0.0, 1.0));
    fit(&mut strokes, BOX - 2.0 * radius);
    let softness = hand.uniform(0.9, 1.5);
    let mut canvas = [0.0; SIDE * SIDE];
    for stroke in &strokes {
        for (a, b) in stroke.iter().zip(&stroke[1..]) {
            ink(&mut canvas, *a, *b, radius, softness);
        }
    }
    develop(&centred(&canvas), &mut hand)
}

/// Returns the path of the pen that writes a digit, stroke by stroke, in a box of about 1 by 1.
fn written(class: u8, hand: &mut Hand) -> Vec<Vec<Point>> {
    let skeletons = SKELETONS[usize::from(class)];
    let skeleton = skeletons[hand.index(skeletons.len())];
    let distortion = Distortion::new(hand);
    skeleton.iter().map(|stroke| write(stroke, &distortion, hand)).collect()
}

/// Returns the points (x, y) of the path of the pen that writes a digit, stroke by stroke, in a box of about 1 by 1.
#[cfg(test)]
pub(super) fn strokes(class: u8, seed: u64) -> Vec<Vec<(f32, f32)>> {
    let mut hand = Hand(stream(Purpose::Digit, [seed, u64::from(class), 0]));
    let strokes = written(class, &mut hand);
    strokes.iter().map(|stroke| stroke.iter().map(|point| (point.x, point.y)).collect()).collect()
}

/// The random distortion of a whole digit.
struct Distortion {
    /// Displacements on a 3x3 grid, between which parabolas interpolate. The field is smooth, so that strokes that
    /// touch still touch afterwards.
    field: [[(f32, f32); 3]; 3],
    /// Four times the displacement of the middle of the digit, up or down. The top and the bottom stay in place.
    waist: f32,
    /// The amount by which the top is wider than the bottom.
    taper: f32,
    /// The factor of the width.
    width: f32,
    /// The horizontal displacement of the top against the bottom.
    slant: f32,
    /// The sine of the angle of the rotation.
    sin: f32,
    /// The cosine of the angle of the rotation.
    cos: f32,
    /// The standard deviation of the displacements of single points.
    jitter: f32,
}

impl Distortion {
    fn new(hand: &mut Hand) -> Self {
        let mut field = [[(0.0, 0.0); 3]; 3];
        for node in field.iter_mut().flatten() {
            *node = (hand.bell(0.07), hand.bell(0.07));
        }
        let (sin, cos) = sin_cos(hand.bell(0.12));
        Self {
            field,
            waist: hand.bell(0.2),
            taper: hand.bell(0.2),
            width: 1.05 + hand.bell(0.22),
            slant: 0.14 + hand.bell(0.24),
            sin,
            cos,
            jitter: hand.uniform(0.0, 0.045),
        }
    }

    /// Maps a point of the unit square to its place in the distorted digit, whose centre is near (0, 0).
    fn bend(&self, x: f32, y: f32) -> (f32, f32) {
        let parabolas = |t: f32| [(1.0 - t) * (1.0 - 2.0 * t), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)];
        let (mut dx, mut dy) = (0.0, 0.0);
        for (row, v) in self.field.iter().zip(parabolas(y)) {
            for (node, u) in row.iter().zip(parabolas(x)) {
                dx += u * v * node.0;
                dy += u * v * node.1;
            }
        }
        let (x, y) = (x + dx, y + dy + self.waist * y * (1.0 - y));
        let x = (x - 0.35) * self.width * (1.0 + self.taper * (0.5 - y)) - self.slant * (y - 0.5);
        (self.cos * x - self.sin * (y - 0.5), self.sin * x + self.cos * (y - 0.5))
    }
}

/// Returns the path of the pen along a stroke: the stroke's points are distorted, and joined by a smooth curve.
fn write(stroke: Stroke, distortion: &Distortion, hand: &mut Hand) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::with_capacity(stroke.len());
    for (i, &(x, y)) in stroke.iter().enumerate() {
        if i > 0 && stroke[i - 1] == (x, y) {
            points.push(points[i - 1]); // a corner stays a corner
            continue;
        }
        let (x, y) = (
            f32::from(x) / 100.0 + hand.bell(distortion.jitter),
            f32::from(y) / 100.0 + hand.bell(distortion.jitter),
        );
        let (x, y) = distortion.bend(x, y);
        points.push(Point { x, y, pressure: 1.0 + hand.bell(0.08) });
    }
    // Hands differ most at the ends of strokes: a stroke may stop early or continue for a while.
    let n = points.len();
    for (end, next) in [(0, 1), (n - 1, n - 2)] {
        let by = hand.bell(0.1);
        points[end].x += by * (points[end].x - points[next].x);
        points[end].y += by * (points[end].y - points[next].y);
    }

    let same = |a: Point, b: Point| a.x == b.x && a.y == b.y;
    let mut path = Vec::with_capacity(6 * n);
    path.push(points[0]);
    for i in 1..n {
        let (from, to) = (points[i - 1], points[i]);
        if same(from, to) {
            continue;
        }
        // At an end or a corner of the stroke, the curve begins as a straight line.
        let before = if i >= 2 { points[i - 2] } else { from };
        let after = if i + 1 < n { points[i + 1] } else { to };
        for step in 1..=6 {
            path.push(catmull_rom([before, from, to, after], step as f32 / 6.0));
        }
    }
    path
}

/// Returns the point at `t`, from 0 to 1, between the middle two of four points on a Catmull-Rom spline.
fn catmull_rom([a, b, c, d]: [Point; 4], t: f32) -> Point {
    let along = |a: f32, b: f32, c: f32, d: f32| {
        let (linear, square, cube) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * (b - c) + d - a);
        b + 0.5 * t * (linear + t * (square + t * cube))
    };
    Point {
        x: along(a.x, b.x, c.x, d.x),
        y: along(a.y, b.y, c.y, d.y),
        pressure: b.pressure + t * (c.pressure - b.pressure),
    }
}

/// Scales a digit to a square box with this side and moves the box to the middle of the image, as the authors of
/// MNIST did.
fn fit(strokes: &mut [Vec<Point>], side: f32) {
    let points = || strokes.iter().flatten();
    let (left, right) = points().fold((f32::MAX, f32::MIN), |(low, high), p| (low.min(p.x), high.max(p.x)));
    let (top, bottom) = points().fold((f32::MAX, f32::MIN), |(low, high), p| (low.min(p.y), high.max(p.y)));
    let scale = side / (right - left).max(bottom - top);
    let middle = SIDE as f32 / 2.0;
    for point in strokes.iter_mut().flatten() {
        point.x = (point.x - (left + right) / 2.0) * scale + middle;
        point.y = (point.y - (top + bottom) / 2.0) * scale + middle;
    }
}

/// Draws the line from `a` to `b` on the canvas. The ink is full within the radius of the pen and fades out over
/// `softness` pixels at its edge.
fn ink(canvas: &mut [f32; SIDE * SIDE], a: Point, b: Point, radius: f32, softness: f32) {
    let reach = radius * a.pressure.max(b.pressure) + softness;
    let cells = |low: f32, high: f32| {
        let limit = SIDE as f32;
        ((low - reach).clamp(0.0, limit) as usize)..((high + reach).clamp(0.0, limit) as usize + 1).min(SIDE)
    };
    let (dx, dy) = (b.x - a.x, b.y - a.y);
    let length = (dx * dx + dy * dy).max(1e-9);
    for row in cells(a.y.min(b.y), a.y.max(b.y)) {
        for column in cells(a.x.min(b.x), a.x.max(b.x)) {
            let (x, y) = (column as f32 + 0.5 - a.x, row as f32 + 0.5 - a.y);
            let t = ((x * dx + y * dy) / length).clamp(0.0, 1.0);
            let (x, y) = (x - t * dx, y - t * dy);
            let edge = radius * (a.pressure + t * (b.pressure - a.pressure)) - (x * x + y * y).sqrt();
            let pixel = &mut canvas[row * SIDE + column];
            *pixel = pixel.max((edge / softness + 0.5).min(1.0));
        }
    }
}

/// Returns the image moved by whole pixels so that its centre of mass is in the middle.
fn centred(canvas: &[f32; SIDE * SIDE]) -> [f32; SIDE * SIDE] {
    let (mut mass, mut x, mut y) = (1e-6, 0.0, 0.0);
    for (at, &ink) in canvas.iter().enumerate() {
        mass += ink;
        x += ink * (at % SIDE) as f32;
        y += ink * (at / SIDE) as f32;
    }
    let shift = |moment: f32| (SIDE as f32 / 2.0 - moment / mass).round() as isize;
    let (right, down) = (shift(x), shift(y));
    let mut moved = [0.0; SIDE * SIDE];
    for (at, pixel) in moved.iter_mut().enumerate() {
        let column = ((at % SIDE) as isize - right) as usize;
        let row = ((at / SIDE) as isize - down) as usize;
        if column < SIDE && row < SIDE {
            *pixel = canvas[row * SIDE + column];
        }
    }
    moved
}

/// Converts ink to grey values and adds a little noise where there is ink.
fn develop(canvas: &[f32; SIDE * SIDE], hand: &mut Hand) -> [u8; SIDE * SIDE] {
    canvas.map(|ink| {
        if ink <= 0.0 {
            return 0;
        }
        ((ink + hand.bell(0.04) * (1.2 - ink)).clamp(0.0, 1.0) * 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sha2::{Digest, Sha256};

    use super::super::{load, Source, MNIST_DIR};
    use super::*;
    use vit_nostd::frame::Fit;

    #[test]
    fn image_depends_on_seed_and_index_alone() {
        let many = dataset(50, 7);
        let few = dataset(20, 7);
        assert!(many.images().starts_with(few.images()));
        assert!(*many.image(0) == digit(0, 7));
        let mut seen: HashSet<&[u8]> = (0..many.len()).map(|index| many.image(index)).collect();
        assert_eq!(seen.len(), 50);
        let other = dataset(50, 8);
        seen.extend((0..other.len()).map(|index| other.image(index)));
        assert_eq!(seen.len(), 100);
    }

    /// Published figures refer to this data set, so that it must not change by accident.
    #[test]
    fn pixels_are_the_same_on_every_machine() {
        let sha256: String = Sha256::digest(dataset(1000, TRAIN_SEED).images())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sha256, "eff415233e44d045c8834c0ac0b96f81d39b712d37b4e6e25510c9696051b192");
    }

    #[test]
    fn classes_take_turns() {
        let digits = dataset(1003, 1);
        assert_eq!(digits.len(), 1003);
        assert!((0..digits.len()).all(|index| usize::from(digits.label(index)) == index % 10));
        assert_eq!(dataset(0, 1).len(), 1);
        assert!(digit(13, 1) == digit(3, 1));
    }

    #[test]
    fn digits_have_the_form_of_mnist() {
        let digits = dataset(2000, 3);
        for index in 0..digits.len() {
            let image = digits.image(index);
            let ink = |at: usize| f64::from(image[at]);
            let mass: f64 = (0..784).map(ink).sum();
            let x = (0..784).map(|at| (at % SIDE) as f64 * ink(at)).sum::<f64>() / mass;
            let y = (0..784).map(|at| (at / SIDE) as f64 * ink(at)).sum::<f64>() / mass;
            assert!((x - 14.0).abs() < 0.6 && (y - 14.0).abs() < 0.6, "{index}: {x}, {y}");
            let rows =
                (0..SIDE).filter(|row| image[row * SIDE..][..SIDE].iter().any(|&ink| ink > 64)).count();
            let columns =
                (0..SIDE).filter(|column| (0..SIDE).any(|row| image[row * SIDE + column] > 64)).count();
            assert!((18..=22).contains(&rows.max(columns)), "{index}: {rows} rows, {columns} columns");
            assert!(image.contains(&255) || image.iter().any(|&ink| ink > 150), "{index} is faint");
        }
        // The mean of MNIST is 0.13.
        let mean = digits.images().iter().map(|&ink| f64::from(ink)).sum::<f64>()
            / digits.images().len() as f64
            / 255.0;
        assert!((0.11..0.15).contains(&mean), "{mean}");
    }

    /// Returns the percentage of the first `count` images of `tests` that have the class of their nearest neighbour
    /// in `train`. The nearest neighbour is the image with the smallest angle to it.
    fn nearest_neighbour(train: &Dataset, tests: &Dataset, count: usize) -> f64 {
        let unit = |image: &[u8]| -> Vec<f32> {
            let norm = image.iter().map(|&ink| f32::from(ink) * f32::from(ink)).sum::<f32>().sqrt();
            image.iter().map(|&ink| f32::from(ink) / norm).collect()
        };
        let known: Vec<Vec<f32>> = (0..train.len()).map(|index| unit(train.image(index))).collect();
        let correct = (0..count).filter(|&index| {
            let image = unit(tests.image(index));
            let alike = |other: &Vec<f32>| {
                let mut lanes = [0.0; 16]; // 16 sums at a time are fast
                for (a, b) in image.chunks_exact(16).zip(other.chunks_exact(16)) {
                    for lane in 0..16 {
                        lanes[lane] += a[lane] * b[lane];
                    }
                }
                lanes.iter().sum::<f32>()
            };
            let nearest = known.iter().map(alike).enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
            train.label(nearest) == tests.label(index)
        });
        100.0 * correct.count() as f64 / count as f64
    }

    #[test]
    fn digits_can_be_told_apart() {
        let accuracy = nearest_neighbour(&dataset(2000, TRAIN_SEED), &dataset(300, TEST_SEED), 300);
        assert!(accuracy >= 85.0, "{accuracy} %");
    }

    #[test]
    fn real_digits_are_recognised_by_these() {
        if std::env::var_os(MNIST_DIR).is_none() {
            return;
        }
        let mnist = load(&Source::Mnist, FORMAT, Fit::Crop).unwrap();
        let accuracy = nearest_neighbour(&dataset(4000, TRAIN_SEED), &mnist.test, 500);
        assert!(accuracy >= 80.0, "{accuracy} %");
    }
}
