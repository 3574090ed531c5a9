//! The float network on dfdx tensors, in the canonical order that [`vit_nostd::float`] documents. The logits have the
//! same bits as the engine's.
//!
//! Every number in the formulas of one token is a tensor here, whose axes are tokens and images. A channel is one
//! tensor, and a formula over channels is a loop. dfdx evaluates `+ - * /`, roots and comparisons element by element,
//! each with one rounding. Its reductions and its matrix product are not used, because they sum in another order or
//! fuse multiplication and addition.
//!
//! Bits are equal as long as no value is a NaN. A NaN has many bit patterns, and which one results differs between
//! machines.

use dfdx::{
    shapes::{Axes2, Axis, HasShape},
    tensor::{AsArray, Cpu, Tensor, TensorFrom, TensorFromVec, ZerosTensor},
    tensor_ops::{BroadcastTo, ChooseFrom, GatherTo, SelectTo, TryConcatAlong, TryGt},
};
use rayon::prelude::*;
use std::f32::consts::LOG2_E;
use vit_nostd::{
    float::weights::{Embedding, Weights},
    model_file::{Kind, ModelFile, Normalization},
    Element, Field, Image, ModelError, Network, Vector,
};

/// One number for each token (first axis) of each image (second axis).
type Lanes = Tensor<(usize, usize), f32, Cpu>;

/// The number of images in a batch. With larger batches, the cost of creating a tensor is shared by more images; with
/// smaller ones, more threads are busy.
const BATCH: usize = 16;

/// Computes the logits of `images`, in the same order, by the float model file `model`. It uses all threads.
///
/// # Errors
/// The errors are those of [`ModelFile::parse`].
pub fn logits<N: Network>(
    model: &[u8],
    images: &[&Image<N>],
) -> Result<Vec<Vector<N::Classes, f32>>, ModelError> {
    let file = ModelFile::parse::<N>(model, Kind::F32, Weights::<N>::BYTES)?;
    let weights = Weights::from_bytes(file.weights).ok_or(ModelError::BadField(Field::Weights))?;
    let normalization = &file.metadata.normalization[..N::CHANNELS];
    Ok(images.par_chunks(BATCH).flat_map_iter(|images| batch::<N>(&weights, normalization, images)).collect())
}

/// Computes the logits of a batch of images.
///
/// All tokens pass through all blocks and the head, although only the logits of the class token are used.
fn batch<N: Network>(
    weights: &Weights<'_, N>,
    normalization: &[Normalization],
    images: &[&Image<N>],
) -> Vec<Vector<N::Classes, f32>> {
    let mut x = embed::<N>(&weights.embedding, normalization, images);
    for block in weights.blocks() {
        let normed = layer_norm(&x, block.norm1_weight.as_ref(), block.norm1_bias.as_ref());
        let query = linear(&normed, block.query_weight.as_ref(), block.query_bias.as_ref());
        let key = linear(&normed, block.key_weight.as_ref(), block.key_bias.as_ref());
        let value = linear(&normed, block.value_weight.as_ref(), block.value_bias.as_ref());
        let heads = query.chunks(N::HEAD_DIM).zip(key.chunks(N::HEAD_DIM)).zip(value.chunks(N::HEAD_DIM));
        let context: Vec<_> = heads.flat_map(|((query, key), value)| attend(query, key, value)).collect();
        x = add(x, linear(&context, block.proj_weight.as_ref(), block.proj_bias.as_ref()));

        let normed = layer_norm(&x, block.norm2_weight.as_ref(), block.norm2_bias.as_ref());
        let hidden = linear(&normed, block.hidden_weight.as_ref(), block.hidden_bias.as_ref());
        let hidden: Vec<_> = hidden.into_iter().map(gelu).collect();
        x = add(x, linear(&hidden, block.mlp_weight.as_ref(), block.mlp_bias.as_ref()));
    }
    let normed = layer_norm(&x, weights.head.norm_weight.as_ref(), weights.head.norm_bias.as_ref());
    let classes = linear(&normed, weights.head.head_weight.as_ref(), weights.head.head_bias.as_ref());

    let mut logits = vec![Vector::<N::Classes, f32>::ZERO; images.len()];
    for (class, lanes) in classes.iter().enumerate() {
        for (image, logits) in logits.iter_mut().enumerate() {
            logits.as_mut()[class] = lanes[[0, image]];
        }
    }
    logits
}

