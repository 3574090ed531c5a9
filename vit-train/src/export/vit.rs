//! The model file of the float engine.

use crate::{
    checkpoint::{Checkpoint, Description},
    error::Error,
    files::ModelBytes,
    model::Network,
    parameters::{Layout, Parameters},
    preset::shape_name,
};
use std::path::Path;
use vit_nostd::{
    float::weights::{Weights, WeightsMut},
    model_file::{self, Kind, Metadata, Provenance},
    Element,
};

/// Name and version of this program, as they stand in the files it writes.
const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// The float model file of a checkpoint of network `S`; `path` is named in errors.
///
/// # Errors
/// [`Error::Misfit`] if the parameters are not those of `S`; [`Error::Model`] if the description does not fit.
pub fn float_model<S: Network>(checkpoint: &Checkpoint, path: &Path) -> Result<ModelBytes, Error> {
    let network = shape_name::<S>();
    let check = Layout::of::<S>().check(&checkpoint.parameters);
    check.map_err(|mismatch| Error::Misfit { path: path.to_owned(), network, mismatch })?;
    let mut weights = ModelBytes::zeros(Weights::<S>::BYTES);
    copy_weights::<S>(&checkpoint.parameters, weights.bytes_mut());
    write_model::<S>(Kind::F32, &checkpoint.describe::<S>(), &weights, path)
}

/// A model file with these weights; `path` is named in errors.
pub(crate) fn write_model<S: Network>(
    kind: Kind,
    description: &Description,
    weights: &[u8],
    path: &Path,
) -> Result<ModelBytes, Error> {
    let labels = description.labels.join("\n");
    let provenance = Provenance {
        dataset: &description.dataset,
        seed: description.seed,
        test_accuracy: description.test_accuracy,
        tool: TOOL,
    };
    let metadata = Metadata::new(description.normalization, &labels, provenance);
    let mut file = ModelBytes::zeros(weights.len() + model_file::overhead(&metadata));
    let len = model_file::write::<S>(kind, &metadata, weights, file.bytes_mut());
    file.truncate(len.map_err(|error| Error::Model { path: path.to_owned(), error })?);
    Ok(file)
}

/// Writes the parameters in the order and the layout of the file: linear layers input-major.
fn copy_weights<S: Network>(parameters: &Parameters, out: &mut [u8]) {
    // The layout was checked, and `out` has the size and alignment of the weights.
    let get = |name: &str| parameters.get(name).unwrap_or_default();
    let Some(mut weights) = WeightsMut::<S>::from_bytes(out) else { return };

    let embedding = &mut weights.embedding;
    transpose(get("patch_embed.proj.weight"), S::EMBED, embedding.patch_weight);
    copy(get("patch_embed.proj.bias"), embedding.patch_bias);
    copy(get("cls_token"), embedding.cls_token);
    copy(get("pos_embed"), embedding.pos_embed);

    for (index, block) in weights.blocks().enumerate() {
        let get = |part: &str| get(&format!("blocks.{index}.{part}"));
        copy(get("norm1.weight"), block.norm1_weight);
        copy(get("norm1.bias"), block.norm1_bias);
        // Query, key and value are packed.
        let (weight, bias) = (get("attn.in_proj_weight"), get("attn.in_proj_bias"));
        let part = |index: usize| {
            (
                &weight[index * S::EMBED * S::EMBED..][..S::EMBED * S::EMBED],
                &bias[index * S::EMBED..][..S::EMBED],
            )
        };
        let (weight, bias) = part(0);
        transpose(weight, S::EMBED, block.query_weight);
        copy(bias, block.query_bias);
        let (weight, bias) = part(1);
        transpose(weight, S::EMBED, block.key_weight);
        copy(bias, block.key_bias);
        let (weight, bias) = part(2);
        transpose(weight, S::EMBED, block.value_weight);
        copy(bias, block.value_bias);
        transpose(get("attn.out_proj.weight"), S::EMBED, block.proj_weight);
        copy(get("attn.out_proj.bias"), block.proj_bias);
        copy(get("norm2.weight"), block.norm2_weight);
        copy(get("norm2.bias"), block.norm2_bias);
        transpose(get("mlp.0.weight"), S::HIDDEN, block.hidden_weight);
        copy(get("mlp.0.bias"), block.hidden_bias);
        transpose(get("mlp.3.weight"), S::EMBED, block.mlp_weight);
        copy(get("mlp.3.bias"), block.mlp_bias);
    }

    let head = &mut weights.head;
    copy(get("norm.weight"), head.norm_weight);
    copy(get("norm.bias"), head.norm_bias);
    transpose(get("head.weight"), S::CLASSES, head.head_weight);
    copy(get("head.bias"), head.head_bias);
}

fn copy<T: Element>(from: &[f32], to: &mut T) {
    bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(to)).copy_from_slice(from);
}

/// From `outputs x inputs` to `inputs x outputs`.
fn transpose<T: Element>(from: &[f32], outputs: usize, to: &mut T) {
    let inputs = from.len() / outputs;
    let to: &mut [f32] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(to));
    for (input, row) in to.chunks_exact_mut(outputs).enumerate() {
        for (output, weight) in row.iter_mut().enumerate() {
            *weight = from[output * inputs + input];
        }
    }
}
