//! What carries out the steps of a training run: the CPU, here, or a GPU, in [`fused::cuda`](crate::fused::cuda).

use crate::{
    data::Splits,
    error::{Divergence, Error},
    fused::{
        cuda::{self, Precision},
        Step,
    },
    inference::{dfdx_logits, Score},
    network::dropout::Dropout,
    network::Trainable,
    recipe::Recipe,
    resume::Current,
    train::{Prepared, State},
};
use serde::{Deserialize, Serialize};
use std::fmt;
use vit_nostd::argmax;

/// What a network is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda {
        /// Which one, from 0.
        index: usize,
        /// Of matrix products.
        precision: Precision,
    },
}

/// What of it shows in the results.
impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("the CPU"),
            Self::Cuda { precision, .. } => write!(f, "a GPU with {precision}"),
        }
    }
}

impl Processor {
    /// Whether it is there.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn check(self) -> Result<(), Error> {
        match self {
            Self::Cpu => Ok(()),
            Self::Cuda { index, .. } => Ok(cuda::Device::check(index)?),
        }
    }
}

/// An epoch, before it begins.
#[derive(Clone, Debug, Default)]
pub struct EpochPlan {
    /// From 1.
    pub number: usize,
    /// The images in the order in which they are seen.
    pub order: Vec<usize>,
    /// Learning rate.
    pub lr: f32,
}

/// Something that carries out the steps of a run.
pub trait Engine<N: Trainable> {
    /// Its name.
    fn device(&self) -> String;

    /// Begins an epoch, of which a part may be done.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    fn begin_epoch(&mut self, state: &mut State<N>, epoch: EpochPlan, done: &Current) -> Result<(), Error>;

    /// Carries out the next step of the epoch, or some steps, and adds them to what is `done`. `state` need not be up
    /// to date afterwards.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Cuda`].
    fn advance(&mut self, state: &mut State<N>, done: &mut Current) -> Result<(), Error>;

    /// Brings `state` up to date.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    fn sync(&mut self, state: &mut State<N>) -> Result<(), Error>;

    /// The score of the network as it is on the images `indices` of the data that it is trained with; `state` is up to
    /// date.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    fn score(&mut self, state: &State<N>, indices: &[usize]) -> Result<Score, Error>;
}

/// The engine that `recipe` asks for.
///
/// # Errors
/// [`Error::Cuda`].
pub fn engine<'a, N: Trainable>(
    recipe: &'a Recipe,
    data: &'a Splits,
) -> Result<Box<dyn Engine<N> + 'a>, Error> {
    Ok(match recipe.processor {
        Processor::Cpu => Box::new(CpuEngine::<N>::new(recipe, data)),
        Processor::Cuda { index, precision } => {
            Box::new(cuda::Trainer::<N>::new(index, precision, recipe, data)?)
        }
    })
}

/// The CPU.
struct CpuEngine<'a, N: Trainable> {
    recipe: &'a Recipe,
    data: &'a Splits,
    epoch: EpochPlan,
    fused: Step<N>,
    /// The next batch, if any.
    prepared: Prepared,
    /// Memory for the one after it.
    next: Prepared,
}

impl<'a, N: Trainable> CpuEngine<'a, N> {
    fn new(recipe: &'a Recipe, data: &'a Splits) -> Self {
        let (prepared, next) = (Prepared::default(), Prepared::default());
        Self { recipe, data, epoch: EpochPlan::default(), fused: Step::default(), prepared, next }
    }
}

impl<N: Trainable> Engine<N> for CpuEngine<'_, N> {
    fn device(&self) -> String {
        "CPU".to_owned()
    }

    fn begin_epoch(&mut self, _: &mut State<N>, epoch: EpochPlan, done: &Current) -> Result<(), Error> {
        if let Some(batch) = epoch.order[done.images..].chunks(self.recipe.batch_size).next() {
            self.prepared.fill::<N>(
                self.recipe,
                &self.data.train,
                self.data.normalization,
                batch,
                epoch.number,
            );
        }
        self.epoch = epoch;
        Ok(())
    }

    fn advance(&mut self, state: &mut State<N>, done: &mut Current) -> Result<(), Error> {
        let Self { recipe, data, epoch: EpochPlan { number, order, lr }, fused, prepared, next } = self;
        let mut batches = order[done.images..].chunks(recipe.batch_size);
        let Some(batch) = batches.next() else { return Ok(()) };
        let step = done.steps + 1;
        let steps = order.len().div_ceil(recipe.batch_size);
        let dropout = Dropout::new(recipe.dropout, recipe.seed, ((*number - 1) * steps + step) as u64);
        // The next batch is prepared while this one is worked on.
        let mut pass = rayon::in_place_scope(|scope| {
            if let Some(batch) = batches.next() {
                scope.spawn(|_| next.fill::<N>(recipe, &data.train, data.normalization, batch, *number));
            }
            fused.loss_and_gradients(&mut state.model, &prepared.pixels, &prepared.targets, &dropout)
        });
        if !pass.loss.is_finite() {
            let sign = Divergence::Loss { step, loss: pass.loss };
            return Err(Error::Diverged { epoch: *number, sign });
        }
        state.update(&mut pass, recipe.grad_clip, *lr);
        std::mem::swap(prepared, next);

        let logits = pass.logits.chunks_exact(N::CLASSES);
        let right = logits.zip(batch).filter(|(l, &i)| argmax(l) == usize::from(data.train.label(i)));
        done.steps = step;
        done.images += batch.len();
        done.loss_sum += f64::from(pass.loss) * batch.len() as f64;
        done.right += right.count();
        Ok(())
    }

    fn sync(&mut self, _: &mut State<N>) -> Result<(), Error> {
        Ok(())
    }

    fn score(&mut self, state: &State<N>, indices: &[usize]) -> Result<Score, Error> {
        let logits = dfdx_logits(&state.model, self.data.normalization, &self.data.train, indices);
        Ok(Score::new(&logits, indices.iter().map(|&index| self.data.train.label(index))))
    }
}