/// An image or a map: a tensor for each channel, whose axes are pixels, row by row, and images.
struct Picture {
    height: usize,
    width: usize,
    channels: Vec<Lanes>,
}

/// The windows of a convolution.
#[derive(Clone, Copy)]
struct Kernel {
    /// The height and the width of a window.
    size: [usize; 2],
    /// The distances from one window to the next below it, and to the next at its right.
    stride: [usize; 2],
    /// The number of rows and columns of zeros around the picture.
    padding: usize,
}

/// Embeds the patches of a batch of images.
///
/// ```text
/// x = (p / 255 - mean) / std
/// x = gelu(convolution(x)), if the tokenizer has two convolutions
/// token[0] = cls + pos[0]
/// token[1 + n] = convolution(x)[window n] + pos[1 + n]
/// ```
fn embed<N: Network>(
    weights: &Embedding<'_, N>,
    normalization: &[Normalization],
    images: &[&Image<N>],
) -> Vec<Lanes> {
    let device = Cpu::default();
    let channel = |(channel, &Normalization { mean, std }): (usize, &Normalization)| {
        let level =
            |y: usize, x: usize, image: &Image<N>| f32::from(image.as_ref()[y].as_ref()[x].as_ref()[channel]);
        let pixels = (0..N::HEIGHT).flat_map(|y| (0..N::WIDTH).map(move |x| [y, x]));
        let levels = pixels.flat_map(|[y, x]| images.iter().map(move |image| level(y, x, image))).collect();
        let levels: Lanes = device.tensor_from_vec(levels, (N::HEIGHT * N::WIDTH, images.len()));
        (levels / 255.0 - mean) / std
    };
    let channels = normalization.iter().enumerate().map(channel).collect();
    let mut picture = Picture { height: N::HEIGHT, width: N::WIDTH, channels };
    if let Some(stem) = N::STEM {
        let kernel = Kernel { size: stem.kernel, stride: stem.stride, padding: stem.padding };
        let rows = weights.stem_weight.as_ref().iter().flat_map(|row| row.as_ref());
        let weight: Vec<_> = rows.flat_map(|pixel| pixel.as_ref()).collect();
        picture = convolve(&picture, kernel, &weight, weights.stem_bias.as_ref());
        picture.channels = picture.channels.into_iter().map(gelu).collect();
    }
    let patches = N::PATCHES;
    let kernel = Kernel { size: patches.kernel, stride: patches.stride, padding: patches.padding };
    let rows = weights.patch_weight.as_ref().iter().flat_map(|row| row.as_ref());
    let weight: Vec<_> = rows.flat_map(|pixel| pixel.as_ref()).collect();

    let patches = convolve(&picture, kernel, &weight, weights.patch_bias.as_ref());
    let channels = patches.channels.into_iter().zip(weights.cls_token.as_ref()).enumerate();
    channels
        .map(|(channel, (patches, &cls))| {
            let cls: Lanes = device.tensor_from_vec(vec![cls; images.len()], (1, images.len()));
            let tokens = (cls, patches).concat_along(Axis::<0>);
            let position = weights.pos_embed.as_ref().iter().map(|token| token.as_ref()[channel]).collect();
            let position = device.tensor_from_vec(position, (N::TOKENS,));
            let position = position.broadcast_like::<_, Axis<1>>(&tokens);
            tokens + position
        })
        .collect()
}

