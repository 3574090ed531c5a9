//! Pictures of floating-point numbers.

use image::{ImageBuffer, Luma};

/// A picture of grey levels or of amounts of ink.
pub(super) type Plane = ImageBuffer<Luma<f32>, Vec<f32>>;

/// Applies a filter of the crate `image`, which clamps values to 0..1, to grey levels from -255 to 255.
pub(super) fn filtered(plane: &Plane, filter: impl FnOnce(&Plane) -> Plane) -> Plane {
    let mut plane = plane.clone();
    plane.iter_mut().for_each(|x| *x = (*x + 255.0) / 510.0);
    plane = filter(&plane);
    plane.iter_mut().for_each(|x| *x = 510.0 * *x - 255.0);
    plane
}
