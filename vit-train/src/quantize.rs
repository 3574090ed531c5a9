//! Post-training quantization: from a checkpoint to the integer model of `vit-nostd`.
//!
//! What the integers mean is defined in `vit-nostd/NUMERICS.md`. Here the scales are chosen: those of weights by their
//! largest value, per output channel; those of activations by the range they have on images of the training part, none
//! of which is clipped (`RECIPES.md` has what clipping costs). Scales, zero points, normalisation and LayerNorm's scale and offset are then folded into the weights,
//! biases, multipliers and tables that the engine works with.

use crate::{
    checkpoint::{Checkpoint, Description},
    data::Dataset,
    error::Error,
    export::{float_model, write_model},
    files::ModelBytes,
    inference::{infer_observed, int8_logits, view, Score},
    model::Network,
    parameters::Parameters,
};
use std::{collections::BTreeMap, path::Path};
use vit_nostd::{
    float::{self, math::gelu, LAYER_NORM_EPSILON},
    int8::{
        self,
        layer_norm::Norm,
        requantize::Scale,
        softmax::{ExpTable, EXP_ONE},
        weights::{BlockMut, Weights, WeightsMut},
    },
    model_file::{Kind, Normalization},
    Element, Stage, Station, Values,
};

/// Images that activations are measured on.
pub const CALIBRATION_IMAGES: usize = 256;
/// Steps of the exponential table for a difference of 1: the table ends at e^-10.6.
const EXP_STEPS: f64 = 24.0;
/// The largest ratio of scales that a [`Scale`] can express: its largest multiplier by its smallest shift.
const MAX_RATIO: f64 = Scale::MAX_MULTIPLIER as f64 / (1u64 << Scale::MIN_SHIFT) as f64;
/// Below it, GELU is nearly zero: nothing is lost if its arguments end there.
const LEAST_GELU_ARGUMENT: f64 = -4.0;

/// Why a network cannot be put into integers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} is out of range ({value:e}): the network cannot be quantized")]
pub struct Unquantizable {
    what: &'static str,
    value: f64,
}

/// A tensor that is measured: in a block, or behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tensor {
    Residual,
    Norm1,
    Query,
    Key,
    Value,
    Context,
    Norm2,
    /// Arguments of GELU.
    Hidden,
    /// Results of GELU.
    Activation,
}

/// The lowest and the highest value of a tensor; 0 is between them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    fn add(&mut self, values: &[f32]) {
        for &x in values {
            *self = Self { low: self.low.min(x), high: self.high.max(x) };
        }
    }

    /// The largest amount.
    fn largest(self) -> f64 {
        self.high.max(-self.low).into()
    }
}

/// The range of each tensor, by block.
#[derive(Default)]
struct Calibration(BTreeMap<(usize, Tensor), Range>);

/// How integers stand for real numbers: `scale * (integer - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantizer {
    scale: f64,
    zero_point: f64,
}

impl Quantizer {
    /// From `low` to `high` in 256 steps.
    fn between(low: f64, high: f64) -> Self {
        let scale = ((high - low) / 255.0).max(1e-9);
        Self { scale, zero_point: (-128.0 - low / scale).round() }
    }

    fn symmetric(limit: f64) -> Self {
        Self { scale: (limit / 127.0).max(1e-9), zero_point: 0.0 }
    }

    fn quantize(self, x: f64) -> i8 {
        ((x / self.scale).round() + self.zero_point).clamp(-128.0, 127.0) as i8
    }

    pub(crate) fn value(self, q: impl Into<f64>) -> f64 {
        self.scale * (q.into() - self.zero_point)
    }
}

fn gelu64(x: f64) -> f64 {
    f64::from(gelu(x as f32))
}

/// The weights of the integer model of a checkpoint of network `S`, with scales measured on the images `indices` of
/// `data`, which must not be test images; `path` is named in errors. The same input gives the same bytes.
///
/// # Errors
/// [`Error::Misfit`] if the parameters are not those of `S`; [`Error::Unquantizable`] if they are too large for it.
pub fn quantize<S: Network>(
    checkpoint: &Checkpoint,
    data: &Dataset,
    indices: &[usize],
    path: &Path,
) -> Result<ModelBytes, Error> {
    let scales = Scales::measure::<S>(checkpoint, data, indices, path)?;
    let mut bytes = ModelBytes::zeros(Weights::<S>::BYTES);
    fill::<S>(&checkpoint.parameters, &scales, bytes.bytes_mut())
        .map_err(|error| Error::Unquantizable { path: path.to_owned(), error })?;
    Ok(bytes)
}

