//! Advice for errors: what a person can do about them with the options and commands of this program.
//!
//! The library's [`Error`] states the cause only.

use crate::{
    data::DataError,
    error::{Difference, Error, OtherCheckpoint},
    fused::cuda::CudaError,
};
use std::collections::BTreeSet;
use vit_nostd::model_file::Kind;

/// The advice for a network that cannot be quantized.
pub(super) const UNQUANTIZABLE: &str = "Train again with a lower --lr or a larger --weight-decay.";

/// The advice for a network that integers do not fit.
pub(super) const UNFIT: &str =
    "Compare the accuracies in floats and in integers. If too much is lost, train again with a lower --lr or a larger \
     --weight-decay.";

/// Returns the line that the program prints for an error: the cause and, if there is any, the advice.
pub(super) fn with_advice(error: &Error) -> String {
    match advice(error) {
        Some(advice) => format!("{error}. {advice}"),
        None => error.to_string(),
    }
}

/// Returns what to do about an error, in whole sentences, if an option or a command of this program helps.
pub(super) fn advice(error: &Error) -> Option<String> {
    let advice = match error {
        Error::Data(DataError::NotADirectory { .. }) => {
            "Give the folder that the file is in, or run `vit-train predict` to classify a picture."
        }
        Error::Data(DataError::Checksum { .. }) => {
            "Download the file again, or name its folder with --data to use the images as they are."
        }
        Error::Data(DataError::Unreadable { .. }) => "Leave out such files with --skip-unreadable.",
        Error::Data(DataError::Synthetic { .. } | DataError::Signs { .. }) => {
            "Name other images with --data."
        }
        Error::NotACheckpoint { .. } => {
            "Give the checkpoint.safetensors of its run, or make a checkpoint of a float model with \
             `vit-train export --safetensors`."
        }
        Error::WrongDigest { .. } => "Make it again from the checkpoint with `vit-train export --vit`.",
        Error::OtherCheckpoint(other) => return Some(make_again(other)),
        Error::Unquantizable { .. } => UNQUANTIZABLE,
        Error::RunData { .. } => "Delete this file, and name the images of the run with --data.",
        Error::DataGone { .. } => "Name the folder that they are in now with --data.",
        Error::DataChanged { .. } => "Name the folder that has the images of the run with --data.",
        Error::NothingToResume { .. } => "Leave out --resume to start a run.",
        Error::Snapshot { .. } => "Leave out --resume to start a new run.",
        Error::OtherRun { differences, .. } => return Some(keep_settings(differences)),
        Error::Cuda(error) => match error.downcast_ref() {
            Some(CudaError::NoSuchDevice { .. }) => {
                "Choose another GPU with --cuda-device, or leave out --cuda to use the CPU."
            }
            _ => "Leave out --cuda to use the CPU.",
        },
        Error::Recipe { setting, .. } => return Some(format!("Change {}.", options_of(setting).first()?)),
        Error::Diverged { .. } | Error::Output { .. } => "Train again with a lower --lr.",
        _ => return None,
    };
    Some(advice.to_owned())
}

/// Returns the advice for a model file that was not made from the checkpoint of its run.
pub(super) fn make_again(OtherCheckpoint { kind, model, checkpoint, .. }: &OtherCheckpoint) -> String {
    match kind {
        Kind::F32 => {
            let (from, to) = (checkpoint.display(), model.display());
            format!("Make it again with `vit-train export {from} --vit {to}`.")
        }
        Kind::Int8 => {
            let run = model.parent().unwrap_or(model);
            format!("Make it again with `vit-train quantize {}`.", run.display())
        }
    }
}

/// Returns the advice for settings that differ from those of the run that is to be resumed.
fn keep_settings(differences: &[Difference]) -> String {
    let options = differences.iter().flat_map(|difference| options_of(difference.name));
    let options = Vec::from_iter(options.copied().collect::<BTreeSet<_>>()).join(", ");
    if options.is_empty() {
        return "Leave out --resume to start a new run.".to_owned();
    }
    format!(
        "Leave out the options that differ ({options}), because a resumed run keeps its own settings, or leave out \
         --resume to start a new run."
    )
}

