//! The operations of a training pass on a GPU.

use super::{
    device::{Device, View},
    kernels::{Counters, Grid, Read, Write},
    CudaError,
};
use crate::{
    dropout::{Dropout, Site},
    fused::{
        fold::Place,
        network::Sizes,
        ops::{Ops, Store},
    },
};
use cudarc::driver::{CudaSlice, DriverError};

/// A buffer for up to as many images as it was made for.
#[derive(Debug)]
pub struct Matrix {
    values: CudaSlice<f32>,
    rows_per_image: usize,
    width: usize,
}

impl Matrix {
    /// Takes the memory of `images x rows_per_image x width` elements.
    pub const fn new(values: CudaSlice<f32>, rows_per_image: usize, width: usize) -> Self {
        Self { values, rows_per_image, width }
    }

    /// The rows of the first `images` images.
    pub fn read(&self, images: usize) -> Read<'_> {
        self.values.slice(..images * self.image_len())
    }

    /// The rows of the first `images` images.
    pub fn write(&mut self, images: usize) -> Write<'_> {
        let len = images * self.image_len();
        self.values.slice_mut(..len)
    }

    const fn image_len(&self) -> usize {
        self.rows_per_image * self.width
    }
}

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    /// Where it lies among the parameters.
    pub place: Place,
    /// Where the sums for its biases begin among those of all layers.
    pub sums: usize,
}

/// Parts in which the rows of a batch are added up.
pub const PARTS: usize = 16;

/// Threads of a block that computes attention.
const ATTENTION_THREADS: u32 = 128;

/// The operations on a whole batch. They are queued, nothing waits for them.
#[derive(Debug)]
pub struct Pass<'a> {
    /// What they run on.
    pub device: &'a Device,
    /// The network's dimensions.
    pub sizes: Sizes,
    /// Images in the batch.
    pub images: usize,
    /// Its rate; the masks are those that `counters` says.
    pub dropout: Dropout,
    /// Of the step.
    pub counters: &'a CudaSlice<Counters>,
    /// All parameters, folded.
    pub folded: &'a CudaSlice<f32>,
    /// Those of all folded parameters; the biases' are in `sums`.
    pub gradients: &'a mut CudaSlice<f32>,
    /// Sums for the gradients of all biases, in [`PARTS`] parts.
    pub sums: &'a mut CudaSlice<f32>,
    /// Any, as long as the residual stream.
    pub scratch: &'a mut Matrix,
    /// The first error: the operations have no way to say so, and do nothing any more.
    pub error: Option<CudaError>,
}

