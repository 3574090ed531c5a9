//! What is behind and in front of a sign.

use std::f32::consts::PI;

use super::{
    canvas::{Canvas, Noise},
    catalogue::{BLUE, BROWN, GREEN, GREY, ORANGE, RED, WHITE, YELLOW},
    colour::{mix, Colour},
    dice::Dice,
    geometry::{length, Shape},
};

/// Fills a canvas with a scene that has no sign.
pub(super) fn background(canvas: &mut Canvas, dice: &mut Dice) {
    let height = canvas.height as f32;
    match dice.index(6) {
        0 => sky(canvas, height, dice),
        1 => foliage(canvas, 0.0, dice),
        2 => wall(canvas, dice),
        3 => {
            let horizon = height * dice.uniform(0.2, 0.7);
            sky(canvas, horizon, dice);
            foliage(canvas, horizon * dice.uniform(0.5, 1.1), dice);
            road(canvas, horizon, dice);
        }
        4 => {
            sky(canvas, height, dice);
            foliage(canvas, height * dice.uniform(0.2, 0.8), dice);
        }
        _ => gradient(canvas, dice),
    }
    for _ in 0..dice.index(5) {
        thing(canvas, dice);
    }
}

fn sky(canvas: &mut Canvas, bottom: f32, dice: &mut Dice) {
    let light = dice.uniform(0.55, 1.0);
    let blue = dice.uniform(0.0, 0.5);
    let (high, low) = ([light - blue, light - 0.5 * blue, light], [light, light, light]);
    let clouds = Noise::new(canvas, canvas.width as f32 / dice.uniform(2.0, 5.0), dice);
    let cover = dice.uniform(-0.6, 0.8);
    canvas.paint_box([0.0, 0.0, canvas.width as f32, bottom], |x, y, pixel| {
        *pixel = high;
        mix(pixel, &low, (y / bottom).min(1.0));
        mix(pixel, &[0.96; 3], (2.0 * clouds.at(x, y) - 1.0 + cover).clamp(0.0, 0.9));
    });
}

/// Draws bushes and trees from `top` to the bottom. Their upper edge is uneven.
fn foliage(canvas: &mut Canvas, top: f32, dice: &mut Dice) {
    let side = canvas.width as f32;
    let coarse = Noise::new(canvas, side / dice.uniform(2.0, 6.0), dice);
    let fine = Noise::new(canvas, side / dice.uniform(10.0, 28.0), dice);
    let season = dice.uniform(0.0, 1.0);
    let mut dark = [0.02, 0.08, 0.03];
    let mut light = [0.42, 0.62, 0.18];
    mix(&mut dark, &[0.15, 0.08, 0.04], season * season);
    mix(&mut light, &[0.75, 0.52, 0.22], season * season);
    canvas.paint_box([0.0, 0.7 * top, side, canvas.height as f32], |x, y, pixel| {
        let (coarse, fine) = (coarse.at(x, y), fine.at(x, y));
        let inside = ((y - top) / (0.3 * top + 1.0) + 1.0 - fine).clamp(0.0, 1.0);
        if inside > 0.4 || top <= 0.0 {
            *pixel = dark;
            mix(pixel, &light, coarse * (0.35 + 0.65 * fine));
        }
    });
}

/// Draws a wall of bricks, panels or plaster.
fn wall(canvas: &mut Canvas, dice: &mut Dice) {
    let base = match dice.index(4) {
        0 => [0.56, 0.26, 0.19],
        1 => [0.80, 0.72, 0.58],
        2 => [0.60; 3],
        _ => dice.colour(0.2, 0.9),
    };
    let size = canvas.height as f32 / dice.uniform(2.0, 10.0);
    let proportion = dice.uniform(0.8, 2.6);
    let joint = if dice.chance(0.75) { dice.uniform(0.06, 0.2) } else { 0.0 };
    let tone = dice.uniform(0.3, 1.4);
    let stains = Noise::new(canvas, canvas.width as f32 / dice.uniform(2.0, 20.0), dice);
    let (left, top) = (dice.uniform(0.0, 1.0), dice.uniform(0.0, 1.0));
    canvas.paint(|x, y, pixel| {
        let row = y / size + top;
        let column = x / (size * proportion) + left + 0.5 * (row as usize % 2) as f32;
        let in_joint =
            row - (row as usize as f32) < joint || column - (column as usize as f32) < joint / proportion;
        let stain = 0.8 + 0.4 * stains.at(x, y);
        let light = if in_joint { tone } else { 1.0 } * stain;
        *pixel = base.map(|value| value * light);
    });
}

/// Draws a road that comes from a point on the horizon.
fn road(canvas: &mut Canvas, horizon: f32, dice: &mut Dice) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let vanishing = width * dice.uniform(0.0, 1.0);
    let (left, right) = (dice.uniform(-1.5, -0.3), dice.uniform(0.3, 1.5));
    let line = dice.uniform(left, right);
    let light = dice.uniform(0.25, 0.6);
    let grain = Noise::new(canvas, 3.0, dice);
    canvas.paint_box([0.0, horizon, width, height], |x, y, pixel| {
        let depth = (y - horizon).max(0.5);
        let across = (x - vanishing) / depth;
        if across > left && across < right {
            let painted = (across - line).abs() < 0.06;
            *pixel = [if painted { 0.9 } else { light + 0.12 * grain.at(x, y) }; 3];
        }
    });
}

