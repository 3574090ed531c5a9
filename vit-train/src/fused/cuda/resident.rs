//! A network in the memory of a GPU.

use super::{
    device::Device,
    error::CudaError,
    kernels::{Counters, Grid, ImageSize},
    pass::{Linear, Matrix, Pass, PARTS},
};
use crate::{
    data::{Colours, Dataset, Erased, Variation, Warp},
    fused::{
        fold::Fold,
        network::{Activations, Layers, Sizes},
    },
    inference::normalize,
    network::{dimensions::Dimensions, dropout::Dropout, parameters::Layout, Trainable},
    recipe::Precision,
};
use cudarc::driver::{CudaSlice, DeviceRepr};
use dfdx::shapes::ConstDim;
use vit_nostd::model_file::Normalization;

/// Network `N` in the memory of a GPU, with room for passes of up to `capacity` images.
#[derive(Debug)]
pub(crate) struct Resident<N: Dimensions> {
    pub(crate) parameters: CudaSlice<f32>,
    /// The gradients of all parameters: those of the folded ones during a pass, and those of the unfolded ones after
    /// it.
    pub(crate) gradients: CudaSlice<f32>,
    pub(crate) counters: CudaSlice<Counters>,
    pub(crate) activations: Activations<N, CudaSlice<f32>>,
    capacity: usize,
    pub(crate) folded: CudaSlice<f32>,
    layers: Layers<N, Linear>,
    pub(crate) sums: CudaSlice<f32>,
    scratch: Matrix<(<N as Dimensions>::Tokens, <N as Dimensions>::Embed)>,
    tables: Tables,
    // Fields are dropped in this order: the device comes last, after the memory that it holds.
    pub(crate) device: Device,
}

/// The positions that [`Fold`] knows, as tables for the kernels.
#[derive(Debug)]
struct Tables {
    /// Four indices for each output of a layer after a LayerNorm: where its weights, its bias, and the LayerNorm's
    /// scale and shift begin.
    rows: CudaSlice<u32>,
    /// An additional factor for each of these outputs: `1 / sqrt(HEAD_DIM)` for queries, 1 for others.
    factors: CudaSlice<f32>,
    /// Six numbers for each LayerNorm: where its scale, its shift, and the weights and biases of the layer after it
    /// begin, its first row in `rows`, and its number of rows.
    norms: CudaSlice<u32>,
    /// The index among the parameters of each bias, in the order of the sums for their gradients.
    biases: CudaSlice<u32>,
    /// The indices where class token, bias of the patches, and positions begin.
    embedding: [u32; 3],
}

/// Images and labels in the memory of a GPU.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) pixels: CudaSlice<u8>,
    pub(crate) labels: CudaSlice<u16>,
    /// The network's input for each of the 256 levels of each channel.
    pub(crate) normalized: CudaSlice<f32>,
}

/// The number of images in a pass of evaluation, which is enough to keep a GPU busy.
pub(crate) const EVALUATED: usize = 256;
/// The bytes of shared memory that a block has on every GPU.
const SHARED: usize = 48 << 10;

/// The parts of a network that a pass needs: activations, layers and operations.
type Parts<'a, N> = (&'a mut Activations<N, CudaSlice<f32>>, &'a Layers<N, Linear>, Pass<'a, N>);

