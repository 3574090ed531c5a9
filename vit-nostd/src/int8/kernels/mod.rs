//! The inner loops of the integer engine, one set for each kind of processor: the same bits from all.
//!
//! | module | processor | tokens side by side |
//! |---|---|---|
//! | [`portable`] | any; the oracle of the others | 2, with few registers 1 |
//! | `armv7m` | Cortex-M without it (M3): what is slow in Rust | 2 |
//! | `armv7em` | Cortex-M with the DSP extension (M4, M7, M33) | 3 |
//! | `x86_64` | x86-64 with AVX2, and AVX-512 VNNI if it has it: looked for at run time | 3 |
//!
//! The build script chooses by the name of the target. Unsafe code stands in this module only.

#![allow(unsafe_code)]

use crate::{
    int8::{
        layer_norm::Norm,
        linear::{Linear, Row},
        requantize::{sat16, sat8, Scale},
        softmax::ExpTable,
    },
    network::Network,
    shape::{Element, Matrix, Vector},
};
use core::ops::Range;

#[cfg(kernels = "dsp")]
mod armv7em;
#[cfg(kernels = "armv7m")]
mod armv7m;
pub mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(kernels = "dsp")]
pub use armv7em::{Dsp, Results};
pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Results};

/// The longest row of weights, in bytes, for kernels in which the next row is an offset in an instruction.
#[cfg(any(kernels = "dsp", kernels = "armv7m"))]
const MAX_ROW: usize = 4092;

/// The offset of the next row of `len` weights as it stands in an instruction. Of a longer row than [`MAX_ROW`] it is any
/// that the assembler takes: such a kernel is never called, but the compiler may still translate it.
#[cfg(any(kernels = "dsp", kernels = "armv7m"))]
const fn offset_of_row(len: usize) -> usize {
    if len <= MAX_ROW {
        len
    } else {
        MAX_ROW
    }
}

/// Tokens that go through a layer together: a weight is fetched once for all of them.
pub const TILE: usize = if cfg!(any(kernels = "dsp", target_arch = "x86_64")) {
    3
} else if cfg!(kernels = "few_registers") {
    1
} else {
    2
};

/// Results of a linear layer that the kernels know how to put away.
#[cfg(not(any(kernels = "dsp", target_arch = "x86_64")))]
pub trait Results {}
#[cfg(not(any(kernels = "dsp", target_arch = "x86_64")))]
impl<T> Results for T {}

/// Where the results of a linear layer go.
pub trait Output: Copy + Results {
    /// Takes a result.
    fn put(&mut self, value: i32);
}

/// An activation keeps 8 bits.
impl Output for i8 {
    #[inline(always)]
    fn put(&mut self, value: i32) {
        *self = sat8(value);
    }
}

/// The residual stream is added to.
impl Output for i16 {
    #[inline(always)]
    fn put(&mut self, value: i32) {
        *self = sat16(i32::from(*self) + value);
    }
}

/// What an activation is widened to before it is multiplied; nothing, where that does not pay.
#[cfg(any(kernels = "dsp", target_arch = "x86_64"))]
pub type Wide = i16;
/// What an activation is widened to before it is multiplied; nothing, where that does not pay.
#[cfg(not(any(kernels = "dsp", target_arch = "x86_64")))]
pub type Wide = [i16; 0];

/// The memory of a [`Tile`], for rows of type `R`; `W` is an array of as many [`Wide`].
///
/// Aligned to what the kernels fetch at once: a vector of two cache lines takes twice as long.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(target_arch = "x86_64", repr(C, align(32)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C, align(4)))]
pub struct TileMemory<R, W> {
    wide: [W; TILE],
    rows: [R; TILE],
}

impl<R: Element, W: Element> TileMemory<R, W> {
    /// All zero.
    pub const ZERO: Self = Self { wide: [W::ZERO; TILE], rows: [R::ZERO; TILE] };

