//! The peak speed of the processor, as a reference for measurements.

use pulp::{Arch, Simd};
use std::{array, hint::black_box};

/// Executes `rounds` rounds of independent vector multiply-adds in registers, as many as there are in a tile of a
/// matrix product. Returns the number of floating-point operations: a multiplication and an addition for each lane.
pub(crate) fn multiply_adds(rounds: usize) -> usize {
    on_this_processor(rounds)
}

#[pulp::with_simd(on_this_processor = Arch::new())]
#[inline(always)]
fn on_this_processor_with_simd<S: Simd>(simd: S, rounds: usize) -> usize {
    if S::REGISTER_COUNT >= 32 {
        side_by_side::<S, 24>(simd, rounds)
    } else {
        side_by_side::<S, 12>(simd, rounds)
    }
}

#[inline(always)]
fn side_by_side<S: Simd, const N: usize>(simd: S, rounds: usize) -> usize {
    let [x, y] = black_box([0.5, 1.0]).map(|number| simd.splat_f32s(number));
    let mut values: [S::f32s; N] = array::from_fn(|index| simd.splat_f32s(index as f32));
    for _ in 0..rounds {
        for value in &mut values {
            *value = simd.mul_add_e_f32s(*value, x, y);
        }
    }
    let total = values.into_iter().fold(x, |total, value| simd.add_f32s(total, value));
    black_box(simd.reduce_sum_f32s(total));
    2 * rounds * N * S::F32_LANES
}
