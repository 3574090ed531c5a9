//! What is moved from the activations into the parameters before a pass, and back after it.
//!
//! Some operations on every token of every image can be done once on the parameters instead:
//!
//! | in the network | folded into |
//! |---|---|
//! | LayerNorm's scale `g` and shift `c` | the next layer: `W' = W diag(g)`, `b' = b + W c` |
//! | attention's `1 / sqrt(HEAD_DIM)` | the queries' weights and biases |
//! | class token, patch bias and positions | one bias row per token of the embedding |
//!
//! By the chain rule the gradients of `W'` and `b'` give those of all that was folded into them:
//! `dW = dW' diag(g) + db' c^T`, `dg[j] = sum_i dW'[i][j] W[i][j]`, `dc = W^T db'`, `db = db'`. Folded values, and
//! gradients with respect to them, lie where the unfolded ones lie: `W'` in the place of `W`, and so on; the table of
//! the embedding's biases lies in the place of the positions.

use super::{
    buffer::{Dimensions, Layer},
    network::{Block, Network, Sizes},
};
use crate::parameters::Layout;
use dfdx::shapes::ConstDim;
use rayon::prelude::*;
use std::ops::Range;

/// A linear layer among the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `outputs x inputs` weights.
    pub weight: Range<usize>,
    /// Biases: one row, or one per token.
    pub bias: Range<usize>,
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
}

/// Where what is folded lies among the parameters.
#[derive(Clone, Debug)]
pub struct Fold {
    sizes: Sizes,
    layout: Layout,
    /// All blocks, which are equally long.
    blocks: Range<usize>,
    /// Within a block.
    norms: [Norm; 2],
    /// Weights and biases of the queries, within a block.
    query: [Range<usize>; 2],
    head: Norm,
}

/// Where a LayerNorm and the linear layer behind it lie.
#[derive(Clone, Debug)]
pub struct Norm {
    /// The LayerNorm's scale.
    pub scale: Range<usize>,
    /// The LayerNorm's shift.
    pub shift: Range<usize>,
    /// The layer's `outputs x inputs` weights.
    pub weight: Range<usize>,
    /// The layer's biases.
    pub bias: Range<usize>,
}

impl Fold {
    /// For a network of these sizes whose parameters lie as `layout` says.
    pub fn new(sizes: Sizes, layout: Layout) -> Self {
        let blocks = range(&layout, "blocks.0.norm1.weight").start..range(&layout, "norm.weight").start;
        let norm = |norm: &str, layer: &str, start: usize| {
            let within = |name: String| {
                let range = range(&layout, &name);
                range.start - start..range.end - start
            };
            // Attention's projection has its own naming.
            let separator = if layer.ends_with("in_proj") { '_' } else { '.' };
            Norm {
                scale: within(format!("{norm}.weight")),
                shift: within(format!("{norm}.bias")),
                weight: within(format!("{layer}{separator}weight")),
                bias: within(format!("{layer}{separator}bias")),
            }
        };
        let norms = [
            norm("blocks.0.norm1", "blocks.0.attn.in_proj", blocks.start),
            norm("blocks.0.norm2", "blocks.0.mlp.0", blocks.start),
        ];
        let first = |range: &Range<usize>, len| range.start..range.start + len;
        let query = [first(&norms[0].weight, sizes.embed * sizes.embed), first(&norms[0].bias, sizes.embed)];
        let head = norm("norm", "head", 0);
        Self { sizes, layout, blocks, norms, query, head }
    }

    /// The linear layers of the network, which has the dimensions `D`, as they are after folding.
    pub fn places<D: Dimensions>(&self) -> Network<D, Place> {
        let (embed, depth) = (self.sizes.embed, self.sizes.depth);
        let block = |index| {
            let weight = range(&self.layout, &format!("blocks.{index}.attn.in_proj_weight"));
            let bias = range(&self.layout, &format!("blocks.{index}.attn.in_proj_bias"));
            let (keys, key_bias) = (weight.start + embed * embed, bias.start + embed);
            Block {
                query: layer(weight.start..keys, bias.start..key_bias),
                key_value: layer(keys..weight.end, key_bias..bias.end),
                out: self.layer(&format!("blocks.{index}.attn.out_proj")),
                hidden: self.layer(&format!("blocks.{index}.mlp.0")),
                mlp: self.layer(&format!("blocks.{index}.mlp.3")),
            }
        };
        let [_, _, positions] = self.embedding();
        Network {
            embedding: layer(range(&self.layout, "patch_embed.proj.weight"), positions),
            blocks: (0..depth).map(block).collect(),
            head: self.layer("head"),
        }
    }

