//! Sine and cosine, with the same bits on every machine.

/// Sine and cosine for -pi..pi, by their series: unlike the platform's, the same bits everywhere.
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
