//! Everything that can go wrong, each in one line that says what, where, and what to do.

use crate::{
    data::DataError, device::DeviceError, digest::Digest, fused::cuda::CudaError, parameters::Mismatches,
    quantize::Unquantizable, run::OtherCheckpoint,
};
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
    #[error("{from}: the network cannot be described like this: {field}")]
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
    OtherCheckpoint(#[from] OtherCheckpoint),
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
    /// There is no run to go on with.
    #[error("{}: no run in it, so that there is nothing to resume: leave --resume out to start one", directory.display())]
    NothingToResume {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A snapshot of a run that cannot be read.
    #[error("{}: damaged, or of another version of vit-train: leave --resume out to start anew", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
    },
    /// The run that is to be resumed has other settings.
    #[error("{}: that run has {name} {theirs}, and not {ours}: give its own settings, or leave --resume out to start anew", path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The first setting that differs.
        name: String,
        /// The run's.
        theirs: String,
        /// The one asked for.
        ours: String,
    },
    /// Another process writes to the folder.
    #[error("{}: another run is writing to it: wait for its end, or choose another folder", directory.display())]
    InUse {
        /// The folder.
        directory: PathBuf,
    },
    /// The GPU that was asked for cannot be used.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// The run was asked to end between two steps, and did.
    #[error("interrupted in epoch {epoch}, after step {step}; all is saved, and the same command with --resume goes on")]
    Interrupted {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
    },
    /// Training ran into numbers that are not finite.
    #[error("the loss is {loss} in epoch {epoch}, step {step}: training diverged; try a lower --lr")]
    Diverged {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
        /// The loss.
        loss: f32,
    },
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
