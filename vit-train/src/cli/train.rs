//! `vit-train [train]`.

use super::{
    interrupt::Interrupt,
    number_within, positive, print_json,
    progress::{Console, Lines},
    CudaArguments, DataArguments, DATA,
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use vit_train::{
    checkpoint::Checkpoint,
    data::Augmentation,
    model::Network,
    report::Report,
    resume::{Position, Snapshot},
    train::{train, Outputs, Recipe, Start},
    with_preset, Error, Preset,
};

const RECIPE: &str = "Recipe";
const RESULTS: &str = "Results";

pub const EXAMPLES: &str = "\
Examples:
  vit-train --preset nano --epochs 5 --lr 3e-3 --dropout 0    the smallest network, on MNIST
  vit-train --preset nano --data synthetic --limit 1000       a quick look, on built-in digits
  vit-train --data photos --out runs/x                        pictures in folders, one a class
  vit-train --out runs/x --data photos --resume               go on where it was interrupted
  vit-train --init runs/base/checkpoint.safetensors           begin with what was learned before
  vit-train --quiet --json > report.json                      for a script

Ctrl-C ends a training after the step it is in, with everything saved (exit code 130); a second one ends it at once.";

#[derive(Args, Debug)]
pub struct Arguments {
    /// The network's shape
    #[arg(long, help_heading = RECIPE, value_enum, default_value = "base")]
    preset: Preset,
    /// Passes over the training images
    #[arg(long, help_heading = RECIPE, value_name = "N", default_value_t = 20, value_parser = positive)]
    epochs: usize,
    /// Images in a step
    #[arg(long, help_heading = RECIPE, value_name = "N", default_value_t = 128, value_parser = positive)]
    batch_size: usize,
    /// Learning rate at the beginning; it falls to 0 along a cosine
    #[arg(long, help_heading = RECIPE, value_name = "RATE", default_value = "1e-3", value_parser = learning_rate)]
    lr: f32,
    /// AdamW's weight decay
    #[arg(long, help_heading = RECIPE, value_name = "RATE", default_value = "1e-4", value_parser = not_negative)]
    weight_decay: f32,
    /// Largest norm of the gradients
    #[arg(long, help_heading = RECIPE, value_name = "NORM", default_value = "1.0", value_parser = learning_rate)]
    grad_clip: f32,
    /// Share of activations that are dropped, from 0 to below 1
    #[arg(long, help_heading = RECIPE, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    dropout: f32,
    /// Share of a target that is spread over all classes, from 0 to below 1
    #[arg(long, help_heading = RECIPE, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    label_smoothing: f32,
    /// Train on the images as they are, without rotating and moving them
    #[arg(long, help_heading = RECIPE)]
    no_augment: bool,
    /// Of every random choice
    #[arg(long, help_heading = RECIPE, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Use only the first N training images, for a quick look
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = at_least_ten)]
    limit: Option<usize>,
    /// Where the results go, in the place of those that are there [default: runs/<preset>]
    #[arg(long, help_heading = RESULTS, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out that was interrupted, with the settings that it was started with; it ends in the
    /// same bytes as if it had not been
    #[arg(long, help_heading = RESULTS, conflicts_with = "init")]
    resume: bool,
    /// Save what --resume goes on from at such intervals, besides after every epoch
    #[arg(long, help_heading = RESULTS, value_name = "SECONDS", default_value_t = 60)]
    save_every: u64,
    /// Begin with the parameters of a checkpoint (a PyTorch state_dict in the same names will do)
    #[arg(long, help_heading = RECIPE, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Print the report as JSON in the end; everything else goes to the standard error
    #[arg(long, help_heading = RESULTS)]
    json: bool,
    #[command(flatten)]
    cuda: CudaArguments,
    #[command(flatten)]
    data: DataArguments,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        with_preset!(self.preset, S => self.run_as::<S>())
    }

    fn run_as<S: Network>(self) -> Result<ExitCode, Error> {
        let recipe = Recipe {
            epochs: self.epochs,
            batch_size: self.batch_size,
            lr: self.lr,
            weight_decay: self.weight_decay,
            grad_clip: self.grad_clip,
            dropout: self.dropout,
            label_smoothing: self.label_smoothing,
            augmentation: if self.no_augment { Augmentation::NONE } else { Augmentation::default() },
            seed: self.seed,
            processor: self.cuda.processor(),
        };
        recipe.processor.check()?;
        let directory = self.out.unwrap_or_else(|| Path::new("runs").join(self.preset.to_string()));
        let mut start = match &self.init {
            Some(path) => Start::Parameters(Checkpoint::load(path)?.into_order_of::<S>(path)?.parameters),
            None if self.resume => Start::Snapshot(Snapshot::load(&directory)?),
            None => Start::Random,
        };
        let lines = match (self.data.quiet, self.json) {
            (true, _) => Lines::Off,
            (_, true) => Lines::Error,
            _ => Lines::Output,
        };
        let mut data = self.data.load::<S>()?;
        if let Some(limit) = self.limit {
            data.train.truncate(limit);
        }
        if let Start::Snapshot(snapshot) = start {
            let snapshot = snapshot.of_run::<S>(&directory, &recipe, &data)?;
            if snapshot.position.finished {
                lines.say(&format!(
                    "The run in {} is finished: there is nothing left to do",
                    directory.display()
                ));
                if self.json {
                    print_json(&Report::load(&directory)?)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            lines.say(&describe(&snapshot.position, &recipe));
            start = Start::Snapshot(snapshot);
        }
        let outputs = Outputs::create(&directory, Duration::from_secs(self.save_every))?;
        let mut console = Console::new(lines, Interrupt::listen()?);

        lines.say(&format!(
            "Training {} ({} parameters) on {} of {} for {} epochs",
            self.preset,
            S::DIMS.parameters(),
            data.train.len(),
            data.name,
            recipe.epochs
        ));
        let report = train::<S>(&recipe, &data, start, &outputs, &mut console)?;
        if self.json {
            print_json(&report)?;
        } else {
            summarize(&report, &directory);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(position: &Position, recipe: &Recipe) -> String {
    let (epoch, steps) = (position.epochs.len() + 1, position.current.steps);
    if epoch <= recipe.epochs {
        format!("Resuming in epoch {epoch}, after {steps} steps")
    } else {
        "Resuming after the last epoch".to_owned()
    }
}

fn summarize(report: &Report, directory: &Path) {
    if report.synthetic {
        println!("The following is about the built-in, machine-made digits, not about MNIST:");
    }
    if let Some(test) = &report.test {
        println!(
            "Test accuracy {:.2} %, top-5 {:.2} % (best epoch {}); in integers {:.2} %",
            test.f32.acc, test.f32.top5, report.best_epoch, test.int8.acc
        );
    }
    if let Some(verification) = report.verify {
        println!("{verification}");
    }
    println!("Results are in {}", directory.display());
}

fn learning_rate(text: &str) -> Result<f32, String> {
    number_within(text, f32::MIN_POSITIVE, f32::MAX, "a number above 0, such as 1e-3")
}

fn not_negative(text: &str) -> Result<f32, String> {
    number_within(text, 0.0, f32::MAX, "a number of at least 0, such as 1e-4")
}

fn share(text: &str) -> Result<f32, String> {
    number_within(text, 0.0, 0.999, "a number from 0 to below 1")
}

fn at_least_ten(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n >= 10).ok_or_else(|| "expected a whole number of at least 10".to_owned())
}
