//! Training steps on a GPU.

use crate::{
    data::{Format, Splits, Variation},
    error::{Divergence, Error},
    fused::cuda::{
        kernels::{Counters, Grid},
        resident::{flatten, prepare, upload, Images, EVALUATED},
        CudaError, Device, Resident,
    },
    network::{dimensions::Dimensions, dropout::Dropout, parameters, Trainable},
    recipe::{Precision, Recipe},
    score::Score,
    train::{
        engine::Engine,
        state::{Current, EpochPlan, State},
    },
};
use cudarc::driver::{
    sys::{CUgraphInstantiate_flags, CUstreamCaptureMode},
    CudaGraph, CudaSlice,
};
use rayon::prelude::*;

/// The engine that carries out the steps of a run on a GPU.
pub(crate) struct Trainer<'a, N: Dimensions> {
    // Fields are dropped in this order: the graphs come first, because they refer to the memory of the others.
    graphs: Vec<(usize, CudaGraph)>,
    recipe: &'a Recipe,
    data: &'a Splits,
    images: Images,
    /// The indices of the images in the order of the epoch.
    order: CudaSlice<u32>,
    /// The variations of these images, flattened.
    variations: CudaSlice<i64>,
    epoch: EpochPlan,
    means: CudaSlice<f32>,
    squares: CudaSlice<f32>,
    /// The partial sums of the squared norm of the gradients.
    norms: CudaSlice<f64>,
    pub(crate) resident: Resident<N>,
}

/// The number of steps that are queued before the host reads the loss.
const STEPS: usize = 32;
/// The number of blocks that add up the squared norm.
const NORM_BLOCKS: u32 = 256;

impl<'a, N: Trainable> Trainer<'a, N> {
    /// Makes an engine for a run of `recipe` on `data` on GPU number `index`.
    ///
    /// # Errors
    /// Returns an error if the GPU cannot be used or has not enough memory.
    pub(crate) fn new(
        index: usize,
        precision: Precision,
        recipe: &'a Recipe,
        data: &'a Splits,
    ) -> Result<Self, CudaError> {
        let device = Device::open(index, precision)?;
        let mut resident =
            Resident::<N>::new(device, recipe.batch_size.min(data.train.len()).max(EVALUATED))?;
        let device = &resident.device;
        let failed = CudaError::driver("failed to allocate memory for the optimizer");
        let zeros = |len| device.main.stream.alloc_zeros(len).map_err(&failed);
        let len = N::DIMS.parameters();
        let (means, squares) = (zeros(len)?, zeros(len)?);
        let norms = device.main.stream.alloc_zeros(NORM_BLOCKS as usize).map_err(&failed)?;
        let images = Images::load(device, &data.train, &data.normalization)?;
        // Graphs refer to the addresses of this memory, so it must be large enough for every epoch from the beginning.
        let order = upload(device, &vec![0; data.train.len()])?;
        let variations = upload(device, &flatten(&vec![Variation::NONE; data.train.len()]))?;
        resident.set_counters(Counters {
            seed_key: Dropout::seed_key(recipe.seed),
            weight_decay: recipe.weight_decay,
            max_norm: recipe.grad_clip,
            ..Counters::default()
        })?;
        Ok(Self {
            graphs: Vec::new(),
            recipe,
            data,
            images,
            order,
            variations,
            epoch: EpochPlan::default(),
            means,
            squares,
            norms,
            resident,
        })
    }

    /// Returns the GPU on which the run is trained.
    pub(crate) const fn device(&self) -> &Device {
        &self.resident.device
    }

    /// Queues one step of `images` images.
    pub(crate) fn queue_step(&mut self, images: usize) -> Result<(), CudaError> {
        let Self { recipe, .. } = *self;
        let failed = CudaError::driver("failed to launch the kernels of a step");
        let kernels = &self.resident.device.main.kernels;
        let counters = self.resident.counters.as_view_mut();
        kernels.begin_step(Grid::images(1, 1, 1, 0), counters, images as u32).map_err(&failed)?;
        self.queue_pass(images)?;

        let Self { resident, means, squares, norms, images: data, order, .. } = self;
        let Resident { device, counters, gradients, parameters, activations, .. } = resident;
        let (kernels, len) = (&device.main.kernels, gradients.len());
        let grid = Grid::sums(NORM_BLOCKS);
        kernels.square_sums(grid, gradients.as_view(), norms.as_view_mut(), len as u32).map_err(&failed)?;
        let (grid, write) = (Grid::sums(1), counters.as_view_mut());
        kernels.clip(grid, write, norms.as_view(), NORM_BLOCKS).map_err(&failed)?;
        kernels
            .adamw(
                Grid::elements(len),
                counters.as_view(),
                gradients.as_view(),
                parameters.as_view_mut(),
                means.as_view_mut(),
                squares.as_view_mut(),
                len as u32,
            )
            .map_err(&failed)?;
        let (logits, losses) = (activations.logits.read(images), activations.losses.read(images));
        let (labels, order) = (data.labels.as_view(), order.as_view());
        let (counters, classes) = (counters.as_view_mut(), N::CLASSES as u32);
        debug_assert!(recipe.batch_size >= images);
        kernels
            .score(Grid::sums(1), counters, logits, losses, labels, order, images as u32, classes)
            .map_err(&failed)
    }

    /// Queues the part of a step that computes the gradients, without changing parameters or counters.
    fn queue_pass(&mut self, images: usize) -> Result<(), CudaError> {
        let Self { recipe, resident, images: data, order, variations, .. } = self;
        let dropout = Dropout::new(recipe.dropout, recipe.seed, 0);
        resident.fold()?;
        let (activations, _, pass) = resident.parts(images, dropout);
        prepare(&pass, activations, data, (order, variations), recipe.label_smoothing)?;
        resident.pass(images, dropout)
    }

