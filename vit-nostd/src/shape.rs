//! Lengths as types. Stable Rust cannot use an associated constant of a generic type as the length of an array, but it can
//! use an associated type: a [`Length`] knows the array that has it.

use bytemuck::Pod;
use core::fmt;

/// A plain number, or an array of them: any bit pattern is a value, and zero is one.
pub trait Element: Pod + fmt::Debug + Send + Sync {
    /// All elements zero.
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

/// `[T; LEN]`, where `LEN` is a [`Length`].
pub trait Array<T: Element>: Element + AsRef<[T]> + AsMut<[T]> {
    /// The number of elements.
    const LEN: usize;
}

impl<T: Element, const LEN: usize> Array<T> for [T; LEN] {
    const LEN: usize = LEN;
}

/// A number of elements as a type: [`Len`].
pub trait Length: sealed::Sealed + Copy + fmt::Debug + Send + Sync + 'static {
    /// The number of elements.
    const LEN: usize;
    /// So many elements.
    type Array<T: Element>: Array<T>;
}

/// The length `LEN`.
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

/// `L` elements.
pub type Vector<L, T> = <L as Length>::Array<T>;
/// `R` rows of `C` elements each, row by row.
pub type Matrix<R, C, T> = Vector<R, Vector<C, T>>;
