//! The record of a training run: `report.json` for programs, `report.md` for people.

use crate::{
    error::{Error, IoContext},
    files::write_atomically,
    inference::Score,
    verify::Verification,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// Everything a run reports. Accuracies in percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The network's name.
    pub preset: String,
    /// Learned parameters.
    pub params: usize,
    /// What the network was trained on.
    pub dataset: String,
    /// Whether these are the built-in digits, and not real ones.
    pub synthetic: bool,
    /// What it was trained with.
    pub device: String,
    /// Threads of the host.
    pub threads: usize,
    /// The seed of every random choice.
    pub seed: u64,
    /// One entry per epoch.
    pub epochs: Vec<Epoch>,
    /// The epoch whose parameters were kept, counted from 1.
    pub best_epoch: usize,
    /// Of the kept parameters on the whole test set, at the end.
    pub test: Option<TestScores>,
    /// Of the kept parameters, at the end.
    pub verify: Option<Verification>,
    /// Seconds and images.
    pub timing: Timing,
}

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean cross entropy of the training batches as they were seen: augmented, with dropout and label smoothing.
    pub train_loss: f64,
    /// Share of them that was classified right.
    pub train_acc: f64,
    /// Mean cross entropy of the validation images.
    pub val_loss: f64,
    /// Share of them that was classified right.
    pub val_acc: f64,
    /// Share of them whose class was one of the five likeliest.
    pub val_top5: f64,
    /// Learning rate.
    pub lr: f64,
    /// Of training and validation together.
    pub seconds: f64,
}

/// Scores of the engines on the test set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// Of dfdx in 32-bit floating point.
    pub f32: Score,
    /// Of the integer engine.
    pub int8: Score,
}

/// How long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// All epochs, validation included.
    pub total_train_seconds: f64,
    /// The same per epoch.
    pub avg_epoch_seconds: f64,
    /// Of one optimizer step.
    pub median_step_ms: f64,
    /// Training images per second of the steps.
    pub images_per_second: f64,
}

impl Report {
    /// The files of the report in `directory`: for programs, and for people.
    pub fn files(directory: &Path) -> [PathBuf; 2] {
        ["report.json", "report.md"].map(|name| directory.join(name))
    }

    /// Reads that of the run in `directory`.
    ///
    /// # Errors
    /// [`Error::Io`], also where the file is not a report.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let [path, _] = Self::files(directory);
        let bytes = fs::read(&path).at(&path)?;
        serde_json::from_slice(&bytes).map_err(io::Error::from).at(&path)
    }

    /// Writes both [`files`](Self::files) to `directory`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let [path, markdown_path] = Self::files(directory);
        let json = serde_json::to_string_pretty(self).map_err(io::Error::from).at(&path)?;
        write_atomically(&path, (json + "\n").as_bytes())?;
        write_atomically(&markdown_path, self.markdown().as_bytes())
    }

    fn markdown(&self) -> String {
        let mut text = format!("# Training of `{}`\n\n", self.preset);
        if self.synthetic {
            text +=
                "**Trained and tested on the built-in, machine-made digits, not on real handwriting.**\n\n";
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} parameters, data set {}, seed {}, {} with {} threads.\n",
            self.params, self.dataset, self.seed, self.device, self.threads
        );
        text +=
            "| epoch | train loss | train % | val loss | val % | val top-5 % | learning rate | seconds |\n";
        text += "|---|---|---|---|---|---|---|---|\n";
        for e in &self.epochs {
            let mark = if e.epoch == self.best_epoch { " *" } else { "" };
            let _ = writeln!(
                text,
                "| {}{mark} | {:.4} | {:.2} | {:.4} | {:.2} | {:.2} | {:.2e} | {:.1} |",
                e.epoch, e.train_loss, e.train_acc, e.val_loss, e.val_acc, e.val_top5, e.lr, e.seconds
            );
        }
        text += "\n\\* kept\n\n";
        if let Some(TestScores { f32: Score { loss, acc, top5 }, int8 }) = self.test {
            let _ = writeln!(text, "Test set: accuracy **{acc:.2} %**, top-5 {top5:.2} %, loss {loss:.4}.\n");
            let _ =
                writeln!(text, "In integers: accuracy **{:.2} %**, top-5 {:.2} %.\n", int8.acc, int8.top5);
        }
        if let Some(v) = self.verify {
            let _ = writeln!(
                text,
                "dfdx against vit-nostd on {} images: largest difference of a logit {:.2e}, {} classified differently; \
                 {} of the logits of {} images differ in a bit from the canonical order. In integers, {} of the logits \
                 of {} images differ.\n",
                v.images,
                v.dfdx_vs_nostd_f32_max_abs,
                v.argmax_disagreements,
                v.exact_mismatches,
                v.exact_images,
                v.int8_mismatches,
                v.int8_images
            );
        }
        let t = self.timing;
        let _ = writeln!(
            text,
            "Training took {:.1} s ({:.1} s an epoch); a step {:.1} ms in the median; {:.0} images a second.",
            t.total_train_seconds, t.avg_epoch_seconds, t.median_step_ms, t.images_per_second
        );
        text
    }
}
