//! Reads and writes checkpoints: safetensors files whose tensors have the names and layouts of PyTorch's
//! `state_dict`, so that either program loads the files of the other.

use crate::{
    data::{repeated, MNIST_NORMALIZATION, UNKNOWN},
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
    frame::Fit,
    model_file::{check_labels, Metadata, Normalization, Provenance, MAX_CHANNELS},
    Dims, Field,
};

/// The key of the [`Description`] in the metadata of the safetensors file.
const KEY: &str = "vit-train";
/// The name and version of this program, which it writes into its files.
pub(crate) const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// The description of a network: the data of a checkpoint besides the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The name of the data set that the network was trained on.
    pub dataset: String,
    /// The seed of the training run.
    pub seed: u64,
    /// How pictures are fitted to the input.
    pub fit: Fit,
    /// The mean and standard deviation with which each channel is normalised.
    pub normalization: Vec<Normalization>,
    /// The names of the classes, in the order of the logits.
    pub labels: Vec<String>,
    /// The top-1 accuracy on the test set in percent, if it was measured.
    pub test_accuracy: Option<f32>,
}

impl Description {
    /// Returns the description in the metadata of a model file of network `N`.
    pub fn of<N: Trainable>(metadata: &Metadata<'_>) -> Self {
        let provenance = metadata.provenance;
        Self {
            dataset: provenance.dataset.to_owned(),
            seed: provenance.seed,
            fit: metadata.fit,
            normalization: metadata.normalization.into_iter().take(N::CHANNELS).collect(),
            labels: metadata.labels().map(str::to_owned).collect(),
            test_accuracy: provenance.test_accuracy,
        }
    }

    /// Checks that a network with these dimensions can have this description.
    ///
    /// Every description is checked here, wherever it comes from. The bounds are those of the
    /// [model file](vit_nostd::model_file).
    ///
    /// # Errors
    /// Returns the first field that is out of its bounds.
    pub fn check(&self, dims: &Dims) -> Result<(), Field> {
        if self.normalization.len() != usize::from(dims.channels) {
            return Err(Field::Normalization);
        }
        // Labels are checked before they are joined, because a label with a line feed would become two.
        check_labels(self.labels.iter().map(String::as_str), dims.classes.into())?;
        self.metadata(&self.labels.join("\n"), None).check(dims)
    }

    /// Returns the metadata of a model file that is made from a checkpoint with this description and this digest.
    /// `labels` are those of the description, joined by line feeds.
    pub(crate) fn metadata<'a>(&'a self, labels: &'a str, checkpoint: Option<Digest>) -> Metadata<'a> {
        let provenance = Provenance {
            dataset: &self.dataset,
            seed: self.seed,
            test_accuracy: self.test_accuracy,
            tool: TOOL,
            checkpoint: checkpoint.map(|Digest(digest)| digest),
        };
        let mut normalization = [Normalization::NO_CHANNEL; MAX_CHANNELS];
        normalization.iter_mut().zip(&self.normalization).for_each(|(place, &channel)| *place = channel);
        Metadata::new(self.fit, normalization, labels, provenance)
    }
}

/// The parameters of a network and their description.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The parameters, sorted by name if they were read from a file.
    pub parameters: Parameters,
    /// The description, or `None` if another program wrote the file.
    pub description: Option<Description>,
}

impl Checkpoint {
    /// Returns the description. If there is none, returns a default: the numbers of the classes are their names,
    /// pictures are cropped, grey images have MNIST's normalisation, and the levels of other images are scaled to
    /// -1..1.
    pub fn describe<N: Trainable>(&self) -> Description {
        self.description.clone().unwrap_or_else(|| Description {
            dataset: UNKNOWN.to_owned(),
            seed: 0,
            fit: Fit::default(),
            normalization: match N::CHANNELS {
                1 => vec![MNIST_NORMALIZATION],
                channels => vec![Normalization { mean: 0.5, std: 0.5 }; channels],
            },
            labels: (0..N::CLASSES).map(|class| class.to_string()).collect(),
            test_accuracy: None,
        })
    }

