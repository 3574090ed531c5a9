//! Finds a sheet of paper that lies on a table.

use super::{
    components::components,
    plane::{filtered, Plane},
    polygon::{area, hull, span},
};
use image::imageops;
use std::ops::RangeInclusive;

/// The longer side of the reduced picture in which the sheet is searched for.
const COARSE_SIDE: u32 = 128;
/// The least length of the reduced picture's shorter side. In a long, narrow picture, a sheet would otherwise lose its
/// margins.
const LEAST_COARSE_SIDE: u32 = 64;
/// The least difference between the grey levels of sheet and table.
const LEAST_CONTRAST: f32 = 25.0;
/// The share of the picture's area that a sheet takes.
const AREA: RangeInclusive<f32> = 0.06..=0.85;
/// The shortest side of a sheet, relative to the shorter side of the picture. A stroke is narrower.
const LEAST_SIDE: f32 = 0.3;
/// The least share of the sheet that is not covered by ink.
const LEAST_PAPER: f32 = 0.85;
/// The least share of its convex hull that a sheet fills.
const CONVEX: f32 = 0.9;
/// The width of the sheet's edge that counts as table, in pixels of the reduced picture.
const EDGE: u32 = 2;

/// Returns the picture with the table around a bright sheet painted over with the colour of the sheet's edge, or None if
/// there is no sheet. A sheet touches at most one side of the picture; a lit region with shadow around it touches more.
pub(super) fn without_table(plane: &Plane) -> Option<Plane> {
    let (width, height) = plane.dimensions();
    let longer = COARSE_SIDE.max(LEAST_COARSE_SIDE * width.max(height) / width.min(height));
    let scaled = |side: u32| (side * longer / width.max(height)).clamp(1, side);
    let (across, down) = (scaled(width), scaled(height));
    let mut coarse =
        filtered(plane, |plane| imageops::resize(plane, across, down, imageops::FilterType::Triangle));
    let threshold = otsu(coarse.as_raw())?;
    coarse.iter_mut().for_each(|x| *x -= threshold);
    let sheet = components(&coarse, 0.0, 0.0).into_iter().max_by_key(|component| component.area)?;
    let [left, right, top, bottom] = sheet.bounds.map(|at| at as u32);
    let at_edge = [left == 0, top == 0, right + 1 == across, bottom + 1 == down];
    let share = sheet.area as f32 / (across * down) as f32;
    let sides = sheet.width().min(sheet.height()) as f32 / across.min(down) as f32;
    if at_edge.iter().filter(|&&touches| touches).count() > 1 || !AREA.contains(&share) || sides < LEAST_SIDE
    {
        return None;
    }
    // The outline of a sheet is convex: everything between its outermost pixels in a row and a column belongs to it.
    let mut rows = vec![(u32::MAX, 0); down as usize];
    let mut columns = vec![(u32::MAX, 0); across as usize];
    for index in sheet.pixels.iter().map(|&index| index as u32) {
        let (x, y) = (index % across, index / across);
        let (row, column) = (&mut rows[y as usize], &mut columns[x as usize]);
        (*row, *column) = ((row.0.min(x), row.1.max(x)), (column.0.min(y), column.1.max(y)));
    }
    let filled = (0..down)
        .flat_map(|y| (0..across).map(move |x| (x, y)))
        .filter(|&(x, y)| within(&rows, &columns, x, y, 0))
        .count();
    // A thick 7 also fills everything between the ends of its rows and columns, but it is not convex.
    let hull = hull(&rows);
    if (sheet.area as f32) < LEAST_PAPER * filled as f32 || (filled as f32) < CONVEX * area(&hull) {
        return None;
    }
    // A digit that reaches the edge of the sheet is a notch in it, which belongs to the sheet.
    rows = (0..down).map(|y| span(&hull, y)).collect();
    let turned: Vec<_> = hull.iter().map(|&(x, y)| (y, x)).collect();
    columns = (0..across).map(|x| span(&turned, x)).collect();
    let within = |x: u32, y: u32, edge: u32| within(&rows, &columns, x, y, edge);
    if sheet.width() <= 2 * EDGE as usize || sheet.height() <= 2 * EDGE as usize {
        return None; // nothing would be left of it without its edge
    }
    // Each pixel of the table gets the value of the nearest pixel of the sheet in its row or, above and below the
    // sheet, in the sheet's first or last row. The shadow and the noise of the paper continue there.
    let (left, right, top, bottom) = (left + EDGE, right - EDGE, top + EDGE, bottom - EDGE);
    let spans: Vec<(u32, u32)> = (top..=bottom)
        .map(|y| {
            let on_sheet = |&x: &u32| within(x, y, EDGE);
            let first = (left..=right).find(on_sheet).unwrap_or((left + right) / 2);
            (first, (first..=right).rev().find(on_sheet).unwrap_or(first))
        })
        .collect();
    let fine = |at: u32, coarse: u32, len: u32| (at * len + len / 2) / coarse;
    Some(Plane::from_fn(width, height, |x, y| {
        let row = (y * down / height).clamp(top, bottom);
        let (first, last) = spans[(row - top) as usize];
        let y = y.clamp(fine(top, down, height), fine(bottom, down, height));
        *plane.get_pixel(x.clamp(fine(first, across, width), fine(last, across, width)), y)
    }))
}

/// True if a pixel lies within its row and its column of a sheet, at least `edge` pixels from their ends. Each row and
/// column is given by its first and its last pixel; in an empty one, the first is greater. A sheet that continues
/// beyond the picture has no edge there.
fn within(rows: &[(u32, u32)], columns: &[(u32, u32)], x: u32, y: u32, edge: u32) -> bool {
    let clear = |at: u32, (low, high): (u32, u32), len: usize| {
        (at >= low.saturating_add(edge) || low == 0)
            && (at + edge <= high || high as usize + 1 == len)
            && low <= high
    };
    clear(x, rows[y as usize], columns.len()) && clear(y, columns[x as usize], rows.len())
}

/// Returns the threshold that separates grey values best, by Otsu's method, or None if the two parts differ too little.
fn otsu(values: &[f32]) -> Option<f32> {
    let mut histogram = [0.0_f64; 256];
    values.iter().for_each(|&value| histogram[value.clamp(0.0, 255.0) as usize] += 1.0);
    let count = values.len() as f64;
    let total: f64 = (0..).zip(histogram).map(|(grey, pixels)| f64::from(grey) * pixels).sum();
    let (mut below, mut sum, mut best) = (0.0, 0.0, (0.0, None));
    for (grey, pixels) in (0..).zip(histogram) {
        below += pixels;
        sum += f64::from(grey) * pixels;
        let above = count - below;
        if below > 0.0 && above > 0.0 {
            let contrast = (total - sum) / above - sum / below;
            let between = below * above * contrast * contrast;
            if between > best.0 {
                best = (between, (contrast > LEAST_CONTRAST.into()).then_some(grey as f32 + 1.0));
            }
        }
    }
    best.1
}
