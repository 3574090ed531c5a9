//! `vit-train eval`.

use super::{
    checkpoint::{is_checkpoint, CheckpointArguments},
    file_or_in, print_json, DataArguments,
};
use clap::Args;
use dfdx::prelude::Cpu;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{
    int8,
    model_file::{Kind, Preamble},
};
use vit_train::{
    checkpoint::Checkpoint,
    data::Splits,
    export::read_float_model,
    files::ModelBytes,
    inference::{dfdx_logits, int8_logits, nostd_logits, Score},
    model::{Model, Network},
    parameters::{self, Layout, Parameters},
    with_preset, Error, Preset,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// A model file (.vit), which vit-nostd runs, or a checkpoint (.safetensors; a PyTorch state_dict in the same names
    /// will do), which dfdx runs
    #[arg(value_name = "FILE.vit|FILE.safetensors|RUN")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the logits of the test images, images x classes, to compare them with another program's
    #[arg(long, value_name = "FILE.safetensors")]
    logits: Option<PathBuf>,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Serialize)]
struct Evaluation {
    file: String,
    preset: String,
    engine: &'static str,
    dataset: String,
    synthetic: bool,
    images: usize,
    #[serde(flatten)]
    score: Score,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let path = file_or_in(&self.file, "model.f32.vit");
        if is_checkpoint(&path) {
            let (preset, checkpoint) = self.checkpoint.load(&path)?;
            with_preset!(preset, S => self.checkpoint::<S>(&checkpoint))
        } else if self.checkpoint.normalization.is_some() {
            let path = path.display();
            Err(Error::Setting(format!(
                "{path}: a model file has its own normalisation: leave --normalization out"
            )))
        } else {
            let file = ModelBytes::read(&path)?;
            let preamble = read_preamble(&file, &path)?;
            with_preset!(preset_of(&preamble, &path)?, S => self.model::<S>(&path, &file))
        }
    }

    fn checkpoint<S: Network>(&self, checkpoint: &Checkpoint) -> Result<ExitCode, Error> {
        let data = self.data.load::<S>()?;
        let mut model = S::Model::zeros(&Cpu::default());
        parameters::load(&mut model, &checkpoint.parameters.values);
        let indices: Vec<usize> = (0..data.test.len()).collect();
        let logits = dfdx_logits(&model, checkpoint.describe::<S>().normalization, &data.test, &indices);
        self.print::<S>("dfdx", &data, &logits)
    }

    fn model<S: Network>(&self, path: &Path, file: &[u8]) -> Result<ExitCode, Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        match read_preamble(file, path)?.kind {
            Kind::F32 => {
                let model = read_float_model::<S>(file, path)?;
                let data = self.data.load::<S>()?;
                self.print::<S>("vit-nostd f32", &data, &nostd_logits(&model, &data.test, data.test.len()))
            }
            Kind::Int8 => {
                let model = int8::Model::<S>::from_bytes(file).map_err(refused)?;
                let data = self.data.load::<S>()?;
                self.print::<S>("vit-nostd int8", &data, &int8_logits(&model, &data.test, data.test.len()))
            }
        }
    }

    fn print<S: Network>(
        &self,
        engine: &'static str,
        data: &Splits,
        logits: &[f32],
    ) -> Result<ExitCode, Error> {
        if let Some(path) = &self.logits {
            let mut layout = Layout(Vec::new());
            layout.push("logits", &[data.test.len(), S::CLASSES]);
            let parameters = Parameters { layout, values: logits.to_vec() };
            Checkpoint { parameters, description: None }.save(path)?;
        }
        let score = Score::new(logits, data.test.labels().iter().copied());
        let evaluation = Evaluation {
            file: self.file.display().to_string(),
            preset: vit_train::preset::shape_name::<S>(),
            engine,
            dataset: data.name.clone(),
            synthetic: data.synthetic,
            images: data.test.len(),
            score,
        };
        if self.json {
            print_json(&evaluation)?;
        } else {
            let Evaluation { preset, engine, dataset, images, .. } = &evaluation;
            println!("{preset} by {engine} on {images} test images of {dataset}:");
            println!("accuracy {:.2} %, top-5 {:.2} %, loss {:.4}", score.acc, score.top5, score.loss);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The beginning of a model file.
pub fn read_preamble(file: &[u8], path: &Path) -> Result<Preamble, Error> {
    Preamble::read(file).map_err(|error| Error::Model { path: path.to_owned(), error })
}

/// The preset whose shape a model file has.
pub fn preset_of(preamble: &Preamble, path: &Path) -> Result<Preset, Error> {
    let unknown = || Error::UnknownShape { path: path.to_owned(), found: preamble.dims.to_string() };
    Preset::with_dims(preamble.dims).ok_or_else(unknown)
}
