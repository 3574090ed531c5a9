//! Converts checkpoints to model files of the float engine, and back.

use crate::{
    digest::Digest,
    error::Error,
    formats::{
        checkpoint::{Checkpoint, Description},
        model_bytes::ModelBytes,
    },
    network::{
        names,
        parameters::{input_in_checkpoint, Layout, Parameters},
        Trainable,
    },
};
use std::path::Path;
use vit_nostd::{
    float::{
        self,
        weights::{Weights, WeightsMut},
    },
    model_file::{self, Kind, ModelFile},
    Element, ModelError,
};

/// Returns the float model file of a checkpoint of network `N`. Errors name `path`.
///
/// # Errors
/// The errors are those of [`Checkpoint::check`], and [`Error::Model`] if the file cannot describe the checkpoint.
pub fn float_model<N: Trainable>(checkpoint: &Checkpoint, path: &Path) -> Result<ModelBytes, Error> {
    checkpoint.check::<N>(path)?;
    let mut weights = ModelBytes::zeros(Weights::<N>::BYTES);
    for_each_tensor::<N>(weights.bytes_mut(), |tensor| {
        let parameter = checkpoint.parameters.tensor(tensor.parameter);
        tensor.places().for_each(|(place, source)| tensor.values[place] = parameter[source]);
    });
    write_model::<N>(Kind::F32, checkpoint, &weights, path)
}

/// Returns the checkpoint from which [`float_model`] made a file. Errors name `path`.
///
/// # Errors
/// - [`Error::Model`] if `file` is not a float model of shape `N`,
/// - [`Error::NotFinite`] if a weight is not a finite number,
/// - [`Error::WrongDigest`] if the digest in the file is not that of its weights.
pub(crate) fn checkpoint_of<N: Trainable>(file: &[u8], path: &Path) -> Result<Checkpoint, Error> {
    let file = ModelFile::parse::<N>(file, Kind::F32, Weights::<N>::BYTES);
    let ModelFile { metadata, weights } = file.map_err(|error| refused(path, error))?;
    let layout = Layout::of::<N>();
    let mut parameters = Parameters { values: vec![0.0; layout.len()], layout };
    for_each_tensor::<N>(ModelBytes::from(weights).bytes_mut(), |tensor| {
        let parameter = parameters.tensor_mut(tensor.parameter);
        tensor.places().for_each(|(place, source)| parameter[source] = tensor.values[place]);
    });
    let checkpoint = Checkpoint { parameters, description: Some(Description::of::<N>(&metadata)) };
    checkpoint.check::<N>(path)?;
    let (stated, own) = (metadata.provenance.checkpoint.map(Digest), checkpoint.digest());
    match stated.filter(|stated| *stated != own) {
        Some(stated) => Err(Error::WrongDigest { path: path.to_owned(), stated, own }),
        None => Ok(checkpoint),
    }
}

/// Returns the model in a file of the float engine, after checking the weights like [`checkpoint_of`]. Errors name
/// `path`.
///
/// # Errors
/// The errors are those of [`checkpoint_of`].
pub(crate) fn read_float_model<'a, N: Trainable>(
    file: &'a [u8],
    path: &Path,
) -> Result<float::Model<'a, N>, Error> {
    checkpoint_of::<N>(file, path)?;
    float::Model::from_bytes(file).map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: ModelError) -> Error {
    Error::Model { path: path.to_owned(), error }
}

/// Returns a model file with these weights and the description and digest of `checkpoint`, from which they were made.
/// Errors name `path`.
///
/// # Errors
/// Returns [`Error::Model`] if the description does not fit into a model file.
pub(crate) fn write_model<N: Trainable>(
    kind: Kind,
    checkpoint: &Checkpoint,
    weights: &[u8],
    path: &Path,
) -> Result<ModelBytes, Error> {
    let description = checkpoint.describe::<N>();
    let labels = description.labels.join("\n");
    let metadata = description.metadata(&labels, Some(checkpoint.digest()));
    let mut file = ModelBytes::zeros(weights.len() + model_file::overhead(&metadata));
    let len = model_file::write::<N>(kind, &metadata, weights, file.bytes_mut());
    Ok(ModelBytes::from(&file[..len.map_err(|error| refused(path, error))?]))
}

