//! The library's errors. The message of each is one line that says what went wrong and where.
//!
//! A message states the cause. Messages about images also say how to repair them; advice that names options of the
//! program is added by the command line.

use crate::{data::DataError, device::DeviceError, digest::Digest, network::parameters::Mismatches};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use vit_nostd::{model_file::Kind, Field, ModelError};

/// Why an operation of this library failed.
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
        /// The error of the operating system.
        error: io::Error,
    },
    /// A model file cannot be used.
    #[error("{}: {error}", path.display())]
    Model {
        /// The model file.
        path: PathBuf,
        /// The reason why it is refused.
        error: ModelError,
    },
    /// A checkpoint cannot be read.
    #[error("{}: not a usable checkpoint: {message}", path.display())]
    Checkpoint {
        /// The checkpoint file.
        path: PathBuf,
        /// The fault, in words for a person.
        message: String,
    },
    /// A file is a model file, but a checkpoint is needed.
    #[error("{}: a model file, but a checkpoint is needed here", path.display())]
    NotACheckpoint {
        /// The model file.
        path: PathBuf,
    },
    /// The labels, the normalisation or the provenance are ones that no network can have.
    #[error("{from}: the description of the network is not valid: {field}")]
    Description {
        /// The file, the option or the data set that the description comes from.
        from: String,
        /// The field that is not valid, with the reason.
        field: Field,
    },
    /// A float model names another checkpoint as its origin than the one that its weights are from.
    #[error(
        "{}: says that it was made from the checkpoint {stated:.12}, but its weights are those of {own:.12}",
        path.display()
    )]
    WrongDigest {
        /// The model file.
        path: PathBuf,
        /// The digest that the file states.
        stated: Digest,
        /// The digest of the weights in the file.
        own: Digest,
    },
    /// Two files of a run do not belong together.
    #[error(transparent)]
    OtherCheckpoint(Box<OtherCheckpoint>),
    /// The report of a run cannot be read.
    #[error("{}: not a report of a training run: {message}", path.display())]
    Report {
        /// The report file.
        path: PathBuf,
        /// The fault, in words for a person.
        message: String,
    },
    /// The tensors of a checkpoint are not those of the network.
    #[error("{}: does not fit {network}: {mismatches}", path.display())]
    Misfit {
        /// The checkpoint or model file.
        path: PathBuf,
        /// The name of the network that was expected.
        network: String,
        /// The tensors that are missing, unknown or of another shape.
        mismatches: Mismatches,
    },
    /// A weight is NaN or infinite, so that no network can work with it.
    #[error("{}: tensor {name} has a value that is not a finite number", path.display())]
    NotFinite {
        /// The checkpoint or model file.
        path: PathBuf,
        /// The name of the first such tensor.
        name: String,
    },
    /// No network that the program knows has the dimensions of a model file.
    #[error("{}: the network has none of the known shapes: {found}", path.display())]
    UnknownShape {
        /// The model file.
        path: PathBuf,
        /// The dimensions that the file states.
        found: String,
    },
    /// The communication with a board failed.
    #[error("{address}: {error}")]
    Device {
        /// The serial port or the network address of the board.
        address: String,
        /// The reason.
        error: DeviceError,
    },
    /// A network cannot be converted to integers.
    #[error("{}: cannot be quantized because {error}", path.display())]
    Unquantizable {
        /// The checkpoint.
        path: PathBuf,
        /// The layer that prevents it, and the reason.
        error: Unquantizable,
    },
    /// The record of a run's images cannot be read.
    #[error("{}: not a record of the images of a run: {message}", path.display())]
    RunData {
        /// The record file.
        path: PathBuf,
        /// The fault, in words for a person.
        message: String,
    },
    /// The images of a run are no longer where they were.
    #[error("{}: the images of this run ({name}) are no longer in {}", run.display(), place.display())]
    DataGone {
        /// The run directory.
        run: PathBuf,
        /// The name of the data set.
        name: String,
        /// The directory that the images were in.
        place: PathBuf,
    },
    /// The images that a run was trained on have been replaced by others.
    #[error("{}: the images or classes of {images} are no longer those that this run was trained on", run.display())]
    DataChanged {
        /// The run directory.
        run: PathBuf,
        /// The place that the images were loaded from.
        images: String,
    },
    /// A directory has no run that could be resumed.
    #[error("{}: contains no run that could be resumed", directory.display())]
    NothingToResume {
        /// The directory.
        directory: PathBuf,
    },
    /// The snapshot of a run cannot be read.
    #[error("{}: damaged, or written by another version of vit-train", path.display())]
    Snapshot {
        /// The snapshot file.
        path: PathBuf,
    },
    /// The run that is to be resumed has other settings than those that are asked for.
    #[error("{}: this run has other settings: {}", path.display(), list(differences))]
    OtherRun {
        /// The snapshot file of the run.
        path: PathBuf,
        /// All settings that differ.
        differences: Vec<Difference>,
    },
    /// Another process writes to the directory.
    #[error("{}: another run is writing to it: wait until it has ended, or choose another folder", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The GPU that was asked for cannot be used.
    #[error("{0}")]
    Cuda(Box<dyn std::error::Error + Send + Sync>),
    /// A library cannot be built.
    #[error("the library cannot be built: {0}")]
    Compiler(String),
    /// The command line asks for something that cannot be done; the text says what, and what to do instead.
    #[error("{0}")]
    Usage(String),
    /// The run was asked to end between two steps, and did. It can be resumed from its snapshot.
    #[error("interrupted in epoch {epoch}, after step {step}; everything is saved")]
    Interrupted {
        /// The number of the epoch, counted from 1.
        epoch: usize,
        /// The number of the last step that was done in this epoch, counted from 1.
        step: usize,
    },
    /// A setting of a recipe has a value that no run can work with.
    #[error("{setting} is {value}: expected {expected}")]
    Recipe {
        /// The name of the field in [`Recipe`](crate::recipe::Recipe) or in its augmentation.
        setting: &'static str,
        /// The value of the field.
        value: String,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// Training produced numbers that are not finite.
    #[error("training diverged in epoch {epoch}: {sign}{}", kept(*epoch))]
    Diverged {
        /// The number of the epoch, counted from 1.
        epoch: usize,
        /// The number that was noticed first.
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
        /// The first logit that is NaN or infinite.
        logit: f32,
    },
}

