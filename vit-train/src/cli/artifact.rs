//! Opens what a path on the command line names: a run, a checkpoint or a model file.

use super::{
    advice::UNQUANTIZABLE,
    checkpoint::{is_checkpoint, CheckpointArguments},
    networks::{Known, List},
    outputs::check_files_of_run,
};
use crate::{
    error::Error,
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes},
    run::report::Report,
};
use std::path::{Path, PathBuf};
use vit_nostd::model_file::{Kind, Preamble};

/// A file with the content `C`, and the network that it belongs to.
pub(super) struct Artifact<C = Content> {
    pub path: PathBuf,
    pub network: Known,
    pub content: C,
}

/// The content of a file that may be a checkpoint or a model file.
pub(super) enum Content {
    /// A checkpoint whose tensors are in the order of the network.
    Checkpoint(Checkpoint),
    Model(ModelFile),
}

/// A model file of which only the preamble has been checked.
pub(super) struct ModelFile {
    pub kind: Kind,
    pub file: ModelBytes,
}

impl Artifact {
    /// Opens `named`: a file, or a run directory, of which the file called `in_run` is opened. `options` complete the
    /// description in a checkpoint. With a model file they are an error, because it describes itself.
    pub(super) fn open(
        networks: &List,
        named: &Path,
        in_run: &str,
        options: &CheckpointArguments,
    ) -> Result<Self, Error> {
        let path = file_or_in(named, in_run)?;
        if is_checkpoint(&path)? {
            let (network, checkpoint) = options.load(networks, &path)?;
            return Ok(Self { path, network, content: Content::Checkpoint(checkpoint) });
        }
        options.refuse_for_model(&path)?;
        let Artifact { path, network, content } = Artifact::open_model(networks, path)?;
        Ok(Self { path, network, content: Content::Model(content) })
    }
}

impl Artifact<ModelFile> {
    /// Opens a model file of one of `networks`.
    pub(super) fn open_model(networks: &List, path: PathBuf) -> Result<Self, Error> {
        let file = ModelBytes::read(&path)?;
        let preamble = Preamble::read(&file).map_err(|error| Error::Model { path: path.clone(), error })?;
        let network = networks.of_model(&preamble, &path)?;
        Ok(Self { path, network, content: ModelFile { kind: preamble.kind, file } })
    }
}

impl<C> Artifact<C> {
    /// Returns this artifact if the files of the run that was `named` belong together. For a file alone, there is
    /// nothing to check.
    pub(super) fn of_one_run(self, named: &Path) -> Result<Self, Error> {
        if named.is_dir() {
            (self.network.check_origins)(named, &[Kind::F32, Kind::Int8])?;
        }
        Ok(self)
    }
}

/// Returns `path` if it is a file, or else the path of the file called `name` in the run directory `path`.
pub(super) fn file_or_in(path: &Path, name: &str) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    check_files_of_run(path)?;
    let file = path.join(name);
    if file.exists() {
        return Ok(file);
    }
    let folder = path.display();
    if let Some(no_integers) = no_integers(path).filter(|_| name == "model.int8.vit") {
        return Err(Error::Usage(format!("{folder}: no {name} in it. {no_integers}. {UNQUANTIZABLE}")));
    }
    Err(Error::Usage(format!("{folder}: no {name} in it: give a file, or the folder of a finished run")))
}

/// Returns the sentence in the report of a run that says why its network could not be quantized, or None if it could.
pub(super) fn no_integers(run: &Path) -> Option<String> {
    Report::load(run).ok()?.test?.no_integers()
}
