//! The signs: what each of them looks like from the front, when it is new.

use super::{
    colour::Colour,
    geometry::{Place, Shape, Symbol},
    symbols::*,
};

pub(super) const WHITE: Colour = [0.93, 0.93, 0.91];
pub(super) const BLACK: Colour = [0.07, 0.07, 0.08];
pub(super) const GREY: Colour = [0.52, 0.53, 0.55];
pub(super) const RED: Colour = [0.78, 0.08, 0.12];
pub(super) const YELLOW: Colour = [0.97, 0.77, 0.08];
pub(super) const ORANGE: Colour = [0.94, 0.48, 0.07];
pub(super) const GREEN: Colour = [0.05, 0.50, 0.27];
pub(super) const BLUE: Colour = [0.05, 0.27, 0.66];
pub(super) const BROWN: Colour = [0.43, 0.24, 0.13];

#[derive(Debug)]
pub(super) struct Sign {
    pub name: &'static str,
    pub shape: Shape,
    pub ground: Colour,
    pub rim: Colour,
    /// The width of the rim.
    pub rim_width: f32,
    /// What is on the ground, from the lowest to the topmost.
    pub marks: &'static [Mark],
}

/// A symbol on a sign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub symbol: Symbol,
    pub colour: Colour,
    pub place: Place,
}

impl Mark {
    const fn at(self, x: f32, y: f32) -> Self {
        Self { place: Place { shift: (x, y), ..self.place }, ..self }
    }

    const fn scaled(self, scale: f32) -> Self {
        Self { place: Place { scale, ..self.place }, ..self }
    }

    /// Exchanges left and right. The place of the centre stays.
    const fn mirrored(self) -> Self {
        let [right, down] = self.place.axes;
        Self { place: Place { axes: [(-right.0, right.1), (-down.0, down.1)], ..self.place }, ..self }
    }

    /// Turns the mark so that what pointed up points in the direction of the unit vector (x, y).
    const fn towards(self, x: f32, y: f32) -> Self {
        Self { place: Place { axes: [(-y, x), (-x, -y)], ..self.place }, ..self }
    }
}

const fn mark(symbol: Symbol, colour: Colour) -> Mark {
    Mark { symbol, colour, place: Place { scale: 1.0, axes: [(1.0, 0.0), (0.0, 1.0)], shift: (0.0, 0.0) } }
}

/// One of two digits.
const fn digit(symbol: Symbol, colour: Colour, x: f32) -> Mark {
    mark(symbol, colour).at(x, 0.0)
}

/// One of three digits.
const fn small(symbol: Symbol, x: f32) -> Mark {
    mark(symbol, BLACK).scaled(0.8).at(x, 0.0)
}

/// A mark in a triangle with the point up.
const fn low(symbol: Symbol) -> Mark {
    mark(symbol, BLACK).scaled(0.68).at(0.0, 0.26)
}

/// A triangle with the point up and a red rim.
const fn warning(name: &'static str, ground: Colour, marks: &'static [Mark]) -> Sign {
    Sign { name, shape: Shape::WARNING, ground, rim: RED, rim_width: 0.17, marks }
}

/// A circle with a red rim.
const fn forbidden(name: &'static str, ground: Colour, marks: &'static [Mark]) -> Sign {
    Sign { name, shape: Shape::CIRCLE, ground, rim: RED, rim_width: 0.18, marks }
}

/// A sign whose rim is a thin white line.
const fn plain(name: &'static str, shape: Shape, ground: Colour, marks: &'static [Mark]) -> Sign {
    Sign { name, shape, ground, rim: WHITE, rim_width: 0.07, marks }
}

