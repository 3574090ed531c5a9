//! Everything that can go wrong, each in one line that says what, where, and what to do.

use crate::{data::DataError, device::DeviceError, digest::Digest, network::parameters::Mismatches};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use vit_nostd::{Field, ModelError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The images cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The operating system refuses to read or write.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A model file that cannot be used.
    #[error("{}: {error}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ModelError,
    },
    /// A checkpoint that cannot be read.
    #[error("{}: not a usable checkpoint: {message}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Labels, normalisation or provenance that no network can have.
    #[error("{from}: correct the description of the network: {field}")]
    Description {
        /// The file, the option or the data set that it comes from.
        from: String,
        /// What is wrong with it.
        field: Field,
    },
    /// A float model that says it was made from another checkpoint than its own weights.
    #[error(
        "{}: says that it was made from the checkpoint {stated:.12}, but its weights are those of {own:.12}: \
         export the checkpoint again", path.display()
    )]
    WrongDigest {
        /// The model file.
        path: PathBuf,
        /// The digest that stands in the file.
        stated: Digest,
        /// The digest of its weights.
        own: Digest,
    },
    /// Two files of a run that do not belong together.
    #[error(transparent)]
    OtherCheckpoint(Box<OtherCheckpoint>),
    /// A report of a run that cannot be read.
    #[error("{}: not a report of a training run: {message}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A checkpoint of another network.
    #[error("{}: does not fit {network}: {mismatches}", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// What it should be.
        network: String,
        /// How it differs.
        mismatches: Mismatches,
    },
    /// Weights that no network can work with.
    #[error("{}: tensor {name} has a value that is not a finite number", path.display())]
    NotFinite {
        /// The checkpoint or model file.
        path: PathBuf,
        /// The first such tensor.
        name: String,
    },
    /// A model that has the shape of none of the presets.
    #[error("{}: a network of none of the presets: {found}", path.display())]
    UnknownShape {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        found: String,
    },
    /// A board that cannot be talked to.
    #[error("{address}: {error}")]
    Device {
        /// Where it should be.
        address: String,
        /// What is wrong.
        error: DeviceError,
    },
    /// A network that cannot be put into integers.
    #[error("{}: cannot be quantized because {error}", path.display())]
    Unquantizable {
        /// The checkpoint.
        path: PathBuf,
        /// Which layer, and why.
        error: Unquantizable,
    },
    /// The record of a run's images cannot be read.
    #[error("{}: not a record of a run's images ({message}): delete it, and name them with --data", path.display())]
    RunData {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The images of a run are no longer where they were.
    #[error("{}: its images, {name}, are no longer in {}: name their new place with --data", run.display(), place.display())]
    DataGone {
        /// The run's folder.
        run: PathBuf,
        /// What they are called.
        name: String,
        /// Where they were.
        place: PathBuf,
    },
    /// There are other images now where those of a run were.
    #[error("{}: the images or classes of {images} are no longer those that it was trained on: name the place of those with --data", run.display())]
    DataChanged {
        /// The run's folder.
        run: PathBuf,
        /// Where they were.
        images: String,
    },
    /// There is no run to go on with.
    #[error("{}: no run in it, so that there is nothing to resume: leave --resume out to start one", directory.display())]
    NothingToResume {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A snapshot of a run that cannot be read.
    #[error("{}: damaged, or of another version of vit-train: leave --resume out to start a new run", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
    },
    /// The run that is to be resumed has other settings.
    #[error("{}: that run has {}: leave out what differs, because a run goes on with its own settings, or leave --resume out to start a new run", path.display(), list(differences))]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// All settings that differ.
        differences: Vec<Difference>,
    },
    /// Another process writes to the folder.
    #[error("{}: another run is writing to it: wait for its end, or choose another folder", directory.display())]
    InUse {
        /// The folder.
        directory: PathBuf,
    },
    /// The GPU that was asked for cannot be used.
    #[error("{0}")]
    Cuda(Box<dyn std::error::Error + Send + Sync>),
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// The run was asked to end between two steps, and did: its snapshot is what it goes on from.
    #[error("interrupted in epoch {epoch}, after step {step}; all is saved")]
    Interrupted {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
    },
    /// A setting of a recipe that no run can work with.
    #[error("{setting} is {value}: expected {expected}")]
    Recipe {
        /// The name of the field in [`Recipe`](crate::recipe::Recipe) or in its augmentation.
        setting: &'static str,
        /// Its value.
        value: String,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// Training ran into numbers that are not finite.
    #[error("training diverged in epoch {epoch}: {sign}{}", kept(*epoch))]
    Diverged {
        /// Counted from 1.
        epoch: usize,
        /// How it showed.
        sign: Divergence,
    },
    /// A network computes logits that are not finite, although its weights are.
    #[error(
        "{}: the network's output is not a number ({logit}); its weights are damaged or training diverged",
        path.display()
    )]
    Output {
        /// The checkpoint or model file.
        path: PathBuf,
        /// The first such logit: NaN or infinite.
        logit: f32,
    },
}

/// The first sign that a training has diverged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// The loss of a batch.
    #[error("the loss is {loss} in step {step}")]
    Loss {
        /// Counted from 1.
        step: usize,
        /// NaN or infinite.
        loss: f32,
    },
    /// The parameters after a step.
    #[error("tensor {name} has a value that is not a finite number after step {step}")]
    Parameters {
        /// Counted from 1.
        step: usize,
        /// The first such tensor.
        name: String,
    },
    /// The loss after all steps of the epoch.
    #[error("the loss is {loss} on the validation images")]
    Validation {
        /// NaN or infinite.
        loss: f64,
    },
}

/// Why a network cannot be put into integers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{layer} {what} ({value:.3e}): train again with a lower --lr or a larger --weight-decay")]
pub struct Unquantizable {
    /// The layer, as the checkpoint's tensors name it.
    pub layer: String,
    /// What is wrong with it, as the rest of a sentence.
    pub what: &'static str,
    /// The number that is out of range.
    pub value: f64,
}

impl Unquantizable {
    pub(crate) fn new(layer: impl Into<String>, what: &'static str, value: f64) -> Self {
        Self { layer: layer.into(), what, value }
    }
}

/// A model file that was made from another checkpoint than the file it is found with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: made from another checkpoint ({theirs:.12}) than {} ({ours:.12}): {remedy}",
    model.display(),
    checkpoint.display()
)]
pub struct OtherCheckpoint {
    pub(crate) model: PathBuf,
    pub(crate) theirs: Digest,
    pub(crate) checkpoint: PathBuf,
    pub(crate) ours: Digest,
    pub(crate) remedy: String,
}

/// A setting that is not the one of the run that is to be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub name: &'static str,
    /// The run's.
    pub theirs: String,
    /// The one asked for.
    pub ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, and not {}", self.name, self.theirs, self.ours)
    }
}

/// What is left after an epoch that diverged.
fn kept(epoch: usize) -> &'static str {
    if epoch > 1 {
        "; the checkpoint is that of the best epoch before it"
    } else {
        ""
    }
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    pub(crate) fn checkpoint(path: &Path, message: impl fmt::Display) -> Self {
        Self::Checkpoint { path: path.to_owned(), message: message.to_string() }
    }
}

/// Adds the path to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { path: path.to_owned(), error })
    }
}
