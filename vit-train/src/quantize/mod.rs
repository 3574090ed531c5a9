//! Post-training quantization: converts a checkpoint to the integer model of `vit-nostd`.
//!
//! The page `vit-nostd/NUMERICS.md` defines the meaning of the integers. This module chooses their scales. The scale
//! of weights follows from their largest value, per output channel. The scale of activations covers their whole range
//! on training images (`RECIPES.md` says what clipping would cost). Scales, zero points, the normalisation of pixels
//! and the scales and offsets of LayerNorms are then folded into the weights, biases, multipliers and tables of the
//! engine.
//!
//! The engine has bounds for all of these numbers. If a scale would exceed a bound, the module uses the finest scale
//! within the bound instead. `Scales` does this for scales that two layers share, and `Layer::quantize` for the scale
//! of one row. Every network whose values are finite can therefore be quantized, unless a bias is more than a million
//! times as large as the results of its layer. In this case, [`Unquantizable`] names the layer.

pub(crate) mod layer_errors;

use crate::{
    data::Dataset,
    error::{Error, Unquantizable},
    formats::{
        checkpoint::{Checkpoint, Description},
        model_bytes::ModelBytes,
        vit::{float_model, write_model},
    },
    inference::{self, infer_observed, int8_logits, view},
    network::{
        names,
        parameters::{input_in_checkpoint, Parameters},
        windows::places,
        Trainable,
    },
    score::Score,
};
use rayon::prelude::*;
use std::{collections::BTreeMap, path::Path};
use vit_nostd::{
    float::{self, math::gelu, LAYER_NORM_EPSILON},
    int8::{
        self,
        layer_norm::{factor, Norm},
        requantize::Scale,
        softmax::{one, ExpTable, MAX_CONTEXT_SHIFT},
        weights::{BlockMut, Weights, WeightsMut},
    },
    model_file::{Kind, Normalization},
    Element, Network, Probe, Stage, Values,
};

/// The largest number of images on which the ranges of activations are measured.
pub const CALIBRATION_IMAGES: usize = 256;
/// The number of steps of the exponential table per difference of 1 between attention scores. With this number, the
/// table ends at e^-10.6. It is smaller if the scores are so large that the engine's bounds require it.
const EXP_STEPS: f64 = 24.0;
/// The largest ratio of scales that a [`Scale`] can express, with the largest multiplier and the smallest shift.
///
/// A scale that is chosen by `scale >= x / MAX_RATIO` gives a ratio `x / scale` of at most `MAX_RATIO * (1 + 2^-48)`,
/// because the divisions are not exact and every rounding of an `f64` in between has a relative error of up to 2^-53.
/// The function [`scale`] accepts this ratio, because `32767 * (1 + 2^-48)` rounds to 32767.
const MAX_RATIO: f64 = Scale::MAX_MULTIPLIER as f64 / (1u64 << Scale::MIN_SHIFT) as f64;
/// The ratio of scales below which a sum of products, which is less than 2^30, changes a result by less than a quarter.
const MIN_RATIO: f64 = 1.0 / (1u64 << 32) as f64;
/// The largest absolute value of a bias that the engine accepts.
const MAX_BIAS: f64 = ((1 << 30) - 1) as f64;
/// Returns the smallest scale of the results of a LayerNorm of `width` channels. It is twice the scale above which the
/// shift is in [`Norm::SHIFT`]. Only rows that are nearly constant, compared with LayerNorm's epsilon, would need a
/// smaller one.
fn min_norm_scale(width: usize) -> f64 {
    0.25 / f64::from(factor(width))
}
/// The scale of a tensor that is 0 on all images.
const SCALE_OF_ZEROS: f64 = 1e-9;
/// The argument below which GELU is nearly 0, so that clipping smaller arguments loses almost nothing.
const LEAST_GELU_ARGUMENT: f64 = -4.0;

/// A tensor whose range is measured, in a block or after the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tensor {
    /// The arguments of the GELU of the first of two convolutions.
    Stem,
    /// The results of this GELU, from which patches are gathered.
    Map,
    /// The residual stream before the first block.
    Embedding,
    Norm1,
    Query,
    Key,
    Value,
    Context,
    /// The residual stream after the attention.
    Projection,
    Norm2,
    /// The arguments of GELU.
    Hidden,
    /// The results of GELU.
    Activation,
    /// The residual stream after the MLP.
    Mlp,
    /// The results of the last LayerNorm, before its scale and offset.
    Norm,
    Logits,
}

impl Tensor {
    fn is_residual(self) -> bool {
        matches!(self, Self::Embedding | Self::Projection | Self::Mlp)
    }

    /// Returns the name of the layer of network `N` that computes the tensor, as in the names of the checkpoint's
    /// parameters.
    fn layer<N: Network>(self, block: usize) -> String {
        let part = match self {
            Self::Stem | Self::Map => return names::STEM.to_owned(),
            Self::Embedding => return names::patch_embed(N::DIMS.convolutions()).to_owned(),
            Self::Norm => return names::NORM.to_owned(),
            Self::Logits => return names::HEAD.to_owned(),
            Self::Norm1 => names::NORM1,
            Self::Query | Self::Key | Self::Value => names::IN_PROJ,
            Self::Context => "attn",
            Self::Projection => names::OUT_PROJ,
            Self::Norm2 => names::NORM2,
            Self::Hidden | Self::Activation => names::HIDDEN,
            Self::Mlp => names::MLP,
        };
        names::in_block(block, part)
    }
}

/// The lowest and the highest value of a tensor. The range always includes 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    /// Extends the range to include another one.
    fn add(&mut self, Self { low, high }: Self) {
        *self = Self { low: self.low.min(low), high: self.high.max(high) };
    }

    /// Returns the largest absolute value.
    fn largest(self) -> f64 {
        self.high.max(-self.low).into()
    }
}

/// The measurements on calibration images.
#[derive(Clone, Default)]
struct Calibration {
    /// The range of each tensor, by block.
    ranges: BTreeMap<(usize, Tensor), Range>,
    /// The first layer that computes a number that is not finite.
    not_finite: Option<Unquantizable>,
}

/// A mapping between integers and the real numbers that they represent, `scale * (integer - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantizer {
    scale: f64,
    zero_point: f64,
}

impl Quantizer {
    /// Maps `low..=high` to the 256 integers from -128 to 127, or to fewer if the scale would be below `finest`.
    fn between(low: f64, high: f64, finest: f64) -> Self {
        let scale = ((high - low) / 255.0).max(finest).max(SCALE_OF_ZEROS);
        Self { scale, zero_point: (-128.0 - low / scale).round() }
    }

    /// Maps `-limit..=limit` to the 255 integers from -127 to 127, or to fewer if the scale would be below `finest`.
    fn symmetric(limit: f64, finest: f64) -> Self {
        Self { scale: (limit / 127.0).max(finest).max(SCALE_OF_ZEROS), zero_point: 0.0 }
    }

    /// Returns the integer whose value is nearest to `x`.
    fn quantize(self, x: f64) -> i8 {
        ((x / self.scale).round() + self.zero_point).clamp(-128.0, 127.0) as i8
    }

    /// Returns the real number that the integer `q` represents.
    pub(crate) fn value(self, q: impl Into<f64>) -> f64 {
        self.scale * (q.into() - self.zero_point)
    }

    /// Returns the integer that stands for 0 in the padding of a convolution.
    ///
    /// For a map, it represents 0 exactly. For a channel of an image, whose zero point lies between two levels, it
    /// represents a number of at most half a level, 1 / (510 * std). This error is accepted because it is not larger
    /// than that of any pixel, which a camera has rounded to a level, and because only windows at the border have it.
    /// If the mean of the channel is outside of 0..1, no level is near 0. The padding then has the nearest level, which
    /// is 0 or 255, and the error is as large as the distance from it.
    fn zero(self) -> i8 {
        self.zero_point.round().clamp(-128.0, 127.0) as i8
    }
}

fn gelu64(x: f64) -> f64 {
    f64::from(gelu(x as f32))
}

