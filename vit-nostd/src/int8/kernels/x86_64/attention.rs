//! The attention of one head: scores, exponentials, and weighted sums of values.

use super::{
    super::{
        portable,
        tile::{Rows, Scores, Tile},
    },
    products::{multiply_add, products, Vectors, Wide, Widened, PAIR, SLOTS, TILE, WIDE_LANES},
    requantize::{requantize, Scales, EIGHT},
};
use crate::{
    int8::{
        requantize::{sat8, Scale, Whole},
        softmax::{exponential, ExpTable},
    },
    network::Network,
    shape::{Element, Vector},
};
use bytemuck::cast;
use core::{
    arch::x86_64::{
        _mm256_cvtepi8_epi16, _mm256_min_epi32, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sub_epi32,
        _mm_set1_epi64x, _mm_unpacklo_epi8,
    },
    ops::Range,
};

/// The number of tokens whose scores are held at the same time: a whole tile, so that each key is loaded once per tile.
pub(crate) const SCORED: usize = TILE;

/// Computes the scores of one head for every key, for a range of tokens.
#[target_feature(enable = "avx2")]
pub(super) fn scores<N: Network>(
    query: &Tile<'_, Wide>,
    tokens: Range<usize>,
    head: usize,
    keys: &Rows<N>,
    out: &mut Scores<N, SCORED>,
) {
    // The head's channels are extended to whole vectors. The query is padded with zeros, which cancel the channels of
    // other heads in the keys.
    let width = N::HEAD_DIM.next_multiple_of(WIDE_LANES).min(N::EMBED);
    let channel = head * N::HEAD_DIM;
    let begin = channel.min(N::EMBED - width);
    let mut queries = [Vector::<N::Embed, i16>::ZERO; SLOTS];
    for (padded, token) in queries.iter_mut().zip(tokens) {
        let channel_of_token = token * N::EMBED + channel;
        let query = query.wide.get(channel_of_token..channel_of_token + N::HEAD_DIM).unwrap_or_default();
        let padded = padded.as_mut().get_mut(channel - begin..).unwrap_or_default();
        padded.iter_mut().zip(query).for_each(|(padded, &value)| *padded = value);
    }
    let queries = Vectors::of(windows(&queries, 0, width), width);
    for first in (0..N::TOKENS).step_by(PAIR) {
        // If the number of keys is odd, the last pair computes the last key but one a second time.
        let first = first.min(N::TOKENS - PAIR);
        let Some(pair) = keys.as_ref().get(first..).and_then(|keys| keys.first_chunk()) else { return };
        let pair = Vectors::of(windows::<_, _, PAIR>(pair, begin, width), width);
        // SAFETY: this function is compiled for AVX2, and called only on processors that have it. The instructions of
        // `Widened` belong to AVX2.
        let values: [[i32; PAIR]; SLOTS] = cast(unsafe { products::<Widened, SLOTS, _>(&queries, &pair) });
        for (scores, values) in out.iter_mut().zip(values) {
            if let Some(scores) = scores.as_mut().get_mut(first..first + PAIR) {
                scores.copy_from_slice(&values);
            }
        }
    }
}

/// Does the same as [`int8::softmax::exponentials`](crate::int8::softmax::exponentials), for eight scores at a time.
#[target_feature(enable = "avx2")]
pub(super) fn exponentials(scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
    let max = scores.iter().copied().fold(i32::MIN, i32::max);
    let mut sum = 0;
    let (eights, rest) = scores.as_chunks_mut::<EIGHT>();
    let scales = Scales::all(scale);
    for eight in eights {
        let steps = requantize(_mm256_sub_epi32(_mm256_set1_epi32(max), cast(*eight)), scales);
        // The lower bound of 0 needs no clamp, because steps are not negative.
        let steps = _mm256_min_epi32(steps, _mm256_set1_epi32(255));
        let steps: [i32; EIGHT] = cast(steps);
        for (score, step) in eight.iter_mut().zip(steps) {
            *score = i32::from(table[usize::from(step as u8)]);
            sum += *score as u32;
        }
    }
    for score in rest {
        *score = i32::from(exponential::<Whole>(max - *score, scale, table));
        sum += *score as u32;
    }
    sum
}

/// Computes the weighted sums of one head's values, for a range of tokens.
#[target_feature(enable = "avx2")]
pub(super) fn context<N: Network>(
    exponentials: &Scores<N, SCORED>,
    tokens: Range<usize>,
    head: usize,
    values: &Rows<N>,
    scales: &[Scale; SCORED],
    out: &mut Tile<'_, Wide>,
) {
    if N::HEAD_DIM < EIGHT {
        return portable::context::<N, _, Whole, SCORED>(exponentials, tokens, head, values, scales, out);
    }
    for channel in (0..N::HEAD_DIM).step_by(EIGHT) {
        // If HEAD_DIM is not a multiple of EIGHT, the last step computes some channels a second time.
        let channel = head * N::HEAD_DIM + channel.min(N::HEAD_DIM - EIGHT);
        let mut sums = [_mm256_setzero_si256(); SLOTS];
        for (pair, values) in values.as_ref().chunks(PAIR).enumerate() {
            let (first, second) = (eight(values.first(), channel), eight(values.get(1), channel));
            // The two rows, interleaved: a channel of the first row, the same channel of the second row, and so on.
            let both = _mm_unpacklo_epi8(_mm_set1_epi64x(first), _mm_set1_epi64x(second));
            let both = _mm256_cvtepi8_epi16(both);
            for (sum, exponentials) in sums.iter_mut().zip(exponentials) {
                let pair = two(exponentials.as_ref(), PAIR * pair);
                *sum = multiply_add(*sum, _mm256_set1_epi32(pair), both);
            }
        }
        for (token, (sum, &scale)) in tokens.clone().zip(sums.into_iter().zip(scales)) {
            let context = out.row_mut(token).get_mut(channel..channel + EIGHT).unwrap_or_default();
            for (out, value) in
                context.iter_mut().zip(cast::<_, [i32; EIGHT]>(requantize(sum, Scales::all(scale))))
            {
                *out = sat8(value);
            }
        }
    }
}

// These are functions because closures inside a function with `target_feature` are not inlined into their callers.

/// Returns `width` values of each row, from `begin` on. Rows that are too short become empty.
#[inline(always)]
fn windows<T, R: AsRef<[T]>, const ROWS: usize>(
    rows: &[R; ROWS],
    begin: usize,
    width: usize,
) -> [&[T]; ROWS] {
    let mut windows = [&[][..]; ROWS];
    for (window, row) in windows.iter_mut().zip(rows) {
        *window = row.as_ref().get(begin..begin + width).unwrap_or_default();
    }
    windows
}

/// Returns eight channels of a row, or zeros if there is no row.
#[inline(always)]
fn eight(row: Option<&impl AsRef<[i8]>>, channel: usize) -> i64 {
    let Some(channels) = row.and_then(|row| row.as_ref().get(channel..)?.first_chunk::<EIGHT>()) else {
        return 0;
    };
    i64::from_le_bytes(cast(*channels))
}

/// Returns two exponentials in 16 bits each. The second is zero if there is only one.
#[inline(always)]
fn two(exponentials: &[i32], first: usize) -> i32 {
    match exponentials.get(first..) {
        Some(&[a, b, ..]) => a | b << 16,
        Some(&[a]) => a,
        _ => 0,
    }
}
