//! The operations of a training pass on a GPU.

use super::{
    device::{Device, View},
    error::CudaError,
    kernels::{Counters, Grid, Mask, Read, Write},
};
use crate::{
    fused::{
        buffer::{Area, AttentionWeights, Buffer, KeyValue, Layer, One},
        fold::Place,
        ops::{Ops, Store},
    },
    network::{
        dimensions::Dimensions,
        dropout::{Dropout, Site},
    },
};
use cudarc::driver::{CudaEvent, CudaSlice, DevicePtr, DriverError};
use dfdx::shapes::{ConstDim, ConstShape};
use std::marker::PhantomData;

/// Activations, or their gradients, of up to as many images as there is memory for.
pub type Matrix<S> = Buffer<CudaSlice<f32>, S>;

impl<S: ConstShape> Matrix<S> {
    /// The elements of the first `images` images.
    pub fn read(&self, images: usize) -> Read<'_> {
        self.values.slice(..images * Self::IMAGE_LEN)
    }

    /// The elements of the first `images` images.
    pub fn write(&mut self, images: usize) -> Write<'_> {
        self.values.slice_mut(..images * Self::IMAGE_LEN)
    }

    /// Where it begins, which no other matrix does.
    fn address(&self) -> u64 {
        self.values.device_ptr(self.values.stream()).0
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
const ATTENTION_THREADS: u32 = 256;

/// The operations on a whole batch. They are queued, nothing waits for them.
///
/// Gradients of layers are needed at the end only, and queued beside the rest, which goes on. It waits where it would
/// write what is read there, and for all of it when the pass is [finished](Pass::finish), which every pass has to be.
#[derive(Debug)]
#[must_use]
pub struct Pass<'a, D: Dimensions> {
    /// What they run on.
    pub device: &'a Device,
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
    /// Any.
    pub scratch: &'a mut Matrix<(D::Tokens, D::Embed)>,
    /// What is read beside, and the end of that, in the order in which it was queued.
    pub read_beside: Vec<([u64; 2], CudaEvent)>,
    /// The first error: the operations have no way to say so, and do nothing any more.
    pub error: Option<CudaError>,
}