/// Returns the options that set a field of a run, of its images or of its recipe.
fn options_of(field: &str) -> &'static [&'static str] {
    match field {
        "network" => &["--preset"],
        "epochs" => &["--epochs", "--recipe"],
        "batch_size" => &["--batch-size", "--recipe"],
        "lr" => &["--lr", "--recipe"],
        "warmup" => &["--warmup", "--recipe"],
        "weight_decay" => &["--weight-decay", "--recipe"],
        "grad_clip" => &["--grad-clip", "--recipe"],
        "dropout" => &["--dropout", "--recipe"],
        "label_smoothing" => &["--label-smoothing", "--recipe"],
        "augmentation" => &[
            "--augment",
            "--rotation",
            "--translation",
            "--scale",
            "--shear",
            "--elastic",
            "--mirror",
            "--crop",
            "--brightness",
            "--contrast",
            "--saturation",
            "--erasing",
            "--recipe",
        ],
        "balance" => &["--balance"],
        "seed" => &["--seed"],
        "processor" => &["--cuda", "--precision"],
        "init" => &["--init"],
        "training_images" => &["--limit"],
        "data" | "class_names" | "normalization" => &["--data"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Cli, *};
    use crate::{
        data::{Format, PictureError},
        digest::Digest,
        error::{Divergence, Unquantizable},
    };
    use clap::{Command, CommandFactory};
    use std::io;

    fn other(kind: Kind, model: &str) -> Error {
        let [theirs, ours] = [Digest([1; 32]), Digest([2; 32])];
        let checkpoint = "runs/x/checkpoint.safetensors".into();
        Error::OtherCheckpoint(Box::new(OtherCheckpoint {
            kind,
            model: model.into(),
            theirs,
            checkpoint,
            ours,
        }))
    }

    /// An error of each kind that there is advice for, with the words that the advice has to contain.
    fn errors() -> Vec<(Error, &'static [&'static str])> {
        let path = || "a/file".into();
        let difference = |name| Difference { name, theirs: "1".to_owned(), ours: "2".to_owned() };
        let other_run = |names: &[&'static str]| Error::OtherRun {
            path: path(),
            differences: names.iter().copied().map(difference).collect(),
        };
        vec![
            (DataError::NotADirectory { path: path() }.into(), &["the folder", "`vit-train predict`"]),
            (
                DataError::Checksum { path: path(), expected: "1", found: "2".to_owned() }.into(),
                &["again", "--data"],
            ),
            (
                DataError::Unreadable { path: path(), error: PictureError::Empty, count: 2, files: 3 }.into(),
                &["--skip-unreadable"],
            ),
            (DataError::Synthetic { format: Format::grey(1, 1) }.into(), &["--data"]),
            (Error::NotACheckpoint { path: path() }, &["checkpoint.safetensors", "export --safetensors"]),
            (
                Error::WrongDigest { path: path(), stated: Digest([1; 32]), own: Digest([2; 32]) },
                &["vit-train export"],
            ),
            (
                other(Kind::F32, "runs/x/model.f32.vit"),
                &["`vit-train export runs/x/checkpoint.safetensors --vit runs/x/model.f32.vit`"],
            ),
            (other(Kind::Int8, "runs/x/model.int8.vit"), &["`vit-train quantize runs/x`"]),
            (
                Error::Unquantizable { path: path(), error: Unquantizable::new("head", "is too large", 1.0) },
                &["--lr", "--weight-decay"],
            ),
            (Error::RunData { path: path(), message: "empty".to_owned() }, &["Delete", "--data"]),
            (Error::DataGone { run: path(), name: "photos".to_owned(), place: path() }, &["--data"]),
            (Error::DataChanged { run: path(), images: "photos".to_owned() }, &["--data"]),
            (Error::NothingToResume { directory: path() }, &["Leave out --resume"]),
            (Error::Snapshot { path: path() }, &["Leave out --resume", "new run"]),
            (
                other_run(&["network", "lr", "epochs", "seed"]),
                &["(--epochs, --lr, --preset, --recipe, --seed)", "leave out --resume"],
            ),
            (other_run(&["augmentation"]), &["--augment", "--elastic"]),
            (other_run(&["balance"]), &["(--balance)"]),
            (other_run(&["processor", "init"]), &["(--cuda, --init, --precision)"]),
            (other_run(&["training_images", "data", "class_names", "normalization"]), &["(--data, --limit)"]),
            (other_run(&["version"]), &["Leave out --resume to start a new run."]),
            (
                Error::Recipe { setting: "warmup", value: "3".to_owned(), expected: "less" },
                &["Change --warmup."],
            ),
            (CudaError::NoSuchDevice { index: 7, count: 1 }.into(), &["--cuda-device", "leave out --cuda "]),
            (CudaError::NothingRecorded.into(), &["Leave out --cuda "]),
            (Error::Diverged { epoch: 1, sign: Divergence::Validation { loss: f64::NAN } }, &["lower --lr"]),
            (Error::Output { path: path(), logit: f32::NAN }, &["lower --lr"]),
        ]
    }

    #[test]
    fn the_cause_comes_first_and_options_are_in_the_advice_only() {
        for (error, words) in errors() {
            let (cause, advice) = (error.to_string(), advice(&error).unwrap());
            assert!(!cause.contains("--") && !cause.contains("vit-train export"), "{cause}");
            assert!(words.iter().all(|word| advice.contains(word)), "{advice}");
            let line = with_advice(&error);
            assert_eq!(line, format!("{cause}. {advice}"));
            assert!(advice.ends_with('.') && line.lines().count() == 1, "{line}");
        }
    }

    #[test]
    fn the_options_exist() {
        fn options(command: &Command) -> Vec<String> {
            let own = command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned));
            own.chain(command.get_subcommands().flat_map(options)).collect()
        }
        let known = options(&Cli::command());
        let all = errors().iter().filter_map(|(error, _)| advice(error)).collect::<Vec<_>>().join(" ");
        let named: Vec<&str> = all.split("--").skip(1).collect();
        assert!(named.len() > 20);
        for text in named {
            let option: String = text.chars().take_while(|&c| c == '-' || c.is_ascii_lowercase()).collect();
            assert!(known.contains(&option), "there is no option --{option}");
        }
    }

    #[test]
    fn an_error_without_advice_is_its_cause() {
        let error = Error::Io { path: "a/file".into(), error: io::ErrorKind::NotFound.into() };
        assert_eq!((advice(&error), with_advice(&error)), (None, error.to_string()));
        let error = Error::Recipe { setting: "unknown", value: "3".to_owned(), expected: "less" };
        assert_eq!(advice(&error), None);
    }
}