impl<N: Trainable> Resident<N> {
    /// Allocates the memory of the network for passes of up to `capacity` images. All parameters are zero.
    ///
    /// # Errors
    /// Returns an error if the network is too large for the kernels, or if the GPU has not enough memory.
    pub(crate) fn new(device: Device, capacity: usize) -> Result<Self, CudaError> {
        let (sizes, bytes) = (Sizes::of::<N>(), Pass::<N>::SHARED_BYTES);
        if bytes > SHARED {
            return Err(CudaError::TooLarge { bytes, limit: SHARED });
        }
        let layout = Layout::of::<N>();
        let len = layout.len();
        let fold = Fold::new(sizes, layout);
        let mut count = 0;
        let mut biases = Vec::new();
        let layers = fold.places().map(|place| {
            let sums = count;
            count += place.bias.len();
            biases.extend(place.bias.clone().map(|at| at as u32));
            Linear { place: place.clone(), sums }
        });
        let failed =
            CudaError::driver("failed to allocate memory for the network (smaller batches need less)");
        let zeros = |len| device.main.stream.alloc_zeros::<f32>(len).map_err(&failed);
        let (parameters, folded, gradients) = (zeros(len)?, zeros(len)?, zeros(len)?);
        let sums = zeros(PARTS * count)?;
        let scratch = Matrix::within(|len| zeros(capacity * len))?;
        let counters = device.main.stream.alloc_zeros(1).map_err(&failed)?;
        let activations = Activations::new(N::DEPTH, |len| zeros(capacity * len))?;
        let tables = Tables::new(&device, &sizes, &fold, &biases)?;
        Ok(Self {
            parameters,
            gradients,
            counters,
            activations,
            capacity,
            folded,
            layers,
            sums,
            scratch,
            tables,
            device,
        })
    }

    /// Copies parameters to the GPU. They must be in the order of the network's layout.
    ///
    /// # Errors
    /// Returns an error if the driver fails to copy them.
    pub(crate) fn load(&mut self, parameters: &[f32]) -> Result<(), CudaError> {
        let failed = CudaError::driver("failed to copy parameters to the GPU");
        self.device.main.stream.memcpy_htod(parameters, &mut self.parameters).map_err(failed)
    }

    /// Returns the logits of the images `indices`, `images x classes`.
    ///
    /// # Errors
    /// Returns an error if the driver or cuBLAS fails.
    pub(crate) fn logits(&mut self, images: &Images, indices: &[usize]) -> Result<Vec<f32>, CudaError> {
        let failed = CudaError::driver("failed to evaluate images");
        self.fold()?;
        let stream = self.device.main.stream.clone();
        let mut logits = Vec::with_capacity(indices.len() * N::CLASSES);
        // The images are not augmented, and are evaluated in their order, batch by batch.
        let variations = upload(&self.device, &flatten(&vec![Variation::NONE; self.capacity]))?;
        let counters = stream.alloc_zeros(1).map_err(&failed)?;
        for batch in indices.chunks(self.capacity) {
            let order: Vec<u32> = batch.iter().map(|&index| index as u32).collect();
            let order = upload(&self.device, &order)?;
            let (activations, layers, mut pass) = self.parts(batch.len(), Dropout::none());
            pass.counters = &counters;
            prepare(&pass, activations, images, (&order, &variations), 0.0)?;
            activations.forward(&mut pass, layers);
            pass.finish()?;
            logits.extend(stream.clone_dtoh(&self.activations.logits.read(batch.len())).map_err(&failed)?);
            stream.synchronize().map_err(&failed)?;
        }
        Ok(logits)
    }
}

impl<N: Dimensions> Resident<N> {
    /// Queues the kernels that fold the parameters.
    pub(crate) fn fold(&mut self) -> Result<(), CudaError> {
        let failed = CudaError::driver("failed to launch the kernels that fold the parameters");
        let Self { device, parameters, folded, tables, .. } = self;
        let Tables { rows, factors, .. } = tables;
        let kernels = &device.main.kernels;
        device.main.stream.memcpy_dtod(parameters, folded).map_err(&failed)?;
        let count = factors.len();
        let (width, tokens) = (N::Embed::SIZE as u32, N::Tokens::SIZE as u32);
        kernels
            .fold_rows(
                Grid::rows(count),
                parameters.as_view(),
                folded.as_view_mut(),
                rows.as_view(),
                factors.as_view(),
                count as u32,
                width,
            )
            .map_err(&failed)?;
        let [class_token, patch_bias, positions] = tables.embedding;
        let grid = Grid::elements(N::Tokens::SIZE * N::Embed::SIZE);
        let (parameters, folded) = (parameters.as_view(), folded.as_view_mut());
        kernels
            .fold_embedding(grid, parameters, folded, class_token, patch_bias, positions, tokens, width)
            .map_err(&failed)
    }

