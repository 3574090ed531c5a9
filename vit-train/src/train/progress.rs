//! The interface by which a run reports its progress.

use crate::run::record::Epoch;
use std::io::{self, Write};

/// An observer of a run, which is called during training.
pub trait Progress {
    /// Called after step `step` of `steps` in epoch `epoch` of `epochs`, both counted from 1. `loss` is the mean
    /// since the beginning of the epoch.
    fn step(&mut self, epoch: usize, epochs: usize, step: usize, steps: usize, loss: f64);
    /// Called after an epoch. `kept` is true if its parameters are kept instead of those of an earlier epoch.
    fn epoch(&mut self, epoch: &Epoch, epochs: usize, kept: bool);
    /// Called after the last epoch, when another stage of the run begins that takes some time. `what` is its name,
    /// such as "testing".
    fn stage(&mut self, what: &str);
    /// Called with a note for the user. By default, it is printed to the standard error.
    fn note(&mut self, text: &str) {
        let _ = writeln!(io::stderr(), "NOTE: {text}");
    }
    /// Called after steps and epochs. Returns true if the run should save its state and end now.
    fn wants_to_end(&mut self) -> bool {
        false
    }
}

/// Ignores everything but notes.
impl Progress for () {
    fn step(&mut self, _: usize, _: usize, _: usize, _: usize, _: f64) {}
    fn epoch(&mut self, _: &Epoch, _: usize, _: bool) {}
    fn stage(&mut self, _: &str) {}
}