impl<D: Dimensions> Pass<'_, D> {
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

    /// The elements of a matrix for the main queue, which waits until nothing beside reads them.
    fn write<'m, S: ConstShape>(&mut self, matrix: &'m mut Matrix<S>) -> Result<Write<'m>, DriverError> {
        let address = matrix.address();
        if let Some(last) = self.read_beside.iter().rposition(|(read, _)| read.contains(&address)) {
            let (_, end) = &self.read_beside[last];
            self.device.main.stream.wait(end)?;
            self.read_beside.drain(..=last); // what was queued before is done, too
        }
        Ok(matrix.write(self.images))
    }

    /// Ends the pass: what is queued from here on comes after all of it, also where something went wrong.
    ///
    /// # Errors
    /// The first one.
    pub fn finish(self) -> Result<(), CudaError> {
        let joined = self.device.main.wait_for(&self.device.beside).map_err(refuses_to_wait());
        self.error.map_or(joined, Err)
    }

    fn bias<I, O>(&self, layer: &Layer<Linear, I, O>) -> Read<'_> {
        self.folded.slice(layer.weights.place.bias.clone())
    }

    /// `y` = `x` W^T, or `y` += that.
    fn forward_product<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        y: &mut Matrix<(R, O)>,
        store: Store,
    ) {
        self.queue(|pass| {
            let weight = weight(pass.folded, layer).transpose();
            let (x, y) =
                (View::rows(x.read(pass.images), I::SIZE), pass.write(y).map_err(refuses_to_wait())?);
            pass.device.main.product(
                x,
                weight,
                [pass.images * R::SIZE, I::SIZE, O::SIZE],
                y,
                store == Store::Add,
            )
        });
    }

    /// The gradients of a layer's weights and biases, beside what is queued from here on.
    fn layer_gradients<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        d_y: &Matrix<(R, O)>,
    ) {
        let Linear { place: Place { weight, bias, .. }, sums } = &layer.weights;
        let (beside, reads) = (&self.device.beside, [x.address(), d_y.address()]);
        self.kernel(|pass| {
            beside.wait_for(&pass.device.main)?;
            let d_y = d_y.read(pass.images);
            let (rows, width) = (d_y.len() / bias.len(), bias.len());
            let stride = pass.sums.len() / PARTS;
            let sums = pass.sums.slice_mut(*sums..);
            let grid = Grid::columns(width, PARTS, 1);
            beside.kernels.column_sums(grid, d_y, sums, rows as u32, width as u32, stride as u32)
        });
        self.queue(|pass| {
            let (x, d_y) = (x.read(pass.images), d_y.read(pass.images));
            let (x, d_y) = (View::rows(x, I::SIZE), View::rows(d_y, O::SIZE).transpose());
            let gradients = pass.gradients.slice_mut(weight.clone());
            beside.product(d_y, x, [O::SIZE, pass.images * R::SIZE, I::SIZE], gradients, false)
        });
        self.kernel(|pass| {
            let end = beside.stream.record_event(None)?;
            pass.read_beside.push((reads, end));
            Ok(())
        });
    }

    /// The mask of a matrix that has `R` rows of `W` elements, and its counters.
    fn mask<R: ConstDim, W: ConstDim>(&self, site: Site) -> (Read<'_, Counters>, Mask) {
        let (site, threshold, keep) = (site.number(), self.dropout.threshold(), self.dropout.keep());
        let [len, mask_len] = [R::SIZE, D::Tokens::SIZE].map(|rows| (rows * W::SIZE) as u32);
        (self.counters.as_view(), Mask { site, threshold, keep, len, mask_len })
    }

    fn dropout_in_place<R: ConstDim, W: ConstDim>(&mut self, site: Site, x: &mut Matrix<(R, W)>) {
        self.kernel(|pass| {
            let x = pass.write(x)?;
            let (count, grid) = (x.len() as u32, Grid::elements(x.len()));
            let (counters, mask) = pass.mask::<R, W>(site);
            pass.device.main.kernels.dropout_in_place(grid, counters, mask, x, count)
        });
    }

    /// A block per head, which shares `shared` floats.
    const fn heads(&self, shared: usize) -> Grid {
        Grid::images(self.images, D::Heads::SIZE, ATTENTION_THREADS, shared)
    }

    /// Bytes of shared memory that a block takes at most.
    pub const SHARED_BYTES: usize = 4 * Attention::<D, D::Tokens>::SHARED_BACKWARD;
}

/// The weights of a layer, among all folded parameters.
fn weight<'a, I: ConstDim, O>(folded: &'a CudaSlice<f32>, layer: &Layer<Linear, I, O>) -> View<'a> {
    View::rows(folded.slice(layer.weights.place.weight.clone()), I::SIZE)
}

/// The sizes of a head with `R` queries.
struct Attention<D, R>(PhantomData<(D, R)>);

impl<D: Dimensions, R: ConstDim> Attention<D, R> {
    const WIDTH: usize = D::Embed::SIZE / D::Heads::SIZE;
    /// As kernels take them: queries, keys, and their width.
    const SIZES: [u32; 3] = [R::SIZE as u32, D::Tokens::SIZE as u32, Self::WIDTH as u32];
    /// Floats that a block of the kernel `attention` shares.
    const SHARED: usize = (R::SIZE + 2 * D::Tokens::SIZE) * (Self::WIDTH + 1) + R::SIZE * D::Tokens::SIZE;
    /// Floats that a block of the kernel `attention_backward` shares.
    const SHARED_BACKWARD: usize =
        2 * (R::SIZE + D::Tokens::SIZE) * (Self::WIDTH + 1) + 2 * R::SIZE * D::Tokens::SIZE;
}