/// Computes a convolution, which is a linear layer of the values of each window. They are in the order row, pixel,
/// channel, and are 0 outside of the picture.
fn convolve<Row: AsRef<[f32]>>(picture: &Picture, kernel: Kernel, weight: &[Row], bias: &[f32]) -> Picture {
    let &Picture { height, width, ref channels } = picture;
    let Kernel { size, stride, padding } = kernel;
    let rows = (height + 2 * padding - size[0]) / stride[0] + 1;
    let columns = (width + 2 * padding - size[1]) / stride[1] + 1;
    // A pixel of zeros follows those of the picture.
    let zeros = |lanes: &Lanes| -> Lanes { lanes.device().zeros_like(&(1, lanes.shape().1)) };
    let padded = |lanes: &Lanes| (lanes.clone(), zeros(lanes)).concat_along(Axis::<0>);
    let channels: Vec<Lanes> = channels.iter().map(padded).collect();

    let mut values = Vec::new();
    for row in 0..size[0] {
        for column in 0..size[1] {
            let pixel = |window: usize| {
                let y = (window / columns * stride[0] + row).checked_sub(padding);
                let x = (window % columns * stride[1] + column).checked_sub(padding);
                match (y, x) {
                    (Some(y), Some(x)) if y < height && x < width => y * width + x,
                    _ => height * width,
                }
            };
            let pixels = (0..rows * columns).map(pixel).collect();
            let pixels = Cpu::default().tensor_from_vec(pixels, (rows * columns,));
            for lanes in &channels {
                let value: Lanes = lanes.clone().gather(pixels.clone());
                values.push(value);
            }
        }
    }
    Picture { height: rows, width: columns, channels: linear(&values, weight, bias) }
}

/// Computes a linear layer: `y[j] = ((bias[j] + x[0] * w[0][j]) + x[1] * w[1][j]) + ...`.
fn linear<Row: AsRef<[f32]>>(x: &[Lanes], weight: &[Row], bias: &[f32]) -> Vec<Lanes> {
    let output = |(j, &bias): (usize, &f32)| {
        let products = x.iter().zip(weight).map(|(x, row)| x.clone() * row.as_ref()[j]);
        products.fold(constant(bias, &x[0]), |sum, product| sum + product)
    };
    bias.iter().enumerate().map(output).collect()
}

/// Computes a LayerNorm.
///
/// ```text
/// m = (0 + x[0] + x[1] + ...) / D
/// v = (0 + (x[0] - m)^2 + (x[1] - m)^2 + ...) / D
/// r = 1 / sqrt(v + 1e-6)
/// y[j] = ((x[j] - m) * r) * w[j] + b[j]
/// ```
fn layer_norm(x: &[Lanes], weight: &[f32], bias: &[f32]) -> Vec<Lanes> {
    let width = x.len() as f32;
    let mean = sum(x.iter().cloned(), &x[0]) / width;
    let centred: Vec<_> = x.iter().map(|x| x.clone() - mean.clone()).collect();
    let variance = sum(centred.iter().map(|c| c.clone() * c.clone()), &mean) / width;
    let inverse = constant(1.0, &mean) / (variance + 1e-6).sqrt();
    let affine = weight.iter().zip(bias);
    centred.into_iter().zip(affine).map(|(c, (&w, &b))| (c * inverse.clone()) * w + b).collect()
}

