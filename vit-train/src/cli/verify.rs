//! `vit-train verify`.

use super::{
    artifact::{no_integers, Artifact, Content, ModelFile},
    checkpoint::{is_checkpoint, CheckpointArguments},
    data::{DataArguments, Loaded},
    dispatch::FileCommand,
    networks::List,
    output::print_json,
};
use crate::{
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes, vit::float_model},
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
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::model_file::Kind;

pub const EXAMPLES: &str = "\
Examples:
  vit-train verify runs/nano                         on the test images of the run
  vit-train verify runs/x --data photos              on other images
  vit-train verify runs/nano --json && flash ...     in a script: exit code 1 if anything differs";

#[derive(Args, Debug)]
pub struct Arguments {
    /// Folder of a training run: its checkpoint.safetensors, model.f32.vit and model.int8.vit are compared. Or a
    /// checkpoint alone (a PyTorch state_dict in the same names will do): it is compared with what `export` and
    /// `quantize` make of it
    #[arg(value_name = "RUN|FILE.safetensors")]
    run: PathBuf,
    /// Images to be compared bit by bit with dfdx in the canonical order, which is slow
    #[arg(long, value_name = "N", default_value_t = 100)]
    exact_images: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Serialize)]
struct Verified {
    /// Whether the model files of a run were made from its checkpoint, as far as they say it.
    same_checkpoint: bool,
    origins: Vec<Origin>,
    /// Whether the images are those of the run; none where no run is known.
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
            return Err(Error::Setting(format!(
                "{run}: a run has its own normalisation: leave --normalization out"
            )));
        }
        if !is_checkpoint && self.run.is_file() {
            return Err(Error::Setting(format!(
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
                return Err(Error::Setting(format!(
                    "{file} is missing; this makes it: vit-train quantize {run}"
                )));
            };
            err!("NOTE: {no_integers}");
        }
        let int8 = int8_file.as_ref().map(|file| (int8_path.as_path(), &**file));
        let files = Files { f32: (path, file), int8 };
        let origins = origins::<N>(&self.run, &[Kind::F32, Kind::Int8])?;
        self.verify::<N>(&checkpoint, files, &self.load::<N>(&checkpoint_path, &checkpoint)?, origins)
    }

    fn load<N: Trainable>(&self, path: &Path, checkpoint: &Checkpoint) -> Result<Loaded, Error> {
        let data = self.data.load_for::<N>(path, &checkpoint.describe::<N>().dataset)?;
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
                Some(other) if self.json => err!("FAIL {other}"),
                Some(other) => out!("FAIL {other}"),
                None if digest.is_none() => err!(
                    "NOTE: {} does not say which checkpoint it was made from: it may be that of another network.",
                    file.display()
                ),
                None => {}
            }
            same_checkpoint &= other.is_none();
        }
        let verification = verify::<N>(&checkpoint.parameters, files, &data.splits.test, self.exact_images)?;
        if self.json {
            print_json(&Verified { same_checkpoint, origins, data_of_run: data.own, verification })?;
        } else {
            out!("{verification}");
        }
        Ok(if same_checkpoint && verification.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