/// Returns at most `most` of the images `indices`, at even distances, so that they are of all classes even if the
/// images are sorted by class.
pub(crate) fn spread(indices: &[usize], most: usize) -> Vec<usize> {
    let len = indices.len().min(most);
    (0..len).map(|place| indices[place * indices.len() / len]).collect()
}

/// Returns the weights of the integer model of a checkpoint of network `N`.
///
/// Scales are measured on the images `indices` of `data`, which must not be test images; on [`CALIBRATION_IMAGES`] of
/// them, at even distances, if there are more. The same input gives the same bytes. Errors name `path`.
///
/// # Errors
/// - The errors of [`Checkpoint::check`] if the checkpoint is not one of `N` or a parameter is not finite,
/// - [`Error::Unquantizable`] if a layer cannot be quantized.
pub fn quantize<N: Trainable>(
    checkpoint: &Checkpoint,
    data: &Dataset,
    indices: &[usize],
    path: &Path,
) -> Result<ModelBytes, Error> {
    let scales = Scales::measure::<N>(checkpoint, data, indices, path)?;
    let mut bytes = ModelBytes::zeros(Weights::<N>::BYTES);
    fill::<N>(&checkpoint.parameters, &scales, bytes.bytes_mut())
        .map_err(|error| Error::Unquantizable { path: path.to_owned(), error })?;
    Ok(bytes)
}

/// Quantizes a checkpoint and tests the result. Returns the model file and its logits on the images `test`, of shape
/// `images x classes`.
///
/// Scales are measured like those of [`quantize`], on the images `indices` of `train`. The model file states the
/// accuracy on `test`.
///
/// # Errors
/// The errors are those of [`quantize`], and [`Error::Model`] if the description does not fit into a model file.
pub fn quantize_and_score<N: Trainable>(
    checkpoint: &Checkpoint,
    (train, indices): (&Dataset, &[usize]),
    test: &Dataset,
    path: &Path,
) -> Result<(ModelBytes, Vec<f32>), Error> {
    let weights = quantize::<N>(checkpoint, train, indices, path)?;
    let file = write_model::<N>(Kind::Int8, checkpoint, &weights, path)?;
    let model = int8::Model::<N>::from_bytes(&file);
    let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
    let logits = int8_logits(&model, test, test.len());
    let score = Score::new(&logits, test.labels().iter().copied());
    let description = Description { test_accuracy: Some(score.acc as f32), ..checkpoint.describe::<N>() };
    let checkpoint = Checkpoint { description: Some(description), ..checkpoint.clone() };
    Ok((write_model::<N>(Kind::Int8, &checkpoint, &weights, path)?, logits))
}

/// Runs the float engine on the images `indices` of `data`, and measures its intermediate values.
fn calibrate<N: Trainable>(
    model: &float::Model<'_, N>,
    parameters: &Parameters,
    data: &Dataset,
    indices: &[usize],
) -> Calibration {
    let normalization = &model.metadata().normalization[..N::CHANNELS];
    let scratch = || Box::new(float::Scratch::<N>::new());
    let images = indices.par_iter().map_init(scratch, |scratch, &index| {
        let mut calibration = Calibration::default();
        let of_stem = N::STEM.map(|windows| {
            let pixels: Vec<f32> = inference::normalize(data.image(index), normalization).collect();
            (windows, pixels)
        });
        let mut observe = |Probe { stage, block, token }: Probe, values: Values<'_>| {
            let Values::F32(values) = values else { return };
            let mut add = |block, tensor, values: &[f32]| calibration.add::<N>((block, tensor), values);
            // The arguments of GELU are computed here from the input of their layer, because the engine shows only the
            // results.
            let mut add_gelu = |arguments: Tensor, results, input: &[f32]| {
                let mut values = linear(parameters, &arguments.layer::<N>(block), input);
                add(block, arguments, &values);
                values.iter_mut().for_each(|x| *x = gelu(*x));
                add(block, results, &values);
            };
            match stage {
                Stage::Stem => {
                    let Some((windows, pixels)) = &of_stem else { return };
                    let place = |[channel, y, x]: [usize; 3]| (channel * N::HEIGHT + y) * N::WIDTH + x;
                    let window = places(*windows, token, place);
                    let window: Vec<_> =
                        window.map(|place| place.map_or(0.0, |place| pixels[place])).collect();
                    add_gelu(Tensor::Stem, Tensor::Map, &window);
                }
                Stage::Embedding | Stage::Projection | Stage::Mlp => {
                    let (residual, norm) = match stage {
                        Stage::Embedding => (Tensor::Embedding, (0, Tensor::Norm1)),
                        Stage::Projection => (Tensor::Projection, (block, Tensor::Norm2)),
                        _ if block + 1 == N::DEPTH => (Tensor::Mlp, (N::DEPTH, Tensor::Norm)),
                        _ => (Tensor::Mlp, (block + 1, Tensor::Norm1)),
                    };
                    add(block, residual, values);
                    let normed: Vec<f32> = normalize(values).collect();
                    add(norm.0, norm.1, &normed);
                }
                Stage::Query => add(block, Tensor::Query, values),
                Stage::Key => add(block, Tensor::Key, values),
                Stage::Value => add(block, Tensor::Value, values),
                Stage::Attention => add(block, Tensor::Context, values),
                Stage::Norm2 => add_gelu(Tensor::Hidden, Tensor::Activation, values),
                _ => {}
            }
        };
        let logits = infer_observed(model, view::<N>(data, index), scratch, &mut observe);
        calibration.add::<N>((N::DEPTH, Tensor::Logits), logits.as_ref());
        calibration
    });
    images.reduce(Calibration::default, Calibration::merged)
}

impl Calibration {
    /// Includes these values of a tensor of network `N`.
    fn add<N: Network>(&mut self, (block, tensor): (usize, Tensor), values: &[f32]) {
        let range = self.ranges.entry((block, tensor)).or_default();
        values.iter().for_each(|&x| range.add(Range { low: x, high: x }));
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            self.not_finite.get_or_insert_with(|| {
                let what = "computes a value that is not a finite number";
                Unquantizable::new(tensor.layer::<N>(block), what, value.into())
            });
        }
    }

    /// Combines two calibrations into one that covers the images of both.
    fn merged(mut self, other: Self) -> Self {
        for (place, range) in other.ranges {
            self.ranges.entry(place).or_default().add(range);
        }
        self.not_finite = self.not_finite.or(other.not_finite);
        self
    }

    fn range(&self, block: usize, tensor: Tensor) -> Range {
        self.ranges.get(&(block, tensor)).copied().unwrap_or_default()
    }

    /// Returns the largest absolute value in the residual stream.
    fn residual(&self) -> f64 {
        let residual = self.ranges.iter().filter(|((_, tensor), _)| tensor.is_residual());
        residual.fold(0.0, |max, (_, range)| range.largest().max(max))
    }

    /// Returns a symmetric quantizer of the range of a tensor, with a scale of at least `finest`.
    fn symmetric(&self, block: usize, tensor: Tensor, finest: f64) -> Quantizer {
        Quantizer::symmetric(self.range(block, tensor).largest(), finest)
    }
}

/// Computes a LayerNorm without its scale and offset.
fn normalize(x: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / x.len() as f32;
    let inverse = 1.0 / f64::from(variance + LAYER_NORM_EPSILON).sqrt() as f32;
    x.iter().map(move |x| (x - mean) * inverse)
}

/// Computes the linear layer `name` of one row.
fn linear(parameters: &Parameters, name: &str, x: &[f32]) -> Vec<f32> {
    let (weight, bias) = parameters.affine(name);
    let rows = weight.chunks_exact(x.len()).zip(bias);
    rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
}

/// A linear layer that is to be quantized, with weights in real numbers of shape `outputs x inputs`.
struct Layer {
    /// The name of the layer, as in the names of the checkpoint's parameters.
    name: String,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// Returns the largest absolute value.
fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max: f64, x| max.max(x.abs()))
}

