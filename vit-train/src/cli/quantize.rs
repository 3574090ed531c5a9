//! `vit-train quantize`.

use super::{
    checkpoint::{CheckpointArguments, LabelArguments},
    file_or_in, print_json, DataArguments,
};
use clap::Args;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::model_file::Kind;
use vit_train::{
    checkpoint::Checkpoint,
    files::write_atomically,
    inference::Score,
    layer_errors::{layer_errors, LayerErrors},
    model::Network,
    quantize::{quantize_and_score, CALIBRATION_IMAGES},
    run::check_origins,
    train::Outputs,
    with_preset, Error,
};

/// Images of the validation part that the errors of layers are measured on.
const REPORT_IMAGES: usize = 256;

pub const EXAMPLES: &str = "\
Examples:
  vit-train quantize runs/nano                                   writes runs/nano/model.int8.vit
  vit-train quantize runs/nano --report                          and shows what the integers lose, layer by layer
  vit-train quantize model.safetensors --out model.int8.vit      of a checkpoint from elsewhere";

#[derive(Args, Debug)]
pub struct Arguments {
    /// A checkpoint (a PyTorch state_dict in the same names will do), or the folder of a training run
    #[arg(value_name = "RUN|FILE.safetensors")]
    checkpoint: PathBuf,
    /// The model file to write [default: model.int8.vit beside the checkpoint]
    #[arg(long, value_name = "FILE.vit")]
    out: Option<PathBuf>,
    /// Show how much noise the integers add in each layer, measured on validation images
    #[arg(long)]
    report: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    description: CheckpointArguments,
    #[command(flatten)]
    labels: LabelArguments,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Serialize)]
struct Quantization {
    file: String,
    bytes: usize,
    test: Score,
    report: Option<LayerErrors>,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode, Error> {
        let path = file_or_in(&self.checkpoint, "checkpoint.safetensors")?;
        let (preset, checkpoint) = self.description.load(&path)?;
        let checkpoint = self.labels.apply(preset, checkpoint)?;
        with_preset!(preset, S => self.run_as::<S>(&checkpoint, &path))
    }

    fn run_as<S: Network>(self, checkpoint: &Checkpoint, path: &Path) -> Result<ExitCode, Error> {
        if self.checkpoint.is_dir() {
            // The integer model may be of another checkpoint: it is about to be replaced.
            check_origins::<S>(&self.checkpoint, &[Kind::F32])?;
        }
        let data = self.data.load::<S>()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let out = self.out.unwrap_or_else(|| Outputs::int8_model(folder));
        // With the run's own seed, the images that its validation set aside stay aside.
        let (train, validation) = data.train.split(checkpoint.describe::<S>().seed);
        let (file, logits) = quantize_and_score::<S>(checkpoint, (&data.train, &train), &data.test, path)?;
        let test = Score::new(&logits, data.test.labels().iter().copied());
        write_atomically(&out, &file)?;
        let report = self.report.then(|| {
            let calibration = &train[..train.len().min(CALIBRATION_IMAGES)];
            let validation = &validation[..validation.len().min(REPORT_IMAGES)];
            layer_errors::<S>(checkpoint, &file, &data.train, (calibration, validation), &out)
        });
        let quantization = Quantization {
            file: out.display().to_string(),
            bytes: file.len(),
            test,
            report: report.transpose()?,
        };
        if self.json {
            print_json(&quantization)?;
        } else {
            let Quantization { file, bytes, report, .. } = &quantization;
            println!("{file}: {bytes} bytes, test accuracy {:.2} % in integers", test.acc);
            if let Some(report) = report {
                println!("{report}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
