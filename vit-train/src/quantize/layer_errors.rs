//! Finds the layers where an integer model loses accuracy, by the signal-to-noise ratio of its intermediate values
//! against those of the float model.

use crate::{
    data::Dataset,
    error::Error,
    formats::{checkpoint::Checkpoint, vit::float_model},
    inference::{infer_observed, view},
    network::{names, parameters::Parameters, Trainable},
    quantize::Scales,
};
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, fmt, path::Path};
use vit_nostd::{float, int8, Probe, Stage, Values};

/// The number of images that suffice for [`LayerErrors::warning`].
pub(crate) const FEW_IMAGES: usize = 32;

/// The signal-to-noise ratio of the worst layer, in decibels, below which the integer model is too far from the float
/// network. The noise then has more than a tenth of the signal's energy. RECIPES.md has the measurement on which this
/// bound is based.
const LEAST_RATIO: f64 = 10.0;

/// The stages of every encoder block, in the order of the table.
const OF_A_BLOCK: [Stage; 9] = [
    Stage::Norm1,
    Stage::Key,
    Stage::Value,
    Stage::Query,
    Stage::Attention,
    Stage::Projection,
    Stage::Norm2,
    Stage::Hidden,
    Stage::Mlp,
];

/// Returns the heading of a stage in the table.
fn heading(stage: Stage) -> &'static str {
    match stage {
        Stage::Stem => "first convolution",
        Stage::Norm1 => "norm 1",
        Stage::Norm2 => "norm 2",
        Stage::Mlp => "MLP",
        Stage::Norm => "last norm",
        Stage::Head => "logits",
        stage => stage.name(),
    }
}

/// Serializes a stage as its name.
fn by_name<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.name())
}

/// The noise that quantization adds to a layer's values, over all images and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct LayerError {
    /// The index of the encoder block, counted from 0. Layers after the last block have the number of blocks.
    pub block: usize,
    /// The stage that computes the layer's values.
    #[serde(serialize_with = "by_name")]
    pub layer: Stage,
    /// The signal-to-noise ratio in decibels: the sum of the squares of the float values, divided by that of the
    /// differences. Infinite (in JSON: null) if there are no differences.
    pub snr_db: f64,
}

impl LayerError {
    /// Returns the name of the layer, with its block if the stage is one of a block.
    fn place(&self) -> String {
        let name = heading(self.layer);
        if OF_A_BLOCK.contains(&self.layer) {
            format!("{name} of block {}", self.block)
        } else {
            name.to_owned()
        }
    }
}

/// The errors of all layers, in the order of the network. The errors of a layer include those of the layers before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LayerErrors {
    /// The number of images on which the models were compared.
    pub images: usize,
    /// The errors, one entry per layer.
    pub layers: Vec<LayerError>,
    /// The entry with the lowest ratio.
    pub worst: LayerError,
}

impl LayerErrors {
    /// Returns a sentence, without a full stop, which warns that the integer model is far from the float network; None
    /// if it is not.
    pub(crate) fn warning(&self) -> Option<String> {
        let LayerError { snr_db, .. } = self.worst;
        (snr_db < LEAST_RATIO).then(|| {
            format!(
                "The integers are far from the float network: the signal-to-noise ratio of the worst layer, {}, is \
                 {snr_db:.1} dB, and below {LEAST_RATIO} dB they may classify much worse",
                self.worst.place()
            )
        })
    }
}