impl Layer {
    /// Creates a layer into which the scale and offset of the LayerNorm before it, `norm`, are folded.
    fn new(name: String, weight: &[f32], bias: &[f32], norm: Option<(&[f32], &[f32])>) -> Self {
        let inputs = weight.len() / bias.len();
        let mut layer = Self {
            name,
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

    /// Returns the smallest allowed scale of the results if inputs are quantized by `input`. With it, the ratio of
    /// scales is [`MAX_RATIO`].
    ///
    /// One step of the results is then at most four times the product of one step of an input and one of a weight, so
    /// that no precision is lost.
    fn finest_output(&self, input: Quantizer) -> f64 {
        largest(&self.weight) / 127.0 * input.scale / MAX_RATIO
    }

    /// Quantizes the layer into the tensors of a model file, whose rows may be longer than the layer's.
    ///
    /// Inputs are quantized by `input` and results by `output`, whose scale is at least
    /// [`finest_output`](Self::finest_output). The scale of a row's weights is the smallest that represents all of
    /// them and for which the ratio of scales is at least [`MIN_RATIO`]. If the bias does not fit, the scale is
    /// doubled until it does.
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
            let mut step = (largest(row) / 127.0).max(MIN_RATIO * output.scale / input.scale);
            (bias[j], multiplier[j], shift[j]) = loop {
                out.iter_mut().zip(row).for_each(|(out, w)| *out = (w / step).round() as i8);
                let sum: i32 = out.iter().map(|&w| i32::from(w)).sum();
                let Some(scale) = scale(step * input.scale / output.scale, Scale::MAX_SHIFT) else {
                    let what = "has a bias that is too large for its results";
                    let bias = self.bias[j] + input.value(0) * step * f64::from(sum);
                    return Err(Unquantizable::new(&self.name, what, bias));
                };
                // The factor of the engine differs from the exact ratio of scales by rounding.
                let real = f64::from(scale.multiplier) / 2f64.powi(scale.shift.into());
                let folded = self.bias[j] / (step * input.scale) - input.zero_point * f64::from(sum)
                    + output.zero_point / real;
                if folded.round().abs() <= MAX_BIAS {
                    break (folded.round() as i32, scale.multiplier, scale.shift);
                }
                step *= 2.0;
            };
        }
        Ok(())
    }
}

/// Returns the multiplier and the shift, of at most `max_shift`, that express `real`, or `None` if it exceeds
/// [`MAX_RATIO`] by more than a rounding error.
fn scale(real: f64, max_shift: u8) -> Option<Scale> {
    let multiplier = |shift: u8| real * 2f64.powi(shift.into());
    let most = f64::from(Scale::MAX_MULTIPLIER);
    let shift = (Scale::MIN_SHIFT..max_shift).find(|&shift| multiplier(shift + 1) > most);
    let shift = shift.unwrap_or(max_shift);
    let multiplier = multiplier(shift).round();
    (multiplier <= most).then_some(Scale { multiplier: multiplier as u16, shift })
}

/// Returns [`scale`] of `real` as a tensor of the model file. Errors name the layer that computes the tensor `layer`.
fn scale_tensor<N: Network>(
    layer: Tensor,
    block: usize,
    real: f64,
    max_shift: u8,
) -> Result<[u32; 2], Unquantizable> {
    let scale = scale(real, max_shift);
    let scale = scale.ok_or_else(|| {
        Unquantizable::new(layer.layer::<N>(block), "has scales that are too far apart", real)
    });
    scale.map(|Scale { multiplier, shift }| [multiplier.into(), shift.into()])
}

/// Returns the constants of a LayerNorm whose results are quantized by `output`.
///
/// They are within their bounds. The scale of the residual stream is at least [`finest_residual`]. The scale of the
/// results is at least [`min_norm_scale`] and at most 1/2, because no value in a row of 256 exceeds the row's root mean
/// square by a factor of 16.
fn norm(width: usize, residual: Quantizer, output: Quantizer) -> [u32; 5] {
    let epsilon = epsilon(width, residual.scale).round() as u64;
    let factor = f64::from(factor(width));
    // With this shift, the numerator is within [2^39, 2^40].
    let shift = (39.0 + factor.log2() + output.scale.log2()).ceil() as i32;
    let norm = Norm {
        epsilon: epsilon.max(Norm::MIN_EPSILON),
        numerator: (2f64.powi(shift) / factor / output.scale).round() as u64,
        shift: u32::try_from(shift).unwrap_or_default(),
    };
    norm.to_tensor()
}

/// Returns LayerNorm's epsilon for a residual stream of this scale.
fn epsilon(width: usize, residual: f64) -> f64 {
    (width as f64 / residual).powi(2) * f64::from(LAYER_NORM_EPSILON)
}

/// Returns the smallest scale of the residual stream. With it, LayerNorm's epsilon is two below its bound, so that
/// rounding errors cannot make it exceed the bound.
fn finest_residual(width: usize) -> f64 {
    width as f64 * (f64::from(LAYER_NORM_EPSILON) / (Norm::MAX_EPSILON - 2) as f64).sqrt()
}

/// The linear layers of a block.
struct BlockLayers {
    query: Layer,
    key: Layer,
    value: Layer,
    proj: Layer,
    hidden: Layer,
    mlp: Layer,
}

impl BlockLayers {
    fn new<'p, N: Network>(parameters: &'p Parameters, block: usize) -> Self {
        let affine = |tensor: Tensor| parameters.affine(&tensor.layer::<N>(block));
        let layer =
            |tensor: Tensor, (weight, bias), norm| Layer::new(tensor.layer::<N>(block), weight, bias, norm);
        let before_attention = Some(affine(Tensor::Norm1));
        let packed = |tensor, part: usize| {
            let third = |values: &'p [f32]| &values[values.len() / 3 * part..values.len() / 3 * (part + 1)];
            let (weight, bias) = affine(tensor);
            layer(tensor, (third(weight), third(bias)), before_attention)
        };
        let before_mlp = Some(affine(Tensor::Norm2));
        Self {
            query: packed(Tensor::Query, 0),
            key: packed(Tensor::Key, 1),
            value: packed(Tensor::Value, 2),
            proj: layer(Tensor::Projection, affine(Tensor::Projection), None),
            hidden: layer(Tensor::Hidden, affine(Tensor::Hidden), before_mlp),
            mlp: layer(Tensor::Mlp, affine(Tensor::Mlp), None),
        }
    }
}

/// Returns the quantizer of the levels of a channel: a level p enters as p - 128; the network takes (p / 255 - mean) /
/// std.
fn level(Normalization { mean, std }: Normalization) -> Quantizer {
    Quantizer { scale: 1.0 / (255.0 * f64::from(std)), zero_point: 255.0 * f64::from(mean) - 128.0 }
}

/// Returns the convolution that computes the tensor `tensor` from windows of `channels` channels, as a linear layer with
/// inputs in the order of the engine.
fn convolution<N: Network>(parameters: &Parameters, tensor: Tensor, channels: usize) -> Layer {
    let name = tensor.layer::<N>(0);
    let (weight, bias) = parameters.affine(&name);
    let mut layer = Layer::new(name, weight, bias, None);
    let inputs = layer.inputs();
    for (from, row) in weight.chunks_exact(inputs).zip(layer.weight.chunks_exact_mut(inputs)) {
        for (input, w) in row.iter_mut().enumerate() {
            *w = from[input_in_checkpoint(input, inputs, channels)].into();
        }
    }
    layer
}

/// Returns the convolution of [`convolution`] whose input is the image, of which `levels` has the quantizer of each
/// channel. All inputs are quantized like those of the first channel: the weights and the biases make up for the
/// difference between channels.
fn convolution_of_image<N: Network>(parameters: &Parameters, tensor: Tensor, levels: &[Quantizer]) -> Layer {
    let mut layer = convolution::<N>(parameters, tensor, levels.len());
    let (inputs, first) = (layer.inputs(), levels[0]);
    for (row, bias) in layer.weight.chunks_exact_mut(inputs).zip(&mut layer.bias) {
        for (w, own) in row.iter_mut().zip(levels.iter().cycle()) {
            *w *= own.scale / first.scale;
            *bias += *w * first.scale * (first.zero_point - own.zero_point);
        }
    }
    layer
}