/// [`quantize`] with the first [`CALIBRATION_IMAGES`] of `indices`, and the logits (`images x classes`) of the result
/// on the images `test`, whose accuracy the model file states.
///
/// # Errors
/// As those of [`quantize`].
pub fn quantize_and_score<S: Network>(
    checkpoint: &Checkpoint,
    (train, indices): (&Dataset, &[usize]),
    test: &Dataset,
    path: &Path,
) -> Result<(ModelBytes, Vec<f32>), Error> {
    let weights = quantize::<S>(checkpoint, train, &indices[..indices.len().min(CALIBRATION_IMAGES)], path)?;
    let file = write_model::<S>(Kind::Int8, checkpoint, &weights, path)?;
    let model = int8::Model::<S>::from_bytes(&file);
    let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
    let logits = int8_logits(&model, test, test.len());
    let score = Score::new(&logits, test.labels().iter().copied());
    let description = Description { test_accuracy: Some(score.acc as f32), ..checkpoint.describe::<S>() };
    let checkpoint = Checkpoint { description: Some(description), ..checkpoint.clone() };
    Ok((write_model::<S>(Kind::Int8, &checkpoint, &weights, path)?, logits))
}

/// Runs the float engine and measures all its intermediate values.
fn calibrate<S: Network>(
    model: &float::Model<'_, S>,
    parameters: &Parameters,
    data: &Dataset,
    indices: &[usize],
) -> Calibration {
    let mut calibration = Calibration::default();
    let mut scratch = Box::new(float::Scratch::<S>::new());
    for &index in indices {
        let mut keys = true;
        let mut observe = |Station { stage, block, .. }: Station, values: Values<'_>| {
            let Values::F32(values) = values else { return };
            let mut add = |block, tensor, values: &[f32]| {
                calibration.0.entry((block, tensor)).or_default().add(values);
            };
            match stage {
                Stage::Embedding | Stage::Projection | Stage::Mlp => {
                    add(0, Tensor::Residual, values);
                    let normed: Vec<f32> = normalize(values).collect();
                    match stage {
                        Stage::Embedding => add(0, Tensor::Norm1, &normed),
                        Stage::Projection => add(block, Tensor::Norm2, &normed),
                        _ => add(block + 1, Tensor::Norm1, &normed),
                    }
                }
                Stage::Query => add(block, Tensor::Query, values),
                Stage::KeyValue => {
                    add(block, if keys { Tensor::Key } else { Tensor::Value }, values);
                    keys = !keys;
                }
                Stage::Attention => add(block, Tensor::Context, values),
                Stage::NormMlp => {
                    let mut hidden = linear(parameters, &format!("blocks.{block}.mlp.0"), values);
                    add(block, Tensor::Hidden, &hidden);
                    hidden.iter_mut().for_each(|x| *x = gelu(*x));
                    add(block, Tensor::Activation, &hidden);
                }
                _ => {}
            }
        };
        infer_observed(model, view::<S>(data, index), &mut scratch, &mut observe);
    }
    calibration
}

impl Calibration {
    fn range(&self, block: usize, tensor: Tensor) -> Range {
        self.0.get(&(block, tensor)).copied().unwrap_or_default()
    }

    fn symmetric(&self, block: usize, tensor: Tensor) -> Quantizer {
        Quantizer::symmetric(self.range(block, tensor).largest())
    }
}

/// LayerNorm without its scale and offset.
fn normalize(x: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / x.len() as f32;
    let inverse = 1.0 / f64::from(variance + LAYER_NORM_EPSILON).sqrt() as f32;
    x.iter().map(move |x| (x - mean) * inverse)
}

fn linear(parameters: &Parameters, name: &str, x: &[f32]) -> Vec<f32> {
    let get = |part: &str| parameters.get(&format!("{name}.{part}")).unwrap_or_default();
    let rows = get("weight").chunks_exact(x.len()).zip(get("bias"));
    rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
}

