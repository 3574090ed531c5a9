//! The command line: what can be said, and which part of the library does it.

mod bench;
mod eval;
mod inspect;
mod progress;
mod quantize;
mod train;
mod verify;

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};
use vit_nostd::Shape;
use vit_train::{
    data::{load, Format, Source, Splits},
    engine::Processor,
    fused::cuda::Precision,
    Error,
};

/// Train a Vision Transformer on this computer, and run the very same network on a microcontroller.
///
/// Without a command, it trains.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: train::Arguments,
}

const EXAMPLES: &str = "\
Examples:
  vit-train --preset nano --epochs 5           train the smallest network; results go to runs/nano
  vit-train verify runs/nano                   compare vit-nostd with dfdx on the test images
  vit-train eval runs/nano/model.f32.vit       accuracy of a model file
  vit-train inspect runs/nano/model.f32.vit    what a model file says of itself";

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network (what the program does without a command).
    Train(train::Arguments),
    /// Measure the accuracy of a checkpoint or a model file on test images.
    Eval(eval::Arguments),
    /// Make the integer model of a checkpoint (training ends with it).
    Quantize(quantize::Arguments),
    /// Compare what vit-nostd computes with dfdx, image by image; exit code 1 if anything differs.
    Verify(verify::Arguments),
    /// Show what a model file or a checkpoint contains.
    Inspect(inspect::Arguments),
    /// Time training steps and inference on this computer.
    Bench(bench::Arguments),
}

impl Cli {
    /// Does what was asked for. Exit code 0, or 1 where a comparison failed; errors are exit code 2.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            None => self.train.run(),
            Some(Command::Train(arguments)) => arguments.run(),
            Some(Command::Eval(arguments)) => arguments.run(),
            Some(Command::Quantize(arguments)) => arguments.run(),
            Some(Command::Verify(arguments)) => arguments.run(),
            Some(Command::Inspect(arguments)) => arguments.run(),
            Some(Command::Bench(arguments)) => arguments.run(),
        }
    }
}

/// Where images come from, and how many threads work on them.
#[derive(Args, Debug)]
struct DataArguments {
    /// Images: `mnist`, `synthetic` (built-in digits), `auto` (MNIST, or else the built-in digits), or a folder with
    /// four files in MNIST's format
    #[arg(long, value_name = "auto|mnist|synthetic|DIR", default_value = "auto")]
    data: Source,
    /// Threads to use [default: all processors]
    #[arg(long, value_name = "N", value_parser = positive)]
    threads: Option<usize>,
}

impl DataArguments {
    /// Loads the images for network `S`; says loudly where they are not the real ones.
    fn load<S: Shape>(&self) -> Result<Splits, Error> {
        use_threads(self.threads)?;
        let data = load(&self.data, Format { side: S::IMAGE, classes: S::CLASSES })?;
        if let Some(reason) = &data.fallback {
            eprintln!("NOTE: MNIST is not to be had ({reason}).");
            eprintln!(
                "NOTE: Using the built-in, machine-made digits instead. Accuracies on them are not MNIST's."
            );
        }
        Ok(data)
    }
}

/// Whether a GPU is used.
#[derive(Args, Debug)]
struct CudaArguments {
    /// Use an NVIDIA GPU
    #[arg(long)]
    cuda: bool,
    /// Which GPU, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "cuda")]
    cuda_device: usize,
    /// How exactly the GPU multiplies matrices
    #[arg(long, value_enum, default_value_t = Precision::default(), requires = "cuda")]
    precision: Precision,
}

impl CudaArguments {
    fn processor(&self) -> Processor {
        if self.cuda {
            Processor::Cuda { index: self.cuda_device, precision: self.precision }
        } else {
            Processor::Cpu
        }
    }
}

/// Makes all that runs in parallel run on so many threads.
fn use_threads(threads: Option<usize>) -> Result<(), Error> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(|error| Error::Setting(format!("--threads {threads}: {error}")))
}

/// A file, or the one in a run's folder that is called `name`.
fn file_or_in(path: &std::path::Path, name: &str) -> PathBuf {
    if path.is_dir() {
        path.join(name)
    } else {
        path.to_owned()
    }
}

/// Prints a result for programs.
fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::Setting(error.to_string()))?;
    println!("{json}");
    Ok(())
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_owned()),
        Ok(value) => Ok(value),
    }
}

/// A finite number within `min..=max`; `what` it should be is told otherwise.
fn number_within(text: &str, min: f32, max: f32, what: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(format!("expected {what}")),
    }
}
