//! The report of a training run: `report.json` for programs, `report.md` and pictures for people.
//!
//! [`Report`] has the figures, and `report.json` is its serialisation. Everything else is drawn from it; the grids of
//! images also need the test images and their logits. The same report gives the same bytes.

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
    recipe::Recipe,
    run::{
        folder::RunFolder,
        record::{Epoch, TestScores, Timing},
    },
    verify::Verification,
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

pub use environment::Environment;

/// The figures of a run. Accuracies are in percent. A field that is None is missing in reports of earlier versions, or
/// not known yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The name of the network.
    pub preset: String,
    /// The number of learned parameters.
    pub params: usize,
    /// The name of the data set that the network was trained on.
    pub dataset: String,
    /// True if the data set is the built-in digits, and not real ones.
    pub synthetic: bool,
    /// The files that were left out because they cannot be used as pictures: see [`Splits::skipped`].
    #[serde(default)]
    pub skipped: Vec<String>,
    /// The name of the device that the network was trained on.
    pub device: String,
    /// The number of threads of the host.
    pub threads: usize,
    /// The program and the host.
    pub environment: Option<Environment>,
    /// The seed of all random choices.
    pub seed: u64,
    /// The settings of the training.
    pub recipe: Option<Recipe>,
    /// The figures of each epoch.
    pub epochs: Vec<Epoch>,
    /// The number of the epoch whose parameters were kept, counted from 1.
    pub kept_epoch: usize,
    /// The scores of the kept parameters on all test images, once the last epoch is done.
    pub test: Option<TestScores>,
    /// The comparison of the engines with the kept parameters, once the last epoch is done.
    pub verify: Option<Verification>,
    /// The duration and the speed of the training.
    pub timing: Timing,
}

/// The most characters of a name in a report.
const LONGEST_NAME: usize = 1000;

impl Report {
    /// Reads the report of the run in `directory`.
    ///
    /// # Errors
    /// [`Error::Report`] if there is no report yet or if the file is not a report; [`Error::Io`].
    pub fn load(directory: &Path) -> Result<Self, Error> {
        let path = RunFolder::json(directory);
        match read_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {
                Err(Error::Report {
                    path,
                    message: "there is no such file before the first epoch of a run is done".to_owned(),
                })
            }
            bytes => Self::parse(&bytes.at(&path)?, &path),
        }
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let error = |message: String| Error::Report { path: path.to_owned(), message };
        let report: Self = serde_json::from_slice(bytes).map_err(|parsing| error(parsing.to_string()))?;
        let environment = report.environment.iter();
        let environment = environment
            .flat_map(|known| [&known.tool, &known.os, &known.arch].into_iter().chain(&known.processor));
        let classes = report.test.iter().flat_map(|test| &test.classes).map(|class| &class.label);
        let names =
            [&report.preset, &report.dataset, &report.device].into_iter().chain(environment).chain(classes);
        for name in names {
            if name.contains(char::is_control) || name.chars().count() > LONGEST_NAME {
                let message =
                    format!("a name in it has control characters or more than {LONGEST_NAME} characters");
                return Err(error(message));
            }
        }
        Ok(report)
    }

    /// Writes the [files](RunFolder::report_files) that depend on the report only to `directory`: `report.json`,
    /// `report.md`, the curves and, if there was a test, the confusion matrix.
    ///
    /// # Errors
    /// [`Error::Report`], before anything is written, if a number in the report is not finite, which JSON cannot
    /// express; [`Error::Io`].
    pub fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = RunFolder::json(directory);
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Io { path: path.clone(), error: error.into() })?;
        // JSON has no NaN. It is written as `null`, which fails to parse as a number.
        Self::parse(json.as_bytes(), &path)?;
        write_atomically(&path, (json + "\n").as_bytes())?;
        write_atomically(&RunFolder::markdown(directory), markdown::text(self).as_bytes())?;
        let path = RunFolder::curves(directory);
        write_atomically(&path, curves::svg(self).at(&path)?.as_bytes())?;
        let path = RunFolder::confusion(directory);
        match confusion::svg(self).at(&path)? {
            Some(svg) => write_atomically(&path, svg.as_bytes()),
            None => Ok(()),
        }
    }

    /// Writes the pictures of test images of `data` to `directory`. `logits` (`images x classes`) are those of the
    /// float engine.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written.
    pub fn write_grids(&self, directory: &Path, data: &Splits, logits: &[f32]) -> Result<(), Error> {
        let path = RunFolder::predictions(directory);
        write_atomically(&path, &grid::predictions(self, data, logits).at(&path)?)?;
        let path = RunFolder::mistakes(directory);
        write_atomically(&path, &grid::mistakes(self, data, logits).at(&path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Style;
    use crate::data::{Dataset, Format, Source};
    use std::fs;
    use vit_nostd::frame::Fit;

    /// Four images of two classes, and logits of both engines: the float engine classifies the last image wrongly, the
    /// integer engine the last two.
    pub(super) fn two_classes() -> (Splits, [Vec<f32>; 2]) {
        let format = Format::grey(2, 2);
        let dataset = Dataset::new(format, (0..16).collect(), vec![0, 0, 1, 1], Path::new("x")).unwrap();
        let data = Splits {
            style: Style::Digits,
            fit: Fit::Stretch,
            normalization: vec![crate::data::MNIST_NORMALIZATION],
            name: "two".to_owned(),
            source: Source::Directory("two".into()),
            synthetic: false,
            fallback: None,
            passed_over: Vec::new(),
            skipped: Vec::new(),
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
            skipped: Vec::new(),
            device: "CPU".to_owned(),
            threads: 2,
            environment: Some(Environment::here()),
            seed: 1,
            recipe: Some(Recipe::default()),
            epochs: (1..=epochs).map(epoch).collect(),
            kept_epoch: epochs,
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
    fn a_report_that_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (data, [f32_logits, int8_logits]) = two_classes();
        let mut written = report(3);
        written.write(folder.path()).unwrap();
        assert!(!RunFolder::confusion(folder.path()).exists());
        written.test = Some(TestScores::new(&data, &f32_logits, Ok(&int8_logits)));
        written.write(folder.path()).unwrap();
        written.write_grids(folder.path(), &data, &f32_logits).unwrap();
        assert_eq!(Report::load(folder.path()).unwrap(), written);
        let content = || RunFolder::report_files(folder.path()).map(|path| fs::read(path).unwrap());
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

        fs::write(RunFolder::json(folder.path()), "{}").unwrap();
        let error = Report::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("report.json") && error.contains("preset"), "{error}");
    }
}
