//! The layers of the network, the activations that a pass keeps, and the order of the operations.

use super::{
    buffer::{AttentionWeights, Buffer, Image, KeyValue, Layer, Map, One, PatchValues, StemValues},
    ops::{Ops, Store},
};
use crate::network::{dimensions::Dimensions, dropout::Site};
use dfdx::shapes::ConstDim;
use vit_nostd::Network;

/// The dimensions of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// The number of convolutions of the tokenizer: 0 for patches.
    pub convolutions: usize,
    /// The number of products of the stem, or 0 without one.
    pub stem_products: usize,
    /// The number of values of a patch.
    pub patch_values: usize,
    /// The number of tokens: the patches and the class token.
    pub tokens: usize,
    /// The width of the residual stream.
    pub embed: usize,
    /// The number of attention heads.
    pub heads: usize,
    /// The width of the MLP's hidden layer.
    pub hidden: usize,
    /// The number of encoder blocks.
    pub depth: usize,
    /// The number of classes.
    pub classes: usize,
}

impl Sizes {
    /// Returns the dimensions of network `N`.
    pub(crate) const fn of<N: Network>() -> Self {
        Self {
            convolutions: N::DIMS.convolutions(),
            stem_products: N::DIMS.map_pixels() * N::DIMS.stem_values() * N::DIMS.stem_channels(),
            patch_values: N::PATCHES.values(),
            tokens: N::TOKENS,
            embed: N::EMBED,
            heads: N::HEADS,
            hidden: N::HIDDEN,
            depth: N::DEPTH,
            classes: N::CLASSES,
        }
    }
}

impl Sizes {
    /// Returns the number of multiplications and additions in the matrix products of a training pass of one image:
    /// those of the forward pass, and twice as many for the backward pass. In the last block, only the products that
    /// the class token needs are counted.
    pub(crate) fn flops(&self) -> usize {
        let &Self { stem_products, patch_values, tokens, embed, hidden, depth, classes, .. } = self;
        // The layers and the attention of a block in which `rows` tokens have queries.
        let block = |rows: usize| {
            rows * (2 * embed * embed + 2 * embed * hidden)
                + tokens * 2 * embed * embed
                + 2 * rows * tokens * embed
        };
        let macs = stem_products
            + (tokens - 1) * patch_values * embed
            + (depth - 1) * block(tokens)
            + block(1)
            + embed * classes;
        6 * macs
    }
}

/// A value of type `L` for each linear layer of a network with the dimensions `D`.
#[derive(Clone, Debug)]
pub(crate) struct Layers<D: Dimensions, L> {
    /// The first of two convolutions.
    pub stem: Option<Layer<L, StemValues<D>, D::StemChannels>>,
    /// The layer from patches to tokens. Its bias has a row per token: see [`fold`](super::fold).
    pub embedding: Layer<L, PatchValues<D>, D::Embed>,
    /// The blocks of the encoder.
    pub blocks: Vec<Block<D, L>>,
    /// The layer from the class token to the logits.
    pub head: Layer<L, D::Embed, D::Classes>,
}

/// The linear layers of an encoder block.
#[derive(Clone, Debug)]
pub(crate) struct Block<D: Dimensions, L> {
    /// The layer of the queries.
    pub query: Layer<L, D::Embed, D::Embed>,
    /// The layer of keys and values, side by side. All tokens have them, even in the last block, which has one query.
    pub key_value: Layer<L, D::Embed, KeyValue<D>>,
    /// The output layer of the attention.
    pub out: Layer<L, D::Embed, D::Embed>,
    /// The first layer of the MLP, before GELU.
    pub hidden: Layer<L, D::Embed, D::Hidden>,
    /// The second layer of the MLP, after GELU.
    pub mlp: Layer<L, D::Hidden, D::Embed>,
}

impl<D: Dimensions, L> Layers<D, L> {
    /// Applies `f` to every layer, in the order of a pass, and returns the results.
    pub(crate) fn map<M>(&self, mut f: impl FnMut(&L) -> M) -> Layers<D, M> {
        let mut block = |block: &Block<D, L>| Block {
            query: block.query.map(&mut f),
            key_value: block.key_value.map(&mut f),
            out: block.out.map(&mut f),
            hidden: block.hidden.map(&mut f),
            mlp: block.mlp.map(&mut f),
        };
        let blocks = self.blocks.iter().map(&mut block).collect();
        let stem = self.stem.as_ref().map(|stem| stem.map(&mut f));
        Layers { stem, embedding: self.embedding.map(&mut f), blocks, head: self.head.map(&mut f) }
    }
}

