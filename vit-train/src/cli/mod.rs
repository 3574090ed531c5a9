//! The command line: its commands and options, and the part of the library that carries out each command.

#[macro_use]
mod output;

mod advice;
mod artifact;
mod bench;
mod checkpoint;
mod compare;
mod data;
mod device;
mod dispatch;
mod eval;
mod export;
mod fit;
mod inspect;
mod interrupt;
mod networks;
mod new;
mod options;
mod outputs;
mod pictures;
mod predict;
mod progress;
mod quantize;
mod report;
mod train;
mod verify;

pub use crate::network::list::Networks;
use crate::{data::Source, recipe::Recipe, Error};
use advice::with_advice;
use clap::{builder::PossibleValuesParser, CommandFactory, FromArgMatches, Parser, Subcommand};
use networks::List;
pub use progress::Console;
use std::process::ExitCode;

/// Train a Vision Transformer on this computer, and run the very same network on a microcontroller.
///
/// Without a command, it trains.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: train::Arguments,
}

const EXAMPLES: &str = "\
Examples:
  vit-train new ../x --data photos --board pico   write a project for these pictures and this board
  vit-train --preset nano --epochs 5           train the smallest network on MNIST; the results go to runs/nano
  vit-train --data photos --out runs/x         train on pictures, with one folder for each class
  vit-train --resume --out runs/x              continue a run that was interrupted
  vit-train predict --model runs/nano *.png    classify pictures
  vit-train eval runs/nano                     measure the accuracy of a run's float model
  vit-train verify runs/nano                   compare vit-nostd, the library for the chip, with dfdx
  vit-train export runs/nano --onnx x.onnx     write a model for onnxruntime and other programs
  vit-train device --port /dev/ttyACM0 eval    measure the accuracy of the network on a board
  vit-train COMMAND --help                     show the options of a command, and more examples

Exit codes: 0 success; 1 a comparison found a difference, or some pictures cannot be used; 2 wrong usage or input;
130 interrupted by Ctrl-C, SIGTERM or SIGHUP (a training is saved first).
NO_COLOR in the environment switches colours off. Progress bars are shown on a terminal only. The levels of decoded
pictures are kept in data/pictures, or in the folder that VIT_TRAIN_CACHE names, at most 4 GiB of them; if that is set and
empty, they are not kept.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a project of your own, for a folder of pictures and a board: its network, its training and its firmware.
    #[command(after_help = new::EXAMPLES)]
    New(new::Arguments),
    /// Show which networks fit pictures and a board, and what they take: flash, RAM and time.
    #[command(after_help = fit::EXAMPLES)]
    Fit(fit::Arguments),
    /// Train a network; this is also what the program does without a command.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Arguments),
    /// Measure the accuracy of a checkpoint or a model file on test images.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Arguments),
    /// Classify pictures (PNG, JPEG, WebP, BMP or GIF files of any size); the exit code is 1 if some of them cannot be
    /// used.
    #[command(after_help = predict::EXAMPLES)]
    Predict(predict::Arguments),
    /// Convert a checkpoint to an integer model, as training does at its end.
    #[command(after_help = quantize::EXAMPLES)]
    Quantize(quantize::Arguments),
    /// Compare the results of vit-nostd and dfdx, image by image; the exit code is 1 if anything differs.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Arguments),
    /// Convert a network for other programs: to ONNX, a state_dict for PyTorch, a float model file, or a library for C.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Arguments),
    /// Show what a model file or a checkpoint contains.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Arguments),
    /// Write the report of a run again, with its pictures.
    #[command(after_help = report::EXAMPLES)]
    Report(report::Arguments),
    /// Show runs side by side: device, time, speed-up, accuracies.
    #[command(after_help = compare::EXAMPLES)]
    Compare(compare::Arguments),
    /// Classify images on a board, real or emulated.
    #[command(after_help = device::EXAMPLES)]
    Device(device::Arguments),
    /// Measure how long training steps and inference take on this computer.
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Arguments),
}

