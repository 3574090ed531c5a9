//! The network's layers, what a pass keeps of each, and the order of its operations.

use super::ops::{Ops, Store};
use crate::dropout::Site;
use vit_nostd::Shape;

/// A network's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Side of the image, in pixels.
    pub image: usize,
    /// Side of a patch.
    pub patch: usize,
    /// Patches and the class token.
    pub tokens: usize,
    /// Width of the residual stream.
    pub embed: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub hidden: usize,
    /// Encoder blocks.
    pub depth: usize,
    /// Classes.
    pub classes: usize,
}

impl Sizes {
    /// Those of shape `S`.
    pub const fn of<S: Shape>() -> Self {
        Self {
            image: S::IMAGE,
            patch: S::PATCH,
            tokens: S::TOKENS,
            embed: S::EMBED,
            heads: S::HEADS,
            hidden: S::HIDDEN,
            depth: S::DEPTH,
            classes: S::CLASSES,
        }
    }
}

impl Sizes {
    /// Multiplications and additions of a training pass in its matrix products, for one image: forward, and twice as
    /// many backward. What the last block spares because only the class token counts is left out.
    pub fn flops(&self) -> usize {
        let &Self { patch, tokens, embed, hidden, depth, classes, .. } = self;
        // Layers and attention of a block in which `rows` tokens have queries.
        let block = |rows: usize| {
            rows * (2 * embed * embed + 2 * embed * hidden)
                + tokens * 2 * embed * embed
                + 2 * rows * tokens * embed
        };
        let macs =
            (tokens - 1) * patch * patch * embed + (depth - 1) * block(tokens) + block(1) + embed * classes;
        6 * macs
    }
}

/// The linear layers of a network, or something for each of them.
#[derive(Clone, Debug)]
pub struct Network<L> {
    /// Patches to tokens. Its bias has a row per token: see [`fold`](super::fold).
    pub embedding: L,
    /// The encoder.
    pub blocks: Vec<Block<L>>,
    /// Class token to logits.
    pub head: L,
}

/// The linear layers of an encoder block.
#[derive(Clone, Debug)]
pub struct Block<L> {
    /// Queries.
    pub query: L,
    /// Keys and values, side by side: for all tokens even where there is one query only.
    pub key_value: L,
    /// Attention's output.
    pub out: L,
    /// The MLP's first layer.
    pub hidden: L,
    /// The MLP's second layer.
    pub mlp: L,
}

impl<L> Network<L> {
    /// Makes something of every layer.
    pub fn map<M>(&self, mut f: impl FnMut(&L) -> M) -> Network<M> {
        let mut block = |block: &Block<L>| Block {
            query: f(&block.query),
            key_value: f(&block.key_value),
            out: f(&block.out),
            hidden: f(&block.hidden),
            mlp: f(&block.mlp),
        };
        let blocks = self.blocks.iter().map(&mut block).collect();
        Network { embedding: f(&self.embedding), blocks, head: f(&self.head) }
    }
}

/// Input, output and everything in between that the backward pass needs.
#[derive(Debug)]
pub struct Activations<B> {
    /// Normalised pixels, one image a row.
    pub pixels: B,
    /// Distributions over the classes.
    pub targets: B,
    /// One number per image.
    pub losses: B,
    /// One row per image.
    pub logits: B,
    patches: B,
    blocks: Vec<Saved<B>>,
    /// The class token behind the last block, normalised, and the scale of that.
    normed: B,
    scale: B,
    /// The residual stream, and later its gradient.
    stream: B,
    /// The same where only the class token is left.
    class_stream: B,
    /// Queries' input and its gradient where only the class token is left.
    class_normed: B,
    d_logits: B,
    /// Gradients inside a block, of all tokens and of the class token.
    all: Gradients<B>,
    class: Gradients<B>,
    d_key_value: B,
}

/// What the backward pass needs of a block.
#[derive(Debug)]
struct Saved<B> {
    normed1: B,
    scale1: B,
    query: B,
    key_value: B,
    weights: [B; 2],
    context: B,
    normed2: B,
    scale2: B,
    hidden: B,
    slope: B,
}

/// Gradients inside a block.
#[derive(Debug)]
struct Gradients<B> {
    mlp: B,
    hidden: B,
    normed: B,
    context: B,
    query: B,
}

impl<B> Activations<B> {
    /// Memory for a pass; `buffer` makes some for a number of rows per image and a width.
    pub fn new(sizes: &Sizes, buffer: impl Fn(usize, usize) -> B) -> Self {
        let &Sizes { image, patch, tokens, embed, heads, hidden, depth, classes } = sizes;
        let gradients = |rows| Gradients {
            mlp: buffer(rows, embed),
            hidden: buffer(rows, hidden),
            normed: buffer(rows, embed),
            context: buffer(rows, embed),
            query: buffer(rows, embed),
        };
        // In the last block, only the class token has a query and goes on.
        let saved = |rows| Saved {
            normed1: buffer(tokens, embed),
            scale1: buffer(tokens, 1),
            query: buffer(rows, embed),
            key_value: buffer(tokens, 2 * embed),
            weights: [buffer(rows, heads * tokens), buffer(rows, heads * tokens)],
            context: buffer(rows, embed),
            normed2: buffer(rows, embed),
            scale2: buffer(rows, 1),
            hidden: buffer(rows, hidden),
            slope: buffer(rows, hidden),
        };
        Self {
            pixels: buffer(1, image * image),
            targets: buffer(1, classes),
            losses: buffer(1, 1),
            logits: buffer(1, classes),
            patches: buffer(tokens, patch * patch),
            blocks: (1..=depth).map(|block| saved(if block == depth { 1 } else { tokens })).collect(),
            normed: buffer(1, embed),
            scale: buffer(1, 1),
            stream: buffer(tokens, embed),
            class_stream: buffer(1, embed),
            class_normed: buffer(1, embed),
            d_logits: buffer(1, classes),
            all: gradients(tokens),
            class: gradients(1),
            d_key_value: buffer(tokens, 2 * embed),
        }
    }