/// Returns the position embeddings, token by token. The class token is added to the first one.
fn positions(parameters: &Parameters) -> impl Iterator<Item = f64> + '_ {
    let cls = parameters.tensor(names::CLS_TOKEN).iter().chain(std::iter::repeat(&0.0));
    parameters
        .tensor(names::POS_EMBED)
        .iter()
        .zip(cls)
        .map(|(&position, &cls)| f64::from(position) + f64::from(cls))
}

/// The quantizers of all activations of a network.
pub(crate) struct Scales {
    /// The quantizer of the levels of each channel of the image.
    levels: Vec<Quantizer>,
    /// The first of two convolutions and its GELU.
    stem: Option<(Layer, Gelu)>,
    /// The layer that embeds patches, and the quantizer of its inputs, which are levels or the values of the map.
    patches: Layer,
    pub(crate) patch_values: Quantizer,
    pub(crate) residual: Quantizer,
    pub(crate) blocks: Vec<BlockScales>,
    /// The quantizer of the results of the last LayerNorm.
    pub(crate) norm: Quantizer,
    /// The number of steps of the exponential table per difference of 1 between attention scores.
    exp_steps: f64,
}

/// The quantizers of the activations of a block.
pub(crate) struct BlockScales {
    pub(crate) norm1: Quantizer,
    pub(crate) query: Quantizer,
    pub(crate) key: Quantizer,
    pub(crate) value: Quantizer,
    pub(crate) context: Quantizer,
    pub(crate) norm2: Quantizer,
    pub(crate) gelu: Gelu,
}

/// The quantizers of the arguments and of the results of a GELU.
#[derive(Clone, Copy)]
pub(crate) struct Gelu {
    arguments: Quantizer,
    pub(crate) results: Quantizer,
}

impl Gelu {
    /// Chooses the quantizers for these ranges. The scale of the arguments is at least `finest`.
    fn new(arguments: Range, results: Range, finest: f64) -> Self {
        Self {
            arguments: Quantizer::between(
                f64::from(arguments.low).max(LEAST_GELU_ARGUMENT),
                f64::from(arguments.high),
                finest,
            ),
            results: Quantizer::between(results.low.into(), results.high.into(), 0.0),
        }
    }

    /// Returns the table from arguments, beginning with -128, to results.
    fn table(self) -> [i8; 256] {
        std::array::from_fn(|index| self.results.quantize(gelu64(self.arguments.value(index as f64 - 128.0))))
    }
}

impl Scales {
    /// Chooses the scales for the images `indices` of `data`, as [`quantize`] says.
    ///
    /// # Errors
    /// - The errors of [`Checkpoint::check`] if the checkpoint is not one of `N` or a parameter is not finite,
    /// - [`Error::Unquantizable`] if the float model computes a value that is not finite.
    pub(crate) fn measure<N: Trainable>(
        checkpoint: &Checkpoint,
        data: &Dataset,
        indices: &[usize],
        path: &Path,
    ) -> Result<Self, Error> {
        let float_file = float_model::<N>(checkpoint, path)?;
        let model = float::Model::<N>::from_bytes(&float_file);
        let model = model.map_err(|error| Error::Model { path: path.to_owned(), error })?;
        let parameters = &checkpoint.parameters;
        let calibration = calibrate::<N>(&model, parameters, data, &spread(indices, CALIBRATION_IMAGES));
        Self::choose::<N>(parameters, &calibration, &checkpoint.describe::<N>().normalization)
            .map_err(|error| Error::Unquantizable { path: path.to_owned(), error })
    }

    fn choose<N: Trainable>(
        parameters: &Parameters,
        calibration: &Calibration,
        normalization: &[Normalization],
    ) -> Result<Self, Unquantizable> {
        if let Some(not_finite) = &calibration.not_finite {
            return Err(not_finite.clone());
        }
        let levels: Vec<_> = normalization.iter().copied().map(level).collect();
        let stem = N::STEM.map(|_| {
            let layer = convolution_of_image::<N>(parameters, Tensor::Stem, &levels);
            let [arguments, results] = [Tensor::Stem, Tensor::Map].map(|tensor| calibration.range(0, tensor));
            let gelu = Gelu::new(arguments, results, layer.finest_output(levels[0]));
            (layer, gelu)
        });
        let (patches, patch_values) = match &stem {
            Some((_, gelu)) => {
                (convolution::<N>(parameters, Tensor::Embedding, N::PATCHES.channels), gelu.results)
            }
            None => (convolution_of_image::<N>(parameters, Tensor::Embedding, &levels), levels[0]),
        };
        let layers: Vec<_> = (0..N::DEPTH).map(|block| BlockLayers::new::<N>(parameters, block)).collect();
        let blocks = layers.iter().enumerate();
        let blocks: Vec<_> =
            blocks.map(|(block, layers)| BlockScales::new(calibration, block, layers)).collect();

        // The residual stream can hold values a quarter larger than any that was measured.
        let mut scale = (1.25 * calibration.residual() / 32767.0).max(finest_residual(N::EMBED));
        scale = positions(parameters).fold(scale, |scale, position| scale.max(position.abs() / 32767.0));
        scale = scale.max(patches.finest_output(patch_values));
        let mut exp_steps = EXP_STEPS;
        for (layers, scales) in layers.iter().zip(&blocks) {
            scale = scale.max(layers.proj.finest_output(scales.context));
            scale = scale.max(layers.mlp.finest_output(scales.gelu.results));
            exp_steps = exp_steps.min(MAX_RATIO / scales.score::<N>());
        }
        Ok(Self {
            levels,
            stem,
            patches,
            patch_values,
            residual: Quantizer { scale, zero_point: 0.0 },
            blocks,
            norm: calibration.symmetric(N::DEPTH, Tensor::Norm, min_norm_scale(N::EMBED)),
            exp_steps,
        })
    }
}

impl BlockScales {
    fn new(calibration: &Calibration, block: usize, layers: &BlockLayers) -> Self {
        let symmetric = |tensor, finest| calibration.symmetric(block, tensor, finest);
        let least = min_norm_scale(layers.query.inputs());
        let norm1 = symmetric(Tensor::Norm1, least);
        let value = symmetric(Tensor::Value, layers.value.finest_output(norm1));
        let norm2 = symmetric(Tensor::Norm2, least);
        let [arguments, results] =
            [Tensor::Hidden, Tensor::Activation].map(|tensor| calibration.range(block, tensor));
        Self {
            norm1,
            query: symmetric(Tensor::Query, layers.query.finest_output(norm1)),
            key: symmetric(Tensor::Key, layers.key.finest_output(norm1)),
            value,
            context: symmetric(Tensor::Context, value.scale / 256.0 / MAX_RATIO),
            norm2,
            gelu: Gelu::new(arguments, results, layers.hidden.finest_output(norm2)),
        }
    }

    /// Returns the real difference of attention scores that a difference of 1 between their integers represents.
    fn score<N: Trainable>(&self) -> f64 {
        self.query.scale * self.key.scale / (N::HEAD_DIM as f64).sqrt()
    }
}

/// Returns the table of e^(-i / steps) for a network with `tokens` tokens.
fn exp_table(tokens: usize, steps: f64) -> ExpTable {
    std::array::from_fn(|i| (f64::from(one(tokens)) * (-(i as f64) / steps).exp()).round() as u16)
}

/// Returns the elements of a matrix, row by row.
fn flat<T: Element>(tensor: &mut T) -> &mut [i8] {
    bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(tensor))
}

