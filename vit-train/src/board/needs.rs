//! The needs of a firmware with a network: flash, RAM and instructions.

use super::{
    boards::Board,
    core::{Core, Kernels},
    instructions::instructions,
    memory::{frame_bytes, scratch_bytes, weight_bytes},
};
use crate::{
    formats::checkpoint::TOOL,
    run::samples::{record_bytes, MOST},
};
use vit_nostd::{
    frame::Fit,
    model_file::{overhead, Metadata, Normalization, Provenance, MAX_CHANNELS},
    Dims,
};

/// Amounts of flash, RAM and instructions: those that a firmware needs, or those that a board has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Bytes of flash: the code, the model file and the samples.
    pub flash: usize,
    /// Bytes of RAM: the scratch memory, the stack, other variables, and what it takes to resize the frames of a camera.
    pub ram: usize,
    /// Instructions of an inference.
    pub instructions: u64,
}

impl Needs {
    /// Returns what the firmware that `vit-train new` writes needs at most for a network whose classes have these
    /// labels. The instructions are an estimate.
    pub fn of(dims: &Dims, core: Core, labels: &[String]) -> Self {
        let kernels = core.kernels();
        let classes = usize::from(dims.classes);
        let ram = scratch_bytes(dims, kernels) + stack_bytes(classes) + STATICS + frame_bytes(dims);
        let flash = code_bytes(kernels) + model_bytes(dims, labels) + samples_bytes(dims);
        Self { flash, ram, instructions: instructions(dims, kernels) }
    }

    /// True if none of it is more than there is.
    pub fn is_within(&self, limits: &Self) -> bool {
        self.flash <= limits.flash && self.ram <= limits.ram && self.instructions <= limits.instructions
    }

    /// True if it fits into the flash and the RAM of a board.
    pub fn fits(&self, board: &Board) -> bool {
        self.flash <= board.flash && self.ram <= board.ram
    }

    /// Returns the estimated time of an inference on a board, in milliseconds, if every instruction takes one cycle.
    pub fn milliseconds(&self, board: &Board) -> f64 {
        1e3 * self.instructions as f64 / f64::from(board.clock)
    }
}

/// The most bytes of variables besides the scratch memory: the log's buffer for a debug probe, and the timer. On a
/// Netduino Plus 2 with a probe, they take 1,092 bytes.
const STATICS: usize = 1280;

/// The most bytes of stack, for the inference, its logits and the log. The compiler places copies of the logits as it
/// likes, so that this bound and that of the code are what the firmware of 44 networks took at most, and a little more.
fn stack_bytes(classes: usize) -> usize {
    2688 + 12 * classes
}

/// The most bytes of code and constants besides the model and the samples.
fn code_bytes(kernels: Kernels) -> usize {
    match kernels {
        Kernels::Armv6m => 41 << 10,
        Kernels::Armv7m => 43 << 10,
        Kernels::Dsp => 41 << 10,
    }
}

/// The most bytes of a model file that a training writes.
fn model_bytes(dims: &Dims, labels: &[String]) -> usize {
    let longest = "x".repeat(MAX_NAME);
    let provenance = Provenance {
        dataset: &longest,
        seed: u64::MAX,
        test_accuracy: Some(0.0),
        tool: TOOL,
        checkpoint: Some([0; 32]),
    };
    let labels = labels.join("\n");
    let normalization = [Normalization::NO_CHANNEL; MAX_CHANNELS];
    weight_bytes(dims) + overhead(&Metadata::new(Fit::default(), normalization, &labels, provenance))
}

/// The longest name of a data set, which is that of a folder, in bytes.
const MAX_NAME: usize = 255;

/// The most bytes of `samples.bin`.
fn samples_bytes(dims: &Dims) -> usize {
    MOST * record_bytes(dims)
}
