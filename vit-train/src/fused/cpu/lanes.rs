//! Vectors with one image to a lane.
//!
//! In attention, every image has small matrices of its own, whose rows do not fill vectors. If each lane of a vector
//! holds a number of another image, vectors are full whatever the sizes of the matrices are, and nothing is ever added
//! up across lanes. Which image is in which lane depends on the processor's shuffles, but it is the same for all
//! vectors.

use pulp::Simd;
use std::array;

/// The number of images that go through the network together.
///
/// Attention keeps its weights in whole vectors, so this is a multiple of the number of lanes on every processor.
pub(crate) const CHUNK: usize = 16;
/// The number of values of each image that are loaded or stored at a time.
const BLOCK: usize = 4;

/// The part of each image's values that becomes a matrix of vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The number of values of an image.
    pub image_len: usize,
    /// The index, in an image, where the part's first row begins.
    pub first: usize,
    /// The distance from the start of one row to the start of the next.
    pub stride: usize,
    /// The number of rows of the part.
    pub rows: usize,
    /// The number of columns of the part.
    pub columns: usize,
}

impl Part {
    /// Returns the number of values of the part in an image.
    pub(crate) const fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Loads the part of the first `count` of `images` into `vectors`, row by row, with one image to a lane. `count` is
    /// at most the number of lanes.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(&self, simd: S, images: &[f32], count: usize, vectors: &mut [S::f32s]) {
        for (row, vectors) in vectors.chunks_exact_mut(self.columns).take(self.rows).enumerate() {
            // Lanes without an image repeat the last one, so that the loops need no branches.
            let from = |lane: usize| &images[self.start(lane.min(count - 1), row)..][..self.columns];
            let (blocks, rest) = vectors.as_chunks_mut::<BLOCK>();
            for (index, to) in blocks.iter_mut().enumerate() {
                *to = block(simd, |lane| from(lane)[index * BLOCK..][..BLOCK].try_into().unwrap_or_default());
            }
            if !rest.is_empty() {
                let first = self.columns - rest.len();
                let last =
                    |lane| array::from_fn(|column| from(lane).get(first + column).copied().unwrap_or(0.0));
                rest.copy_from_slice(&block(simd, last)[..rest.len()]);
            }
        }
    }

    /// Stores `vectors` as the part of the first `count` of `images`: the opposite of [`load`](Self::load).
    #[inline(always)]
    pub(crate) fn store<S: Simd>(&self, simd: S, vectors: &[S::f32s], count: usize, images: &mut [f32]) {
        for (row, vectors) in vectors.chunks_exact(self.columns).take(self.rows).enumerate() {
            let (blocks, rest) = vectors.as_chunks::<BLOCK>();
            for (index, &block) in blocks.iter().enumerate() {
                let block = simd.interleave_shfl_f32s(block);
                let numbers = bytemuck::cast_slice::<S::f32s, [f32; BLOCK]>(&block);
                for (lane, numbers) in numbers.iter().take(count).enumerate() {
                    images[self.start(lane, row) + index * BLOCK..][..BLOCK].copy_from_slice(numbers);
                }
            }
            if !rest.is_empty() {
                let zero = simd.splat_f32s(0.0);
                let block = array::from_fn(|column| rest.get(column).copied().unwrap_or(zero));
                let block: [S::f32s; BLOCK] = simd.interleave_shfl_f32s(block);
                let numbers = bytemuck::cast_slice::<S::f32s, [f32; BLOCK]>(&block);
                for (lane, numbers) in numbers.iter().take(count).enumerate() {
                    let first = self.start(lane, row) + self.columns - rest.len();
                    images[first..][..rest.len()].copy_from_slice(&numbers[..rest.len()]);
                }
            }
        }
    }

    /// Returns the index where row `row` of image `image` begins.
    #[inline(always)]
    fn start(&self, image: usize, row: usize) -> usize {
        image * self.image_len + self.first + row * self.stride
    }
}

/// Returns vectors with the first, second ... of the numbers of every lane.
#[inline(always)]
fn block<S: Simd>(simd: S, numbers: impl Fn(usize) -> [f32; BLOCK]) -> [S::f32s; BLOCK] {
    let mut block = [simd.splat_f32s(0.0); BLOCK];
    let lanes = bytemuck::cast_slice_mut::<S::f32s, [f32; BLOCK]>(&mut block);
    lanes.iter_mut().enumerate().for_each(|(lane, to)| *to = numbers(lane));
    simd.deinterleave_shfl_f32s(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::{cpu::on_each_instruction_set, tests::numbers};

    #[test]
    fn what_goes_to_lanes_comes_back_from_them() {
        for (rows, columns) in [(1, 1), (3, 4), (2, 7), (5, 24), (1, 289)] {
            let (first, stride) = (3, columns + 2);
            let part = Part { image_len: first + rows * stride + 1, first, stride, rows, columns };
            on_each_instruction_set!(simd => {
                round_trip(simd, part);
            });
        }
    }

    fn round_trip<S: Simd>(simd: S, part: Part) {
        for count in 1..=S::F32_LANES {
            let images = numbers(count * part.image_len, 1);
            let mut vectors = vec![simd.splat_f32s(f32::NAN); part.rows * part.columns];
            part.load(simd, &images, count, &mut vectors);
            // Each vector has the numbers of its row and column, in any order. Lanes beyond the images repeat the last
            // one.
            for (index, vector) in vectors.iter().enumerate() {
                let (row, column) = (index / part.columns, index % part.columns);
                let mut found = bytemuck::cast_slice::<_, f32>(std::slice::from_ref(vector)).to_vec();
                let number = |image| images[part.start(image, row) + column];
                let mut expected: Vec<f32> =
                    (0..S::F32_LANES).map(|lane| number(lane.min(count - 1))).collect();
                found.sort_by(f32::total_cmp);
                expected.sort_by(f32::total_cmp);
                assert_eq!(found, expected, "row {row}, column {column} of {count} images");
            }
            let mut back = vec![7.0; images.len()];
            part.store(simd, &vectors, count, &mut back);
            for (at, (&back, &number)) in back.iter().zip(&images).enumerate() {
                let within = at % part.image_len;
                let (row, column) = (
                    within.wrapping_sub(part.first) / part.stride,
                    within.wrapping_sub(part.first) % part.stride,
                );
                let is_part = within >= part.first && row < part.rows && column < part.columns;
                assert_eq!(back, if is_part { number } else { 7.0 }, "number {at} of {count} images");
            }
        }
    }
}