/// The input and output of a pass and all activations that its backward pass needs, in memory of type `V`.
#[derive(Debug)]
pub(crate) struct Activations<D: Dimensions, V> {
    /// The normalised images.
    pub pixels: Buffer<V, Image<D>>,
    /// The targets: a distribution over the classes for each image.
    pub targets: Buffer<V, (One, D::Classes)>,
    /// The cross entropy of each image.
    pub losses: Buffer<V, (One,)>,
    /// The logits, one row per image.
    pub logits: Buffer<V, (One, D::Classes)>,
    stem: Option<Stem<D, V>>,
    patches: Buffer<V, (D::Tokens, PatchValues<D>)>,
    blocks: Vec<Saved<D, V, D::Tokens>>,
    /// The activations of the last block, where only the class token has a query and goes on.
    last: Saved<D, V, One>,
    /// The class token after the last block, normalised, and the factor of the normalisation.
    normed: Buffer<V, (One, D::Embed)>,
    scale: Buffer<V, (One,)>,
    /// The residual stream, which the backward pass overwrites with its gradient.
    stream: Buffer<V, (D::Tokens, D::Embed)>,
    /// The residual stream, or its gradient, where only the class token is left.
    class_stream: Buffer<V, (One, D::Embed)>,
    /// The input of the queries where only the class token is left.
    class_normed: Buffer<V, (One, D::Embed)>,
    d_logits: Buffer<V, (One, D::Classes)>,
    /// Gradients inside a block where all tokens have queries.
    all: Gradients<D, V, D::Tokens>,
    /// Gradients inside the last block, where only the class token has a query.
    class: Gradients<D, V, One>,
    d_key_value: Buffer<V, (D::Tokens, KeyValue<D>)>,
}

/// The activations of the first of two convolutions.
#[derive(Debug)]
struct Stem<D: Dimensions, V> {
    windows: Buffer<V, (D::MapPixels, StemValues<D>)>,
    map: Buffer<V, Map<D>>,
    slope: Buffer<V, Map<D>>,
    d_patches: Buffer<V, (D::Tokens, PatchValues<D>)>,
    d_map: Buffer<V, Map<D>>,
}

/// The activations that the backward pass needs of a block where `R` tokens have queries.
#[derive(Debug)]
struct Saved<D: Dimensions, V, R> {
    normed1: Buffer<V, (D::Tokens, D::Embed)>,
    scale1: Buffer<V, (D::Tokens,)>,
    query: Buffer<V, (R, D::Embed)>,
    key_value: Buffer<V, (D::Tokens, KeyValue<D>)>,
    weights: [Buffer<V, AttentionWeights<D, R>>; 2],
    context: Buffer<V, (R, D::Embed)>,
    normed2: Buffer<V, (R, D::Embed)>,
    scale2: Buffer<V, (R,)>,
    hidden: Buffer<V, (R, D::Hidden)>,
    slope: Buffer<V, (R, D::Hidden)>,
}

/// Gradients inside a block where `R` tokens have queries.
#[derive(Debug)]
struct Gradients<D: Dimensions, V, R> {
    mlp: Buffer<V, (R, D::Embed)>,
    hidden: Buffer<V, (R, D::Hidden)>,
    normed: Buffer<V, (R, D::Embed)>,
    context: Buffer<V, (R, D::Embed)>,
    query: Buffer<V, (R, D::Embed)>,
}

