//! Tests of the float engine against the textbook. [`reference`] computes a Vision Transformer in f64 in the most
//! direct way, and uses nothing of the library but the dimensions.

use vit_nostd::float::{Model, Scratch};
use vit_nostd::model_file::{overhead, write, Kind, Normalization};
use vit_nostd::{image, Base, ConvNano, Dims, Image, Nano, Network, Probe, Stage, Tiny, Values};
use vit_random_models::{aligned, metadata};

vit_nostd::network! {
    OneBlock { image: 4, patch: 2, embed: 6, heads: 3, hidden: 7, depth: 1, classes: 3 }
    Odd { image: 9, patch: 3, embed: 10, heads: 2, hidden: 13, depth: 3, classes: 11 }
    OneHead { image: 6, patch: 3, embed: 4, heads: 1, hidden: 5, depth: 1, classes: 3 }
    OneHeadOf7 { image: 6, patch: 2, embed: 7, heads: 1, hidden: 1, depth: 2, classes: 3 }
    ThreeHeads { image: 4, patch: 2, embed: 6, heads: 3, hidden: 7, depth: 2, classes: 3 }
    ManyTokens { image: 6, patch: 1, embed: 9, heads: 3, hidden: 5, depth: 4, classes: 2 }
    OnePatch { image: 5, patch: 5, embed: 3, heads: 3, hidden: 1, depth: 1, classes: 1 }
    OnePixel { image: 1, patch: 1, embed: 6, heads: 6, hidden: 1, depth: 5, classes: 2 }
    Colour { image: [6, 20, 3], patch: [3, 5], embed: 6, heads: 2, hidden: 7, depth: 2, classes: 3 }
    GreyRectangle { image: [2, 9], patch: [1, 3], embed: 6, heads: 2, hidden: 7, depth: 2, classes: 3 }
    Embed132 { image: [4, 9, 3], patch: [2, 3], embed: 132, heads: 3, hidden: 50, depth: 2, classes: 5 }
    Embed256 { image: [4, 4, 3], patch: [2, 4], embed: 256, heads: 4, hidden: 100, depth: 1, classes: 5 }
    OverlappingPatches {
        image: [9, 7, 3], tokenizer: [{ kernel: 5, stride: 2, padding: 2 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    Stem {
        image: [12, 10, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 5 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3,
    }
    StemOfGaps {
        image: [11, 13], tokenizer: [{ kernel: 2, stride: 1, channels: 7 }, { kernel: 2, stride: 3 }],
        embed: 16, heads: 2, hidden: 12, depth: 1, classes: 4,
    }
    StemOfStride1 {
        image: [6, 5, 3], tokenizer: [{ kernel: 2, channels: 4 }, { kernel: 3, padding: 2 }],
        embed: 8, heads: 1, hidden: 8, depth: 1, classes: 4,
    }
}

type Trace<T> = Vec<(Probe, Vec<T>)>;

/// The mean and the standard deviation of each channel.
const NORMALIZATION: [(f64, f64); 3] = [(0.25, 0.5), (0.5, 0.25), (0.375, 0.125)];

/// Returns the values that the engine must pass to its observer, computed from the parameters in the order of the file.
fn reference(dims: Dims, mut parameters: &[f64], pixels: &[u8]) -> Trace<f64> {
    let [height, width, channels] = [dims.height, dims.width, dims.channels].map(usize::from);
    let kernel = [dims.patch_height.into(), dims.patch_width.into()];
    let (stride, padding) = (dims.patch_stride.map(usize::from), dims.patch_padding.into());
    let [tokens, embed, heads, head_dim, hidden, depth, classes] =
        [dims.tokens, dims.embed, dims.heads, dims.head_dim, dims.hidden, dims.depth, dims.classes]
            .map(usize::from);
    let mut take = |count: usize| {
        let (tensor, rest) = parameters.split_at(count);
        parameters = rest;
        tensor
    };
    let mut trace = vec![];
    let mut note = |stage, block, token, values: &[f64]| {
        trace.push((Probe { stage, block, token }, values.to_vec()));
    };

    let level = |(index, &level): (usize, &u8)| {
        let (mean, std) = NORMALIZATION[index % channels];
        (f64::from(level) / 255.0 - mean) / std
    };
    let pixels: Vec<f64> = pixels.iter().enumerate().map(level).collect();
    let mut input = Input { size: [height, width], channels, values: pixels };
    if let Some(stem) = dims.stem {
        let outputs: usize = stem.channels.into();
        let (weight, bias) = (take(usize::from(stem.kernel).pow(2) * channels * outputs), take(outputs));
        let rows = input.windows([stem.kernel.into(); 2], [stem.stride.into(); 2], stem.padding.into());
        let map: Vec<Vec<f64>> = rows
            .iter()
            .flatten()
            .map(|window| linear(window, weight, bias).into_iter().map(gelu).collect())
            .collect();
        input = Input { size: [rows.len(), rows[0].len()], channels: outputs, values: map.concat() };
        // The engine computes only those rows that are in a patch.
        let tops = (0..).step_by(stride[0]).take_while(|top| top + kernel[0] <= rows.len() + 2 * padding);
        let needed: Vec<usize> = tops.flat_map(|top| top..top + kernel[0]).collect();
        for (index, pixel) in map.iter().enumerate() {
            if needed.contains(&(index / rows[0].len() + padding)) {
                note(Stage::Stem, 0, index, pixel);
            }
        }
    }
    let values = kernel[0] * kernel[1] * input.channels;
    let (patch_weight, patch_bias) = (take(values * embed), take(embed));
    let (cls_token, positions) = (take(embed), take(tokens * embed));
    let mut x = vec![cls_token.to_vec()];
    let patches = input.windows(kernel, stride, padding);
    x.extend(patches.iter().flatten().map(|patch| linear(patch, patch_weight, patch_bias)));
    assert_eq!(x.len(), tokens);
    for (token, (x, position)) in x.iter_mut().zip(positions.chunks(embed)).enumerate() {
        *x = sum(x, position);
        note(Stage::Embedding, 0, token, x);
    }

    for block in 0..depth {
        let mut layer = |inputs: usize, outputs: usize| (take(inputs * outputs), take(outputs));
        let norm1 = layer(1, embed);
        let [query, key, value, projection] = [(); 4].map(|()| layer(embed, embed));
        let norm2 = layer(1, embed);
        let (into_hidden, out_of_hidden) = (layer(embed, hidden), layer(hidden, embed));

        let normed: Vec<_> = x.iter().map(|x| layer_norm(x, norm1)).collect();
        let keys: Vec<_> = normed.iter().map(|x| linear(x, key.0, key.1)).collect();
        let values: Vec<_> = normed.iter().map(|x| linear(x, value.0, value.1)).collect();
        for token in 0..tokens {
            note(Stage::Norm1, block, token, &normed[token]);
            note(Stage::Key, block, token, &keys[token]);
            note(Stage::Value, block, token, &values[token]);
        }
        let needed = if block + 1 < depth { tokens } else { 1 };
        for token in 0..needed {
            let query = linear(&normed[token], query.0, query.1);
            note(Stage::Query, block, token, &query);
            let mut joined = vec![];
            for head in 0..heads {
                let own = head * head_dim..(head + 1) * head_dim;
                let scores = keys.iter().map(|key| {
                    let products = own.clone().map(|i| query[i] * key[i]);
                    products.sum::<f64>() / (head_dim as f64).sqrt()
                });
                let scores: Vec<f64> = scores.collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let exponentials: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
                let total: f64 = exponentials.iter().sum();
                joined.extend(own.map(|i| {
                    exponentials.iter().zip(&values).map(|(e, value)| e / total * value[i]).sum::<f64>()
                }));
            }
            note(Stage::Attention, block, token, &joined);
            x[token] = sum(&x[token], &linear(&joined, projection.0, projection.1));
            note(Stage::Projection, block, token, &x[token]);
        }
        for (token, x) in x.iter_mut().enumerate().take(needed) {
            let normed = layer_norm(x, norm2);
            note(Stage::Norm2, block, token, &normed);
            let hidden: Vec<f64> =
                linear(&normed, into_hidden.0, into_hidden.1).into_iter().map(gelu).collect();
            note(Stage::Hidden, block, token, &hidden);
            *x = sum(x, &linear(&hidden, out_of_hidden.0, out_of_hidden.1));
            note(Stage::Mlp, block, token, x);
        }
    }

    let normed = layer_norm(&x[0], (take(embed), take(embed)));
    note(Stage::Norm, depth, 0, &normed);
    let logits = linear(&normed, take(embed * classes), take(classes));
    note(Stage::Head, depth, 0, &logits);
    assert!(take(0).is_empty() && parameters.is_empty(), "some parameters were not used");
    trace
}

/// The input of a convolution: an image or a map of this height and width.
struct Input {
    size: [usize; 2],
    channels: usize,
    values: Vec<f64>,
}

impl Input {
    /// Returns the rows of windows of a convolution, with zeros outside of the input.
    fn windows(&self, kernel: [usize; 2], stride: [usize; 2], padding: usize) -> Vec<Vec<Vec<f64>>> {
        let [height, width] = self.size;
        let value = |y: usize, x: usize, channel: usize| {
            let inside = (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x);
            if inside {
                self.values[((y - padding) * width + x - padding) * self.channels + channel]
            } else {
                0.0
            }
        };
        let last = |axis: usize| self.size[axis] + 2 * padding - kernel[axis];
        let mut rows = vec![];
        for top in (0..=last(0)).step_by(stride[0]) {
            let mut row = vec![];
            for left in (0..=last(1)).step_by(stride[1]) {
                let mut window = vec![];
                for y in top..top + kernel[0] {
                    for x in left..left + kernel[1] {
                        window.extend((0..self.channels).map(|channel| value(y, x, channel)));
                    }
                }
                row.push(window);
            }
            rows.push(row);
        }
        rows
    }
}

fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let column = |j| weight.iter().skip(j).step_by(bias.len());
    (0..bias.len()).map(|j| bias[j] + x.iter().zip(column(j)).map(|(x, w)| x * w).sum::<f64>()).collect()
}

fn layer_norm(x: &[f64], (weight, bias): (&[f64], &[f64])) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let normed = x.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt());
    normed.zip(weight).zip(bias).map(|((x, weight), bias)| x * weight + bias).collect()
}

fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + libm::erf(x / 2f64.sqrt()))
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// A pseudo-random number generator (Marsaglia's xorshift) with the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns parameters between -0.5 and 0.5.
    fn parameters<N: Network>(&mut self) -> Vec<f32> {
        (0..N::DIMS.parameters()).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32 - 0.5).collect()
    }

    fn pixels<N: Network>(&mut self) -> Vec<u8> {
        (0..N::DIMS.image_values()).map(|_| (self.next() >> 32) as u8).collect()
    }
}

