//! The command `vit-train quantize`.

use super::{
    advice::UNFIT,
    artifact::{file_or_in, Artifact},
    checkpoint::{changed, CheckpointArguments, LabelArguments},
    data::{lock_run_of, run_of, run_of_int8_model, runs_written_into, DataArguments},
    dispatch::FileCommand,
    networks::List,
    output::print_json,
    outputs::check_outputs,
};
use crate::{
    data::UNKNOWN,
    digest::Digest,
    files::write_atomically,
    formats::{
        checkpoint::{Checkpoint, Description},
        model_bytes::ModelBytes,
        vit::write_model,
    },
    inference::int8_logits,
    network::Trainable,
    quantize::{
        layer_errors::{layer_errors, LayerErrors, FEW_IMAGES},
        quantize, quantize_and_score, spread,
    },
    run::{data::RunData, folder::RunFolder, origins::check_origins, samples},
    score::Score,
    Error,
};
use clap::Args;
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use vit_nostd::{int8, model_file::Kind};

/// The number of validation images on which the errors of the layers are measured.
const REPORT_IMAGES: usize = 256;

pub(super) const EXAMPLES: &str = "\
Examples:
  vit-train quantize runs/nano                                 write runs/nano/model.int8.vit
  vit-train quantize runs/nano --report                        also show the error that integers cause in each layer
  vit-train quantize model.safetensors --out model.int8.vit    convert a checkpoint from elsewhere";

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Checkpoint (or PyTorch state_dict with the same tensor names), or folder of a training run that has one
    #[arg(value_name = "RUN|FILE.safetensors")]
    checkpoint: PathBuf,
    /// Model file to write [default: model.int8.vit in the folder of the checkpoint]
    #[arg(long, value_name = "FILE.vit")]
    out: Option<PathBuf>,
    /// Show how much noise the integers add in each layer, measured on validation images
    #[arg(long)]
    report: bool,
    /// Print the results as JSON
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
    /// The name of the data set that the model was calibrated with and tested on.
    dataset: String,
    /// True if these are the images of the run; None if no run is known.
    data_of_run: Option<bool>,
    test: Score,
    /// A sentence, without a full stop, which warns that the integer model is far from the float network; None if
    /// it is not.
    warning: Option<String>,
    report: Option<LayerErrors>,
}

impl FileCommand for Arguments {
    type Content = Checkpoint;

    fn open(&self, networks: &List) -> Result<Artifact<Checkpoint>, Error> {
        let path = file_or_in(&self.checkpoint, "checkpoint.safetensors")?;
        let (network, checkpoint) = self.description.load(networks, &path)?;
        let content = self.labels.apply(network, checkpoint)?;
        check_outputs(
            [("--out", self.out(&path).as_path())],
            &[&path],
            changed(&self.description, &self.labels),
        )?;
        Ok(Artifact { path, network, content })
    }

    fn run<N: Trainable>(&self, file: &Artifact<Checkpoint>) -> Result<ExitCode, Error> {
        let Artifact { path, content: checkpoint, .. } = file;
        let out = self.out(path);
        let _lock = lock_run_of(&out)?;
        self.run_as::<N>(checkpoint, path, &out)
    }
}

impl Arguments {
    /// Returns the model file to write.
    fn out(&self, checkpoint: &Path) -> PathBuf {
        let folder = checkpoint.parent().unwrap_or(Path::new(""));
        self.out.clone().unwrap_or_else(|| RunFolder::int8_model(folder))
    }

