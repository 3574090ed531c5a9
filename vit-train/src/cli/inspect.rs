//! The command `vit-train inspect`.

use super::{
    artifact::{file_or_in, Artifact, ModelFile},
    checkpoint::is_checkpoint,
    dispatch::{with_network, Task},
    networks::List,
    output::print_json,
};
use crate::{
    digest::Digest,
    formats::{
        checkpoint::{Checkpoint, Description},
        vit::read_float_model,
    },
    network::list::Networks,
    network::Trainable,
    Error,
};
use clap::Args;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{
    float,
    frame::Fit,
    int8,
    model_file::{Kind, Normalization, VERSION},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train inspect runs/nano                           show shape, sizes, classes and origin of the float model
  vit-train inspect runs/nano/model.int8.vit --json     print those of the integer model, for a script
  vit-train inspect runs/nano/checkpoint.safetensors    show the names and shapes of the tensors";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Model file, checkpoint, or folder of a training run, whose float model is shown
    #[arg(value_name = "FILE.vit|FILE.safetensors|RUN")]
    file: PathBuf,
    /// Print the content as JSON
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
    /// The digest of the checkpoint that the model was made from, if the file states it.
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

/// The task of showing a model file.
struct Show<'a> {
    arguments: &'a Arguments,
    file: &'a Artifact<ModelFile>,
}

impl Task for Show<'_> {
    type Output = Result<(), Error>;

    fn run<N: Trainable>(self) -> Self::Output {
        let Artifact { path, content: ModelFile { kind, file }, .. } = self.file;
        self.arguments.model::<N>(*kind, path, file)
    }
}

impl Arguments {
    pub(super) fn run<L: Networks>(self, networks: &List) -> Result<ExitCode, Error> {
        let path = file_or_in(&self.file, "model.f32.vit")?;
        if is_checkpoint(&path)? {
            self.checkpoint(networks, &Checkpoint::load(&path)?, &path)?;
        } else {
            let file = Artifact::open_model(networks, path)?;
            with_network::<L, _>(file.network, Show { arguments: &self, file: &file })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn model<N: Trainable>(&self, kind: Kind, path: &Path, file: &[u8]) -> Result<(), Error> {
        let refused = |error| Error::Model { path: path.to_owned(), error };
        let (metadata, weight_bytes, scratch_bytes) = match kind {
            Kind::F32 => {
                let model = read_float_model::<N>(file, path)?;
                (*model.metadata(), float::Model::<N>::WEIGHT_BYTES, float::Scratch::<N>::BYTES)
            }
            Kind::Int8 => {
                let model = int8::Model::<N>::from_bytes(file).map_err(refused)?;
                (*model.metadata(), int8::Model::<N>::WEIGHT_BYTES, int8::Scratch::<N>::BYTES)
            }
        };
        let content = ModelContent {
            format_version: VERSION,
            kind: kind.to_string(),
            preset: crate::network::name::<N>(),
            shape: N::DIMS.to_string(),
            parameters: N::DIMS.parameters(),
            file_bytes: file.len(),
            weight_bytes,
            scratch_bytes,
            description: Description::of::<N>(&metadata),
            digest: metadata.provenance.checkpoint.map(Digest),
            tool: metadata.provenance.tool.to_owned(),
        };
        if self.json {
            return print_json(&content);
        }
        out!("{} model file, format version {}, {}", content.kind, content.format_version, content.preset);
        out!("shape       {}", content.shape);
        out!("parameters  {} in {} bytes of weights", content.parameters, content.weight_bytes);
        out!("file        {} bytes of flash", content.file_bytes);
        out!("scratch     {} bytes of RAM", content.scratch_bytes);
        print_input(&content.description);
        match content.digest {
            Some(digest) => out!("digest      {digest:.12} of the checkpoint"),
            None => out!("digest      unknown: the file does not state its checkpoint"),
        }
        let provenance = metadata.provenance;
        out!("trained on  {} with seed {} by {}", provenance.dataset, provenance.seed, provenance.tool);
        match provenance.test_accuracy {
            Some(accuracy) => out!("accuracy    {accuracy:.2} % of the test images"),
            None => out!("accuracy    not measured"),
        }
        Ok(())
    }

    fn checkpoint(&self, networks: &List, checkpoint: &Checkpoint, path: &Path) -> Result<(), Error> {
        let parameters = &checkpoint.parameters;
        let nearest = networks.nearest(&parameters.layout);
        let fits = (nearest.layout)().check(&parameters.layout);
        if fits.is_ok() {
            checkpoint.check_description(&nearest.dims, path)?;
        }
        let entries = parameters.layout.0.iter();
        let content = CheckpointContent {
            preset: fits.is_ok().then(|| nearest.name()),
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
        out!("checkpoint of {} parameters", content.parameters);
        match fits {
            Ok(()) => out!("network     {}", nearest.name()),
            Err(mismatches) => {
                out!("network     none of this program; for {}, {mismatches}", nearest.name());
            }
        }
        out!("digest      {:.12}", content.digest);
        if let Some(name) = parameters.not_finite() {
            out!("damage      tensor {name} has a value that is not a finite number");
        }
        match &content.description {
            Some(description) => {
                print_input(description);
                let Description { dataset, seed, test_accuracy, .. } = description;
                out!("trained on  {dataset} with seed {seed}");
                if let Some(accuracy) = test_accuracy {
                    out!("accuracy    {accuracy:.2} % of the test images");
                }
            }
            None => out!("            no description of input and classes: another program wrote this file"),
        }
        for Tensor { name, shape } in &content.tensors {
            out!("  {name:<32} {shape:?}");
        }
        Ok(())
    }
}

/// Prints how pictures and levels become the input of a network, and the names of its classes.
fn print_input(Description { fit, normalization, labels, .. }: &Description) {
    let fit = match fit {
        Fit::Crop => "cropped",
        Fit::Pad => "padded",
        Fit::Stretch => "stretched",
    };
    let colours = ["red", "green", "blue"];
    let name = |channel: usize| match normalization.len() {
        1 => "level",
        _ => colours[channel % colours.len()],
    };
    let channels = normalization.iter().enumerate();
    let channels = channels
        .map(|(channel, Normalization { mean, std })| format!("({} / 255 - {mean}) / {std}", name(channel)));
    out!("input       {}", channels.collect::<Vec<_>>().join(", "));
    out!("pictures    {fit}");
    out!("classes     {}", labels.join(", "));
}
