//! The command `vit-train device`.

use super::{
    artifact::{file_or_in, Artifact, ModelFile},
    data::DataArguments,
    dispatch::{with_network, Task},
    networks::List,
    options::positive,
    output::{one_line, print_json},
    pictures::{unsure_note, Picture, PictureArguments, Prepare},
    progress::counter,
};
use crate::{
    data::{Format, Splits},
    device::{Address, Description, Device, DeviceError},
    inference::int8_raw_logits,
    network::list::Networks,
    network::Trainable,
    Error,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use vit_link::Classification;
use vit_nostd::{frame::Fit, int8, Network};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train device --port /dev/ttyACM0 eval                             measure the accuracy on a board
  vit-train device --port COM3 eval --model runs/nano/model.int8.vit    also compare its logits with this computer's
  vit-train device --tcp 127.0.0.1:4000 predict three.png photo.jpg     classify pictures on an emulated board";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Speed of the serial port in bits per second
    #[arg(long, value_name = "N", default_value_t = vit_link::BAUD, value_parser = clap::value_parser!(u32).range(300..))]
    baud: u32,
    /// Leave the DTR line of the serial port as the system sets it. Without this option, the program raises the line,
    /// because boards that are USB devices themselves send nothing before that; many Arduino boards are reset by it
    #[arg(long, requires = "port")]
    no_dtr: bool,
    /// Longest time that the board may take for an answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(subcommand)]
    action: Action,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Place {
    /// Serial port of the board, such as /dev/ttyACM0 or COM3
    #[arg(long, value_name = "PORT")]
    port: Option<PathBuf>,
    /// Address of a serial port on the network, or of an emulator
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Measure accuracy and speed of the board on test images; the exit code is 1 if a logit differs from those of
    /// --model.
    Eval(Eval),
    /// Classify pictures on the board.
    Predict(Predict),
}

#[derive(Args, Debug)]
struct Eval {
    /// Model file that the board runs, or run that has it: all logits are compared with those that this computer
    /// computes with it
    #[arg(long, value_name = "FILE.vit|RUN")]
    model: Option<PathBuf>,
    /// Use only the first N test images
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Args, Debug)]
struct Predict {
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pictures: PictureArguments,
}

#[derive(Serialize)]
struct Evaluation {
    address: String,
    board: String,
    dataset: String,
    synthetic: bool,
    images: usize,
    /// In percent.
    acc: f64,
    seconds: f64,
    images_per_second: f64,
    /// The median number of ticks that an inference takes.
    ticks: Option<u32>,
    ticks_per_second: u32,
    /// The number of requests that were repeated, because they or their answers were damaged.
    repeated: usize,
    /// The number of images whose logits differ from those of the model file on this computer.
    mismatches: Option<usize>,
}

#[derive(Serialize)]
struct Prediction {
    file: String,
    /// True if dark on light was turned into light on dark.
    inverted: bool,
    /// The reason why the picture does not look like one digit, if there is one.
    unsure: Option<String>,
    #[serde(flatten)]
    answer: Classification<Vec<i32>>,
}

impl Arguments {
    pub(super) fn run<L: Networks>(self, networks: &List) -> Result<ExitCode, Error> {
        let address = match (self.place.port, self.place.tcp) {
            (Some(port), _) => Address::Serial { port, baud: self.baud, dtr: !self.no_dtr },
            (None, tcp) => Address::Tcp(tcp.unwrap_or_default()),
        };
        let board = Board { address: &address, timeout: self.timeout };
        match self.action {
            Action::Eval(eval) => eval.run::<L>(networks, board),
            Action::Predict(predict) => predict.run(board),
        }
    }
}

/// The address of a board, and how long its answers may take.
#[derive(Clone, Copy)]
struct Board<'a> {
    address: &'a Address,
    timeout: Duration,
}

impl Board<'_> {
    fn open(self) -> Result<Device, Error> {
        Device::open(self.address, self.timeout).map_err(|error| self.error(error))
    }

    fn classify(self, device: &mut Device, levels: &[u8]) -> Result<Classification<Vec<i32>>, Error> {
        device.classify(levels).map_err(|error| self.error(error))
    }

    /// Adds the address to an error.
    fn error(self, error: DeviceError) -> Error {
        Error::Device { address: self.address.to_string(), error }
    }
}

impl Eval {
    fn run<L: Networks>(&self, networks: &List, board: Board<'_>) -> Result<ExitCode, Error> {
        match self.model.clone() {
            None => {
                let mut device = board.open()?;
                let data = self.data.load(device.description().format, device.description().fit, None)?;
                self.evaluate(board, &mut device, &data, |_| None)
            }
            Some(model) => {
                let path = file_or_in(&model, "model.int8.vit")?;
                let file = Artifact::open_model(networks, path)?.of_one_run(&model)?;
                with_network::<L, _>(file.network, Against { eval: self, board, file: &file })
            }
        }
    }