/// A linear layer in real numbers, `outputs x inputs`, that takes quantized inputs.
struct Layer {
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Layer {
    /// `outputs` outputs from the output `first` on, with the LayerNorm `norm` before it folded in.
    fn new(weight: &[f32], bias: &[f32], norm: Option<(&[f32], &[f32])>) -> Self {
        let inputs = weight.len() / bias.len();
        let mut layer = Self {
            weight: weight.iter().map(|&w| w.into()).collect(),
            bias: bias.iter().map(|&b| b.into()).collect(),
        };
        if let Some((scale, offset)) = norm {
            for (row, bias) in layer.weight.chunks_exact_mut(inputs).zip(&mut layer.bias) {
                for ((w, &scale), &offset) in row.iter_mut().zip(scale).zip(offset) {
                    *bias += *w * f64::from(offset);
                    *w *= f64::from(scale);
                }
            }
        }
        layer
    }

    fn inputs(&self) -> usize {
        self.weight.len() / self.bias.len()
    }

    /// Quantizes the layer for inputs like `input` and results like `output`, into the tensors of the file, whose rows
    /// may be longer than the layer's.
    fn quantize(
        &self,
        input: Quantizer,
        output: Quantizer,
        weight: &mut [i8],
        (bias, multiplier, shift): (&mut [i32], &mut [u16], &mut [u8]),
    ) -> Result<(), Unquantizable> {
        let row_len = weight.len() / self.bias.len();
        let rows = self.weight.chunks_exact(self.inputs()).zip(weight.chunks_exact_mut(row_len));
        for (j, (row, out)) in rows.enumerate() {
            let largest = row.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
            let step = (largest / 127.0).max(1e-9);
            out.iter_mut().zip(row).for_each(|(out, w)| *out = (w / step).round() as i8);
            let sum: i32 = out.iter().map(|&w| i32::from(w)).sum();
            let real = step * input.scale / output.scale;
            let scale = scale("the ratio of scales", real)?;
            // What the integers really are multiplied with.
            let real = f64::from(scale.multiplier) / 2f64.powi(scale.shift.into());
            let folded = self.bias[j] / (step * input.scale) - input.zero_point * f64::from(sum)
                + output.zero_point / real;
            (bias[j], multiplier[j], shift[j]) = (to_bias(folded)?, scale.multiplier, scale.shift);
        }
        Ok(())
    }
}

/// `real` as a multiplier and a shift.
fn scale(what: &'static str, real: f64) -> Result<Scale, Unquantizable> {
    let shift =
        (15..).find(|&shift| real * 2f64.powi(shift + 1) > f64::from(Scale::MAX_MULTIPLIER) || shift == 46);
    let shift = shift.unwrap_or(46);
    let multiplier = (real * 2f64.powi(shift)).round();
    let scale = Scale { multiplier: multiplier.clamp(0.0, 65535.0) as u16, shift: shift as u8 };
    if scale.is_valid() {
        Ok(scale)
    } else {
        Err(Unquantizable { what, value: real })
    }
}

fn to_bias(value: f64) -> Result<i32, Unquantizable> {
    if value.abs() < f64::from(1 << 30) {
        Ok(value.round() as i32)
    } else {
        Err(Unquantizable { what: "a bias", value })
    }
}

/// The constants of a LayerNorm whose result is like `output`.
fn norm(width: usize, residual: Quantizer, output: Quantizer) -> Result<[u32; 5], Unquantizable> {
    let epsilon = (width as f64 / residual.scale).powi(2) * f64::from(LAYER_NORM_EPSILON);
    let shift = (47.0 + output.scale.log2()).ceil() as i32; // numerator within [2^39, 2^40]
    let norm = Norm {
        epsilon: (epsilon.round() as u64).max(Norm::MIN_EPSILON),
        numerator: (2f64.powi(shift - 8) / output.scale).round() as u64,
        shift: u32::try_from(shift).unwrap_or_default(),
    };
    if norm.is_valid() {
        Ok(norm.to_tensor())
    } else {
        Err(Unquantizable { what: "the scale of a LayerNorm", value: output.scale })
    }
}

/// How all activations of a network are quantized.
pub(crate) struct Scales {
    pixel: Quantizer,
    pub(crate) residual: Quantizer,
    pub(crate) blocks: Vec<BlockScales>,
    /// Behind the last LayerNorm.
    pub(crate) norm: Quantizer,
}

/// How the activations of a block are quantized.
pub(crate) struct BlockScales {
    pub(crate) norm1: Quantizer,
    pub(crate) query: Quantizer,
    pub(crate) key: Quantizer,
    pub(crate) value: Quantizer,
    pub(crate) context: Quantizer,
    pub(crate) norm2: Quantizer,
    hidden: Quantizer,
    pub(crate) activation: Quantizer,
}

impl Scales {
    /// Chooses them as [`quantize`] does.
    ///
    /// # Errors
    /// [`Error::Misfit`] if the parameters are not those of `S`.
    pub(crate) fn measure<S: Network>(
        checkpoint: &Checkpoint,
        data: &Dataset,
        indices: &[usize],
        path: &Path,
    ) -> Result<Self, Error> {
        let float_file = float_model::<S>(checkpoint, path)?;
        let model = float::Model::<S>::from_bytes(&float_file);
        let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
        let parameters = &checkpoint.parameters;
        let calibration = calibrate::<S>(&model, parameters, data, indices);
        // A pixel p enters as p - 128; the network takes (p / 255 - mean) / std.
        let Normalization { mean, std } = model.metadata().normalization;
        let pixel =
            Quantizer { scale: 1.0 / (255.0 * f64::from(std)), zero_point: 255.0 * f64::from(mean) - 128.0 };
        let blocks: Vec<_> = (0..S::DEPTH).map(|block| BlockScales::new(&calibration, block)).collect();
        let residual = residual_scale(parameters, &calibration, &blocks, pixel);
        let norm = calibration.symmetric(S::DEPTH, Tensor::Norm1);
        Ok(Self { pixel, residual, blocks, norm })
    }
}

impl BlockScales {
    fn new(calibration: &Calibration, block: usize) -> Self {
        let symmetric = |tensor| calibration.symmetric(block, tensor);
        let arguments = calibration.range(block, Tensor::Hidden);
        let results = calibration.range(block, Tensor::Activation);
        Self {
            norm1: symmetric(Tensor::Norm1),
            query: symmetric(Tensor::Query),
            key: symmetric(Tensor::Key),
            value: symmetric(Tensor::Value),
            context: symmetric(Tensor::Context),
            norm2: symmetric(Tensor::Norm2),
            hidden: Quantizer::between(
                f64::from(arguments.low).max(LEAST_GELU_ARGUMENT),
                f64::from(arguments.high),
            ),
            activation: Quantizer::between(results.low.into(), results.high.into()),
        }
    }
}

/// The scale of the residual stream: a quarter more than ever seen has its place in it, and what is added to it is
/// requantized by less than [`MAX_RATIO`].
fn residual_scale(
    parameters: &Parameters,
    calibration: &Calibration,
    blocks: &[BlockScales],
    pixel: Quantizer,
) -> Quantizer {
    let largest = |values: &[f32]| f64::from(values.iter().fold(0.0, |max: f32, x| max.max(x.abs())));
    let ratio = |name: &str, input: Quantizer| {
        largest(parameters.get(name).unwrap_or_default()) / 127.0 * input.scale / MAX_RATIO
    };
    let seen = calibration.range(0, Tensor::Residual).largest();
    let mut scale = (1.25 * seen / 32767.0).max(1e-9).max(ratio("patch_embed.proj.weight", pixel));
    for (index, block) in blocks.iter().enumerate() {
        scale = scale.max(ratio(&format!("blocks.{index}.attn.out_proj.weight"), block.context));
        scale = scale.max(ratio(&format!("blocks.{index}.mlp.3.weight"), block.activation));
    }
    Quantizer { scale, zero_point: 0.0 }
}

fn exp_table() -> ExpTable {
    std::array::from_fn(|i| (f64::from(EXP_ONE) * (-(i as f64) / EXP_STEPS).exp()).round() as u16)
}

/// The elements of a matrix, row by row.
fn flat<T: Element>(tensor: &mut T) -> &mut [i8] {
    bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(tensor))
}