/// Quantizes `parameters` into `bytes`, which must have the size and alignment of the integer model's weights.
fn fill<N: Trainable>(
    parameters: &Parameters,
    scales: &Scales,
    bytes: &mut [u8],
) -> Result<(), Unquantizable> {
    let Some(mut weights) = WeightsMut::<N>::from_bytes(bytes) else { return Ok(()) };
    let &Scales { ref levels, ref stem, ref patches, patch_values, .. } = scales;
    let &Scales { residual, ref blocks, norm: normed, exp_steps, .. } = scales;

    let convolutions = &mut weights.convolutions;
    // There are four values for each convolution, and none for patches, which have no padding.
    let mut zeros = convolutions.zeros.as_mut().chunks_exact_mut(4);
    let zeros_of_image = zeros.next().into_iter().flatten().zip(levels);
    zeros_of_image.for_each(|(zero, levels)| *zero = levels.zero());
    let zeros_of_map = zeros.next().into_iter().flatten().take(1);
    zeros_of_map.for_each(|zero| *zero = patch_values.zero());
    if let Some((layer, gelu)) = stem {
        convolutions.stem_gelu_table.as_mut().fill(gelu.table());
        let outputs = (
            convolutions.stem_bias.as_mut(),
            convolutions.stem_multiplier.as_mut(),
            convolutions.stem_shift.as_mut(),
        );
        layer.quantize(levels[0], gelu.arguments, flat(convolutions.stem_weight), outputs)?;
    }
    let embedding = &mut weights.embedding;
    *embedding.exp_table = exp_table(N::TOKENS, exp_steps);
    let rows = embedding.positions.as_mut().iter_mut().flat_map(AsMut::as_mut);
    for (out, position) in rows.zip(positions(parameters)) {
        *out = (position / residual.scale).round() as i16;
    }
    let outputs =
        (embedding.patch_bias.as_mut(), embedding.patch_multiplier.as_mut(), embedding.patch_shift.as_mut());
    patches.quantize(patch_values, residual, flat(embedding.patch_weight), outputs)?;

    for (index, (block, scales)) in weights.blocks().zip(blocks).enumerate() {
        let layers = BlockLayers::new::<N>(parameters, index);
        fill_block::<N>(index, block, &layers, (scales, residual, exp_steps))?;
    }

    *weights.head.norm = norm(N::EMBED, residual, normed);
    let (weight, bias) = parameters.affine(names::HEAD);
    let norm = parameters.affine(names::NORM);
    let Layer { name, weight, bias } =
        Layer::new(Tensor::Logits.layer::<N>(N::DEPTH), weight, bias, Some(norm));
    // All classes have the same scale, so that their logits can be compared. It is large enough that biases fit and
    // that the scale of the logits is not rounded to 0.
    let step = (largest(&weight) / 127.0)
        .max(largest(&bias) / MAX_BIAS / normed.scale)
        .max(f64::from(f32::MIN_POSITIVE) / normed.scale);
    let logit_scale = (step * normed.scale) as f32;
    if !logit_scale.is_finite() {
        return Err(Unquantizable::new(name, "has a weight that is too large", largest(&weight)));
    }
    flat(weights.head.head_weight)
        .iter_mut()
        .zip(&weight)
        .for_each(|(out, w)| *out = (w / step).round() as i8);
    for (out, bias) in weights.head.head_bias.as_mut().iter_mut().zip(&bias) {
        *out = (bias / (step * normed.scale)).round() as i32;
    }
    *weights.head.logit_scale = logit_scale;
    Ok(())
}

fn fill_block<N: Trainable>(
    index: usize,
    block: BlockMut<'_, N>,
    layers: &BlockLayers,
    (scales, residual, exp_steps): (&BlockScales, Quantizer, f64),
) -> Result<(), Unquantizable> {
    let &BlockScales { norm1, query, key, value, context, norm2, gelu } = scales;
    let Gelu { arguments, results } = gelu;
    *block.norm1 = norm(N::EMBED, residual, norm1);
    *block.norm2 = norm(N::EMBED, residual, norm2);
    let score = scales.score::<N>() * exp_steps;
    *block.score_scale = scale_tensor::<N>(Tensor::Query, index, score, Scale::MAX_SHIFT)?;
    let share = value.scale / (256.0 * context.scale);
    *block.context_scale = scale_tensor::<N>(Tensor::Context, index, share, MAX_CONTEXT_SHIFT)?;
    *block.gelu_table = gelu.table();

    macro_rules! quantize {
        ($layer:ident: $input:ident -> $output:ident, $weight:ident, $bias:ident, $multiplier:ident, $shift:ident) => {
            let outputs = (block.$bias.as_mut(), block.$multiplier.as_mut(), block.$shift.as_mut());
            layers.$layer.quantize($input, $output, flat(block.$weight), outputs)?;
        };
    }
    quantize!(query: norm1 -> query, query_weight, query_bias, query_multiplier, query_shift);
    quantize!(key: norm1 -> key, key_weight, key_bias, key_multiplier, key_shift);
    quantize!(value: norm1 -> value, value_weight, value_bias, value_multiplier, value_shift);
    quantize!(proj: context -> residual, proj_weight, proj_bias, proj_multiplier, proj_shift);
    quantize!(hidden: norm2 -> arguments, hidden_weight, hidden_bias, hidden_multiplier, hidden_shift);
    quantize!(mlp: results -> residual, mlp_weight, mlp_bias, mlp_multiplier, mlp_shift);
    Ok(())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "networks of tests may differ in a bit between platforms")]
mod tests {
    use super::*;
    use crate::{
        data::{synthetic, Format, MNIST_NORMALIZATION},
        formats::vit::checkpoint_of,
        inference::nostd_logits,
        random::{stream, Purpose},
    };
    use rand::{seq::SliceRandom, Rng, RngExt};
    use vit_nostd::{argmax, model_file::ModelFile, ConvNano, Nano};

    vit_nostd::network! {
        Small { image: 28, patch: 7, embed: 8, heads: 2, hidden: 12, depth: 2, classes: 10 }
        Overlapping {
            image: 28, tokenizer: [{ kernel: 9, stride: 5, padding: 3 }],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 10,
        }
        Stem {
            image: 28,
            tokenizer: [
                { kernel: 3, stride: 3, padding: 1, channels: 4 },
                { kernel: 3, stride: 2, padding: 1 },
            ],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 10,
        }
        OverlappingColour {
            image: [12, 10, 3], tokenizer: [{ kernel: 5, stride: 3, padding: 2 }],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 5,
        }
        ColourStem {
            image: [12, 10, 3],
            tokenizer: [
                { kernel: 3, stride: 2, padding: 1, channels: 8 },
                { kernel: 3, stride: 2, padding: 1 },
            ],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 5,
        }
    }
    const NOWHERE: &str = "network.safetensors";

    fn published() -> Checkpoint {
        let path = Path::new("../firmware-example/models/nano.f32.vit");
        checkpoint_of::<Nano>(&std::fs::read(path).unwrap(), path).unwrap()
    }

    #[test]
    fn calibration_images_are_of_all_classes() {
        let sorted: Vec<usize> = (0..1000).map(|index| 3 * index).collect();
        let spread = spread(&sorted, CALIBRATION_IMAGES);
        assert_eq!((spread.len(), spread[0]), (CALIBRATION_IMAGES, 0));
        assert!(spread.is_sorted_by(|a, b| a < b && b - a <= 12), "{spread:?}");
        assert!(spread[CALIBRATION_IMAGES - 1] >= 2985);
        assert_eq!(super::spread(&sorted[..7], CALIBRATION_IMAGES), sorted[..7]);
        assert!(super::spread(&[], 5).is_empty());
    }

    fn calibration<N: Trainable>(checkpoint: &Checkpoint, data: &Dataset, indices: &[usize]) -> Calibration {
        let file = float_model::<N>(checkpoint, Path::new(NOWHERE)).unwrap();
        let model = float::Model::<N>::from_bytes(&file).unwrap();
        calibrate::<N>(&model, &checkpoint.parameters, data, indices)
    }

