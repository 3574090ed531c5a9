//! The command `vit-train eval`.

use super::{
    artifact::{file_or_in, Artifact, Content, ModelFile},
    checkpoint::CheckpointArguments,
    data::{lock_run_of, DataArguments, Loaded},
    dispatch::FileCommand,
    networks::List,
    options::CudaArguments,
    output::print_json,
    outputs::check_outputs,
};
use crate::{
    data::{Corruption, Dataset},
    files::write_atomically,
    formats::{
        checkpoint::{Checkpoint, Description},
        vit::read_float_model,
    },
    fused::cuda,
    inference::{check_logits, dfdx_logits, int8_logits, int8_raw_logits, nostd_logits},
    network::{
        model::Model,
        parameters::{self, Layout, Parameters},
        Trainable,
    },
    recipe::Processor,
    score::Score,
    train::check_processor,
    Error,
};
use clap::Args;
use dfdx::prelude::Cpu;
use safetensors::{tensor::TensorView, Dtype};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{
    argmax, float,
    frame::Fit,
    int8,
    model_file::{Kind, Metadata},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train eval runs/nano                           run the float model with vit-nostd on the images of the run
  vit-train eval runs/nano/model.int8.vit            run the integer model
  vit-train eval runs/nano/checkpoint.safetensors    run the checkpoint with dfdx
  vit-train eval runs/nano --cuda                    run the checkpoint on an NVIDIA GPU
  vit-train eval runs/x --data photos                use other images
  vit-train eval runs/nano --robustness              use shifted, rotated and noisy images, too
  vit-train eval runs/nano --json | jq .acc          print the accuracy for a script";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Model file (.vit), which vit-nostd runs, or checkpoint (.safetensors, or a PyTorch state_dict with the same
    /// tensor names), which dfdx runs; for a run, its float model or, with --cuda, its checkpoint is taken
    #[arg(value_name = "FILE.vit|FILE.safetensors|RUN")]
    file: PathBuf,
    /// Compute a float model with the approximations of the crate `micromath`, which suit a chip without a
    /// floating-point unit
    #[arg(long)]
    micromath: bool,
    /// Measure the accuracy on shifted, rotated and noisy images, too
    #[arg(long)]
    robustness: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Write the logits of the test images, images x classes, to compare them with those of another program (integers,
    /// if the model computes in integers)
    #[arg(long, value_name = "FILE.safetensors")]
    logits: Option<PathBuf>,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
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
    /// True if these are the images of the run; None if no run is known.
    data_of_run: Option<bool>,
    images: usize,
    #[serde(flatten)]
    score: Score,
    classes: Vec<ClassAccuracy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    robustness: Vec<Corrupted>,
}

/// The score on corrupted images.
#[derive(Serialize)]
struct Corrupted {
    /// The name of the corruption.
    images: String,
    #[serde(flatten)]
    score: Score,
}

/// The accuracy on the images of one class.
#[derive(Serialize)]
struct ClassAccuracy {
    /// The name that the model has for the class.
    name: String,
    images: usize,
    /// In percent; None if there are no images of this class.
    acc: Option<f64>,
}

impl ClassAccuracy {
    /// Compares `logits` (`images x classes`) with `labels`, class by class.
    fn all(names: Vec<String>, logits: &[f32], labels: &[u16]) -> Vec<Self> {
        let mut counts = vec![(0, 0); names.len()];
        for (logits, &label) in logits.chunks_exact(names.len()).zip(labels) {
            let (images, correct) = &mut counts[usize::from(label)];
            *images += 1;
            *correct += usize::from(argmax(logits) == usize::from(label));
        }
        let score = |(name, (images, correct))| {
            let acc = (images > 0).then(|| 100.0 * correct as f64 / images as f64);
            Self { name, images, acc }
        };
        names.into_iter().zip(counts).map(score).collect()
    }
}

impl FileCommand for Arguments {
    type Content = Content;

    fn open(&self, networks: &List) -> Result<Artifact, Error> {
        check_processor(self.cuda.processor())?;
        // On a GPU, the checkpoint is run, because vit-nostd does not run there.
        let in_run = if self.cuda.cuda { "checkpoint.safetensors" } else { "model.f32.vit" };
        let path = file_or_in(&self.file, in_run)?;
        let logits = self.logits.as_deref().map(|path| ("--logits", path));
        check_outputs(logits, &[&path], None)?;
        let artifact = Artifact::open(networks, &self.file, in_run, &self.checkpoint)?;
        match &artifact.content {
            Content::Checkpoint(_) if self.micromath => Err(not_of_floats(&path)),
            Content::Model(..) if self.cuda.cuda => Err(Error::Usage(format!(
                "{}: --cuda works with checkpoints (.safetensors) only: vit-nostd runs model files on the CPU",
                path.display()
            ))),
            _ => artifact.of_one_run(&self.file),
        }
    }

    fn run<N: Trainable>(&self, Artifact { path, content, .. }: &Artifact) -> Result<ExitCode, Error> {
        let _lock = self.logits.as_deref().map(lock_run_of).transpose()?;
        match content {
            Content::Checkpoint(checkpoint) => self.checkpoint::<N>(checkpoint, path),
            Content::Model(ModelFile { kind, file }) => self.model::<N>(*kind, path, file),
        }
    }
}

/// Writes integer logits as [`Checkpoint::save`] writes those in real numbers: a tensor `logits`.
fn save_integers(logits: &[i32], dims: &[usize], path: &Path) -> Result<(), Error> {
    let bytes = TensorView::new(Dtype::I32, dims.to_vec(), bytemuck::cast_slice(logits))
        .and_then(|view| safetensors::serialize([("logits", view)], None));
    write_atomically(path, &bytes.map_err(|error| Error::checkpoint(path, error))?)
}

impl Arguments {
    fn load<N: Trainable>(&self, path: &Path, dataset: &str, fit: Fit) -> Result<Loaded, Error> {
        let data = self.data.load_for::<N>(path, dataset, fit)?;
        data.warn(path);
        Ok(data)
    }

    fn checkpoint<N: Trainable>(&self, checkpoint: &Checkpoint, path: &Path) -> Result<ExitCode, Error> {
        let Description { normalization, labels, dataset, fit, .. } = checkpoint.describe::<N>();
        let data = self.load::<N>(path, &dataset, fit)?;
        let values = &checkpoint.parameters.values;
        if let Processor::Cuda { index, precision } = self.cuda.processor() {
            let logits = |test: &Dataset| cuda::logits::<N>(index, precision, values, &normalization, test);
            return self.score::<N>("CUDA", labels, &data, None, |test| Ok(logits(test)?));
        }
        let mut model = Model::<N, _>::zeros(&Cpu::default());
        parameters::load(&mut model, values);
        let indices: Vec<usize> = (0..data.splits.test.len()).collect();
        self.score::<N>("dfdx", labels, &data, None, |test| {
            Ok(dfdx_logits(&model, &normalization, test, &indices))
        })
    }

    fn model<N: Trainable>(&self, kind: Kind, path: &Path, file: &[u8]) -> Result<ExitCode, Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        let labels = |metadata: &Metadata| metadata.labels().map(str::to_owned).collect();
        match kind {
            Kind::F32 if self.micromath => {
                let model = float::Model::<N, float::Micromath>::from_bytes(file).map_err(refused)?;
                let data = self.load::<N>(path, model.metadata().provenance.dataset, model.metadata().fit)?;
                let engine = "vit-nostd f32 with micromath";
                self.score::<N>(engine, labels(model.metadata()), &data, None, |test| {
                    Ok(nostd_logits(&model, test, test.len()))
                })
            }
            Kind::F32 => {
                let model = read_float_model::<N>(file, path)?;
                let data = self.load::<N>(path, model.metadata().provenance.dataset, model.metadata().fit)?;
                self.score::<N>("vit-nostd f32", labels(model.metadata()), &data, None, |test| {
                    Ok(nostd_logits(&model, test, test.len()))
                })
            }
            Kind::Int8 if self.micromath => Err(not_of_floats(path)),
            Kind::Int8 => {
                let model = int8::Model::<N>::from_bytes(file).map_err(refused)?;
                let data = self.load::<N>(path, model.metadata().provenance.dataset, model.metadata().fit)?;
                let test = &data.splits.test;
                let integers = self.logits.as_ref().map(|_| int8_raw_logits(&model, test, test.len()));
                self.score::<N>("vit-nostd int8", labels(model.metadata()), &data, integers, |test| {
                    Ok(int8_logits(&model, test, test.len()))
                })
            }
        }
    }

    /// Scores the logits (`images x classes`) that `infer` computes for the test images, and prints the result.
    fn score<N: Trainable>(
        &self,
        engine: &'static str,
        names: Vec<String>,
        loaded: &Loaded,
        integers: Option<Vec<i32>>,
        infer: impl Fn(&Dataset) -> Result<Vec<f32>, Error>,
    ) -> Result<ExitCode, Error> {
        let data = &loaded.splits;
        let infer = |test: &Dataset| {
            let logits = infer(test)?;
            check_logits(&logits, &self.file)?;
            Ok::<_, Error>(logits)
        };
        let logits = infer(&data.test)?;
        if names != data.class_names {
            let (model, data) = (names.join(", "), data.class_names.join(", "));
            err!(
                "NOTE: the model's classes are {model}, and those of the images are {data}: they are compared by number."
            );
        }
        // An integer model's logits are written as they are, before they are multiplied with their scale.
        if let (Some(path), Some(integers)) = (&self.logits, &integers) {
            save_integers(integers, &[data.test.len(), N::CLASSES], path)?;
        } else if let Some(path) = &self.logits {
            let mut layout = Layout(Vec::new());
            layout.push("logits", &[data.test.len(), N::CLASSES]);
            let parameters = Parameters { layout, values: logits.clone() };
            Checkpoint { parameters, description: None }.save(path)?;
        }
        let labels = data.test.labels();
        let score = Score::new(&logits, labels.iter().copied());
        let mut robustness = Vec::new();
        for corruption in Corruption::ALL.iter().filter(|_| self.robustness) {
            let logits = infer(&corruption.apply(&data.test))?;
            let score = Score::new(&logits, labels.iter().copied());
            robustness.push(Corrupted { images: corruption.to_string(), score });
        }
        let evaluation = Evaluation {
            file: self.file.display().to_string(),
            preset: crate::network::name::<N>(),
            engine,
            dataset: data.name.clone(),
            synthetic: data.synthetic,
            data_of_run: loaded.own,
            images: data.test.len(),
            score,
            classes: ClassAccuracy::all(names, &logits, labels),
            robustness,
        };
        if self.json {
            print_json(&evaluation)?;
        } else {
            let Evaluation { preset, engine, dataset, images, .. } = &evaluation;
            let whose = if loaded.own == Some(false) { " (not the data of the run)" } else { "" };
            out!("{preset} by {engine} on {images} test images of {dataset}{whose}:");
            out!("accuracy {:.2} %, top-5 {:.2} %, loss {:.4}", score.acc, score.top5, score.loss);
            let width = evaluation.classes.iter().map(|class| class.name.chars().count()).max();
            for ClassAccuracy { name, images, acc } in &evaluation.classes {
                let acc = acc.map_or("-".to_owned(), |acc| format!("{acc:.2} %"));
                out!("  {name:<width$}  {acc:>8} of {images}", width = width.unwrap_or(0));
            }
            for Corrupted { images, score } in &evaluation.robustness {
                out!("{:>8}  {images}", format!("{:.2} %", score.acc));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the error for `--micromath` with something else than a float model.
fn not_of_floats(path: &Path) -> Error {
    Error::Usage(format!(
        "{}: --micromath works with float models (.f32.vit) only: leave it out",
        path.display()
    ))
}
