//! Checkpoints: safetensors files with the names and layouts of PyTorch's `state_dict`, so that PyTorch loads ours
//! and we load PyTorch's.

use crate::{
    data::MNIST_NORMALIZATION,
    digest::Digest,
    error::{Error, IoContext},
    files::{self, write_atomically},
    formats::content::Content,
    network::{
        name,
        parameters::{Layout, Parameters},
        Trainable,
    },
};
use half::{bf16, f16};
use safetensors::{tensor::TensorView, Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, path::Path};
use vit_nostd::{
    model_file::{check_labels, Metadata, Normalization, Provenance},
    Field,
};

/// The key of [`Description`] in the metadata of the file.
const KEY: &str = "vit-train";
/// Name and version of this program, as they stand in the files it writes.
pub(crate) const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

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

impl Description {
    /// What a model file says.
    pub fn of(metadata: &Metadata<'_>) -> Self {
        let provenance = metadata.provenance;
        Self {
            dataset: provenance.dataset.to_owned(),
            seed: provenance.seed,
            normalization: metadata.normalization,
            labels: metadata.labels().map(str::to_owned).collect(),
            test_accuracy: provenance.test_accuracy,
        }
    }

    /// Checks that a network of so many classes can be described like this. Every description passes through here,
    /// wherever it comes from; the bounds are those of the [model file](vit_nostd::model_file).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, classes: usize) -> Result<(), Field> {
        // Before they are joined: a label with a line feed would become two.
        check_labels(self.labels.iter().map(String::as_str), classes)?;
        self.metadata(&self.labels.join("\n"), None).check(classes)
    }

    /// What a model file says of a network that was made from this checkpoint; `labels` are the description's, joined
    /// by line feeds.
    pub(crate) fn metadata<'a>(&'a self, labels: &'a str, checkpoint: Option<Digest>) -> Metadata<'a> {
        let provenance = Provenance {
            dataset: &self.dataset,
            seed: self.seed,
            test_accuracy: self.test_accuracy,
            tool: TOOL,
            checkpoint: checkpoint.map(|Digest(digest)| digest),
        };
        Metadata::new(self.normalization, labels, provenance)
    }
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
    pub fn describe<N: Trainable>(&self) -> Description {
        self.description.clone().unwrap_or_else(|| Description {
            dataset: "unknown".to_owned(),
            seed: 0,
            normalization: MNIST_NORMALIZATION,
            labels: (0..N::CLASSES).map(|class| class.to_string()).collect(),
            test_accuracy: None,
        })
    }

    /// The [digest](crate::digest) of the parameters.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.parameters)
    }

    /// Checks that these are the parameters of network `N`, in whatever order, and that the description fits it; `path`
    /// is named in errors.
    ///
    /// # Errors
    /// [`Error::Misfit`]; [`Error::Description`]; [`Error::NotFinite`].
    pub fn check<N: Trainable>(&self, path: &Path) -> Result<(), Error> {
        if let Err(mismatches) = Layout::of::<N>().check(&self.parameters.layout) {
            return Err(Error::Misfit { path: path.to_owned(), network: name::<N>(), mismatches });
        }
        self.check_description(N::CLASSES, path)?;
        let path = path.to_owned();
        match self.parameters.not_finite() {
            Some(name) => Err(Error::NotFinite { path, name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// Checks the description, if there is one, for a network of so many classes; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::Description`].
    pub fn check_description(&self, classes: usize, path: &Path) -> Result<(), Error> {
        let check = self.description.as_ref().map_or(Ok(()), |description| description.check(classes));
        check.map_err(|field| Error::Description { from: path.display().to_string(), field })
    }

    /// Checks that these are the parameters of network `N` and puts them into its order; `path` is named in errors.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn into_order_of<N: Trainable>(self, path: &Path) -> Result<Self, Error> {
        self.check::<N>(path)?;
        let Self { parameters, description } = self;
        let layout = Layout::of::<N>();
        let values = layout.0.iter().flat_map(|entry| parameters.tensor(&entry.name));
        let parameters = Parameters { values: values.copied().collect(), layout };
        Ok(Self { parameters, description })
    }

    /// Writes the file, whole or not at all. The same content gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, &self.serialize(path)?)
    }

    /// The bytes of the file; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where a description cannot be put into JSON.
    pub fn serialize(&self, path: &Path) -> Result<Vec<u8>, Error> {
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
        bytes.map_err(|error| Error::checkpoint(path, error))
    }

    /// Reads the file. Numbers of 16 and of 64 bits become those of 32, as where PyTorch loads them into a network.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] where it is not a safetensors file of floating-point tensors;
    /// [`Error::NotACheckpoint`] where it is a model file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path).at(path)?;
        match Content::of(&bytes) {
            Content::Foreign(foreign) => return Err(Error::checkpoint(path, foreign.advice(path))),
            Content::Model => return Err(Error::NotACheckpoint { path: path.to_owned() }),
            Content::Checkpoint | Content::Unknown => (),
        }
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| Error::checkpoint(path, error))?;
        let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let description = json.map(|json| serde_json::from_str(json)).transpose();
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| Error::checkpoint(path, error))?;
        let mut tensors = tensors.tensors();
        tensors.sort_unstable_by(|(a, _), (b, _)| a.cmp(b)); // they come in any order

        let mut parameters = Parameters { layout: Layout(Vec::new()), values: Vec::new() };
        for (name, view) in tensors {
            parameters.layout.push(&name, view.shape());
            if !extend(&mut parameters.values, view.dtype(), view.data()) {
                let message = format!(
                    "tensor {name} of shape {:?} has type {}, expected a floating-point one",
                    view.shape(),
                    view.dtype()
                );
                return Err(Error::checkpoint(path, message));
            }
        }
        Ok(Self { parameters, description: description.map_err(|error| Error::checkpoint(path, error))? })
    }
}

/// Appends the numbers in `bytes` to `values`, unless they are of another type than these.
fn extend(values: &mut Vec<f32>, dtype: Dtype, bytes: &[u8]) -> bool {
    fn numbers<const BYTES: usize>(
        bytes: &[u8],
        value: fn([u8; BYTES]) -> f32,
    ) -> impl Iterator<Item = f32> + '_ {
        let (chunks, _) = bytes.as_chunks::<BYTES>(); // the reader checked the length
        chunks.iter().map(move |&chunk| value(chunk))
    }
    match dtype {
        Dtype::F32 => values.extend(numbers(bytes, f32::from_le_bytes)),
        Dtype::F16 => values.extend(numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => values.extend(numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F64 => values.extend(numbers(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        _ => return false,
    }
    true
}
