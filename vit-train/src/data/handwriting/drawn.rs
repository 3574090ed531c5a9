//! Draws photographs of a digit as people take them: on squared paper, with a shadow across it, with a table around it.

use super::plane::Plane;
use image::{codecs::jpeg::JpegEncoder, imageops, GrayImage, ImageReader, Luma};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{f32::consts::PI, io::Cursor};

/// Writes a digit and returns the amount of ink in each pixel, 0 to 1. The arguments are its class, a seed, and its
/// height in pixels.
pub(super) type Write<'a> = &'a (dyn Fn(u8, u64, f32) -> Plane + Sync);

/// A kind of picture. `readable` is true if there is one digit in it that can be read.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub name: &'static str,
    pub readable: bool,
    draw: fn(&mut Scene),
}

impl Kind {
    /// Draws a picture of a digit of `class`.
    pub(super) fn picture(&self, class: u8, seed: u64, write: Write) -> GrayImage {
        let mut scene = Scene::new(class, seed, write);
        (self.draw)(&mut scene);
        scene.photograph()
    }
}

#[rustfmt::skip]
pub(super) const KINDS: &[Kind] = &[
    Kind { name: "dark on light", readable: true, draw: plain },
    Kind { name: "light on dark", readable: true, draw: light_on_dark },
    Kind { name: "frame", readable: true, draw: frame },
    Kind { name: "ruled paper", readable: true, draw: ruled },
    Kind { name: "squared paper", readable: true, draw: squared },
    Kind { name: "margin line", readable: true, draw: margin },
    Kind { name: "hard shadow", readable: true, draw: hard_shadow },
    Kind { name: "soft shadow", readable: true, draw: soft_shadow },
    Kind { name: "fold", readable: true, draw: fold },
    Kind { name: "punched holes", readable: true, draw: holes },
    Kind { name: "table", readable: true, draw: table },
    Kind { name: "tilted sheet", readable: true, draw: tilted },
    Kind { name: "strip", readable: true, draw: strip },
    Kind { name: "tightly cropped", readable: true, draw: tightly_cropped },
    Kind { name: "stain", readable: true, draw: stain },
    Kind { name: "blot", readable: true, draw: blot },
    Kind { name: "pencil", readable: true, draw: pencil },
    Kind { name: "noise and JPEG", readable: true, draw: noise_and_jpeg },
    Kind { name: "vignette", readable: true, draw: vignette },
    Kind { name: "underlined", readable: true, draw: underlined },
    Kind { name: "board and table", readable: true, draw: board_on_a_table },
    Kind { name: "close paper", readable: true, draw: close_paper },
    Kind { name: "line above", readable: false, draw: line_above },
    Kind { name: "one above another", readable: false, draw: one_above_another },
    Kind { name: "tick beside", readable: false, draw: tick_beside },
    Kind { name: "several digits", readable: false, draw: several },
    Kind { name: "slanted digits", readable: false, draw: slanted_digits },
    Kind { name: "scribble", readable: false, draw: scribble },
    Kind { name: "cut off", readable: false, draw: cut_off },
    Kind { name: "cropped", readable: false, draw: cropped },
    Kind { name: "over a sheet's end", readable: false, draw: over_the_end_of_a_sheet },
    Kind { name: "texture", readable: false, draw: texture },
    Kind { name: "empty page", readable: false, draw: |_| () },
];

type Point = (f32, f32);

/// A sheet of paper in front of a camera.
struct Scene<'a> {
    random: ChaCha8Rng,
    class: u8,
    seed: u64,
    write: Write<'a>,
    width: f32,
    height: f32,
    /// The share of the light that each point of the sheet reflects.
    sheet: Plane,
    /// The share that ink reflects.
    ink: f32,
    /// The height of the digit.
    digit: f32,
    /// The centre of the digit.
    middle: Point,
    /// The standard deviation of the noise, in grey levels.
    noise: f32,
    jpeg: Option<u8>,
}