fn gradient(canvas: &mut Canvas, dice: &mut Dice) {
    let (from, to) = (dice.colour(0.0, 1.0), dice.colour(0.0, 1.0));
    let (across, down) = (dice.uniform(-1.0, 1.0), dice.uniform(-1.0, 1.0));
    let size = (canvas.width + canvas.height) as f32;
    let texture = Noise::new(canvas, canvas.width as f32 / dice.uniform(3.0, 20.0), dice);
    let strength = dice.uniform(0.0, 0.5);
    canvas.paint(|x, y, pixel| {
        *pixel = from;
        let t = 0.5 + (across * x + down * y) / size + strength * (texture.at(x, y) - 0.5);
        mix(pixel, &to, t.clamp(0.0, 1.0));
    });
}

/// Draws a coloured thing that is not a sign: a lamp, a window, a car, an advertisement.
fn thing(canvas: &mut Canvas, dice: &mut Dice) {
    const COLOURS: [Colour; 8] = [RED, BLUE, YELLOW, WHITE, GREEN, ORANGE, GREY, BROWN];
    const SHAPES: [Shape; 4] = [Shape::CIRCLE, Shape::SQUARE, Shape::SQUARE, Shape::WARNING];
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let colour = if dice.chance(0.6) { COLOURS[dice.index(8)] } else { dice.colour(0.0, 1.0) };
    let light = dice.uniform(0.5, 1.1);
    let colour = colour.map(|value| value * light);
    let shape = SHAPES[dice.index(4)];
    let (x, y) = (dice.uniform(0.0, width), dice.uniform(0.0, height));
    let size = width.min(height) * dice.uniform(0.06, 0.3);
    let (across, down) = (size * dice.uniform(0.4, 1.6), size);
    let (sin, cos) = if dice.chance(0.5) { (0.0, 1.0) } else { dice.rotation(1.5) };
    let reach = 1.3 * across.max(down);
    canvas.paint_box([x - reach, y - reach, x + reach, y + reach], |column, row, pixel| {
        let (u, v) = (column - x, row - y);
        let (u, v) = ((cos * u + sin * v) / across, (cos * v - sin * u) / down);
        mix(pixel, &colour, (0.5 - shape.distance(u, v) * size).clamp(0.0, 1.0));
    });
}

/// Draws a pole from its upper end (x, top) to the bottom of the picture.
///
/// It is `width` pixels wide, and moves to the right by `lean` pixels in each row.
pub(super) fn pole(canvas: &mut Canvas, (x, top): (f32, f32), width: f32, lean: f32, dice: &mut Dice) {
    let mut colour = GREY;
    mix(&mut colour, &if dice.chance(0.7) { [0.8; 3] } else { BROWN }, dice.uniform(0.0, 1.0));
    let light = dice.uniform(0.35, 1.1);
    let bottom = canvas.height as f32;
    let foot = x + lean * (bottom - top);
    canvas.paint_box([x.min(foot) - width, top, x.max(foot) + width, bottom], |column, row, pixel| {
        let across = (column - x - lean * (row - top)) * 2.0 / width;
        let inside = ((1.0 - across.abs()) * width / 2.0 + 0.5).clamp(0.0, 1.0);
        let round = light * (1.0 - 0.35 * across.clamp(-1.0, 1.0));
        mix(pixel, &colour.map(|value| value * round), inside);
    });
}

/// Draws one to four leaves around a point.
pub(super) fn leaves(canvas: &mut Canvas, (x, y): (f32, f32), size: f32, dice: &mut Dice) {
    let mut base = [0.12, 0.30, 0.08];
    mix(&mut base, &[0.45, 0.33, 0.12], dice.uniform(0.0, 1.0) * dice.uniform(0.0, 1.0));
    for _ in 0..=dice.index(4) {
        let (x, y) = (x + dice.bell(0.5 * size), y + dice.bell(0.5 * size));
        let (long, short) = (size * dice.uniform(0.6, 1.2), size * dice.uniform(0.25, 0.5));
        let (sin, cos) = dice.rotation(PI);
        let light = dice.uniform(0.5, 1.6);
        canvas.paint_box([x - long, y - long, x + long, y + long], |column, row, pixel| {
            let (u, v) = (column - x, row - y);
            let (u, v) = ((cos * u + sin * v) / long, (cos * v - sin * u) / short);
            let vein = if v.abs() < 0.12 { 1.25 } else { 1.0 };
            let inside = ((1.0 - length(u, v)) * short + 0.5).clamp(0.0, 1.0);
            mix(pixel, &base.map(|value| value * light * vein), inside);
        });
    }
}

/// Casts a shadow: of a house, which darkens one side of a line, or of a mast, which darkens a strip.
pub(super) fn shadow(canvas: &mut Canvas, (x, y): (f32, f32), dice: &mut Dice) {
    let (down, across) = dice.rotation(PI);
    let light = dice.uniform(0.3, 0.75);
    let softness = dice.uniform(0.5, 5.0);
    let width = if dice.chance(0.4) { canvas.width as f32 * dice.uniform(0.1, 0.35) } else { f32::MAX };
    canvas.paint(|column, row, pixel| {
        let depth = across * (column - x) + down * (row - y);
        let inside = (depth.min(width - depth) / softness + 0.5).clamp(0.0, 1.0);
        *pixel = pixel.map(|value| value * (1.0 + inside * (light - 1.0)));
    });
}
