//! Loops over slices, a vector at a time. If the last vector is not full, its other lanes are zero and are not stored.

use pulp::Simd;
use std::array;

/// Sets `y = f(y, xs)`, element by element.
#[inline(always)]
pub(super) fn update<S: Simd, const N: usize>(
    simd: S,
    y: &mut [f32],
    xs: [&[f32]; N],
    f: impl Fn(S::f32s, [S::f32s; N]) -> S::f32s,
) {
    let (y, y_rest) = S::as_mut_simd_f32s(y);
    let (xs, x_rests): ([&[S::f32s]; N], [&[f32]; N]) = split::<S, N>(xs, y.len());
    for (index, y) in y.iter_mut().enumerate() {
        *y = f(*y, array::from_fn(|n| xs[n][index]));
    }
    if !y_rest.is_empty() {
        let rest = f(simd.partial_load_f32s(y_rest), x_rests.map(|x| simd.partial_load_f32s(x)));
        simd.partial_store_f32s(y_rest, rest);
    }
}

/// Returns the sum of `f(xs)` over all elements. `f` of zeros must be zero.
#[inline(always)]
pub(super) fn sum<S: Simd, const N: usize>(
    simd: S,
    xs: [&[f32]; N],
    f: impl Fn([S::f32s; N]) -> S::f32s,
) -> f32 {
    let len = S::as_simd_f32s(xs[0]).0.len();
    let (xs, rests): ([&[S::f32s]; N], [&[f32]; N]) = split::<S, N>(xs, len);
    let mut sum = simd.splat_f32s(0.0);
    for (index, _) in xs[0].iter().enumerate() {
        sum = simd.add_f32s(sum, f(array::from_fn(|n| xs[n][index])));
    }
    if !rests[0].is_empty() {
        sum = simd.add_f32s(sum, f(rests.map(|x| simd.partial_load_f32s(x))));
    }
    simd.reduce_sum_f32s(sum)
}

/// Returns the first `len` full vectors of each slice, and the rest of each. Because all of them are cut to `len`,
/// their bounds are checked here, and not in the loop.
#[inline(always)]
fn split<S: Simd, const N: usize>(xs: [&[f32]; N], len: usize) -> ([&[S::f32s]; N], [&[f32]; N]) {
    let split = xs.map(S::as_simd_f32s);
    (split.map(|(vectors, _)| &vectors[..len]), split.map(|(_, rest)| rest))
}
