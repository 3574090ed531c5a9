//! The inner loops of the integer engine, with one module for each kind of processor. All give the same bits.
//!
//! | module | processor | `TILE` |
//! |---|---|---|
//! | `armv6m` | Cortex-M without long multiplication (M0, M23): few registers | 1 |
//! | `armv7m` | Cortex-M without the DSP extension (M3) | 2 |
//! | `armv7em` | Cortex-M with the DSP extension (M4, M7, M33) | 3 |
//! | `x86_64` | x86-64 with AVX2, and with AVX-512 VNNI if available; both are detected at run time | 3 |
//! | `other` | all others | 2 |
//!
//! The build script chooses the module, mostly by the target. Portable functions do everything that a module has no
//! faster code for. [`Portable`] consists of these functions only, and tests compare the others with it. The library's
//! unsafe code is in this folder and in `prefetch.rs`.
//!
//! Every module exports the following names: the number of tokens that go through a layer together (`TILE`), the number
//! of tokens whose scores are held at the same time (`SCORED`), the type that activations are widened to (`Wide`), the
//! type that tiles are aligned like (`Fetch`), the kernels (`Best`), and a macro that chooses them (`with_best`). To
//! add a processor, add a file with these names, a line for it below, and its name in the build script.

#![allow(unsafe_code)]

mod interface;
mod offset;
mod portable;
#[cfg_attr(kernels = "armv6m", path = "armv6m.rs")]
#[cfg_attr(kernels = "armv7m", path = "armv7m.rs")]
#[cfg_attr(kernels = "armv7em", path = "armv7em.rs")]
#[cfg_attr(kernels = "x86_64", path = "x86_64/mod.rs")]
#[cfg_attr(kernels = "other", path = "other.rs")]
mod processor;
mod tile;

use super::{requantize::Scale, softmax::ExpTable};
use interface::KernelsFor;

pub use processor::Best;
pub(crate) use processor::{with_best, Wide, SCORED, TILE};
pub(crate) use tile::Rows;

/// The memory of a tile of tokens, as this processor's kernels take it.
pub(crate) type TileMemory<R, W> = tile::TileMemory<R, W, processor::Fetch, TILE>;

/// The scores or probabilities of one head, for each of the tokens whose scores are held at the same time.
pub(crate) type Scores<N> = tile::Scores<N, SCORED>;

/// Kernels for this processor: [`Portable`] or [`Best`]. No type outside this crate can implement the trait.
pub trait Kernels: KernelsFor<Wide, TILE, SCORED> {}
impl<K: KernelsFor<Wide, TILE, SCORED>> Kernels for K {}

/// Kernels in plain Rust, which every processor has.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl KernelsFor<Wide, TILE, SCORED> for Portable {}

/// Returns the name of the kernels that [`int8::Model::infer`](crate::int8::Model::infer) uses.
pub fn name() -> &'static str {
    with_best!(kernels => kernels.name())
}

/// Turns scores into exponentials and returns their sum, with the kernels that an inference uses. This is public for
/// benchmarks.
pub fn exponentials(scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
    with_best!(kernels => kernels.exponentials(scores, scale, table))
}