impl Pass<'_> {
    /// Queues something, unless something went wrong before.
    fn queue<E: Into<CudaError>>(&mut self, operation: impl FnOnce(&mut Self) -> Result<(), E>) {
        if self.error.is_none() {
            self.error = operation(self).err().map(Into::into);
        }
    }

    /// Queues a kernel.
    fn kernel(&mut self, launch: impl FnOnce(&mut Self) -> Result<(), DriverError>) {
        self.queue(|pass| launch(pass).map_err(CudaError::driver("refuses a kernel")));
    }

    fn weight(&self, layer: &Linear) -> View<'_> {
        View::rows(self.folded.slice(layer.place.weight.clone()), layer.place.inputs)
    }

    fn bias(&self, layer: &Linear) -> Read<'_> {
        self.folded.slice(layer.place.bias.clone())
    }

    /// `y` = `x` W^T, or `y` += that.
    fn forward_product(&mut self, layer: &Linear, x: &Matrix, y: &mut Matrix, store: Store) {
        let Place { inputs, outputs, .. } = layer.place;
        self.queue(|pass| {
            let (x, y) = (x.read(pass.images), y.write(pass.images));
            let sizes = [x.len() / inputs, inputs, outputs];
            let weight = pass.weight(layer).transpose();
            pass.device.product(View::rows(x, inputs), weight, sizes, y, store == Store::Add)
        });
    }

    /// The gradients of a layer's weights and biases.
    fn layer_gradients(&mut self, layer: &Linear, x: &Matrix, d_y: &Matrix) {
        let Place { weight, bias, inputs, outputs } = &layer.place;
        self.kernel(|pass| {
            let d_y = d_y.read(pass.images);
            let (rows, width) = (d_y.len() / bias.len(), bias.len());
            let stride = pass.sums.len() / PARTS;
            let sums = pass.sums.slice_mut(layer.sums..);
            let grid = Grid::columns(width, PARTS, 1);
            pass.device.kernels.column_sums(grid, d_y, sums, rows as u32, width as u32, stride as u32)
        });
        self.queue(|pass| {
            let (x, d_y) = (x.read(pass.images), d_y.read(pass.images));
            let sizes = [*outputs, x.len() / inputs, *inputs];
            let gradients = pass.gradients.slice_mut(weight.clone());
            let d_y = View::rows(d_y, *outputs).transpose();
            pass.device.product(d_y, View::rows(x, *inputs), sizes, gradients, false)
        });
    }

    /// The arguments that tell a kernel which masks are meant.
    fn masks(&self, site: Site) -> (Read<'_, Counters>, u64, u32, f32) {
        (self.counters.as_view(), site.number(), self.dropout.threshold(), self.dropout.keep())
    }

    /// Elements of the mask of an image where a row has `width` of them: masks have a row for every token, also where
    /// there is a class token only.
    const fn mask_len(&self, width: usize) -> u32 {
        (self.sizes.tokens * width) as u32
    }

    fn dropout_in_place(&mut self, site: Site, x: &mut Matrix) {
        self.kernel(|pass| {
            let (image_len, mask_len) = (x.image_len() as u32, pass.mask_len(x.width));
            let x = x.write(pass.images);
            let (count, grid) = (x.len() as u32, Grid::elements(x.len()));
            let (counters, site, threshold, keep) = pass.masks(site);
            let kernels = &pass.device.kernels;
            kernels.dropout_in_place(grid, counters, site, threshold, keep, x, count, image_len, mask_len)
        });
    }

    /// Dimensions of attention with these queries: a block per head, which shares `shared` floats.
    fn heads(&self, query: &Matrix, shared: impl Fn(usize, usize, usize) -> usize) -> (Grid, [u32; 3]) {
        let Sizes { tokens, embed, heads, .. } = self.sizes;
        let (queries, width) = (query.rows_per_image, embed / heads);
        let grid = Grid::images(self.images, heads, ATTENTION_THREADS, shared(queries, tokens, width));
        (grid, [queries, tokens, width].map(|size| size as u32))
    }

    /// Bytes of shared memory that a block takes at most in a network of these sizes.
    pub const fn shared_bytes(sizes: &Sizes) -> usize {
        let &Sizes { tokens, embed, heads, .. } = sizes;
        4 * attention_backward_shared(tokens, tokens, embed / heads)
    }
}

/// Floats that a block of the kernel `attention` shares.
const fn attention_shared(queries: usize, tokens: usize, width: usize) -> usize {
    (queries + 2 * tokens) * (width + 1) + queries * tokens
}

/// Floats that a block of the kernel `attention_backward` shares.
const fn attention_backward_shared(queries: usize, tokens: usize, width: usize) -> usize {
    2 * (queries + tokens) * (width + 1) + 2 * queries * tokens
}

