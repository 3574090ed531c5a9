//! Finds ruled lines, squares, margins, folds and frames as straight lines, and removes them except where something
//! crosses them.

use super::{
    components::{components, Component},
    plane::Plane,
};
use std::f32::consts::PI;

/// The number of directions in which lines are searched.
const DIRECTIONS: usize = 360;
/// The largest number of lines in a picture.
const MOST_LINES: usize = 100;
/// A line that crosses the picture has ink along at least this share of it.
const LINE_COVER: f32 = 0.7;
/// A side of a frame has ink along at least this share of it.
const FRAME_COVER: f32 = 0.8;
/// The shortest side of a frame, relative to the shorter side of the picture.
const LEAST_FRAME: f32 = 0.2;
/// The greatest distance, in pixels, of a line's ink from the ideal straight line.
const WAVER: i32 = 3;
/// The largest number of pixels that vote for lines.
const VOTERS: usize = 2500;
/// The lines of a frame are thinner than this, relative to its shorter side.
const WIDEST_FRAME: f32 = 0.1;

type Point = (f32, f32);

/// Removes lines that cross the whole picture, and frames.
pub(super) fn remove(ink: &mut Plane, low: f32, high: f32) {
    for (from, to) in crossing(ink, low) {
        erase(ink, from, to, low);
    }
    let shorter = ink.width().min(ink.height()) as f32;
    let width = ink.width() as usize;
    for component in components(ink, low, high) {
        if component.width().min(component.height()) as f32 >= LEAST_FRAME * shorter
            && let Some(corners) = frame(&component, width, ink, low)
        {
            for side in 0..4 {
                erase(ink, corners[side], corners[(side + 1) % 4], low);
            }
        }
    }
}

fn is_ink(ink: &Plane, (x, y): Point, low: f32) -> bool {
    let (x, y) = (x.round(), y.round());
    x >= 0.0 && y >= 0.0 && ink.get_pixel_checked(x as u32, y as u32).is_some_and(|pixel| pixel.0[0] > low)
}

/// Returns the points of a line segment, half a pixel apart, and the unit vector across it.
fn walk((x0, y0): Point, (x1, y1): Point) -> (impl Iterator<Item = Point> + Clone, Point) {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length = (dx * dx + dy * dy).sqrt().max(1.0);
    let steps = (2.0 * length) as usize;
    let points = (0..=steps).map(move |step| {
        let t = step as f32 / steps as f32;
        (x0 + t * dx, y0 + t * dy)
    });
    (points, (-dy / length, dx / length))
}

/// Returns where the ink that is nearest to a point of a line begins and ends, as distances across the line, in pixels.
fn run(ink: &Plane, (x, y): Point, (nx, ny): Point, low: f32) -> Option<(i32, i32)> {
    let at = |offset: i32| is_ink(ink, (x + offset as f32 * nx, y + offset as f32 * ny), low);
    let nearest = (0..=WAVER).flat_map(|away| [away, -away]).find(|&offset| at(offset))?;
    let end =
        |step: i32| (1..).map(|count| nearest + step * count).find(|&offset| !at(offset)).unwrap_or(nearest);
    Some((end(-1) + 1, end(1) - 1))
}

/// Removes a line. Ink stays where it is wider than the line, because there a stroke crosses it.
fn erase(ink: &mut Plane, from: Point, to: Point, low: f32) {
    let (points, (nx, ny)) = walk(from, to);
    let runs: Vec<_> =
        points.filter_map(|point| run(ink, point, (nx, ny), low).map(|run| (point, run))).collect();
    let mut widths: Vec<i32> = runs.iter().map(|(_, (first, last))| last - first + 1).collect();
    widths.sort_unstable();
    let Some(&usual) = widths.get(widths.len() / 2) else { return };
    for ((x, y), (first, last)) in runs {
        if last - first < usual + usual / 2 + 2 {
            for offset in first - 1..=last + 1 {
                let (x, y) = ((x + offset as f32 * nx).round(), (y + offset as f32 * ny).round());
                if x >= 0.0 && y >= 0.0 && x < ink.width() as f32 && y < ink.height() as f32 {
                    let pixel = ink.get_pixel_mut(x as u32, y as u32);
                    pixel.0[0] = pixel.0[0].min(0.0);
                }
            }
        }
    }
}