fn with_model<N: Network, R>(parameters: &[f32], f: impl FnOnce(&Model<'_, N>) -> R) -> R {
    let labels = vec!["label"; N::CLASSES].join("\n");
    let weights: Vec<u8> = parameters.iter().flat_map(|p| p.to_le_bytes()).collect();
    let mut metadata = metadata::<N>(&labels);
    for (channel, (mean, std)) in metadata.normalization.iter_mut().zip(NORMALIZATION).take(N::CHANNELS) {
        *channel = Normalization { mean: mean as f32, std: std as f32 };
    }
    let mut file = vec![0; weights.len() + overhead(&metadata)];
    let len = write::<N>(Kind::F32, &metadata, &weights, &mut file).unwrap();
    aligned(&file[..len], |bytes| f(&Model::from_bytes(bytes).unwrap()))
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// Compares every value of every probe with the reference, and `infer` with `infer_observed`, for a few random networks
/// and images.
fn agrees_with_the_textbook<N: Network>(networks: u64) {
    for seed in 1..=networks {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        agrees_for::<N>(random.parameters::<N>(), random.pixels::<N>());
    }
}

fn agrees_for<N: Network>(parameters: Vec<f32>, pixels: Vec<u8>) {
    let image: &Image<N> = image::<N>(&pixels).unwrap();
    let mut trace: Trace<f32> = with_model::<N, _>(&parameters, |model| {
        let mut trace = vec![];
        let mut note = |probe, values: Values<'_>| match values {
            Values::F32(values) => trace.push((probe, values.to_vec())),
            _ => panic!("the float engine has f32 values only"),
        };
        let observed = model.infer_observed(image, &mut Scratch::new(), &mut note);
        let silent = model.infer(image, &mut Scratch::new());
        assert_eq!(bits(observed.as_ref()), bits(silent.as_ref()));
        assert_eq!(bits(observed.as_ref()), bits(&trace.last().unwrap().1));
        trace
    });

    let parameters: Vec<f64> = parameters.into_iter().map(f64::from).collect();
    let mut expected = reference(N::DIMS, &parameters, &pixels);
    // The engine may process tokens in any order, and several at a time. Sorting brings both traces into the same
    // order.
    trace.sort_by_key(|(probe, _)| (probe.block, probe.stage, probe.token));
    expected.sort_by_key(|(probe, _)| (probe.block, probe.stage, probe.token));
    let probes: Vec<Probe> = trace.iter().map(|(probe, _)| *probe).collect();
    assert!(probes.iter().eq(expected.iter().map(|(probe, _)| probe)), "{probes:#?}");
    for ((probe, values), (_, expected)) in trace.iter().zip(&expected) {
        assert_eq!(values.len(), expected.len(), "{probe:?}");
        let largest = expected.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
        for (value, expected) in values.iter().zip(expected) {
            let error = (f64::from(*value) - expected).abs() / largest;
            assert!(error < 2e-6, "{probe:?} of {}: {value}, expected {expected}", N::DIMS);
        }
    }
}

#[test]
fn one_head() {
    agrees_with_the_textbook::<OneHead>(50);
    agrees_with_the_textbook::<OneHeadOf7>(50);
}

#[test]
fn odd_sizes() {
    agrees_with_the_textbook::<ThreeHeads>(50);
    agrees_with_the_textbook::<Odd>(20);
    agrees_with_the_textbook::<ManyTokens>(20);
}

#[test]
fn smallest_sizes() {
    agrees_with_the_textbook::<OnePatch>(50);
    agrees_with_the_textbook::<OnePixel>(50);
}

#[test]
fn rectangles_and_colours() {
    agrees_with_the_textbook::<Colour>(50);
    agrees_with_the_textbook::<GreyRectangle>(50);
}

#[test]
fn convolutions() {
    agrees_with_the_textbook::<OverlappingPatches>(20);
    agrees_with_the_textbook::<Stem>(20);
    agrees_with_the_textbook::<StemOfGaps>(20);
    agrees_with_the_textbook::<StemOfStride1>(20);
    agrees_with_the_textbook::<ConvNano>(3);
}

#[test]
fn many_channels() {
    agrees_with_the_textbook::<Embed132>(3);
    agrees_with_the_textbook::<Embed256>(3);
}

#[test]
fn presets() {
    agrees_with_the_textbook::<Nano>(3);
    agrees_with_the_textbook::<Tiny>(1);
    agrees_with_the_textbook::<Base>(1);
}

#[test]
fn softmax_of_large_scores() {
    // If the keys of all tokens are the same large numbers, all scores of a query are large and equal.
    type N = OneBlock;
    let mut random = Random(7);
    let mut parameters = random.parameters::<N>();
    let key = (4 + 1 + 1 + 5) * 6 + 2 * 6 + 7 * 6;
    parameters[key..key + 36].fill(0.0);
    for large in [1e3, -1e3, 1e6] {
        parameters[key + 36..key + 42].fill(large);
        agrees_for::<N>(parameters.clone(), random.pixels::<N>());
    }
}

#[test]
fn what_was_in_the_scratch_does_not_matter() {
    type N = Odd;
    let mut random = Random(7);
    let (parameters, pixels) = (random.parameters::<N>(), random.pixels::<N>());
    let image = image::<N>(&pixels).unwrap();
    let fresh = with_model::<N, _>(&parameters, |model| model.infer(image, &mut Scratch::new()));
    for garbage in [1.0, f32::MAX] {
        let mut scratch = Scratch::new();
        let other: Vec<f32> = random.parameters::<N>().iter().map(|parameter| parameter * garbage).collect();
        let logits = with_model::<N, _>(&other, |other| other.infer(image, &mut scratch));
        let overflows = garbage == f32::MAX;
        assert_eq!(logits.iter().all(|logit| logit.is_nan()), overflows, "factor {garbage}");
        let again = with_model::<N, _>(&parameters, |model| model.infer(image, &mut scratch));
        assert_eq!(bits(&fresh), bits(&again), "after {garbage}");
    }
}

#[test]
fn scratch_has_the_size_one_counts() {
    // Residual stream, keys and values; and for a tile of 6 tokens: normalised, projected, context, hidden layer,
    // scores.
    const NANO: usize = (3 * 17 * 48 + 6 * (3 * 48 + 96 + 17)) * 4;
    assert_eq!(NANO, 15_960);
    assert_eq!(Scratch::<Nano>::BYTES, NANO);
    assert_eq!(Scratch::<Tiny>::BYTES, (3 * 50 * 64 + 6 * (3 * 64 + 128 + 50)) * 4);
    assert_eq!(Scratch::<Base>::BYTES, (3 * 17 * 96 + 6 * (3 * 96 + 384 + 17)) * 4);
}
