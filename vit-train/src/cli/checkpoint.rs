//! Reading a checkpoint, ours or PyTorch's, whose preset only its tensors tell.

use clap::Args;
use std::path::Path;
use vit_nostd::model_file::Normalization;
use vit_train::{
    checkpoint::{Checkpoint, Description},
    content::Content,
    data::repeated,
    with_preset, Error, Preset,
};

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
    pub fn load(&self, path: &Path) -> Result<(Preset, Checkpoint), Error> {
        let checkpoint = Checkpoint::load(path)?;
        let preset = preset_of(&checkpoint, path)?;
        let checkpoint = with_preset!(preset, S => checkpoint.into_order_of::<S>(path))?;
        Ok((preset, self.apply(preset, checkpoint)))
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
    pub fn apply(&self, preset: Preset, checkpoint: Checkpoint) -> Checkpoint {
        let Some(normalization) = self.normalization else { return checkpoint };
        change(preset, checkpoint, |description| description.normalization = normalization)
    }
}

impl LabelArguments {
    /// The same network, with what was said of it.
    pub fn apply(&self, preset: Preset, checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
        if self.labels.is_empty() {
            return Ok(checkpoint);
        }
        if let Some(name) = repeated(&self.labels) {
            return Err(Error::Setting(format!(
                "--labels: {name} is there twice: give each class a name of its own"
            )));
        }
        let checkpoint =
            change(preset, checkpoint, |description| description.labels.clone_from(&self.labels));
        checkpoint.check_description(preset.dims().classes.into(), Path::new("--labels"))?;
        Ok(checkpoint)
    }
}

fn change(preset: Preset, checkpoint: Checkpoint, change: impl FnOnce(&mut Description)) -> Checkpoint {
    let mut description = with_preset!(preset, S => checkpoint.describe::<S>());
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

/// The preset whose parameters a checkpoint has.
pub fn preset_of(checkpoint: &Checkpoint, path: &Path) -> Result<Preset, Error> {
    let layout = &checkpoint.parameters.layout;
    let preset = Preset::nearest(layout);
    preset.layout().check(layout).map(|()| preset).map_err(|mismatches| Error::Misfit {
        path: path.to_owned(),
        network: format!("any preset, {preset} being the nearest"),
        mismatches,
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
