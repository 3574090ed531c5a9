//! `vit-train quantize`.

use super::{file_or_in, DataArguments};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_train::{
    checkpoint::Checkpoint, files::write_atomically, model::Network, quantize::quantize_and_score,
    train::Outputs, with_preset, Error,
};

#[derive(Args, Debug)]
pub struct Arguments {
    /// A checkpoint, or the folder of a training run
    #[arg(value_name = "RUN|FILE.safetensors")]
    checkpoint: PathBuf,
    /// The model file to write [default: model.int8.vit beside the checkpoint]
    #[arg(long, value_name = "FILE.vit")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: DataArguments,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let path = file_or_in(&self.checkpoint, "checkpoint.safetensors");
        let checkpoint = Checkpoint::load(&path)?;
        with_preset!(super::eval::preset_of_checkpoint(&checkpoint, &path)?, S => self.run_as::<S>(checkpoint, &path))
    }

    fn run_as<S: Network>(self, checkpoint: Checkpoint, path: &Path) -> Result<ExitCode, Error> {
        let checkpoint = checkpoint.into_order_of::<S>(path)?;
        let data = self.data.load::<S>()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let out = self.out.unwrap_or_else(|| Outputs::int8_model(folder));
        // With the run's own seed, the images that its validation set aside stay aside.
        let (train, _) = data.train.split(checkpoint.describe::<S>().seed);
        let (file, score) = quantize_and_score::<S>(&checkpoint, (&data.train, &train), &data.test, &out)?;
        write_atomically(&out, &file)?;
        println!("{}: {} bytes, test accuracy {:.2} % in integers", out.display(), file.len(), score.acc);
        Ok(ExitCode::SUCCESS)
    }
}