    /// Returns the integer model for a calibration, and checks that the engine accepts it.
    fn model<N: Trainable>(
        checkpoint: &Checkpoint,
        calibration: &Calibration,
    ) -> Result<ModelBytes, Unquantizable> {
        let (parameters, normalization) = (&checkpoint.parameters, checkpoint.describe::<N>().normalization);
        let scales = Scales::choose::<N>(parameters, calibration, &normalization)?;
        let mut weights = ModelBytes::zeros(Weights::<N>::BYTES);
        fill::<N>(parameters, &scales, weights.bytes_mut())?;
        let file = write_model::<N>(Kind::Int8, checkpoint, &weights, Path::new(NOWHERE)).unwrap();
        int8::Model::<N>::from_bytes(&file).unwrap();
        Ok(file)
    }

    /// Returns the number of images of `data` that the integer model, calibrated on the images `indices`, and the
    /// float model classify alike.
    fn agreeing<N: Trainable>(
        checkpoint: &Checkpoint,
        data: &Dataset,
        indices: &[usize],
    ) -> Result<usize, Unquantizable> {
        let file = model::<N>(checkpoint, &calibration::<N>(checkpoint, data, indices))?;
        let integers = int8_logits(&int8::Model::<N>::from_bytes(&file).unwrap(), data, data.len());
        let file = float_model::<N>(checkpoint, Path::new(NOWHERE)).unwrap();
        let floats = nostd_logits(&float::Model::<N>::from_bytes(&file).unwrap(), data, data.len());
        let pairs = integers.chunks(N::CLASSES).zip(floats.chunks(N::CLASSES));
        Ok(pairs.filter(|(a, b)| argmax(a) == argmax(b)).count())
    }

    /// Returns an untrained colour network whose channels have these means as levels, and images of noise.
    fn colour<N: Trainable>(means: [u8; 3]) -> (Checkpoint, Dataset) {
        let mut checkpoint = Checkpoint { parameters: Parameters::init::<N>(1), description: None };
        let channels = means.into_iter().zip([0.2, 0.5, 0.3]);
        let normalization =
            channels.map(|(mean, std)| Normalization { mean: f32::from(mean) / 255.0, std }).collect();
        checkpoint.description = Some(Description { normalization, ..checkpoint.describe::<N>() });
        let mut levels = vec![0; 20 * N::DIMS.image_values()];
        random(1).fill_bytes(&mut levels);
        let noise = Dataset::new(Format::of::<N>(), levels, vec![0; 20], Path::new("x")).unwrap();
        (checkpoint, noise)
    }

