//! Folding: work on activations that is moved into the parameters before a pass, and whose gradients are moved back
//! after it.
//!
//! Some operations on every token of every image can be done once on the parameters instead:
//!
//! | in the network | folded into |
//! |---|---|
//! | LayerNorm's scale `g` and shift `c` | the next layer: `W' = W diag(g)`, `b' = b + W c` |
//! | attention's `1 / sqrt(HEAD_DIM)` | the queries' weights and biases |
//! | class token, patch bias and positions | one bias row per token of the embedding |
//!
//! The chain rule turns the gradients of `W'` and `b'` into those of everything that was folded into them:
//! `dW = dW' diag(g) + db' c^T`, `dg[j] = sum_i dW'[i][j] W[i][j]`, `dc = W^T db'`, `db = db'`.
//!
//! Folded parameters have the layout of the unfolded ones: `W'` is where `W` was, and so on. The bias rows of the
//! embedding are where the positions were. Gradients with respect to folded parameters have the same layout.

use super::{
    buffer::Layer,
    cpu::rows,
    network::{Block, Layers, Sizes},
};
use crate::network::{dimensions::Dimensions, names, parameters::Layout};
use dfdx::shapes::ConstDim;
use rayon::prelude::*;
use std::ops::Range;

/// The position of a linear layer among the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The range of the `outputs x inputs` weights.
    pub weight: Range<usize>,
    /// The range of the biases: one row, or, for the embedding, one row per token.
    pub bias: Range<usize>,
    /// The width of the input.
    pub inputs: usize,
    /// The width of the output.
    pub outputs: usize,
}

/// The positions, among all parameters, of those that are folded.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    sizes: Sizes,
    layout: Layout,
    /// The range of all encoder blocks, which are equally long.
    blocks: Range<usize>,
    /// The two LayerNorms of a block, with ranges relative to the start of the block.
    norms: [Norm; 2],
    /// The weights and biases of the queries, relative to the start of the block.
    query: [Range<usize>; 2],
    head: Norm,
}

/// The positions of a LayerNorm and of the linear layer after it.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// The range of the LayerNorm's scale.
    pub scale: Range<usize>,
    /// The range of the LayerNorm's shift.
    pub shift: Range<usize>,
    /// The range of the layer's `outputs x inputs` weights.
    pub weight: Range<usize>,
    /// The range of the layer's biases.
    pub bias: Range<usize>,
}

impl Fold {
    /// Finds the positions in a network of these sizes whose parameters are laid out as `layout` says.
    pub(crate) fn new(sizes: Sizes, layout: Layout) -> Self {
        let in_first = |part| names::in_block(0, part);
        let start_of = |layer: &str| range(&layout, &names::weight(layer)).start;
        let blocks = start_of(&in_first(names::NORM1))..start_of(names::NORM);
        let norm = |norm: &str, layer: &str, start: usize| {
            let within = |name: String| {
                let range = range(&layout, &name);
                range.start - start..range.end - start
            };
            Norm {
                scale: within(names::weight(norm)),
                shift: within(names::bias(norm)),
                weight: within(names::weight(layer)),
                bias: within(names::bias(layer)),
            }
        };
        let norms = [
            norm(&in_first(names::NORM1), &in_first(names::IN_PROJ), blocks.start),
            norm(&in_first(names::NORM2), &in_first(names::HIDDEN), blocks.start),
        ];
        let first = |range: &Range<usize>, len| range.start..range.start + len;
        let query = [first(&norms[0].weight, sizes.embed * sizes.embed), first(&norms[0].bias, sizes.embed)];
        let head = norm(names::NORM, names::HEAD, 0);
        Self { sizes, layout, blocks, norms, query, head }
    }

    /// Returns the positions of all linear layers after folding. `D` must be the dimensions of the network.
    pub(crate) fn places<D: Dimensions>(&self) -> Layers<D, Place> {
        let (embed, depth) = (self.sizes.embed, self.sizes.depth);
        let block = |index| {
            let [weight, bias] = self.ranges(&names::in_block(index, names::IN_PROJ));
            let (keys, key_bias) = (weight.start + embed * embed, bias.start + embed);
            Block {
                query: layer(weight.start..keys, bias.start..key_bias),
                key_value: layer(keys..weight.end, key_bias..bias.end),
                out: self.layer(&names::in_block(index, names::OUT_PROJ)),
                hidden: self.layer(&names::in_block(index, names::HIDDEN)),
                mlp: self.layer(&names::in_block(index, names::MLP)),
            }
        };
        let [_, _, positions] = self.embedding();
        let [patches, _] = self.ranges(names::patch_embed(self.sizes.convolutions));
        Layers {
            stem: D::STEM_WINDOWS.map(|_| self.layer(names::STEM)),
            embedding: layer(patches, positions),
            blocks: (0..depth).map(block).collect(),
            head: self.layer(names::HEAD),
        }
    }

    fn layer<I: ConstDim, O: ConstDim>(&self, name: &str) -> Layer<Place, I, O> {
        let [weight, bias] = self.ranges(name);
        layer(weight, bias)
    }

    /// Returns the ranges of a layer's weights and biases.
    fn ranges(&self, layer: &str) -> [Range<usize>; 2] {
        [names::weight(layer), names::bias(layer)].map(|name| range(&self.layout, &name))
    }