    /// Queues a pass, from pixels and targets to the gradients of all parameters. [`fold`](Self::fold) must have been
    /// queued before.
    pub(crate) fn pass(&mut self, images: usize, dropout: Dropout) -> Result<(), CudaError> {
        let (activations, layers, mut pass) = self.parts(images, dropout);
        activations.pass(&mut pass, layers);
        pass.finish()?;
        self.finish_biases()?;
        self.unfold()
    }

    /// Queues the kernel that computes the gradients of the biases from the sums of a pass.
    pub(crate) fn finish_biases(&mut self) -> Result<(), CudaError> {
        let Self { device, gradients, sums, tables: Tables { biases, .. }, .. } = self;
        let count = biases.len();
        let (grid, parts) = (Grid::elements(count), PARTS as u32);
        let (sums, gradients, places) = (sums.as_view(), gradients.as_view_mut(), biases.as_view());
        let finished =
            device.main.kernels.finish_column_sums(grid, sums, gradients, places, count as u32, parts);
        finished.map_err(CudaError::driver("failed to launch the kernel of the biases' gradients"))
    }

    /// Queues the kernels that turn gradients of the folded parameters into those of the unfolded ones.
    fn unfold(&mut self) -> Result<(), CudaError> {
        let failed = CudaError::driver("failed to launch the kernels that unfold the gradients");
        let Self { device, parameters, gradients, tables, .. } = self;
        let Tables { rows, factors, norms, embedding, .. } = tables;
        let kernels = &device.main.kernels;
        let (width, tokens) = (N::Embed::SIZE as u32, N::Tokens::SIZE as u32);
        let grid = Grid::columns(N::Embed::SIZE, norms.len() / NORM, 2);
        let values = parameters.as_view();
        kernels
            .unfold_columns(grid, values, gradients.as_view_mut(), norms.as_view(), factors.as_view(), width)
            .map_err(&failed)?;
        let (count, values) = (factors.len(), parameters.as_view());
        let (rows, factors) = (rows.as_view(), factors.as_view());
        kernels
            .unfold_rows(
                Grid::rows(count),
                values,
                gradients.as_view_mut(),
                rows,
                factors,
                count as u32,
                width,
            )
            .map_err(&failed)?;
        let &mut [class_token, patch_bias, positions] = embedding;
        let (grid, gradients) = (Grid::elements(N::Embed::SIZE), gradients.as_view_mut());
        kernels
            .unfold_embedding(grid, gradients, class_token, patch_bias, positions, tokens, width)
            .map_err(&failed)
    }

    /// Returns the activations, the layers and the operations for a pass of `images` images.
    pub(crate) fn parts(&mut self, images: usize, dropout: Dropout) -> Parts<'_, N> {
        assert!(images <= self.capacity, "a pass of {images} images in memory for {}", self.capacity);
        let pass = Pass {
            device: &self.device,
            images,
            dropout,
            counters: &self.counters,
            folded: &self.folded,
            gradients: &mut self.gradients,
            sums: &mut self.sums,
            scratch: &mut self.scratch,
            read_by_side: Vec::new(),
            error: None,
        };
        (&mut self.activations, &self.layers, pass)
    }
}

/// Computes the logits of all images of `data` by network `N` with these parameters, on GPU number `index`. They are
/// `images x classes` numbers.
///
/// # Errors
/// Returns an error if the GPU cannot be used, or if its driver or cuBLAS fails.
pub(crate) fn logits<N: Trainable>(
    index: usize,
    precision: Precision,
    parameters: &[f32],
    normalization: &[Normalization],
    data: &Dataset,
) -> Result<Vec<f32>, CudaError> {
    let mut resident = Resident::<N>::new(Device::open(index, precision)?, EVALUATED.min(data.len()))?;
    resident.load(parameters)?;
    let images = Images::load(&resident.device, data, normalization)?;
    resident.logits(&images, &(0..data.len()).collect::<Vec<_>>())
}