/// A tensor of the model file and its place in a checkpoint.
struct Tensor<'a> {
    /// The name of the checkpoint's parameter, which has the shape `outputs x inputs`.
    parameter: &'a str,
    /// The index at which the tensor begins in the parameter. It is not 0 for keys and values, which are packed with
    /// queries.
    start: usize,
    /// The number of outputs, or 1 for a vector.
    outputs: usize,
    /// The number of channels of the input if the tensor is that of a convolution, and 1 if not.
    channels: usize,
    /// The values in the model file, which have the shape `inputs x outputs`.
    values: &'a mut [f32],
}

impl Tensor<'_> {
    /// Returns the index of each value in the model file, with the index of the same value in the checkpoint's
    /// parameter.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let &Self { start, outputs, channels, .. } = self;
        let inputs = self.values.len() / outputs;
        (0..inputs * outputs).map(move |place| {
            let (input, output) = (place / outputs, place % outputs);
            (place, start + output * inputs + input_in_checkpoint(input, inputs, channels))
        })
    }
}

/// Calls `f` with every tensor of a float model. `weights` must have the size and alignment of its weights.
fn for_each_tensor<N: Trainable>(weights: &mut [u8], mut f: impl FnMut(Tensor<'_>)) {
    let Some(mut weights) = WeightsMut::<N>::from_bytes(weights) else { return };

    let embedding = &mut weights.embedding;
    let mut convolution =
        |name: &str, outputs: usize, channels: usize, weight: &mut [f32], bias: &mut [f32]| {
            let parameter = names::weight(name);
            f(Tensor { parameter: &parameter, start: 0, outputs, channels, values: weight });
            f(Tensor { parameter: &names::bias(name), start: 0, outputs: 1, channels: 1, values: bias });
        };
    if N::STEM.is_some() {
        let (weight, bias) = (numbers(embedding.stem_weight), numbers(embedding.stem_bias));
        convolution(names::STEM, N::PATCHES.channels, N::CHANNELS, weight, bias);
    }
    let patch_embed = names::patch_embed(N::DIMS.convolutions());
    let (weight, bias) = (numbers(embedding.patch_weight), numbers(embedding.patch_bias));
    convolution(patch_embed, N::EMBED, N::PATCHES.channels, weight, bias);
    let mut tensor = |parameter: &str, start: usize, outputs: usize, values: &mut [f32]| {
        f(Tensor { parameter, start, outputs, channels: 1, values });
    };
    tensor(names::CLS_TOKEN, 0, 1, numbers(embedding.cls_token));
    tensor(names::POS_EMBED, 0, 1, numbers(embedding.pos_embed));

    // The checkpoint packs the layers of queries, keys and values into one, of which `part` is the third to take. It
    // is 0 for other layers. A LayerNorm has vectors only.
    let mut layer = |name: &str, part: usize, outputs: usize, weight: &mut [f32], bias: &mut [f32]| {
        tensor(&names::weight(name), part * weight.len(), outputs, weight);
        tensor(&names::bias(name), part * bias.len(), 1, bias);
    };
    for (index, block) in weights.blocks().enumerate() {
        let name = |part| names::in_block(index, part);
        layer(&name(names::NORM1), 0, 1, numbers(block.norm1_weight), numbers(block.norm1_bias));
        let in_proj = name(names::IN_PROJ);
        layer(&in_proj, 0, N::EMBED, numbers(block.query_weight), numbers(block.query_bias));
        layer(&in_proj, 1, N::EMBED, numbers(block.key_weight), numbers(block.key_bias));
        layer(&in_proj, 2, N::EMBED, numbers(block.value_weight), numbers(block.value_bias));
        layer(&name(names::OUT_PROJ), 0, N::EMBED, numbers(block.proj_weight), numbers(block.proj_bias));
        layer(&name(names::NORM2), 0, 1, numbers(block.norm2_weight), numbers(block.norm2_bias));
        layer(&name(names::HIDDEN), 0, N::HIDDEN, numbers(block.hidden_weight), numbers(block.hidden_bias));
        layer(&name(names::MLP), 0, N::EMBED, numbers(block.mlp_weight), numbers(block.mlp_bias));
    }

    let head = &mut weights.head;
    layer(names::NORM, 0, 1, numbers(head.norm_weight), numbers(head.norm_bias));
    layer(names::HEAD, 0, N::CLASSES, numbers(head.head_weight), numbers(head.head_bias));
}

fn numbers<T: Element>(tensor: &mut T) -> &mut [f32] {
    bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aligned_vec::CACHELINE_ALIGN;
    use vit_nostd::frame::Fit;
    use vit_nostd::{model_file::Normalization, Nano};

    fn checkpoint() -> Checkpoint {
        let mut parameters = Parameters::init::<Nano>(1);
        parameters.values.iter_mut().enumerate().for_each(|(index, value)| *value = index as f32);
        let description = Description {
            dataset: "none".to_owned(),
            seed: 3,
            fit: Fit::Pad,
            normalization: vec![Normalization { mean: 0.25, std: 0.5 }],
            labels: (0..10).map(|class| format!("class {class}")).collect(),
            test_accuracy: Some(12.5),
        };
        Checkpoint { parameters, description: Some(description) }
    }

    #[test]
    fn there_and_back() {
        let (checkpoint, path) = (checkpoint(), Path::new("none"));
        let file = float_model::<Nano>(&checkpoint, path).unwrap();
        assert!(checkpoint_of::<Nano>(&file, path).unwrap() == checkpoint);
        assert!(read_float_model::<Nano>(&file, path).is_ok());
    }

    /// The length of the metadata before the weights does not matter.
    #[test]
    fn weights_in_memory_begin_with_a_cache_line() {
        for len in 1..70 {
            let description = Description { dataset: "x".repeat(len), ..checkpoint().describe::<Nano>() };
            let checkpoint = Checkpoint { description: Some(description), ..checkpoint() };
            let file = float_model::<Nano>(&checkpoint, Path::new("a.vit")).unwrap();
            let parsed = ModelFile::parse::<Nano>(&file, Kind::F32, Weights::<Nano>::BYTES).unwrap();
            assert!(parsed.weights.as_ptr().addr().is_multiple_of(CACHELINE_ALIGN), "{len}");
        }
    }

    /// The file has the weights of one checkpoint and the digest of another.
    #[test]
    fn a_digest_of_other_weights_is_refused() {
        let (checkpoint, path) = (checkpoint(), Path::new("bad.vit"));
        let other = Checkpoint { parameters: Parameters::init::<Nano>(2), ..checkpoint.clone() };
        let file = float_model::<Nano>(&checkpoint, path).unwrap();
        let parsed = ModelFile::parse::<Nano>(&file, Kind::F32, Weights::<Nano>::BYTES).unwrap();
        assert_eq!(parsed.metadata.provenance.checkpoint, Some(checkpoint.digest().0));
        let file = write_model::<Nano>(Kind::F32, &other, parsed.weights, path).unwrap();
        let error = read_float_model::<Nano>(&file, path).unwrap_err().to_string();
        let [stated, own] = [other.digest(), checkpoint.digest()].map(|digest| format!("{digest:.12}"));
        assert!(error.starts_with("bad.vit: ") && error.contains(&stated) && error.contains(&own), "{error}");
    }

    #[test]
    fn weights_that_are_no_numbers_are_named() {
        let (checkpoint, path) = (checkpoint(), Path::new("bad.vit"));
        let file = float_model::<Nano>(&checkpoint, path).unwrap();
        let parsed = ModelFile::parse::<Nano>(&file, Kind::F32, Weights::<Nano>::BYTES).unwrap();
        let mut weights = ModelBytes::from(parsed.weights);
        for_each_tensor::<Nano>(weights.bytes_mut(), |tensor| {
            if tensor.parameter == "blocks.2.attn.in_proj_weight" {
                tensor.values[7] = f32::NAN;
            }
        });
        let file = write_model::<Nano>(Kind::F32, &checkpoint, &weights, path).unwrap();
        let error = read_float_model::<Nano>(&file, path).unwrap_err().to_string();
        assert_eq!(
            error,
            "bad.vit: tensor blocks.2.attn.in_proj_weight has a value that is not a finite number"
        );
    }
}
