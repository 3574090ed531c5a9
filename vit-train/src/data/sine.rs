//! Sine and cosine that have the same bits on every machine.

/// Returns the sine and the cosine of `angle`, from -pi to pi radians.
///
/// They are computed from their Taylor series, because the functions of the platforms differ in the last bits.
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    let square = f64::from(angle) * f64::from(angle);
    let (mut sin, mut cos) = (1.0, 1.0);
    for n in (1..=12).rev() {
        let n = f64::from(2 * n);
        cos = 1.0 - square / (n * (n - 1.0)) * cos;
        sin = 1.0 - square / (n * (n + 1.0)) * sin;
    }
    ((sin * f64::from(angle)) as f32, cos as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_sine_and_cosine() {
        use std::f32::consts::PI;
        for (angle, sin, cos) in [
            (0.0, 0.0, 1.0),
            (PI / 6.0, 0.5, 0.75_f32.sqrt()),
            (-PI / 4.0, -(0.5_f32.sqrt()), 0.5_f32.sqrt()),
            (PI / 2.0, 1.0, 0.0),
            (PI, 0.0, -1.0),
        ] {
            let (a, b) = sin_cos(angle);
            assert!((a - sin).abs() < 2e-7 && (b - cos).abs() < 2e-7, "{angle}: {a}, {b}");
        }
    }
}