impl<'a> Scene<'a> {
    fn new(class: u8, seed: u64, write: Write<'a>) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = |low, high| between(&mut random, low, high);
        let (width, height) = (uniform(260.0, 460.0).round(), uniform(260.0, 460.0).round());
        let (paper, ink) = (uniform(0.72, 0.95), uniform(0.08, 0.35));
        let digit = uniform(0.28, 0.6) * width.min(height);
        let free = |side: f32| (side - 1.35 * digit) / 2.0;
        let x = width / 2.0 + uniform(-1.0, 1.0) * free(width);
        let y = height / 2.0 + uniform(-1.0, 1.0) * free(height);
        let noise = uniform(0.5, 3.0);
        let sheet = Plane::from_pixel(width as u32, height as u32, Luma([paper]));
        Self {
            random,
            class,
            seed,
            write,
            width,
            height,
            sheet,
            ink,
            digit,
            middle: (x, y),
            noise,
            jpeg: None,
        }
    }

    fn uniform(&mut self, low: f32, high: f32) -> f32 {
        between(&mut self.random, low, high)
    }

    fn coin(&mut self) -> bool {
        self.random.random()
    }

    /// Changes each point of the sheet by a function of its place and value.
    fn change(&mut self, change: impl Fn(f32, f32, f32) -> f32) {
        for (x, y, pixel) in self.sheet.enumerate_pixels_mut() {
            pixel.0[0] = change(x as f32, y as f32, pixel.0[0]);
        }
    }

    /// Covers the points of the sheet with a negative `distance`, so that they reflect `value`.
    fn cover(&mut self, value: f32, distance: impl Fn(f32, f32) -> f32) {
        self.change(|x, y, old| old + (value - old) * (0.5 - distance(x, y)).clamp(0.0, 1.0));
    }

    /// Draws a straight line between two points.
    fn line(&mut self, (a, b): (Point, Point), thickness: f32, value: f32) {
        self.cover(value, |x, y| distance((x, y), a, b) - thickness / 2.0);
    }

    /// Draws parallel lines across the whole picture, `pitch` apart, at an angle.
    fn lines(&mut self, angle: f32, pitch: f32, thickness: f32, value: f32) {
        let (sin, cos) = angle.sin_cos();
        let offset = self.uniform(0.0, pitch);
        self.cover(value, |x, y| {
            let across = (y * cos - x * sin + offset).rem_euclid(pitch);
            across.min(pitch - across) - thickness / 2.0
        });
    }

    /// Writes the digit in its place.
    fn write(&mut self) {
        self.digit_at(self.class, self.seed, self.middle);
    }

    fn digit_at(&mut self, class: u8, seed: u64, middle: Point) {
        let ink = (self.write)(class, seed, self.digit);
        self.ink_at(&ink, middle);
    }

    fn ink_at(&mut self, ink: &Plane, (x, y): Point) {
        let left = (x - ink.width() as f32 / 2.0).round() as i64;
        let top = (y - ink.height() as f32 / 2.0).round() as i64;
        for (x, y, pixel) in ink.enumerate_pixels() {
            let [Ok(x), Ok(y)] = [left + i64::from(x), top + i64::from(y)].map(u32::try_from) else {
                continue;
            };
            if let Some(sheet) = self.sheet.get_pixel_mut_checked(x, y) {
                sheet.0[0] += pixel.0[0] * (self.ink.min(sheet.0[0]) - sheet.0[0]);
            }
        }
    }

    /// Returns a point on the sheet that is not under the digit, if there is one.
    fn next_to_digit(&mut self, reach: f32) -> Point {
        for _ in 0..50 {
            let (x, y) = (self.uniform(0.05, 0.95) * self.width, self.uniform(0.05, 0.95) * self.height);
            let away = (x - self.middle.0).abs().max((y - self.middle.1).abs());
            if away > 0.6 * self.digit + reach {
                return (x, y);
            }
        }
        (0.0, 0.0)
    }

