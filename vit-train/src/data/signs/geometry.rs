//! The outlines and symbols of signs, as distances in the plane of a sign.
//!
//! The sign fills about -1 to 1 in both directions, with x to the right and y down. A distance is negative inside.

/// A convex outline with straight sides, whose corners are rounded by a circle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Each side as its normal (x, y) and its distance from the origin.
    sides: &'static [(f32, f32, f32)],
    /// The circle that cuts off the corners: the y of its centre and its radius.
    circle: (f32, f32),
}

/// The cosine of 30 degrees.
const COS_30: f32 = 0.866_025_4;
/// The cosine of 45 degrees.
const COS_45: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// The cosine of 22.5 degrees.
const COS_22: f32 = 0.923_879_5;
/// The sine of 22.5 degrees.
const SIN_22: f32 = 0.382_683_4;

impl Shape {
    pub(super) const CIRCLE: Self = Self { sides: &[], circle: (0.0, 1.0) };
    /// A triangle with the point up.
    pub(super) const WARNING: Self = Self {
        sides: &[(COS_30, -0.5, 0.52), (-COS_30, -0.5, 0.52), (0.0, 1.0, 0.88)],
        circle: (0.24, 1.14),
    };
    /// A triangle with the point down.
    pub(super) const YIELD: Self = Self {
        sides: &[(COS_30, 0.5, 0.52), (-COS_30, 0.5, 0.52), (0.0, -1.0, 0.88)],
        circle: (-0.24, 1.14),
    };
    pub(super) const SQUARE: Self = Self {
        sides: &[(1.0, 0.0, 0.86), (-1.0, 0.0, 0.86), (0.0, 1.0, 0.86), (0.0, -1.0, 0.86)],
        circle: (0.0, 1.13),
    };
    pub(super) const DIAMOND: Self = Self {
        sides: &[
            (COS_45, COS_45, 0.72),
            (COS_45, -COS_45, 0.72),
            (-COS_45, COS_45, 0.72),
            (-COS_45, -COS_45, 0.72),
        ],
        circle: (0.0, 0.96),
    };
    pub(super) const OCTAGON: Self = Self {
        sides: &[
            (COS_22, SIN_22, 0.94),
            (COS_22, -SIN_22, 0.94),
            (-COS_22, SIN_22, 0.94),
            (-COS_22, -SIN_22, 0.94),
            (SIN_22, COS_22, 0.94),
            (SIN_22, -COS_22, 0.94),
            (-SIN_22, COS_22, 0.94),
            (-SIN_22, -COS_22, 0.94),
        ],
        circle: (0.0, 1.02),
    };

    /// Returns the distance of a point from the outline.
    pub(super) fn distance(&self, x: f32, y: f32) -> f32 {
        let (middle, radius) = self.circle;
        let circle = length(x, y - middle) - radius;
        self.sides.iter().fold(circle, |most, &(across, down, side)| most.max(x * across + y * down - side))
    }
}

/// A part of a symbol, in hundredths of the sign's unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// A line through points, with round ends and this width.
    Line(u8, &'static [(i8, i8)]),
    /// A filled convex polygon, whose corners go clockwise on the screen.
    Fill(&'static [(i8, i8)]),
    /// A filled circle: the centre and the radius.
    Dot(i8, i8, u8),
    /// A circular line: the centre, the radius and the width.
    Ring(i8, i8, u8, u8),
}

/// A symbol is the union of its parts.
pub(super) type Symbol = &'static [Part];

/// The map from the plane of a symbol to that of its sign: it scales by `scale`, rotates or mirrors, and then shifts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub scale: f32,
    /// The images of the unit vectors to the right and down, which are orthogonal unit vectors.
    pub axes: [(f32, f32); 2],
    pub shift: (f32, f32),
}

impl Place {
    /// Returns the image of a point in hundredths.
    fn map(&self, (x, y): (i8, i8)) -> (f32, f32) {
        let (x, y) = (f32::from(x) / 100.0 * self.scale, f32::from(y) / 100.0 * self.scale);
        let [right, down] = self.axes;
        (x * right.0 + y * down.0 + self.shift.0, x * right.1 + y * down.1 + self.shift.1)
    }

    /// Tells whether the map mirrors.
    fn mirrors(&self) -> bool {
        let [right, down] = self.axes;
        right.0 * down.1 - right.1 * down.0 < 0.0
    }
}

