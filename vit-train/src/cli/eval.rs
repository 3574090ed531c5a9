//! `vit-train eval`.

use super::{file_or_in, print_json, CudaArguments, DataArguments};
use clap::Args;
use dfdx::prelude::Cpu;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{
    float, int8,
    model_file::{Kind, Preamble},
};
use vit_train::{
    checkpoint::Checkpoint,
    data::Splits,
    engine::Processor,
    files::ModelBytes,
    fused::cuda,
    inference::{dfdx_logits, int8_logits, nostd_logits, Score},
    model::{Model, Network},
    parameters, with_preset, Error, Preset,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// A model file (.vit), which vit-nostd runs, or a checkpoint (.safetensors), which dfdx runs
    #[arg(value_name = "FILE.vit|FILE.safetensors|RUN")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cuda: CudaArguments,
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
        self.cuda.processor().check()?;
        let path = file_or_in(&self.file, "model.f32.vit");
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let checkpoint = Checkpoint::load(&path)?;
            let preset = preset_of_checkpoint(&checkpoint, &path)?;
            with_preset!(preset, S => self.checkpoint::<S>(&path, checkpoint))
        } else if self.cuda.cuda {
            let path = path.display();
            Err(Error::Setting(format!(
                "{path}: --cuda is for checkpoints (.safetensors): vit-nostd runs on the CPU"
            )))
        } else {
            let file = ModelBytes::read(&path)?;
            let preamble = read_preamble(&file, &path)?;
            with_preset!(preset_of(&preamble, &path)?, S => self.model::<S>(&path, &file))
        }
    }

    fn checkpoint<S: Network>(&self, path: &Path, checkpoint: Checkpoint) -> Result<ExitCode, Error> {
        let data = self.data.load::<S>()?;
        let checkpoint = checkpoint.into_order_of::<S>(path)?;
        let normalization = checkpoint.describe::<S>().normalization;
        let values = &checkpoint.parameters.values;
        if let Processor::Cuda { index, precision } = self.cuda.processor() {
            let logits = cuda::logits::<S>(index, precision, values, normalization, &data.test)?;
            return self.print::<S>("CUDA", &data, &logits);
        }
        let mut model = S::Model::zeros(&Cpu::default());
        parameters::load(&mut model, values);
        let indices: Vec<usize> = (0..data.test.len()).collect();
        let logits = dfdx_logits(&model, normalization, &data.test, &indices);
        self.print::<S>("dfdx", &data, &logits)
    }

    fn model<S: Network>(&self, path: &Path, file: &[u8]) -> Result<ExitCode, Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        match read_preamble(file, path)?.kind {
            Kind::F32 => {
                let model = float::Model::<S>::from_bytes(file).map_err(refused)?;
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

/// The preset whose parameters a checkpoint has.
pub fn preset_of_checkpoint(checkpoint: &Checkpoint, path: &Path) -> Result<Preset, Error> {
    Preset::with_parameters(&checkpoint.parameters).ok_or_else(|| {
        // Against one preset, so that there is something to compare with.
        let mismatch = Preset::Base.layout().check(&checkpoint.parameters).err();
        let found = mismatch.map_or(String::new(), |mismatch| format!("for base, {mismatch}"));
        Error::UnknownShape { path: path.to_owned(), found }
    })
}