/// Computes the attention of one head.
///
/// ```text
/// s[t] = (0 + q[0] * k[t][0] + q[1] * k[t][1] + ...) * (1 / sqrt(HEAD_DIM))
/// e[t] = exp(s[t] - max(s))
/// p[t] = e[t] * (1 / (0 + e[0] + e[1] + ...))
/// c[d] = 0 + p[0] * v[0][d] + p[1] * v[1][d] + ...
/// ```
///
/// The elements of tensors belong to the tokens of the queries; the code loops over the tokens `t` of keys and values.
fn attend(query: &[Lanes], key: &[Lanes], value: &[Lanes]) -> Vec<Lanes> {
    let like = &query[0];
    let device = like.device();
    let tokens = like.shape().0;
    let of_token = |t: usize, x: &Lanes| x.clone().select(device.tensor(t)).broadcast_like::<_, Axis<0>>(x);

    let scale = (device.tensor(1.0) / device.tensor(query.len() as f32).sqrt()).array();
    let score = |t| sum(query.iter().zip(key).map(|(q, k)| q.clone() * of_token(t, k)), like) * scale;
    let scores: Vec<_> = (0..tokens).map(score).collect();
    // If there are zeros of both signs, either may be the maximum, because e^0 = e^-0 = 1.
    let max = scores.iter().skip(1).fold(scores[0].clone(), |max, s| max.maximum(s.clone()));
    let e: Vec<_> = scores.into_iter().map(|s| exp(s - max.clone())).collect();
    let inverse = constant(1.0, like) / sum(e.iter().cloned(), like);
    let p: Vec<_> = e.into_iter().map(|e| e * inverse.clone()).collect();
    value.iter().map(|v| sum(p.iter().enumerate().map(|(t, p)| p.clone() * of_token(t, v)), like)).collect()
}

/// Adds channel by channel: `x[j] = x[j] + y[j]`.
fn add(x: Vec<Lanes>, y: Vec<Lanes>) -> Vec<Lanes> {
    x.into_iter().zip(y).map(|(x, y)| x + y).collect()
}

/// Adds up terms in order: `0 + terms[0] + terms[1] + ...`.
fn sum(terms: impl Iterator<Item = Lanes>, like: &Lanes) -> Lanes {
    terms.fold(constant(0.0, like), |sum, term| sum + term)
}

/// Returns a tensor of the shape of `like` whose elements are all `value`.
fn constant(value: f32, like: &Lanes) -> Lanes {
    like.device().tensor(value).broadcast_like::<_, Axes2<0, 1>>(like)
}

/// Computes e^x.
///
/// ```text
/// x = min(max(x, -87), 88)
/// t = x * LOG2_E + ROUND;  n = t - ROUND
/// r = (x - n * LN_2_HIGH) - n * LN_2_LOW
/// p = (((EXP4 * r + EXP3) * r + EXP2) * r + EXP1) * r + EXP0
/// e^x = ((p * (r * r) + r) + 1) * 2^n
/// ```
fn exp(x: Lanes) -> Lanes {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clone().maximum(constant(-87.0, &x)).minimum(constant(88.0, &x));
    let n = (x.clone() * LOG2_E + ROUND) - ROUND;
    let r = (x - n.clone() * 0.693_359_4) - n.clone() * -2.121_944_4e-4;
    let p = horner(&[0.001_381_459_9, 0.008_368_717, 0.041_668_39, 0.166_665_21, 0.499_999_94], &r);
    ((p * (r.clone() * r.clone()) + r) + 1.0) * power_of_two(n)
}

/// Computes 2^n exactly, for whole numbers -126 <= n <= 127.
///
/// The least normal number is 2^-126. It is multiplied by powers of two whose exponents, taken from `STEPS`, add up
/// to n + 126. The product never decreases, so that it stays a normal number.
fn power_of_two(n: Lanes) -> Lanes {
    const TWO_TO_THE_64: f32 = 18_446_744_073_709_551_616.0;
    const STEPS: [(f32, f32); 9] = [
        (64.0, TWO_TO_THE_64),
        (64.0, TWO_TO_THE_64),
        (64.0, TWO_TO_THE_64),
        (32.0, 4_294_967_296.0),
        (16.0, 65_536.0),
        (8.0, 256.0),
        (4.0, 16.0),
        (2.0, 4.0),
        (1.0, 2.0),
    ];
    let least = constant(f32::MIN_POSITIVE, &n);
    let (power, _) = STEPS.iter().fold((least, n + 126.0), |(power, rest), &(step, factor)| {
        let taken = (rest.clone() - (step - 1.0)).clamp(0.0, 1.0);
        (power * (taken.clone() * factor).clamp(1.0, factor), rest - taken * step)
    });
    power
}

