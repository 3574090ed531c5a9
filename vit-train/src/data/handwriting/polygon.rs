//! Convex polygons whose corners are those of pixels.

/// A corner of a pixel.
pub(super) type Corner = (i64, i64);

/// Returns the corners of the convex hull of rows that extend from a first to a last column, in their order around it.
pub(super) fn hull(rows: &[(u32, u32)]) -> Vec<Corner> {
    let rows = (0..).zip(rows).filter(|(_, (first, last))| first <= last);
    let corners =
        rows.flat_map(|(y, &(first, last))| [(first, y), (last + 1, y), (first, y + 1), (last + 1, y + 1)]);
    let mut corners: Vec<Corner> = corners.map(|(x, y): (u32, u32)| (x.into(), y.into())).collect();
    corners.sort_unstable();
    let turn = |a: Corner, b: Corner, c: Corner| (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
    // Andrew's algorithm: the lower half from left to right, and the upper one back.
    let mut outline: Vec<Corner> = Vec::new();
    let back = corners.iter().rev().copied().collect();
    for half in [corners, back] {
        let start = outline.len();
        for point in half {
            while outline.len() >= start + 2
                && turn(outline[outline.len() - 2], outline[outline.len() - 1], point) <= 0
            {
                outline.pop();
            }
            outline.push(point);
        }
        outline.pop();
    }
    outline
}

/// Returns the sides of a polygon.
fn sides(outline: &[Corner]) -> impl Iterator<Item = (Corner, Corner)> + '_ {
    outline.iter().copied().zip(outline.iter().copied().cycle().skip(1))
}

/// Returns the area of a polygon.
pub(super) fn area(outline: &[Corner]) -> f32 {
    let doubled: i64 = sides(outline).map(|(a, b)| a.0 * b.1 - a.1 * b.0).sum();
    doubled.abs() as f32 / 2.0
}

/// Returns the sides of the smallest rectangle around a convex polygon. One of its sides lies on one of the polygon's.
pub(super) fn smallest_rectangle(outline: &[Corner]) -> [f32; 2] {
    let rectangles = sides(outline).map(|(a, b)| {
        let (dx, dy) = ((b.0 - a.0) as f32, (b.1 - a.1) as f32);
        let length = (dx * dx + dy * dy).sqrt();
        [(dx, dy), (-dy, dx)].map(|(dx, dy)| {
            let along = outline.iter().map(|&(x, y)| (x as f32 * dx + y as f32 * dy) / length);
            let (low, high) = along.fold((f32::MAX, f32::MIN), |(low, high), at| (low.min(at), high.max(at)));
            high - low
        })
    });
    rectangles.min_by(|a, b| (a[0] * a[1]).total_cmp(&(b[0] * b[1]))).unwrap_or_default()
}

/// Returns the first and the last column whose pixel in row `y` has its middle in a convex polygon. If there is none,
/// the first is greater than the last.
pub(super) fn span(outline: &[Corner], y: u32) -> (u32, u32) {
    let y = y as f32 + 0.5;
    let (mut first, mut last) = (f32::MAX, f32::MIN);
    for (a, b) in sides(outline) {
        let [(ax, ay), (bx, by)] = [a, b].map(|(x, y)| (x as f32, y as f32));
        if (ay < y) != (by < y) {
            let x = ax + (bx - ax) * (y - ay) / (by - ay);
            (first, last) = (first.min(x), last.max(x));
        }
    }
    if first > last {
        return (u32::MAX, 0);
    }
    ((first - 0.5).ceil().max(0.0) as u32, (last - 0.5).floor().max(0.0) as u32)
}
