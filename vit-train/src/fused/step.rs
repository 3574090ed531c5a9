//! The training pass as one operation on dfdx's tape.

use super::{
    cpu::{self, Batch},
    network::Sizes,
    timed::Times,
};
use crate::network::{
    dimensions::Dimensions,
    dropout::Dropout,
    model::{Model, Pass, Visitor},
    parameters::Layout,
    Trainable,
};
use dfdx::prelude::*;
use std::sync::Arc;

/// The operation on dfdx's tape that computes the loss of a batch and the gradients of all parameters.
///
/// dfdx stores the parameters and receives the gradients; [`cpu::Cpu`] does everything in between. It runs the forward
/// and the backward pass on one part of the batch at a time, so that the part stays in the cache. The gradients are
/// therefore ready together with the loss, and the tape only passes them on.
#[derive(Debug)]
pub(crate) struct Step<N: Dimensions> {
    cpu: cpu::Cpu<N>,
    parameters: Vec<f32>,
    gradients: Arc<Vec<f32>>,
}

impl<N: Trainable> Default for Step<N> {
    fn default() -> Self {
        let layout = Layout::of::<N>();
        let zeros = vec![0.0; layout.len()];
        let cpu = cpu::Cpu::new(Sizes::of::<N>(), layout);
        Self { cpu, parameters: zeros.clone(), gradients: Arc::new(zeros) }
    }
}

impl<N: Trainable> Step<N> {
    /// Computes the same as [`Model::loss_and_gradients`], but faster. `pixels` are normalised, image by image;
    /// `targets` are distributions over the classes, image by image.
    pub(crate) fn loss_and_gradients(
        &mut self,
        model: &mut Model<N, Cpu>,
        pixels: &[f32],
        targets: &[f32],
        dropout: &Dropout,
    ) -> Pass<Cpu> {
        let mut logits = vec![0.0; targets.len()];
        let loss = self.loss(model, Batch { pixels, targets }, dropout, &mut logits);
        Pass { loss: loss.as_vec()[0], logits, gradients: loss.backward() }
    }

    /// Returns the time that each operation of the last pass took: see [`cpu::Cpu::times`].
    pub(crate) fn times(&self) -> Times {
        self.cpu.times()
    }

    /// Returns the loss with its tape.
    fn loss(
        &mut self,
        model: &mut Model<N, Cpu>,
        batch: Batch<'_>,
        dropout: &Dropout,
        logits: &mut [f32],
    ) -> Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>> {
        model.visit(&mut Read(&mut self.parameters));
        let gradients = Arc::make_mut(&mut self.gradients);
        let loss = self.cpu.pass(&self.parameters, batch, dropout, logits, gradients);
        let loss = Cpu::default().tensor(loss);
        let mut record =
            Record { loss: &loss, gradients: &self.gradients, start: 0, tape: OwnedTape::default() };
        model.visit(&mut record);
        assert_eq!(record.start, self.gradients.len(), "a parameter is not on the tape");
        let tape = record.tape;
        loss.put_tape(tape)
    }
}

/// A visitor that copies all parameters, one after the other.
struct Read<'a>(&'a mut [f32]);

impl Visitor<Cpu> for Read<'_> {
    fn visit<S: ConstShape>(&mut self, _: &str, _: &[usize], parameter: &mut Tensor<S, f32, Cpu>) {
        let (values, rest) = std::mem::take(&mut self.0).split_at_mut(S::NUMEL);
        parameter.copy_into(values);
        self.0 = rest;
    }
}

/// A visitor that puts the backward operation of every parameter on a tape.
struct Record<'a> {
    loss: &'a Tensor<Rank0, f32, Cpu>,
    /// The gradients of the loss with respect to all parameters.
    gradients: &'a Arc<Vec<f32>>,
    /// The index in `gradients` where those of the next parameter begin.
    start: usize,
    tape: OwnedTape<f32, Cpu>,
}

impl Visitor<Cpu> for Record<'_> {
    fn visit<S: ConstShape>(&mut self, _: &str, _: &[usize], parameter: &mut Tensor<S, f32, Cpu>) {
        let (loss, parameter) = (self.loss.clone(), parameter.ghost());
        let (gradients, range) = (Arc::clone(self.gradients), self.start..self.start + S::NUMEL);
        self.start = range.end;
        self.tape.add_backward_op(move |all| {
            let factor = all.get(&loss).as_vec()[0];
            let sums = all.get_or_alloc_mut(&parameter)?;
            sums.iter_mut().zip(&gradients[range]).for_each(|(sum, gradient)| *sum += factor * gradient);
            Ok(())
        });
    }
}