/// Compares an integer model with the float model of the same checkpoint, layer by layer.
///
/// `file` is the integer model that [`quantize`](crate::quantize::quantize) made from `checkpoint` with the same images
/// `calibration` of `data`. The models are compared on the images `indices` of `data`, of which there must be at
/// least one. Errors name `path`.
///
/// # Errors
/// - The errors of [`Checkpoint::check`] if the checkpoint is not one of `N` or a parameter is not finite,
/// - [`Error::Model`] if the file is not an integer model of `N`,
/// - [`Error::Unquantizable`] if the float model computes a value that is not finite.
pub(crate) fn layer_errors<N: Trainable>(
    checkpoint: &Checkpoint,
    file: &[u8],
    data: &Dataset,
    (calibration, indices): (&[usize], &[usize]),
    path: &Path,
) -> Result<LayerErrors, Error> {
    let refused = |error| Error::Model { path: path.to_owned(), error };
    let scales = Scales::measure::<N>(checkpoint, data, calibration, path)?;
    let float_file = float_model::<N>(checkpoint, path)?;
    let float = float::Model::<N>::from_bytes(&float_file).map_err(refused)?;
    let integer = int8::Model::<N>::from_bytes(file).map_err(refused)?;
    let mut float_scratch = Box::new(float::Scratch::new());
    let mut integer_scratch = Box::new(int8::Scratch::new());

    let mut energies = BTreeMap::<Place, Energies>::new();
    for &index in indices {
        let image = view::<N>(data, index);
        let mut exact = Vec::new();
        let mut observe = |Probe { stage, block, token }: Probe, values: Values<'_>| {
            if let Values::F32(values) = values {
                exact.push(((block, stage), token, values.to_vec()));
            }
        };
        infer_observed(&float, image, &mut float_scratch, &mut observe);

        let mut rounded = Vec::new();
        let mut observe = |Probe { stage, block, token }: Probe, values: Values<'_>| {
            let place = (block, stage);
            let real = match values {
                Values::I8(values) => dequantize(values, place, &scales, &checkpoint.parameters),
                Values::I16(values) => dequantize(values, place, &scales, &checkpoint.parameters),
                // The logits are converted below, because only the model knows their scale.
                _ => return,
            };
            rounded.push((place, token, real));
        };
        let logits = integer.infer_observed(image, &mut integer_scratch, &mut observe);
        let real = integer.dequantize(&logits).as_ref().iter().map(|&x| x.into()).collect();
        rounded.push(((N::DEPTH, Stage::Head), 0, real));

        // Both engines report the same probes, but perhaps those of tokens in a different order.
        exact.sort_by_key(|&(place, token, _)| (place, token));
        rounded.sort_by_key(|&(place, token, _)| (place, token));
        for ((place, _, exact), (_, _, rounded)) in exact.iter().zip(&rounded) {
            energies.entry(*place).or_default().add(exact, rounded);
        }
    }

    let layers: Vec<_> = energies
        .into_iter()
        .map(|((block, layer), energies)| LayerError { block, layer, snr_db: energies.ratio() })
        .collect();
    let worst = layers.iter().copied().min_by(|a, b| a.snr_db.total_cmp(&b.snr_db));
    let worst = worst.unwrap_or(LayerError { block: 0, layer: Stage::Embedding, snr_db: f64::INFINITY });
    Ok(LayerErrors { images: indices.len(), layers, worst })
}

/// A block and a stage in the block.
type Place = (usize, Stage);

/// Returns the real numbers that the integers of a layer represent.
///
/// The results of a LayerNorm are multiplied by its scale, and its offset is added, because in the integer model
/// these are folded into the next layer.
fn dequantize<T: Copy + Into<f64>>(
    values: &[T],
    (block, layer): Place,
    scales: &Scales,
    parameters: &Parameters,
) -> Vec<f64> {
    let of_block = &scales.blocks[block.min(scales.blocks.len() - 1)];
    let (quantizer, norm) = match layer {
        Stage::Stem => (scales.patch_values, None),
        Stage::Norm1 => (of_block.norm1, Some(names::in_block(block, names::NORM1))),
        Stage::Key => (of_block.key, None),
        Stage::Value => (of_block.value, None),
        Stage::Query => (of_block.query, None),
        Stage::Attention => (of_block.context, None),
        Stage::Norm2 => (of_block.norm2, Some(names::in_block(block, names::NORM2))),
        Stage::Hidden => (of_block.gelu.results, None),
        Stage::Norm => (scales.norm, Some(names::NORM.to_owned())),
        // The residual stream. The logits are not converted here, but by the model.
        _ => (scales.residual, None),
    };
    let real = values.iter().map(|&value| quantizer.value(value));
    let Some(norm) = norm else { return real.collect() };
    let (scales, shifts) = parameters.affine(&norm);
    let affine = scales.iter().zip(shifts);
    real.zip(affine).map(|(x, (&scale, &offset))| x * f64::from(scale) + f64::from(offset)).collect()
}

/// The sums of squares of a layer's values and of their errors.
#[derive(Default)]
struct Energies {
    signal: f64,
    noise: f64,
}

impl Energies {
    fn add(&mut self, exact: &[f32], rounded: &[f64]) {
        for (&exact, rounded) in exact.iter().zip(rounded) {
            let exact = f64::from(exact);
            self.signal += exact * exact;
            self.noise += (exact - rounded) * (exact - rounded);
        }
    }

    /// Returns the signal-to-noise ratio in decibels.
    fn ratio(&self) -> f64 {
        if self.noise == 0.0 {
            f64::INFINITY
        } else {
            10.0 * (self.signal / self.noise).log10()
        }
    }
}

