//! Finds the connected components of a picture, decides which of them are the digit, and says what makes that doubtful.

use super::{
    doubt::Doubt,
    plane::Plane,
    polygon::{area, hull, smallest_rectangle},
};

/// A component whose area is a smaller part of the main one's is a speck.
const SPECK: f32 = 0.02;
/// A component whose strokes are wider, relative to its size, is a blot or a hole.
const SOLID: f32 = 0.4;
/// A blot that is smaller, relative to the digit, may be the dot that a pen leaves.
const LEAST_BLOT: f32 = 0.12;
/// A component that is at least this large, relative to the digit, is not a mere part of it unless it is joined to it.
const COMPARABLE: f32 = 0.45;
/// A small part of a digit is at most this far away from the rest, relative to the size of the digit.
const NEAR: f32 = 0.15;
/// A stroke that does not touch the digit and is at least this large, relative to the digit, may be what was meant.
const APART: f32 = 0.25;
/// The strokes of a digit are narrower than this, relative to its size.
const THIN: f32 = 0.3;
/// A component whose width is more than this times its height is a line, such as the one under a digit or the bar of a
/// 5.
const FLAT: f32 = 2.2;
/// A stroke that is at most this far away, relative to the size of the digit, counts as touching it: only a scratch
/// separates the two.
const TOUCHING: f32 = 0.04;
/// The strokes of two comparable parts of a digit are at most this far away from each other, relative to its size:
/// digits side by side are farther.
const SCRATCH: f32 = 0.02;
/// The boxes of two comparable parts of a digit overlap vertically by at least this, relative to the size of the digit.
const OVERLAP: f32 = 0.1;
/// A line under the digit is no part of it if it is wider than this times the digit.
const UNDERLINE: f32 = 1.3;
/// A component inside the digit's box that is at least this large, relative to the digit, is not a part of it: somebody
/// drew a circle around something, or a face.
const ENCLOSED: f32 = 0.1;
/// A component with less than this share of the digit's contrast is not ink of the same pen, but print or a stain.
const PALE: f32 = 0.5;
/// The longest path of a pen in a digit, in sizes of the digit.
const LONGEST_PATH: f32 = 5.5;
/// A component is a sheet if it takes at least these shares of its convex hull, holes included, and of the smallest
/// rectangle around it. The outline of a 0 takes less of the rectangle.
const SHEET: (f32, f32) = (0.85, 0.9);
/// The shorter side of a sheet is at least this long, relative to the longer one. A thick 1 is narrower.
const LEAST_ASPECT: f32 = 0.45;
/// The most loops of a digit.
const MOST_LOOPS: usize = 2;

/// Pixels that touch each other.
pub(super) struct Component {
    /// The number of pixels that are surely ink.
    pub area: usize,
    /// The leftmost and the rightmost column, the uppermost and the lowest row.
    pub bounds: [usize; 4],
    pub pixels: Vec<usize>,
    /// The mean value of the pixels that are surely ink.
    contrast: f32,
    /// The number of sides at which a pixel that is surely ink meets one that is not.
    outline: usize,
}

impl Component {
    pub(super) fn width(&self) -> usize {
        self.bounds[1] - self.bounds[0] + 1
    }

    pub(super) fn height(&self) -> usize {
        self.bounds[3] - self.bounds[2] + 1
    }

    /// True if it does not touch the edge of the picture.
    pub(super) fn is_inside(&self, picture: &Plane) -> bool {
        let [left, right, top, bottom] = self.bounds;
        left > 0 && top > 0 && right + 1 < picture.width() as usize && bottom + 1 < picture.height() as usize
    }

    fn size(&self) -> f32 {
        self.width().max(self.height()) as f32
    }

    /// The mean width of its strokes, in pixels: twice the area by the length of the outline, because a line has two
    /// sides. On average over all directions, an outline has 4 / pi times as many sides of pixels as its length.
    pub(super) fn stroke(&self) -> f32 {
        2.0 * self.area as f32 / (0.785 * self.outline as f32).max(1.0)
    }

    fn is_solid(&self) -> bool {
        self.stroke() > SOLID * self.size()
    }

    /// True if its strokes are as narrow as a digit's; blots are thicker.
    pub(super) fn is_thin(&self) -> bool {
        self.stroke() < THIN * self.size()
    }

    /// True if it is a horizontal line, which no digit is.
    fn is_flat(&self) -> bool {
        self.width() as f32 > FLAT * self.height() as f32
    }

