//! The record of a training run: `report.json` for programs, `report.md` and pictures for people.
//!
//! The numbers are in [`Report`], and `report.json` is its serialisation. All else is drawn from it, and the grids of
//! images from the test images and what the network says of them. The same report gives the same bytes.

mod colors;
mod confusion;
mod curves;
mod environment;
mod grid;
mod markdown;

use crate::{
    data::Splits,
    error::{Error, IoContext},
    files::{read_regular, write_atomically},
    inference::Score,
    recipe::Recipe,
    verify::Verification,
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};
use vit_nostd::argmax;

pub use environment::Environment;

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
    /// The host. None in a report of an earlier version, like the other fields that may be.
    pub environment: Option<Environment>,
    /// The seed of every random choice.
    pub seed: u64,
    /// The settings.
    pub recipe: Option<Recipe>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// Of the float engine.
    pub f32: Score,
    /// Of the integer engine; none where the network could not be quantized.
    pub int8: Option<Score>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8_error: Option<String>,
    /// Images that the two classify differently.
    pub disagreements: Option<usize>,
    /// One entry per class.
    #[serde(default)]
    pub classes: Vec<ClassScore>,
}

/// How the test images of a class were classified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The name of the class.
    pub label: String,
    /// Its images.
    pub images: usize,
    /// By the float engine.
    pub f32: Classified,
    /// By the integer engine, where there is a score of it.
    pub int8: Option<Classified>,
}

/// What an engine made of the images of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// Share of them that was classified right; 0 where there are none.
    pub acc: f64,
    /// For each class, how many of them were taken for it: a row of the confusion matrix.
    pub predicted: Vec<usize>,
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

impl TestScores {
    /// Of the logits (`images x classes`) that the two engines give for the test images of `data`; of the integer engine
    /// instead, why there are none.
    pub fn new(data: &Splits, f32_logits: &[f32], int8_logits: Result<&[f32], String>) -> Self {
        let labels = data.test.labels();
        let classes = data.class_names.len();
        let predicted = |logits: &[f32]| logits.chunks_exact(classes).map(argmax).collect::<Vec<_>>();
        let (int8_logits, int8_error) = (int8_logits.as_ref().ok(), int8_logits.as_ref().err().cloned());
        let (float, int8) = (predicted(f32_logits), int8_logits.map(|logits| predicted(logits)));
        let classified = |predictions: &[usize], class: usize| {
            let mut predicted = vec![0; classes];
            for (&prediction, &label) in predictions.iter().zip(labels) {
                predicted[prediction] += usize::from(usize::from(label) == class);
            }
            let images = predicted.iter().sum::<usize>().max(1);
            Classified { acc: 100.0 * predicted[class] as f64 / images as f64, predicted }
        };
        let scores = data.class_names.iter().enumerate().map(|(class, label)| ClassScore {
            label: label.clone(),
            images: labels.iter().filter(|&&label| usize::from(label) == class).count(),
            f32: classified(&float, class),
            int8: int8.as_ref().map(|int8| classified(int8, class)),
        });
        Self {
            f32: Score::new(f32_logits, labels.iter().copied()),
            int8: int8_logits.map(|logits| Score::new(logits, labels.iter().copied())),
            int8_error,
            disagreements: int8.as_ref().map(|int8| float.iter().zip(int8).filter(|(a, b)| a != b).count()),
            classes: scores.collect(),
        }
    }

    /// Where the network could not be quantized, a sentence that says why.
    pub fn no_integers(&self) -> Option<String> {
        let reason = self.int8_error.as_ref()?;
        Some(format!("integers: not possible because {reason}"))
    }

    /// The number of test images, where the report has them by class.
    fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images).sum()
    }
}

impl Report {
    /// The part for programs.
    pub fn json(directory: &Path) -> PathBuf {
        directory.join("report.json")
    }

    /// The part for people.
    pub fn markdown(directory: &Path) -> PathBuf {
        directory.join("report.md")
    }

    /// Loss, accuracy and learning rate over the epochs.
    pub fn curves(directory: &Path) -> PathBuf {
        directory.join("curves.svg")
    }

    /// Which classes the test images of each class were taken for.
    pub fn confusion(directory: &Path) -> PathBuf {
        directory.join("confusion.svg")
    }

    /// Some test images, and what the network says of them.
    pub fn predictions(directory: &Path) -> PathBuf {
        directory.join("predictions.png")
    }

    /// The test images that the network was most wrong about.
    pub fn mistakes(directory: &Path) -> PathBuf {
        directory.join("mistakes.png")
    }

    /// All files of a report in `directory`.
    pub fn files(directory: &Path) -> [PathBuf; 6] {
        [
            Self::json(directory),
            Self::markdown(directory),
            Self::curves(directory),
            Self::confusion(directory),
            Self::predictions(directory),
            Self::mistakes(directory),
        ]
    }

    /// Reads the report of the run in `directory`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Report`] where the file is not a report.
    pub fn load(directory: &Path) -> Result<Self, Error> {
        let path = Self::json(directory);
        match read_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {
                Err(Error::Report {
                    path,
                    message: "there is none before the first epoch of a run is done".to_owned(),
                })
            }
            bytes => Self::parse(&bytes.at(&path)?, &path),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let error =
            |error: serde_json::Error| Error::Report { path: path.to_owned(), message: error.to_string() };
        serde_json::from_slice(bytes).map_err(error)
    }

