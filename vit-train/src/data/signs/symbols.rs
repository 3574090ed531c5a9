//! The symbols on the signs, in hundredths of the unit of a sign.

use super::geometry::{
    Part::{Dot, Fill, Line, Ring},
    Symbol,
};

/// An arrow that points up.
pub(super) const ARROW: Symbol = &[Line(22, &[(0, 60), (0, -30)]), Fill(&[(0, -72), (46, -14), (-46, -14)])];

/// An arrow that comes from below and turns to the left.
pub(super) const TURN: Symbol = &[
    Line(22, &[(38, 62), (38, 20), (30, 0), (12, -8), (-24, -8)]),
    Fill(&[(-70, -8), (-16, -50), (-16, 34)]),
];

/// An arrow that points up and bends to the left and back.
pub(super) const BEND: Symbol =
    &[Line(20, &[(20, 60), (20, 24), (-14, -4), (-14, -30)]), Fill(&[(-14, -66), (14, -24), (-42, -24)])];

/// Three arrows that go round.
pub(super) const ROUNDABOUT: Symbol = &[
    Line(17, &[(-12, -47), (16, -46), (36, -34), (46, -14)]),
    Fill(&[(28, -12), (66, -20), (50, 14)]),
    Line(17, &[(47, 14), (34, 36), (14, 47), (-8, 48)]),
    Fill(&[(-2, 27), (-4, 70), (-36, 46)]),
    Line(17, &[(-37, 33), (-47, 10), (-44, -16), (-34, -32)]),
    Fill(&[(-54, -22), (-20, -46), (-16, -10)]),
];

pub(super) const BAR: Symbol = &[Fill(&[(-68, -18), (68, -18), (68, 18), (-68, 18)])];

/// A line from the top left to the bottom right, longer than the sign.
pub(super) const SLASH: Symbol = &[Line(17, &[(-78, -78), (78, 78)])];

/// Three thin lines from the bottom left to the top right.
pub(super) const LINES: Symbol =
    &[Line(9, &[(-78, 56), (56, -78)]), Line(9, &[(-67, 67), (67, -67)]), Line(9, &[(-56, 78), (78, -56)])];

pub(super) const SALTIRE: Symbol = &[Line(20, &[(-42, -42), (42, 42)]), Line(20, &[(42, -42), (-42, 42)])];

pub(super) const CROSS: Symbol = &[
    Fill(&[(-18, -56), (18, -56), (18, 56), (-18, 56)]),
    Fill(&[(-56, -18), (56, -18), (56, 18), (-56, 18)]),
];

pub(super) const EXCLAMATION: Symbol = &[Fill(&[(-15, -62), (15, -62), (8, 20), (-8, 20)]), Dot(0, 46, 14)];

pub(super) const PERSON: Symbol = &[
    Dot(0, -56, 13),
    Line(22, &[(0, -30), (0, 6)]),
    Line(11, &[(-4, -34), (-26, -10), (-30, 8)]),
    Line(11, &[(4, -34), (24, -14), (34, -4)]),
    Line(14, &[(-2, 8), (-12, 36), (-30, 64)]),
    Line(14, &[(2, 8), (16, 34), (20, 64)]),
];

/// A person with a smaller one.
pub(super) const CHILDREN: Symbol = &[
    Dot(-24, -48, 12),
    Line(20, &[(-24, -24), (-24, 8)]),
    Line(10, &[(-26, -28), (-48, 4)]),
    Line(12, &[(-24, 8), (-42, 60)]),
    Line(12, &[(-24, 8), (-14, 60)]),
    Line(10, &[(-22, -26), (6, 2), (28, -2)]),
    Dot(30, -22, 11),
    Line(18, &[(30, 0), (30, 22)]),
    Line(11, &[(30, 22), (18, 60)]),
    Line(11, &[(30, 22), (44, 60)]),
];

pub(super) const BICYCLE: Symbol = &[
    Ring(-38, 22, 26, 9),
    Ring(38, 22, 26, 9),
    Line(9, &[(-38, 22), (-18, -18), (22, -18), (-2, 22), (-38, 22)]),
    Line(9, &[(-2, 22), (-24, -30)]),
    Line(9, &[(38, 22), (18, -34), (34, -38)]),
    Line(10, &[(-34, -32), (-14, -32)]),
];

/// A car from the front.
pub(super) const CAR: Symbol = &[
    Line(14, &[(-40, 2), (-26, -30), (26, -30), (40, 2)]),
    Fill(&[(-50, 0), (50, 0), (50, 34), (-50, 34)]),
    Fill(&[(-46, 30), (-24, 30), (-24, 52), (-46, 52)]),
    Fill(&[(24, 30), (46, 30), (46, 52), (24, 52)]),
];

