//! The command `vit-train verify`.

use super::{
    advice::{make_again, UNQUANTIZABLE},
    artifact::{no_integers, Artifact, Content, ModelFile},
    checkpoint::{is_checkpoint, CheckpointArguments},
    data::{DataArguments, Loaded},
    dispatch::FileCommand,
    networks::List,
    output::print_json,
};
use crate::{
    formats::{
        checkpoint::{Checkpoint, Description},
        model_bytes::ModelBytes,
        vit::float_model,
    },
    network::Trainable,
    quantize::quantize_and_score,
    run::{
        folder::RunFolder,
        origins::{origins, Origin},
    },
    verify::{verify, Files, Verification},
    Error,
};
use clap::Args;
use serde::Serialize;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::model_file::Kind;

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train verify runs/nano                       compare the engines on the test images of the run
  vit-train verify runs/x --data photos            compare them on other images
  vit-train verify runs/nano --json && flash ...   continue in a script only if nothing differs";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Folder of a training run, whose checkpoint.safetensors, model.f32.vit and model.int8.vit are compared; or a
    /// checkpoint (or a PyTorch state_dict with the same tensor names), which is compared with the models that `export`
    /// and `quantize` make of it
    #[arg(value_name = "RUN|FILE.safetensors")]
    run: PathBuf,
    /// Number of images whose logits must have the same bits when dfdx computes every sum in the documented order of
    /// the float engine (vit-nostd/src/float/mod.rs), which is slow
    #[arg(long, value_name = "N", default_value = "100")]
    exact_images: NonZeroUsize,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Serialize)]
struct Verified {
    /// False if a model file of the run states that it was made from another checkpoint than that of the run.
    same_checkpoint: bool,
    origins: Vec<Origin>,
    /// True if the images are those of the run; None if no run is known.
    data_of_run: Option<bool>,
    #[serde(flatten)]
    verification: Verification,
}

impl FileCommand for Arguments {
    type Content = Content;

    fn open(&self, networks: &List) -> Result<Artifact, Error> {
        let is_checkpoint = !self.run.is_dir() && is_checkpoint(&self.run)?;
        let run = self.run.display();
        if !is_checkpoint && self.checkpoint.normalization.is_some() {
            return Err(Error::Usage(format!(
                "{run}: a run has its own normalisation: leave --normalization out"
            )));
        }
        if !is_checkpoint && self.run.is_file() {
            return Err(Error::Usage(format!(
                "{run}: neither a run nor a checkpoint: give the folder of the run, or the checkpoint"
            )));
        }
        Artifact::open(networks, &self.run, "model.f32.vit", &self.checkpoint)
    }

    fn run<N: Trainable>(&self, Artifact { path, content, .. }: &Artifact) -> Result<ExitCode, Error> {
        match content {
            Content::Checkpoint(checkpoint) => self.checkpoint::<N>(checkpoint),
            Content::Model(ModelFile { file, .. }) => self.files::<N>(path, file),
        }
    }
}

impl Arguments {
    fn checkpoint<N: Trainable>(&self, checkpoint: &Checkpoint) -> Result<ExitCode, Error> {
        let data = self.load::<N>(&self.run, checkpoint)?;
        let splits = &data.splits;
        let file = float_model::<N>(checkpoint, &self.run)?;
        let (train, _) = splits.train.split(checkpoint.describe::<N>().seed);
        let (int8_file, _) =
            quantize_and_score::<N>(checkpoint, (&splits.train, &train), &splits.test, &self.run)?;
        let files = Files { f32: (&self.run, &file), int8: Some((&self.run, &int8_file)) };
        self.verify::<N>(checkpoint, files, &data, Vec::new())
    }

    fn files<N: Trainable>(&self, path: &Path, file: &[u8]) -> Result<ExitCode, Error> {
        let checkpoint_path = RunFolder::checkpoint(&self.run);
        let checkpoint = Checkpoint::load(&checkpoint_path)?.into_order_of::<N>(&checkpoint_path)?;
        let int8_path = RunFolder::int8_model(&self.run);
        let int8_file = if int8_path.exists() { Some(ModelBytes::read(&int8_path)?) } else { None };
        if int8_file.is_none() {
            let Some(no_integers) = no_integers(&self.run) else {
                let (file, run) = (int8_path.display(), self.run.display());
                return Err(Error::Usage(format!(
                    "{file} is missing: make it with `vit-train quantize {run}`"
                )));
            };
            err!("NOTE: {no_integers}. {UNQUANTIZABLE}");
        }
        let int8 = int8_file.as_ref().map(|file| (int8_path.as_path(), &**file));
        let files = Files { f32: (path, file), int8 };
        let origins = origins::<N>(&self.run, &[Kind::F32, Kind::Int8])?;
        self.verify::<N>(&checkpoint, files, &self.load::<N>(&checkpoint_path, &checkpoint)?, origins)
    }

    fn load<N: Trainable>(&self, path: &Path, checkpoint: &Checkpoint) -> Result<Loaded, Error> {
        let Description { dataset, fit, .. } = checkpoint.describe::<N>();
        let data = self.data.load_for::<N>(path, &dataset, fit)?;
        data.warn(path);
        Ok(data)
    }

    fn verify<N: Trainable>(
        &self,
        checkpoint: &Checkpoint,
        files: Files<'_>,
        data: &Loaded,
        origins: Vec<Origin>,
    ) -> Result<ExitCode, Error> {
        let mut same_checkpoint = true;
        for Origin { file, digest, other } in &origins {
            match other {
                Some(other) if self.json => err!("FAIL {other}. {}", make_again(other)),
                Some(other) => out!("FAIL {other}. {}", make_again(other)),
                None if digest.is_none() => err!(
                    "NOTE: {} does not say which checkpoint it was made from, so that it may be that of another network.",
                    file.display()
                ),
                None => {}
            }
            same_checkpoint &= other.is_none();
        }
        let verification =
            verify::<N>(&checkpoint.parameters, files, &data.splits.test, self.exact_images.get())?;
        if self.json {
            print_json(&Verified { same_checkpoint, origins, data_of_run: data.own, verification })?;
        } else {
            out!("{verification}");
        }
        Ok(if same_checkpoint && verification.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
