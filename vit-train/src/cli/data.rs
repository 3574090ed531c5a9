//! Loads the images that a command works on: those of the run, unless others are named.

use super::{
    options::{thread_count, use_threads, DATA},
    progress,
};
use crate::{
    data::{
        list, load_and_tell, long_download, picture_cache, DataError, Format, Loading, Source, Splits,
        Unreadable, UNKNOWN,
    },
    files::{lock_directory, DirectoryLock},
    network::Trainable,
    paths::{folder_of, resolve},
    run::{data::RunData, folder::RunFolder, origins::origins, report::Report},
    train::snapshot::Snapshot,
    Error,
};
use clap::{ArgAction, Args};
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};
use vit_nostd::{frame::Fit, model_file::Kind};

/// The options of commands that load images.
#[derive(Args, Debug)]
pub(super) struct DataArguments {
    /// Images to use: `mnist`, `cifar10`, `synthetic` (built-in digits), `synthetic-signs` (built-in pictures of road
    /// signs), `auto` (MNIST or, if it is not available, the built-in digits), or a folder. A folder has the files of
    /// CIFAR-10 in its binary format, or four files in MNIST's format (and `labels.txt` with one name per line, if the
    /// classes have names), or a folder of pictures (PNG, JPEG, WebP, BMP or GIF files) for each class, or folders
    /// `train` and `test` (or `val`) that have a folder for each class [default: the images of the run that is given,
    /// or else those of the program: auto for vit-train itself]
    #[arg(long, help_heading = DATA, value_name = "NAME|DIR", value_parser = named_source)]
    pub data: Option<Source>,
    #[command(flatten)]
    pub of_program: DataOfProgram,
    /// Leave out files in class folders that cannot be read as pictures, instead of refusing the folder
    #[arg(long, help_heading = DATA)]
    pub skip_unreadable: bool,
    /// Print only results and errors
    #[arg(long, short)]
    pub quiet: bool,
    /// Number of threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
}

/// The images that a command uses if the command line names none. These options are hidden, and the program sets them.
#[derive(Args, Debug, Default)]
pub(super) struct DataOfProgram {
    /// The images of the program. If it has none, the commands have their own.
    #[arg(long, hide = true, value_parser = named_source)]
    pub default_data: Option<Source>,
    /// Leaves out files among these images that cannot be read as pictures.
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    pub default_skip_unreadable: bool,
}

impl DataOfProgram {
    /// Returns whether files that cannot be read as pictures are left out: `asked` is the option for it, and `named` are
    /// the images that the command line names.
    pub(super) fn skips_unreadable(&self, asked: bool, named: Option<&Source>) -> bool {
        asked || named.is_none() && self.default_skip_unreadable
    }
}

/// Reads the value of an option that names images.
pub(super) fn named_source(text: &str) -> Result<Source, String> {
    if text.is_empty() {
        return Err("the name of the folder is empty".to_owned());
    }
    text.parse().map_err(|error: Infallible| match error {})
}

/// Images for a network that was trained before.
pub(super) struct Loaded {
    pub splits: Splits,
    /// True if these are the images of the run that the network is from; None if no run is known.
    pub own: Option<bool>,
    /// The reason why the network may have been trained on other images, if there is one.
    pub doubt: Option<String>,
}

impl Loaded {
    /// Doubts the images if their classes have other names than those of a network that was trained on `dataset`.
    pub(super) fn compare_classes<'a>(
        &mut self,
        dataset: &str,
        classes: impl Iterator<Item = &'a str> + Clone,
    ) {
        if self.doubt.is_none() && dataset != UNKNOWN && !classes.clone().eq(&self.splits.class_names) {
            let (own, others) = (classes.collect::<Vec<_>>().join(", "), self.splits.class_names.join(", "));
            self.doubt = Some(format!("its classes are {own}, and those of the images used are {others}"));
        }
    }

    /// Prints a note if the network in `file` may have been trained on other images.
    pub(super) fn warn(&self, file: &Path) {
        if let Some(doubt) = &self.doubt {
            err!("NOTE: {}: {doubt}.", file.display());
        }
    }
}

impl DataArguments {
    /// Returns the images to use if those of no run are.
    pub(super) fn source(&self) -> Source {
        self.data.as_ref().or(self.of_program.default_data.as_ref()).cloned().unwrap_or_default()
    }

    /// Loads the images that are named, or else those of `auto`. Pictures are fitted to them like `fit`. Files that
    /// `own`, the run that the images may be of, has left out are left out again. Prints a note if the built-in digits
    /// stand in for MNIST, and for folders and files that are not used.
    pub(super) fn load(&self, format: Format, fit: Fit, own: Option<&RunData>) -> Result<Splits, Error> {
        use_threads(self.threads)?;
        let source = &self.source();
        let unreadable = match own {
            _ if self.of_program.skips_unreadable(self.skip_unreadable, self.data.as_ref()) => {
                Unreadable::LeaveOut
            }
            Some(own) => Unreadable::Known(own.skipped.clone()),
            None => Unreadable::Refuse,
        };
        if let (Some((name, folder)), false) = (long_download(source), self.quiet) {
            err!("Downloading {name} to {}", folder.display());
        }
        let reading = &progress::reading(self.quiet);
        let data =
            load_and_tell(source, format, &Loading { fit, unreadable, cache: picture_cache(), reading })?;
        tell_of_omissions(&data.skipped, &data.passed_over, data.fallback.as_ref());
        Ok(data)
    }

