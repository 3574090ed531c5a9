//! A network in the memory of a GPU.

use super::{
    device::Device,
    error::CudaError,
    kernels::{Counters, Grid},
    pass::{Linear, Matrix, Pass, PARTS},
};
use crate::{
    data::{Dataset, Warp},
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

/// Network `N` in the memory of a GPU, with room for passes of up to so many images.
#[derive(Debug)]
pub struct Resident<N: Dimensions> {
    pub(crate) parameters: CudaSlice<f32>,
    /// Of all parameters: first of the folded ones, and after a step's end of the others.
    pub(crate) gradients: CudaSlice<f32>,
    pub(crate) counters: CudaSlice<Counters>,
    pub(crate) activations: Activations<N, CudaSlice<f32>>,
    capacity: usize,
    pub(crate) folded: CudaSlice<f32>,
    layers: Layers<N, Linear>,
    pub(crate) sums: CudaSlice<f32>,
    scratch: Matrix<(<N as Dimensions>::Tokens, <N as Dimensions>::Embed)>,
    tables: Tables,
    // Given back last.
    pub(crate) device: Device,
}

/// What [`Fold`] says, for kernels.
#[derive(Debug)]
struct Tables {
    /// Of each output behind a LayerNorm: where its weights, its bias, and the LayerNorm's scale and shift begin.
    rows: CudaSlice<u32>,
    /// What each of them is multiplied with besides.
    factors: CudaSlice<f32>,
    /// Of each LayerNorm: where its scale, its shift, and the weights and biases behind it begin, its first row among
    /// `rows`, and its number of rows.
    norms: CudaSlice<u32>,
    /// Where each sum of a bias' gradients belongs.
    biases: CudaSlice<u32>,
    /// Where class token, bias of the patches, and positions begin.
    embedding: [u32; 3],
}

/// Images and labels in the memory of a GPU.
#[derive(Debug)]
pub struct Images {
    pub(crate) pixels: CudaSlice<u8>,
    pub(crate) labels: CudaSlice<u8>,
    /// What the network takes for each of the 256 greys.
    pub(crate) normalized: CudaSlice<f32>,
}

/// Images in a pass of evaluation: enough to keep a GPU busy.
pub(crate) const EVALUATED: usize = 256;
/// Bytes of shared memory that every GPU gives a block.
const SHARED: usize = 48 << 10;

/// What a pass works on, and the operations.
type Parts<'a, N> = (&'a mut Activations<N, CudaSlice<f32>>, &'a Layers<N, Linear>, Pass<'a, N>);

impl<N: Trainable> Resident<N> {
    /// For passes of up to `capacity` images; all parameters are zero.
    ///
    /// # Errors
    /// [`CudaError`], where there is not enough memory, for example.
    pub fn new(device: Device, capacity: usize) -> Result<Self, CudaError> {
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
        let failed = CudaError::driver("has no memory for the network: try a smaller --batch-size");
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

    /// What it is on.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Takes these parameters, in the order of the network's layout.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn load(&mut self, parameters: &[f32]) -> Result<(), CudaError> {
        let failed = CudaError::driver("does not take parameters");
        self.device.main.stream.memcpy_htod(parameters, &mut self.parameters).map_err(failed)
    }

    /// The logits of the images `indices`, `images x classes`.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn logits(&mut self, images: &Images, indices: &[usize]) -> Result<Vec<f32>, CudaError> {
        let failed = CudaError::driver("does not evaluate");
        self.fold()?;
        let stream = self.device.main.stream.clone();
        let mut logits = Vec::with_capacity(indices.len() * N::CLASSES);
        // Images that are not moved, in their order, a batch after the other.
        let warps = upload(&self.device, &flatten(&vec![Warp::NONE; self.capacity]))?;
        let counters = stream.alloc_zeros(1).map_err(&failed)?;
        for batch in indices.chunks(self.capacity) {
            let order: Vec<u32> = batch.iter().map(|&index| index as u32).collect();
            let order = upload(&self.device, &order)?;
            let (activations, layers, mut pass) = self.parts(batch.len(), Dropout::none());
            pass.counters = &counters;
            prepare(&pass, activations, images, (&order, &warps), 0.0)?;
            activations.forward(&mut pass, layers);
            pass.finish()?;
            logits.extend(stream.clone_dtoh(&self.activations.logits.read(batch.len())).map_err(&failed)?);
            stream.synchronize().map_err(&failed)?;
        }
        Ok(logits)
    }
}