/// Computes GELU: `a = min(|x|, 6)`; `q = Horner(NEG_LN_TAIL, a)`; `gelu(x) = max(x, 0) - a * exp(0 - q)`.
fn gelu(x: Lanes) -> Lanes {
    #[allow(clippy::excessive_precision)] // the documented digits
    const NEG_LN_TAIL_HIGHEST_FIRST: [f32; 9] = [
        1.362_721e-6,
        -2.004_592_4e-5,
        9.437_907e-5,
        1.794_753_8e-4,
        -0.005_008_063_7,
        0.036_466_964,
        0.318_271_55,
        0.797_888_9,
        0.693_147_12,
    ];
    let zero = constant(0.0, &x);
    let a = x.clone().abs().minimum(constant(6.0, &x));
    let q = horner(&NEG_LN_TAIL_HIGHEST_FIRST, &a);
    // The operation `maximum` is not used, because it may return either zero for -0.
    x.gt(&zero).choose(x, zero.clone()) - a * exp(zero - q)
}

/// Evaluates a polynomial by Horner's scheme. The coefficient of the highest degree comes first.
fn horner(coefficients: &[f32], x: &Lanes) -> Lanes {
    let highest = constant(coefficients[0], x);
    coefficients[1..].iter().fold(highest, |sum, &coefficient| sum * x.clone() + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vit_nostd::{
        float::{math, Model, Scratch},
        frame::Fit,
        image,
        model_file::{overhead, write, Metadata, Provenance, ALIGNMENT, MAX_CHANNELS},
        ConvNano, Nano,
    };

    vit_nostd::network! {
        OneBlock { image: 4, patch: 2, embed: 6, heads: 2, hidden: 8, depth: 1, classes: 3 }
        OnePatch { image: 6, patch: 6, embed: 5, heads: 1, hidden: 7, depth: 3, classes: 2 }
        ThreeHeads { image: [9, 6, 3], patch: [3, 2], embed: 12, heads: 3, hidden: 5, depth: 2, classes: 4 }
        HeadsOf1 { image: 5, patch: 1, embed: 8, heads: 8, hidden: 16, depth: 2, classes: 10 }
        OverlappingColour {
            image: [9, 7, 3], tokenizer: [{ kernel: 5, stride: 2, padding: 2 }],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
        }
        RowsLeftOver {
            image: [8, 11], tokenizer: [{ kernel: 3, stride: 4, padding: 1 }],
            embed: 6, heads: 3, hidden: 7, depth: 1, classes: 3,
        }
        Stem {
            image: [12, 10, 3],
            tokenizer: [
                { kernel: 3, stride: 2, padding: 1, channels: 5 },
                { kernel: 3, stride: 2, padding: 1 },
            ],
            embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
        }
        StemOfGaps {
            image: [11, 13], tokenizer: [{ kernel: 2, stride: 1, channels: 7 }, { kernel: 2, stride: 3 }],
            embed: 16, heads: 2, hidden: 12, depth: 1, classes: 4,
        }
        GapsOfStem {
            image: [11, 8], tokenizer: [{ kernel: 2, stride: 3, channels: 1 }, { kernel: 4, padding: 3 }],
            embed: 4, heads: 1, hidden: 3, depth: 1, classes: 4,
        }
    }

    /// The random number generator SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        /// Returns a number between -1 and 1.
        fn symmetric(&mut self) -> f32 {
            (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
        }
    }

    /// Bytes with the alignment that a model file must have.
    struct AlignedBytes {
        buffer: Vec<u8>,
        start: usize,
    }

    impl AlignedBytes {
        fn new(len: usize) -> Self {
            let buffer = vec![0; len + ALIGNMENT];
            let start = buffer.as_ptr().align_offset(ALIGNMENT);
            Self { buffer, start }
        }

        fn bytes(&mut self) -> &mut [u8] {
            &mut self.buffer[self.start..]
        }
    }

    type Logits<N> = Vec<Vector<<N as Network>::Classes, f32>>;

    /// Returns the logits of `images` by the reference and by the engine, for a model whose weights are results of
    /// `weight`.
    fn both<N: Network>(mut weight: impl FnMut() -> f32, images: &[&Image<N>]) -> (Logits<N>, Logits<N>) {
        let weights: Vec<u8> = (0..Weights::<N>::BYTES / 4).flat_map(|_| weight().to_le_bytes()).collect();
        let mut normalization = [Normalization::NO_CHANNEL; MAX_CHANNELS];
        let channels = [(0.1307, 0.3081), (0.5, 0.25), (-0.2, 0.75)];
        for (place, (mean, std)) in normalization.iter_mut().zip(channels).take(N::CHANNELS) {
            *place = Normalization { mean, std };
        }
        let labels = vec!["label"; N::CLASSES].join("\n");
        let provenance =
            Provenance { dataset: "none", seed: 0, test_accuracy: None, tool: "test", checkpoint: None };
        let metadata = Metadata::new(Fit::Stretch, normalization, &labels, provenance);
        let mut file = AlignedBytes::new(weights.len() + overhead(&metadata));
        let len = write::<N>(Kind::F32, &metadata, &weights, file.bytes()).unwrap();

        let file = &file.bytes()[..len];
        let model = Model::<N>::from_bytes(file).unwrap();
        let mut scratch = Box::new(Scratch::new());
        let engine = images.iter().map(|image| model.infer(image, &mut scratch)).collect();
        (logits::<N>(file, images).unwrap(), engine)
    }

    fn bits<N: Network>(logits: &Logits<N>) -> Vec<Vec<u32>> {
        logits.iter().map(|logits| logits.as_ref().iter().map(|logit| logit.to_bits()).collect()).collect()
    }

    /// Returns the pixels of `count` images: the first is black, the second white, and the others are noise of
    /// growing density.
    fn pictures<N: Network>(count: usize, random: &mut Random) -> Vec<u8> {
        let values = N::DIMS.image_values();
        let mut level = |image: usize| match image {
            0 => 0,
            1 => 255,
            _ if random.next() % count as u64 > image as u64 => 0,
            _ => random.next() as u8,
        };
        (0..count * values).map(|index| level(index / values)).collect()
    }

    /// Checks that both implementations compute the same bits, on `count` images, with models of small and large
    /// weights.
    fn assert_equal_bits<N: Network>(count: usize) {
        let mut random = Random(count as u64);
        for scale in [0.05, 0.3, 1.0, 8.0, 1000.0] {
            let pictures = pictures::<N>(count, &mut random);
            let images: Vec<_> = pictures.chunks(N::DIMS.image_values()).flat_map(image::<N>).collect();
            assert_eq!(images.len(), count);
            let (reference, engine) = both::<N>(|| scale * random.symmetric(), &images);
            assert!(engine.iter().all(|logits| logits.as_ref().iter().all(|logit| logit.is_finite())));
            let distinct = bits::<N>(&engine).into_iter().collect::<std::collections::HashSet<_>>().len();
            assert!(distinct > count / 2, "scale {scale}: most images have the same logits");
            assert_eq!(bits::<N>(&reference), bits::<N>(&engine), "{}, scale {scale}", N::DIMS);
        }
    }

    #[test]
    fn equal_bits_in_small_networks() {
        assert_equal_bits::<OneBlock>(50);
        assert_equal_bits::<OnePatch>(50);
        assert_equal_bits::<ThreeHeads>(50);
        assert_equal_bits::<HeadsOf1>(20);
    }

    #[test]
    fn equal_bits_with_convolutions() {
        assert_equal_bits::<OverlappingColour>(30);
        assert_equal_bits::<RowsLeftOver>(30);
        assert_equal_bits::<Stem>(30);
        assert_equal_bits::<StemOfGaps>(30);
        assert_equal_bits::<GapsOfStem>(30);
    }

    #[test]
    fn equal_bits_in_presets_and_over_batches() {
        assert_equal_bits::<Nano>(BATCH + 6);
        assert_equal_bits::<ConvNano>(BATCH + 6);
    }

    /// Checks that both implementations compute the same bits with weights of which many are equal or zeros.
    fn assert_equal_bits_of_ties<N: Network>() {
        let mut random = Random(1);
        let pictures = pictures::<N>(20, &mut random);
        let images: Vec<_> = pictures.chunks(N::DIMS.image_values()).flat_map(image::<N>).collect();
        for weights in [&[0.0][..], &[-0.0], &[0.0, -0.0], &[1.0], &[0.0, -0.0, 1.0, -1.0], &[0.0, 1.0]] {
            for _ in 0..5 {
                let pick = || weights[random.next() as usize % weights.len()];
                let (reference, engine) = both::<N>(pick, &images);
                assert_eq!(bits::<N>(&reference), bits::<N>(&engine), "{}, {weights:?}", N::DIMS);
            }
        }
    }

    #[test]
    fn equal_bits_where_values_are_zeros_and_ties() {
        vit_nostd::network! {
            Small { image: 4, patch: 2, embed: 6, heads: 2, hidden: 8, depth: 2, classes: 3 }
        }
        assert_equal_bits_of_ties::<Small>();
        assert_equal_bits_of_ties::<OverlappingColour>();
        assert_equal_bits_of_ties::<GapsOfStem>();
    }

    /// Checks that `function` and `engine` agree on every `step`th number of all signs and sizes, and on some special
    /// ones.
    fn assert_same_function(function: fn(Lanes) -> Lanes, engine: fn(f32) -> f32, step: usize) {
        let device = Cpu::default();
        let finite = (0..f32::INFINITY.to_bits()).step_by(step).flat_map(|bits| {
            let x = f32::from_bits(bits);
            [x, -x]
        });
        let ends = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 6.0, -6.0, 88.0, -87.0];
        let all: Vec<f32> = finite.chain(ends).collect();
        for xs in all.chunks(1 << 14) {
            let lanes = device.tensor_from_vec(xs.to_vec(), (1, xs.len()));
            for (&x, y) in xs.iter().zip(function(lanes).as_vec()) {
                assert_eq!(y.to_bits(), engine(x).to_bits(), "{x:e}: {y:e} and {:e}", engine(x));
            }
        }
    }

    #[test]
    fn exp_is_that_of_the_engine() {
        assert_same_function(exp, math::exp, 1009);
    }

    #[test]
    fn gelu_is_that_of_the_engine() {
        assert_same_function(gelu, math::gelu, 1009);
    }

    #[test]
    fn powers_of_two_are_exact() {
        let n: Vec<i32> = (-126..=127).collect();
        let lanes = n.iter().map(|&n| n as f32).collect();
        let powers = power_of_two(Cpu::default().tensor_from_vec(lanes, (1, n.len()))).as_vec();
        for (n, power) in n.into_iter().zip(powers) {
            assert_eq!(power.to_bits(), ((n + 127) as u32) << 23, "2^{n}");
        }
    }

    #[test]
    fn shares_no_arithmetic_with_the_engine() {
        let (code, _) = include_str!("float.rs").split_once("#[cfg(test)]").unwrap();
        for word in ["math", "infer", "Model::", "Scratch"] {
            assert!(!code.contains(word), "{word}");
        }
        // These are the number of windows and what follows from it, which the engine computes from the dimensions.
        for word in [".rows()", ".columns()", ".values()", ".height", ".width", "Windows", "map_pixels"] {
            assert!(!code.contains(word), "{word}");
        }
        // These operations of dfdx sum in another order, or have other formulas.
        for call in ["matmul", ".sum", ".mean", ".var", ".softmax", ".normalize", ".exp", ".gelu", "mul_add"]
        {
            assert!(!code.contains(call), "{call}");
        }
    }
}