    /// Checks that the windows of an image are all alike if each of its levels is the mean, whether they have padding
    /// or not. Returns the values of the model that stand for zeros.
    fn zeros_of_padding<N: Trainable>(means: [u8; 3]) -> Vec<i8> {
        let (mut checkpoint, noise) = colour::<N>(means);
        change(&mut checkpoint, "pos_embed", |_, _| 0.0);
        let indices: Vec<usize> = (0..noise.len()).collect();
        let file = model::<N>(&checkpoint, &calibration::<N>(&checkpoint, &noise, &indices)).unwrap();

        let levels = means.repeat(N::HEIGHT * N::WIDTH);
        let mut seen = BTreeMap::<Stage, Vec<Vec<i16>>>::new();
        let mut observe = |Probe { stage, token, .. }: Probe, values: Values<'_>| {
            let values = match values {
                Values::I8(values) if stage == Stage::Stem => values.iter().copied().map(i16::from).collect(),
                Values::I16(values) if stage == Stage::Embedding && token > 0 => values.to_vec(),
                _ => return,
            };
            seen.entry(stage).or_default().push(values);
        };
        let integer = int8::Model::<N>::from_bytes(&file).unwrap();
        let image = vit_nostd::image::<N>(&levels).unwrap();
        integer.infer_observed(image, &mut Box::new(int8::Scratch::new()), &mut observe);
        assert_eq!(seen.len(), N::DIMS.convolutions());
        for (stage, values) in seen {
            assert!(
                values.len() > 1 && values.iter().all(|other| *other == values[0]),
                "{stage:?}: {values:?}"
            );
        }
        let file = ModelFile::parse::<N>(&file, Kind::Int8, Weights::<N>::BYTES).unwrap();
        Weights::<N>::from_bytes(file.weights).unwrap().convolutions.zeros.as_ref().to_vec()
    }

    #[test]
    fn padding_stands_for_zeros() {
        assert_eq!(zeros_of_padding::<OverlappingColour>([51, 0, 255]), [-77, -128, 127, 0]);
        let zeros = zeros_of_padding::<ColourStem>([128, 7, 200]);
        assert_eq!(zeros[..4], [0, -121, 72, 0]);
        // GELU has few negative results, so that its zero is near the lowest value.
        assert!((-128..-64).contains(&zeros[4]), "{zeros:?}");
        assert_eq!(zeros[5..], [0; 3]);

        let zero = |mean| level(Normalization { mean, std: 0.3 }).zero();
        assert_eq!([-9.0, 0.1307, 0.1333, 9.0].map(zero), [-128, -95, -94, 127]);
    }

    #[test]
    fn the_map_that_is_measured_is_that_of_the_engine() {
        let (checkpoint, noise) = colour::<ColourStem>([128, 7, 200]);
        let file = float_model::<ColourStem>(&checkpoint, Path::new(NOWHERE)).unwrap();
        let model = float::Model::<ColourStem>::from_bytes(&file).unwrap();
        let mut scratch = Box::new(float::Scratch::new());
        for index in 0..noise.len() {
            let mut seen = Range::default();
            let mut observe = |Probe { stage, .. }: Probe, values: Values<'_>| {
                let Values::F32(values) = values else { return };
                let map = values.iter().filter(|_| stage == Stage::Stem);
                map.for_each(|&x| seen.add(Range { low: x, high: x }));
            };
            infer_observed(&model, view::<ColourStem>(&noise, index), &mut scratch, &mut observe);
            let calibration = calibrate::<ColourStem>(&model, &checkpoint.parameters, &noise, &[index]);
            let Range { low, high } = calibration.range(0, Tensor::Map);
            assert!(
                (low - seen.low).abs() < 1e-5 && (high - seen.high).abs() < 1e-5,
                "{low} {high} {seen:?}"
            );
        }
    }

    /// Every case is a network at a bound of the tokenizer, with the least number of images that must still be
    /// classified alike.
    #[test]
    fn convolutions_at_the_bounds_are_quantized() {
        const STEM: &str = "tokenizer.conv1.weight";
        const STEM_BIAS: &str = "tokenizer.conv1.bias";
        const PATCHES: &str = "tokenizer.conv2.weight";
        let data = synthetic::dataset(100, 1);
        let indices: Vec<usize> = (0..50).collect();
        let cases: &[(&str, &[Change], usize)] = &[
            ("as it is", &[], 90),
            ("a map of zeros", &[(STEM, |_, _| 0.0)], 100),
            ("a map of one value", &[(STEM, |_, _| 0.0), (STEM_BIAS, |_, _| 3.0)], 100),
            ("a map without light", &[(STEM_BIAS, |_, _| -3e5)], 100),
            ("dead channels", &[(STEM, |i, w| if i / 9 == 1 { 0.0 } else { w })], 85),
            ("a large map", &[(STEM, |_, w| 1e6 * w), (PATCHES, |_, w| 1e-6 * w)], 85),
            ("a small map", &[(STEM, |_, w| 1e-6 * w), (PATCHES, |_, w| 1e6 * w)], 85),
            ("channels of very different sizes", &[(STEM, |i, w| w * 10f32.powi(-(i as i32 / 9 % 4)))], 85),
            ("a second convolution of nearly zeros", &[(PATCHES, |_, w| 1e-30 * w)], 85),
            ("all zeros", &[("", |_, _| 0.0)], 100),
            ("all denormal", &[("", |_, _| 1e-44)], 100),
        ];
        for (what, changes, least) in cases {
            let mut checkpoint =
                Checkpoint { parameters: Parameters::init::<ConvNano>(3), description: None };
            changes.iter().for_each(|(name, to)| change(&mut checkpoint, name, to));
            let agreeing = agreeing::<ConvNano>(&checkpoint, &data, &indices);
            let agreeing = agreeing.unwrap_or_else(|error| panic!("{what}: {error}"));
            println!("{what}: {agreeing} of {} classified alike", data.len());
            assert!(agreeing >= *least, "{what}: {agreeing}");
        }
    }

    #[test]
    fn a_convolution_that_cannot_be_quantized_is_named() {
        fn error<N: Trainable>(name: &str, value: f32) -> String {
            let mut checkpoint = Checkpoint { parameters: Parameters::init::<N>(1), description: None };
            change(&mut checkpoint, name, |i, x| if i < 20 { value } else { x });
            agreeing::<N>(&checkpoint, &synthetic::dataset(10, 1), &[0, 1, 2]).unwrap_err().to_string()
        }
        let not_finite = "computes a value that is not a finite number";
        let too_large = "has a bias that is too large for its results (-1.000e9)";
        for (error, expected) in [
            (error::<Overlapping>("conv1.weight", f32::MAX), format!("tokenizer.conv1 {not_finite}")),
            (error::<Stem>("conv1.weight", f32::MAX), format!("tokenizer.conv1 {not_finite}")),
            (error::<Stem>("conv1.bias", -1e9), format!("tokenizer.conv1 {too_large}")),
            (error::<Stem>("conv2.weight", f32::MAX), format!("tokenizer.conv2 {not_finite}")),
        ] {
            println!("{error}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    fn random(seed: u64) -> impl Rng {
        stream(Purpose::Init, [seed, 0, 0])
    }

    #[test]
    fn the_published_network_is_quantized_whatever_it_is_calibrated_on() {
        let (checkpoint, data) = (published(), synthetic::dataset(200, 1));
        let each: Vec<_> =
            (0..data.len()).map(|image| calibration::<Nano>(&checkpoint, &data, &[image])).collect();
        (0..400).into_par_iter().for_each(|seed| {
            let mut order: Vec<usize> = (0..each.len()).collect();
            let mut random = random(seed);
            order.shuffle(&mut random);
            order.truncate(random.random_range(1..=each.len()));
            let ranges = order.iter().map(|&image| each[image].clone());
            let calibration = ranges.fold(Calibration::default(), Calibration::merged);
            model::<Nano>(&checkpoint, &calibration).unwrap_or_else(|error| panic!("{seed}: {error}"));
        });
    }

    #[test]
    fn a_ratio_at_its_bound_can_be_expressed() {
        let mut random = random(1);
        for _ in 0..100_000 {
            let [weight, input] = [0; 2].map(|_| 10f64.powf(random.random_range(-30.0..30.0)));
            let layer = Layer { name: String::new(), weight: vec![weight, -weight / 3.0], bias: vec![0.0] };
            let input = Quantizer { scale: input, zero_point: 0.0 };
            let ratio = weight / 127.0 * input.scale / layer.finest_output(input);
            let expected = Scale { multiplier: Scale::MAX_MULTIPLIER, shift: Scale::MIN_SHIFT };
            assert_eq!(scale(ratio, Scale::MAX_SHIFT), Some(expected), "{weight:e} {input:?}");
        }
        assert_eq!(scale(0.25, Scale::MAX_SHIFT), None);
        assert_eq!([f64::INFINITY, f64::NAN].map(|ratio| scale(ratio, Scale::MAX_SHIFT)), [None, None]);
    }

    #[test]
    fn every_smaller_ratio_can_be_expressed() {
        let mut random = random(2);
        let ratios = (0..100_000).map(|_| 2f64.powf(random.random_range(-120.0..-2.0)) * MAX_RATIO * 4.0);
        for ratio in ratios.chain([0.0, f64::MIN_POSITIVE, MIN_RATIO, 32767.5 / 2f64.powi(18)]) {
            let scale = scale(ratio, Scale::MAX_SHIFT).unwrap();
            assert!(scale.is_valid(), "{ratio:e} {scale:?}");
            let real = f64::from(scale.multiplier) / 2f64.powi(scale.shift.into());
            let largest_error = if ratio >= MIN_RATIO { ratio * 2f64.powi(-15) } else { 2f64.powi(-47) };
            assert!((real - ratio).abs() <= largest_error, "{ratio:e} {real:e}");
        }
    }

    #[test]
    fn layer_norms_are_within_their_bounds() {
        let mut random = random(3);
        for width in [4, 48, 128, 132, 256] {
            let finest = finest_residual(width);
            for times in 0..30_000 {
                let residual = finest * 10f64.powf(f64::from(times) / 750.0);
                let of_norm = min_norm_scale(width).max(2f64.powf(random.random_range(-10.0..-1.0)));
                for of_norm in [of_norm, min_norm_scale(width), 0.5, 0.125 * (1.0 + f64::EPSILON)] {
                    let quantizer = |scale| Quantizer { scale, zero_point: 0.0 };
                    let norm = norm(width, quantizer(residual), quantizer(of_norm));
                    assert!(Norm::from_tensor(&norm).is_valid(), "{residual:e} {of_norm:e} {norm:?}");
                }
            }
        }
    }

    /// Changes the tensors whose names end with `name`.
    fn change(checkpoint: &mut Checkpoint, name: &str, change: impl Fn(usize, f32) -> f32) {
        let names: Vec<_> = checkpoint.parameters.layout.0.iter().map(|entry| entry.name.clone()).collect();
        let names: Vec<_> = names.into_iter().filter(|other| other.ends_with(name)).collect();
        assert!(!names.is_empty(), "{name}");
        for name in names {
            let values = checkpoint.parameters.get_mut(&name).unwrap();
            values.iter_mut().enumerate().for_each(|(index, value)| *value = change(index, *value));
        }
    }

    type Change = (&'static str, fn(usize, f32) -> f32);

    /// Every case is a network that reaches other bounds, with the least number of images that must still be
    /// classified alike.
    #[test]
    fn networks_at_the_bounds_are_quantized() {
        let data = synthetic::dataset(200, 1);
        let calibration: Vec<usize> = (0..100).collect();
        let cases: &[(&str, &[Change], usize)] = &[
            ("as it is", &[], 196),
            (
                "dead rows with a bias",
                &[
                    ("attn.in_proj_weight", |i, w| if i / 48 % 3 == 0 { 0.0 } else { w }),
                    ("mlp.0.weight", |i, w| if i / 48 % 3 == 0 { 0.0 } else { w }),
                    ("mlp.3.weight", |i, w| if i / 96 % 3 == 0 { 0.0 } else { w }),
                ],
                190,
            ),
            (
                "sharp attention",
                &[("attn.in_proj_weight", |i, w| if i < 96 * 48 { 4.0 * w } else { w })],
                170,
            ),
            (
                "one-hot attention",
                &[("attn.in_proj_weight", |i, w| if i < 96 * 48 { 99.0 * w } else { w })],
                60,
            ),
            ("neurons that are never on", &[("mlp.0.bias", |i, b| if i % 5 == 0 { -3e5 } else { b })], 190),
            (
                "logits in the thousands",
                &[("head.weight", |_, w| 3e3 * w), ("head.bias", |_, b| 3e3 * b)],
                196,
            ),
            ("tiny logits", &[("head.weight", |_, w| 1e-40 * w), ("head.bias", |_, _| 0.0)], 0),
            ("biases alone in the head", &[("head.weight", |_, _| 0.0), ("head.bias", |i, _| i as f32)], 200),
            (
                "no queries and keys",
                &[("attn.in_proj_weight", |i, w| if i < 96 * 48 { 0.0 } else { w })],
                180,
            ),
            ("LayerNorms of scale 0", &[("norm1.weight", |_, _| 0.0), ("norm2.weight", |_, _| 0.0)], 180),
            (
                "a tiny residual stream",
                &[
                    ("cls_token", |_, x| 1e-4 * x),
                    ("pos_embed", |_, x| 1e-4 * x),
                    ("patch_embed.proj.weight", |_, w| 1e-4 * w),
                    ("patch_embed.proj.bias", |_, b| 1e-4 * b),
                    ("out_proj.weight", |_, w| 1e-4 * w),
                    ("out_proj.bias", |_, b| 1e-4 * b),
                    ("mlp.3.weight", |_, w| 1e-4 * w),
                    ("mlp.3.bias", |_, b| 1e-4 * b),
                ],
                150,
            ),
            (
                "rows of very different sizes",
                &[("mlp.0.weight", |i, w| w * 10f32.powi((i / 48 % 7) as i32 - 5))],
                150,
            ),
            (
                "one large value that no token attends to",
                &[("attn.in_proj_bias", |i, b| if i == 100 { 1e3 } else { b })],
                100,
            ),
            (
                "positions that the patches' bias cancels",
                &[
                    ("pos_embed", |i, x| if i < 48 { x } else { x + 100.0 }),
                    ("patch_embed.proj.bias", |_, b| b - 100.0),
                ],
                170,
            ),
            ("all zeros", &[("", |_, _| 0.0)], 200),
            ("all denormal", &[("", |_, _| 1e-44)], 200),
        ];
        for (what, changes, least) in cases {
            let mut checkpoint = published();
            changes.iter().for_each(|(name, to)| change(&mut checkpoint, name, to));
            let agreeing = agreeing::<Nano>(&checkpoint, &data, &calibration);
            let agreeing = agreeing.unwrap_or_else(|error| panic!("{what}: {error}"));
            println!("{what}: {agreeing} of {} classified alike", data.len());
            assert!(agreeing >= *least, "{what}: {agreeing}");
        }
    }

    /// If values are 256 times as large and the weights after them 256 times as small, the network computes the same
    /// function. The ranges are the same except for this factor, exactly, because it is a power of two.
    #[test]
    fn keys_and_values_have_ranges_of_their_own() {
        let (plain, digits) = (published(), synthetic::dataset(20, 1));
        let mut scaled = plain.clone();
        let embed = Nano::EMBED;
        for block in 0..Nano::DEPTH {
            let name = |part: &str| format!("blocks.{block}.attn.{part}");
            let values = |index: usize, first: usize, x: f32| if index < first { x } else { 256.0 * x };
            change(&mut scaled, &name("in_proj_weight"), |index, x| values(index, 2 * embed * embed, x));
            change(&mut scaled, &name("in_proj_bias"), |index, x| values(index, 2 * embed, x));
            change(&mut scaled, &name("out_proj.weight"), |_, x| x / 256.0);
        }
        let indices: Vec<usize> = (0..digits.len()).collect();
        let [plain, scaled] =
            [&plain, &scaled].map(|checkpoint| calibration::<Nano>(checkpoint, &digits, &indices));
        for block in 0..Nano::DEPTH {
            let largest = |of: &Calibration, tensor| of.range(block, tensor).largest();
            assert_eq!(largest(&scaled, Tensor::Key), largest(&plain, Tensor::Key), "keys of block {block}");
            let value = largest(&plain, Tensor::Value);
            assert_eq!(largest(&scaled, Tensor::Value), 256.0 * value, "values of block {block}");
        }
    }

    #[test]
    fn blank_images_calibrate_too() {
        let checkpoint = published();
        for grey in [0, 33, 255] {
            let blank =
                Dataset::new(synthetic::FORMAT, vec![grey; 4 * 784], vec![0; 4], Path::new("x")).unwrap();
            model::<Nano>(&checkpoint, &calibration::<Nano>(&checkpoint, &blank, &[0, 1, 2, 3])).unwrap();
        }
        model::<Nano>(&checkpoint, &Calibration::default()).unwrap();
    }

    #[test]
    fn what_cannot_be_quantized_is_named() {
        let data = synthetic::dataset(10, 1);
        let error = |name: &str, value: f32| {
            let mut checkpoint = published();
            change(&mut checkpoint, name, |i, x| if i < 20 { value } else { x });
            agreeing::<Nano>(&checkpoint, &data, &[0, 1, 2]).unwrap_err()
        };
        let cases = [
            (
                "blocks.2.mlp.0.bias",
                -1e9,
                "blocks.2.mlp.0 has a bias that is too large for its results (-1.000e9)",
            ),
            ("blocks.1.attn.in_proj_weight", f32::MAX, "blocks.1.attn"),
            (
                "blocks.2.mlp.0.weight",
                f32::MAX,
                "blocks.2.mlp.0 computes a value that is not a finite number",
            ),
            ("head.weight", f32::MAX, "head computes a value that is not a finite number"),
            ("patch_embed.proj.weight", f32::MAX, "patch_embed.proj computes"),
        ];
        for (name, value, expected) in cases {
            let error = error(name, value).to_string();
            println!("{error}");
            assert!(error.starts_with(expected), "{name}: {error}");
        }
    }

    /// Returns a network of random numbers of several kinds: some very large or small, some all alike, some mostly
    /// zeros.
    fn hostile<N: Trainable>(seed: u64) -> Checkpoint {
        let mut random = random(seed);
        let mut parameters = Parameters::init::<N>(seed);
        // The spread of sizes in powers of ten. With the last one, the float network overflows, too.
        let spread = [0.5, 2.0, 6.0, 37.0][seed as usize % 4];
        for entry in parameters.layout.0.clone() {
            let values = &mut parameters.values[entry.range];
            let row = entry.dims.last().copied().unwrap_or(1);
            let kind = random.random_range(0..8);
            let size = |random: &mut dyn Rng| 10f32.powf(random.random_range(-spread..spread));
            let whole = size(&mut random);
            for values in values.chunks_mut(row) {
                let of_row = size(&mut random);
                for value in values {
                    *value = match kind {
                        0 => 0.0,
                        1 => *value * whole,
                        2 => *value * of_row,
                        3 => (*value + 0.1) * size(&mut random),
                        4 if random.random_bool(0.05) => whole,
                        5 => whole * 0.1,
                        6 if random.random_bool(0.5) => 0.0,
                        _ => *value,
                    };
                }
            }
        }
        let mut checkpoint = Checkpoint { parameters, description: None };
        let mut description = checkpoint.describe::<N>();
        description.normalization = match random.random_range(0..4) {
            0 => vec![Normalization {
                mean: 0.0,
                std: 10f32.powf(random.random_range(-spread.min(5.9)..spread.min(5.9))),
            }],
            1 => vec![Normalization { mean: random.random_range(-spread..spread), std: 1.0 }],
            _ => vec![MNIST_NORMALIZATION],
        };
        checkpoint.description = Some(description);
        checkpoint
    }

    /// Returns the number of hostile networks, of this many, that cannot be quantized.
    fn unquantizable<N: Trainable>(networks: u64) -> usize {
        let digits = synthetic::dataset(6, 1);
        let blank = Dataset::new(synthetic::FORMAT, vec![0; 784], vec![0], Path::new("x")).unwrap();
        let named = (0..networks).into_par_iter().filter_map(|seed| {
            let checkpoint = hostile::<N>(seed);
            let (data, indices) = if seed % 3 == 0 { (&blank, &[0][..]) } else { (&digits, &[0, 1, 2][..]) };
            let error = agreeing::<N>(&checkpoint, data, indices).err()?;
            assert_eq!(seed % 4, 3, "{error}");
            let layout = &checkpoint.parameters.layout.0;
            let name = error.layer.trim_end_matches(".attn");
            assert!(layout.iter().any(|entry| entry.name.starts_with(name)), "{error}");
            Some(error)
        });
        let named = named.count();
        println!("{named} of {networks} cannot be quantized");
        named
    }

    #[test]
    fn hostile_networks_are_quantized_or_named() {
        assert!((100..500).contains(&unquantizable::<Small>(2000)));
        assert!((25..125).contains(&unquantizable::<Overlapping>(500)));
        assert!((25..125).contains(&unquantizable::<Stem>(500)));
    }
}
