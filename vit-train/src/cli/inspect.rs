//! `vit-train inspect`.

use super::{
    checkpoint::is_checkpoint,
    eval::{preset_of, read_preamble},
    file_or_in, print_json,
};
use clap::Args;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{
    float, int8,
    model_file::{Kind, VERSION},
};
use vit_train::{
    checkpoint::{Checkpoint, Description},
    digest::Digest,
    export::read_float_model,
    files::ModelBytes,
    model::Network,
    with_preset, Error, Preset,
};

pub const EXAMPLES: &str = "\
Examples:
  vit-train inspect runs/nano                              shape, sizes, classes and origin of its float model
  vit-train inspect runs/nano/model.int8.vit --json        of the integer model, for a script
  vit-train inspect runs/nano/checkpoint.safetensors       names and shapes of the tensors";

#[derive(Args, Debug)]
pub struct Arguments {
    /// A model file, a checkpoint, or the folder of a training run
    #[arg(value_name = "FILE.vit|FILE.safetensors|RUN")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ModelContent {
    format_version: u16,
    kind: String,
    preset: String,
    shape: String,
    parameters: usize,
    file_bytes: usize,
    weight_bytes: usize,
    scratch_bytes: usize,
    #[serde(flatten)]
    description: Description,
    /// Of the checkpoint that the model was made from, where the file says it.
    digest: Option<Digest>,
    tool: String,
}

#[derive(Serialize)]
struct CheckpointContent {
    preset: Option<String>,
    parameters: usize,
    digest: Digest,
    tensors: Vec<Tensor>,
    description: Option<Description>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let path = file_or_in(&self.file, "model.f32.vit")?;
        if is_checkpoint(&path)? {
            self.checkpoint(&Checkpoint::load(&path)?, &path)?;
        } else {
            let file = ModelBytes::read(&path)?;
            let preamble = read_preamble(&file, &path)?;
            with_preset!(preset_of(&preamble, &path)?, S => self.model::<S>(&path, &file))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn model<S: Network>(&self, path: &Path, file: &[u8]) -> Result<(), Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        let kind = read_preamble(file, path)?.kind;
        let (metadata, weight_bytes, scratch_bytes) = match kind {
            Kind::F32 => {
                let model = read_float_model::<S>(file, path)?;
                (*model.metadata(), float::Model::<S>::WEIGHT_BYTES, float::Scratch::<S>::BYTES)
            }
            Kind::Int8 => {
                let model = int8::Model::<S>::from_bytes(file).map_err(refused)?;
                (*model.metadata(), int8::Model::<S>::WEIGHT_BYTES, int8::Scratch::<S>::BYTES)
            }
        };
        let content = ModelContent {
            format_version: VERSION,
            kind: kind.to_string(),
            preset: vit_train::preset::shape_name::<S>(),
            shape: S::DIMS.to_string(),
            parameters: S::DIMS.parameters(),
            file_bytes: file.len(),
            weight_bytes,
            scratch_bytes,
            description: Description::of(&metadata),
            digest: metadata.provenance.checkpoint.map(Digest),
            tool: metadata.provenance.tool.to_owned(),
        };
        if self.json {
            return print_json(&content);
        }
        println!(
            "{} model file, format version {}, {}",
            content.kind, content.format_version, content.preset
        );
        println!("shape       {}", content.shape);
        println!("parameters  {} in {} bytes of weights", content.parameters, content.weight_bytes);
        println!("file        {} bytes of flash", content.file_bytes);
        println!("scratch     {} bytes of RAM", content.scratch_bytes);
        let (normalization, labels) = (content.description.normalization, &content.description.labels);
        println!("input       (pixel / 255 - {}) / {}", normalization.mean, normalization.std);
        println!("classes     {}", labels.join(", "));
        match content.digest {
            Some(digest) => println!("digest      {digest:.12} of the checkpoint"),
            None => println!("digest      of the checkpoint unknown"),
        }
        let provenance = metadata.provenance;
        println!("trained on  {} with seed {} by {}", provenance.dataset, provenance.seed, provenance.tool);
        match provenance.test_accuracy {
            Some(accuracy) => println!("accuracy    {accuracy:.2} % of the test images"),
            None => println!("accuracy    not measured"),
        }
        Ok(())
    }

    fn checkpoint(&self, checkpoint: &Checkpoint, path: &Path) -> Result<(), Error> {
        let parameters = &checkpoint.parameters;
        let nearest = Preset::nearest(&parameters.layout);
        let fits = nearest.layout().check(&parameters.layout);
        if fits.is_ok() {
            checkpoint.check_description(nearest.dims().classes.into(), path)?;
        }
        let entries = parameters.layout.0.iter();
        let content = CheckpointContent {
            preset: fits.is_ok().then(|| nearest.to_string()),
            parameters: parameters.values.len(),
            digest: checkpoint.digest(),
            tensors: entries
                .map(|entry| Tensor { name: entry.name.clone(), shape: entry.dims.clone() })
                .collect(),
            description: checkpoint.description.clone(),
        };
        if self.json {
            return print_json(&content);
        }
        println!("checkpoint of {} parameters", content.parameters);
        match fits {
            Ok(()) => println!("network     {nearest}"),
            Err(mismatches) => println!("network     none of the presets; for {nearest}, {mismatches}"),
        }
        println!("digest      {:.12}", content.digest);
        if let Some(name) = parameters.not_finite() {
            println!("damage      tensor {name} has a value that is not a finite number");
        }
        match &content.description {
            Some(Description { dataset, seed, normalization, labels, test_accuracy }) => {
                println!("input       (pixel / 255 - {}) / {}", normalization.mean, normalization.std);
                println!("classes     {}", labels.join(", "));
                println!("trained on  {dataset} with seed {seed}");
                if let Some(accuracy) = test_accuracy {
                    println!("accuracy    {accuracy:.2} % of the test images");
                }
            }
            None => println!("            says nothing of its input and classes: another program wrote it"),
        }
        for Tensor { name, shape } in &content.tensors {
            println!("  {name:<32} {shape:?}");
        }
        Ok(())
    }
}
