//! Kernels for every processor without a module of its own: the portable functions.

use super::interface::KernelsFor;

pub(crate) use super::interface::always_best as with_best;

/// The number of tokens that go through a layer together.
pub(crate) const TILE: usize = 2;

/// The number of tokens whose scores are held at the same time.
pub(crate) const SCORED: usize = 1;

/// The type that activations are widened to before multiplication. It has size zero: the portable functions do not
/// widen.
pub(crate) type Wide = [i16; 0];

/// The type that tiles are aligned like: the largest unit that the kernels load at once.
pub(super) type Fetch = u32;

/// The portable kernels.
#[derive(Clone, Copy, Debug)]
pub struct Best;

impl KernelsFor<Wide, TILE, SCORED> for Best {}
