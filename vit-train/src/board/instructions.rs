//! The number of instructions of an inference on a chip, as a function of the network's dimensions.
//!
//! The products of the linear layers, which are most of the work, are counted in the assembly of the kernels. The costs
//! of everything else were fitted to the instructions that the emulator counts for the networks of many
//! shapes in `tests/networks`: `cargo run --release -p vit-tests --bin fit-instructions` repeats this and prints the costs.

use super::{
    core::Kernels,
    memory::{patch_row, stem_row, Lengths},
};
use vit_nostd::{Dims, Windows};

/// The parts of an inference whose costs are fitted.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// A call of a linear layer.
    Call,
    /// A group of four activations that are widened.
    Widened,
    /// A pair of outputs of one token.
    Outputs1,
    /// A pair of outputs of two tokens.
    Outputs2,
    /// A row of a window that is gathered.
    Line,
    /// A value of such a row.
    Gathered,
    /// A value of such a row that has padding.
    Padded,
    /// A value that is copied or set to zero.
    Copied,
    /// A value of a LayerNorm.
    Normed,
    /// A row of a LayerNorm.
    Norm,
    /// A pair of scores of one token.
    Scores1,
    /// A pair of scores of two tokens.
    Scores2,
    /// A pair of scores of three tokens.
    Scores3,
    /// A score of a softmax.
    Exponential,
    /// A row of a softmax.
    Softmax,
    /// A group of four values that attention weights and adds.
    Weighted,
    /// A turn of the loop over the values.
    Turn,
    /// A group of four results of attention.
    Context,
    /// A value of a GELU.
    Gelu,
    /// A product of the classifier.
    Logit,
}

impl Part {
    /// All parts, in the order of their declaration.
    pub const ALL: [Self; 20] = [
        Self::Call,
        Self::Widened,
        Self::Outputs1,
        Self::Outputs2,
        Self::Line,
        Self::Gathered,
        Self::Padded,
        Self::Copied,
        Self::Normed,
        Self::Norm,
        Self::Scores1,
        Self::Scores2,
        Self::Scores3,
        Self::Exponential,
        Self::Softmax,
        Self::Weighted,
        Self::Turn,
        Self::Context,
        Self::Gelu,
        Self::Logit,
    ];
}

/// The number of [`Part`]s.
const PARTS: usize = Part::ALL.len();

/// The fitted costs of all parts, in instructions. A part that always comes with another one may have no cost.
const COSTS: [(Kernels, [f64; PARTS]); 3] = [
    (
        Kernels::Armv6m,
        [
            0.0, 0.0, 120.7, 0.0, 108.2, 0.5, 17.4, 0.2, 43.1, 1504.7, 0.0, 0.0, 0.0, 38.3, 491.8, 27.0, 0.3,
            0.0, 0.0, 5.5,
        ],
    ),
    (
        Kernels::Armv7m,
        [
            0.0, 0.0, 125.5, 124.8, 61.0, 3.4, 7.6, 0.9, 13.8, 448.7, 15.1, 0.0, 0.0, 0.0, 314.8, 24.2, 1.2,
            0.0, 0.0, 3.7,
        ],
    ),
    (
        Kernels::Dsp,
        [
            0.0, 7.2, 0.0, 0.0, 64.3, 6.2, 5.9, 15.5, 0.0, 425.4, 22.7, 51.2, 0.0, 24.6, 37.3, 9.5, 1.9,
            309.9, 3.9, 3.9,
        ],
    ),
];

/// The largest number of turns that the compiler makes one of, in loops over the tokens.
const UNROLLED: usize = 8;

/// The work of an inference.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// The instructions that are counted in the assembly of the kernels.
    pub counted: f64,
    /// The number of times that each part occurs.
    pub parts: [f64; PARTS],
}

/// Returns the number of instructions of an inference of the integer engine.
///
/// For networks whose heads have a multiple of 4 channels, it is within 5 % of what the emulator counts. Other networks
/// take more, because the kernels compute four channels at a time.
pub fn instructions(dims: &Dims, kernels: Kernels) -> u64 {
    let Work { counted, parts } = Work::of(dims, kernels);
    let costs = COSTS.iter().find(|(of, _)| *of == kernels).map_or([0.0; PARTS], |(_, costs)| *costs);
    (counted + parts.iter().zip(costs).map(|(count, cost)| count * cost).sum::<f64>()) as u64
}

impl Work {
    /// Returns the work of an inference of a network.
    pub fn of(dims: &Dims, kernels: Kernels) -> Self {
        let mut work = Self::default();
        let Lengths { tokens, embed, hidden, .. } = Lengths::of(dims);
        work.tokenizer(kernels, dims);
        let depth = usize::from(dims.depth);
        work.add(Part::Copied, (1 + depth) * tokens * embed);
        for block in 1..=depth {
            // Only the class token is needed after the last block.
            let queries = if block == depth { 1 } else { tokens };
            let normed = tokens + 2 * queries;
            work.add(Part::Normed, normed * embed);
            work.add(Part::Norm, normed);
            work.widen(kernels, embed, tokens);
            work.linear(kernels, embed, embed, tokens, Output::Activation);
            work.linear(kernels, embed, embed, tokens, Output::Activation);
            work.widen(kernels, embed, queries);
            work.linear(kernels, embed, embed, queries, Output::Activation);
            work.attention(kernels, dims, queries);
            work.widen(kernels, embed, queries);
            work.linear(kernels, embed, embed, queries, Output::Stream);
            work.widen(kernels, embed, queries);
            work.linear(kernels, embed, hidden, queries, Output::Activation);
            work.add(Part::Gelu, queries * hidden);
            work.widen(kernels, hidden, queries);
            work.linear(kernels, hidden, embed, queries, Output::Stream);
        }
        work.add(Part::Logit, usize::from(dims.classes) * embed);
        work
    }