    /// Takes the photograph: the light comes from one side, and the camera adds noise.
    fn photograph(mut self) -> GrayImage {
        let (gain, slope, angle) =
            (self.uniform(0.85, 1.0), self.uniform(0.0, 0.25), self.uniform(0.0, 2.0 * PI));
        let (sin, cos) = angle.sin_cos();
        let (width, height, noise) = (self.width, self.height, self.noise);
        let mut state = self.random.next_u32() | 1;
        let mut bell = || {
            let mut sum = 0;
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                sum += state >> 16;
            }
            sum as f32 / 32_768.0 - 3.0
        };
        let image = GrayImage::from_fn(self.sheet.width(), self.sheet.height(), |x, y| {
            let (u, v) = (x as f32 / width - 0.5, y as f32 / height - 0.5);
            let light = 255.0 * gain * (1.0 - slope * (0.5 + u * cos + v * sin));
            Luma([(light * self.sheet.get_pixel(x, y).0[0] + noise * bell()).round().clamp(0.0, 255.0) as u8])
        });
        let Some(quality) = self.jpeg else { return image };
        let mut file = Vec::new();
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality)).unwrap();
        let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().unwrap();
        reader.decode().unwrap().into_luma8()
    }
}

fn between(random: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * random.random::<f32>()
}

