//! Tiles: activations of a few tokens, in the form in which the kernels take them. What differs between processors,
//! such as the number of tokens, is a parameter of the types here, which the processor's module determines.

use crate::{
    network::Network,
    shape::{Element, Matrix, Vector},
};

/// The memory of a [`Tile`] of `TILE` tokens, for rows of type `R`. `W` is an array of as many widened activations as
/// `R` has values.
///
/// The memory is aligned like `F`, the largest unit that the kernels load at once, because loading a vector that spans
/// two cache lines takes twice as long.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct TileMemory<R, W, F, const TILE: usize> {
    aligned: [F; 0],
    wide: [W; TILE],
    rows: [R; TILE],
}

impl<R: Element, W: Element, F, const TILE: usize> TileMemory<R, W, F, TILE> {
    /// A memory of zeros.
    pub(crate) const ZERO: Self = Self { aligned: [], wide: [W::ZERO; TILE], rows: [R::ZERO; TILE] };

    /// Views the memory as a tile with rows of `width` values, at most as many as there are bytes in `R`.
    #[inline(always)]
    pub(crate) fn tile<X: Element>(&mut self, width: usize) -> Tile<'_, X> {
        let rows = bytemuck::cast_slice_mut(&mut self.rows).get_mut(..TILE * width).unwrap_or_default();
        Tile { rows, wide: bytemuck::cast_slice_mut(&mut self.wide), width }
    }
}

/// The activations of a few tokens.
#[derive(Debug)]
pub struct Tile<'a, X> {
    /// The rows of all tokens, one after the other.
    pub rows: &'a mut [i8],
    /// The values in the form that [`widen`](super::interface::KernelsFor::widen) produces, aligned like
    /// [`TileMemory`]. Kernels that do not widen ignore this field.
    #[allow(dead_code)]
    pub wide: &'a mut [X],
    /// The number of values in a row.
    pub width: usize,
}

impl<X> Tile<'_, X> {
    /// Returns the values of one token.
    #[inline(always)]
    pub fn row(&self, token: usize) -> &[i8] {
        self.rows.get(token * self.width..(token + 1) * self.width).unwrap_or_default()
    }

    /// Returns the values of one token, mutably borrowed.
    #[inline(always)]
    pub fn row_mut(&mut self, token: usize) -> &mut [i8] {
        self.rows.get_mut(token * self.width..(token + 1) * self.width).unwrap_or_default()
    }
}

/// The scores or exponentials of one head: for each of `SCORED` tokens, one per key.
pub(super) type Scores<N, const SCORED: usize> = [Vector<<N as Network>::Tokens, i32>; SCORED];

/// The keys or the values of all tokens: a row of `EMBED` channels for each token.
pub(crate) type Rows<N> = Matrix<<N as Network>::Tokens, <N as Network>::Embed, i8>;
