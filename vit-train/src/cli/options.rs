//! Options that several commands share, and parsers of their values.

use crate::{
    error::Error,
    recipe::{Precision, Processor},
};
use clap::Args;

/// The heading of the options about images in `--help`.
pub(super) const DATA: &str = "Data";

/// The options that choose between the CPU and a GPU.
#[derive(Args, Debug)]
pub(super) struct CudaArguments {
    /// Compute on an NVIDIA GPU
    #[arg(long)]
    pub cuda: bool,
    /// Number of the GPU to use, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "cuda")]
    cuda_device: usize,
    /// Precision of matrix products on the GPU [default: tf32]
    #[arg(long, value_enum, requires = "cuda")]
    precision: Option<Precision>,
}

impl CudaArguments {
    /// Returns the processor that the options name: the CPU if none is given.
    pub(super) fn processor(&self) -> Processor {
        self.processor_or(Processor::Cpu)
    }

    /// Returns the processor that the options name. What they leave out is taken from `run`, the processor of an
    /// earlier run.
    pub(super) fn processor_or(&self, run: Processor) -> Processor {
        if !self.cuda {
            return run;
        }
        let before = match run {
            Processor::Cuda { precision, .. } => precision,
            Processor::Cpu => Precision::default(),
        };
        Processor::Cuda { index: self.cuda_device, precision: self.precision.unwrap_or(before) }
    }
}

/// Sets the number of threads for everything that runs in parallel. None leaves it at the number of processors.
pub(super) fn use_threads(threads: Option<usize>) -> Result<(), Error> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(|error| Error::Usage(format!("--threads {threads}: {error}")))
}

/// Parses a whole number of at least 1.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_owned()),
        Ok(value) => Ok(value),
    }
}

/// The most threads that are allowed. More would only take memory and time to start.
pub(super) const MAX_THREADS: usize = 1024;

/// Parses a number of threads.
pub(super) fn thread_count(text: &str) -> Result<usize, String> {
    positive_up_to::<MAX_THREADS>(text)
}

/// Parses a whole number from 1 to `MAX`.
pub(super) fn positive_up_to<const MAX: usize>(text: &str) -> Result<usize, String> {
    let wrong = || format!("expected a whole number from 1 to {MAX}");
    positive(text).ok().filter(|&number| number <= MAX).ok_or_else(wrong)
}
