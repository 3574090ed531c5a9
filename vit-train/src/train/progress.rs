//! Who looks on while a network is trained.

use crate::run::record::Epoch;
use std::io::{self, Write};

/// Is told how a run goes on.
pub trait Progress {
    /// Step `step` of `steps` (from 1) of epoch `epoch` of `epochs` (from 1) is done; `loss` is the mean since the
    /// epoch began.
    fn step(&mut self, epoch: usize, epochs: usize, step: usize, steps: usize, loss: f64);
    /// An epoch is done; `best` says whether its parameters were kept.
    fn epoch(&mut self, epoch: &Epoch, epochs: usize, best: bool);
    /// All epochs are done and saved, and something else begins that takes a while.
    fn stage(&mut self, what: &str);
    /// Something that whoever waits for the run should know. It is printed to the standard error by default.
    fn note(&mut self, text: &str) {
        let _ = writeln!(io::stderr(), "NOTE: {text}");
    }
    /// Asked after every step and every epoch: whether to end now, with everything saved.
    fn wants_to_end(&mut self) -> bool {
        false
    }
}

/// Nobody is told.
impl Progress for () {
    fn step(&mut self, _: usize, _: usize, _: usize, _: usize, _: f64) {}
    fn epoch(&mut self, _: &Epoch, _: usize, _: bool) {}
    fn stage(&mut self, _: &str) {}
}
