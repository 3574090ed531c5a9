//! The specification, NUMERICS.md and FORMAT.md, against the library: the test vectors, which an independent
//! implementation in numpy has made, the tables of tensors, and every example in the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use vit_nostd::{
    frame::{Fit, Frame, Input, PixelFormat, Resizer, MAX_SIDE},
    image,
    int8::{
        kernels::Portable,
        layer_norm::{self, Norm},
        requantize::{requantize, sat8, Halves, Scale, Whole},
        softmax,
        weights::{Weights, WeightsMut},
        Model, Scratch,
    },
    model_file::{Kind, ModelFile, Normalization},
    ConvNano, Element, Length, Nano, Network, Probe, Stage, Values,
};
use vit_random_models::{aligned, random_weights, with_file, with_weights, Mood, Random};

const NUMERICS: &str = include_str!("../NUMERICS.md");
const FORMAT: &str = include_str!("../FORMAT.md");

vit_nostd::network! {
    /// The shape of `vectors/saturating.int8.vit`.
    Saturating { image: 6, patch: 3, embed: 8, heads: 2, hidden: 12, depth: 2, classes: 3 }
    /// The shape of `vectors/colour.int8.vit`.
    Colour { image: [4, 9, 3], patch: [2, 3], embed: 132, heads: 3, hidden: 16, depth: 1, classes: 4 }
    /// The shape of `vectors/conv.int8.vit`.
    Conv {
        image: [9, 8, 3],
        tokenizer: [{ kernel: 3, stride: 2, padding: 1, channels: 4 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 8, heads: 2, hidden: 12, depth: 1, classes: 3,
    }
    /// A network whose tokens are the windows in the example of a tokenizer.
    ExampleWindows {
        image: [3, 2, 3], tokenizer: [{ kernel: 2, stride: 2, padding: 1 }],
        embed: 12, heads: 1, hidden: 4, depth: 1, classes: 1,
    }
    /// A network with the stem in the example of a tokenizer.
    ExampleStem {
        image: [3, 2, 3],
        tokenizer: [{ kernel: 2, stride: 2, padding: 1, channels: 4 }, { kernel: 2 }],
        embed: 4, heads: 1, hidden: 4, depth: 1, classes: 1,
    }
}

static SATURATING: &[u8] = vit_nostd::include_model!("../vectors/saturating.int8.vit", Saturating, Int8);
static COLOUR: &[u8] = vit_nostd::include_model!("../vectors/colour.int8.vit", Colour, Int8);
static CONV: &[u8] = vit_nostd::include_model!("../vectors/conv.int8.vit", Conv, Int8);

fn read(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

// ---- Test vectors ----

/// The values of an inference, by block, stage and token: the order in which they are computed.
type Stages = BTreeMap<(usize, Stage, usize), Vec<i64>>;

/// An image and the values that a file of vectors gives for it.
struct Vectors {
    pixels: Vec<u8>,
    stages: Stages,
}

fn numbers(text: &str) -> Vec<i64> {
    text.split_whitespace().map(|number| number.parse().expect("an integer")).collect()
}

fn read_vectors(path: &str) -> Vec<Vectors> {
    let mut images: Vec<Vectors> = Vec::new();
    for line in String::from_utf8(read(path)).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let (name, values) = line.split_once(": ").expect("a name and values");
        let values = numbers(values);
        if name == "image" {
            let pixels = values.iter().map(|&pixel| pixel.try_into().unwrap()).collect();
            images.push(Vectors { pixels, stages: Stages::new() });
            continue;
        }
        let [stage, block, token] = name.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let stage = Stage::ALL.into_iter().find(|known| known.name() == stage).expect("a stage");
        let place = (block.parse().unwrap(), stage, token.parse().unwrap());
        let again = images.last_mut().unwrap().stages.insert(place, values);
        assert!(again.is_none(), "twice: {name}");
    }
    images
}

/// The values that `infer` passes to the observer it is given.
fn observed(infer: impl FnOnce(&mut dyn FnMut(Probe, Values<'_>))) -> Stages {
    let mut stages = Stages::new();
    infer(&mut |Probe { stage, block, token }, values| {
        let values = match values {
            Values::I8(values) => values.iter().map(|&value| value.into()).collect(),
            Values::I16(values) => values.iter().map(|&value| value.into()).collect(),
            Values::I32(values) => values.iter().map(|&value| value.into()).collect(),
            other => panic!("not of the integer engine: {other:?}"),
        };
        assert!(stages.insert((block, stage, token), values).is_none(), "{stage:?} twice");
    });
    stages
}

fn compare<N: Network>(file: &[u8], vectors: &str, images: usize) {
    let model = Model::<N>::from_bytes(file).unwrap();
    let vectors = read_vectors(vectors);
    assert_eq!(vectors.len(), images);
    for (index, Vectors { pixels, stages }) in vectors.iter().enumerate() {
        // The map; an embedding; per block norm, keys and values of all tokens, six stages of all or in the last of
        // one; the head.
        let (tokens, depth, map) = (N::TOKENS, N::DEPTH, N::DIMS.map_pixels());
        assert_eq!(stages.len(), map + tokens + depth * 3 * tokens + 6 * ((depth - 1) * tokens + 1) + 2);
        let check = |kernels: &str, observed: &Stages| {
            assert!(observed.keys().eq(stages.keys()), "{kernels}, image {index}: other stages");
            for (place, expected) in stages {
                assert_eq!(&observed[place], expected, "{kernels}, image {index}, {place:?}");
            }
        };
        let (image, mut scratch) = (image::<N>(pixels).unwrap(), Box::new(Scratch::new()));
        check(
            "portable",
            &observed(|mut observer| {
                model.infer_with(Portable, image, &mut scratch, &mut observer);
            }),
        );
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = vit_nostd::int8::kernels::Best::detect() {
            check(
                "AVX2",
                &observed(|mut observer| {
                    model.infer_with(avx2.without_vnni(), image, &mut scratch, &mut observer);
                }),
            );
        }
        check(
            "the best",
            &observed(|mut observer| {
                model.infer_observed(image, &mut scratch, &mut observer);
            }),
        );
        let logits = model.infer(image, &mut scratch);
        let logits: Vec<i64> = logits.as_ref().iter().map(|&logit| logit.into()).collect();
        assert_eq!(logits, stages[&(depth, Stage::Head, 0)], "image {index}");
    }
}

#[test]
fn nano_computes_its_vectors() {
    let file = read("../firmware-example/models/nano.int8.vit");
    aligned(&file, |file| compare::<Nano>(file, "vectors/nano.txt", 1));

    // The formula of the image.
    let pixel = |row: i32, column: i32| {
        0.max(255 - ((2 * row - 27).pow(2) + 2 * (2 * column - 27).pow(2) - 350).abs()) as u8
    };
    let ring: Vec<u8> = (0..28 * 28).map(|k| pixel(k / 28, k % 28)).collect();
    assert_eq!(read_vectors("vectors/nano.txt")[0].pixels, ring);
}

#[test]
fn a_saturating_network_computes_its_vectors() {
    compare::<Saturating>(SATURATING, "vectors/saturating.txt", 4);
}

#[test]
fn a_colour_network_computes_its_vectors() {
    compare::<Colour>(COLOUR, "vectors/colour.txt", 2);
    // What the text says of the file.
    assert!(NUMERICS.contains("images of 4 x 9 pixels (height x width) in red,\n  green and blue"));
    assert!(NUMERICS.contains("with patches of 2 x 3 pixels and `D = 132`"));
    let rows = weights::<Colour>(COLOUR).embedding.patch_weight;
    assert!(
        rows.iter().flat_map(|row| &row[18..]).any(|&filling| filling != 0),
        "rows are filled with zeros"
    );
    let model = Model::<Colour>::from_bytes(COLOUR).unwrap();
    assert_eq!(model.metadata().fit, Fit::Crop);
    let normalization = model.metadata().normalization.map(|Normalization { mean, std }| (mean, std));
    assert_eq!(normalization, [(0.25, 0.5), (0.5, 0.25), (0.375, 0.125)]);
    assert!(model.metadata().labels().eq(["red", "green", "blue", "nothing"]));
}

#[test]
fn a_network_with_convolutions_computes_its_vectors() {
    compare::<Conv>(CONV, "vectors/conv.txt", 2);
    // What the text says of the file.
    assert!(NUMERICS
        .contains("for images of 9 x 8 pixels in red, green and blue, with two\n  convolutions of 3 x 3"));
    assert!(NUMERICS.contains("and a map of 5 x 4 pixels with 4 channels"));
    assert_eq!((Conv::PATCHES.height, Conv::PATCHES.width, Conv::PATCHES.channels), (5, 4, 4));
    let weights = weights::<Conv>(CONV);
    let rows = weights.convolutions.stem_weight;
    assert!(rows.iter().any(|row| row[27] != 0), "rows are filled with zeros");
    // The ends of the table are in no other place, so that they show both ends of the clamp before it.
    let [table] = weights.convolutions.stem_gelu_table;
    assert_eq!((table[0], table[255]), (-128, 127));
    assert!(table[1..255].iter().all(|entry| !table[..1].contains(entry) && !table[255..].contains(entry)));
    let images = read_vectors("vectors/conv.txt");
    let stages = images.iter().flat_map(|image| &image.stages);
    let map: BTreeSet<i64> = stages
        .filter(|((_, stage, _), _)| *stage == Stage::Stem)
        .flat_map(|(_, values)| values.clone())
        .collect();
    assert!(map.contains(&-128) && map.contains(&127));
}

/// The vectors would show a clamp that is missing or wrong only if they reach it.
#[test]
fn the_saturating_network_saturates() {
    let images = read_vectors("vectors/saturating.txt");
    let mut reached = BTreeSet::new();
    for ((_, stage, _), values) in images.iter().flat_map(|image| &image.stages) {
        reached.extend(values.iter().map(|&value| (*stage, value)));
    }
    for stage in [Stage::Embedding, Stage::Projection, Stage::Mlp] {
        assert!(reached.contains(&(stage, -32768)) && reached.contains(&(stage, 32767)), "{stage:?}");
    }
    let narrow = [Stage::Norm2, Stage::Key, Stage::Value, Stage::Query, Stage::Attention];
    for stage in narrow {
        assert!(reached.contains(&(stage, -128)) && reached.contains(&(stage, 127)), "{stage:?}");
    }
    let weights = weights::<Saturating>(SATURATING);
    let rows = weights.embedding.patch_weight;
    assert!(rows.iter().flat_map(|row| &row[9..]).any(|&filling| filling != 0), "rows are filled with zeros");
}

fn weights<N: Network>(file: &[u8]) -> Weights<'_, N> {
    let file = ModelFile::parse::<N>(file, Kind::Int8, Weights::<N>::BYTES).unwrap();
    Weights::from_bytes(file.weights).unwrap()
}

// ---- The examples in NUMERICS.md ----

/// The lines of the text blocks in `page` whose first line begins like this.
fn blocks(page: &'static str, begin: &str) -> Vec<Vec<&'static str>> {
    let parts = page.split("```text\n").skip(1);
    let blocks = parts.map(|part| part.split("```").next().unwrap());
    blocks.filter(|block| block.starts_with(begin)).map(|block| block.lines().collect()).collect()
}

/// The values of a block of lines such as `name = 1 2 3`.
fn named(block: &[&'static str]) -> BTreeMap<&'static str, Vec<i64>> {
    let pairs = block.iter().map(|line| line.split_once(" = ").expect("a name and values"));
    pairs.map(|(name, values)| (name, numbers(values))).collect()
}

#[test]
fn examples_of_requantization() {
    let blocks = blocks(NUMERICS, "requantize(");
    let lines = blocks.concat();
    assert_eq!((blocks.len(), lines.len()), (1, 6));
    for line in lines {
        let (arguments, result) = line.strip_prefix("requantize(").unwrap().split_once(") = ").unwrap();
        let [a, m, s] = numbers(&arguments.replace(',', " "))[..] else { panic!("{line}") };
        let scale = Scale { multiplier: m.try_into().unwrap(), shift: s.try_into().unwrap() };
        assert!(scale.is_valid());
        let a = a.try_into().unwrap();
        let results = [requantize::<Whole>(a, scale), requantize::<Halves>(a, scale)];
        assert_eq!(results.map(i64::from), [result.parse().unwrap(); 2], "{line}");
    }
}

/// Returns the values of all tokens of stage `stage` for the first block.
fn stage_of<N: Network>(weights: &[u8], pixels: &[u8], stage: Stage) -> Vec<Vec<i64>> {
    with_file::<N, _>(weights, |file| {
        let model = Model::<N>::from_bytes(file).unwrap();
        let (image, mut scratch) = (image::<N>(pixels).unwrap(), Box::new(Scratch::new()));
        let stages = observed(|mut observer| {
            model.infer_observed(image, &mut scratch, &mut observer);
        });
        stages.into_iter().filter(|((_, of, _), _)| *of == stage).map(|(_, values)| values).collect()
    })
}

#[test]
fn example_of_a_tokenizer() {
    let [block] = &blocks(NUMERICS, "image = ")[..] else { panic!("another number of blocks") };
    let values = named(block);
    let [height, width, channels] = values["image"][..] else { panic!("image") };
    let one = |name: &str| {
        let [value] = values[name][..] else { panic!("{name}") };
        value
    };
    let (kernel, stride, padding) = (one("kernel"), one("stride"), one("padding"));
    let [rows, columns] = values["windows"][..] else { panic!("windows") };
    let [v, u] = values["window"][..] else { panic!("window") };
    let stem = ExampleStem::STEM.unwrap();
    for windows in [stem, ExampleWindows::PATCHES] {
        let numbers = [windows.height, windows.width, windows.channels, windows.padding];
        assert_eq!(numbers.map(|number| number as i64), [height, width, channels, padding]);
        assert_eq!(windows.kernel.map(|number| number as i64), [kernel; 2]);
        assert_eq!(windows.stride.map(|number| number as i64), [stride; 2]);
        assert_eq!([windows.rows(), windows.columns()].map(|number| number as i64), [rows, columns]);
    }

    // What the library computes: tokens that are the values of the windows, and a stem.
    let pixels: Vec<u8> = values["levels"].iter().map(|&level| level as u8).collect();
    let zeros = |place: &mut [i8]| {
        place.iter_mut().zip(&values["zeros"]).for_each(|(place, &zero)| *place = zero as i8);
    };
    let index = (v * columns + u) as usize;
    with_weights(Weights::<ExampleWindows>::BYTES, |bytes| {
        random_weights::<ExampleWindows>(&mut Random(1), Mood::Calm, bytes);
        let mut weights = WeightsMut::<ExampleWindows>::from_bytes(bytes).unwrap();
        zeros(weights.convolutions.zeros.as_mut());
        let embedding = &mut weights.embedding;
        *embedding.positions = Element::ZERO;
        *embedding.patch_bias = Element::ZERO;
        (*embedding.patch_multiplier, *embedding.patch_shift) = ([16384; 12], [17; 12]);
        for (row, weights) in embedding.patch_weight.iter_mut().enumerate() {
            *weights = std::array::from_fn(|value| if row == value { 8 } else { 0 });
        }
        let tokens = stage_of::<ExampleWindows>(bytes, &pixels, Stage::Embedding);
        assert_eq!(tokens[1 + index], values["values"]);
    });
    with_weights(Weights::<ExampleStem>::BYTES, |bytes| {
        random_weights::<ExampleStem>(&mut Random(1), Mood::Calm, bytes);
        let mut weights = WeightsMut::<ExampleStem>::from_bytes(bytes).unwrap();
        let convolutions = &mut weights.convolutions;
        zeros(convolutions.zeros.as_mut());
        let [multiplier, shift] = values["stem_scale"][..] else { panic!("stem_scale") };
        convolutions.stem_multiplier[3] = multiplier as u16;
        convolutions.stem_shift[3] = shift as u8;
        convolutions.stem_bias[3] = one("stem_bias") as i32;
        let row = convolutions.stem_weight[3].iter_mut();
        row.zip(&values["stem_weight"]).for_each(|(place, &weight)| *place = weight as i8);
        convolutions.stem_gelu_table[0] = std::array::from_fn(|entry| entry.wrapping_add(128) as i8);
        let map = stage_of::<ExampleStem>(bytes, &pixels, Stage::Stem);
        assert_eq!(map[index][3], one("index") - 128);
    });

    // The formulas of the text.
    let mut window = vec![];
    for (i, j) in (0..kernel).flat_map(|i| (0..kernel).map(move |j| (i, j))) {
        let (y, x) = (v * stride + i - padding, u * stride + j - padding);
        let inside = (0..height).contains(&y) && (0..width).contains(&x);
        window.extend((0..channels).map(|c| match inside {
            true => values["levels"][((y * width + x) * channels + c) as usize] - 128,
            false => values["zeros"][c as usize],
        }));
    }
    assert_eq!(values["values"], window);
    let products: i64 = window.iter().zip(&values["stem_weight"]).map(|(x, weight)| x * weight).sum();
    let [multiplier, shift] = values["stem_scale"][..] else { panic!("stem_scale") };
    let linear = ((one("stem_bias") + products) * multiplier + (1 << (shift - 1))) >> shift;
    assert_eq!(linear, one("linear"));
    assert_eq!(128 + linear.clamp(-128, 127), one("index"));
}

#[test]
fn examples_of_layer_norm() {
    let blocks = blocks(NUMERICS, "x = ");
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let mut values = named(&block);
        // The values of a long row repeat.
        if let Some(times) = values.remove("times") {
            for name in ["x", "y"] {
                let row = values[name].repeat(times[0] as usize);
                values.insert(name, row);
            }
        }
        let x: Vec<i16> = values["x"].iter().map(|&x| x.try_into().unwrap()).collect();
        let one = |name| {
            let [value] = values[name][..] else { panic!("{name}") };
            value
        };
        let norm = Norm {
            epsilon: one("epsilon") as u64,
            numerator: one("numerator") as u64,
            shift: one("shift") as u32,
        };
        assert!(norm.is_valid());

        // What the library computes, and where it computes a step by itself, that step.
        let mut y = vec![0; x.len()];
        layer_norm::layer_norm::<Whole>(&x, norm, &mut y);
        assert_eq!(y.iter().map(|&y| y.into()).collect::<Vec<i64>>(), values["y"]);
        let (sum, square): (i64, i64) = (values["x"].iter().sum(), values["x"].iter().map(|x| x * x).sum());
        let scale = layer_norm::scale(x.len() as i32, sum as i32, square as u64, norm);
        assert_eq!((scale.multiplier, scale.shift), (one("r") as u16, (one("shift") - one("e")) as u8));

        // The steps as they stand there.
        let width = x.len() as i64;
        assert_eq!((one("sum"), one("square")), (sum, square));
        assert_eq!(one("V"), width * square - sum * sum + one("epsilon"));
        let scaled = one("V") << (2 * one("e"));
        assert!((1 << 50..1 << 52).contains(&scaled));
        assert_eq!(one("root"), scaled.isqrt());
        assert_eq!(one("r"), (one("numerator") / one("root")).min(32767));
        let f = if width <= 128 { 256 } else { 128 };
        for (&x, &y) in values["x"].iter().zip(&values["y"]) {
            let distance = (f * (width * x - sum)) as i32;
            assert_eq!(i64::from(sat8(requantize::<Whole>(distance, scale))), y);
        }
    }
    // What the text says of the second, the third and the fourth row.
    let scale = |multiplier, shift| Scale { multiplier, shift };
    let text = "without the `min`, `y[0]` would be 51";
    assert!(NUMERICS.contains(text));
    assert_eq!((256 * 4 * 101 * 32768 + (1i64 << 25)) >> 26, 51);
    assert_eq!((1u64 << 40) / (1 << 25), 32768);
    assert_eq!(requantize::<Whole>(256 * 4 * 25856, scale(16383, 33)), 50);
    assert_eq!(((1u64 << 40) - (1 << 14)) / (1 << 26), 16383);
    assert!(NUMERICS.contains("With 256 instead of 128 as `f`, `y` would be 21 -34 12"));
    let with_256 = |x| requantize::<Whole>(256 * (132 * x + 22000), scale(18595, 43 - 8));
    assert_eq!([1000, -2000, 500].map(with_256), [21, -34, 12]);
}

#[test]
fn examples_of_attention() {
    let blocks = blocks(NUMERICS, "score_scale = ");
    assert_eq!(blocks.len(), 3);
    let file = read("../firmware-example/models/nano.int8.vit");
    aligned(&file, |file| {
        let table = weights::<Nano>(file).embedding.exp_table;
        assert_eq!([1, 2, 149, 255].map(|i| table[i]), [31430, 30147, 66, 1], "the entries in the text");
        for block in &blocks {
            let values = named(block);
            let scale = |name: &str| {
                let [m, s] = values[name][..] else { panic!() };
                let scale = Scale { multiplier: m.try_into().unwrap(), shift: s.try_into().unwrap() };
                assert!(scale.is_valid());
                scale
            };
            let one = |name: &str| {
                let [value] = values[name][..] else { panic!() };
                value
            };
            let (score_scale, context_scale) = (scale("score_scale"), scale("context_scale"));
            let scores: Vec<i32> = values["score"].iter().map(|&s| s.try_into().unwrap()).collect();
            let mut exponentials = scores.clone();
            let sum = softmax::exponentials::<Whole>(&mut exponentials, score_scale, table);
            assert_eq!(exponentials.iter().map(|&w| w.into()).collect::<Vec<i64>>(), values["w"]);
            assert_eq!(i64::from(sum), one("sum"));
            let a: i64 = values["w"].iter().zip(&values["v"]).map(|(w, v)| w * v).sum();
            assert_eq!(a, one("a"));
            let row = softmax::row_scale(context_scale, sum);
            assert_eq!(i64::from(row.multiplier), one("r"));
            assert_eq!(i64::from(sat8(requantize::<Whole>(a as i32, row))), one("o"));

            // The formulas of the text.
            let max = scores.iter().max().unwrap();
            let steps: Vec<i64> =
                scores.iter().map(|s| requantize::<Whole>(max - s, score_scale).min(255).into()).collect();
            assert_eq!(values["i"], steps);
            let weights: Vec<i64> = steps.iter().map(|&i| table[i as usize].into()).collect();
            assert_eq!(values["w"], weights);
            assert_eq!(weights.iter().sum::<i64>(), one("sum"));
            let e = one("e");
            let scaled = (one("sum") << 8) >> (8 - e);
            assert!((1 << 15..1 << 16).contains(&scaled));
            assert_eq!((i64::from(context_scale.multiplier) << 15) / scaled, one("r"));
            assert_eq!(i64::from(row.shift), i64::from(context_scale.shift) + 7 - e);
        }
    });
    assert_eq!((16384 << 15) / 49151, 10922, "the second row, rounded to the nearest integer");
}

/// The bounds that the text derives for attention, at their ends.
#[test]
fn bounds_of_attention() {
    for tokens in 1..=65_535 {
        let one = u64::from(softmax::one(tokens));
        assert_eq!(one, 32767.min(((1 << 24) - 1) / tokens as u64));
        assert!(one >= 1 << 8 && tokens as u64 * one < 1 << 24, "{tokens}");
    }
    assert_eq!([512, 513, 65_535].map(softmax::one), [32767, 32704, 256]);
    for (sum, e) in [(1 << 8, 7), ((1 << 24) - 1, -8)] {
        for shift in [Scale::MIN_SHIFT, softmax::MAX_CONTEXT_SHIFT] {
            let row = softmax::row_scale(Scale { multiplier: 32767, shift }, sum);
            assert_eq!(i32::from(row.shift), i32::from(shift) + 7 - e);
            assert!(row.is_valid());
        }
    }
}

/// The pixels of an input that shows the frame.
fn resized(frame: Frame, fit: Fit, input: Input, bytes: &[u8]) -> Vec<i64> {
    let (mut sums, mut image) = (vec![0; input.sums()], vec![0; input.bytes()]);
    let mut resizer = Resizer::new(frame, fit, input, &mut sums, &mut image).unwrap();
    bytes.chunks(frame.line_bytes()).for_each(|line| resizer.row(line).unwrap());
    resizer.finish().unwrap();
    image.into_iter().map(i64::from).collect()
}

#[test]
fn examples_of_pixels() {
    let [lines] = &blocks(NUMERICS, "grey(")[..] else { panic!("another number of blocks") };
    assert_eq!(lines.len(), 10);
    for line in lines {
        let (function, rest) = line.split_once('(').unwrap();
        let (arguments, result) = rest.split_once(") = ").unwrap();
        let arguments = numbers(&arguments.replace(',', " "));
        let bytes: Vec<u8> = arguments.iter().map(|&argument| argument as u8).collect();
        let (formats, channels) = match (function, &bytes[..]) {
            ("grey", _) => (vec![(PixelFormat::Rgb888, bytes)], 1),
            ("rgb565", _) => {
                let number = arguments[0] as u16;
                let bytes = [number.to_le_bytes(), number.to_be_bytes()].map(Vec::from);
                ([PixelFormat::Rgb565Le, PixelFormat::Rgb565Be].into_iter().zip(bytes).collect(), 3)
            }
            ("luma", &[y]) => {
                (vec![(PixelFormat::Yuyv, vec![y, 1, y, 2]), (PixelFormat::Uyvy, vec![1, y, 2, y])], 1)
            }
            ("yuv", &[y, u, v]) => {
                (vec![(PixelFormat::Yuyv, vec![y, u, y, v]), (PixelFormat::Uyvy, vec![u, y, v, y])], 3)
            }
            _ => panic!("{line}"),
        };
        for (format, bytes) in formats {
            let frame = Frame { width: bytes.len() / format.bytes(), height: 1, format };
            let input = Input { height: 1, width: 1, channels };
            assert_eq!(resized(frame, Fit::Stretch, input, &bytes), numbers(result), "{line}, {format:?}");
        }
    }
}

#[test]
fn examples_of_frames() {
    let blocks = blocks(NUMERICS, "fit = ");
    assert_eq!(blocks.len(), 3);
    for (block, fit) in blocks.iter().zip([Fit::Stretch, Fit::Crop, Fit::Pad]) {
        let values = named(block);
        assert_eq!(values["fit"], [fit as i64]);
        let ([fw, fh], [iw, ih]) = (&values["frame"][..], &values["input"][..]) else { panic!("{block:?}") };
        let [vw, vh, left, top] = values["view"][..] else { panic!("{block:?}") };
        let frame = Frame { width: *fw as usize, height: *fh as usize, format: PixelFormat::Grey8 };
        let input = Input { height: *ih as usize, width: *iw as usize, channels: 1 };
        let pixels: Vec<u8> = values["pixels"].iter().map(|&pixel| pixel as u8).collect();
        assert_eq!(resized(frame, fit, input, &pixels), values["image"]);

        // The steps as they stand there.
        let by_width = (*fw, 1.max(fw * ih / iw));
        let by_height = (1.max(fh * iw / ih), *fh);
        let view = match fit {
            Fit::Stretch => (*fw, *fh),
            Fit::Crop => {
                if fw * ih > fh * iw {
                    by_height
                } else {
                    by_width
                }
            }
            Fit::Pad => {
                if fw * ih > fh * iw {
                    by_width
                } else {
                    by_height
                }
            }
        };
        let offset =
            |frame: i64, view: i64| if view <= frame { (frame - view) / 2 } else { -((view - frame) / 2) };
        assert_eq!(((vw, vh), left, top), (view, offset(*fw, vw), offset(*fh, vh)));
        let overlap = |k: i64, l: i64, view: i64, input: i64| {
            0.max(((k + 1) * view).min((l + 1) * input) - (k * view).max(l * input))
        };
        let level = |y: i64, x: i64| {
            let inside = (0..*fh).contains(&(y + top)) && (0..*fw).contains(&(x + left));
            if inside {
                values["pixels"][((y + top) * fw + x + left) as usize]
            } else {
                0
            }
        };
        let sum = |i: i64, j: i64| -> i64 {
            let places = (0..vh).flat_map(|y| (0..vw).map(move |x| (y, x)));
            places.map(|(y, x)| overlap(i, y, vh, *ih) * overlap(j, x, vw, *iw) * level(y, x)).sum()
        };
        let sums: Vec<i64> =
            (0..*ih).flat_map(|i| (0..*iw).map(move |j| (i, j))).map(|(i, j)| sum(i, j)).collect();
        assert_eq!(values["sum"], sums);
        let averages: Vec<i64> = sums.iter().map(|sum| (sum + vw * vh / 2) / (vw * vh)).collect();
        assert_eq!(values["image"], averages);
    }
    assert!(NUMERICS.contains("602 / 4 and 202 / 4 are halves"));
    assert_eq!((MAX_SIDE, MAX_SIDE.pow(2)), (4096, 1 << 24), "the bounds in the text");
}

/// The bounds that the text derives for LayerNorm, at their ends.
#[test]
fn bounds_of_layer_norm() {
    for (width, bound, least) in [(128, 1 << 45, 3), (256, (1 << 46) + (1 << 44), 2)] {
        let largest = width * width / 4 * 65535u64.pow(2) + Norm::MAX_EPSILON - 1;
        assert!(largest < bound);
        // Half of the values are the least, and the others the largest.
        let half = width / 2;
        let (sum, square) = (-(half as i32), half * (32768u64.pow(2) + 32767u64.pow(2)));
        assert_eq!(width * square - half * half + Norm::MAX_EPSILON - 1, largest);
        let norm = |epsilon, shift| Norm { epsilon, numerator: 1 << 40, shift };
        // The smallest and the largest e.
        let scale = |sum, square, norm| layer_norm::scale(width as i32, sum, square, norm);
        assert_eq!(scale(sum, square, norm(Norm::MAX_EPSILON - 1, 46)).shift, 46 - least);
        assert_eq!(scale(0, 0, norm(Norm::MIN_EPSILON, 37)).shift, 37 - 20);
        // The smallest multiplier.
        let least = Norm { numerator: 1 << 39, ..norm((1 << 44) - 1, 46) };
        assert_eq!(scale(0, 0, least).multiplier, 1 << 13);

        let factor = if width <= 128 { 256 } else { 128 };
        let distance = factor * (width - 1) * 65535;
        let text = format!("{factor} \\* {} \\* 65535 = {distance} for `D <= {width}`", width - 1);
        assert!(NUMERICS.contains(&text), "{text}");
        assert!(distance < 1 << 31);
        assert_eq!(layer_norm::factor(width as usize) as u64, factor);
    }
    assert_eq!(layer_norm::MAX_WIDTH, 256);
}

// ---- The tables and the example in FORMAT.md ----

/// A row of a table of tensors.
struct Tensor {
    name: &'static str,
    kind: &'static str,
    dimensions: &'static str,
    bytes: &'static str,
    offset: &'static str,
    example: [usize; 2],
}

/// The rows of the table after `heading`, and its last row's formula and number: the bytes of all tensors.
fn table(heading: &str) -> (Vec<Tensor>, &'static str, usize) {
    let (_, rest) = FORMAT.split_once("## Tensors of an `int8` model").unwrap();
    let (_, rest) = rest.split_once(heading).unwrap();
    let lines =
        rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let (mut tensors, mut all) = (Vec::new(), None);
    for line in lines.skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, dimensions, bytes, offset, example, at] = cells[..] else { panic!("{line}") };
        assert!(all.is_none(), "a row after the last: {line}");
        if name == "all" {
            all = Some((bytes, example.parse().unwrap()));
            continue;
        }
        let example = [example.parse().unwrap(), at.parse().unwrap()];
        tensors.push(Tensor { name: name.trim_matches('`'), kind, dimensions, bytes, offset, example });
    }
    let (formula, number) = all.unwrap();
    (tensors, formula, number)
}

/// The value of a formula such as `56 + 4\*D`, where letters are lengths of `N`.
fn evaluate<N: Network>(formula: &str) -> usize {
    let factor = |factor: &str| match factor {
        "P" => N::PATCHES.values(),
        "T" => N::TOKENS,
        "N" => N::DIMS.convolutions(),
        "S" => N::STEM.iter().count(),
        "M" => N::DIMS.stem_channels(),
        "W" => N::DIMS.stem_values(),
        "Q" => <N::StemRow as Length>::LEN,
        "R" => <N::PatchRow as Length>::LEN,
        "D" => N::EMBED,
        "H" => N::HEADS,
        "F" => N::HIDDEN,
        "L" => N::DEPTH,
        "C" => N::CLASSES,
        number => number.parse().unwrap_or_else(|_| panic!("{number:?} in {formula:?}")),
    };
    let term = |term: &str| term.replace('\\', "").split('*').map(|f| factor(f.trim())).product::<usize>();
    formula.split('+').map(term).sum()
}

/// The address and the size of a tensor.
fn bytes_of<T: ?Sized>(tensor: &T) -> (usize, usize) {
    (std::ptr::from_ref(tensor).cast::<u8>().addr(), size_of_val(tensor))
}

/// Compares the tables with the tensors of a network. `examples` are the headings of the tables whose last columns are
/// about it.
fn tables_are_the_layout<N: Network>(file: &[u8], examples: &[&str]) {
    let bytes = ModelFile::parse::<N>(file, Kind::Int8, Weights::<N>::BYTES).unwrap().weights;
    let weights = Weights::<N>::from_bytes(bytes).unwrap();
    assert_eq!(<N::PatchRow as Length>::LEN, N::PATCHES.values().div_ceil(4) * 4);
    assert_eq!(<N::StemRow as Length>::LEN, N::DIMS.stem_values().div_ceil(4) * 4);
    let mut start = bytes.as_ptr().addr();
    let mut check = |heading: &str, fields: &[(&str, (usize, usize))]| {
        let (tensors, all, example_bytes) = table(heading);
        let is_example = examples.contains(&heading);
        assert!(tensors.iter().map(|tensor| tensor.name).eq(fields.iter().map(|field| field.0)), "{heading}");
        for (Tensor { name, kind, dimensions, bytes, offset, example }, (_, (at, len))) in
            tensors.iter().zip(fields)
        {
            let width = match *kind {
                "u8" | "i8" => 1,
                "u16" | "i16" => 2,
                "u32" | "i32" | "f32" => 4,
                other => panic!("{name}: {other}"),
            };
            let count: usize = dimensions.split(" x ").map(evaluate::<N>).product();
            assert_eq!([evaluate::<N>(bytes), width * count], [*len; 2], "{name}: bytes");
            assert_eq!(evaluate::<N>(offset), at - start, "{name}: offset");
            assert!(len.is_multiple_of(4) && (at - start).is_multiple_of(4), "{name}");
            if is_example {
                assert_eq!(*example, [*len, at - start], "{name}: the example");
            }
        }
        let last = fields.last().unwrap().1;
        assert_eq!(evaluate::<N>(all), last.0 + last.1 - start, "{heading}");
        if is_example {
            assert_eq!(example_bytes, evaluate::<N>(all));
        }
        start = last.0 + last.1;
    };
    macro_rules! fields {
        ($part:ident: $($field:ident)*) => { [$((stringify!($field), bytes_of($part.$field))),*] };
    }
    let convolutions = weights.convolutions;
    check(
        "**Convolutions**",
        &fields!(convolutions: zeros stem_bias stem_multiplier stem_shift stem_gelu_table stem_weight),
    );
    let embedding = weights.embedding;
    check(
        "**Embedding**",
        &fields!(embedding: exp_table patch_bias positions patch_multiplier patch_shift patch_weight),
    );
    for block in weights.blocks() {
        check(
            "**Block**",
            &fields!(block: norm1 norm2 score_scale context_scale
                query_bias key_bias value_bias proj_bias hidden_bias mlp_bias
                query_multiplier key_multiplier value_multiplier proj_multiplier hidden_multiplier mlp_multiplier
                query_shift key_shift value_shift proj_shift hidden_shift mlp_shift gelu_table
                query_weight key_weight value_weight proj_weight hidden_weight mlp_weight),
        );
    }
    let head = weights.head;
    check("**Head**", &fields!(head: norm logit_scale head_bias head_weight));
    assert_eq!(start, bytes.as_ptr().addr() + Weights::<N>::BYTES);
    // A block begins where the text says.
    let begin = "512 + 7\\*D + 2\\*T\\*D + D\\*R";
    assert_eq!(FORMAT.matches(begin).count(), 2);
}

#[test]
fn tables_of_tensors() {
    tables_are_the_layout::<Saturating>(SATURATING, &[]);
    tables_are_the_layout::<Colour>(COLOUR, &[]);
    tables_are_the_layout::<Conv>(CONV, &[]);
    let file = read("../firmware-example/models/nano.int8.vit");
    aligned(&file, |file| tables_are_the_layout::<Nano>(file, &["**Embedding**", "**Block**", "**Head**"]));
    with_weights(Weights::<ConvNano>::BYTES, |weights| {
        with_file::<ConvNano, _>(weights, |file| {
            tables_are_the_layout::<ConvNano>(file, &["**Convolutions**"]);
        });
    });
    with_weights(Weights::<ExampleWindows>::BYTES, |weights| {
        with_file::<ExampleWindows, _>(weights, |file| tables_are_the_layout::<ExampleWindows>(file, &[]));
    });
    let lengths = "(`N = 2`, `S = 1`, `M = 12`, `W = 9`, `Q = 12`)";
    assert!(FORMAT.contains(lengths));
    assert_eq!(["N", "S", "M", "W", "Q"].map(evaluate::<ConvNano>), [2, 1, 12, 9, 12]);
    let sum = format!("4976 + 4 \\* 21096 + 544 = {} bytes", Weights::<Nano>::BYTES);
    assert!(FORMAT.contains(&sum), "{sum}");

    // LayerNorm's five numbers.
    let norm = Norm { epsilon: 0x0123_89AB_CDEF, numerator: 0x00FF_7654_3210, shift: 40 };
    assert_eq!(norm.to_tensor(), [0x89AB_CDEF, 0x0123, 0x7654_3210, 0xFF, 40]);
    assert_eq!(Norm::from_tensor(&norm.to_tensor()), norm);
}

/// The order of the tensors of a float model, by networks whose tensors differ in size.
#[test]
fn tables_of_float_tensors() {
    float_tables_are_the_layout::<Saturating>();
    float_tables_are_the_layout::<Colour>();
    float_tables_are_the_layout::<Conv>();
    float_tables_are_the_layout::<ExampleWindows>();
}

fn float_tables_are_the_layout<N: Network>() {
    use vit_nostd::float::weights::Weights;
    let (_, page) = FORMAT.split_once("## Tensors of an `f32` model").unwrap();
    let table = |heading: &str| -> Vec<(&str, usize)> {
        let (_, rest) = page.split_once(heading).unwrap();
        let lines = rest.lines().skip_while(|line| !line.starts_with('|'));
        let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
        rows.map(|row| {
            let [name, dimensions] = row.trim_matches('|').split('|').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let dimensions = dimensions.split(" (").next().unwrap();
            let count: usize = dimensions.split(" x ").map(evaluate::<N>).product();
            (name.trim().trim_matches('`'), 4 * count)
        })
        .collect()
    };
    let memory = vec![0u32; Weights::<N>::BYTES / 4];
    let mut start = memory.as_ptr().addr();
    let weights = Weights::<N>::from_bytes(bytemuck::cast_slice(&memory)).unwrap();
    let mut check = |heading: &str, fields: &[(&str, (usize, usize))]| {
        let table = table(heading);
        assert_eq!(table.len(), fields.len(), "{heading}");
        for ((name, bytes), (field, (at, len))) in table.into_iter().zip(fields) {
            assert_eq!((name, bytes, start), (*field, *len, *at));
            start += len;
        }
    };
    macro_rules! fields {
        ($part:ident: $($field:ident)*) => { [$((stringify!($field), bytes_of($part.$field))),*] };
    }
    let embedding = weights.embedding;
    check(
        "**Embedding**",
        &fields!(embedding: stem_weight stem_bias patch_weight patch_bias cls_token pos_embed),
    );
    for block in weights.blocks() {
        check(
            "**Block**",
            &fields!(block: norm1_weight norm1_bias query_weight query_bias key_weight key_bias
                value_weight value_bias proj_weight proj_bias norm2_weight norm2_bias
                hidden_weight hidden_bias mlp_weight mlp_bias),
        );
    }
    let head = weights.head;
    check("**Head**", &fields!(head: norm_weight norm_bias head_weight head_bias));
    assert_eq!(start, memory.as_ptr().addr() + Weights::<N>::BYTES);
}

#[test]
fn example_of_a_file() {
    let lines: Vec<&str> = blocks(FORMAT, "").concat();
    let (mut next, mut seen) = (0, 0);
    for line in &lines {
        let (offset, rest) = line.split_once(": ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        // Two spaces end the bytes.
        let bytes = rest.split("  ").next().unwrap().split(' ');
        let bytes: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).expect(line)).collect();
        assert!(offset == next || offset == SATURATING.len() - 4, "{line}: there is a gap before it");
        assert_eq!(SATURATING[offset..][..bytes.len()], bytes, "{line}");
        next = offset + bytes.len();
        seen += bytes.len();
    }
    assert_eq!((lines.len(), seen), (22, 0x84 + 4));
    // What the words say.
    let model = Model::<Saturating>::from_bytes(SATURATING).unwrap();
    let metadata = model.metadata();
    assert!(metadata.labels().eq(["low", "middle", "high"]));
    assert_eq!(metadata.normalization, Normalization { mean: 0.25, std: 0.5 }.grey());
    assert_eq!(metadata.fit, Fit::Stretch);
    let provenance = metadata.provenance;
    assert_eq!((provenance.dataset, provenance.seed, provenance.test_accuracy), ("none", 300, None));
    assert_eq!((provenance.tool, provenance.checkpoint), ("vectors.py", None));
    assert_eq!(weights::<Saturating>(SATURATING).embedding.exp_table[1], 26213);
    assert_eq!((SATURATING.len(), Weights::<Saturating>::BYTES), (3184, 3052));
    // The reader has compared the checksum with what it computes of the other bytes.
    let checksum = format!("0x{:08X}", u32::from_le_bytes(*SATURATING.last_chunk().unwrap()));
    assert!(FORMAT.contains(&checksum), "{checksum}");

    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
    let [count, first, second] = [&CONV[35..36], &CONV[36..44], &CONV[44..52]].map(hex);
    let convolutions = format!("`{count}` `{first}` `{second}`");
    assert!(FORMAT.contains(&convolutions), "{convolutions}");
}