fn fill<S: Network>(parameters: &Parameters, scales: &Scales, bytes: &mut [u8]) -> Result<(), Unquantizable> {
    // The layout was checked, and `bytes` has the size and alignment of the weights.
    let Some(mut weights) = WeightsMut::<S>::from_bytes(bytes) else { return Ok(()) };
    let get = |name: &str| parameters.get(name).unwrap_or_default();
    let &Scales { pixel, residual, ref blocks, norm: normed } = scales;

    let embedding = &mut weights.embedding;
    *embedding.exp_table = exp_table();
    let cls = get("cls_token").iter().chain(std::iter::repeat(&0.0));
    let positions = embedding.positions.as_mut().iter_mut().flat_map(AsMut::as_mut);
    for (out, (position, cls)) in positions.zip(get("pos_embed").iter().zip(cls)) {
        *out = ((f64::from(*position) + f64::from(*cls)) / residual.scale).round() as i16;
    }
    let layer = Layer::new(get("patch_embed.proj.weight"), get("patch_embed.proj.bias"), None);
    let outputs =
        (embedding.patch_bias.as_mut(), embedding.patch_multiplier.as_mut(), embedding.patch_shift.as_mut());
    layer.quantize(pixel, residual, weights.patch_weight, outputs)?;

    for (index, (block, scales)) in weights.blocks().zip(blocks).enumerate() {
        fill_block::<S>(index, block, parameters, scales, residual)?;
    }

    *weights.head.norm = norm(S::EMBED, residual, normed)?;
    let layer =
        Layer::new(get("head.weight"), get("head.bias"), Some((get("norm.weight"), get("norm.bias"))));
    // One scale for all classes, so that logits compare.
    let step = layer.weight.iter().fold(0.0, |max: f64, w| max.max(w.abs())).max(1e-9) / 127.0;
    flat(weights.head.head_weight)
        .iter_mut()
        .zip(&layer.weight)
        .for_each(|(out, w)| *out = (w / step).round() as i8);
    for (out, bias) in weights.head.head_bias.as_mut().iter_mut().zip(&layer.bias) {
        *out = to_bias(bias / (step * normed.scale))?;
    }
    *weights.head.logit_scale = (step * normed.scale) as f32;
    Ok(())
}

