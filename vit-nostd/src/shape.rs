//! Lengths as types.
//!
//! Stable Rust cannot use an associated constant of a generic type as the length of an array, but it can use an
//! associated type. The trait [`Length`] therefore has the array type of its length as an associated type.

use bytemuck::Pod;
use core::fmt;

/// A plain number, or an array of them: every bit pattern is a valid value.
pub trait Element: Pod + fmt::Debug + Send + Sync {
    /// The value zero, or an array of zeros.
    const ZERO: Self;
}

macro_rules! numbers {
    ($($number:ty => $zero:literal),* $(,)?) => {
        $(impl Element for $number { const ZERO: Self = $zero; })*
    };
}
numbers!(u8 => 0, i8 => 0, u16 => 0, i16 => 0, u32 => 0, i32 => 0, f32 => 0.0);

impl<T: Element, const LEN: usize> Element for [T; LEN] {
    const ZERO: Self = [T::ZERO; LEN];
}

/// The array `[T; LEN]`, with `LEN` as an associated constant.
pub trait Array<T: Element>: Element + AsRef<[T]> + AsMut<[T]> {
    /// The number of elements.
    const LEN: usize;
}

impl<T: Element, const LEN: usize> Array<T> for [T; LEN] {
    const LEN: usize = LEN;
}

/// A number of elements as a type. The only implementation is [`Len`].
pub trait Length: sealed::Sealed + Copy + fmt::Debug + Send + Sync + 'static {
    /// The number of elements.
    const LEN: usize;
    /// The array of `LEN` elements of type `T`.
    type Array<T: Element>: Array<T>;
}

/// The length `LEN` as a type.
#[derive(Clone, Copy, Debug)]
pub struct Len<const LEN: usize>;

impl<const LEN: usize> Length for Len<LEN> {
    const LEN: usize = LEN;
    type Array<T: Element> = [T; LEN];
}

mod sealed {
    pub trait Sealed {}
    impl<const LEN: usize> Sealed for super::Len<LEN> {}
}

/// An array of `L` elements.
pub type Vector<L, T> = <L as Length>::Array<T>;
/// An array of `R` rows of `C` elements each, row by row.
pub type Matrix<R, C, T> = Vector<R, Vector<C, T>>;
