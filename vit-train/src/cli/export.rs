//! The command `vit-train export`.

use super::{
    artifact::{file_or_in, Artifact},
    checkpoint::{changed, is_checkpoint, CheckpointArguments, LabelArguments},
    data::lock_run_of,
    dispatch::{self, FileCommand},
    networks::List,
    outputs::check_outputs,
};
use crate::{
    c_library::{self, model::ExportedModel, target::Target, Bytes, Exported},
    files::write_atomically,
    formats::{checkpoint::Checkpoint, onnx::onnx_model, vit::float_model},
    network::{list::Networks, Trainable},
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
  vit-train export theirs.safetensors --vit theirs.f32.vit     convert a network from PyTorch for a chip
  vit-train export runs/nano --c firmware/vit                  a library for C, for a Cortex-M4 with floating point
  vit-train export runs/nano --c vit --target thumbv6m-none-eabi       for a Cortex-M0
  vit-train export runs/a runs/b --c vit --name day --name night       one library with two networks";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Checkpoint (or PyTorch state_dict with the same tensor names), float model file, or folder of a training run,
    /// whose checkpoint is taken; for `--c`, integer model files, or runs, whose integer models are taken
    #[arg(value_name = "RUN|FILE.safetensors|FILE.vit", required = true)]
    sources: Vec<PathBuf>,
    #[command(flatten)]
    formats: Formats,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    labels: LabelArguments,
    #[command(flatten)]
    library: LibraryArguments,
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
    /// Write a library for C and C++ to this folder, with its header, the models, examples and files for CMake; an earlier
    /// export there is replaced
    #[arg(long, value_name = "DIR", conflicts_with_all = ["onnx", "safetensors", "vit"])]
    c: Option<PathBuf>,
}

/// The options of `--c`.
#[derive(Args, Debug)]
struct LibraryArguments {
    /// Target of the library, as rustc names it [default: thumbv7em-none-eabihf]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Core of the processor, as gcc names it in -mcpu [default: the usual one for the target]
    #[arg(long)]
    cpu: Option<String>,
    /// Name of a network in C, for each model in their order [default: the name of the file or of the run]
    #[arg(long)]
    name: Vec<String>,
}

impl LibraryArguments {
    /// Returns one of these options that is given, if any is.
    fn given(&self) -> Option<&'static str> {
        let target = self.target.as_ref().map(|_| "--target");
        let name = (!self.name.is_empty()).then_some("--name");
        target.or(self.cpu.as_ref().map(|_| "--cpu")).or(name)
    }
}

impl Arguments {
    pub(super) fn run<L: Networks>(&self, networks: &List) -> Result<ExitCode, Error> {
        match &self.formats.c {
            Some(directory) => self.export_library(directory),
            // clap does not require `--c` for them where another option excludes it.
            None => match self.library.given() {
                Some(option) => Err(Error::Usage(format!("{option}: this is an option of --c"))),
                None => dispatch::run::<L, _>(self, networks),
            },
        }
    }

    /// Writes a library for C.
    fn export_library(&self, directory: &Path) -> Result<ExitCode, Error> {
        if let Some(option) = changed(&self.checkpoint, &self.labels) {
            return Err(Error::Usage(format!(
                "{option}: a model file describes itself: give this option to `vit-train quantize`, and then export"
            )));
        }
        let LibraryArguments { target, cpu, name: names } = &self.library;
        let target = Target::named(target.as_deref().unwrap_or("thumbv7em-none-eabihf"), cpu.as_deref())?;
        if !names.is_empty() && names.len() != self.sources.len() {
            return Err(Error::Usage(format!(
                "--name: {} names for {} models: give one for each",
                names.len(),
                self.sources.len()
            )));
        }
        let mut models: Vec<ExportedModel> = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            let path = file_or_in(source, "model.int8.vit")?;
            let model = ExportedModel::open(path, names.get(index).map(String::as_str))?;
            if let Some(other) = models.iter().find(|other| other.name == model.name) {
                return Err(Error::Usage(format!(
                    "{} and {}: both networks would be called {}: give a --name for each",
                    other.path.display(),
                    model.path.display(),
                    model.name
                )));
            }
            models.push(model);
        }
        c_library::check(directory)?;
        err!("compiling the library for {} ...", target.triple);
        let Exported { sizes } = c_library::export(&models, &target, directory)?;
        let Bytes { code, constants } = sizes.inference;
        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        out!(
            "{}: {} for {}; opening and inference take {code} bytes of code and {constants} of constants",
            directory.display(),
            names.join(", "),
            target.triple
        );
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the only source.
    fn source(&self) -> Result<&Path, Error> {
        match &self.sources[..] {
            [source] => Ok(source),
            _ => Err(Error::Usage("several models: only --c takes more than one".to_owned())),
        }
    }
}

impl FileCommand for Arguments {
    type Content = Checkpoint;

    fn open(&self, networks: &List) -> Result<Artifact<Checkpoint>, Error> {
        let path = file_or_in(self.source()?, "checkpoint.safetensors")?;
        check_outputs(self.formats.outputs(), &[&path], changed(&self.checkpoint, &self.labels))?;
        let (network, checkpoint) = if is_checkpoint(&path)? {
            self.checkpoint.load(networks, &path)?
        } else {
            let Artifact { network, content, .. } = Artifact::open_model(networks, path.clone())?;
            let checkpoint = (network.checkpoint_of)(&content.file, &path)?;
            (network, self.checkpoint.apply(network, checkpoint)?)
        };
        let content = self.labels.apply(network, checkpoint)?;
        Artifact { path, network, content }.of_one_run(self.source()?)
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
