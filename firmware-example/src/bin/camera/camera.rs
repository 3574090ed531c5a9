//! A camera that sees road signs in front of a landscape, one line at a time. It takes the place of a real camera, which
//! delivers its lines by DMA.

use vit_nostd::frame::{Frame, PixelFormat};

/// What the camera delivers: RGB 565, the high byte first, as OV2640 and OV7670 do.
pub(crate) const FRAME: Frame = Frame { width: 160, height: 120, format: PixelFormat::Rgb565Be };
/// The number of bytes of a line.
pub(crate) const LINE_BYTES: usize = FRAME.line_bytes();

/// A road sign. Its coordinates are x to the right and y down, in hundredths of its radius, from its centre.
pub(crate) struct Sign {
    /// The name, which is the label of its class.
    pub name: &'static str,
    /// The distance of a point from the outline, negative inside.
    outline: fn(i32, i32) -> i32,
    ground: Colour,
    rim: Colour,
    /// The width of the rim, in hundredths of the radius.
    rim_width: i32,
    /// Returns true if a point belongs to the symbol.
    symbol: fn(i32, i32) -> bool,
    symbol_colour: Colour,
}

/// The signs that the camera sees, one after the other.
pub(crate) static SIGNS: [Sign; 6] = [
    Sign {
        name: "no entry",
        outline: circle,
        ground: RED,
        rim: WHITE,
        rim_width: 7,
        symbol: |x, y| x.abs() <= 68 && y.abs() <= 18,
        symbol_colour: WHITE,
    },
    Sign {
        name: "give way",
        outline: |x, y| triangle(x, -y),
        ground: WHITE,
        rim: RED,
        rim_width: 20,
        symbol: |_, _| false,
        symbol_colour: BLACK,
    },
    Sign {
        name: "priority road",
        outline: diamond,
        ground: YELLOW,
        rim: WHITE,
        rim_width: 22,
        symbol: |_, _| false,
        symbol_colour: BLACK,
    },
    Sign {
        name: "danger",
        outline: triangle,
        ground: WHITE,
        rim: RED,
        rim_width: 17,
        symbol: |x, y| x.abs() <= 8 && (-16..=39).contains(&y) || x.abs() <= 9 && (48..=66).contains(&y),
        symbol_colour: BLACK,
    },
    Sign {
        name: "straight ahead",
        outline: circle,
        ground: BLUE,
        rim: WHITE,
        rim_width: 7,
        symbol: arrow,
        symbol_colour: WHITE,
    },
    Sign {
        name: "one way",
        outline: |x, y| x.abs().max(y.abs()) - 86,
        ground: BLUE,
        rim: WHITE,
        rim_width: 7,
        symbol: arrow,
        symbol_colour: WHITE,
    },
];

/// The radius of a sign, in pixels.
const RADIUS: i32 = 46;

/// Writes line `y` of a frame that shows `sign`.
pub(crate) fn expose(sign: &Sign, y: usize, line: &mut [u8; LINE_BYTES]) {
    for (x, pixel) in line.as_chunks_mut().0.iter_mut().enumerate() {
        let [x, y] = [(x, FRAME.width), (y, FRAME.height)].map(|(at, size)| at as i32 - size as i32 / 2);
        *pixel = colour(sign, 100 * x / RADIUS, 100 * y / RADIUS).to_be_bytes();
    }
}

/// A colour in RGB 565.
type Colour = u16;

const WHITE: Colour = rgb(226, 228, 222);
const BLACK: Colour = rgb(24, 24, 28);
const RED: Colour = rgb(184, 28, 36);
const YELLOW: Colour = rgb(232, 184, 32);
const BLUE: Colour = rgb(20, 72, 160);
const METAL: Colour = rgb(130, 132, 134);
const SKY: Colour = rgb(150, 180, 206);
const GRASS: Colour = rgb(92, 112, 62);

const fn rgb(red: u16, green: u16, blue: u16) -> Colour {
    red >> 3 << 11 | green >> 2 << 5 | blue >> 3
}

/// Returns the colour that the camera sees at a point in front of `sign`.
fn colour(sign: &Sign, x: i32, y: i32) -> Colour {
    let distance = (sign.outline)(x, y);
    if distance <= -sign.rim_width {
        return if (sign.symbol)(x, y) { sign.symbol_colour } else { sign.ground };
    }
    match distance {
        ..=0 => sign.rim,
        _ if x.abs() <= 8 && y > 0 => METAL, // the pole
        _ if y < 40 => SKY,
        _ => GRASS,
    }
}

fn circle(x: i32, y: i32) -> i32 {
    (x * x + y * y).isqrt() - 100
}

/// A triangle with the point up.
fn triangle(x: i32, y: i32) -> i32 {
    ((866 * x.abs() - 500 * y) / 1000 - 52).max(y - 88)
}

fn diamond(x: i32, y: i32) -> i32 {
    707 * (x.abs() + y.abs()) / 1000 - 72
}

/// An arrow that points up.
fn arrow(x: i32, y: i32) -> bool {
    let shaft = x.abs() <= 11 && (-30..=66).contains(&y);
    let head = (-72..=-14).contains(&y) && 58 * x.abs() <= 46 * (y + 72);
    shaft || head
}