    /// Lets the board classify the test images of `data`, and prints the result. `expected` returns the logits of the
    /// given number of images for comparison, or None if there is nothing to compare with.
    fn evaluate(
        &self,
        board: Board<'_>,
        device: &mut Device,
        data: &Splits,
        expected: impl FnOnce(usize) -> Option<Vec<i32>>,
    ) -> Result<ExitCode, Error> {
        let images = self.limit.unwrap_or(usize::MAX).min(data.test.len());
        let bar = counter(images);
        let start = Instant::now();
        let mut answers = Vec::with_capacity(images);
        for index in 0..images {
            answers.push(board.classify(device, data.test.image(index))?);
            bar.inc(1);
        }
        let seconds = start.elapsed().as_secs_f64();
        bar.finish_and_clear();

        let labels = data.test.labels().iter().copied();
        let correct = answers.iter().zip(labels).filter(|(answer, label)| answer.class == *label).count();
        let expected = expected(images);
        let mismatches = expected.map(|logits| {
            let logits = logits.chunks_exact(device.description().format.classes);
            answers.iter().zip(logits).filter(|(answer, logits)| answer.logits != *logits).count()
        });
        let mut ticks: Vec<u32> = answers.iter().filter_map(|answer| answer.ticks).collect();
        ticks.sort_unstable();
        let evaluation = Evaluation {
            address: board.address.to_string(),
            board: device.description().board.clone(),
            dataset: data.name.clone(),
            synthetic: data.synthetic,
            images,
            acc: 100.0 * correct as f64 / images as f64,
            seconds,
            images_per_second: images as f64 / seconds,
            ticks: ticks.get(ticks.len() / 2).copied(),
            ticks_per_second: device.description().ticks_per_second,
            repeated: device.repeated(),
            mismatches,
        };
        if self.json {
            print_json(&evaluation)?;
        } else {
            evaluation.print();
        }
        Ok(if mismatches.unwrap_or(0) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Compares a board with a model file on this computer.
struct Against<'a> {
    eval: &'a Eval,
    board: Board<'a>,
    file: &'a Artifact<ModelFile>,
}

impl Task for Against<'_> {
    type Output = Result<ExitCode, Error>;

    fn run<N: Trainable>(self) -> Self::Output {
        let Self { eval, board, file: Artifact { path, content: ModelFile { file, .. }, .. } } = self;
        let refused = |error| Error::Model { path: path.clone(), error };
        let model = int8::Model::<N>::from_bytes(file).map_err(refused)?;
        let mut device = board.open()?;
        same_model::<N>(&device, path, file).map_err(|error| board.error(error))?;
        let metadata = model.metadata();
        let dataset = metadata.provenance.dataset;
        let mut data = eval.data.load_for::<N>(path, dataset, metadata.fit)?;
        data.compare_classes(dataset, metadata.labels());
        data.warn(path);
        let test = &data.splits.test;
        eval.evaluate(board, &mut device, &data.splits, |images| Some(int8_raw_logits(&model, test, images)))
    }
}

impl Evaluation {
    fn print(&self) {
        let Self { board, address, images, dataset, acc, images_per_second, repeated, .. } = self;
        out!("{board} at {address} on {images} test images of {dataset}:");
        out!(
            "accuracy {acc:.2} %, {images_per_second:.1} images/s, {}",
            time(self.ticks, self.ticks_per_second)
        );
        if *repeated > 0 {
            out!("{repeated} requests had to be repeated: the line is unreliable");
        }
        match self.mismatches {
            None => (),
            Some(0) => out!("all logits equal this computer's"),
            Some(mismatches) => out!("MISMATCH: {mismatches} images have other logits on this computer"),
        }
    }
}

impl Predict {
    fn run(self, board: Board<'_>) -> Result<ExitCode, Error> {
        let mut device = board.open()?;
        let &Description { format, fit, .. } = device.description();
        // A board does not say what its network was trained on. Pictures of other things are cropped by default.
        let usual = Prepare::of(format, fit, fit == Fit::Stretch);
        self.pictures.list().each(
            (format, usual),
            self.json,
            |picture| picture,
            |Picture { path, levels, inverted, unsure }| {
                let answer = board.classify(&mut device, &levels)?;
                let file = path.display().to_string();
                if !self.json {
                    out!(
                        "{}: class {}, {}, logits {:?}{}",
                        one_line(&file),
                        answer.class,
                        time(answer.ticks, device.description().ticks_per_second),
                        answer.logits,
                        unsure_note(unsure.as_deref()),
                    );
                }
                Ok(Prediction { file, inverted, unsure, answer })
            },
        )
    }
}

/// Checks that the board runs the model `file`.
fn same_model<N: Network>(device: &Device, path: &Path, file: &[u8]) -> Result<(), DeviceError> {
    let description = device.description();
    let (format, own) = (description.format, Format::of::<N>());
    if format != own {
        let expected = format!("{own} in {} classes, as {} has it", own.classes, path.display());
        return Err(DeviceError::OtherNetwork { format, expected });
    }
    let (theirs, ours) = (description.model, vit_link::checksum(file));
    if theirs != ours {
        return Err(DeviceError::OtherModel { path: path.to_owned(), theirs, ours });
    }
    Ok(())
}

/// Returns the time of an inference as text for a person.
fn time(ticks: Option<u32>, ticks_per_second: u32) -> String {
    ticks.map_or("time unknown".to_owned(), |ticks| {
        let milliseconds = 1e3 * f64::from(ticks) / f64::from(ticks_per_second);
        format!("{milliseconds:.2} ms an inference ({ticks} ticks)")
    })
}

/// Parses a time in seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, from 0.01 to 3600".to_owned()),
    }
}