    /// True if it is a line under `digit`, and not the foot of a 2.
    fn underlines(&self, digit: &Self) -> bool {
        let middle = (self.bounds[2] + self.bounds[3]) as f32 / 2.0;
        let is_under = middle > digit.bounds[3] as f32 - TOUCHING * digit.size();
        let is_apart = digit.gap(self, 2, 3) > TOUCHING * digit.size();
        let is_wide = self.width() as f32 > UNDERLINE * digit.width() as f32;
        self.is_flat() && is_under && (is_apart || is_wide)
    }

    /// True if a pixel of `other` is at most [`SCRATCH`] away from one of this component. `width` is that of the
    /// picture.
    fn touches(&self, other: &Self, width: u32) -> bool {
        let width = width as usize;
        let reach = (SCRATCH * self.size()).round().max(1.0) as usize;
        let [left, right, top, bottom] = self.bounds;
        let (across, down) = (right - left + 1, bottom - top + 1);
        let mut is_ink = vec![false; across * down];
        for &index in &self.pixels {
            is_ink[(index / width - top) * across + index % width - left] = true;
        }
        other.pixels.iter().any(|&index| {
            let (x, y) = (index % width, index / width);
            let rows = y.saturating_sub(reach).max(top)..(y + reach + 1).min(bottom + 1);
            let columns = x.saturating_sub(reach).max(left)..(x + reach + 1).min(right + 1);
            rows.into_iter().any(|y| columns.clone().any(|x| is_ink[(y - top) * across + x - left]))
        })
    }

    /// The gap between the boxes of two components in one direction, whose ends are the entries `low` and `high` of the
    /// bounds. It is negative if the boxes overlap.
    fn gap(&self, other: &Self, low: usize, high: usize) -> f32 {
        let (start, end) =
            (self.bounds[low].max(other.bounds[low]), self.bounds[high].min(other.bounds[high]));
        start as f32 - end as f32
    }
}

/// Returns the connected components of the pixels above `low`, as far as they have a pixel above `high`, which is surely
/// ink.
pub(super) fn components(ink: &Plane, low: f32, high: f32) -> Vec<Component> {
    let (width, height) = (ink.width() as usize, ink.height() as usize);
    let ink = ink.as_raw();
    let mut seen: Vec<bool> = ink.iter().map(|&x| x <= low).collect();
    let mut found = Vec::new();
    for start in 0..ink.len() {
        if seen[start] {
            continue;
        }
        let (mut pixels, mut outline, mut next) = (vec![start], 0, 0);
        let mut bounds = [usize::MAX, 0, usize::MAX, 0];
        seen[start] = true;
        while let Some(&index) = pixels.get(next) {
            next += 1;
            let (x, y) = (index % width, index / width);
            let surely = ink[index] > high;
            let [left, right, top, bottom] = bounds;
            bounds = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
            for b in y.saturating_sub(1)..(y + 2).min(height) {
                for a in x.saturating_sub(1)..(x + 2).min(width) {
                    let neighbour = b * width + a;
                    outline += usize::from(surely && ink[neighbour] <= high && (a == x || b == y));
                    if !seen[neighbour] {
                        seen[neighbour] = true;
                        pixels.push(neighbour);
                    }
                }
            }
        }
        let (mut area, mut sum) = (0, 0.0);
        for value in pixels.iter().map(|&index| ink[index]).filter(|&value| value > high) {
            area += 1;
            sum += value;
        }
        if area > 0 {
            found.push(Component { area, bounds, pixels, contrast: sum / area as f32, outline });
        }
    }
    found
}