    /// Returns the SHA-256 of the parameters: of each one its name, its shape and its values.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.parameters)
    }

    /// Checks that these are the parameters of network `N`, in any order, and that the description fits it. Errors name
    /// `path`.
    ///
    /// # Errors
    /// - [`Error::Misfit`] if the names or shapes of tensors are not those of `N`,
    /// - [`Error::Checkpoint`] if two classes have the same name in the description,
    /// - [`Error::Description`] if the description does not fit `N`,
    /// - [`Error::NotFinite`] if a parameter is not a finite number.
    pub fn check<N: Trainable>(&self, path: &Path) -> Result<(), Error> {
        if let Err(mismatches) = Layout::of::<N>().check(&self.parameters.layout) {
            return Err(Error::Misfit { path: path.to_owned(), network: name::<N>(), mismatches });
        }
        self.check_description(&N::DIMS, path)?;
        let path = path.to_owned();
        match self.parameters.not_finite() {
            Some(name) => Err(Error::NotFinite { path, name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// Checks that the description, if there is one, fits a network with these dimensions. Errors name `path`.
    ///
    /// # Errors
    /// Returns [`Error::Description`] if it does not fit, and [`Error::Checkpoint`] if two classes have the same name.
    pub fn check_description(&self, dims: &Dims, path: &Path) -> Result<(), Error> {
        let Some(description) = &self.description else { return Ok(()) };
        if let Some(name) = repeated(&description.labels) {
            return Err(Error::checkpoint(path, format!("two classes have the name {name}")));
        }
        let check = description.check(dims);
        check.map_err(|field| Error::Description { from: path.display().to_string(), field })
    }

    /// Checks that these are the parameters of network `N` and sorts them into its order. Errors name `path`.
    ///
    /// # Errors
    /// The errors are those of [`check`](Self::check).
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
    /// Returns [`Error::Io`] if the file cannot be written, and the errors of [`serialize`](Self::serialize).
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, &self.serialize(path)?)
    }

    /// Returns the bytes of the file. Errors name `path`.
    ///
    /// # Errors
    /// Returns [`Error::Checkpoint`] if the description cannot be converted to JSON, or the tensors to safetensors.
    pub fn serialize(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let Parameters { layout, values } = &self.parameters;
        let views = layout.0.iter().map(|entry| {
            let bytes: &[u8] = bytemuck::cast_slice(&values[entry.range.clone()]);
            Ok((&entry.name, TensorView::new(Dtype::F32, entry.dims.clone(), bytes)?))
        });
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let metadata = self.description.as_ref().map(serde_json::to_string).transpose();
        let metadata = metadata.map_err(|error| Error::checkpoint(path, error))?;
        // There is only one entry, because the order of several in a `HashMap` would differ from run to run.
        let metadata = metadata.map(|json| HashMap::from([(KEY.to_owned(), json)]));
        let bytes = views.and_then(|views| safetensors::serialize(views, metadata));
        bytes.map_err(|error| Error::checkpoint(path, error))
    }

    /// Reads a checkpoint. Numbers of 16 and 64 bits are converted to 32 bits, as PyTorch does when it loads them
    /// into a network.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be read, [`Error::NotACheckpoint`] if it is a model file, and
    /// [`Error::Checkpoint`] if it is anything else but a safetensors file of floating-point tensors, or if the
    /// description in it is damaged.
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
        tensors.sort_unstable_by(|(a, _), (b, _)| a.cmp(b)); // the file has them in any order

        let mut parameters = Parameters { layout: Layout(Vec::new()), values: Vec::new() };
        for (name, view) in tensors {
            parameters.layout.push(&name, view.shape());
            if !extend(&mut parameters.values, view.dtype(), view.data()) {
                let message = format!(
                    "tensor {name} of shape {:?} has type {} instead of a floating-point type",
                    view.shape(),
                    view.dtype()
                );
                return Err(Error::checkpoint(path, message));
            }
        }
        Ok(Self { parameters, description: description.map_err(|error| Error::checkpoint(path, error))? })
    }
}

/// Appends the floating-point numbers in `bytes` to `values`, and returns true. Returns false if `dtype` is another
/// type.
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
