//! Training steps on the CPU.

use super::{
    engine::Engine,
    state::{Batch, Current, EpochPlan, State},
};
use crate::{
    data::Splits,
    error::{Divergence, Error},
    fused::Step,
    inference::dfdx_logits,
    network::{dropout::Dropout, Trainable},
    recipe::Recipe,
    score::Score,
};
use vit_nostd::argmax;

/// The engine that carries out the steps of a run on the CPU.
pub(super) struct CpuEngine<'a, N: Trainable> {
    recipe: &'a Recipe,
    data: &'a Splits,
    epoch: EpochPlan,
    fused: Step<N>,
    /// The batch of the next step, if there is one.
    prepared: Batch,
    /// The memory in which the batch after it is prepared.
    next: Batch,
}

impl<'a, N: Trainable> CpuEngine<'a, N> {
    /// Makes an engine for a run of `recipe` on `data`.
    pub(super) fn new(recipe: &'a Recipe, data: &'a Splits) -> Self {
        let (prepared, next) = (Batch::default(), Batch::default());
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
                &self.data.normalization,
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
        // The next batch is prepared in parallel with the pass of this one.
        let mut pass = rayon::in_place_scope(|scope| {
            if let Some(batch) = batches.next() {
                scope.spawn(|_| next.fill::<N>(recipe, &data.train, &data.normalization, batch, *number));
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
        let label = |draw: usize| usize::from(data.train.label(draw % data.train.len()));
        let correct = logits.zip(batch).filter(|&(logits, &draw)| argmax(logits) == label(draw));
        done.steps = step;
        done.images += batch.len();
        done.loss_sum += f64::from(pass.loss) * batch.len() as f64;
        done.correct += correct.count();
        Ok(())
    }

    fn sync(&mut self, _: &mut State<N>) -> Result<(), Error> {
        Ok(())
    }

    fn score(&mut self, state: &State<N>, indices: &[usize]) -> Result<Score, Error> {
        let logits = dfdx_logits(&state.model, &self.data.normalization, &self.data.train, indices);
        Ok(Score::new(&logits, indices.iter().map(|&index| self.data.train.label(index))))
    }
}
