//! Where a camera sees a sign.

use super::{dice::Dice, geometry::length};

/// A perspective map between the plane of a sign and a picture.
pub(super) struct Camera {
    /// The matrix from (x, y, 1) in the plane of the sign to homogeneous coordinates in the picture.
    to_picture: [[f32; 3]; 3],
    /// The inverse of `to_picture`, up to a factor.
    to_sign: [[f32; 3]; 3],
    /// The centre of the sign in the picture.
    pub middle: (f32, f32),
    /// The radius of the sign in pixels, seen from the front.
    pub radius: f32,
}

impl Camera {
    /// Draws the view of a sign in a picture of this size.
    ///
    /// The sign is placed in the square in the middle of the picture, so that a picture that is cropped still shows it.
    pub(super) fn new(width: usize, height: usize, dice: &mut Dice) -> Self {
        let (width, height) = (width as f32, height as f32);
        let side = width.min(height);
        // Large signs are more frequent than small ones, and signs in the middle than signs at the edge.
        let distance = dice.uniform(0.0, 1.0);
        let radius = side * (0.49 - 0.32 * distance * distance);
        let overhang = if dice.chance(0.15) { 0.3 } else { 0.0 };
        let slack = 0.5 * side - (1.0 - overhang) * radius;
        let mut place =
            |length: f32| 0.5 * length + slack * 0.5 * (dice.uniform(-1.0, 1.0) + dice.uniform(-1.0, 1.0));
        let middle = (place(width), place(height));

        let (sin_roll, cos_roll) = dice.rotation(0.15);
        let (sin_yaw, cos_yaw) = dice.rotation(0.6);
        let (sin_pitch, cos_pitch) = dice.rotation(0.25);
        // The images of the unit vectors in space, with z to the back: yaw, then pitch, then roll.
        let (right, down) =
            ([cos_yaw, sin_pitch * sin_yaw, -cos_pitch * sin_yaw], [0.0, cos_pitch, sin_pitch]);
        let roll = |[x, y, z]: [f32; 3]| [cos_roll * x - sin_roll * y, sin_roll * x + cos_roll * y, z];
        let (right, down) = (roll(right), roll(down));
        let depth = dice.uniform(0.0, 0.35);
        let image = |[x, y, z]: [f32; 3]| {
            let z = z * depth;
            [radius * x + middle.0 * z, radius * y + middle.1 * z, z]
        };
        let (right, down) = (image(right), image(down));
        let to_picture =
            [[right[0], down[0], middle.0], [right[1], down[1], middle.1], [right[2], down[2], 1.0]];
        Self { to_picture, to_sign: adjugate(&to_picture), middle, radius }
    }

    /// Returns the place in the picture of a point of the sign.
    pub(super) fn picture(&self, x: f32, y: f32) -> (f32, f32) {
        project(&self.to_picture, x, y)
    }

    /// Returns the point of the sign's plane at a place of the picture.
    pub(super) fn sign(&self, x: f32, y: f32) -> (f32, f32) {
        project(&self.to_sign, x, y)
    }

    /// Returns the box in the picture around all points of the sign: left, top, right, bottom.
    pub(super) fn bounds(&self) -> [f32; 4] {
        let corners = [(-1.2, -1.2), (1.2, -1.2), (1.2, 1.2), (-1.2, 1.2)].map(|(x, y)| self.picture(x, y));
        corners
            .iter()
            .fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |[left, top, right, bottom], &(x, y)| {
                [left.min(x), top.min(y), right.max(x), bottom.max(y)]
            })
    }

    /// Returns the size of a pixel in the plane of the sign, at its centre.
    pub(super) fn pixel(&self) -> f32 {
        let (x, y) = self.sign(self.middle.0 + 0.5, self.middle.1 + 0.5);
        length(x, y) * std::f32::consts::SQRT_2
    }
}

fn project(matrix: &[[f32; 3]; 3], x: f32, y: f32) -> (f32, f32) {
    let [u, v, w] = matrix.map(|row| row[0] * x + row[1] * y + row[2]);
    (u / w, v / w)
}

/// Returns the inverse of a matrix, times its determinant.
fn adjugate(m: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    let minor = |a: usize, b: usize, c: usize, d: usize| m[a][c] * m[b][d] - m[a][d] * m[b][c];
    [
        [minor(1, 2, 1, 2), -minor(0, 2, 1, 2), minor(0, 1, 1, 2)],
        [-minor(1, 2, 0, 2), minor(0, 2, 0, 2), -minor(0, 1, 0, 2)],
        [minor(1, 2, 0, 1), -minor(0, 2, 0, 1), minor(0, 1, 0, 1)],
    ]
}
