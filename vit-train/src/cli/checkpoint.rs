//! Reading a checkpoint, ours or PyTorch's, whose preset only its tensors tell.

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
pub struct CheckpointArguments {
    /// How the network takes pixels, (pixel / 255 - MEAN) / STD, in the place of what the checkpoint says, or of
    /// 0.1307,0.3081 where it says nothing
    #[arg(long, value_name = "MEAN,STD", value_parser = normalization, allow_hyphen_values = true)]
    pub normalization: Option<Normalization>,
}

#[derive(Args, Debug)]
pub struct LabelArguments {
    /// Names of the classes, in the place of those that the checkpoint says, or of their numbers where it says none
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    labels: Vec<String>,
}

impl CheckpointArguments {
    /// Reads the file and puts the parameters into the order of the preset that they are of.
    pub fn load(&self, networks: &List, path: &Path) -> Result<(Known, Checkpoint), Error> {
        let checkpoint = Checkpoint::load(path)?;
        let network = networks.of_checkpoint(&checkpoint, path)?;
        let checkpoint = (network.ordered)(checkpoint, path)?;
        Ok((network, self.apply(network, checkpoint)))
    }

    /// Refuses the option where the network is that of a model file, `path`, which says itself how it takes pixels.
    pub fn refuse_for_model(&self, path: &Path) -> Result<(), Error> {
        if self.normalization.is_none() {
            return Ok(());
        }
        let path = path.display();
        Err(Error::Setting(format!(
            "{path}: a model file has its own normalisation: leave --normalization out"
        )))
    }

    /// The same network, with what was said of it.
    pub fn apply(&self, network: Known, checkpoint: Checkpoint) -> Checkpoint {
        let Some(normalization) = self.normalization else { return checkpoint };
        change(network, checkpoint, |description| {
            // The accuracy was measured on images as they were normalised before.
            description.test_accuracy =
                description.test_accuracy.filter(|_| description.normalization == normalization);
            description.normalization = normalization;
        })
    }
}

impl LabelArguments {
    /// The same network, with what was said of it.
    pub fn apply(&self, network: Known, checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
        if self.labels.is_empty() {
            return Ok(checkpoint);
        }
        if let Some(name) = repeated(&self.labels) {
            return Err(Error::Setting(format!(
                "--labels: {name} is there twice: give each class a name of its own"
            )));
        }
        let checkpoint =
            change(network, checkpoint, |description| description.labels.clone_from(&self.labels));
        checkpoint.check_description(network.dims.classes.into(), Path::new("--labels"))?;
        Ok(checkpoint)
    }
}

/// The option that changes what a checkpoint says of its network, if one is given.
pub fn changed(checkpoint: &CheckpointArguments, labels: &LabelArguments) -> Option<&'static str> {
    let labels = (!labels.labels.is_empty()).then_some("--labels");
    checkpoint.normalization.map(|_| "--normalization").or(labels)
}

fn change(network: Known, checkpoint: Checkpoint, change: impl FnOnce(&mut Description)) -> Checkpoint {
    let mut description = (network.describe)(&checkpoint);
    change(&mut description);
    Checkpoint { description: Some(description), ..checkpoint }
}

/// Whether a file is to be read as a checkpoint, and not as a model file. Its content tells; only if it looks like neither,
/// or cannot be looked at because it is a pipe, does its name. (Another program's weights are refused with advice then.)
pub fn is_checkpoint(path: &Path) -> Result<bool, Error> {
    Ok(match Content::of_file(path)? {
        Content::Checkpoint | Content::Foreign(_) => true,
        Content::Model => false,
        Content::Unknown => path.extension().is_some_and(|extension| extension == "safetensors"),
    })
}

fn normalization(text: &str) -> Result<Normalization, String> {
    let what = "MEAN,STD: two numbers, the second above 0 (from 1e-6 to 1e6), such as 0.1307,0.3081";
    let parse =
        |(mean, std): (&str, &str)| Some(Normalization { mean: mean.parse().ok()?, std: std.parse().ok()? });
    let normalization =
        text.split_once(',').and_then(parse).filter(|normalization| normalization.is_usable());
    normalization.ok_or_else(|| format!("expected {what}"))
}
