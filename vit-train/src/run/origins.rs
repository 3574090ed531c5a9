//! Checks whether the files of a run belong together, by the digests that they contain.

use crate::{
    digest::Digest,
    error::{Error, OtherCheckpoint},
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes, vit::checkpoint_of},
    network::Trainable,
    run::folder::RunFolder,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use vit_nostd::{int8, model_file::Kind};

/// A model file of a run and the checkpoint that it was made from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Origin {
    /// The model file.
    pub file: PathBuf,
    /// The digest of the checkpoint, or None if the file does not state it.
    pub digest: Option<Digest>,
    /// The difference, if the checkpoint is not that of the run.
    #[serde(skip)]
    pub other: Option<OtherCheckpoint>,
}

/// Reads which checkpoint the model files of the run of network `N` in the directory `run` were made from, and compares
/// it with the run's checkpoint or, if that is gone, with its float model. Only files that exist and are of one of the
/// `kinds` are looked at.
///
/// # Errors
/// The error of reading one of the files.
pub(crate) fn origins<N: Trainable>(run: &Path, kinds: &[Kind]) -> Result<Vec<Origin>, Error> {
    let checkpoint = RunFolder::checkpoint(run);
    let mut reference = None;
    if checkpoint.exists() {
        let digest = Checkpoint::load(&checkpoint)?.into_order_of::<N>(&checkpoint)?.digest();
        reference = Some((checkpoint.clone(), digest));
    }
    let mut origins = Vec::new();
    for kind in [Kind::F32, Kind::Int8].into_iter().filter(|kind| kinds.contains(kind)) {
        let file = match kind {
            Kind::F32 => RunFolder::float_model(run),
            Kind::Int8 => RunFolder::int8_model(run),
        };
        if !file.exists() {
            continue;
        }
        let digest = digest_of::<N>(kind, &file)?;
        let other = match (&reference, digest) {
            (Some((checkpoint, ours)), Some(theirs)) if *ours != theirs => Some(OtherCheckpoint {
                kind,
                model: file.clone(),
                theirs,
                checkpoint: checkpoint.clone(),
                ours: *ours,
            }),
            _ => None,
        };
        reference = reference.or_else(|| Some((file.clone(), digest?)));
        origins.push(Origin { file, digest, other });
    }
    Ok(origins)
}

/// Checks that the model files of a run were made from its checkpoint, as far as they state it: see [`origins`].
///
/// # Errors
/// [`Error::OtherCheckpoint`] for the first model file that was not; the error of reading one of the files.
pub(crate) fn check_origins<N: Trainable>(run: &Path, kinds: &[Kind]) -> Result<(), Error> {
    match origins::<N>(run, kinds)?.into_iter().find_map(|origin| origin.other) {
        Some(other) => Err(Error::OtherCheckpoint(Box::new(other))),
        None => Ok(()),
    }
}

/// Returns the digest of the checkpoint that a model file was made from. For a float model it is computed from the
/// parameters in the file, which are those of the checkpoint.
fn digest_of<N: Trainable>(kind: Kind, path: &Path) -> Result<Option<Digest>, Error> {
    let file = ModelBytes::read(path)?;
    match kind {
        Kind::F32 => Ok(Some(checkpoint_of::<N>(&file, path)?.digest())),
        Kind::Int8 => {
            let model = int8::Model::<N>::from_bytes(&file);
            let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
            Ok(model.metadata().provenance.checkpoint.map(Digest))
        }
    }
}
