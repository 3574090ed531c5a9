//! Linear layers of a few tokens at a time.
//!
//! 1. Naive: a token's outputs are sums in memory, to which every input adds its row of weights. Each product costs two
//!    loads and a store, and the weights are read again for every token.
//! 2. Sums of a tile, [`TILE`] tokens by [`OUTPUTS`] outputs, stay in registers while all inputs pass by, and a weight
//!    that was read serves all tokens of the tile. Every sum still runs over the inputs upwards: the bits are the same.

use crate::shape::Array;

/// Tokens that go through a layer together.
pub const TILE: usize = 4;
/// Outputs whose sums are in registers: 8 vectors of AVX, or half of the registers of a Cortex-M4's floating-point unit.
const OUTPUTS: usize = if cfg!(target_arch = "x86_64") { 16 } else { 4 };

/// `out[t][j] = bias[j] + sum over k of x[t][k] * weight[k][j]`, k upwards.
#[inline(always)]
pub fn linear<I: Array<f32>, O: Array<f32>, W: Array<O>, const T: usize>(
    x: &[I; T],
    weight: &W,
    bias: &O,
    out: &mut [O; T],
) {
    for first in (0..O::LEN / OUTPUTS * OUTPUTS).step_by(OUTPUTS) {
        outputs::<I, O, W, T, OUTPUTS>(x, weight, bias, out, first);
    }
    for first in O::LEN / OUTPUTS * OUTPUTS..O::LEN {
        outputs::<I, O, W, T, 1>(x, weight, bias, out, first);
    }
}

/// The outputs `first .. first + J`.
#[inline(always)]
fn outputs<I: Array<f32>, O: Array<f32>, W: Array<O>, const T: usize, const J: usize>(
    x: &[I; T],
    weight: &W,
    bias: &O,
    out: &mut [O; T],
    first: usize,
) {
    let Some(bias) = part::<J>(bias.as_ref(), first) else { return };
    let mut sums = [*bias; T];
    for (k, row) in weight.as_ref().iter().enumerate() {
        let Some(row) = part::<J>(row.as_ref(), first) else { return };
        for (sums, x) in sums.iter_mut().zip(x) {
            let Some(x) = x.as_ref().get(k) else { return };
            sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        let out = out.as_mut().iter_mut().skip(first);
        out.zip(sums).for_each(|(out, sum)| *out = *sum);
    }
}

/// `J` values from `first` on; nothing where there are fewer, which does not happen here.
#[inline(always)]
fn part<const J: usize>(values: &[f32], first: usize) -> Option<&[f32; J]> {
    values.get(first..)?.first_chunk()
}