/// The first sign that a training has diverged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// The loss of a batch is not finite.
    #[error("the loss is {loss} in step {step}")]
    Loss {
        /// The number of the step in its epoch, counted from 1.
        step: usize,
        /// The loss: NaN or infinite.
        loss: f32,
    },
    /// A parameter is not finite after a step.
    #[error("tensor {name} has a value that is not a finite number after step {step}")]
    Parameters {
        /// The number of the step in its epoch, counted from 1.
        step: usize,
        /// The name of the first such tensor.
        name: String,
    },
    /// The loss of the validation images is not finite after all steps of the epoch.
    #[error("the loss is {loss} on the validation images")]
    Validation {
        /// The loss: NaN or infinite.
        loss: f64,
    },
}

/// Why a network cannot be converted to integers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{layer} {what} ({value:.3e})")]
pub struct Unquantizable {
    /// The name of the layer in the tensors of the checkpoint.
    pub layer: String,
    /// The fault of the layer, as a predicate: "has a weight that is too large".
    pub what: &'static str,
    /// The number that is out of range.
    pub value: f64,
}

impl Unquantizable {
    pub(crate) fn new(layer: impl Into<String>, what: &'static str, value: f64) -> Self {
        Self { layer: layer.into(), what, value }
    }
}

/// The finding that a model file in a run directory was made from another checkpoint than the one there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: made from another checkpoint ({theirs:.12}) than {} ({ours:.12})",
    model.display(),
    checkpoint.display()
)]
pub struct OtherCheckpoint {
    pub(crate) kind: Kind,
    pub(crate) model: PathBuf,
    /// The digest of the checkpoint that the model file was made from.
    pub(crate) theirs: Digest,
    /// The checkpoint in the run directory or, if that is gone, the float model.
    pub(crate) checkpoint: PathBuf,
    pub(crate) ours: Digest,
}

/// A setting in which the run that is to be resumed differs from what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the field in [`Recipe`](crate::recipe::Recipe) or in the description of the run and of its images.
    pub name: &'static str,
    /// The value that the run was begun with.
    pub theirs: String,
    /// The value that is asked for.
    pub ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, not {}", self.name, self.theirs, self.ours)
    }
}

/// Says what is left after an epoch that diverged.
fn kept(epoch: usize) -> &'static str {
    if epoch > 1 {
        "; the checkpoint is that of an epoch before it"
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

/// Adds the path of a file or directory to an error of the operating system.
pub(crate) trait IoContext<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { path: path.to_owned(), error })
    }
}