    /// From `pixels` and `targets` to `logits`, `losses` and the gradients of all layers.
    pub fn pass<O: Ops<Buffer = B>>(&mut self, ops: &mut O, layers: &Network<O::Linear>) {
        self.forward(ops, layers);
        ops.cross_entropy(&self.logits, &self.targets, &mut self.losses, &mut self.d_logits);
        self.backward(ops, layers);
    }

    /// From `pixels` to `logits`.
    pub fn forward<O: Ops<Buffer = B>>(&mut self, ops: &mut O, layers: &Network<O::Linear>) {
        ops.embed(&layers.embedding, &self.pixels, &mut self.patches, &mut self.stream);

        let last = self.blocks.len() - 1;
        for (index, (saved, block)) in self.blocks.iter_mut().zip(&layers.blocks).enumerate() {
            ops.normalize(&self.stream, &mut saved.normed1, &mut saved.scale1);
            ops.linear(&block.key_value, &saved.normed1, &mut saved.key_value, Store::Set);
            if index < last {
                ops.linear(&block.query, &saved.normed1, &mut saved.query, Store::Set);
                saved.forward(ops, block, index, &mut self.stream);
            } else {
                ops.class_tokens(&self.stream, &mut self.class_stream);
                ops.class_tokens(&saved.normed1, &mut self.class_normed);
                ops.linear(&block.query, &self.class_normed, &mut saved.query, Store::Set);
                saved.forward(ops, block, index, &mut self.class_stream);
            }
        }

        ops.normalize(&self.class_stream, &mut self.normed, &mut self.scale);
        ops.linear(&layers.head, &self.normed, &mut self.logits, Store::Set);
    }

    /// In the opposite order. The memory of the residual stream is reused for its gradient.
    fn backward<O: Ops<Buffer = B>>(&mut self, ops: &mut O, layers: &Network<O::Linear>) {
        let (d_stream, d_class) = (&mut self.stream, &mut self.class_stream);
        let d_normed = &mut self.class.normed;
        ops.linear_backward(&layers.head, &self.normed, &self.d_logits, d_normed, Store::Set);
        ops.normalize_backward(&self.normed, &self.scale, d_normed, d_class, Store::Set);

        let last = self.blocks.len() - 1;
        for (index, (saved, block)) in self.blocks.iter().zip(&layers.blocks).enumerate().rev() {
            let class_only = index == last;
            let (d, stream) =
                if class_only { (&mut self.class, &mut *d_class) } else { (&mut self.all, &mut *d_stream) };
            saved.backward(ops, block, index, stream, d, &mut self.d_key_value);

            let d_normed = &mut self.all.normed;
            ops.linear_backward(&block.key_value, &saved.normed1, &self.d_key_value, d_normed, Store::Set);
            if class_only {
                let d_query = &self.class.query;
                let d_normed_class = &mut self.class.normed;
                ops.linear_backward(&block.query, &self.class_normed, d_query, d_normed_class, Store::Set);
                ops.class_tokens_backward(d_normed_class, d_normed, Store::Add);
                ops.class_tokens_backward(d_class, d_stream, Store::Set);
            } else {
                ops.linear_backward(&block.query, &saved.normed1, &self.all.query, d_normed, Store::Add);
            }
            ops.normalize_backward(&saved.normed1, &saved.scale1, d_normed, d_stream, Store::Add);
        }

        ops.embed_backward(&layers.embedding, &self.patches, d_stream);
    }
}

impl<B> Saved<B> {
    /// From queries, keys and values to the end of block `index`.
    fn forward<O: Ops<Buffer = B>>(
        &mut self,
        ops: &mut O,
        block: &Block<O::Linear>,
        index: usize,
        stream: &mut B,
    ) {
        let (site, context) = (Site::Attention(index), &mut self.context);
        ops.attention(site, &self.query, &self.key_value, &mut self.weights, context);
        ops.linear(&block.out, context, stream, Store::Add);
        ops.normalize(stream, &mut self.normed2, &mut self.scale2);
        let site = Site::Hidden(index);
        ops.linear_gelu_dropout(&block.hidden, &self.normed2, site, &mut self.hidden, &mut self.slope);
        ops.linear_dropout_add(&block.mlp, &self.hidden, Site::Mlp(index), stream);
    }

    /// From the gradient behind block `index` to those of queries, keys and values; `d_stream` is then the gradient
    /// of what goes past the attention.
    fn backward<O: Ops<Buffer = B>>(
        &self,
        ops: &mut O,
        block: &Block<O::Linear>,
        index: usize,
        d_stream: &mut B,
        d: &mut Gradients<B>,
        d_key_value: &mut B,
    ) {
        ops.dropout_backward(Site::Mlp(index), d_stream, &mut d.mlp);
        ops.linear_backward(&block.mlp, &self.hidden, &d.mlp, &mut d.hidden, Store::Set);
        ops.gelu_dropout_backward(&self.slope, &mut d.hidden);
        ops.linear_backward(&block.hidden, &self.normed2, &d.hidden, &mut d.normed, Store::Set);
        ops.normalize_backward(&self.normed2, &self.scale2, &d.normed, d_stream, Store::Add);
        ops.linear_backward(&block.out, &self.context, d_stream, &mut d.context, Store::Set);
        let (query, key_value, weights) = (&self.query, &self.key_value, &self.weights);
        ops.attention_backward(query, key_value, weights, &d.context, &mut d.query, d_key_value);
    }
}
