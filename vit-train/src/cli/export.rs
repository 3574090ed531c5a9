//! The command `vit-train export`.

use super::{
    artifact::{file_or_in, Artifact},
    checkpoint::{changed, is_checkpoint, CheckpointArguments, LabelArguments},
    data::lock_run_of,
    dispatch::FileCommand,
    networks::List,
    outputs::check_outputs,
};
use crate::{
    files::write_atomically,
    formats::{checkpoint::Checkpoint, onnx::onnx_model, vit::float_model},
    network::Trainable,
    Error,
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train export runs/nano --onnx nano.onnx                  write ONNX for onnxruntime and other programs
  vit-train export runs/nano --safetensors nano.safetensors    write a state_dict for PyTorch
  vit-train export theirs.safetensors --vit theirs.f32.vit     convert a network from PyTorch for a chip";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Checkpoint (or PyTorch state_dict with the same tensor names), float model file, or folder of a training run,
    /// whose checkpoint is taken
    #[arg(value_name = "RUN|FILE.safetensors|FILE.vit")]
    source: PathBuf,
    #[command(flatten)]
    formats: Formats,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    labels: LabelArguments,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Formats {
    /// Write an ONNX model: input `pixels`, uint8 grey levels from 0 to 255, batch x 1 x side x side (the model
    /// normalises them); output `logits`, float, batch x classes
    #[arg(long, value_name = "FILE.onnx")]
    onnx: Option<PathBuf>,
    /// Write a checkpoint, which PyTorch loads with `load_state_dict`
    #[arg(long, value_name = "FILE.safetensors")]
    safetensors: Option<PathBuf>,
    /// Write the model file for the float engine of vit-nostd (`quantize` writes the one for the integer engine)
    #[arg(long, value_name = "FILE.vit")]
    vit: Option<PathBuf>,
}

impl FileCommand for Arguments {
    type Content = Checkpoint;

    fn open(&self, networks: &List) -> Result<Artifact<Checkpoint>, Error> {
        let path = file_or_in(&self.source, "checkpoint.safetensors")?;
        check_outputs(self.formats.outputs(), &[&path], changed(&self.checkpoint, &self.labels))?;
        let (network, checkpoint) = if is_checkpoint(&path)? {
            self.checkpoint.load(networks, &path)?
        } else {
            let Artifact { network, content, .. } = Artifact::open_model(networks, path.clone())?;
            let checkpoint = (network.checkpoint_of)(&content.file, &path)?;
            (network, self.checkpoint.apply(network, checkpoint)?)
        };
        let content = self.labels.apply(network, checkpoint)?;
        Artifact { path, network, content }.of_one_run(&self.source)
    }

    fn run<N: Trainable>(
        &self,
        Artifact { path, content, .. }: &Artifact<Checkpoint>,
    ) -> Result<ExitCode, Error> {
        self.formats.write::<N>(content, path)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Formats {
    /// Returns the files to write, each with the option that names it.
    fn outputs(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let outputs = [("--onnx", &self.onnx), ("--safetensors", &self.safetensors), ("--vit", &self.vit)];
        outputs.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    fn write<N: Trainable>(&self, checkpoint: &Checkpoint, source: &Path) -> Result<(), Error> {
        if let Some(path) = &self.onnx {
            write(path, &onnx_model::<N>(checkpoint, source)?)?;
        }
        if let Some(path) = &self.safetensors {
            write(path, &checkpoint.serialize(source)?)?;
        }
        if let Some(path) = &self.vit {
            write(path, &float_model::<N>(checkpoint, source)?)?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let _lock = lock_run_of(path)?;
    write_atomically(path, bytes)?;
    out!("{}: {} bytes", path.display(), bytes.len());
    Ok(())
}