impl<D: Dimensions> Ops<D, CudaSlice<f32>, Linear> for Pass<'_, D> {
    fn embed(
        &mut self,
        layer: &Layer<Linear, Area<D>, D::Embed>,
        pixels: &Matrix<(D::Image, D::Image)>,
        patches: &mut Matrix<(D::Tokens, Area<D>)>,
        stream: &mut Matrix<(D::Tokens, D::Embed)>,
    ) {
        self.kernel(|pass| {
            let (pixels, patches) = (pixels.read(pass.images), pass.write(patches)?);
            let (count, grid) = (patches.len() as u32, Grid::elements(patches.len()));
            let [image, patch, tokens] = [D::Image::SIZE, D::Patch::SIZE, D::Tokens::SIZE].map(|x| x as u32);
            pass.device.main.kernels.cut_patches(grid, pixels, patches, count, image, patch, tokens)
        });
        self.forward_product(layer, patches, stream, Store::Set);
        self.kernel(|pass| {
            let (stream, table) = (pass.write(stream)?, pass.bias(layer));
            let (count, grid) = (stream.len() as u32, Grid::elements(stream.len()));
            let (counters, mask) = pass.mask::<D::Tokens, D::Embed>(Site::Embedding);
            let (kernels, len) = (&pass.device.main.kernels, table.len() as u32);
            kernels.add_table_dropout(grid, counters, mask, stream, table, count, len)
        });
    }

    fn embed_backward(
        &mut self,
        layer: &Layer<Linear, Area<D>, D::Embed>,
        patches: &Matrix<(D::Tokens, Area<D>)>,
        d_stream: &mut Matrix<(D::Tokens, D::Embed)>,
    ) {
        self.dropout_in_place(Site::Embedding, d_stream);
        self.layer_gradients(layer, patches, d_stream);
    }

    fn normalize<R: ConstDim>(
        &mut self,
        x: &Matrix<(R, D::Embed)>,
        normed: &mut Matrix<(R, D::Embed)>,
        scale: &mut Matrix<(R,)>,
    ) {
        self.kernel(|pass| {
            let images = pass.images;
            let (rows, width) = (images * R::SIZE, D::Embed::SIZE as u32);
            let (x, normed, scale) = (x.read(images), pass.write(normed)?, pass.write(scale)?);
            pass.device.main.kernels.normalize(Grid::rows(rows), x, normed, scale, rows as u32, width)
        });
    }

    fn normalize_backward<R: ConstDim>(
        &mut self,
        normed: &Matrix<(R, D::Embed)>,
        scale: &Matrix<(R,)>,
        d_normed: &Matrix<(R, D::Embed)>,
        d_x: &mut Matrix<(R, D::Embed)>,
        store: Store,
    ) {
        self.kernel(|pass| {
            let images = pass.images;
            let (grid, rows) = (Grid::rows(images * R::SIZE), (images * R::SIZE) as u32);
            let (normed, scale, d_normed) = (normed.read(images), scale.read(images), d_normed.read(images));
            let (d_x, width, kernels) = (pass.write(d_x)?, D::Embed::SIZE as u32, &pass.device.main.kernels);
            kernels.normalize_backward(grid, normed, scale, d_normed, d_x, rows, width, add(store))
        });
    }

    fn linear<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        y: &mut Matrix<(R, O)>,
        store: Store,
    ) {
        self.kernel(|pass| {
            let (y, bias) = (pass.write(y)?, pass.bias(layer));
            let (count, grid, width) = (y.len() as u32, Grid::elements(y.len()), O::SIZE as u32);
            pass.device.main.kernels.spread_bias(grid, bias, y, count, width, add(store))
        });
        self.forward_product(layer, x, y, Store::Add);
    }

    fn linear_backward<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        d_y: &Matrix<(R, O)>,
        d_x: &mut Matrix<(R, I)>,
        store: Store,
    ) {
        self.layer_gradients(layer, x, d_y);
        self.queue(|pass| {
            let (d_y, d_x) =
                (View::rows(d_y.read(pass.images), O::SIZE), pass.write(d_x).map_err(refuses_to_wait())?);
            let (weight, sizes) = (weight(pass.folded, layer), [pass.images * R::SIZE, O::SIZE, I::SIZE]);
            pass.device.main.product(d_y, weight, sizes, d_x, store == Store::Add)
        });
    }

    fn linear_gelu_dropout<R: ConstDim>(
        &mut self,
        layer: &Layer<Linear, D::Embed, D::Hidden>,
        x: &Matrix<(R, D::Embed)>,
        site: Site,
        y: &mut Matrix<(R, D::Hidden)>,
        slope: &mut Matrix<(R, D::Hidden)>,
    ) {
        self.forward_product(layer, x, slope, Store::Set);
        self.kernel(|pass| {
            let (slope, y, bias) = (pass.write(slope)?, pass.write(y)?, pass.bias(layer));
            let (count, grid) = (y.len() as u32, Grid::elements(y.len()));
            let (counters, mask) = pass.mask::<R, D::Hidden>(site);
            let (kernels, width) = (&pass.device.main.kernels, D::Hidden::SIZE as u32);
            kernels.gelu_dropout(grid, counters, mask, bias, slope, y, count, width)
        });
    }

    fn gelu_dropout_backward<R: ConstDim>(
        &mut self,
        slope: &Matrix<(R, D::Hidden)>,
        d: &mut Matrix<(R, D::Hidden)>,
    ) {
        self.kernel(|pass| {
            let (slope, d) = (slope.read(pass.images), pass.write(d)?);
            let (count, grid) = (d.len() as u32, Grid::elements(d.len()));
            pass.device.main.kernels.multiply(grid, slope, d, count)
        });
    }

    fn linear_dropout_add<R: ConstDim>(
        &mut self,
        layer: &Layer<Linear, D::Hidden, D::Embed>,
        x: &Matrix<(R, D::Hidden)>,
        site: Site,
        stream: &mut Matrix<(R, D::Embed)>,
    ) {
        self.queue(|pass| {
            let weight = weight(pass.folded, layer).transpose();
            let sizes = [pass.images * R::SIZE, D::Hidden::SIZE, D::Embed::SIZE];
            let y = pass.scratch.values.slice_mut(..sizes[0] * D::Embed::SIZE);
            pass.device.main.product(
                View::rows(x.read(pass.images), D::Hidden::SIZE),
                weight,
                sizes,
                y,
                false,
            )
        });
        self.kernel(|pass| {
            let stream = pass.write(stream)?;
            let (bias, y) = (pass.bias(layer), pass.scratch.values.slice(..stream.len()));
            let (count, grid) = (stream.len() as u32, Grid::elements(stream.len()));
            let (counters, mask) = pass.mask::<R, D::Embed>(site);
            let (kernels, width) = (&pass.device.main.kernels, D::Embed::SIZE as u32);
            kernels.dropout_add(grid, counters, mask, bias, y, stream, count, width)
        });
    }

    fn dropout_backward<R: ConstDim>(
        &mut self,
        site: Site,
        d_y: &Matrix<(R, D::Embed)>,
        d_x: &mut Matrix<(R, D::Embed)>,
    ) {
        self.kernel(|pass| {
            let (d_y, d_x) = (d_y.read(pass.images), pass.write(d_x)?);
            let (count, grid) = (d_x.len() as u32, Grid::elements(d_x.len()));
            let (counters, mask) = pass.mask::<R, D::Embed>(site);
            pass.device.main.kernels.dropout_backward(grid, counters, mask, d_y, d_x, count)
        });
    }

    fn attention<R: ConstDim>(
        &mut self,
        site: Site,
        query: &mut Matrix<(R, D::Embed)>,
        key_value: &mut Matrix<(D::Tokens, KeyValue<D>)>,
        [kept, dropped]: &mut [Matrix<AttentionWeights<D, R>>; 2],
        context: &mut Matrix<(R, D::Embed)>,
    ) {
        self.kernel(|pass| {
            let (images, grid) = (pass.images, pass.heads(Attention::<D, R>::SHARED));
            let [queries, tokens, width] = Attention::<D, R>::SIZES;
            let (query, key_value) = (query.read(images), key_value.read(images));
            let (kept, dropped, context) = (pass.write(kept)?, pass.write(dropped)?, pass.write(context)?);
            let (counters, mask) = pass.mask::<R, D::Tokens>(site);
            pass.device.main.kernels.attention(
                grid, counters, mask, query, key_value, kept, dropped, context, queries, tokens, width,
            )
        });
    }

    fn attention_backward<R: ConstDim>(
        &mut self,
        query: &Matrix<(R, D::Embed)>,
        key_value: &Matrix<(D::Tokens, KeyValue<D>)>,
        [kept, dropped]: &[Matrix<AttentionWeights<D, R>>; 2],
        d_context: &Matrix<(R, D::Embed)>,
        d_query: &mut Matrix<(R, D::Embed)>,
        d_key_value: &mut Matrix<(D::Tokens, KeyValue<D>)>,
    ) {
        self.kernel(|pass| {
            let (images, grid) = (pass.images, pass.heads(Attention::<D, R>::SHARED_BACKWARD));
            let [queries, tokens, width] = Attention::<D, R>::SIZES;
            let (query, key_value) = (query.read(images), key_value.read(images));
            let (kept, dropped, d_context) =
                (kept.read(images), dropped.read(images), d_context.read(images));
            let (d_query, d_key_value) = (pass.write(d_query)?, pass.write(d_key_value)?);
            pass.device.main.kernels.attention_backward(
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

    fn class_tokens(&mut self, all: &Matrix<(D::Tokens, D::Embed)>, class: &mut Matrix<(One, D::Embed)>) {
        self.kernel(|pass| {
            let [width, len] = [D::Embed::SIZE, D::Tokens::SIZE * D::Embed::SIZE].map(|len| len as u32);
            let (all, class) = (all.read(pass.images), pass.write(class)?);
            let (count, grid) = (class.len() as u32, Grid::elements(class.len()));
            pass.device.main.kernels.class_tokens(grid, all, class, count, width, len)
        });
    }

    fn class_tokens_backward(
        &mut self,
        d_class: &Matrix<(One, D::Embed)>,
        d_all: &mut Matrix<(D::Tokens, D::Embed)>,
        store: Store,
    ) {
        self.kernel(|pass| {
            let [width, len] = [D::Embed::SIZE, D::Tokens::SIZE * D::Embed::SIZE].map(|len| len as u32);
            let (d_class, d_all) = (d_class.read(pass.images), pass.write(d_all)?);
            let (count, grid) = (d_all.len() as u32, Grid::elements(d_all.len()));
            let kernels = &pass.device.main.kernels;
            kernels.class_tokens_backward(grid, d_class, d_all, count, width, len, add(store))
        });
    }

    fn cross_entropy(
        &mut self,
        logits: &Matrix<(One, D::Classes)>,
        targets: &Matrix<(One, D::Classes)>,
        losses: &mut Matrix<(One,)>,
        d_logits: &mut Matrix<(One, D::Classes)>,
    ) {
        self.kernel(|pass| {
            let (images, classes, grid) = (pass.images, D::Classes::SIZE as u32, Grid::rows(pass.images));
            let (logits, targets) = (logits.read(images), targets.read(images));
            let (losses, d_logits) = (pass.write(losses)?, pass.write(d_logits)?);
            let kernels = &pass.device.main.kernels;
            kernels.cross_entropy(grid, logits, targets, losses, d_logits, images as u32, classes)
        });
    }
}

fn refuses_to_wait() -> impl Fn(DriverError) -> CudaError {
    CudaError::driver("refuses to make a queue wait")
}

/// As kernels take it.
fn add(store: Store) -> u32 {
    u32::from(store == Store::Add)
}