    fn run_as<N: Trainable>(
        &self,
        checkpoint: &Checkpoint,
        path: &Path,
        out: &Path,
    ) -> Result<ExitCode, Error> {
        match run_of(path) {
            // The integer model of the run may be of another checkpoint, because this command does not use it.
            Some(run) => check_origins::<N>(run, &[Kind::F32])?,
            None if self.out.is_none() => check_earlier_model::<N>(checkpoint, out)?,
            None => (),
        }
        let description = checkpoint.describe::<N>();
        let Description { dataset, seed, fit, .. } = &description;
        let mut loaded = self.data.load_for::<N>(path, dataset, *fit)?;
        if !self.labels.are_given() {
            loaded.compare_classes(dataset, description.labels.iter().map(String::as_str));
        }
        if let Some(doubt) = &loaded.doubt {
            let path = path.display();
            if loaded.own.is_none() && dataset != UNKNOWN && self.data.data.is_none() {
                return Err(Error::Usage(format!(
                    "{path}: {doubt}: name what it was trained on with --data"
                )));
            }
            if !runs_written_into(out).is_empty() {
                let advice = match self.data.data {
                    Some(_) => "leave --data out",
                    None => "name the images that it was trained on with --data",
                };
                return Err(Error::Usage(format!(
                    "{path}: {doubt}: {advice}, or write the model to another place with --out"
                )));
            }
            loaded.warn(&self.checkpoint);
        }
        let data = &loaded.splits;
        // `path` may be a run's checkpoint under another name, for which `run_of` finds no run. Every run that `out`
        // lies in is therefore checked.
        for run in runs_written_into(out) {
            let reason = match RunData::load(&run)? {
                None => "this run has no record of its images: write",
                Some(own) if !own.matches(data) => {
                    "the images used are not those of this run: leave --data out, or write"
                }
                Some(_) => continue,
            };
            let run = run.display();
            return Err(Error::Usage(format!("{run}: {reason} the model to another place with --out")));
        }
        // The seed of the run splits the images as in training, so that validation images are not used for calibration.
        let (train, validation) = data.train.split(*seed);
        let (file, logits) = if loaded.doubt.is_none() {
            quantize_and_score::<N>(checkpoint, (&data.train, &train), &data.test, path)?
        } else {
            // The model file must not state an accuracy on images of another data set.
            let weights = quantize::<N>(checkpoint, &data.train, &train, path)?;
            let description = Some(Description { test_accuracy: None, ..description });
            let checkpoint = Checkpoint { description, parameters: checkpoint.parameters.clone() };
            let file = write_model::<N>(Kind::Int8, &checkpoint, &weights, out)?;
            let model = int8::Model::<N>::from_bytes(&file);
            let model = model.map_err(|error| Error::Model { path: out.to_owned(), error })?;
            let logits = int8_logits(&model, &data.test, data.test.len());
            (file, logits)
        };
        let test = Score::new(&logits, data.test.labels().iter().copied());
        match run_of_int8_model(out) {
            Some(run) => samples::write_with_model::<N>(&run, &file, &data.test)?,
            None => write_atomically(out, &file)?,
        }
        let images = if self.report { REPORT_IMAGES } else { FEW_IMAGES };
        let compared = (&*train, &*spread(&validation, images));
        let errors = layer_errors::<N>(checkpoint, &file, &data.train, compared, out)?;
        let quantization = Quantization {
            file: out.display().to_string(),
            bytes: file.len(),
            dataset: data.name.clone(),
            data_of_run: loaded.own,
            test,
            warning: errors.warning(),
            report: self.report.then_some(errors),
        };
        if self.json {
            print_json(&quantization)?;
        } else {
            let Quantization { file, bytes, report, .. } = &quantization;
            out!("{file}: {bytes} bytes, test accuracy {:.2} % in integers", test.acc);
            if let Some(report) = report {
                out!("{report}");
            }
        }
        if let Some(warning) = &quantization.warning {
            err!("WARNING: {warning}. {UNFIT}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks that the file `out`, which the user has not named, is not the model of another checkpoint.
fn check_earlier_model<N: Trainable>(checkpoint: &Checkpoint, out: &Path) -> Result<(), Error> {
    let Ok(file) = ModelBytes::read(out) else { return Ok(()) };
    let is_of = |model: int8::Model<'_, N>| {
        let digest = model.metadata().provenance.checkpoint;
        digest.is_none_or(|digest| Digest(digest) == checkpoint.digest())
    };
    if file.is_empty() || int8::Model::<N>::from_bytes(&file).is_ok_and(is_of) {
        return Ok(());
    }
    let out = out.display();
    Err(Error::Usage(format!("{out}: this is the model of another checkpoint: name another file with --out")))
}
