//! The operations of a training pass on a GPU.

use super::{
    device::{Device, View},
    error::CudaError,
    kernels::{Counters, Grid, InputWindows, Mask, Read, Write},
};
use crate::{
    fused::{
        buffer::{AttentionWeights, Buffer, Image, KeyValue, Layer, Map, One, PatchValues, StemValues},
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

/// A buffer of activations, or of their gradients, in the memory of a GPU.
pub(crate) type Matrix<S> = Buffer<CudaSlice<f32>, S>;

impl<S: ConstShape> Matrix<S> {
    /// Returns the elements of the first `images` images.
    pub(crate) fn read(&self, images: usize) -> Read<'_> {
        self.values.slice(..images * Self::IMAGE_LEN)
    }

    /// Returns the elements of the first `images` images for writing.
    pub(crate) fn write(&mut self, images: usize) -> Write<'_> {
        self.values.slice_mut(..images * Self::IMAGE_LEN)
    }

    /// Returns the address of the buffer, which identifies it.
    fn address(&self) -> u64 {
        self.values.device_ptr(self.values.stream()).0
    }
}

/// A linear layer, whose parameters are among those of the network.
#[derive(Debug)]
pub(crate) struct Linear {
    /// The position among the parameters.
    pub place: Place,
    /// The index of the layer's first sum among the sums for the gradients of all biases.
    pub sums: usize,
}

/// The number of parts in which the rows of a batch are added up.
pub(crate) const PARTS: usize = 16;

/// The number of threads of a block that computes attention.
const ATTENTION_THREADS: u32 = 256;

/// The operations on a whole batch. They are queued; the host does not wait for them.
///
/// Gradients of layers are needed only at the end of a pass, so they are queued in the side queue and computed in
/// parallel with the rest. The main queue waits for the side queue before it writes a buffer that the side queue still
/// reads, and when the pass is [finished](Pass::finish). Every pass must be finished.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pass<'a, D: Dimensions> {
    /// The GPU on which the operations run.
    pub device: &'a Device,
    /// The number of images in the batch.
    pub images: usize,
    /// The dropout. Only its rate is used here; the key of the masks is in `counters`.
    pub dropout: Dropout,
    /// The counters of the step.
    pub counters: &'a CudaSlice<Counters>,
    /// All parameters, folded.
    pub folded: &'a CudaSlice<f32>,
    /// The gradients of all folded weights. Those of the biases are still in `sums`.
    pub gradients: &'a mut CudaSlice<f32>,
    /// The sums for the gradients of all biases, in [`PARTS`] parts.
    pub sums: &'a mut CudaSlice<f32>,
    /// A buffer for products; its content does not matter.
    pub scratch: &'a mut Matrix<(D::Tokens, D::Embed)>,
    /// The addresses of buffers that the side queue reads, with an event at the end of the reading, in the order in
    /// which they were queued.
    pub read_by_side: Vec<([u64; 2], CudaEvent)>,
    /// The first error. The operations of [`Ops`] cannot return it; after it, they do nothing.
    pub error: Option<CudaError>,
}