fn fill_block<S: Network>(
    index: usize,
    block: BlockMut<'_, S>,
    parameters: &Parameters,
    &BlockScales { norm1, query, key, value, context, norm2, hidden, activation }: &BlockScales,
    residual: Quantizer,
) -> Result<(), Unquantizable> {
    let get = |part: &str| parameters.get(&format!("blocks.{index}.{part}")).unwrap_or_default();

    *block.norm1 = norm(S::EMBED, residual, norm1)?;
    *block.norm2 = norm(S::EMBED, residual, norm2)?;
    let pair = |Scale { multiplier, shift }: Scale| [multiplier.into(), shift.into()];
    let score = query.scale * key.scale / (S::HEAD_DIM as f64).sqrt() * EXP_STEPS;
    *block.score_scale = pair(scale("the scale of the scores", score)?);
    *block.context_scale = pair(scale("the scale of the context", value.scale / (256.0 * context.scale))?);
    for (input, out) in (i8::MIN..=i8::MAX).zip(block.gelu_table) {
        *out = activation.quantize(gelu64(hidden.value(input)));
    }

    macro_rules! outputs {
        ($bias:ident, $multiplier:ident, $shift:ident) => {
            (block.$bias.as_mut(), block.$multiplier.as_mut(), block.$shift.as_mut())
        };
    }
    let before_attention = Some((get("norm1.weight"), get("norm1.bias")));
    let packed = |part: usize| {
        let weight = &get("attn.in_proj_weight")[part * S::EMBED * S::EMBED..][..S::EMBED * S::EMBED];
        Layer::new(weight, &get("attn.in_proj_bias")[part * S::EMBED..][..S::EMBED], before_attention)
    };
    let outputs = outputs!(query_bias, query_multiplier, query_shift);
    packed(0).quantize(norm1, query, flat(block.query_weight), outputs)?;
    let outputs = outputs!(key_bias, key_multiplier, key_shift);
    packed(1).quantize(norm1, key, flat(block.key_weight), outputs)?;
    let outputs = outputs!(value_bias, value_multiplier, value_shift);
    packed(2).quantize(norm1, value, flat(block.value_weight), outputs)?;

    let layer = Layer::new(get("attn.out_proj.weight"), get("attn.out_proj.bias"), None);
    let outputs = outputs!(proj_bias, proj_multiplier, proj_shift);
    layer.quantize(context, residual, flat(block.proj_weight), outputs)?;

    let before_mlp = Some((get("norm2.weight"), get("norm2.bias")));
    let layer = Layer::new(get("mlp.0.weight"), get("mlp.0.bias"), before_mlp);
    let outputs = outputs!(hidden_bias, hidden_multiplier, hidden_shift);
    layer.quantize(norm2, hidden, flat(block.hidden_weight), outputs)?;

    let layer = Layer::new(get("mlp.3.weight"), get("mlp.3.bias"), None);
    let outputs = outputs!(mlp_bias, mlp_multiplier, mlp_shift);
    layer.quantize(activation, residual, flat(block.mlp_weight), outputs)
}
