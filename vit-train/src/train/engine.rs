//! What carries out the steps of a training: the CPU or a GPU.

use super::state::{Current, EpochPlan, State};
use crate::{error::Error, network::Trainable, score::Score};

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