    /// As a tile with rows of `width` values, at most as many as there are bytes in `R`.
    #[inline(always)]
    pub fn tile(&mut self, width: usize) -> Tile<'_> {
        let rows = bytemuck::cast_slice_mut(&mut self.rows).get_mut(..TILE * width).unwrap_or_default();
        Tile { rows, wide: bytemuck::cast_slice_mut(&mut self.wide), width }
    }
}

/// Activations of [`TILE`] tokens.
#[derive(Debug)]
pub struct Tile<'a> {
    /// One row behind the other.
    rows: &'a mut [i8],
    /// The same values as the kernels want them, aligned as [`TileMemory`] is: see [`Kernels::widen`].
    #[cfg_attr(not(any(kernels = "dsp", target_arch = "x86_64")), allow(dead_code))]
    wide: &'a mut [Wide],
    /// Values of a row.
    width: usize,
}

impl Tile<'_> {
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

    /// The rows of all tokens.
    #[inline(always)]
    pub fn rows_mut(&mut self) -> &mut [i8] {
        self.rows
    }
}

/// Evaluates an expression with the best kernels there are for the processor that it runs on.
macro_rules! with_best_kernels {
    ($kernels:ident => $then:expr) => {{
        #[cfg(target_arch = "x86_64")]
        if let Some($kernels) = crate::int8::kernels::Avx2::detect() {
            return $then;
        }
        #[cfg(kernels = "dsp")]
        let $kernels = crate::int8::kernels::Dsp;
        #[cfg(not(kernels = "dsp"))]
        let $kernels = crate::int8::kernels::Portable;
        $then
    }};
}
pub(crate) use with_best_kernels;

/// What the kernels are called that [`int8::Model::infer`](crate::int8::Model::infer) uses.
pub fn name() -> &'static str {
    with_best_kernels!(kernels => kernels.name())
}

/// The softmax alone, as an inference does it: for measuring it.
pub fn softmax(scores: &mut [i32], scale: Scale, table: &ExpTable) {
    with_best_kernels!(kernels => kernels.softmax(scores, scale, table));
}

/// Tokens whose scores are held at the same time: a tile, where that saves fetching keys.
pub const SCORED: usize = if cfg!(any(kernels = "dsp", target_arch = "x86_64")) { TILE } else { 1 };

/// The scores or probabilities of one head for each of [`SCORED`] tokens.
pub type Scores<N> = [Vector<<N as Network>::Tokens, i32>; SCORED];

/// Keys or values: a row of channels for each token.
pub type Rows<N> = Matrix<<N as Network>::Tokens, <N as Network>::Embed, i8>;

/// The inner loops. NUMERICS.md says what they compute; `tokens` is how many rows of a tile count, at least one. What a
/// processor has nothing special for is done by [`Portable`].
pub trait Kernels: Copy {
    /// For people.
    fn name(self) -> &'static str;

    /// LayerNorm of one row.
    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        Portable.layer_norm(x, norm, out);
    }

    /// Makes the rows of `x`, a multiple of 4 wide, ready for [`linear`](Self::linear) and [`scores`](Self::scores).
    fn widen(self, x: &mut Tile<'_>, tokens: usize);

    /// A linear layer: `out` has a row for each token.
    fn linear<R: Row, O: Output>(self, x: &Tile<'_>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]);

    /// The scores of one head for every key, of at most [`SCORED`] tokens, the first of which is a multiple of that.
    fn scores<N: Network>(
        self,
        query: &Tile<'_>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<N>,
        out: &mut Scores<N>,
    );

    /// Scores of one token and head into probabilities.
    #[inline(always)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        Portable.softmax(scores, scale, table);
    }

    /// The weighted sums of one head's values, for the same tokens as in [`scores`](Self::scores).
    #[inline(always)]
    fn context<N: Network>(
        self,
        probabilities: &Scores<N>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<N>,
        scale: Scale,
        out: &mut Tile<'_>,
    ) {
        Portable.context::<N>(probabilities, tokens, head, values, scale, out);
    }
}