/// Returns the lines from one edge of the picture to another: the peaks of the Hough transform.
fn crossing(ink: &Plane, low: f32) -> Vec<(Point, Point)> {
    let (width, height) = (ink.width() as f32, ink.height() as f32);
    let (x0, y0) = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
    let reach = (x0 * x0 + y0 * y0).sqrt().ceil() + 1.0;
    let bins = 2 * reach as usize + 1;
    let directions: Vec<Point> =
        (0..DIRECTIONS).map(|at| (at as f32 * PI / DIRECTIONS as f32).sin_cos()).collect();
    let mut votes = vec![0_i32; DIRECTIONS * bins];
    let vote = |votes: &mut [i32], x: f32, y: f32, count: i32| {
        for (row, (sin, cos)) in votes.chunks_exact_mut(bins).zip(&directions) {
            row[((x - x0) * cos + (y - y0) * sin + reach).round() as usize] += count;
        }
    };
    let inked: Vec<usize> = (0..ink.len()).filter(|&index| ink.as_raw()[index] > low).collect();
    // A picture that is mostly ink has no lines.
    if 2 * inked.len() > ink.len() {
        return Vec::new();
    }
    let one_of = inked.len().div_ceil(VOTERS).max(1);
    let mut open = vec![false; ink.len()];
    for &index in inked.iter().step_by(one_of) {
        open[index] = true;
        vote(&mut votes, (index % ink.width() as usize) as f32, (index / ink.width() as usize) as f32, 1);
    }
    let least = 0.5 * LINE_COVER * width.min(height) / one_of as f32;
    let mut lines = Vec::new();
    for _ in 0..MOST_LINES {
        let Some((at, &count)) = votes.iter().enumerate().max_by_key(|&(_, &count)| count) else { break };
        if (count as f32) < least {
            break;
        }
        let ((sin, cos), rho) = (directions[at / bins], (at % bins) as f32 - reach);
        votes[at] = 0;
        let Some((from, to)) = chord((x0 + rho * cos, y0 + rho * sin), (-sin, cos), width, height) else {
            continue;
        };
        let (points, across) = walk(from, to);
        let covered: Vec<bool> = points.clone().map(|point| run(ink, point, across, low).is_some()).collect();
        let share = |part: &[bool]| part.iter().filter(|&&ink| ink).count() as f32 / part.len().max(1) as f32;
        let end = covered.len() / 12 + 1;
        let ends = share(&covered[..end]).min(share(&covered[covered.len() - end..]));
        // A stroke of a digit that fills the picture ends before the edge.
        let reaches = [covered.first(), covered.last()] == [Some(&true); 2];
        if (covered.len() as f32) < width.min(height)
            || share(&covered) < LINE_COVER
            || ends < 0.5
            || !reaches
        {
            continue;
        }
        for (x, y) in points {
            for offset in -WAVER..=WAVER {
                let (x, y) = ((x + offset as f32 * across.0).round(), (y + offset as f32 * across.1).round());
                if x >= 0.0 && y >= 0.0 && x < width && y < height {
                    let open = &mut open[y as usize * width as usize + x as usize];
                    if std::mem::take(open) {
                        vote(&mut votes, x, y, -1);
                    }
                }
            }
        }
        lines.push((from, to));
    }
    lines
}

/// Returns the part of a straight line that lies in the picture.
fn chord((x, y): Point, (dx, dy): Point, width: f32, height: f32) -> Option<(Point, Point)> {
    let (mut first, mut last) = (f32::MIN, f32::MAX);
    for (at, step, len) in [(x, dx, width - 1.0), (y, dy, height - 1.0)] {
        if step.abs() > 1e-6 {
            let (a, b) = (-at / step, (len - at) / step);
            (first, last) = (first.max(a.min(b)), last.min(a.max(b)));
        } else if at < 0.0 || at > len {
            return None;
        }
    }
    (first < last).then_some(((x + first * dx, y + first * dy), (x + last * dx, y + last * dy)))
}

/// Returns the corners of a component that is a rectangular frame. A digit may touch it from within.
fn frame(of: &Component, width: usize, ink: &Plane, low: f32) -> Option<[Point; 4]> {
    let points = || of.pixels.iter().map(|&index| ((index % width) as f32, (index / width) as f32));
    let rectangle = |angle: f32| {
        let (sin, cos) = angle.sin_cos();
        let mut bounds = [f32::MAX, f32::MIN, f32::MAX, f32::MIN];
        for (x, y) in points() {
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            let [left, right, top, bottom] = bounds;
            bounds = [left.min(u), right.max(u), top.min(v), bottom.max(v)];
        }
        ((sin, cos), bounds)
    };
    let area = |[left, right, top, bottom]: [f32; 4]| (right - left) * (bottom - top);
    let rectangles = (-40..=40).map(|step| rectangle(step as f32 * PI / 360.0));
    let ((sin, cos), bounds) = rectangles.min_by(|a, b| area(a.1).total_cmp(&area(b.1)))?;
    let [left, right, top, bottom] = bounds;
    if of.stroke() > WIDEST_FRAME * (right - left).min(bottom - top) {
        return None;
    }
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    let corners = corners.map(|(u, v)| (u * cos - v * sin, u * sin + v * cos));
    let covered = (0..4).all(|side| {
        let (points, across) = walk(corners[side], corners[(side + 1) % 4]);
        let count = points.clone().filter(|&point| run(ink, point, across, low).is_some()).count();
        count as f32 >= FRAME_COVER * points.count() as f32
    });
    covered.then_some(corners)
}