/// Returns the distance of a point from a line segment.
fn distance((x, y): Point, a: Point, b: Point) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let t = (((x - a.0) * dx + (y - a.1) * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    (x - a.0 - t * dx).hypot(y - a.1 - t * dy)
}

/// Draws strokes, which lie in a box of about 1 by 1, with a round pen. Returns the amount of ink in each pixel.
pub(super) fn pen(strokes: &[Vec<Point>], height: f32, thickness: f32, angle: f32) -> Plane {
    let (sin, cos) = angle.sin_cos();
    let turned = |&(x, y): &Point| (cos * x - sin * y, sin * x + cos * y);
    let mut strokes: Vec<Vec<Point>> =
        strokes.iter().map(|stroke| stroke.iter().map(turned).collect()).collect();
    let mut bounds = [f32::MAX, f32::MIN, f32::MAX, f32::MIN];
    for &(x, y) in strokes.iter().flatten() {
        let [left, right, top, bottom] = bounds;
        bounds = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
    }
    let [left, right, top, bottom] = bounds;
    let scale = (height - thickness) / (bottom - top).max(0.5 * (right - left)).max(1e-3);
    let margin = thickness / 2.0 + 1.0;
    for (x, y) in strokes.iter_mut().flatten() {
        (*x, *y) = ((*x - left) * scale + margin, (*y - top) * scale + margin);
    }
    let side = |length: f32| (length * scale + 2.0 * margin).ceil() as u32 + 1;
    let mut ink = Plane::new(side(right - left), side(bottom - top));
    for (&a, &b) in strokes.iter().flat_map(|stroke| stroke.iter().zip(&stroke[1..])) {
        let cells = |low: f32, high: f32| (low - margin).max(0.0) as u32..=(high + margin) as u32;
        for y in cells(a.1.min(b.1), a.1.max(b.1)) {
            for x in cells(a.0.min(b.0), a.0.max(b.0)) {
                if let Some(pixel) = ink.get_pixel_mut_checked(x, y) {
                    let edge = thickness / 2.0 + 0.5 - distance((x as f32, y as f32), a, b);
                    pixel.0[0] = pixel.0[0].max(edge.clamp(0.0, 1.0));
                }
            }
        }
    }
    ink
}

fn plain(scene: &mut Scene) {
    scene.write();
}

fn light_on_dark(scene: &mut Scene) {
    let (board, chalk) = (scene.uniform(0.05, 0.3), scene.uniform(0.6, 0.95));
    scene.write();
    let paper = scene.sheet.iter().copied().fold(0.0, f32::max);
    let ink = scene.ink;
    scene.change(|_, _, value| chalk + (board - chalk) * (value - ink) / (paper - ink));
}

/// Draws a printed frame around the digit, upright or turned a little, in some cases so near that they touch.
fn frame(scene: &mut Scene) {
    let (sin, cos) = scene.uniform(-0.1, 0.1).sin_cos();
    let (wide, high) = (scene.uniform(0.55, 0.85) * scene.digit, scene.uniform(0.58, 0.85) * scene.digit);
    let thickness = scene.uniform(1.0, 6.0);
    let value = scene.uniform(0.1, 0.6);
    let (x, y) = scene.middle;
    let corner = |a: f32, b: f32| (x + cos * a * wide - sin * b * high, y + sin * a * wide + cos * b * high);
    let corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
    for side in 0..4 {
        scene.line((corners[side], corners[(side + 1) % 4]), thickness, value);
    }
    scene.write();
}

fn ruled(scene: &mut Scene) {
    let (angle, pitch) = (scene.uniform(-0.1, 0.1), scene.uniform(0.25, 1.2) * scene.digit);
    let (thickness, value) = (scene.uniform(1.0, 3.5), scene.uniform(0.3, 0.7));
    scene.lines(angle, pitch, thickness, value);
    scene.write();
}

fn squared(scene: &mut Scene) {
    let (angle, pitch) = (scene.uniform(-0.1, 0.1), scene.uniform(0.18, 0.7) * scene.digit);
    let (thickness, value) = (scene.uniform(1.0, 3.0), scene.uniform(0.3, 0.7));
    scene.lines(angle, pitch, thickness, value);
    scene.lines(angle + PI / 2.0, pitch, thickness, value);
    scene.write();
}

fn margin(scene: &mut Scene) {
    let lean = scene.uniform(-0.06, 0.06) * scene.height;
    let side = if scene.coin() { -1.0 } else { 1.0 };
    let x = scene.middle.0 + side * scene.uniform(0.2, 0.8) * scene.digit;
    let (thickness, value) = (scene.uniform(1.5, 5.0), scene.uniform(0.3, 0.55));
    scene.line(((x - lean, -5.0), (x + lean, scene.height + 5.0)), thickness, value);
    scene.write();
}

/// Returns the signed distance from a straight line near the middle of the digit, at a random angle.
fn edge(scene: &mut Scene) -> impl Fn(f32, f32) -> f32 + use<> {
    let (sin, cos) = scene.uniform(0.0, 2.0 * PI).sin_cos();
    let offset = scene.uniform(-0.9, 0.9) * scene.digit;
    let (x0, y0) = scene.middle;
    move |x, y| (x - x0) * cos + (y - y0) * sin + offset
}

fn hard_shadow(scene: &mut Scene) {
    scene.write();
    let (dark, soft) = (scene.uniform(0.35, 0.75), scene.uniform(1.0, 4.0));
    let edge = edge(scene);
    scene.change(|x, y, value| value * (1.0 + (dark - 1.0) * (0.5 - edge(x, y) / soft).clamp(0.0, 1.0)));
}

fn soft_shadow(scene: &mut Scene) {
    scene.write();
    let (dark, soft) = (scene.uniform(0.3, 0.7), scene.uniform(0.1, 0.6) * scene.width);
    let edge = edge(scene);
    scene.change(|x, y, value| value * (1.0 + (dark - 1.0) * (0.5 - edge(x, y) / soft).clamp(0.0, 1.0)));
}

/// Draws a crease, darker or brighter than the paper, which is lit differently on its two sides.
fn fold(scene: &mut Scene) {
    scene.write();
    let (dark, crease, width) = (scene.uniform(0.7, 0.95), scene.uniform(0.6, 1.15), scene.uniform(1.0, 5.0));
    let edge = edge(scene);
    scene.change(|x, y, value| {
        let away = edge(x, y);
        let side = 1.0 + (dark - 1.0) * (0.5 - away / 3.0).clamp(0.0, 1.0);
        value * side * (1.0 + (crease - 1.0) * (width / 2.0 + 0.5 - away.abs()).clamp(0.0, 1.0))
    });
}

fn holes(scene: &mut Scene) {
    scene.write();
    let left = scene.middle.0 > scene.width / 2.0;
    let (radius, value) = (scene.uniform(0.02, 0.05) * scene.height, scene.uniform(0.02, 0.4));
    let room = if left { scene.middle.0 } else { scene.width - scene.middle.0 } - 0.55 * scene.digit;
    let x = (scene.uniform(0.03, 0.1) * scene.width).min(room - radius).max(0.0);
    let x = if left { x } else { scene.width - x };
    let first = scene.uniform(0.05, 0.45) * scene.height;
    let pitch = scene.uniform(0.2, 0.5) * scene.height;
    for at in 0..4 {
        let y = first + at as f32 * pitch;
        scene.cover(value, |a, b| (a - x).hypot(b - y) - radius);
    }
}

/// Turns everything but a rectangle into a table, with or without a grain.
fn around(scene: &mut Scene, angle: f32) {
    scene.write();
    let (sin, cos) = angle.sin_cos();
    let (x0, y0) = scene.middle;
    let sides: [f32; 4] = std::array::from_fn(|_| scene.uniform(0.65, 1.6) * scene.digit);
    let (table, grain) = (scene.uniform(0.05, 0.5), scene.uniform(0.0, 0.1));
    let (pitch, slant) = (scene.uniform(3.0, 20.0), scene.uniform(-2.0, 2.0));
    scene.change(|x, y, value| {
        let (u, v) = ((x - x0) * cos + (y - y0) * sin, (y - y0) * cos - (x - x0) * sin);
        let outside = (-u - sides[0]).max(u - sides[1]).max(-v - sides[2]).max(v - sides[3]);
        let table = table + grain * ((x * slant + y + 4.0 * (x / 37.0).sin()) * 2.0 * PI / pitch).sin() / 2.0;
        value + (table - value) * (0.5 + outside).clamp(0.0, 1.0)
    });
}

fn table(scene: &mut Scene) {
    let angle = scene.uniform(-0.03, 0.03);
    around(scene, angle);
}

fn tilted(scene: &mut Scene) {
    let angle = scene.uniform(-0.5, 0.5);
    around(scene, angle);
}

/// Crops the picture to the digit and a narrow margin around it.
fn tightly_cropped(scene: &mut Scene) {
    scene.digit = scene.uniform(0.5, 0.9) * scene.width.min(scene.height);
    let ink = (scene.write)(scene.class, scene.seed, scene.digit);
    let margin = (scene.uniform(0.01, 0.06) * ink.width().max(ink.height()) as f32).max(2.0) as u32;
    let paper = scene.sheet.get_pixel(0, 0).0[0];
    scene.sheet = Plane::from_pixel(ink.width() + 2 * margin, ink.height() + 2 * margin, Luma([paper]));
    (scene.width, scene.height) = (scene.sheet.width() as f32, scene.sheet.height() as f32);
    scene.ink_at(&ink, (scene.width / 2.0, scene.height / 2.0));
}

/// Lays a dark board with a light digit on a lighter table.
fn board_on_a_table(scene: &mut Scene) {
    light_on_dark(scene);
    let (x0, y0) = (scene.width / 2.0, scene.height / 2.0);
    let sides = [scene.uniform(0.6, 0.85) * x0, scene.uniform(0.6, 0.85) * y0];
    let table = scene.uniform(0.45, 0.8);
    scene.cover(table, |x, y| (sides[0] - (x - x0).abs()).min(sides[1] - (y - y0).abs()));
}

/// Cuts the paper closely around a bold digit and puts it on a ground without noise, as a scanner or an editor of
/// pictures does.
fn close_paper(scene: &mut Scene) {
    scene.middle = (scene.width / 2.0, scene.height / 2.0);
    scene.digit = scene.uniform(0.4, 0.55) * scene.width.min(scene.height);
    scene.noise = 0.0;
    let ink = (scene.write)(scene.class, scene.seed, scene.digit);
    scene.ink_at(&ink, scene.middle);
    let margin = scene.uniform(0.05, 0.2) * scene.digit;
    let [across, down] = [ink.width(), ink.height()].map(|side| side as f32 / 2.0 + margin);
    let (x0, y0, ground) = (scene.middle.0, scene.middle.1, scene.uniform(0.0, 0.45));
    scene.cover(ground, |x, y| (across - (x - x0).abs()).min(down - (y - y0).abs()));
}

/// Lays a sheet on a table that ends within the digit or next to it, at one side.
fn over_the_end_of_a_sheet(scene: &mut Scene) {
    scene.middle = (scene.width / 2.0, scene.height / 2.0);
    scene.digit = scene.uniform(0.3, 0.45) * scene.width.min(scene.height);
    let ink = (scene.write)(scene.class, scene.seed, scene.digit);
    scene.ink_at(&ink, scene.middle);
    let mut sides: [f32; 4] = std::array::from_fn(|_| scene.uniform(0.65, 1.0) * scene.digit);
    let side = scene.random.random_range(0..4);
    let size = if side < 2 { ink.width() } else { ink.height() } as f32;
    sides[side] = size / 2.0 - scene.uniform(0.02, 0.4) * size;
    let (table, (x0, y0)) = (scene.uniform(0.05, 0.5), scene.middle);
    scene.cover(table, |x, y| {
        (x - x0 + sides[0]).min(x0 + sides[1] - x).min(y - y0 + sides[2]).min(y0 + sides[3] - y)
    });
}

/// Lays a long strip of paper with one digit, such as a label, on a table.
fn strip(scene: &mut Scene) {
    scene.height = scene.uniform(150.0, 300.0).round();
    scene.width = (scene.height * scene.uniform(3.0, 7.5)).round();
    let paper = scene.sheet.get_pixel(0, 0).0[0];
    scene.sheet = Plane::from_pixel(scene.width as u32, scene.height as u32, Luma([paper]));
    scene.digit = scene.uniform(0.4, 0.6) * scene.height;
    scene.middle = (scene.uniform(0.15, 0.85) * scene.width, scene.height / 2.0);
    scene.write();
    let (low, wide) = (scene.uniform(0.05, 0.15) * scene.height, scene.uniform(0.01, 0.05) * scene.width);
    let (width, height, table) = (scene.width, scene.height, scene.uniform(0.05, 0.35));
    scene.cover(table, |x, y| (x - wide).min(width - wide - x).min(y - low).min(height - low - y));
}

/// Draws the ring that a cup of coffee leaves, which may cross the digit.
fn stain(scene: &mut Scene) {
    let (x0, y0) = scene.next_to_digit(-0.3 * scene.digit);
    let (radius, width) = (scene.uniform(0.3, 0.8) * scene.digit, scene.uniform(4.0, 16.0));
    let (ring, inner) = (scene.uniform(0.7, 0.88), scene.uniform(0.9, 1.0));
    scene.write();
    scene.change(|x, y, value| {
        let away = (x - x0).hypot(y - y0) - radius;
        let within = inner + (1.0 - inner) * (away / width + 0.5).clamp(0.0, 1.0);
        value * within * (1.0 + (ring - 1.0) * (1.0 - away.abs() / width).max(0.0))
    });
}

/// Draws a blot of ink next to the digit.
fn blot(scene: &mut Scene) {
    let radius = scene.uniform(0.05, 0.2) * scene.digit;
    let (x0, y0) = scene.next_to_digit(1.3 * radius);
    let (lobes, phase) = (scene.uniform(2.0, 6.0).round(), scene.uniform(0.0, 6.0));
    scene.write();
    let ink = scene.ink;
    scene.cover(ink, |x, y| {
        let angle = (y - y0).atan2(x - x0);
        (x - x0).hypot(y - y0) - radius * (1.0 + 0.2 * (lobes * angle + phase).sin())
    });
}

fn pencil(scene: &mut Scene) {
    let paper = scene.sheet.get_pixel(0, 0).0[0];
    scene.ink = paper - scene.uniform(0.1, 0.25);
    scene.noise = scene.uniform(0.5, 2.5);
    scene.write();
}

fn noise_and_jpeg(scene: &mut Scene) {
    scene.noise = scene.uniform(6.0, 18.0);
    scene.jpeg = Some(scene.uniform(15.0, 70.0) as u8);
    scene.write();
}

fn vignette(scene: &mut Scene) {
    scene.write();
    let (fall, power) = (scene.uniform(0.4, 0.75), scene.uniform(2.0, 5.0));
    let (width, height) = (scene.width, scene.height);
    scene.change(|x, y, value| {
        let away = (x / width - 0.5).hypot(y / height - 0.5) / 0.5_f32.hypot(0.5);
        value * (1.0 - fall * away.powf(power))
    });
}

fn several(scene: &mut Scene) {
    let count = if scene.coin() { 2 } else { 3 };
    scene.digit = scene.uniform(0.4, 0.9) * scene.width.min(1.6 * scene.height) / count as f32;
    let y = scene.height * scene.uniform(0.4, 0.6);
    let pitch = scene.width / (count as f32 + scene.uniform(0.1, 0.6));
    for at in 0..count {
        let x = scene.width / 2.0 + (at as f32 - (count - 1) as f32 / 2.0) * pitch;
        let y = y + scene.uniform(-0.1, 0.1) * scene.digit;
        scene.digit_at((scene.class + 3 * at) % 10, scene.seed + u64::from(at), (x, y));
    }
}

/// Draws a line with a pen, below or above the digit and `gap` away from it, straight or a little curved.
fn line_of_a_pen(scene: &mut Scene, above: bool, gap: f32) {
    let half = scene.uniform(0.25, 0.9) * scene.digit;
    let bend = if scene.coin() { scene.uniform(-0.05, 0.05) * scene.digit } else { 0.0 };
    let lean = scene.uniform(-0.04, 0.04) * scene.digit;
    let thickness = (scene.uniform(0.04, 0.12) * scene.digit).max(2.0);
    let room = bend.abs() + lean.abs() + thickness / 2.0;
    let away = scene.digit / 2.0 + gap * scene.digit + room;
    let (x, y) = (scene.middle.0, scene.middle.1 + if above { -away } else { away });
    let point = |at: i32| {
        let t = at as f32 / 10.0 - 1.0;
        (x + t * half, y + t * lean + bend * (1.0 - 2.0 * t * t))
    };
    let ink = scene.ink;
    for at in 0..20 {
        scene.line((point(at), point(at + 1)), thickness, ink);
    }
}

/// Underlines the digit once or twice.
fn underlined(scene: &mut Scene) {
    scene.digit *= 0.8;
    scene.write();
    let gap = scene.uniform(0.06, 0.3);
    line_of_a_pen(scene, false, gap);
    if scene.coin() {
        line_of_a_pen(scene, false, gap + 0.2);
    }
}

/// Draws a line above the digit, like that over a repeating decimal.
fn line_above(scene: &mut Scene) {
    scene.digit *= 0.8;
    scene.write();
    let gap = scene.uniform(0.08, 0.3);
    line_of_a_pen(scene, true, gap);
}

/// Writes two digits one above the other, nearer to each other than they are high.
fn one_above_another(scene: &mut Scene) {
    scene.digit = scene.uniform(0.25, 0.38) * scene.width.min(scene.height);
    let (x, y) = (scene.width / 2.0, scene.height / 2.0);
    let half = (1.0 + scene.uniform(0.03, 0.3)) * scene.digit / 2.0;
    let aside = scene.uniform(-0.2, 0.2) * scene.digit;
    scene.digit_at(scene.class, scene.seed, (x, y - half));
    scene.digit_at((scene.class + 3) % 10, scene.seed + 1, (x + aside, y + half));
}

/// Draws a teacher's tick next to the digit, up to three times as high.
fn tick_beside(scene: &mut Scene) {
    let side = scene.width.min(scene.height);
    scene.digit = scene.uniform(0.16, 0.24) * side;
    let height = scene.uniform(1.0, 3.0) * scene.digit;
    let thickness = (scene.uniform(0.05, 0.12) * scene.digit).max(2.0);
    let tick = pen(&[vec![(0.0, 0.7), (0.25, 1.0), (0.8, 0.0)]], height, thickness, 0.0);
    let x = scene.width / 2.0;
    scene.middle = (x - 0.3 * side, scene.height * scene.uniform(0.3, 0.7));
    scene.write();
    let tick_x = scene.middle.0 + 0.6 * scene.digit + tick.width() as f32 / 2.0;
    scene.ink_at(&tick, (tick_x, scene.height / 2.0));
}

/// Writes two slanted digits side by side whose boxes overlap although their strokes do not. The second one may be
/// lower.
fn slanted_digits(scene: &mut Scene) {
    scene.digit = scene.uniform(0.3, 0.5) * scene.width.min(scene.height);
    let (slant, lower) = (scene.uniform(0.2, 0.5), scene.uniform(0.0, 0.25) * scene.digit);
    let [left, right] = [0, 3].map(|at| {
        let ink = (scene.write)((scene.class + at) % 10, scene.seed + u64::from(at), scene.digit);
        let shift = |y: u32| (slant * (ink.height() - y) as f32) as u32;
        let mut slanted = Plane::new(ink.width() + shift(0), ink.height());
        for (x, y, &pixel) in ink.enumerate_pixels() {
            slanted.put_pixel(x + shift(y), y, pixel);
        }
        slanted
    });
    // The digits are as near to each other as a gap between their strokes allows, also from one row to another.
    let gap = scene.uniform(0.06, 0.15) * scene.digit;
    let end = |y: u32| (0..left.width()).rev().find(|&x| left.get_pixel(x, y).0[0] > 0.0);
    let start = |y: u32| (0..right.width()).find(|&x| right.get_pixel(x, y).0[0] > 0.0);
    let rows = (0..left.height()).flat_map(|above| (0..right.height()).map(move |below| (above, below)));
    let near = rows.filter(|&(above, below)| (above as f32 - below as f32 - lower).abs() <= gap);
    let nearest = near.filter_map(|(above, below)| Some(end(above)? as f32 - start(below)? as f32));
    let pitch = nearest.fold(f32::MIN, f32::max) + gap;
    let (x, y) = ((scene.width - pitch) / 2.0, (scene.height - lower) / 2.0);
    let half = (right.width() as f32 - left.width() as f32) / 2.0;
    scene.ink_at(&left, (x, y));
    scene.ink_at(&right, (x + pitch + half, y + lower));
}

fn scribble(scene: &mut Scene) {
    let turns = scene.uniform(14.0, 40.0) as usize;
    let path: Vec<Point> = (0..turns).map(|_| (scene.uniform(0.0, 1.0), scene.uniform(0.0, 1.0))).collect();
    let thickness = scene.uniform(2.0, 8.0);
    let ink = pen(&[path], scene.digit, thickness, 0.0);
    scene.ink_at(&ink, scene.middle);
}

/// Writes the digit at the edge of the picture, so that a fifth to a half of it is missing.
fn cut_off(scene: &mut Scene) {
    let inside = 0.5 - scene.uniform(0.2, 0.5);
    let (wide, high) = (inside * 0.6 * scene.digit, inside * scene.digit);
    match scene.random.random_range(0..4) {
        0 => scene.middle.1 = high,
        1 => scene.middle.1 = scene.height - high,
        2 => scene.middle.0 = wide,
        _ => scene.middle.0 = scene.width - wide,
    }
    scene.write();
}

/// Crops the picture through the digit, so that a twentieth to a half of it is missing at one side.
fn cropped(scene: &mut Scene) {
    scene.digit = scene.uniform(0.4, 0.7) * scene.width.min(scene.height);
    let ink = (scene.write)(scene.class, scene.seed, scene.digit);
    scene.middle = (scene.width / 2.0, scene.height / 2.0);
    scene.ink_at(&ink, scene.middle);
    let missing = scene.uniform(0.05, 0.5);
    let left = (scene.middle.0 - ink.width() as f32 / 2.0).round() as u32;
    let top = (scene.middle.1 - ink.height() as f32 / 2.0).round() as u32;
    let inside = |side: u32| ((1.0 - missing) * side as f32).round() as u32;
    let outside = |side: u32| (missing * side as f32).round() as u32;
    let (width, height) = scene.sheet.dimensions();
    let [x, y, right, bottom] = match scene.random.random_range(0..4) {
        0 => [0, top + outside(ink.height()), width, height],
        1 => [0, 0, width, top + inside(ink.height())],
        2 => [left + outside(ink.width()), 0, width, height],
        _ => [0, 0, left + inside(ink.width()), height],
    };
    scene.sheet = imageops::crop_imm(&scene.sheet, x, y, right - x, bottom - y).to_image();
}

/// Draws waves of several lengths and directions, like cloth, wood or grass.
fn texture(scene: &mut Scene) {
    let waves: [_; 8] = std::array::from_fn(|_| {
        let (sin, cos) = scene.uniform(0.0, 2.0 * PI).sin_cos();
        (sin, cos, scene.uniform(0.05, 0.5), scene.uniform(0.0, 6.0))
    });
    let (mean, contrast) = (scene.uniform(0.3, 0.7), scene.uniform(0.1, 0.3));
    scene.change(|x, y, _| {
        let sum: f32 =
            waves.iter().map(|(sin, cos, fast, phase)| ((x * cos + y * sin) * fast + phase).sin()).sum();
        (mean + contrast * sum / 2.0).clamp(0.0, 1.0)
    });
}