/// Returns the components that make up the digit, and a reason for doubt if there is one. In a picture as small as
/// MNIST's, which is not a photograph, every component belongs to the digit that is not as large as a digit itself, and
/// the digit may touch the edge of the picture.
pub(super) fn digit<'a>(
    found: &'a [Component],
    ink: &Plane,
    is_photograph: bool,
) -> Option<(Vec<&'a Component>, Option<Doubt>)> {
    let largest = |of: &dyn Fn(&Component) -> bool| {
        let candidates = found.iter().filter(|component| of(component));
        candidates.max_by(|a, b| {
            (a.size() * a.contrast * a.contrast).total_cmp(&(b.size() * b.contrast * b.contrast))
        })
    };
    let large = |of: &Component| 10.0 * of.size() >= ink.width().max(ink.height()) as f32;
    let stroke = |of: &Component| of.is_inside(ink) && large(of) && !of.is_solid();
    let main = largest(&|of| stroke(of) && !(is_photograph && of.is_flat()))
        .or_else(|| largest(&stroke))
        .or_else(|| largest(&|of| of.is_inside(ink) && large(of)))
        .or_else(|| largest(&|_| true))?;

    let mut parts = vec![main];
    let mut doubt = (is_photograph && !main.is_inside(ink)).then_some(Doubt::AtEdge);
    for other in found.iter().filter(|other| !std::ptr::eq(*other, main)) {
        let (across, down) = (main.gap(other, 0, 1), main.gap(other, 2, 3));
        let size = other.size() / main.size();
        let is_stroke = is_photograph && size >= APART && other.is_thin();
        let near = if is_stroke { TOUCHING } else { NEAR };
        let next_to = !is_photograph || across.max(down) <= near * main.size();
        let over = across <= -0.3 * main.width().min(other.width()) as f32;
        // The boxes of a digit's strokes overlap, and the bar of a 5 is near the rest. What is above or below is a digit
        // of its own.
        let reach = if other.is_flat() { TOUCHING } else { -OVERLAP };
        let joined =
            over && (!is_photograph || down <= reach * main.size() && main.touches(other, ink.width()));
        let pale = is_photograph && other.contrast < PALE * main.contrast;
        let blot = is_photograph && other.is_solid();
        let speck = (other.area as f32) < SPECK * main.area as f32;
        let underline = is_photograph && other.underlines(main);
        if pale || speck || underline || (main.is_inside(ink) && !other.is_inside(ink)) {
            continue;
        }
        let within = is_photograph
            && main.bounds[0] < other.bounds[0]
            && other.bounds[1] < main.bounds[1]
            && main.bounds[2] < other.bounds[2]
            && other.bounds[3] < main.bounds[3];
        if within && size >= ENCLOSED {
            doubt = doubt.or(Some(Doubt::Several));
        }
        if next_to && !(blot && size > LEAST_BLOT) && (size < COMPARABLE || joined) {
            parts.push(other);
        } else if !blot && (size >= COMPARABLE || is_stroke) {
            doubt = doubt.or(Some(Doubt::Several));
        }
    }
    let outline: usize = parts.iter().map(|part| part.outline).sum();
    let path = 0.785 * outline as f32 / 2.0;
    let is_sheet = is_photograph && is_sheet(main, ink.width() as usize);
    let not_a_stroke =
        (main.is_solid() || is_sheet || (is_photograph && main.is_flat())).then_some(Doubt::NoStroke);
    let tangle = (path > LONGEST_PATH * main.size() || loops(main, ink.width() as usize) > MOST_LOOPS)
        .then_some(Doubt::Tangle);
    Some((parts, doubt.or(not_a_stroke).or(tangle)))
}

/// Returns the regions around a component and in its holes, with a pixel around its box. Only the region around it is
/// at the edge.
fn surroundings(of: &Component, width: usize) -> Vec<Component> {
    let (across, down) = (of.width() + 2, of.height() + 2);
    let mut free = Plane::from_pixel(across as u32, down as u32, [1.0].into());
    for &index in &of.pixels {
        let (x, y) = (index % width - of.bounds[0] + 1, index / width - of.bounds[2] + 1);
        free.put_pixel(x as u32, y as u32, [0.0].into());
    }
    components(&free, 0.5, 0.5)
}

/// True if a component is a sheet or a board, with what is written on it as its holes.
fn is_sheet(of: &Component, width: usize) -> bool {
    let mut rows = vec![(u32::MAX, 0); of.height()];
    for &index in &of.pixels {
        let (x, y) = ((index % width) as u32, index / width - of.bounds[2]);
        rows[y] = (rows[y].0.min(x), rows[y].1.max(x));
    }
    let hull = hull(&rows);
    let [a, b] = smallest_rectangle(&hull);
    let around = surroundings(of, width).into_iter().find(|region| region.bounds[0] == 0);
    let filled = (of.width() + 2) * (of.height() + 2) - around.map_or(0, |around| around.area);
    filled as f32 >= SHEET.0 * area(&hull)
        && area(&hull) >= SHEET.1 * a * b
        && a.min(b) >= LEAST_ASPECT * a.max(b)
}

/// Returns the number of regions that a component encloses, without specks.
fn loops(of: &Component, width: usize) -> usize {
    let regions = surroundings(of, width);
    regions
        .iter()
        .filter(|region| region.bounds[0] > 0 && region.area as f32 > SPECK * of.area as f32)
        .count()
}
