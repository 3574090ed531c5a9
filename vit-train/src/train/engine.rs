//! The interface of engines, which carry out training steps on the CPU or on a GPU.

use super::state::{Current, EpochPlan, State};
use crate::{error::Error, network::Trainable, score::Score};

/// An implementation of training steps on some processor.
pub(crate) trait Engine<N: Trainable> {
    /// Returns the name of the processor, for reports.
    fn device(&self) -> String;

    /// Begins an epoch. `done` is the part of it that an interrupted run has already carried out.
    ///
    /// # Errors
    /// Returns [`Error::Cuda`] if the GPU fails.
    fn begin_epoch(&mut self, state: &mut State<N>, epoch: EpochPlan, done: &Current) -> Result<(), Error>;

    /// Carries out one or more steps of the epoch, and adds them to `done`. Afterwards `state` may be out of date until
    /// [`sync`](Self::sync) is called.
    ///
    /// # Errors
    /// Returns [`Error::Diverged`] if the loss is not finite, and [`Error::Cuda`] if the GPU fails.
    fn advance(&mut self, state: &mut State<N>, done: &mut Current) -> Result<(), Error>;

    /// Brings `state` up to date.
    ///
    /// # Errors
    /// Returns [`Error::Cuda`] if the GPU fails.
    fn sync(&mut self, state: &mut State<N>) -> Result<(), Error>;

    /// Returns the score of the network on the images `indices` of the training data. `state` must be up to date.
    ///
    /// # Errors
    /// Returns [`Error::Cuda`] if the GPU fails.
    fn score(&mut self, state: &State<N>, indices: &[usize]) -> Result<Score, Error>;
}
