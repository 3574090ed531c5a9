//! Activations of a few tokens, in the form in which the kernels take them. How many tokens, and what else a processor
//! wants to know of them, is a parameter of the types here: each processor's module says it.

use crate::{
    network::Network,
    shape::{Element, Matrix, Vector},
};

/// The memory of a [`Tile`] of `TILE` tokens, for rows of type `R`; `W` is an array of as many widened activations.
///
/// It is aligned like `F`, the type of what the kernels fetch at once: a vector that lies in two cache lines takes twice as
/// long.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TileMemory<R, W, F, const TILE: usize> {
    aligned: [F; 0],
    wide: [W; TILE],
    rows: [R; TILE],
}

impl<R: Element, W: Element, F, const TILE: usize> TileMemory<R, W, F, TILE> {
    /// All zero.
    pub const ZERO: Self = Self { aligned: [], wide: [W::ZERO; TILE], rows: [R::ZERO; TILE] };

    /// Views the memory as a tile with rows of `width` values, at most as many as there are bytes in `R`.
    #[inline(always)]
    pub fn tile<X: Element>(&mut self, width: usize) -> Tile<'_, X> {
        let rows = bytemuck::cast_slice_mut(&mut self.rows).get_mut(..TILE * width).unwrap_or_default();
        Tile { rows, wide: bytemuck::cast_slice_mut(&mut self.wide), width }
    }
}

/// Activations of a few tokens.
#[derive(Debug)]
pub struct Tile<'a, X> {
    /// The rows of all tokens, one after the other.
    pub rows: &'a mut [i8],
    /// The same values as the processor's kernels want them, aligned as [`TileMemory`] is. Kernels that widen nothing do
    /// not look at it.
    #[allow(dead_code)]
    pub wide: &'a mut [X],
    /// The number of values in a row.
    pub width: usize,
}

impl<X> Tile<'_, X> {
    /// The values of one token.
    #[inline(always)]
    pub fn row(&self, token: usize) -> &[i8] {
        self.rows.get(token * self.width..(token + 1) * self.width).unwrap_or_default()
    }

    /// The values of one token, to be written.
    #[inline(always)]
    pub fn row_mut(&mut self, token: usize) -> &mut [i8] {
        self.rows.get_mut(token * self.width..(token + 1) * self.width).unwrap_or_default()
    }
}

/// The scores or probabilities of one head for each of `SCORED` tokens.
pub type Scores<N, const SCORED: usize> = [Vector<<N as Network>::Tokens, i32>; SCORED];

/// Keys or values: a row of channels for each token.
pub type Rows<N> = Matrix<<N as Network>::Tokens, <N as Network>::Embed, i8>;