impl Ops for Pass<'_> {
    type Buffer = Matrix;
    type Linear = Linear;

    fn embed(&mut self, layer: &Linear, pixels: &Matrix, patches: &mut Matrix, stream: &mut Matrix) {
        self.kernel(|pass| {
            let Sizes { image, patch, tokens, .. } = pass.sizes;
            let (pixels, patches) = (pixels.read(pass.images), patches.write(pass.images));
            let (count, grid) = (patches.len() as u32, Grid::elements(patches.len()));
            let kernels = &pass.device.kernels;
            kernels.cut_patches(grid, pixels, patches, count, image as u32, patch as u32, tokens as u32)
        });
        self.forward_product(layer, patches, stream, Store::Set);
        self.kernel(|pass| {
            let (stream, table) = (stream.write(pass.images), pass.bias(layer));
            let (count, grid) = (stream.len() as u32, Grid::elements(stream.len()));
            let (counters, site, threshold, keep) = pass.masks(Site::Embedding);
            let (kernels, len) = (&pass.device.kernels, table.len() as u32);
            kernels.add_table_dropout(grid, counters, site, threshold, keep, stream, table, count, len)
        });
    }

    fn embed_backward(&mut self, layer: &Linear, patches: &Matrix, d_stream: &mut Matrix) {
        self.dropout_in_place(Site::Embedding, d_stream);
        self.layer_gradients(layer, patches, d_stream);
    }

    fn normalize(&mut self, x: &Matrix, normed: &mut Matrix, scale: &mut Matrix) {
        self.kernel(|pass| {
            let images = pass.images;
            let (rows, width) = (images * x.rows_per_image, x.width as u32);
            let (x, normed, scale) = (x.read(images), normed.write(images), scale.write(images));
            pass.device.kernels.normalize(Grid::rows(rows), x, normed, scale, rows as u32, width)
        });
    }

    fn normalize_backward(
        &mut self,
        normed: &Matrix,
        scale: &Matrix,
        d_normed: &Matrix,
        d_x: &mut Matrix,
        store: Store,
    ) {
        self.kernel(|pass| {
            let images = pass.images;
            let (rows, width) = (images * d_x.rows_per_image, d_x.width as u32);
            let (normed, scale) = (normed.read(images), scale.read(images));
            let (d_normed, d_x, add) = (d_normed.read(images), d_x.write(images), add(store));
            let kernels = &pass.device.kernels;
            kernels.normalize_backward(
                Grid::rows(rows),
                normed,
                scale,
                d_normed,
                d_x,
                rows as u32,
                width,
                add,
            )
        });
    }

    fn linear(&mut self, layer: &Linear, x: &Matrix, y: &mut Matrix, store: Store) {
        self.kernel(|pass| {
            let (bias, y) = (pass.bias(layer), y.write(pass.images));
            let (count, grid, width) = (y.len() as u32, Grid::elements(y.len()), bias.len() as u32);
            pass.device.kernels.spread_bias(grid, bias, y, count, width, add(store))
        });
        self.forward_product(layer, x, y, Store::Add);
    }

    fn linear_backward(&mut self, layer: &Linear, x: &Matrix, d_y: &Matrix, d_x: &mut Matrix, store: Store) {
        self.layer_gradients(layer, x, d_y);
        let Place { inputs, outputs, .. } = layer.place;
        self.queue(|pass| {
            let (d_y, d_x) = (d_y.read(pass.images), d_x.write(pass.images));
            let sizes = [d_y.len() / outputs, outputs, inputs];
            let weight = pass.weight(layer);
            pass.device.product(View::rows(d_y, outputs), weight, sizes, d_x, store == Store::Add)
        });
    }

    fn linear_gelu_dropout(
        &mut self,
        layer: &Linear,
        x: &Matrix,
        site: Site,
        y: &mut Matrix,
        slope: &mut Matrix,
    ) {
        self.forward_product(layer, x, slope, Store::Set);
        self.kernel(|pass| {
            let (len, mask_len, width) = (y.image_len() as u32, pass.mask_len(y.width), y.width as u32);
            let (bias, slope, y) = (pass.bias(layer), slope.write(pass.images), y.write(pass.images));
            let (count, grid) = (y.len() as u32, Grid::elements(y.len()));
            let (counters, site, threshold, keep) = pass.masks(site);
            let kernels = &pass.device.kernels;
            kernels.gelu_dropout(
                grid, counters, site, threshold, keep, bias, slope, y, count, width, len, mask_len,
            )
        });
    }

    fn gelu_dropout_backward(&mut self, slope: &Matrix, d: &mut Matrix) {
        self.kernel(|pass| {
            let (slope, d) = (slope.read(pass.images), d.write(pass.images));
            let (count, grid) = (d.len() as u32, Grid::elements(d.len()));
            pass.device.kernels.multiply(grid, slope, d, count)
        });
    }

    fn linear_dropout_add(&mut self, layer: &Linear, x: &Matrix, site: Site, stream: &mut Matrix) {
        let Place { inputs, outputs, .. } = layer.place;
        self.queue(|pass| {
            let len = stream.read(pass.images).len();
            let (x, sizes) = (x.read(pass.images), [len / outputs, inputs, outputs]);
            let weight = View::rows(pass.folded.slice(layer.place.weight.clone()), inputs).transpose();
            let y = pass.scratch.values.slice_mut(..len);
            pass.device.product(View::rows(x, inputs), weight, sizes, y, false)
        });
        self.kernel(|pass| {
            let (len, mask_len, width) =
                (stream.image_len() as u32, pass.mask_len(stream.width), stream.width as u32);
            let stream = stream.write(pass.images);
            let (bias, y) = (pass.bias(layer), pass.scratch.values.slice(..stream.len()));
            let (count, grid) = (stream.len() as u32, Grid::elements(stream.len()));
            let (counters, site, threshold, keep) = pass.masks(site);
            let kernels = &pass.device.kernels;
            kernels.dropout_add(
                grid, counters, site, threshold, keep, bias, y, stream, count, width, len, mask_len,
            )
        });
    }

    fn dropout_backward(&mut self, site: Site, d_y: &Matrix, d_x: &mut Matrix) {
        self.kernel(|pass| {
            let (len, mask_len) = (d_y.image_len() as u32, pass.mask_len(d_y.width));
            let (d_y, d_x) = (d_y.read(pass.images), d_x.write(pass.images));
            let (count, grid) = (d_x.len() as u32, Grid::elements(d_x.len()));
            let (counters, site, threshold, keep) = pass.masks(site);
            let kernels = &pass.device.kernels;
            kernels.dropout_backward(grid, counters, site, threshold, keep, d_y, d_x, count, len, mask_len)
        });
    }

    fn attention(
        &mut self,
        site: Site,
        query: &Matrix,
        key_value: &Matrix,
        [kept, dropped]: &mut [Matrix; 2],
        context: &mut Matrix,
    ) {
        self.kernel(|pass| {
            let images = pass.images;
            let (grid, [queries, tokens, width]) = pass.heads(query, attention_shared);
            let (query, key_value) = (query.read(images), key_value.read(images));
            let (kept, dropped, context) = (kept.write(images), dropped.write(images), context.write(images));
            let (counters, site, threshold, keep) = pass.masks(site);
            pass.device.kernels.attention(
                grid, counters, site, threshold, keep, query, key_value, kept, dropped, context, queries,
                tokens, width,
            )
        });
    }

    fn attention_backward(
        &mut self,
        query: &Matrix,
        key_value: &Matrix,
        [kept, dropped]: &[Matrix; 2],
        d_context: &Matrix,
        d_query: &mut Matrix,
        d_key_value: &mut Matrix,
    ) {
        self.kernel(|pass| {
            let images = pass.images;
            let (grid, [queries, tokens, width]) = pass.heads(query, attention_backward_shared);
            let (query, key_value) = (query.read(images), key_value.read(images));
            let (kept, dropped, d_context) =
                (kept.read(images), dropped.read(images), d_context.read(images));
            let (d_query, d_key_value) = (d_query.write(images), d_key_value.write(images));
            pass.device.kernels.attention_backward(
                grid,
                query,
                key_value,
                kept,
                dropped,
                d_context,
                d_query,
                d_key_value,
                queries,
                tokens,
                width,
            )
        });
    }

    fn class_tokens(&mut self, all: &Matrix, class: &mut Matrix) {
        self.kernel(|pass| {
            let (len, width) = (all.image_len() as u32, all.width as u32);
            let (all, class) = (all.read(pass.images), class.write(pass.images));
            let (count, grid) = (class.len() as u32, Grid::elements(class.len()));
            pass.device.kernels.class_tokens(grid, all, class, count, width, len)
        });
    }

    fn class_tokens_backward(&mut self, d_class: &Matrix, d_all: &mut Matrix, store: Store) {
        self.kernel(|pass| {
            let (len, width) = (d_all.image_len() as u32, d_all.width as u32);
            let (d_class, d_all) = (d_class.read(pass.images), d_all.write(pass.images));
            let (count, grid) = (d_all.len() as u32, Grid::elements(d_all.len()));
            let kernels = &pass.device.kernels;
            kernels.class_tokens_backward(grid, d_class, d_all, count, width, len, add(store))
        });
    }

    fn cross_entropy(
        &mut self,
        logits: &Matrix,
        targets: &Matrix,
        losses: &mut Matrix,
        d_logits: &mut Matrix,
    ) {
        self.kernel(|pass| {
            let (images, classes) = (pass.images, logits.width as u32);
            let (logits, targets) = (logits.read(images), targets.read(images));
            let (losses, d_logits) = (losses.write(images), d_logits.write(images));
            let kernels = &pass.device.kernels;
            kernels.cross_entropy(
                Grid::rows(images),
                logits,
                targets,
                losses,
                d_logits,
                images as u32,
                classes,
            )
        });
    }
}

/// As kernels take it.
fn add(store: Store) -> u32 {
    u32::from(store == Store::Add)
}
