//! Requantization, the only rounding of the integer engine.

/// The factor `multiplier / 2^shift` of a requantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The multiplier, from 0 to [`Scale::MAX_MULTIPLIER`].
    pub multiplier: u16,
    /// The shift, from [`Scale::MIN_SHIFT`] to [`Scale::MAX_SHIFT`].
    pub shift: u8,
}

impl Scale {
    /// The largest multiplier, which fits the 16-bit operand of a signed multiplication.
    pub const MAX_MULTIPLIER: u16 = 32767;
    /// The least shift. [`requantize`] needs 2^(shift - 17) to be an integer.
    pub const MIN_SHIFT: u8 = 17;
    /// The largest shift. With a larger one, every result would be 0.
    pub const MAX_SHIFT: u8 = 46;

    /// True if multiplier and shift are within their bounds.
    pub fn is_valid(self) -> bool {
        self.multiplier <= Self::MAX_MULTIPLIER && (Self::MIN_SHIFT..=Self::MAX_SHIFT).contains(&self.shift)
    }
}

/// Returns `(a * m + 2^(s-1)) >> s` for the multiplier `m` and the shift `s`: `a` times `m / 2^s`, rounded to nearest,
/// with halves rounded up.
///
/// It computes floor((floor(a * m / 2^16) + 2^(s-17)) / 2^(s-16)), which has the same value because 2^(s-17) is an
/// integer. Some processors have an instruction for the inner floor, which `P` computes, and all intermediate values
/// fit 32 bits:
/// |a| <= 2^31, m < 2^15, s >= 17.
#[inline(always)]
pub fn requantize<P: Product>(a: i32, Scale { multiplier, shift }: Scale) -> i32 {
    let product = P::product(a, multiplier);
    (product + (1 << (shift - 17))) >> (shift - 16)
}

/// A way to compute the product in [`requantize`]. All implementations give the same bits, but use different
/// instructions.
pub trait Product {
    /// Returns floor(a * multiplier / 2^16), for `multiplier` up to [`Scale::MAX_MULTIPLIER`].
    fn product(a: i32, multiplier: u16) -> i32;
}

/// A product by one multiplication whose result has 64 bits.
#[derive(Clone, Copy, Debug)]
pub enum Whole {}

impl Product for Whole {
    #[inline(always)]
    fn product(a: i32, multiplier: u16) -> i32 {
        ((i64::from(a) * i64::from(multiplier)) >> 16) as i32
    }
}

/// A product by two multiplications whose results have 32 bits, for processors without a longer one: the product of the
/// higher half of `a`, plus the carry from the product of the lower half.
#[derive(Clone, Copy, Debug)]
pub enum Halves {}

impl Product for Halves {
    #[inline(always)]
    fn product(a: i32, multiplier: u16) -> i32 {
        let low = (a as u32 & 0xffff) * u32::from(multiplier);
        (a >> 16) * i32::from(multiplier) + (low >> 16) as i32
    }
}

/// Returns `a` clamped to -128..=127.
#[inline(always)]
pub fn sat8(a: i32) -> i8 {
    a.clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8
}

/// Returns `a` clamped to -32768..=32767.
#[inline(always)]
pub fn sat16(a: i32) -> i16 {
    a.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_once_halves_up() {
        let half = Scale { multiplier: 1 << 14, shift: 17 }; // 1/8
        let cases = [
            (0, 0),
            (3, 0),
            (4, 1),
            (5, 1),
            (11, 1),
            (12, 2),
            (-3, 0),
            (-4, 0),
            (-5, -1),
            (-12, -1),
            (-13, -2),
        ];
        for (a, expected) in cases {
            assert_eq!(requantize::<Whole>(a, half), expected, "{a}");
        }
    }

    #[test]
    fn is_its_formula_for_all_extremes() {
        for a in [i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX] {
            for multiplier in [0, 1, 16384, 32767] {
                for shift in Scale::MIN_SHIFT..=Scale::MAX_SHIFT {
                    let exact =
                        (i128::from(a) * i128::from(multiplier) + (1 << (shift - 1))).div_euclid(1 << shift);
                    let scale = Scale { multiplier, shift };
                    assert_eq!(i128::from(requantize::<Whole>(a, scale)), exact);
                    assert_eq!(i128::from(requantize::<Halves>(a, scale)), exact);
                }
            }
        }
    }

    #[test]
    fn saturates() {
        assert_eq!([128, -129, 5].map(sat8), [127, -128, 5]);
        assert_eq!([32768, -32769, 5].map(sat16), [32767, -32768, 5]);
    }
}
