//! Checkpoints: safetensors files with the names and layouts of PyTorch's `state_dict`, so that PyTorch loads them
//! and they load PyTorch's.

use crate::{
    data::MNIST_NORMALIZATION,
    error::{Error, IoContext},
    files::write_atomically,
    model::Network,
    parameters::{Layout, Parameters},
    preset::shape_name,
};
use safetensors::{tensor::TensorView, Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fs, path::Path};
use vit_nostd::model_file::Normalization;

/// The key of [`Description`] in the metadata of the file.
const KEY: &str = "vit-train";

/// What a checkpoint says besides its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// What the network was trained on.
    pub dataset: String,
    /// The seed of the run.
    pub seed: u64,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// The names of the classes.
    pub labels: Vec<String>,
    /// Top-1 accuracy on the test set in percent, where it was measured.
    pub test_accuracy: Option<f32>,
}

/// A network's parameters and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The parameters, in the order of the file.
    pub parameters: Parameters,
    /// None in a file that another program wrote.
    pub description: Option<Description>,
}

impl Checkpoint {
    /// What the file says of itself; where it says nothing, MNIST's normalisation and the classes' numbers.
    pub fn describe<S: Network>(&self) -> Description {
        self.description.clone().unwrap_or_else(|| Description {
            dataset: "unknown".to_owned(),
            seed: 0,
            normalization: MNIST_NORMALIZATION,
            labels: (0..S::CLASSES).map(|class| class.to_string()).collect(),
            test_accuracy: None,
        })
    }

    /// Checks that these are the parameters of network `S` and puts them into its order; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::Misfit`].
    pub fn into_order_of<S: Network>(self, path: &Path) -> Result<Self, Error> {
        let Self { parameters, description } = self;
        let parameters = parameters.into_order_of::<S>().map_err(|mismatch| Error::Misfit {
            path: path.to_owned(),
            network: shape_name::<S>(),
            mismatch,
        })?;
        Ok(Self { parameters, description })
    }

    /// Writes the file, whole or not at all. The same content gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let Parameters { layout, values } = &self.parameters;
        let views = layout.0.iter().map(|entry| {
            let bytes: &[u8] = bytemuck::cast_slice(&values[entry.range.clone()]);
            Ok((&entry.name, TensorView::new(Dtype::F32, entry.dims.clone(), bytes)?))
        });
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let metadata = self.description.as_ref().map(serde_json::to_string).transpose();
        let metadata = metadata.map_err(|error| Error::checkpoint(path, error))?;
        // One entry only: the order of several in a `HashMap` would differ from run to run.
        let metadata = metadata.map(|json| HashMap::from([(KEY.to_owned(), json)]));
        let bytes = views.and_then(|views| safetensors::serialize(views, metadata));
        write_atomically(path, &bytes.map_err(|error| Error::checkpoint(path, error))?)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] where it is not a safetensors file of `f32` tensors.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).at(path)?;
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| Error::checkpoint(path, error))?;
        let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let description = json.map(|json| serde_json::from_str(json)).transpose();
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| Error::checkpoint(path, error))?;

        let mut parameters = Parameters { layout: Layout(Vec::new()), values: Vec::new() };
        for (name, view) in tensors.iter() {
            if view.dtype() != Dtype::F32 {
                let message = format!("tensor {name} has type {:?}, expected F32", view.dtype());
                return Err(Error::checkpoint(path, message));
            }
            parameters.layout.push(name, view.shape());
            parameters.values.extend(view.data().chunks_exact(4).map(bytemuck::pod_read_unaligned::<f32>));
        }
        Ok(Self { parameters, description: description.map_err(|error| Error::checkpoint(path, error))? })
    }
}