    /// Loads `own`, the images of the run in `directory`, including those that the run's `--limit` left out.
    pub(super) fn load_own(&self, format: Format, directory: &Path, own: &RunData) -> Result<Splits, Error> {
        use_threads(self.threads)?;
        if !self.quiet {
            let place = match &own.source {
                Source::Directory(place) => format!(" in {}", place.display()),
                _ => String::new(),
            };
            err!("Using the run's own images: {}{place}", own.name);
        }
        let data = own.open(directory, format, &progress::reading(self.quiet))?;
        tell_of_skipped(&data.skipped);
        Ok(data)
    }

    /// Loads images for the network `N` in `file`, which states that it was trained on `dataset`, with pictures that
    /// were fitted like `fit`: the images that are named, or else those of the run that the file is from.
    pub(super) fn load_for<N: Trainable>(
        &self,
        file: &Path,
        dataset: &str,
        fit: Fit,
    ) -> Result<Loaded, Error> {
        let format = Format::of::<N>();
        let others = |dataset: &str, splits: &Splits| {
            format!("it was trained on {dataset}, but the images used are others, those of {}", splits.source)
        };
        let directory = run_of(file).filter(|run| !is_of_another_checkpoint::<N>(run, file));
        let own = directory.map(RunData::load).transpose()?.flatten();
        let own = own.filter(|own| [UNKNOWN, own.name.as_str()].contains(&dataset));
        let (Some(directory), Some(own)) = (directory, own) else {
            let splits = self.load(format, fit, None)?;
            let doubt = match dataset {
                UNKNOWN if self.data.is_some() => None,
                UNKNOWN => {
                    let name = &splits.name;
                    Some(format!(
                        "it does not say what it was trained on; the images used are those of {name}"
                    ))
                }
                dataset => (splits.name != dataset).then(|| others(dataset, &splits)),
            };
            return Ok(Loaded { splits, own: None, doubt });
        };
        let mut splits = match self.data {
            Some(_) => self.load(format, own.fit, Some(&own))?,
            None => self.load_own(format, directory, &own)?,
        };
        let matches = self.data.is_none() || own.matches(&splits);
        let doubt = (!matches).then(|| others(&own.name, &splits));
        if matches {
            own.restrict(&mut splits);
        }
        Ok(Loaded { splits, own: Some(matches), doubt })
    }
}

/// Prints a note if files were left out because they cannot be read.
fn tell_of_skipped(skipped: &[String]) {
    if !skipped.is_empty() {
        let (count, names) = (skipped.len(), list(skipped));
        err!("NOTE: Files that cannot be read as pictures and are left out: {count} ({names}).");
    }
}

/// Prints notes on what a source of images has that is not used: files that cannot be read, and folders next to those
/// of images to train and to test on. Also prints a note if the built-in digits stand in for MNIST, with the reason.
pub(super) fn tell_of_omissions(skipped: &[String], passed_over: &[PathBuf], fallback: Option<&DataError>) {
    tell_of_skipped(skipped);
    for path in passed_over {
        let path = path.display();
        err!(
            "NOTE: {path} is not read. Training images come from `train`, and test images from `test` or, if there is no \
             such folder, from `val`."
        );
    }
    if let Some(reason) = fallback {
        err!("NOTE: MNIST can be neither found nor downloaded ({reason}).");
        err!(
            "NOTE: Using the built-in, machine-made digits instead. Accuracies on these digits say nothing about MNIST."
        );
    }
}

/// Returns true if `directory` has the results of a run, or a snapshot that a run can be resumed from. Files with their
/// names are not enough, because other programs write a `report.json`, too.
pub(super) fn is_run(directory: &Path) -> bool {
    let snapshots = [RunFolder::snapshot, RunFolder::new_snapshot].map(|path| path(directory));
    snapshots.iter().any(|path| Snapshot::is_at(path)) || Report::load(directory).is_ok()
}

/// Returns the folder that `file` is in, if it is a run directory. The file itself need not be one of the run.
pub(super) fn run_around(file: &Path) -> Option<&Path> {
    file.parent().filter(|directory| is_run(directory))
}

/// Returns the directories of the runs that `file` is written into. A file in a run directory may be a link to another
/// place, and a link elsewhere may lead into a run directory: both places count.
pub(super) fn runs_written_into(file: &Path) -> Vec<PathBuf> {
    let named = resolve(folder_of(file)).join(file.file_name().unwrap_or_default());
    [named, resolve(file)].iter().filter_map(|place| run_around(place)).map(Path::to_owned).collect()
}

/// Returns the directory of the run whose integer model `file` is or becomes when it is written, if there is one.
pub(super) fn run_of_int8_model(file: &Path) -> Option<PathBuf> {
    runs_written_into(file).into_iter().find(|run| RunFolder::int8_model(run) == resolve(file))
}

/// Returns the directory of the run that `file` is the checkpoint or a model of, judging by its name.
pub(super) fn run_of(file: &Path) -> Option<&Path> {
    let networks = [RunFolder::checkpoint, RunFolder::float_model, RunFolder::int8_model];
    run_around(file).filter(|run| networks.iter().any(|path| path(run) == file))
}

/// Returns true if `file`, which has the name of a model of the run of network `N` in `run`, states that it was made
/// from another checkpoint than that of the run.
fn is_of_another_checkpoint<N: Trainable>(run: &Path, file: &Path) -> bool {
    let origins = origins::<N>(run, &[Kind::F32, Kind::Int8]).unwrap_or_default();
    origins.iter().any(|origin| origin.file == file && origin.other.is_some())
}

/// Locks the run directory that `file` is to be written into, if there is one, so that no other process writes to it
/// while the lock exists.
pub(super) fn lock_run_of(file: &Path) -> Result<Option<DirectoryLock>, Error> {
    runs_written_into(file).first().map(|directory| lock_directory(directory)).transpose()
}
