//! The images that a command works on: the run's own, unless others are named.

use super::{
    options::{thread_count, use_threads, DATA},
    progress,
};
use crate::{
    data::{load_and_tell, Format, Source, Splits},
    files::{lock_directory, DirectoryLock},
    network::Trainable,
    paths::{folder_of, resolve},
    run::{data::RunData, folder::RunFolder, origins::origins, report::Report},
    Error,
};
use clap::Args;
use std::path::{Path, PathBuf};
use vit_nostd::model_file::Kind;

/// Where images come from, how many threads work on them, and what is told meanwhile.
#[derive(Args, Debug)]
pub struct DataArguments {
    /// Images: `mnist`, `synthetic` (built-in digits), `auto` (MNIST, or else the built-in digits), or a folder: with
    /// four files in MNIST's format (and perhaps `labels.txt`, one class name a line), with a folder of PNG and JPEG
    /// files for each class, or with two of those in `train` and `test` (or `val`) [default: the images of the run that is given;
    /// else auto]
    #[arg(long, help_heading = DATA, value_name = "auto|mnist|synthetic|DIR")]
    pub data: Option<Source>,
    /// Print results and errors only
    #[arg(long, short)]
    pub quiet: bool,
    /// Threads to use [default: all processors]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
}

/// Images for a network that was trained before.
pub struct Loaded {
    pub splits: Splits,
    /// Whether they are those of the run that the network is from; None if no run is known.
    pub own: Option<bool>,
    /// Why they may not be what the network was trained on.
    pub doubt: Option<String>,
}

impl Loaded {
    /// Says that they may not be what the network in `file` was trained on.
    pub fn warn(&self, file: &Path) {
        if let Some(doubt) = &self.doubt {
            err!("NOTE: {}: {doubt}.", file.display());
        }
    }
}

impl DataArguments {
    /// Loads the images that are named; says loudly if they are not the real ones.
    pub fn load(&self, format: Format) -> Result<Splits, Error> {
        use_threads(self.threads)?;
        let source = self.data.clone().unwrap_or_default();
        let data = load_and_tell(&source, format, &progress::reading(self.quiet))?;
        for path in &data.passed_over {
            let path = path.display();
            err!(
                "NOTE: {path}: not read: images to train on are taken from `train`, and those to test on from \
                 `test`, or else from `val`."
            );
        }
        if let Some(reason) = &data.fallback {
            err!("NOTE: MNIST can be neither found nor downloaded ({reason}).");
            err!(
                "NOTE: Using the built-in, machine-made digits instead. Accuracies on them are not MNIST's."
            );
        }
        Ok(data)
    }

    /// Loads the images of the run in `directory`, which are `own`, including those that a limit left out.
    pub fn load_own(&self, format: Format, directory: &Path, own: &RunData) -> Result<Splits, Error> {
        use_threads(self.threads)?;
        if !self.quiet {
            let place = match &own.source {
                Source::Directory(place) => format!(" in {}", place.display()),
                _ => String::new(),
            };
            err!("Using the run's own images: {}{place}", own.name);
        }
        own.open(directory, format, &progress::reading(self.quiet))
    }

    /// Loads images for network `N` in `file`, which says that it was trained on `dataset`: those that are named, or
    /// else those of the run that the file is from.
    pub fn load_for<N: Trainable>(&self, file: &Path, dataset: &str) -> Result<Loaded, Error> {
        let format = Format::of::<N>();
        let others = |dataset: &str, splits: &Splits| {
            format!("it was trained on {dataset}, and the images used are others, those of {}", splits.source)
        };
        let directory = run_of(file).filter(|run| !is_of_another_checkpoint::<N>(run, file));
        let own = directory.map(RunData::load).transpose()?.flatten();
        let own = own.filter(|own| [UNKNOWN, own.name.as_str()].contains(&dataset));
        let (Some(directory), Some(own)) = (directory, own) else {
            let splits = self.load(format)?;
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
            Some(_) => self.load(format)?,
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

/// What a checkpoint says of its data that says nothing.
pub const UNKNOWN: &str = "unknown";

/// Whether a run has left its results in `directory`, or something to resume it from. Other programs write a `report.json`,
/// too.
pub fn is_run(directory: &Path) -> bool {
    let snapshots = [RunFolder::snapshot, RunFolder::new_snapshot].map(|path| path(directory));
    snapshots.iter().any(|path| path.is_file()) || Report::load(directory).is_ok()
}

/// The folder that `file` is in, if it is that of a run. The file itself may be from elsewhere.
pub fn run_around(file: &Path) -> Option<&Path> {
    file.parent().filter(|directory| is_run(directory))
}

/// The folders of the runs that `file` is written into. A file of a run may be a link to where there is more room, and a
/// link may lead into a run: both places count.
pub fn runs_written_into(file: &Path) -> Vec<PathBuf> {
    let named = resolve(folder_of(file)).join(file.file_name().unwrap_or_default());
    [named, resolve(file)].iter().filter_map(|place| run_around(place)).map(Path::to_owned).collect()
}

/// The folder of the run that `file` is the checkpoint or a model of, by its name.
pub fn run_of(file: &Path) -> Option<&Path> {
    let networks = [RunFolder::checkpoint, RunFolder::float_model, RunFolder::int8_model];
    run_around(file).filter(|run| networks.iter().any(|path| path(run) == file))
}

/// Whether `file`, which is called like a model of the run of network `N` in `run`, says that it was made from another
/// checkpoint than the run's.
fn is_of_another_checkpoint<N: Trainable>(run: &Path, file: &Path) -> bool {
    let origins = origins::<N>(run, &[Kind::F32, Kind::Int8]).unwrap_or_default();
    origins.iter().any(|origin| origin.file == file && origin.other.is_some())
}

/// Makes sure that nobody else writes to the run that `file` is to be written into, as long as the result lives.
pub fn lock_run_of(file: &Path) -> Result<Option<DirectoryLock>, Error> {
    runs_written_into(file).first().map(|directory| lock_directory(directory)).transpose()
}