impl<D: Dimensions, V> Activations<D, V> {
    /// Makes the buffers for a network of `depth` blocks. `memory` returns memory for a number of elements per image.
    ///
    /// # Errors
    /// Returns the first error of `memory`.
    pub(crate) fn new<E>(depth: usize, mut memory: impl FnMut(usize) -> Result<V, E>) -> Result<Self, E> {
        let blocks = (1..depth).map(|_| Saved::new(&mut memory)).collect::<Result<_, E>>()?;
        Ok(Self {
            pixels: Buffer::within(&mut memory)?,
            targets: Buffer::within(&mut memory)?,
            losses: Buffer::within(&mut memory)?,
            logits: Buffer::within(&mut memory)?,
            stem: D::STEM_WINDOWS.map(|_| Stem::new(&mut memory)).transpose()?,
            patches: Buffer::within(&mut memory)?,
            blocks,
            last: Saved::new(&mut memory)?,
            normed: Buffer::within(&mut memory)?,
            scale: Buffer::within(&mut memory)?,
            stream: Buffer::within(&mut memory)?,
            class_stream: Buffer::within(&mut memory)?,
            class_normed: Buffer::within(&mut memory)?,
            d_logits: Buffer::within(&mut memory)?,
            all: Gradients::new(&mut memory)?,
            class: Gradients::new(&mut memory)?,
            d_key_value: Buffer::within(&mut memory)?,
        })
    }

    /// Computes `logits`, `losses` and the gradients of all layers from `pixels` and `targets`.
    pub(crate) fn pass<L>(&mut self, ops: &mut impl Ops<D, V, L>, layers: &Layers<D, L>) {
        self.forward(ops, layers);
        ops.cross_entropy(&self.logits, &self.targets, &mut self.losses, &mut self.d_logits);
        self.backward(ops, layers);
    }

    /// Computes `logits` from `pixels`.
    pub(crate) fn forward<L>(&mut self, ops: &mut impl Ops<D, V, L>, layers: &Layers<D, L>) {
        let Self { stem, blocks, last, stream, class_stream, class_normed, .. } = self;
        match (stem, &layers.stem) {
            (Some(Stem { windows, map, slope, .. }), Some(layer)) => {
                ops.stem(layer, &self.pixels, windows, map, slope);
                ops.cut_maps(map, &mut self.patches);
            }
            _ => ops.cut_images(&self.pixels, &mut self.patches),
        }
        ops.embed(&layers.embedding, &self.patches, stream);

        for (index, (saved, block)) in blocks.iter_mut().zip(&layers.blocks).enumerate() {
            saved.keys_and_values(ops, block, stream);
            ops.linear(&block.query, &saved.normed1, &mut saved.query, Store::Set);
            saved.forward(ops, block, index, stream);
        }

        let (index, block) = (blocks.len(), &layers.blocks[blocks.len()]);
        last.keys_and_values(ops, block, stream);
        ops.class_tokens(stream, class_stream);
        ops.class_tokens(&last.normed1, class_normed);
        ops.linear(&block.query, class_normed, &mut last.query, Store::Set);
        last.forward(ops, block, index, class_stream);

        ops.normalize(class_stream, &mut self.normed, &mut self.scale);
        ops.linear(&layers.head, &self.normed, &mut self.logits, Store::Set);
    }

    /// Computes the gradients of all layers, in the opposite order of [`forward`](Self::forward). The memory of the
    /// residual stream is reused for its gradient.
    fn backward<L>(&mut self, ops: &mut impl Ops<D, V, L>, layers: &Layers<D, L>) {
        let Self { stem, blocks, last, all, class, d_key_value, .. } = self;
        let (d_stream, d_class) = (&mut self.stream, &mut self.class_stream);
        ops.linear_backward(&layers.head, &self.normed, &self.d_logits, &mut class.normed, Store::Set);
        ops.normalize_backward(&self.normed, &self.scale, &class.normed, d_class, Store::Set);

        let (index, block) = (blocks.len(), &layers.blocks[blocks.len()]);
        last.backward(ops, block, index, d_class, class, d_key_value);
        ops.linear_backward(&block.key_value, &last.normed1, d_key_value, &mut all.normed, Store::Set);
        ops.linear_backward(&block.query, &self.class_normed, &class.query, &mut class.normed, Store::Set);
        ops.class_tokens_backward(&class.normed, &mut all.normed, Store::Add);
        ops.class_tokens_backward(d_class, d_stream, Store::Set);
        ops.normalize_backward(&last.normed1, &last.scale1, &all.normed, d_stream, Store::Add);

        for (index, (saved, block)) in blocks.iter().zip(&layers.blocks).enumerate().rev() {
            saved.backward(ops, block, index, d_stream, all, d_key_value);
            ops.linear_backward(&block.key_value, &saved.normed1, d_key_value, &mut all.normed, Store::Set);
            ops.linear_backward(&block.query, &saved.normed1, &all.query, &mut all.normed, Store::Add);
            ops.normalize_backward(&saved.normed1, &saved.scale1, &all.normed, d_stream, Store::Add);
        }

        ops.embed_backward(&layers.embedding, &self.patches, d_stream);
        if let (Some(Stem { windows, slope, d_patches, d_map, .. }), Some(layer)) = (stem, &layers.stem) {
            ops.cut_maps_backward(&layers.embedding, d_stream, d_patches, d_map);
            ops.stem_backward(layer, windows, slope, d_map);
        }
    }
}

