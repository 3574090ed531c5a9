//! The inner loops of the integer engine, one module for each kind of processor: the same bits from all.
//!
//! | module | processor | tokens in parallel |
//! |---|---|---|
//! | `armv6m` | Cortex-M without long multiplication (M0, M23): few registers | 1 |
//! | `armv7m` | Cortex-M without the DSP extension (M3) | 2 |
//! | `armv7em` | Cortex-M with the DSP extension (M4, M7, M33) | 3 |
//! | `x86_64` | x86-64: with AVX2, and AVX-512 VNNI if it has it, both looked for at run time | 3 |
//! | `other` | any other | 2 |
//!
//! The build script names the module, mostly by the target. What a processor has no better code for is done by portable
//! functions, and [`Portable`] does nothing else: it is the oracle of the others. Unsafe code stands in this folder, and in
//! `prefetch.rs`.
//!
//! A module exports under the same names how many tokens go through a layer together (`TILE`), and how many tokens' scores are
//! held at the same time (`SCORED`), the type that activations are widened to (`Wide`), the type that is fetched at once
//! (`Fetch`), the kernels (`Best`), and a macro that chooses them (`with_best`). A new processor is a file with these, its
//! line below, and its name in the build script.

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

/// Kernels for this processor: [`Portable`] or [`Best`]. No other type can implement it.
pub trait Kernels: KernelsFor<Wide, TILE, SCORED> {}
impl<K: KernelsFor<Wide, TILE, SCORED>> Kernels for K {}

/// Kernels in plain Rust, which every processor has.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl KernelsFor<Wide, TILE, SCORED> for Portable {}

/// The name of the kernels that [`int8::Model::infer`](crate::int8::Model::infer) uses.
pub fn name() -> &'static str {
    with_best!(kernels => kernels.name())
}

/// Turns scores into probabilities as an inference does it: to measure how long that takes.
pub fn softmax(scores: &mut [i32], scale: Scale, table: &ExpTable) {
    with_best!(kernels => kernels.softmax(scores, scale, table));
}