    /// Adds what turns the image into tokens.
    fn tokenizer(&mut self, kernels: Kernels, dims: &Dims) {
        let patches = dims.patches();
        let embed = usize::from(dims.embed);
        if let Some(stem) = dims.stem_windows() {
            // Tiles do not reach from one row to the next, neither in the map nor among the tokens. Those rows of the map
            // that no patch needs are not computed.
            let is_needed = |y: &usize| {
                let of_patch = |row| (row * patches.stride[0]..).take(patches.kernel[0]);
                (0..patches.rows()).any(|row| of_patch(row).any(|line| line == y + patches.padding))
            };
            let rows: Vec<usize> = (0..patches.height).filter(is_needed).collect();
            let (width, channels) = (patches.width, dims.stem_channels());
            self.gather(&stem, rows.iter().copied());
            self.widen(kernels, stem_row(dims), rows.len() * width);
            self.add(Part::Gelu, rows.len() * width * channels);
            for _ in rows {
                self.linear(kernels, stem_row(dims), channels, width, Output::Activation);
            }
            for _ in 0..patches.rows() {
                self.linear(kernels, patch_row(dims), embed, patches.columns(), Output::Stream);
            }
        } else {
            self.linear(kernels, patch_row(dims), embed, usize::from(dims.tokens) - 1, Output::Stream);
        }
        self.gather(&patches, 0..patches.rows());
        self.widen(kernels, patch_row(dims), usize::from(dims.tokens) - 1);
    }

    /// Adds the gathering of all windows in these rows of windows.
    fn gather(&mut self, windows: &Windows, rows: impl Iterator<Item = usize>) {
        let &Windows { height, width, channels, kernel, stride, padding } = windows;
        let columns = windows.columns();
        let is_inside = |column: &usize| {
            column * stride[1] >= padding && column * stride[1] + kernel[1] <= width + padding
        };
        let inside = (0..columns).filter(is_inside).count();
        let values = kernel[1] * channels;
        for line in rows.flat_map(|row| (row * stride[0]..).take(kernel[0])) {
            let is_row = line >= padding && line < height + padding;
            self.add(Part::Line, columns);
            self.add(Part::Gathered, if is_row { columns * values } else { 0 });
            self.add(Part::Padded, if is_row { columns - inside } else { columns } * values);
        }
    }

    /// Adds a linear layer for a number of tokens.
    fn linear(&mut self, kernels: Kernels, inputs: usize, outputs: usize, tokens: usize, output: Output) {
        let groups = (inputs / 4) as f64;
        for (count, tiles) in tiles(tokens, kernels) {
            let pairs = tiles * outputs / 2;
            self.add(Part::Call, tiles);
            self.counted += pairs as f64
                * match kernels {
                    Kernels::Armv6m | Kernels::Armv7m => 34.0 * groups,
                    Kernels::Dsp => {
                        let put = if output == Output::Activation { 12.0 } else { 16.0 };
                        // Three instructions of the loop are for four groups.
                        (6.75 + 5.0 * count as f64) * groups + 21.0 + put * count as f64
                    }
                };
            match (kernels, count) {
                (Kernels::Dsp, _) => (),
                (_, 1) => self.add(Part::Outputs1, pairs),
                _ => self.add(Part::Outputs2, pairs),
            }
        }
    }

    fn widen(&mut self, kernels: Kernels, width: usize, tokens: usize) {
        if kernels.widen() {
            self.add(Part::Widened, tokens * width / 4);
        }
    }

    fn attention(&mut self, kernels: Kernels, dims: &Dims, queries: usize) {
        let Lengths { tokens, embed, .. } = Lengths::of(dims);
        let (heads, head_dim) = (usize::from(dims.heads), usize::from(dims.head_dim));
        self.widen(kernels, embed, queries);
        let groups = head_dim.div_ceil(4);
        for (count, tiles) in tiles(queries, kernels) {
            let pairs = tiles * heads * tokens.div_ceil(2);
            let part = match (kernels, count) {
                (Kernels::Armv7m, _) => continue,
                (_, 1) => Part::Scores1,
                (_, 2) => Part::Scores2,
                _ => Part::Scores3,
            };
            self.add(part, pairs);
            let group = if kernels == Kernels::Dsp { 9.0 + 5.0 * count as f64 } else { 34.0 };
            self.counted += group * (pairs * groups) as f64;
        }
        let scores = queries * heads * tokens;
        if kernels == Kernels::Armv7m {
            self.add(Part::Scores1, scores);
        }
        self.add(Part::Exponential, scores);
        self.add(Part::Softmax, queries * heads);
        self.add(Part::Weighted, scores * groups);
        let unrolled = (1..=UNROLLED).rev().find(|turns| tokens.is_multiple_of(*turns)).unwrap_or(1);
        self.add(Part::Turn, scores * groups / unrolled);
        self.add(Part::Context, queries * heads * groups);
    }

    fn add(&mut self, part: Part, count: usize) {
        self.parts[part as usize] += count as f64;
    }
}

/// The place of a layer's results.
#[derive(Clone, Copy, PartialEq)]
enum Output {
    /// Activations, which are replaced.
    Activation,
    /// The residual stream, to which they are added.
    Stream,
}

/// Returns the numbers of tokens in the tiles that `tokens` tokens are divided into, and how many such tiles there are.
fn tiles(tokens: usize, kernels: Kernels) -> impl Iterator<Item = (usize, usize)> {
    let tile = kernels.tile();
    [(tile, tokens / tile), (tokens % tile, 1)].into_iter().filter(|(count, tiles)| *count > 0 && *tiles > 0)
}