/// A car from the side, with a load.
pub(super) const LORRY: Symbol = &[
    Fill(&[(-64, -34), (18, -34), (18, 24), (-64, 24)]),
    Fill(&[(24, -14), (46, -14), (62, 6), (62, 24), (24, 24)]),
    Dot(-40, 30, 15),
    Dot(40, 30, 15),
];

/// Two bumps.
pub(super) const BUMP: Symbol = &[
    Fill(&[(-70, 40), (70, 40), (70, 54), (-70, 54)]),
    Fill(&[(-64, 44), (-50, 14), (-36, 2), (-22, 14), (-8, 44)]),
    Fill(&[(8, 44), (22, 14), (36, 2), (50, 14), (64, 44)]),
];

/// A road that becomes narrow.
pub(super) const NARROW: Symbol = &[
    Line(15, &[(-40, 58), (-40, 20), (-14, -16), (-14, -56)]),
    Line(15, &[(40, 58), (40, 20), (14, -16), (14, -56)]),
];

/// One of the lights of a signal.
pub(super) const LIGHT: Symbol = &[Dot(0, 0, 19)];

/// Waves, for ice or water.
pub(super) const WAVES: Symbol = &[
    Line(13, &[(-54, -18), (-32, -34), (-8, -14), (16, -34), (40, -14), (56, -28)]),
    Line(13, &[(-54, 14), (-32, -2), (-8, 18), (16, -2), (40, 18), (56, 4)]),
    Line(13, &[(-54, 46), (-32, 30), (-8, 50), (16, 30), (40, 50), (56, 36)]),
];

/// A road with a bar at its end.
pub(super) const STEM: Symbol = &[Fill(&[(-13, -20), (13, -20), (13, 70), (-13, 70)])];
pub(super) const LID: Symbol = &[Fill(&[(-46, -52), (46, -52), (46, -20), (-46, -20)])];

/// The white triangle of a crossing.
pub(super) const PANEL: Symbol = &[Fill(&[(0, -70), (74, 60), (-74, 60)])];

pub(super) const LETTER_H: Symbol =
    &[Line(19, &[(-30, -48), (-30, 48)]), Line(19, &[(30, -48), (30, 48)]), Line(19, &[(-30, 0), (30, 0)])];
pub(super) const LETTER_O: Symbol = NUMBER_0;
pub(super) const LETTER_P: Symbol =
    &[Line(16, &[(-18, 40), (-18, -38), (6, -38), (20, -30), (22, -16), (16, -4), (2, 2), (-18, 2)])];
pub(super) const LETTER_S: Symbol = &[Line(
    14,
    &[
        (20, -28),
        (8, -40),
        (-10, -39),
        (-20, -26),
        (-16, -8),
        (14, 6),
        (21, 22),
        (12, 38),
        (-8, 40),
        (-21, 28),
    ],
)];
pub(super) const LETTER_T: Symbol = &[Line(14, &[(-24, -39), (24, -39)]), Line(14, &[(0, -39), (0, 40)])];

pub(super) const NUMBER_0: Symbol = &[Line(
    14,
    &[
        (0, -40),
        (15, -32),
        (20, -12),
        (20, 12),
        (15, 32),
        (0, 40),
        (-15, 32),
        (-20, 12),
        (-20, -12),
        (-15, -32),
        (0, -40),
    ],
)];
pub(super) const NUMBER_1: Symbol = &[Line(14, &[(-12, -26), (4, -40), (4, 40)])];
pub(super) const NUMBER_2: Symbol =
    &[Line(14, &[(-19, -26), (-10, -38), (8, -40), (19, -28), (17, -10), (-20, 40), (22, 40)])];
pub(super) const NUMBER_3: Symbol = &[Line(
    14,
    &[(-19, -32), (0, -41), (17, -32), (17, -12), (0, -3), (19, 8), (20, 28), (2, 41), (-20, 32)],
)];
pub(super) const NUMBER_5: Symbol =
    &[Line(14, &[(18, -40), (-15, -40), (-18, -4), (6, -9), (20, 6), (18, 30), (0, 41), (-20, 34)])];
pub(super) const NUMBER_6: Symbol = &[Line(
    14,
    &[(14, -40), (-10, -18), (-20, 10), (-14, 34), (2, 41), (18, 30), (18, 8), (2, -4), (-14, 4)],
)];
pub(super) const NUMBER_7: Symbol = &[Line(14, &[(-20, -40), (20, -40), (-6, 40)])];
pub(super) const NUMBER_8: Symbol = &[
    Line(14, &[(0, -41), (16, -33), (16, -13), (0, -4), (-16, -13), (-16, -33), (0, -41)]),
    Line(14, &[(0, -4), (19, 8), (19, 31), (0, 41), (-19, 31), (-19, 8), (0, -4)]),
];
