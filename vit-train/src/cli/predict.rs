//! `vit-train predict`.

use super::{
    check_run,
    checkpoint::{is_checkpoint, CheckpointArguments},
    eval::{preset_of, read_preamble},
    file_or_in,
    pictures::{unsure_note, Picture, PictureArguments},
    print_json,
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
    top_k, Image, Shape,
};
use vit_train::{
    export::{float_model, read_float_model},
    files::ModelBytes,
    inference::infer,
    model::Network,
    train::Outputs,
    with_preset, Error,
};

/// Likeliest classes that are shown.
const TOP: usize = 5;

pub const EXAMPLES: &str = "\
Examples:
  vit-train predict --model runs/nano three.png photo.jpg    by the float model of a run
  vit-train predict --model runs/nano --engine int8 scans    all pictures of a folder, in integers
  vit-train predict --model runs/nano --json three.png       for a script";

#[derive(Args, Debug)]
pub struct Arguments {
    /// A model file, a checkpoint, or the folder of a training run
    #[arg(long, value_name = "FILE.vit|FILE.safetensors|RUN")]
    model: PathBuf,
    /// The arithmetic [default: that of the model file; of a folder or a checkpoint, f32]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pictures: PictureArguments,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Engine {
    /// In floating point
    F32,
    /// In integers
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

/// What the network says of a picture.
#[derive(Serialize)]
struct Prediction {
    file: String,
    engine: &'static str,
    #[serde(flatten)]
    best: Candidate,
    /// Whether dark on light was turned into light on dark.
    inverted: bool,
    /// Why the picture does not look like one digit.
    unsure: Option<String>,
    top5: Vec<Candidate>,
}

#[derive(Clone, Serialize)]
struct Candidate {
    class: usize,
    label: String,
    /// 0 to 1.
    probability: f32,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let path = self.model_path()?;
        if is_checkpoint(&path) {
            if self.engine == Some(Engine::Int8) {
                let path = path.display();
                return Err(Error::Setting(format!(
                    "{path}: a checkpoint, and to make integers of it takes training images: \
                     run vit-train quantize {path}, and give the model.int8.vit that it writes"
                )));
            }
            let (preset, checkpoint) = self.checkpoint.load(&path)?;
            with_preset!(preset, S => {
                check_run::<S>(&self.model)?;
                let file = float_model::<S>(&checkpoint, &path)?;
                self.predict::<S>(Engine::F32, &file, &path)
            })
        } else {
            self.checkpoint.refuse_for_model(&path)?;
            let file = ModelBytes::read(&path)?;
            let preamble = read_preamble(&file, &path)?;
            let engine = Engine::from(preamble.kind);
            if self.engine.is_some_and(|wanted| wanted != engine) {
                let (path, kind) = (path.display(), preamble.kind);
                return Err(Error::Setting(format!(
                    "{path}: a model for --engine {kind}: leave --engine out, or give the other model of its run"
                )));
            }
            with_preset!(preset_of(&preamble, &path)?, S => {
                check_run::<S>(&self.model)?;
                self.predict::<S>(engine, &file, &path)
            })
        }
    }

    /// Of a folder, the model for the engine, or else the checkpoint of a run that is not finished.
    fn model_path(&self) -> Result<PathBuf, Error> {
        let run = &self.model;
        let unfinished = !Outputs::float_model(run).exists() && Outputs::checkpoint(run).exists();
        let name = match self.engine {
            Some(Engine::Int8) => "model.int8.vit",
            _ if unfinished => "checkpoint.safetensors",
            _ => "model.f32.vit",
        };
        file_or_in(run, name)
    }

    fn predict<S: Network>(&self, engine: Engine, file: &[u8], path: &Path) -> Result<ExitCode, Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        match engine {
            Engine::F32 => {
                let model = read_float_model::<S>(file, path)?;
                let mut scratch = Box::new(float::Scratch::new());
                self.print::<S>("f32", model.metadata(), |image| infer(&model, image, &mut scratch))
            }
            Engine::Int8 => {
                let model = int8::Model::<S>::from_bytes(file).map_err(refused)?;
                let mut scratch = Box::new(int8::Scratch::new());
                self.print::<S>("int8", model.metadata(), |image| {
                    model.to_real(&model.infer(image, &mut scratch))
                })
            }
        }
    }

    fn print<S: Shape>(
        &self,
        engine: &'static str,
        metadata: &Metadata<'_>,
        mut logits: impl FnMut(&Image<S>) -> S::Classes<f32>,
    ) -> Result<ExitCode, Error> {
        let dataset = metadata.provenance.dataset;
        if !self.pictures.raw && !["mnist", "synthetic"].contains(&dataset) {
            eprintln!(
                "NOTE: The network was trained on {dataset}, and the pictures are prepared as MNIST's digits are; \
                 with --raw they are only scaled."
            );
        }
        let labels: Vec<&str> = metadata.labels().collect();
        let pictures = self.pictures.read(S::IMAGE)?.into_iter();
        let predictions = pictures.filter_map(|Picture { path, pixels, inverted, unsure }| {
            let best: [_; TOP] = top_k(logits(image::<S>(&pixels)?).as_ref());
            let top5 = best.iter().take(S::CLASSES).map(|best| Candidate {
                class: best.class,
                label: labels.get(best.class).copied().unwrap_or_default().to_owned(),
                probability: best.probability,
            });
            let top5: Vec<_> = top5.collect();
            Some(Prediction {
                file: path.display().to_string(),
                engine,
                best: top5[0].clone(),
                inverted,
                unsure,
                top5,
            })
        });
        let predictions: Vec<_> = predictions.collect();
        if self.json {
            print_json(&predictions)?;
        } else {
            print_table(&predictions);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_table(predictions: &[Prediction]) {
    let width = |text: fn(&Prediction) -> &str, least: usize| {
        predictions.iter().map(|row| text(row).chars().count()).max().unwrap_or(0).max(least)
    };
    let (file, class) =
        (width(|row| &row.file, "picture".len()), width(|row| &row.best.label, "class".len()));
    println!("{:<file$}  {:<class$}  probability  next", "picture", "class");
    for Prediction { file: name, best, unsure, top5, .. } in predictions {
        let percent = |candidate: &Candidate| format!("{:.2} %", 100.0 * candidate.probability);
        let next: Vec<_> = top5[1..].iter().map(|next| format!("{} {}", next.label, percent(next))).collect();
        let unsure = unsure_note(unsure.as_deref());
        println!("{name:<file$}  {:<class$}  {:>11}  {}{unsure}", best.label, percent(best), next.join(", "));
    }
}
