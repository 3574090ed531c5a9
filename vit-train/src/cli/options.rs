//! Options that several commands have.

use crate::{
    error::Error,
    recipe::{Precision, Processor},
};
use clap::Args;

/// The heading of options about images.
pub const DATA: &str = "Data";

/// Whether a GPU is used.
#[derive(Args, Debug)]
pub struct CudaArguments {
    /// Use an NVIDIA GPU
    #[arg(long)]
    pub cuda: bool,
    /// Which GPU, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "cuda")]
    cuda_device: usize,
    /// How exactly the GPU multiplies matrices [default: tf32]
    #[arg(long, value_enum, requires = "cuda")]
    precision: Option<Precision>,
}

impl CudaArguments {
    pub fn processor(&self) -> Processor {
        self.processor_or(Processor::Cpu)
    }

    /// The processor that is given, completed by what `run` ran on.
    pub fn processor_or(&self, run: Processor) -> Processor {
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

/// Makes all that runs in parallel run on so many threads.
pub fn use_threads(threads: Option<usize>) -> Result<(), Error> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(|error| Error::Setting(format!("--threads {threads}: {error}")))
}

pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_owned()),
        Ok(value) => Ok(value),
    }
}

/// More would only take memory, and their start long.
pub const MAX_THREADS: usize = 1024;

pub fn thread_count(text: &str) -> Result<usize, String> {
    let wrong = || format!("expected a whole number from 1 to {MAX_THREADS}");
    positive(text).ok().filter(|&threads| threads <= MAX_THREADS).ok_or_else(wrong)
}