    /// Writes all [`files`](Self::files) to `directory` that the report alone gives: those for programs and people,
    /// the curves, and the confusion matrix where there was a test.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Report`], before anything is written, if JSON cannot hold the report, because a number in
    /// it is not finite.
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = Self::json(directory);
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Io { path: path.clone(), error: error.into() })?;
        // JSON has no NaN: `null` is written in its place, which is not read.
        Self::parse(json.as_bytes(), &path)?;
        write_atomically(&path, (json + "\n").as_bytes())?;
        write_atomically(&Self::markdown(directory), markdown::text(self).as_bytes())?;
        let path = Self::curves(directory);
        write_atomically(&path, curves::svg(self).at(&path)?.as_bytes())?;
        let path = Self::confusion(directory);
        match confusion::svg(self).at(&path)? {
            Some(svg) => write_atomically(&path, svg.as_bytes()),
            None => Ok(()),
        }
    }

    /// Writes the pictures of test images of `data` to `directory`; `logits` (`images x classes`) is what the float
    /// engine says of them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_grids(&self, directory: &Path, data: &Splits, logits: &[f32]) -> Result<(), Error> {
        let path = Self::predictions(directory);
        write_atomically(&path, &grid::predictions(self, data, logits).at(&path)?)?;
        let path = Self::mistakes(directory);
        write_atomically(&path, &grid::mistakes(self, data, logits).at(&path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Format, Source};
    use std::fs;

    /// Four images of two classes, of which the last one is seen wrong in floating point, and the last two in integers.
    pub(super) fn two_classes() -> (Splits, [Vec<f32>; 2]) {
        let format = Format { side: 2, classes: 2 };
        let dataset = Dataset::new(format, (0..16).collect(), vec![0, 0, 1, 1], Path::new("x")).unwrap();
        let data = Splits {
            normalization: crate::data::MNIST_NORMALIZATION,
            name: "two".to_owned(),
            source: Source::Directory("two".into()),
            synthetic: false,
            fallback: None,
            passed_over: Vec::new(),
            class_names: vec!["cat".to_owned(), "<dog & co>".to_owned()],
            train: dataset.clone(),
            test: dataset,
        };
        let f32_logits = vec![1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 3.0, 0.0];
        let int8_logits = vec![1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 3.0, 0.0];
        (data, [f32_logits, int8_logits])
    }

    pub(super) fn report(epochs: usize) -> Report {
        let epoch = |epoch| Epoch {
            epoch,
            train_loss: 1.0 / epoch as f64,
            train_acc: 50.0,
            val_loss: 0.5 / epoch as f64,
            val_acc: 99.0,
            val_top5: 100.0,
            lr: 1e-3,
            seconds: 2.0,
        };
        Report {
            preset: "nano".to_owned(),
            params: 1,
            dataset: "two".to_owned(),
            synthetic: false,
            device: "CPU".to_owned(),
            threads: 2,
            environment: Some(Environment::here()),
            seed: 1,
            recipe: Some(Recipe::default()),
            epochs: (1..=epochs).map(epoch).collect(),
            best_epoch: epochs,
            test: None,
            verify: None,
            timing: Timing::default(),
        }
    }

    #[test]
    fn classes_are_counted() {
        let (data, [f32_logits, int8_logits]) = two_classes();
        let scores = TestScores::new(&data, &f32_logits, Ok(&int8_logits));
        assert_eq!((scores.f32.acc, scores.int8.unwrap().acc), (75.0, 50.0));
        assert_eq!((scores.disagreements, scores.images()), (Some(1), 4));
        let [cat, dog] = &scores.classes[..] else { panic!("{scores:?}") };
        assert_eq!((cat.images, cat.f32.acc, &cat.f32.predicted[..]), (2, 100.0, &[2, 0][..]));
        assert_eq!((dog.images, dog.f32.acc, &dog.f32.predicted[..]), (2, 50.0, &[1, 1][..]));
        let int8 = dog.int8.as_ref().unwrap();
        assert_eq!((int8.acc, &int8.predicted[..]), (0.0, &[2, 0][..]));
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (data, [f32_logits, int8_logits]) = two_classes();
        let mut written = report(3);
        written.write(folder.path()).unwrap();
        assert!(!Report::confusion(folder.path()).exists());
        written.test = Some(TestScores::new(&data, &f32_logits, Ok(&int8_logits)));
        written.write(folder.path()).unwrap();
        written.write_grids(folder.path(), &data, &f32_logits).unwrap();
        assert_eq!(Report::load(folder.path()).unwrap(), written);
        let content = || Report::files(folder.path()).map(|path| fs::read(path).unwrap());
        let before = content();
        written.write(folder.path()).unwrap();
        written.write_grids(folder.path(), &data, &f32_logits).unwrap();
        assert_eq!(content(), before);

        let mut unreadable = written.clone();
        unreadable.epochs[0].val_loss = f64::NAN;
        assert!(matches!(unreadable.write(folder.path()), Err(Error::Report { .. })));
        assert_eq!(content(), before);
        assert_eq!(Report::load(folder.path()).unwrap(), written);
        assert!(!String::from_utf8_lossy(&before[0]).contains("int8_error"));

        written.test = Some(TestScores::new(&data, &f32_logits, Err("too large".to_owned())));
        written.write(folder.path()).unwrap();
        let read = Report::load(folder.path()).unwrap();
        assert_eq!(read, written);
        let test = read.test.unwrap();
        assert_eq!((test.f32.acc, test.int8, test.disagreements), (75.0, None, None));
        assert_eq!(test.int8_error.as_deref(), Some("too large"));

        fs::write(Report::json(folder.path()), "{}").unwrap();
        let error = Report::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("report.json") && error.contains("preset"), "{error}");
    }
}