impl<N: Dimensions> Resident<N> {
    /// Queues folding the parameters.
    pub(crate) fn fold(&mut self) -> Result<(), CudaError> {
        let failed = CudaError::driver("refuses to fold");
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

    /// Queues a pass, from pixels and targets to the gradients of all parameters, which were folded.
    pub(crate) fn pass(&mut self, images: usize, dropout: Dropout) -> Result<(), CudaError> {
        let (activations, layers, mut pass) = self.parts(images, dropout);
        activations.pass(&mut pass, layers);
        pass.finish()?;
        self.finish_biases()?;
        self.unfold()
    }

    /// Queues what makes the gradients of biases out of the sums of a pass.
    pub(crate) fn finish_biases(&mut self) -> Result<(), CudaError> {
        let Self { device, gradients, sums, tables: Tables { biases, .. }, .. } = self;
        let count = biases.len();
        let (grid, parts) = (Grid::elements(count), PARTS as u32);
        let (sums, gradients, places) = (sums.as_view(), gradients.as_view_mut(), biases.as_view());
        let finished =
            device.main.kernels.finish_column_sums(grid, sums, gradients, places, count as u32, parts);
        finished.map_err(CudaError::driver("refuses to add up"))
    }

    /// Queues what makes gradients of all parameters out of those of the folded ones.
    fn unfold(&mut self) -> Result<(), CudaError> {
        let failed = CudaError::driver("refuses to unfold");
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

    /// What a pass of `images` images works on, and the operations.
    pub(crate) fn parts(&mut self, images: usize, dropout: Dropout) -> Parts<'_, N> {
        assert!(images <= self.capacity, "{images} images in the memory of {}", self.capacity);
        let pass = Pass {
            device: &self.device,
            images,
            dropout,
            counters: &self.counters,
            folded: &self.folded,
            gradients: &mut self.gradients,
            sums: &mut self.sums,
            scratch: &mut self.scratch,
            read_beside: Vec::new(),
            error: None,
        };
        (&mut self.activations, &self.layers, pass)
    }
}

/// The logits of all images of `data` by network `N` with these parameters, on GPU number `index`: `images x classes`.
///
/// # Errors
/// [`CudaError`].
pub fn logits<N: Trainable>(
    index: usize,
    precision: Precision,
    parameters: &[f32],
    normalization: Normalization,
    data: &Dataset,
) -> Result<Vec<f32>, CudaError> {
    let mut resident = Resident::<N>::new(Device::open(index, precision)?, EVALUATED.min(data.len()))?;
    resident.load(parameters)?;
    let images = Images::load(&resident.device, data, normalization)?;
    resident.logits(&images, &(0..data.len()).collect::<Vec<_>>())
}

/// Queues what makes pixels and targets: those of the images that come next in an order, and how they are moved.
pub(crate) fn prepare<D: Dimensions>(
    pass: &Pass<'_, D>,
    activations: &mut Activations<D, CudaSlice<f32>>,
    images: &Images,
    (order, warps): (&CudaSlice<u32>, &CudaSlice<i64>),
    label_smoothing: f32,
) -> Result<(), CudaError> {
    let prepared = pass.device.main.kernels.prepare(
        Grid::images(pass.images, 1, 256, 0),
        pass.counters.as_view(),
        images.pixels.as_view(),
        images.labels.as_view(),
        order.as_view(),
        warps.as_view(),
        images.normalized.as_view(),
        D::Image::SIZE as u32,
        D::Classes::SIZE as u32,
        label_smoothing,
        activations.pixels.write(pass.images),
        activations.targets.write(pass.images),
    );
    prepared.map_err(CudaError::driver("refuses to prepare images"))
}

impl Images {
    /// Brings a data set to the GPU.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn load(device: &Device, data: &Dataset, normalization: Normalization) -> Result<Self, CudaError> {
        let greys: Vec<u8> = (0..=255).collect();
        let normalized: Vec<f32> = normalize(&greys, normalization).collect();
        Ok(Self {
            pixels: upload(device, data.images())?,
            labels: upload(device, data.labels())?,
            normalized: upload(device, &normalized)?,
        })
    }
}

/// Numbers of a LayerNorm in [`Tables::norms`].
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

/// Copies to the GPU.
pub(crate) fn upload<T: DeviceRepr>(device: &Device, values: &[T]) -> Result<CudaSlice<T>, CudaError> {
    device.main.stream.clone_htod(values).map_err(CudaError::driver("has no memory for the data"))
}

/// As the kernel takes them.
pub(crate) fn flatten(warps: &[Warp]) -> Vec<i64> {
    let flatten = |&Warp { start, across, down, knots }: &Warp| {
        [start, across, down].into_iter().chain(knots.into_iter().flatten()).flatten()
    };
    warps.iter().flat_map(flatten).collect()
}
