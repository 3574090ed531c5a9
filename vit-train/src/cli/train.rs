//! `vit-train [train]`.

use super::{
    file_or_in,
    interrupt::Interrupt,
    number_within, positive, print_json,
    progress::{Console, Lines},
    CudaArguments, DataArguments, DATA,
};
use clap::{Args, ValueEnum};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use vit_train::{
    checkpoint::Checkpoint,
    data::Augmentation,
    model::Network,
    recipe::Recipe,
    report::{Report, TestScores},
    resume::{Position, Snapshot},
    train::{train, Outputs, Start},
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

/// A recipe to start from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RecipeName {
    /// The best known for the preset
    Best,
    /// AdamW 1e-3, cosine, 20 epochs, dropout 0.1, small rotations and translations
    Seed,
}

/// The settings of the recipe that are given.
#[derive(Args, Debug)]
#[command(next_help_heading = RECIPE)]
struct Settings {
    /// Passes over the training images
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    /// Images in a step
    #[arg(long, value_name = "N", value_parser = positive)]
    batch_size: Option<usize>,
    /// Largest learning rate; it falls to 0 along a cosine
    #[arg(long, value_name = "RATE", value_parser = learning_rate)]
    lr: Option<f32>,
    /// Epochs in which the learning rate rises, at most --epochs
    #[arg(long, value_name = "N")]
    warmup: Option<usize>,
    /// AdamW's weight decay
    #[arg(long, value_name = "RATE", value_parser = not_negative)]
    weight_decay: Option<f32>,
    /// Largest norm of the gradients
    #[arg(long, value_name = "NORM", value_parser = learning_rate)]
    grad_clip: Option<f32>,
    /// Share of activations that are dropped, from 0 to below 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    dropout: Option<f32>,
    /// Share of a target that is spread over all classes, from 0 to below 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    label_smoothing: Option<f32>,
    /// Rotate training images at random, up to so many degrees either way
    #[arg(long, value_name = "DEGREES", value_parser = degrees)]
    rotation: Option<f32>,
    /// Move them up to such a part of their side
    #[arg(long, value_name = "SHARE", value_parser = share)]
    translation: Option<f32>,
    /// Scale them up and down by up to such a part
    #[arg(long, value_name = "SHARE", value_parser = scale)]
    scale: Option<f32>,
    /// Slant them, up to so many degrees either way
    #[arg(long, value_name = "DEGREES", value_parser = slant)]
    shear: Option<f32>,
    /// Distort them, pulling them about by up to such a part of their side
    #[arg(long, value_name = "SHARE", value_parser = share)]
    elastic: Option<f32>,
    /// Train on the images as they are
    #[arg(long, conflicts_with_all = ["rotation", "translation", "scale", "shear", "elastic"])]
    no_augment: bool,
}

impl Settings {
    /// `recipe`, with what is given.
    fn applied_to(&self, mut recipe: Recipe) -> Recipe {
        fn set<T: Copy>(setting: &mut T, given: Option<T>) {
            *setting = given.unwrap_or(*setting);
        }
        set(&mut recipe.epochs, self.epochs);
        set(&mut recipe.batch_size, self.batch_size);
        set(&mut recipe.lr, self.lr);
        set(&mut recipe.warmup, self.warmup);
        set(&mut recipe.weight_decay, self.weight_decay);
        set(&mut recipe.grad_clip, self.grad_clip);
        set(&mut recipe.dropout, self.dropout);
        set(&mut recipe.label_smoothing, self.label_smoothing);
        let augmentation = &mut recipe.augmentation;
        set(&mut augmentation.rotation_degrees, self.rotation);
        set(&mut augmentation.translation, self.translation);
        set(&mut augmentation.scale, self.scale);
        set(&mut augmentation.shear_degrees, self.shear);
        set(&mut augmentation.elastic, self.elastic);
        if self.no_augment {
            *augmentation = Augmentation::NONE;
        }
        recipe
    }
}

#[derive(Args, Debug)]
pub struct Arguments {
    /// The network's shape
    #[arg(long, help_heading = RECIPE, value_enum, default_value = "base")]
    preset: Preset,
    /// Where the settings come from that are not given: the best known for the preset, or those of the seed, the
    /// article this project began with
    #[arg(long, help_heading = RECIPE, value_enum, default_value = "best")]
    recipe: RecipeName,
    #[command(flatten)]
    settings: Settings,
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
    /// Begin with the parameters of a checkpoint (a PyTorch state_dict in the same names will do), or of that of a run
    #[arg(long, help_heading = RECIPE, value_name = "FILE.safetensors|RUN")]
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
        let base = match self.recipe {
            RecipeName::Best => Recipe::best(self.preset),
            RecipeName::Seed => Recipe::default(),
        };
        let given = Recipe { seed: self.seed, processor: self.cuda.processor(), ..base };
        let recipe = self.settings.applied_to(given);
        if let Some(warmup) = self.settings.warmup.filter(|&warmup| warmup > recipe.epochs) {
            return Err(Error::Setting(format!(
                "--warmup {warmup}: the run has --epochs {}: warm up for fewer, or train longer",
                recipe.epochs
            )));
        }
        recipe.processor.check()?;
        let directory = self.out.unwrap_or_else(|| Path::new("runs").join(self.preset.to_string()));
        let mut start = match &self.init {
            Some(init) => {
                let path = file_or_in(init, "checkpoint.safetensors")?;
                Start::Parameters(Checkpoint::load(&path)?.into_order_of::<S>(&path)?.parameters)
            }
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
            "Training {} ({} parameters) on {} of {} for {} {}",
            self.preset,
            S::DIMS.parameters(),
            data.train.len(),
            data.name,
            recipe.epochs,
            if recipe.epochs == 1 { "epoch" } else { "epochs" }
        ));
        let report = train::<S>(&recipe, &data, start, &outputs, &mut console)?;
        if self.json {
            print_json(&report)?;
        } else {
            summarize(&report, &directory);
        }
        if let Some(no_integers) = report.test.as_ref().and_then(TestScores::no_integers) {
            eprintln!("WARNING: {no_integers}");
            eprintln!("WARNING: The run has no model.int8.vit. Everything else is there.");
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
        let int8 = test.int8.map_or("not possible".to_owned(), |int8| format!("{:.2} %", int8.acc));
        println!(
            "Test accuracy {:.2} %, top-5 {:.2} % (best epoch {}); in integers {int8}",
            test.f32.acc, test.f32.top5, report.best_epoch
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

fn degrees(text: &str) -> Result<f32, String> {
    number_within(text, 0.0, 180.0, "a number from 0 to 180")
}

fn slant(text: &str) -> Result<f32, String> {
    number_within(text, 0.0, 60.0, "a number from 0 to 60")
}

fn scale(text: &str) -> Result<f32, String> {
    number_within(text, 0.0, 0.9, "a number from 0 to 0.9")
}
