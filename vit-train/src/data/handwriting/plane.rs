//! Pictures as numbers.

use image::{ImageBuffer, Luma};

/// Grey levels, or amounts of ink.
pub(super) type Plane = ImageBuffer<Luma<f32>, Vec<f32>>;

/// A filter of `image`, which cuts off values that are not from 0 to 1, on grey levels from -255 to 255.
pub(super) fn filtered(plane: &Plane, filter: impl FnOnce(&Plane) -> Plane) -> Plane {
    let mut plane = plane.clone();
    plane.iter_mut().for_each(|x| *x = (*x + 255.0) / 510.0);
    plane = filter(&plane);
    plane.iter_mut().for_each(|x| *x = 510.0 * *x - 255.0);
    plane
}
