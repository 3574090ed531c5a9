//! The command `vit-train predict`.

use super::{
    artifact::{Artifact, Content, ModelFile},
    checkpoint::CheckpointArguments,
    dispatch::FileCommand,
    networks::List,
    output::one_line,
    pictures::{unsure_note, Picture, PictureArguments, Prepare},
};
use crate::{
    data::Format,
    formats::vit::{float_model, read_float_model},
    inference::{check_logits, infer},
    network::Trainable,
    run::folder::RunFolder,
    Error,
};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{
    float, image, int8,
    model_file::{Kind, Metadata},
    top_k, Image, Network, Vector,
};

/// The number of likeliest classes that are shown.
const TOP: usize = 5;

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train predict --model runs/nano three.png photo.jpg    classify pictures with the float model of a run
  vit-train predict --model runs/nano --engine int8 scans    classify all pictures in a folder, in integers
  vit-train predict --model runs/nano --json three.png       print JSON for a script
  camera | vit-train predict --model runs/nano -             classify a picture from another program

For a picture that cannot be used, there is an error on the standard error (and an entry with \"error\" in JSON); the
others are still classified. The exit code is then 1, or 2 if no picture could be used.";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Model file, checkpoint, or folder of a training run
    #[arg(long, value_name = "FILE.vit|FILE.safetensors|RUN")]
    model: PathBuf,
    /// Arithmetic of the network [default: that of the model file; f32 for a folder or a checkpoint]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pictures: PictureArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum Engine {
    /// Floating point
    F32,
    /// Integers
    Int8,
}

impl From<Kind> for Engine {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::F32 => Self::F32,
            Kind::Int8 => Self::Int8,
        }
    }
}

/// The network's result for a picture.
#[derive(Serialize)]
struct Prediction {
    file: String,
    engine: &'static str,
    #[serde(flatten)]
    best: Candidate,
    /// True if dark on light was turned into light on dark.
    inverted: bool,
    /// The reason why the picture does not look like one digit, if there is one.
    unsure: Option<String>,
    top5: Vec<Candidate>,
}

/// A class and its probability.
#[derive(Clone, Serialize)]
struct Candidate {
    class: usize,
    label: String,
    /// From 0 to 1.
    probability: f32,
}

impl FileCommand for Arguments {
    type Content = Content;

    fn open(&self, networks: &List) -> Result<Artifact, Error> {
        let artifact = Artifact::open(networks, &self.model, self.in_run(), &self.checkpoint)?;
        let path = artifact.path.display();
        match &artifact.content {
            Content::Checkpoint(_) if self.engine == Some(Engine::Int8) => Err(Error::Usage(format!(
                "{path}: a checkpoint has to be quantized first, which takes training images: run `vit-train quantize \
                 {path}`, and give the model.int8.vit that it writes"
            ))),
            Content::Model(ModelFile { kind, .. }) if self.engine.is_some_and(|wanted| wanted != Engine::from(*kind)) => {
                Err(Error::Usage(format!(
                    "{path}: this model is for --engine {kind}: leave --engine out, or give the other model of its run"
                )))
            }
            _ => artifact.of_one_run(&self.model),
        }
    }

    fn run<N: Trainable>(&self, Artifact { path, content, .. }: &Artifact) -> Result<ExitCode, Error> {
        match content {
            Content::Checkpoint(checkpoint) => {
                self.predict::<N>(Engine::F32, &float_model::<N>(checkpoint, path)?, path)
            }
            Content::Model(ModelFile { kind, file }) => self.predict::<N>((*kind).into(), file, path),
        }
    }
}

impl Arguments {
    /// Returns the name of the file to use if a run directory is given: the model for the engine, or the checkpoint if
    /// the run is not finished.
    fn in_run(&self) -> &'static str {
        let run = &self.model;
        let unfinished = !RunFolder::float_model(run).exists() && RunFolder::checkpoint(run).exists();
        match self.engine {
            Some(Engine::Int8) => "model.int8.vit",
            _ if unfinished => "checkpoint.safetensors",
            _ => "model.f32.vit",
        }
    }

    fn predict<N: Trainable>(&self, engine: Engine, file: &[u8], path: &Path) -> Result<ExitCode, Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        match engine {
            Engine::F32 => {
                let model = read_float_model::<N>(file, path)?;
                self.print::<N>("f32", model.metadata(), |image| {
                    infer(&model, image, &mut Box::new(float::Scratch::new()))
                })
            }
            Engine::Int8 => {
                let model = int8::Model::<N>::from_bytes(file).map_err(refused)?;
                self.print::<N>("int8", model.metadata(), |image| {
                    model.dequantize(&model.infer(image, &mut Box::new(int8::Scratch::new())))
                })
            }
        }
    }

    fn print<N: Network>(
        &self,
        engine: &'static str,
        metadata: &Metadata<'_>,
        logits: impl Fn(&Image<N>) -> Vector<N::Classes, f32> + Sync,
    ) -> Result<ExitCode, Error> {
        let format = Format::of::<N>();
        let is_of_digits = ["mnist", "synthetic"].contains(&metadata.provenance.dataset);
        let usual = Prepare::of(format, metadata.fit, is_of_digits);
        let labels: Vec<&str> = metadata.labels().collect();
        let predict = |Picture { path, levels, inverted, unsure }| {
            let logits = logits(image::<N>(&levels)?);
            if let Err(error) = check_logits(logits.as_ref(), &self.model) {
                return Some(Err(error));
            }
            let best: [_; TOP] = top_k(logits.as_ref());
            let top5 = best.iter().take(N::CLASSES).map(|best| Candidate {
                class: best.class,
                label: labels.get(best.class).copied().unwrap_or_default().to_owned(),
                probability: best.probability,
            });
            let top5: Vec<_> = top5.collect();
            Some(Ok(Prediction {
                file: path.display().to_string(),
                engine,
                best: top5[0].clone(),
                inverted,
                unsure,
                top5,
            }))
        };
        let pictures = self.pictures.list();
        let mut table = (!self.json).then(|| Table::new(pictures.longest_path(), &labels));
        pictures.each((format, usual), self.json, predict, |prediction| {
            let prediction = prediction.transpose()?;
            if let (Some(table), Some(prediction)) = (&mut table, &prediction) {
                table.print(prediction);
            }
            Ok(prediction)
        })
    }
}

/// Prints results as a table, line by line.
struct Table {
    /// The width of the column of files, in characters.
    file: usize,
    /// The width of the column of classes, in characters.
    class: usize,
    has_head: bool,
}

impl Table {
    fn new(longest_path: usize, labels: &[&str]) -> Self {
        let class = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        Self { file: longest_path.max("picture".len()), class: class.max("class".len()), has_head: false }
    }

    fn print(&mut self, Prediction { file: path, best, unsure, top5, .. }: &Prediction) {
        let &mut Self { file, class, has_head } = self;
        if !has_head {
            out!("{:<file$}  {:<class$}  probability  next", "picture", "class");
            self.has_head = true;
        }
        let percent = |candidate: &Candidate| format!("{:.2} %", 100.0 * candidate.probability);
        let next: Vec<_> = top5[1..].iter().map(|next| format!("{} {}", next.label, percent(next))).collect();
        let (path, unsure) = (one_line(path), unsure_note(unsure.as_deref()));
        out!("{path:<file$}  {:<class$}  {:>11}  {}{unsure}", best.label, percent(best), next.join(", "));
    }
}