/// Queues the kernel that makes pixels and targets of the images that come next in `order`, each changed by its
/// variation.
pub(crate) fn prepare<D: Dimensions>(
    pass: &Pass<'_, D>,
    activations: &mut Activations<D, CudaSlice<f32>>,
    images: &Images,
    (order, variations): (&CudaSlice<u32>, &CudaSlice<i64>),
    label_smoothing: f32,
) -> Result<(), CudaError> {
    let prepared = pass.device.main.kernels.prepare(
        Grid::images(pass.images, 1, 256, 0),
        pass.counters.as_view(),
        images.pixels.as_view(),
        images.labels.as_view(),
        order.as_view(),
        variations.as_view(),
        images.normalized.as_view(),
        ImageSize::of::<D>(),
        D::Classes::SIZE as u32,
        label_smoothing,
        activations.pixels.write(pass.images),
        activations.targets.write(pass.images),
    );
    prepared.map_err(CudaError::driver("failed to launch the kernel that prepares images"))
}

impl Images {
    /// Copies a data set to the GPU.
    ///
    /// # Errors
    /// Returns an error if the GPU has not enough memory.
    pub(crate) fn load(
        device: &Device,
        data: &Dataset,
        normalization: &[Normalization],
    ) -> Result<Self, CudaError> {
        let levels: Vec<u8> = (0..=255).flat_map(|level| vec![level; normalization.len()]).collect();
        let normalized: Vec<f32> = normalize(&levels, normalization).collect();
        Ok(Self {
            pixels: upload(device, data.images())?,
            labels: upload(device, data.labels())?,
            normalized: upload(device, &normalized)?,
        })
    }
}

/// The number of elements for each LayerNorm in [`Tables::norms`].
const NORM: usize = 6;

impl Tables {
    fn new(device: &Device, sizes: &Sizes, fold: &Fold, biases: &[u32]) -> Result<Self, CudaError> {
        let (mut rows, mut factors, mut norms) = (Vec::new(), Vec::new(), Vec::new());
        for (norm, queries) in fold.norms() {
            let [scale, shift] = [&norm.scale, &norm.shift].map(|range| range.start as u32);
            let [weight, bias] = [&norm.weight, &norm.bias].map(|range| range.start as u32);
            let outputs = norm.bias.len();
            norms.extend([scale, shift, weight, bias, factors.len() as u32, outputs as u32]);
            for output in 0..outputs {
                rows.extend([weight + (output * sizes.embed) as u32, bias + output as u32, scale, shift]);
                factors.push(if output < queries { fold.query_scale() } else { 1.0 });
            }
        }
        Ok(Self {
            rows: upload(device, &rows)?,
            factors: upload(device, &factors)?,
            norms: upload(device, &norms)?,
            biases: upload(device, biases)?,
            embedding: fold.embedding().map(|range| range.start as u32),
        })
    }
}

/// Copies values to new memory of the GPU.
pub(crate) fn upload<T: DeviceRepr>(device: &Device, values: &[T]) -> Result<CudaSlice<T>, CudaError> {
    device.main.stream.clone_htod(values).map_err(CudaError::driver("failed to copy data to the GPU"))
}

/// Returns the numbers of the variations in the order of the fields of `ImageVariation` in `kernels.cu`.
pub(crate) fn flatten(variations: &[Variation]) -> Vec<i64> {
    let flatten = |&Variation { warp, colours, erased }: &Variation| {
        let Warp { start, across, down, knots } = warp;
        let Colours { saturation, contrast, brightness } = colours;
        let Erased { left, top, right, bottom, colour } = erased;
        let places = [start, across, down].into_iter().chain(knots.into_iter().flatten()).flatten();
        let factors = [saturation, contrast, brightness].map(i64::from);
        let rectangle = [left, top, right, bottom].map(i64::from);
        places.chain(factors).chain(rectangle).chain(colour.map(i64::from))
    };
    variations.iter().flat_map(flatten).collect()
}