    fn layer<I: ConstDim, O: ConstDim>(&self, name: &str) -> Layer<Place, I, O> {
        let [weight, bias] = ["weight", "bias"].map(|part| range(&self.layout, &format!("{name}.{part}")));
        layer(weight, bias)
    }

    /// Folds `values`, a network's parameters.
    pub fn fold(&self, values: &mut [f32]) {
        let [class_token, patch_bias, positions] = self.embedding();
        let (class_token, patch_bias) = (values[class_token].to_vec(), values[patch_bias].to_vec());
        for (token, row) in values[positions].chunks_exact_mut(self.sizes.embed).enumerate() {
            let extra = if token == 0 { &class_token } else { &patch_bias };
            row.iter_mut().zip(extra).for_each(|(x, extra)| *x += extra);
        }
        values[self.blocks.clone()].par_chunks_exact_mut(self.block_len()).for_each(|block| {
            self.norms.iter().for_each(|norm| norm.fold(block));
            self.scale_query(block);
        });
        self.head.fold(values);
    }

    /// Turns gradients with respect to folded parameters into those with respect to `values`, the unfolded ones.
    pub fn unfold(&self, values: &[f32], gradients: &mut [f32]) {
        let [class_token, patch_bias, positions] = self.embedding();
        let table = gradients[positions].to_vec();
        let (first, others) = table.split_at(self.sizes.embed);
        gradients[class_token].copy_from_slice(first);
        gradients[patch_bias.clone()].fill(0.0);
        for row in others.chunks_exact(self.sizes.embed) {
            gradients[patch_bias.clone()].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let (values_of_blocks, len) = (&values[self.blocks.clone()], self.block_len());
        let blocks = gradients[self.blocks.clone()].par_chunks_exact_mut(len);
        blocks.zip(values_of_blocks.par_chunks_exact(len)).for_each(|(gradients, values)| {
            self.scale_query(gradients);
            self.norms.iter().for_each(|norm| norm.unfold(values, gradients));
        });
        self.head.unfold(values, gradients);
    }

    /// Every LayerNorm among all parameters, with the number of outputs behind it that are queries: its first ones.
    pub fn norms(&self) -> impl Iterator<Item = (Norm, usize)> + '_ {
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

    /// What queries are multiplied with.
    pub fn query_scale(&self) -> f32 {
        let head_dim = (self.sizes.embed / self.sizes.heads) as f64;
        (1.0 / head_dim.sqrt()) as f32
    }

    /// Class token, bias of the patches, and positions.
    pub fn embedding(&self) -> [Range<usize>; 3] {
        ["cls_token", "patch_embed.proj.bias", "pos_embed"].map(|name| range(&self.layout, name))
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
        let (scale, shift) = (values[self.scale.clone()].to_vec(), values[self.shift.clone()].to_vec());
        for output in 0..self.bias.len() {
            let row = &mut values[self.weight.clone()][output * scale.len()..][..scale.len()];
            let extra: f32 = row.iter().zip(&shift).map(|(w, c)| w * c).sum();
            row.iter_mut().zip(&scale).for_each(|(w, g)| *w *= g);
            values[self.bias.clone()][output] += extra;
        }
    }

    fn unfold(&self, values: &[f32], gradients: &mut [f32]) {
        let (scale, shift) = (&values[self.scale.clone()], &values[self.shift.clone()]);
        let (mut d_scale, mut d_shift) = (vec![0.0; scale.len()], vec![0.0; shift.len()]);
        let weights = values[self.weight.clone()].chunks_exact(scale.len());
        for (output, weights) in weights.enumerate() {
            let d_bias = gradients[self.bias.clone()][output];
            let row = &mut gradients[self.weight.clone()][output * scale.len()..][..scale.len()];
            for (j, (d_weight, weight)) in row.iter_mut().zip(weights).enumerate() {
                d_scale[j] += *d_weight * weight;
                d_shift[j] += d_bias * weight;
                *d_weight = *d_weight * scale[j] + d_bias * shift[j];
            }
        }
        gradients[self.scale.clone()].copy_from_slice(&d_scale);
        gradients[self.shift.clone()].copy_from_slice(&d_shift);
    }
}

fn layer<I: ConstDim, O: ConstDim>(weight: Range<usize>, bias: Range<usize>) -> Layer<Place, I, O> {
    assert_eq!(weight.len(), I::SIZE * O::SIZE, "weights of another shape");
    Layer::new(Place { weight, bias, inputs: I::SIZE, outputs: O::SIZE })
}

fn range(layout: &Layout, name: &str) -> Range<usize> {
    let entry = layout.0.iter().find(|entry| entry.name == name);
    entry.map(|entry| entry.range.clone()).expect("a Vision Transformer has this parameter")
}