impl<D: Dimensions> Pass<'_, D> {
    /// Queues an operation, unless an earlier one failed.
    fn queue<E: Into<CudaError>>(&mut self, operation: impl FnOnce(&mut Self) -> Result<(), E>) {
        if self.error.is_none() {
            self.error = operation(self).err().map(Into::into);
        }
    }

    /// Queues a kernel, unless an earlier operation failed.
    fn kernel(&mut self, launch: impl FnOnce(&mut Self) -> Result<(), DriverError>) {
        self.queue(|pass| launch(pass).map_err(CudaError::driver("failed to launch a kernel")));
    }

    /// Returns the elements of a matrix for writing in the main queue, after making that queue wait until the side
    /// queue no longer reads them.
    fn write<'m, S: ConstShape>(&mut self, matrix: &'m mut Matrix<S>) -> Result<Write<'m>, DriverError> {
        let address = matrix.address();
        if let Some(last) = self.read_by_side.iter().rposition(|(read, _)| read.contains(&address)) {
            let (_, end) = &self.read_by_side[last];
            self.device.main.stream.wait(end)?;
            self.read_by_side.drain(..=last); // the readers that were queued earlier have also ended
        }
        Ok(matrix.write(self.images))
    }

    /// Ends the pass: all operations that are queued from now on come after it, even if it failed.
    ///
    /// # Errors
    /// Returns the first error of an operation of the pass.
    pub(crate) fn finish(self) -> Result<(), CudaError> {
        let joined = self.device.main.wait_for(&self.device.side).map_err(refuses_to_wait());
        self.error.map_or(joined, Err)
    }

    fn bias<I, O>(&self, layer: &Layer<Linear, I, O>) -> Read<'_> {
        self.folded.slice(layer.weights.place.bias.clone())
    }

    /// Queues `y` = `x` W^T, or `y` += `x` W^T.
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

    /// Queues `d_x` = `d_y` W, or `d_x` += `d_y` W.
    fn backward_product<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        d_y: &Matrix<(R, O)>,
        d_x: &mut Matrix<(R, I)>,
        store: Store,
    ) {
        self.queue(|pass| {
            let (d_y, d_x) =
                (View::rows(d_y.read(pass.images), O::SIZE), pass.write(d_x).map_err(refuses_to_wait())?);
            let (weight, sizes) = (weight(pass.folded, layer), [pass.images * R::SIZE, O::SIZE, I::SIZE]);
            pass.device.main.product(d_y, weight, sizes, d_x, store == Store::Add)
        });
    }

    /// Queues the windows of the inputs `x`.
    fn cut<S: ConstShape, R: ConstDim, W: ConstDim>(
        &mut self,
        size: InputWindows,
        x: &Matrix<S>,
        windows: &mut Matrix<(R, W)>,
    ) {
        self.kernel(|pass| {
            let (x, windows) = (x.read(pass.images), pass.write(windows)?);
            let (count, grid) = (windows.len() as u32, Grid::elements(windows.len()));
            pass.device.main.kernels.cut_windows(grid, x, windows, count, size)
        });
    }

    /// Queues `d` *= `slope`.
    fn multiply<S: ConstShape>(&mut self, slope: &Matrix<S>, d: &mut Matrix<S>) {
        self.kernel(|pass| {
            let (slope, d) = (slope.read(pass.images), pass.write(d)?);
            let (count, grid) = (d.len() as u32, Grid::elements(d.len()));
            pass.device.main.kernels.multiply(grid, slope, d, count)
        });
    }

    /// Queues the gradients of a layer's weights and biases in the side queue.
    fn layer_gradients<R: ConstDim, I: ConstDim, O: ConstDim>(
        &mut self,
        layer: &Layer<Linear, I, O>,
        x: &Matrix<(R, I)>,
        d_y: &Matrix<(R, O)>,
    ) {
        let Linear { place: Place { weight, bias, .. }, sums } = &layer.weights;
        let (side, reads) = (&self.device.side, [x.address(), d_y.address()]);
        self.kernel(|pass| {
            side.wait_for(&pass.device.main)?;
            let d_y = d_y.read(pass.images);
            let (rows, width) = (d_y.len() / bias.len(), bias.len());
            let stride = pass.sums.len() / PARTS;
            let sums = pass.sums.slice_mut(*sums..);
            let grid = Grid::columns(width, PARTS, 1);
            side.kernels.column_sums(grid, d_y, sums, rows as u32, width as u32, stride as u32)
        });
        self.queue(|pass| {
            let (x, d_y) = (x.read(pass.images), d_y.read(pass.images));
            let (x, d_y) = (View::rows(x, I::SIZE), View::rows(d_y, O::SIZE).transpose());
            let gradients = pass.gradients.slice_mut(weight.clone());
            side.product(d_y, x, [O::SIZE, pass.images * R::SIZE, I::SIZE], gradients, false)
        });
        self.kernel(|pass| {
            let end = side.stream.record_event(None)?;
            pass.read_by_side.push((reads, end));
            Ok(())
        });
    }

    /// Returns the mask of a matrix that has `R` rows of `W` elements for each image, and the counters that it depends
    /// on.
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

    /// Returns a grid with a block for each head, which has `shared` floats of shared memory.
    const fn heads(&self, shared: usize) -> Grid {
        Grid::images(self.images, D::Heads::SIZE, ATTENTION_THREADS, shared)
    }

    /// The largest number of bytes of shared memory that a block needs.
    pub(crate) const SHARED_BYTES: usize = 4 * Attention::<D, D::Tokens>::SHARED_BACKWARD;
}

/// Returns the weights of a layer, which are among all folded parameters.
fn weight<'a, I: ConstDim, O>(folded: &'a CudaSlice<f32>, layer: &Layer<Linear, I, O>) -> View<'a> {
    View::rows(folded.slice(layer.weights.place.weight.clone()), I::SIZE)
}

/// The sizes of an attention head with `R` queries.
struct Attention<D, R>(PhantomData<(D, R)>);