impl fmt::Display for LayerErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Signal-to-noise ratio of the integer model against the float model in dB, on {} images:",
            self.images
        )?;
        let ratio = |block, layer| {
            let found = self.layers.iter().find(|error| (error.block, error.layer) == (block, layer));
            found.map_or(f64::NAN, |error| error.snr_db)
        };
        write!(f, "block")?;
        for layer in OF_A_BLOCK {
            write!(f, "{:>11}", heading(layer))?;
        }
        writeln!(f)?;
        let depth = self.layers.iter().map(|error| error.block).max().unwrap_or_default();
        for block in 0..depth {
            write!(f, "{block:>5}")?;
            for layer in OF_A_BLOCK {
                write!(f, "{:>11.1}", ratio(block, layer))?;
            }
            writeln!(f)?;
        }
        let others = self.layers.iter().filter(|error| !OF_A_BLOCK.contains(&error.layer));
        let width = others.clone().map(|error| heading(error.layer).len()).max().unwrap_or_default() + 2;
        for &LayerError { layer, snr_db, .. } in others {
            writeln!(f, "{:<width$}{snr_db:>5.1}", heading(layer))?;
        }
        write!(f, "The worst layer is {}: {:.1} dB", self.worst.place(), self.worst.snr_db)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::synthetic, quantize::quantize_and_score};
    use vit_nostd::ConvNano;

    vit_nostd::network! {
        Small { image: 28, patch: 7, embed: 8, heads: 2, hidden: 12, depth: 2, classes: 10 }
        Overlapping {
            image: 28, tokenizer: [{ kernel: 9, stride: 5, padding: 3 }],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 10,
        }
    }

    fn errors<N: Trainable>(spoil: impl Fn(&mut Checkpoint)) -> LayerErrors {
        let mut checkpoint = Checkpoint { parameters: Parameters::init::<N>(1), description: None };
        let data = synthetic::dataset(40, 1);
        let (calibration, others): (Vec<usize>, Vec<usize>) =
            (0..data.len()).partition(|index| index % 2 == 0);
        let path = Path::new("small");
        let (file, _) = quantize_and_score::<N>(&checkpoint, (&data, &calibration), &data, path).unwrap();
        spoil(&mut checkpoint);
        layer_errors::<N>(&checkpoint, &file, &data, (&calibration, &others), path).unwrap()
    }

    fn assert_every_layer_is_close_to_float<N: Trainable>() {
        let errors = errors::<N>(|_| {});
        let stems = usize::from(N::STEM.is_some());
        assert_eq!(errors.layers.len(), stems + 1 + N::DEPTH * OF_A_BLOCK.len() + 2);
        for error in &errors.layers {
            assert!((20.0..120.0).contains(&error.snr_db), "{error:?}");
            assert!(error.snr_db >= errors.worst.snr_db);
        }
        assert_eq!(errors.warning(), None);
        let table = errors.to_string();
        assert_eq!(table.lines().count(), 2 + N::DEPTH + stems + 3 + 1, "{table}");
        assert_eq!(table.lines().filter(|line| line.starts_with("first convolution  ")).count(), stems);
        assert!(
            table.contains(&format!("{:.1} dB", errors.worst.snr_db)) && !table.contains("NaN"),
            "{table}"
        );
    }

    #[test]
    fn every_layer_is_close_to_float() {
        assert_every_layer_is_close_to_float::<Small>();
        assert_every_layer_is_close_to_float::<Overlapping>();
        assert_every_layer_is_close_to_float::<ConvNano>();
    }

    #[test]
    fn a_wrong_layer_is_noticed() {
        let errors = errors::<Small>(|checkpoint| {
            // The query projection in block 1 of the float network is changed. The attention and all later layers
            // depend on it.
            let Parameters { layout, values } = &mut checkpoint.parameters;
            let bias = layout.0.iter().find(|entry| entry.name == "blocks.1.attn.in_proj_bias").unwrap();
            values[bias.range.start] += 5.0;
        });
        let wrong = |error: &&LayerError| error.snr_db < 10.0;
        let first = errors.layers.iter().find(wrong).unwrap();
        assert_eq!((first.block, first.layer), (1, Stage::Query), "{errors}");
        assert!(wrong(&&errors.worst));
        let warning = errors.warning().unwrap();
        assert!(warning.contains(&errors.worst.place()), "{warning}");

        let errors = self::errors::<ConvNano>(|checkpoint| {
            checkpoint.parameters.tensor_mut("tokenizer.conv1.bias").fill(5.0);
        });
        assert_eq!((errors.layers[0].layer, wrong(&&errors.layers[0])), (Stage::Stem, true), "{errors}");
    }

    #[test]
    fn only_stages_of_a_block_are_named_with_it() {
        let place = |block, layer| LayerError { block, layer, snr_db: 0.0 }.place();
        assert_eq!(place(0, Stage::Stem), "first convolution");
        assert_eq!(place(0, Stage::Embedding), "embedding");
        assert_eq!(place(1, Stage::Norm2), "norm 2 of block 1");
        assert_eq!(place(2, Stage::Norm), "last norm");
        assert_eq!(place(2, Stage::Head), "logits");
    }

    #[test]
    fn decibels_by_hand() {
        let mut energies = Energies::default();
        energies.add(&[3.0, 4.0], &[3.0, 4.5]);
        assert!((energies.ratio() - 20.0).abs() < 1e-12);
    }
}