impl<D: Dimensions, V> Stem<D, V> {
    fn new<E>(mut memory: impl FnMut(usize) -> Result<V, E>) -> Result<Self, E> {
        Ok(Self {
            windows: Buffer::within(&mut memory)?,
            map: Buffer::within(&mut memory)?,
            slope: Buffer::within(&mut memory)?,
            d_patches: Buffer::within(&mut memory)?,
            d_map: Buffer::within(&mut memory)?,
        })
    }
}

impl<D: Dimensions, V, R: ConstDim> Saved<D, V, R> {
    fn new<E>(mut memory: impl FnMut(usize) -> Result<V, E>) -> Result<Self, E> {
        Ok(Self {
            normed1: Buffer::within(&mut memory)?,
            scale1: Buffer::within(&mut memory)?,
            query: Buffer::within(&mut memory)?,
            key_value: Buffer::within(&mut memory)?,
            weights: [Buffer::within(&mut memory)?, Buffer::within(&mut memory)?],
            context: Buffer::within(&mut memory)?,
            normed2: Buffer::within(&mut memory)?,
            scale2: Buffer::within(&mut memory)?,
            hidden: Buffer::within(&mut memory)?,
            slope: Buffer::within(&mut memory)?,
        })
    }

    /// Computes the keys and values of all tokens from the input of a block.
    fn keys_and_values<L>(
        &mut self,
        ops: &mut impl Ops<D, V, L>,
        block: &Block<D, L>,
        stream: &Buffer<V, (D::Tokens, D::Embed)>,
    ) {
        ops.normalize(stream, &mut self.normed1, &mut self.scale1);
        ops.linear(&block.key_value, &self.normed1, &mut self.key_value, Store::Set);
    }

    /// Computes the output of block `index` from its queries, keys and values.
    fn forward<L>(
        &mut self,
        ops: &mut impl Ops<D, V, L>,
        block: &Block<D, L>,
        index: usize,
        stream: &mut Buffer<V, (R, D::Embed)>,
    ) {
        let (site, context) = (Site::Attention(index), &mut self.context);
        ops.attention(site, &mut self.query, &mut self.key_value, &mut self.weights, context);
        ops.linear(&block.out, context, stream, Store::Add);
        ops.normalize(stream, &mut self.normed2, &mut self.scale2);
        let site = Site::Hidden(index);
        ops.linear_gelu_dropout(&block.hidden, &self.normed2, site, &mut self.hidden, &mut self.slope);
        ops.linear_dropout_add(&block.mlp, &self.hidden, Site::Mlp(index), stream);
    }

    /// Computes the gradients of queries, keys and values from `d_stream`, the gradient of the output of block
    /// `index`. Afterwards, `d_stream` is the gradient that flows along the residual connection past the attention.
    fn backward<L>(
        &self,
        ops: &mut impl Ops<D, V, L>,
        block: &Block<D, L>,
        index: usize,
        d_stream: &mut Buffer<V, (R, D::Embed)>,
        d: &mut Gradients<D, V, R>,
        d_key_value: &mut Buffer<V, (D::Tokens, KeyValue<D>)>,
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

impl<D: Dimensions, V, R: ConstDim> Gradients<D, V, R> {
    fn new<E>(mut memory: impl FnMut(usize) -> Result<V, E>) -> Result<Self, E> {
        Ok(Self {
            mlp: Buffer::within(&mut memory)?,
            hidden: Buffer::within(&mut memory)?,
            normed: Buffer::within(&mut memory)?,
            context: Buffer::within(&mut memory)?,
            query: Buffer::within(&mut memory)?,
        })
    }
}