impl<D: Dimensions, R: ConstDim> Attention<D, R> {
    const WIDTH: usize = D::Embed::SIZE / D::Heads::SIZE;
    /// The sizes in the order of the kernels' parameters: queries, tokens, and the width of a head.
    const SIZES: [u32; 3] = [R::SIZE as u32, D::Tokens::SIZE as u32, Self::WIDTH as u32];
    /// The floats of shared memory of a block of the kernel `attention`.
    const SHARED: usize = (R::SIZE + 2 * D::Tokens::SIZE) * (Self::WIDTH + 1) + R::SIZE * D::Tokens::SIZE;
    /// The floats of shared memory of a block of the kernel `attention_backward`.
    const SHARED_BACKWARD: usize =
        2 * (R::SIZE + D::Tokens::SIZE) * (Self::WIDTH + 1) + 2 * R::SIZE * D::Tokens::SIZE;
}

impl<D: Dimensions> Ops<D, CudaSlice<f32>, Linear> for Pass<'_, D> {
    fn stem(
        &mut self,
        layer: &Layer<Linear, StemValues<D>, D::StemChannels>,
        pixels: &Matrix<Image<D>>,
        windows: &mut Matrix<(D::MapPixels, StemValues<D>)>,
        map: &mut Matrix<Map<D>>,
        slope: &mut Matrix<Map<D>>,
    ) {
        let Some(of_stem) = D::STEM_WINDOWS else { return };
        self.cut(InputWindows::of_images(of_stem, 0), pixels, windows);
        self.forward_product(layer, windows, slope, Store::Set);
        self.kernel(|pass| {
            let (slope, map, bias) = (pass.write(slope)?, pass.write(map)?, pass.bias(layer));
            let (count, grid) = (map.len() as u32, Grid::elements(map.len()));
            let width = D::StemChannels::SIZE as u32;
            // Nothing is dropped.
            let mask = Mask { site: 0, threshold: 0, keep: 1.0, len: 1, mask_len: 1 };
            let (counters, kernels) = (pass.counters.as_view(), &pass.device.main.kernels);
            kernels.gelu_dropout(grid, counters, mask, bias, slope, map, count, width)
        });
    }

    fn stem_backward(
        &mut self,
        layer: &Layer<Linear, StemValues<D>, D::StemChannels>,
        windows: &Matrix<(D::MapPixels, StemValues<D>)>,
        slope: &Matrix<Map<D>>,
        d_map: &mut Matrix<Map<D>>,
    ) {
        self.multiply(slope, d_map);
        self.layer_gradients(layer, windows, d_map);
    }

    fn cut_images(&mut self, pixels: &Matrix<Image<D>>, patches: &mut Matrix<(D::Tokens, PatchValues<D>)>) {
        self.cut(InputWindows::of_images(D::PATCH_WINDOWS, 1), pixels, patches);
    }

    fn cut_maps(&mut self, map: &Matrix<Map<D>>, patches: &mut Matrix<(D::Tokens, PatchValues<D>)>) {
        self.cut(InputWindows::of_maps(D::PATCH_WINDOWS, 1), map, patches);
    }

    fn cut_maps_backward(
        &mut self,
        layer: &Layer<Linear, PatchValues<D>, D::Embed>,
        d_stream: &Matrix<(D::Tokens, D::Embed)>,
        d_patches: &mut Matrix<(D::Tokens, PatchValues<D>)>,
        d_map: &mut Matrix<Map<D>>,
    ) {
        self.backward_product(layer, d_stream, d_patches, Store::Set);
        self.kernel(|pass| {
            let (d_patches, d_map) = (d_patches.read(pass.images), pass.write(d_map)?);
            let (count, grid) = (d_map.len() as u32, Grid::elements(d_map.len()));
            let size = InputWindows::of_maps(D::PATCH_WINDOWS, 1);
            pass.device.main.kernels.add_up_windows(grid, d_patches, d_map, count, size)
        });
    }

    fn embed(
        &mut self,
        layer: &Layer<Linear, PatchValues<D>, D::Embed>,
        patches: &Matrix<(D::Tokens, PatchValues<D>)>,
        stream: &mut Matrix<(D::Tokens, D::Embed)>,
    ) {
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
        layer: &Layer<Linear, PatchValues<D>, D::Embed>,
        patches: &Matrix<(D::Tokens, PatchValues<D>)>,
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
        self.backward_product(layer, d_y, d_x, store);
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
        self.multiply(slope, d);
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
    CudaError::driver("failed to make a queue wait for the other")
}

/// Returns 1 for [`Store::Add`] and 0 for [`Store::Set`], as kernels take it.
fn add(store: Store) -> u32 {
    u32::from(store == Store::Add)
}
