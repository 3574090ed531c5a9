//! The command line: what can be said, and which part of the library does it.

#[macro_use]
mod output;

mod artifact;
mod bench;
mod checkpoint;
mod compare;
mod data;
mod device;
mod dispatch;
mod eval;
mod export;
mod inspect;
mod interrupt;
mod networks;
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
use crate::{recipe::Recipe, Error};
use clap::{builder::PossibleValuesParser, CommandFactory, FromArgMatches, Parser, Subcommand};
use networks::List;
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
  vit-train --preset nano --epochs 5      train the smallest network on MNIST; results go to runs/nano
  vit-train --data photos --out runs/x    train on pictures in folders, one a class
  vit-train --resume --out runs/x         go on with a run that was interrupted
  vit-train predict --model runs/nano *.png    what is written in pictures
  vit-train eval runs/nano                the accuracy of its model file
  vit-train verify runs/nano              compare the library for the chip with dfdx on the test images
  vit-train export runs/nano --onnx x     for onnxruntime and others
  vit-train device --port /dev/ttyACM0 eval    the accuracy of the network on a board
  vit-train COMMAND --help                the options of a command, and more examples

Exit codes: 0 done, 1 a comparison found a difference or some pictures cannot be used, 2 bad usage or input,
130 interrupted by Ctrl-C, SIGTERM or SIGHUP (a training is saved then).
Colours are left out where NO_COLOR is set, and bars where the output is not a terminal.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network (what the program does without a command).
    #[command(after_help = train::EXAMPLES)]
    Train(train::Arguments),
    /// Measure the accuracy of a checkpoint or a model file on test images.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Arguments),
    /// Classify pictures: PNG or JPEG files of any size; exit code 1 if some of them cannot be used.
    #[command(after_help = predict::EXAMPLES)]
    Predict(predict::Arguments),
    /// Make the integer model of a checkpoint (training ends with it).
    #[command(after_help = quantize::EXAMPLES)]
    Quantize(quantize::Arguments),
    /// Compare what vit-nostd computes with dfdx, image by image; exit code 1 if anything differs.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Arguments),
    /// Write a checkpoint for other programs: ONNX, or a state_dict for PyTorch.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Arguments),
    /// Show what a model file or a checkpoint contains.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Arguments),
    /// Draw the pictures of a run anew, and write its report.
    #[command(after_help = report::EXAMPLES)]
    Report(report::Arguments),
    /// Show runs side by side: device, time, speed-up, accuracies.
    #[command(after_help = compare::EXAMPLES)]
    Compare(compare::Arguments),
    /// Let a board, or an emulated one, classify images.
    #[command(after_help = device::EXAMPLES)]
    Device(device::Arguments),
    /// Time training steps and inference on this computer.
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Arguments),
}

/// The program `vit-train` for the networks of `L`, such as `(Base, Tiny, Nano)`; the first one is trained where none is
/// named. This is all that the `main` of a program for networks of one's own has to call:
///
/// ```no_run
/// vit_nostd::network! {
///     /// Which letter a hand has written.
///     pub Letters { image: 28, patch: 7, embed: 48, heads: 4, hidden: 96, depth: 4, classes: 26 }
/// }
///
/// fn main() -> std::process::ExitCode {
///     vit_train::cli::main::<(Letters,)>()
/// }
/// ```
///
/// Exit code 0, or 1 where a comparison failed; an interrupted training is exit code 130, and errors are exit code 2.
pub fn main<L: Networks>() -> ExitCode {
    main_with::<L>(|_| None)
}

/// [`main`], with recipes of one's own: `recipe` gives that of the network with this name, or None where the one that
/// follows from the network's size will do.
pub fn main_with<L: Networks>(recipe: fn(&str) -> Option<Recipe>) -> ExitCode {
    match List::of::<L>(recipe).and_then(run::<L>) {
        Ok(code) => code,
        Err(error) => {
            err!("error: {error}{}", advice(&error));
            ExitCode::from(2)
        }
    }
}

/// Does what the command line says, or ends the program where it makes no sense.
fn run<L: Networks>(networks: List) -> Result<ExitCode, Error> {
    let mut command = with_negative_numbers(with_networks(Cli::command(), &networks));
    let mut matches = command.clone().get_matches();
    let cli =
        Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command).exit());
    match cli.command {
        None => cli.train.run::<L>(&networks),
        Some(Command::Train(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Eval(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Predict(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Quantize(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Verify(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Export(arguments)) => dispatch::run::<L, _>(&arguments, &networks),
        Some(Command::Inspect(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Report(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Compare(arguments)) => arguments.run(),
        Some(Command::Bench(arguments)) => arguments.run::<L>(&networks),
        Some(Command::Device(arguments)) => arguments.run::<L>(&networks),
    }
}

/// What to do about an error of which the library cannot know how the program was called.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Diverged { .. } | Error::Output { .. } => ". Train again with a lower --lr.",
        _ => "",
    }
}

/// Lets `--preset` have the names of the networks as values.
fn with_networks(command: clap::Command, networks: &List) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_id() == "preset" {
        true => argument.value_parser(PossibleValuesParser::new(networks.values())),
        false => argument,
    });
    command.mut_subcommands(|command| with_networks(command, networks))
}

/// Lets options have values that begin with a minus sign: `--lr -1` is then refused because of its value, and not as an
/// unknown option `-1`.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_action().takes_values() {
        true if !argument.is_positional() => argument.allow_negative_numbers(true),
        _ => argument,
    });
    command.mut_subcommands(with_negative_numbers)
}