/// A symbol that has been placed on its sign.
#[derive(Debug, Default)]
pub(super) struct Figure {
    segments: Vec<Segment>,
    /// The sides of each polygon as in [`Shape`].
    polygons: Vec<Vec<(f32, f32, f32)>>,
    /// Each ring as its centre, radius and half of its width.
    rings: Vec<(f32, f32, f32, f32)>,
    /// The box around the figure: left, top, right, bottom.
    bounds: [f32; 4],
}

#[derive(Debug)]
struct Segment {
    start: (f32, f32),
    along: (f32, f32),
    /// 1 / the square of the length.
    inverse: f32,
    /// Half of the width.
    radius: f32,
}

impl Figure {
    /// Places a symbol, and multiplies the widths of its lines by `weight`.
    pub(super) fn new(symbol: Symbol, place: &Place, weight: f32) -> Self {
        let mut figure = Self { bounds: [f32::MAX, f32::MAX, f32::MIN, f32::MIN], ..Self::default() };
        let hundredths = |length: u8| f32::from(length) / 100.0 * place.scale;
        for part in symbol {
            match *part {
                Part::Line(width, points) => {
                    let radius = hundredths(width) / 2.0 * weight;
                    for ends in points.windows(2) {
                        let (start, end) = (place.map(ends[0]), place.map(ends[1]));
                        let along = (end.0 - start.0, end.1 - start.1);
                        let inverse = 1.0 / (along.0 * along.0 + along.1 * along.1);
                        figure.segments.push(Segment { start, along, inverse, radius });
                        figure.include(start, radius);
                        figure.include(end, radius);
                    }
                }
                Part::Fill(corners) => {
                    let mut corners: Vec<_> = corners.iter().map(|&corner| place.map(corner)).collect();
                    if place.mirrors() {
                        corners.reverse();
                    }
                    let next = corners.iter().cycle().skip(1);
                    let side = |(a, b): (&(f32, f32), &(f32, f32))| {
                        let (x, y) = (b.1 - a.1, a.0 - b.0);
                        let size = length(x, y);
                        (x / size, y / size, (a.0 * x + a.1 * y) / size)
                    };
                    figure.polygons.push(corners.iter().zip(next).map(side).collect());
                    corners.iter().for_each(|&corner| figure.include(corner, 0.0));
                }
                Part::Dot(x, y, radius) => {
                    // A ring of radius 0 is a dot.
                    let ((x, y), radius) = (place.map((x, y)), hundredths(radius));
                    figure.rings.push((x, y, 0.0, radius));
                    figure.include((x, y), radius);
                }
                Part::Ring(x, y, radius, width) => {
                    let ((x, y), half) = (place.map((x, y)), hundredths(width) / 2.0 * weight);
                    figure.rings.push((x, y, hundredths(radius), half));
                    figure.include((x, y), hundredths(radius) + half);
                }
            }
        }
        figure
    }

    /// Extends the bounds by a circle.
    fn include(&mut self, (x, y): (f32, f32), radius: f32) {
        let [left, top, right, bottom] = self.bounds;
        self.bounds =
            [left.min(x - radius), top.min(y - radius), right.max(x + radius), bottom.max(y + radius)];
    }

    /// Returns the distance of a point from the figure, or `reach` if it is farther than that.
    pub(super) fn distance(&self, x: f32, y: f32, reach: f32) -> f32 {
        let [left, top, right, bottom] = self.bounds;
        let mut least = reach;
        if (left - x).max(x - right).max(top - y).max(y - bottom) >= reach {
            return least;
        }
        for Segment { start, along, inverse, radius } in &self.segments {
            let (x, y) = (x - start.0, y - start.1);
            let t = ((x * along.0 + y * along.1) * inverse).clamp(0.0, 1.0);
            least = least.min(length(x - t * along.0, y - t * along.1) - radius);
        }
        for sides in &self.polygons {
            let side =
                |most: f32, &(across, down, side): &(f32, f32, f32)| most.max(x * across + y * down - side);
            least = least.min(sides.iter().fold(f32::MIN, side));
        }
        for &(middle_x, middle_y, radius, half) in &self.rings {
            least = least.min((length(x - middle_x, y - middle_y) - radius).abs() - half);
        }
        least
    }
}

/// Returns the length of a vector.
pub(super) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}