const CIRCLE: Shape = Shape::CIRCLE;
const SQUARE: Shape = Shape::SQUARE;
const DIAMOND: Shape = Shape::DIAMOND;
const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// The sign of each class.
pub(super) const SIGNS: [Sign; 52] = [
    plain(
        "stop",
        Shape::OCTAGON,
        RED,
        &[
            mark(LETTER_S, WHITE).scaled(0.62).at(-0.53, 0.0),
            mark(LETTER_T, WHITE).scaled(0.62).at(-0.18, 0.0),
            mark(LETTER_O, WHITE).scaled(0.62).at(0.17, 0.0),
            mark(LETTER_P, WHITE).scaled(0.62).at(0.54, 0.0),
        ],
    ),
    plain("no entry", CIRCLE, RED, &[mark(BAR, WHITE)]),
    Sign { name: "give way", shape: Shape::YIELD, ground: WHITE, rim: RED, rim_width: 0.2, marks: &[] },
    Sign { name: "priority road", shape: DIAMOND, ground: YELLOW, rim: WHITE, rim_width: 0.22, marks: &[] },
    warning("danger", WHITE, &[low(EXCLAMATION)]),
    warning("danger on yellow", YELLOW, &[low(EXCLAMATION)]),
    warning("danger pedestrians", WHITE, &[low(PERSON)]),
    forbidden("limit 30", WHITE, &[digit(NUMBER_3, BLACK, -0.29), digit(NUMBER_0, BLACK, 0.29)]),
    forbidden("limit 50", WHITE, &[digit(NUMBER_5, BLACK, -0.29), digit(NUMBER_0, BLACK, 0.29)]),
    forbidden("limit 80", WHITE, &[digit(NUMBER_8, BLACK, -0.29), digit(NUMBER_0, BLACK, 0.29)]),
    plain("straight ahead", CIRCLE, BLUE, &[mark(ARROW, WHITE)]),
    plain("turn left", CIRCLE, BLUE, &[mark(TURN, WHITE)]),
    plain("turn right", CIRCLE, BLUE, &[mark(TURN, WHITE).mirrored()]),
    plain("footpath", CIRCLE, BLUE, &[mark(PERSON, WHITE)]),
    plain("one way", SQUARE, BLUE, &[mark(ARROW, WHITE)]),
    forbidden("no pedestrians", WHITE, &[mark(PERSON, BLACK).scaled(0.85)]),
    forbidden("limit 20", WHITE, &[digit(NUMBER_2, BLACK, -0.29), digit(NUMBER_0, BLACK, 0.29)]),
    forbidden("limit 60", WHITE, &[digit(NUMBER_6, BLACK, -0.29), digit(NUMBER_0, BLACK, 0.29)]),
    forbidden("limit 70", WHITE, &[digit(NUMBER_7, BLACK, -0.29), digit(NUMBER_0, BLACK, 0.29)]),
    forbidden("limit 100", WHITE, &[small(NUMBER_1, -0.47), small(NUMBER_0, -0.05), small(NUMBER_0, 0.42)]),
    forbidden("limit 120", WHITE, &[small(NUMBER_1, -0.47), small(NUMBER_2, -0.05), small(NUMBER_0, 0.42)]),
    plain("at least 30", CIRCLE, BLUE, &[digit(NUMBER_3, WHITE, -0.29), digit(NUMBER_0, WHITE, 0.29)]),
    plain("at least 50", CIRCLE, BLUE, &[digit(NUMBER_5, WHITE, -0.29), digit(NUMBER_0, WHITE, 0.29)]),
    Sign {
        name: "end of limits",
        shape: CIRCLE,
        ground: WHITE,
        rim: GREY,
        rim_width: 0.06,
        marks: &[mark(LINES, BLACK)],
    },
    forbidden("no vehicles", WHITE, &[]),
    forbidden("no cars", WHITE, &[mark(CAR, BLACK)]),
    forbidden("no lorries", WHITE, &[mark(LORRY, BLACK)]),
    forbidden("no bicycles", WHITE, &[mark(BICYCLE, BLACK)]),
    forbidden("no left turn", WHITE, &[mark(TURN, BLACK).scaled(0.85), mark(SLASH, RED)]),
    forbidden("no right turn", WHITE, &[mark(TURN, BLACK).scaled(0.85).mirrored(), mark(SLASH, RED)]),
    forbidden("no parking", BLUE, &[mark(SLASH, RED)]),
    forbidden("no stopping", BLUE, &[mark(SLASH, RED), mark(SLASH, RED).mirrored()]),
    forbidden(
        "oncoming traffic first",
        WHITE,
        &[
            mark(ARROW, BLACK).scaled(0.72).at(0.3, 0.0),
            mark(ARROW, RED).scaled(0.72).towards(0.0, 1.0).at(-0.3, 0.0),
        ],
    ),
    plain(
        "priority over oncoming traffic",
        SQUARE,
        BLUE,
        &[
            mark(ARROW, WHITE).scaled(0.82).at(0.34, 0.0),
            mark(ARROW, RED).scaled(0.72).towards(0.0, 1.0).at(-0.34, 0.0),
        ],
    ),
    plain("keep left", CIRCLE, BLUE, &[mark(ARROW, WHITE).towards(-DIAGONAL, DIAGONAL)]),
    plain("keep right", CIRCLE, BLUE, &[mark(ARROW, WHITE).towards(DIAGONAL, DIAGONAL)]),
    plain("roundabout", CIRCLE, BLUE, &[mark(ROUNDABOUT, WHITE)]),
    plain("bicycle path", CIRCLE, BLUE, &[mark(BICYCLE, WHITE)]),
    warning("danger bend to the left", WHITE, &[low(BEND)]),
    warning("danger bend to the right", WHITE, &[low(BEND).mirrored()]),
    warning("danger crossroads", WHITE, &[low(SALTIRE)]),
    warning("danger narrow road", WHITE, &[low(NARROW)]),
    warning("danger bumps", WHITE, &[low(BUMP)]),
    warning("danger water", WHITE, &[low(WAVES)]),
    warning("danger children", WHITE, &[low(CHILDREN)]),
    warning("danger narrow road on yellow", YELLOW, &[low(NARROW)]),
    warning(
        "danger traffic lights",
        WHITE,
        &[
            mark(LIGHT, RED).scaled(0.75).at(0.0, -0.12),
            mark(LIGHT, YELLOW).scaled(0.75).at(0.0, 0.24),
            mark(LIGHT, GREEN).scaled(0.75).at(0.0, 0.6),
        ],
    ),
    plain("parking", SQUARE, BLUE, &[mark(LETTER_P, WHITE).scaled(1.35)]),
    plain("hospital", SQUARE, BLUE, &[mark(LETTER_H, WHITE)]),
    plain(
        "pedestrian crossing",
        SQUARE,
        BLUE,
        &[mark(PANEL, WHITE), mark(PERSON, BLACK).scaled(0.6).at(0.0, 0.2)],
    ),
    plain("dead end", SQUARE, BLUE, &[mark(STEM, WHITE), mark(LID, RED)]),
    plain("first aid", SQUARE, GREEN, &[mark(CROSS, WHITE)]),
];
