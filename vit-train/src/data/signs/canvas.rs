//! A picture while it is drawn, and what is done to all of its pixels.

use image::RgbImage;
use rand::Rng;

use super::{colour::Colour, dice::Dice};

pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    /// The pixels, row by row.
    pixels: Vec<Colour>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0.0; 3]; width * height] }
    }

    /// Calls `paint` with the centre and the colour of each pixel.
    pub(super) fn paint(&mut self, paint: impl FnMut(f32, f32, &mut Colour)) {
        self.paint_box([0.0, 0.0, self.width as f32, self.height as f32], paint);
    }

    /// Calls `paint` with the centre and the colour of each pixel in a box: left, top, right, bottom.
    pub(super) fn paint_box(&mut self, bounds: [f32; 4], mut paint: impl FnMut(f32, f32, &mut Colour)) {
        let [left, top, right, bottom] = bounds.map(|bound| bound.max(0.0) as usize);
        let (right, bottom) = ((right + 1).min(self.width), (bottom + 1).min(self.height));
        for row in top..bottom {
            for column in left..right {
                paint(column as f32 + 0.5, row as f32 + 0.5, &mut self.pixels[row * self.width + column]);
            }
        }
    }

    /// Blurs along the rows and along the columns. Each radius is half of the base of the triangular weights, in
    /// pixels; radii up to 1 do nothing.
    pub(super) fn blur(&mut self, across: f32, down: f32) {
        if across > 1.0 {
            self.pixels.chunks_exact_mut(self.width).for_each(|row| blur_along(row, 1, across));
        }
        if down > 1.0 {
            blur_along(&mut self.pixels, self.width, down);
        }
    }

    /// Adds noise to all pixels, and converts them to levels. `strength` is the largest noise.
    pub(super) fn develop(&self, strength: f32, dice: &mut Dice) -> RgbImage {
        let mut noise = vec![0; 4 * self.pixels.len()];
        dice.0.fill_bytes(&mut noise);
        let mut levels = vec![0; 3 * self.pixels.len()];
        for ((levels, pixel), noise) in
            levels.chunks_exact_mut(3).zip(&self.pixels).zip(noise.chunks_exact(4))
        {
            // One part of the noise has all colours, and the other has one.
            let noise = |i: usize| strength * (f32::from(noise[i]) / 127.5 - 1.0);
            let grey = 0.6 * noise(0);
            for (i, level) in levels.iter_mut().enumerate() {
                *level = ((pixel[i] + grey + 0.4 * noise(i + 1)).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        }
        RgbImage::from_raw(self.width as u32, self.height as u32, levels)
            .expect("three levels for each pixel")
    }
}

/// Blurs pixels along neighbours that are `stride` apart. The ends are repeated.
fn blur_along(pixels: &mut [Colour], stride: usize, radius: f32) {
    let reach = radius as usize;
    let weight = |step: usize| (1.0 - step as f32 / radius).max(0.0);
    let sum = 1.0 + 2.0 * (1..=reach).map(weight).sum::<f32>();
    let mut padded = Vec::with_capacity(pixels.len() + 2 * reach * stride);
    (0..reach).for_each(|_| padded.extend_from_slice(&pixels[..stride]));
    padded.extend_from_slice(pixels);
    (0..reach).for_each(|_| padded.extend_from_slice(&pixels[pixels.len() - stride..]));
    pixels.fill([0.0; 3]);
    for step in 0..=2 * reach {
        let weight = weight(step.abs_diff(reach)) / sum;
        let neighbours = padded[step * stride..].as_flattened();
        pixels.as_flattened_mut().iter_mut().zip(neighbours).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// A smooth random function of the place in a picture, with values from 0 to 1.
pub(super) struct Noise {
    /// The values at the knots of a square grid, row by row.
    knots: Vec<f32>,
    side: usize,
    /// Knots per pixel.
    scale: f32,
}

impl Noise {
    /// Draws a function whose knots are `spacing` pixels apart.
    pub(super) fn new(canvas: &Canvas, spacing: f32, dice: &mut Dice) -> Self {
        let side = (canvas.width.max(canvas.height) as f32 / spacing) as usize + 2;
        Self { knots: (0..side * side).map(|_| dice.uniform(0.0, 1.0)).collect(), side, scale: 1.0 / spacing }
    }

    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x * self.scale, y * self.scale);
        let (column, row) = (x as usize, y as usize);
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (u, v) = (smooth(x - column as f32), smooth(y - row as f32));
        let between = |knots: &[f32]| knots[0] + u * (knots[1] - knots[0]);
        let upper = between(&self.knots[row * self.side + column..][..2]);
        let lower = between(&self.knots[(row + 1) * self.side + column..][..2]);
        upper + v * (lower - upper)
    }
}