/// Runs the program `vit-train` for the networks of `L`, such as `(Base, Tiny, Nano)`. The first of them is trained if
/// the command line names none. The `main` of a program for networks of your own only has to call this function:
///
/// ```no_run
/// vit_nostd::network! {
///     /// A network for handwritten letters.
///     pub Letters { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 26 }
/// }
///
/// fn main() -> std::process::ExitCode {
///     vit_train::cli::main::<(Letters,)>()
/// }
/// ```
///
/// Returns exit code 0 for success, 1 if a comparison found a difference or some pictures cannot be used, 2 for an
/// error, and 130 if a training was interrupted.
pub fn main<L: Networks>() -> ExitCode {
    Program::new().run::<L>()
}

/// The program `vit-train` with settings of your own, for networks of your own.
///
/// ```no_run
/// # vit_nostd::network! {
/// #     pub Letters { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 26 }
/// # }
/// use vit_train::{cli::Program, recipe::Recipe};
///
/// fn main() -> std::process::ExitCode {
///     let recipe = |_: &str| Some(Recipe { epochs: 100, ..Recipe::default() });
///     Program::new().data("letters").recipe(recipe).run::<(Letters,)>()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Program {
    data: Source,
    recipe: fn(&str) -> Option<Recipe>,
}

impl Program {
    /// Returns the program with the settings that [`main`] has.
    pub fn new() -> Self {
        Self { data: Source::default(), recipe: |_| None }
    }

    /// Sets the images that are used if the command line names none: what the option `--data` would be given.
    pub fn data(self, data: &str) -> Self {
        let Ok(data) = data.parse();
        Self { data, ..self }
    }

    /// Sets the recipes: `recipe` returns that of the network with a given name, or None for the recipe that follows
    /// from the network's size.
    pub fn recipe(self, recipe: fn(&str) -> Option<Recipe>) -> Self {
        Self { recipe, ..self }
    }

    /// Runs the program for the networks of `L`, and returns the exit code that [`main`] describes.
    pub fn run<L: Networks>(self) -> ExitCode {
        match List::of::<L>(self.recipe).and_then(|networks| run::<L>(networks, &self.data)) {
            Ok(code) => code,
            Err(error) => {
                err!("error: {}", with_advice(&error));
                ExitCode::from(2)
            }
        }
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

/// Carries out the command line. Ends the program if it cannot be parsed. `data` are the images that are used if the
/// command line names none.
fn run<L: Networks>(networks: List, data: &Source) -> Result<ExitCode, Error> {
    let command = with_default_data(with_networks(Cli::command(), &networks), data);
    let mut command = with_negative_numbers(command);
    let mut matches = command.clone().get_matches();
    let cli =
        Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command).exit());
    match cli.command {
        None => cli.train.run::<L>(&networks),
        Some(Command::New(arguments)) => arguments.run(),
        Some(Command::Fit(arguments)) => arguments.run(),
        Some(Command::Train(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Eval(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Predict(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Quantize(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Verify(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Export(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Inspect(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Report(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Compare(arguments)) => arguments.run(),
        Some(Command::Bench(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Device(arguments)) => arguments.run::<L>(&networks),
    }
}

/// Makes the names of the networks the values that `--preset` accepts.
fn with_networks(command: clap::Command, networks: &List) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_id() == "preset" {
        true => argument.value_parser(PossibleValuesParser::new(networks.values())),
        false => argument,
    });
    command.mut_subcommands(|command| with_networks(command, networks))
}

/// Sets the value of the hidden option that holds the images which are used if the command line names none.
fn with_default_data(command: clap::Command, data: &Source) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_id() == "default_data" {
        true => argument.default_value(data.to_string()),
        false => argument,
    });
    command.mut_subcommands(|command| with_default_data(command, data))
}

/// Lets options have values that begin with a minus sign. Without this, `--lr -1` would be refused as an unknown option
/// `-1` and not because of its value.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_action().takes_values() {
        true if !argument.is_positional() => argument.allow_negative_numbers(true),
        _ => argument,
    });
    command.mut_subcommands(with_negative_numbers)
}
