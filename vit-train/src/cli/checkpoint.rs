//! Reads checkpoints, written by this program or by PyTorch, and finds out by their tensors which network they are of.

use super::networks::{Known, List};
use crate::{
    data::repeated,
    formats::{
        checkpoint::{Checkpoint, Description},
        content::Content,
    },
    Error,
};
use clap::Args;
use std::path::Path;
use vit_nostd::model_file::Normalization;

#[derive(Args, Debug)]
pub(super) struct CheckpointArguments {
    /// Normalisation of the network's input, (level / 255 - MEAN) / STD, instead of the one in the checkpoint: one pair
    /// for all channels, or a pair for each [default if the checkpoint states none: 0.1307,0.3081 for grey images and
    /// 0.5,0.5 for others]
    #[arg(long, value_name = "MEAN,STD,...", value_parser = channels, allow_hyphen_values = true)]
    pub normalization: Option<Channels>,
}

/// A normalisation for all channels, or one for each.
#[derive(Clone, Debug)]
pub(super) struct Channels(Vec<Normalization>);

#[derive(Args, Debug)]
pub(super) struct LabelArguments {
    /// Names of the classes, instead of those in the checkpoint [default if the checkpoint states none: their numbers]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    labels: Vec<String>,
}

impl CheckpointArguments {
    /// Reads a checkpoint and puts its tensors into the order of the network that they belong to.
    pub(super) fn load(&self, networks: &List, path: &Path) -> Result<(Known, Checkpoint), Error> {
        let checkpoint = Checkpoint::load(path)?;
        let network = networks.of_checkpoint(&checkpoint, path)?;
        let checkpoint = (network.ordered)(checkpoint, path)?;
        Ok((network, self.apply(network, checkpoint)?))
    }

    /// Refuses the option for the model file `path`, which states its own normalisation.
    pub(super) fn refuse_for_model(&self, path: &Path) -> Result<(), Error> {
        if self.normalization.is_none() {
            return Ok(());
        }
        let path = path.display();
        Err(Error::Usage(format!(
            "{path}: a model file has its own normalisation: leave --normalization out"
        )))
    }

    /// Returns the checkpoint with the normalisation that is given.
    pub(super) fn apply(&self, network: Known, checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
        let Some(Channels(given)) = &self.normalization else { return Ok(checkpoint) };
        let channels = usize::from(network.dims.channels);
        let normalization = match given[..] {
            [all] => vec![all; channels],
            _ if given.len() == channels => given.clone(),
            _ => {
                let (given, network) = (given.len(), network.name());
                return Err(Error::Usage(format!(
                    "--normalization: {given} pairs, but {network} takes images with {channels} channel(s): give one \
                     pair for all channels, or one for each"
                )));
            }
        };
        Ok(change(network, checkpoint, |description| {
            // The accuracy that the checkpoint states was measured with its own normalisation.
            description.test_accuracy =
                description.test_accuracy.filter(|_| description.normalization == normalization);
            description.normalization = normalization;
        }))
    }
}

impl LabelArguments {
    pub(super) fn are_given(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Returns the checkpoint with the names of the classes that are given.
    pub(super) fn apply(&self, network: Known, checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
        if !self.are_given() {
            return Ok(checkpoint);
        }
        if let Some(name) = repeated(&self.labels) {
            return Err(Error::Usage(format!(
                "--labels: the name {name} occurs twice: give each class a name of its own"
            )));
        }
        let checkpoint =
            change(network, checkpoint, |description| description.labels.clone_from(&self.labels));
        checkpoint.check_description(&network.dims, Path::new("--labels"))?;
        Ok(checkpoint)
    }
}

/// Returns the option that changes the description in a checkpoint, if one is given.
pub(super) fn changed(checkpoint: &CheckpointArguments, labels: &LabelArguments) -> Option<&'static str> {
    let labels = labels.are_given().then_some("--labels");
    checkpoint.normalization.as_ref().map(|_| "--normalization").or(labels)
}

/// Changes the description in a checkpoint.
fn change(network: Known, checkpoint: Checkpoint, change: impl FnOnce(&mut Description)) -> Checkpoint {
    let mut description = (network.describe)(&checkpoint);
    change(&mut description);
    Checkpoint { description: Some(description), ..checkpoint }
}

/// Returns true if a file is to be read as a checkpoint, and false if as a model file. The content of the file decides
/// or, if that is neither or cannot be looked at because it is a pipe, its extension. Weights in the format of another
/// program count as a checkpoint: reading them fails with an error that says how to convert them.
pub(super) fn is_checkpoint(path: &Path) -> Result<bool, Error> {
    Ok(match Content::of_file(path)? {
        Content::Checkpoint | Content::Foreign(_) => true,
        Content::Model => false,
        Content::Unknown => path.extension().is_some_and(|extension| extension == "safetensors"),
    })
}

fn channels(text: &str) -> Result<Channels, String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers.unwrap_or_default();
    let (pairs, rest) = numbers.as_chunks();
    let pairs: Vec<_> = pairs.iter().map(|&[mean, std]| Normalization { mean, std }).collect();
    if pairs.is_empty() || !rest.is_empty() || !pairs.iter().all(|pair| pair.is_usable()) {
        return Err("expected MEAN,STD: two numbers, the second above 0 (from 1e-6 to 1e6), such as 0.1307,0.3081, or \
                    two for each channel"
            .to_owned());
    }
    Ok(Channels(pairs))
}