    /// Folds `parameters` into `folded`, which has the same length and layout.
    pub(crate) fn fold(&self, parameters: &[f32], folded: &mut [f32]) {
        let Range { start, end } = self.blocks;
        let outside = [0..start, end..parameters.len()];
        outside.into_iter().for_each(|range| folded[range.clone()].copy_from_slice(&parameters[range]));
        let [class_token, patch_bias, positions] = self.embedding();
        for (token, row) in folded[positions].chunks_exact_mut(self.sizes.embed).enumerate() {
            let extra = if token == 0 { &class_token } else { &patch_bias };
            row.iter_mut().zip(&parameters[extra.clone()]).for_each(|(x, extra)| *x += extra);
        }
        self.head.fold(folded);
        let (of_blocks, len) = (&parameters[self.blocks.clone()], self.block_len());
        let blocks = folded[self.blocks.clone()].par_chunks_exact_mut(len);
        blocks.zip(of_blocks.par_chunks_exact(len)).for_each(|(folded, parameters)| {
            folded.copy_from_slice(parameters);
            self.norms.iter().for_each(|norm| norm.fold(folded));
            self.scale_query(folded);
        });
    }

    /// Turns `gradients` with respect to folded parameters into gradients with respect to the unfolded ones, whose
    /// values are `values`.
    pub(crate) fn unfold(&self, values: &[f32], gradients: &mut [f32]) {
        let [class_token, patch_bias, positions] =
            gradients.get_disjoint_mut(self.embedding()).expect("parameters do not overlap");
        let (first, others) = positions.split_at(self.sizes.embed);
        class_token.copy_from_slice(first);
        patch_bias.fill(0.0);
        rows::add_rows(patch_bias, others, self.sizes.embed);
        let (values_of_blocks, len) = (&values[self.blocks.clone()], self.block_len());
        let blocks = gradients[self.blocks.clone()].par_chunks_exact_mut(len);
        blocks.zip(values_of_blocks.par_chunks_exact(len)).for_each(|(gradients, values)| {
            self.scale_query(gradients);
            self.norms.iter().for_each(|norm| norm.unfold(values, gradients));
        });
        self.head.unfold(values, gradients);
    }

    /// Returns every LayerNorm, with ranges among all parameters, and the number of queries among the outputs of the
    /// layer after it. The queries are its first outputs.
    pub(crate) fn norms(&self) -> impl Iterator<Item = (Norm, usize)> + '_ {
        let blocks = self.blocks.clone().step_by(self.block_len());
        let within = |norm: &Norm, start: usize| {
            let at = |range: &Range<usize>| range.start + start..range.end + start;
            Norm {
                scale: at(&norm.scale),
                shift: at(&norm.shift),
                weight: at(&norm.weight),
                bias: at(&norm.bias),
            }
        };
        let [first, second] = &self.norms;
        let blocks = blocks
            .flat_map(move |start| [(within(first, start), self.sizes.embed), (within(second, start), 0)]);
        blocks.chain([(self.head.clone(), 0)])
    }

    /// Returns the factor of the queries, `1 / sqrt(HEAD_DIM)`.
    pub(crate) fn query_scale(&self) -> f32 {
        let head_dim = (self.sizes.embed / self.sizes.heads) as f64;
        (1.0 / head_dim.sqrt()) as f32
    }

    /// Returns the ranges of the class token, the bias of the patches, and the positions.
    pub(crate) fn embedding(&self) -> [Range<usize>; 3] {
        let [_, patch_bias] = self.ranges(names::patch_embed(self.sizes.convolutions));
        [range(&self.layout, names::CLS_TOKEN), patch_bias, range(&self.layout, names::POS_EMBED)]
    }

    fn block_len(&self) -> usize {
        self.blocks.len() / self.sizes.depth
    }

    fn scale_query(&self, block: &mut [f32]) {
        let scale = self.query_scale();
        self.query.iter().for_each(|range| block[range.clone()].iter_mut().for_each(|x| *x *= scale));
    }
}

impl Norm {
    fn fold(&self, values: &mut [f32]) {
        let [scale, shift, weights, biases] = self.parts(values);
        rows::fold(scale, shift, weights, biases);
    }

    fn unfold(&self, values: &[f32], gradients: &mut [f32]) {
        let [d_scale, d_shift, d_weights, d_biases] = self.parts(gradients);
        let [scale, shift, weights] =
            [&self.scale, &self.shift, &self.weight].map(|range| &values[range.clone()]);
        rows::unfold([scale, shift, weights], d_biases, d_weights, [d_scale, d_shift]);
    }

    /// Returns the values of scale, shift, weights and biases.
    fn parts<'a>(&self, values: &'a mut [f32]) -> [&'a mut [f32]; 4] {
        let ranges = [&self.scale, &self.shift, &self.weight, &self.bias].map(Range::clone);
        values.get_disjoint_mut(ranges).expect("parameters do not overlap")
    }
}

fn layer<I: ConstDim, O: ConstDim>(weight: Range<usize>, bias: Range<usize>) -> Layer<Place, I, O> {
    assert_eq!(weight.len(), I::SIZE * O::SIZE, "the weights do not have the shape of the layer");
    Layer::new(Place { weight, bias, inputs: I::SIZE, outputs: O::SIZE })
}

fn range(layout: &Layout, name: &str) -> Range<usize> {
    let entry = layout.0.iter().find(|entry| entry.name == name);
    entry.map(|entry| entry.range.clone()).expect("a Vision Transformer has this parameter")
}