    /// Records a step of `images` images as a graph, unless there already is one.
    fn record(&mut self, images: usize) -> Result<(), CudaError> {
        if self.graphs.iter().any(|&(count, _)| count == images) {
            return Ok(());
        }
        let failed = CudaError::driver("failed to record a step");
        // The pass is first executed without recording, because kernels that are loaded lazily cannot be recorded.
        self.queue_pass(images)?;
        let stream = self.resident.device.main.stream.clone();
        stream.synchronize().map_err(&failed)?;
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).map_err(&failed)?;
        let queued = self.queue_step(images);
        // The recording is ended even if a launch failed, because otherwise the stream would go on recording.
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        queued?;
        let graph = graph.map_err(&failed)?.ok_or(CudaError::NothingRecorded)?;
        graph.upload().map_err(&failed)?;
        self.graphs.push((images, graph));
        Ok(())
    }

    pub(crate) fn read_counters(&self) -> Result<Counters, CudaError> {
        let counters = self.device().main.stream.clone_dtoh(&self.resident.counters);
        let counters = counters.map_err(CudaError::driver("failed to carry out a step"))?;
        counters.first().copied().ok_or(CudaError::NothingRecorded)
    }
}

impl<N: Dimensions> Resident<N> {
    pub(crate) fn set_counters(&mut self, counters: Counters) -> Result<(), CudaError> {
        let failed = CudaError::driver("failed to copy the counters to the GPU");
        self.device.main.stream.memcpy_htod(&[counters], &mut self.counters).map_err(failed)
    }
}

impl<N: Trainable> Engine<N> for Trainer<'_, N> {
    fn device(&self) -> String {
        format!("{}, {}", self.resident.device.name, self.resident.device.precision)
    }

    fn begin_epoch(&mut self, state: &mut State<N>, epoch: EpochPlan, done: &Current) -> Result<(), Error> {
        let failed = CudaError::driver("failed to copy the plan of an epoch to the GPU");
        let stream = self.device().main.stream.clone();
        let images = self.data.train.len();
        let order: Vec<u32> = epoch.order.iter().map(|&draw| (draw % images) as u32).collect();
        let (augmentation, seed, number) = (self.recipe.augmentation, self.recipe.seed, epoch.number as u64);
        let variation =
            |&index: &usize| augmentation.variation(Format::of::<N>(), (seed, number, index as u64));
        let variations: Vec<_> = epoch.order.par_iter().map(variation).collect();
        stream.memcpy_htod(&order, &mut self.order.slice_mut(..order.len())).map_err(&failed)?;
        let variations = flatten(&variations);
        let place = &mut self.variations.slice_mut(..variations.len());
        stream.memcpy_htod(&variations, place).map_err(&failed)?;

        self.resident.load(&state.parameters.values)?;
        let (means, squares, &mut steps) = state.optimizer.parts_mut();
        stream.memcpy_htod(means, &mut self.means).map_err(&failed)?;
        stream.memcpy_htod(squares, &mut self.squares).map_err(&failed)?;
        let counters = Counters {
            step: steps as u64,
            loss_sum: done.loss_sum,
            correct: done.correct as u32,
            first: 0, // any valid index, for the pass that `record` executes first
            next: done.images as u32,
            lr: epoch.lr,
            ..self.read_counters()?
        };
        self.resident.set_counters(counters)?;
        self.epoch = epoch;
        Ok(())
    }

    fn advance(&mut self, _: &mut State<N>, done: &mut Current) -> Result<(), Error> {
        let mut ran = Current { ..*done };
        for batch in self.epoch.order[done.images..].chunks(self.recipe.batch_size).take(STEPS) {
            ran.steps += 1;
            ran.images += batch.len();
        }
        let mut left = ran.images - done.images;
        while left > 0 {
            let images = left.min(self.recipe.batch_size);
            self.record(images)?;
            let graph = self.graphs.iter().find(|&&(count, _)| count == images);
            let (_, graph) = graph.ok_or(CudaError::NothingRecorded)?;
            graph.launch().map_err(CudaError::driver("failed to launch a step"))?;
            left -= images;
        }
        let Counters { loss_sum, correct, .. } = self.read_counters()?;
        if !loss_sum.is_finite() {
            let sign = Divergence::Loss { step: ran.steps, loss: loss_sum as f32 };
            return Err(Error::Diverged { epoch: self.epoch.number, sign });
        }
        *done = Current { loss_sum, correct: correct as usize, ..ran };
        Ok(())
    }

    fn sync(&mut self, state: &mut State<N>) -> Result<(), Error> {
        let failed = CudaError::driver("failed to copy parameters from the GPU");
        let stream = self.device().main.stream.clone();
        let counters = self.read_counters()?;
        stream.memcpy_dtoh(&self.resident.parameters, &mut state.parameters.values).map_err(&failed)?;
        let (means, squares, steps) = state.optimizer.parts_mut();
        stream.memcpy_dtoh(&self.means, means).map_err(&failed)?;
        stream.memcpy_dtoh(&self.squares, squares).map_err(&failed)?;
        stream.synchronize().map_err(&failed)?;
        *steps = counters.step as i32;
        parameters::load(&mut state.model, &state.parameters.values);
        Ok(())
    }

    fn score(&mut self, _: &State<N>, indices: &[usize]) -> Result<Score, Error> {
        let logits = self.resident.logits(&self.images, indices)?;
        Ok(Score::new(&logits, indices.iter().map(|&index| self.data.train.label(index))))
    }
}
