//! Tests of the model file: its exact bytes, and the refusal of bad files.
//!
//! [`File::compose`] composes the files according to the specification in the documentation of `vit_nostd::model_file`,
//! without the library. The number of cases of the property tests can be chosen:
//! `PROPTEST_CASES=1000000 cargo test --release -p vit-nostd --test model_file`.

use proptest::prelude::*;
use vit_nostd::float::weights::{Weights, WeightsMut};
use vit_nostd::float::{Model, Scratch};
use vit_nostd::frame::Fit;
use vit_nostd::model_file::{
    align, overhead, write, Kind, Metadata, ModelFile, Normalization, Preamble, Provenance, ALIGNMENT,
    MAX_LABEL, MAX_NAME, PREAMBLE_LEN,
};
use vit_nostd::{
    Base, Convolution, Dims, Element, Feature, Field, LabelFault, ModelError, Nano, Network, Tiny,
};
use vit_random_models::{aligned, metadata};

vit_nostd::network! {
    /// A network of 216 parameters, whose file has about 1 KB.
    Mini { image: 4, patch: 2, embed: 4, heads: 2, hidden: 6, depth: 1, classes: 2 }
    /// A network of 272 parameters for colour images. Neither its images nor its patches are square.
    MiniColour { image: [4, 6, 3], patch: [2, 3], embed: 4, heads: 2, hidden: 6, depth: 1, classes: 2 }
    /// A network with two convolutions.
    MiniConv {
        image: [5, 6, 3],
        tokenizer: [{ kernel: 2, channels: 4 }, { kernel: 3, stride: 2, padding: 1 }],
        embed: 4, heads: 2, hidden: 6, depth: 1, classes: 2,
    }
    /// A network with one convolution.
    MiniOverlap {
        image: 4, tokenizer: [{ kernel: 2, stride: 1 }],
        embed: 4, heads: 2, hidden: 6, depth: 1, classes: 2,
    }
    /// A network with a convolution that is the same as patches.
    MiniTouching {
        image: 4, tokenizer: [{ kernel: 2, stride: 2 }],
        embed: 4, heads: 2, hidden: 6, depth: 1, classes: 2,
    }
}
const DIMS: [u16; 10] = [4, 4, 1, 2, 2, 4, 2, 6, 1, 2];
const WEIGHTS: usize = 216;
const COLOUR_DIMS: [u16; 10] = [4, 6, 3, 2, 3, 4, 2, 6, 1, 2];
const COLOUR_WEIGHTS: usize = 272;

/// The parts of a model file of version 2, in the order of its bytes. Fields of type `Vec` are already encoded.
#[derive(Clone)]
struct File {
    version: u16,
    kind: u8,
    reserved: u8,
    dims: [u16; 10],
    /// The bits of a weight, colours, fit and convolutions.
    settings: [u8; 4],
    convolutions: [u8; 16],
    epsilon: f32,
    more_reserved: [u8; 8],
    /// The mean and the standard deviation of each of three channels.
    normalization: [f32; 6],
    labels: Vec<u8>,
    dataset: Vec<u8>,
    seed: Vec<u8>,
    accuracy: Vec<u8>,
    tool: Vec<u8>,
    digest: Vec<u8>,
    /// The bytes that are added to the padding that aligns the weights.
    more_padding: Vec<u8>,
    weights_len: Vec<u8>,
    weights: Vec<u8>,
}

/// Returns the content of the golden file: the metadata `metadata::<Mini>("no\nyes")` and the weights -99/128, -98/128,
/// -97/128, ...
fn golden() -> File {
    File {
        version: 2,
        kind: 0,
        reserved: 0,
        dims: DIMS,
        settings: [32, 0, 0, 0],
        convolutions: [0; 16],
        epsilon: 1e-6,
        more_reserved: [0; 8],
        normalization: [0.25, 0.5, 0.0, 1.0, 0.0, 1.0],
        labels: b"\x06no\nyes".to_vec(),
        dataset: b"\x09synthetic".to_vec(),
        seed: b"\xAC\x02".to_vec(),
        accuracy: b"\x01\x00\x00\xC3\x42".to_vec(),
        tool: b"\x06a test".to_vec(),
        digest: [vec![1], (1..=32).collect()].concat(),
        more_padding: vec![],
        weights_len: b"\xE0\x06".to_vec(),
        weights: numbered(WEIGHTS),
    }
}

/// Returns the content of the golden colour file: the metadata [`colour_metadata`] and weights like those of
/// [`golden`].
fn golden_colour() -> File {
    File {
        dims: COLOUR_DIMS,
        settings: [32, 1, 2, 0],
        normalization: [0.25, 0.5, 0.5, 0.25, -0.75, 2.0],
        weights_len: b"\xC0\x08".to_vec(),
        weights: numbered(COLOUR_WEIGHTS),
        ..golden()
    }
}

/// The dimensions of the golden file with convolutions. Those of its patch are the kernel of the last convolution.
const CONV_DIMS: [u16; 10] = [5, 6, 3, 3, 3, 4, 2, 6, 1, 2];
/// The parameters of a block and of the head with 4 channels, 6 hidden channels and 2 classes are 172 (those of
/// [`WEIGHTS`] without 44 of the embedding). Here, the stem has 2 * 2 * 3 * 4 + 4, the patch projection 3 * 3 * 4 * 4 +
/// 4, and class token and positions have 4 and 7 * 4.
const CONV_WEIGHTS: usize = 52 + 148 + 4 + 28 + 172;

/// Returns the content of the golden file with convolutions: the metadata [`colour_metadata`] and weights like those of
/// [`golden`].
fn golden_conv() -> File {
    File {
        dims: CONV_DIMS,
        settings: [32, 1, 2, 2],
        convolutions: [2, 1, 0, 0, 4, 0, 0, 0, 3, 2, 1, 0, 4, 0, 0, 0],
        weights_len: b"\xD0\x0C".to_vec(),
        weights: numbered(CONV_WEIGHTS),
        ..golden_colour()
    }
}

/// Returns the weights -99/128, -98/128, -97/128, ...
fn numbered(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| ((i as f32 - 99.0) / 128.0).to_le_bytes()).collect()
}

/// Returns metadata of a network with three channels.
fn colour_metadata(labels: &str, fit: Fit) -> Metadata<'_> {
    let normalization = [(0.25, 0.5), (0.5, 0.25), (-0.75, 2.0)];
    let normalization = normalization.map(|(mean, std)| Normalization { mean, std });
    let mut metadata = metadata::<MiniColour>(labels);
    (metadata.fit, metadata.normalization) = (fit, normalization);
    metadata
}

impl File {
    fn compose(&self) -> Vec<u8> {
        let mut bytes = b"ViT!".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend([self.kind, self.reserved]);
        bytes.extend(self.dims.iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.extend([0; 4]);
        bytes.extend(self.settings);
        bytes.extend(self.convolutions);
        bytes.extend(self.epsilon.to_le_bytes());
        bytes.extend(self.more_reserved);
        bytes.extend(self.normalization.iter().flat_map(|number| number.to_le_bytes()));
        for field in [&self.labels, &self.dataset, &self.seed, &self.accuracy, &self.tool, &self.digest] {
            bytes.extend(field);
        }
        let mut padding = vec![0; (16 - (bytes.len() + 1 + self.weights_len.len()) % 16) % 16];
        padding.extend(&self.more_padding);
        bytes.push(padding.len() as u8);
        bytes.extend(padding);
        bytes.extend(&self.weights_len);
        bytes.extend(&self.weights);
        bytes.extend([0; 4]);
        seal(&mut bytes);
        bytes
    }

    fn normalized(mean: f32, std: f32) -> Self {
        Self { normalization: [mean, std, 0.0, 1.0, 0.0, 1.0], ..golden() }
    }
}

/// Sets the length and the checksum of a file.
fn seal(bytes: &mut [u8]) {
    let len = bytes.len();
    bytes[28..32].copy_from_slice(&(len as u32).to_le_bytes());
    let crc = crc32(&bytes[..len - 4]);
    bytes[len - 4..].copy_from_slice(&crc.to_le_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value > 127 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [varint(text.len() as u64), text.as_bytes().to_vec()].concat()
}

fn load(bytes: &[u8]) -> Result<(), ModelError> {
    load_as::<Mini>(bytes)
}

fn load_as<N: Network>(bytes: &[u8]) -> Result<(), ModelError> {
    aligned(bytes, |bytes| Model::<N>::from_bytes(bytes).map(|_| ()))
}

#[track_caller]
fn refused(file: File, field: Field) {
    assert_eq!(load(&file.compose()), Err(ModelError::BadField(field)));
}

#[test]
fn golden_file_is_what_the_specification_says() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of CRC-32");
    let bytes = include_bytes!("golden/version2.f32.vit");
    // If this fails, the format has changed: raise its version, and add a golden file of the new version.
    assert_eq!(golden().compose(), bytes);

    let mut out = vec![0xAA; bytes.len() + 1];
    let len = write::<Mini>(Kind::F32, &metadata::<Mini>("no\nyes"), &golden().weights, &mut out);
    assert_eq!(len, Ok(bytes.len()));
    assert_eq!(out, [bytes.as_slice(), &[0xAA]].concat());
}

#[test]
fn golden_colour_file_is_what_the_specification_says() {
    let bytes = include_bytes!("golden/version2.colour.f32.vit");
    assert_eq!(golden_colour().compose(), bytes);
    let metadata = colour_metadata("no\nyes", Fit::Pad);
    let mut out = vec![0xAA; bytes.len() + 1];
    let len = write::<MiniColour>(Kind::F32, &metadata, &golden_colour().weights, &mut out);
    assert_eq!(len, Ok(bytes.len()));
    assert_eq!(out, [bytes.as_slice(), &[0xAA]].concat());
}

#[test]
fn golden_colour_file_means_what_the_specification_says() {
    static GOLDEN: &[u8] = vit_nostd::include_model!("golden/version2.colour.f32.vit", MiniColour, F32);
    let file_len = GOLDEN.len() as u32;
    let preamble = Preamble { kind: Kind::F32, dims: MiniColour::DIMS, fit: Fit::Pad, file_len };
    assert_eq!(Preamble::read(GOLDEN), Ok(preamble));
    assert_eq!(preamble.float_weights_at(), Some(GOLDEN.len() - 4 - COLOUR_WEIGHTS * 4));
    let model = Model::<MiniColour>::from_bytes(GOLDEN).unwrap();
    assert_eq!(model.metadata(), &colour_metadata("no\nyes", Fit::Pad));

    // Places in the file, counted by hand as in the test above.
    let file = ModelFile::parse::<MiniColour>(GOLDEN, Kind::F32, COLOUR_WEIGHTS * 4).unwrap();
    let weights = Weights::<MiniColour>::from_bytes(file.weights).unwrap();
    let place = |weight: f32| weight * 128.0 + 99.0;
    let (embedding, head) = (weights.embedding, weights.head);
    // Row 1, column 2, blue: the value 1 * 9 + 2 * 3 + 2 of a patch, with 4 weights each.
    assert_eq!(place(embedding.patch_weight[1][2][2][3]), 4.0 * 17.0 + 3.0);
    assert_eq!([embedding.patch_bias[0], embedding.cls_token[0]].map(place), [72.0, 76.0]);
    assert_eq!(place(embedding.pos_embed[4][1]), 97.0);
    assert_eq!([head.head_weight[1][0], head.head_bias[1]].map(place), [264.0, 271.0]);
}

#[test]
fn golden_file_with_convolutions_is_what_the_specification_says() {
    let bytes = include_bytes!("golden/version2.conv.f32.vit");
    assert_eq!(golden_conv().compose(), bytes);
    let metadata = colour_metadata("no\nyes", Fit::Pad);
    let mut out = vec![0xAA; bytes.len() + 1];
    let len = write::<MiniConv>(Kind::F32, &metadata, &golden_conv().weights, &mut out);
    assert_eq!(len, Ok(bytes.len()));
    assert_eq!(out, [bytes.as_slice(), &[0xAA]].concat());

    static GOLDEN: &[u8] = vit_nostd::include_model!("golden/version2.conv.f32.vit", MiniConv, F32);
    let file_len = GOLDEN.len() as u32;
    let preamble = Preamble { kind: Kind::F32, dims: MiniConv::DIMS, fit: Fit::Pad, file_len };
    assert_eq!(Preamble::read(GOLDEN), Ok(preamble));
    assert_eq!(preamble.float_weights_at(), Some(GOLDEN.len() - 4 - CONV_WEIGHTS * 4));
    let model = Model::<MiniConv>::from_bytes(GOLDEN).unwrap();
    assert_eq!(model.metadata(), &metadata);

    // Places in the file, counted by hand.
    let file = ModelFile::parse::<MiniConv>(GOLDEN, Kind::F32, CONV_WEIGHTS * 4).unwrap();
    let weights = Weights::<MiniConv>::from_bytes(file.weights).unwrap();
    let place = |weight: f32| weight * 128.0 + 99.0;
    let embedding = weights.embedding;
    // Row 1, column 0, blue: the value 1 * 6 + 0 * 3 + 2 of a window, with 4 weights each.
    assert_eq!(place(embedding.stem_weight[1][0][2][3]), 4.0 * 8.0 + 3.0);
    assert_eq!([embedding.stem_bias[0], embedding.patch_weight[0][0][0][0]].map(place), [48.0, 52.0]);
    // Row 2, column 1, channel 3 of the map: the value 2 * 12 + 1 * 4 + 3 of a patch.
    assert_eq!(place(embedding.patch_weight[2][1][3][2]), 52.0 + 4.0 * 31.0 + 2.0);
    assert_eq!([embedding.patch_bias[0], embedding.cls_token[0]].map(place), [196.0, 200.0]);
    assert_eq!(place(embedding.pos_embed[6][1]), 204.0 + 25.0);
}

#[test]
fn convolutions_are_written_in_one_way_only() {
    let touching = File {
        settings: [32, 0, 0, 1],
        convolutions: [2, 2, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ..golden()
    };
    assert_eq!(MiniTouching::DIMS, Mini::DIMS);
    refused(touching, Field::Reserved);

    let overlap = File {
        settings: [32, 0, 0, 1],
        convolutions: [2, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ..golden()
    };
    let error = ModelError::WrongShape { found: MiniOverlap::DIMS, expected: Mini::DIMS };
    assert_eq!(load(&overlap.compose()), Err(error));
    assert_eq!(
        load_as::<MiniOverlap>(&golden().compose()),
        Err(ModelError::WrongShape { found: Mini::DIMS, expected: MiniOverlap::DIMS })
    );

    // What a correct file says otherwise: a kernel that does not fit or is none, a stride of 0, as much padding as
    // kernel, a stem without channels, and another number of channels than that of the tokens.
    for (index, value) in [(0, 0), (0, 7), (1, 0), (2, 2), (4, 0), (8, 0), (8, 8), (9, 0), (10, 3), (12, 5)] {
        let mut file = golden_conv();
        file.convolutions[index] = value;
        assert_eq!(
            load_as::<MiniConv>(&file.compose()),
            Err(ModelError::ImpossibleShape),
            "{value} at {index}"
        );
    }
    // Other convolutions than those of the network.
    let stem = MiniConv::DIMS.stem.unwrap();
    for (index, value, stem) in [
        (2, 1, Convolution { padding: 1, ..stem }),
        (4, 8, Convolution { channels: 8, ..stem }),
        (0, 1, Convolution { kernel: 1, ..stem }),
    ] {
        let mut file = golden_conv();
        file.convolutions[index] = value;
        let error = load_as::<MiniConv>(&file.compose()).unwrap_err();
        let ModelError::WrongShape { found, expected } = error else { panic!("{error}") };
        assert_eq!((found.stem, expected), (Some(stem), MiniConv::DIMS), "{value} at {index}");
    }
    // Reserved bytes, the channels of the last convolution, and the patch, which is its kernel.
    for (index, value) in [(3, 1), (6, 1), (7, 1), (11, 1), (12, 0), (14, 1), (15, 1)] {
        let mut file = golden_conv();
        file.convolutions[index] = value;
        assert_eq!(
            load_as::<MiniConv>(&file.compose()),
            Err(ModelError::BadField(Field::Reserved)),
            "{value} at {index}"
        );
    }
    let mut file = golden_conv();
    file.dims[3] = 1;
    assert_eq!(load_as::<MiniConv>(&file.compose()), Err(ModelError::BadField(Field::Reserved)));
}

#[test]
fn golden_file_means_what_the_specification_says() {
    static GOLDEN: &[u8] = vit_nostd::include_model!("golden/version2.f32.vit", Mini, F32);
    let preamble =
        Preamble { kind: Kind::F32, dims: Mini::DIMS, fit: Fit::Stretch, file_len: GOLDEN.len() as u32 };
    assert_eq!(Preamble::read(GOLDEN), Ok(preamble));
    let model = Model::<Mini>::from_bytes(GOLDEN).unwrap();
    assert_eq!(model.metadata(), &metadata::<Mini>("no\nyes"));
    assert!(model.metadata().labels().eq(["no", "yes"]));

    // The value of a number in each tensor tells its place in the file, which was counted by hand: no tensor is missing
    // or in the wrong place.
    let file = ModelFile::parse::<Mini>(GOLDEN, Kind::F32, WEIGHTS * 4).unwrap();
    let weights = Weights::<Mini>::from_bytes(file.weights).unwrap();
    let place = |weight: f32| weight * 128.0 + 99.0;
    let (embedding, block, head) = (weights.embedding, weights.blocks().next().unwrap(), weights.head);
    assert_eq!(place(embedding.patch_weight[1][0][0][3]), 11.0);
    assert_eq!([embedding.patch_bias[0], embedding.cls_token[0]].map(place), [16.0, 20.0]);
    assert_eq!(place(embedding.pos_embed[4][1]), 41.0);
    assert_eq!([block.norm1_weight[0], block.norm1_bias[0]].map(place), [44.0, 48.0]);
    assert_eq!([block.query_weight[1][2], block.query_bias[0]].map(place), [58.0, 68.0]);
    assert_eq!([block.key_weight[0][0], block.key_bias[0]].map(place), [72.0, 88.0]);
    assert_eq!([block.value_weight[0][0], block.value_bias[0]].map(place), [92.0, 108.0]);
    assert_eq!([block.proj_weight[0][0], block.proj_bias[0]].map(place), [112.0, 128.0]);
    assert_eq!([block.norm2_weight[0], block.norm2_bias[0]].map(place), [132.0, 136.0]);
    assert_eq!([block.hidden_weight[1][0], block.hidden_bias[0]].map(place), [146.0, 164.0]);
    assert_eq!([block.mlp_weight[1][0], block.mlp_bias[0]].map(place), [174.0, 194.0]);
    assert_eq!([head.norm_weight[0], head.norm_bias[0]].map(place), [198.0, 202.0]);
    assert_eq!([head.head_weight[1][0], head.head_bias[1]].map(place), [208.0, 215.0]);
}

/// A model file of version 1 is refused, with a message that names the version.
#[test]
fn version_1_is_refused_by_its_name() {
    let error = load(include_bytes!("golden/version1.f32.vit")).unwrap_err();
    assert_eq!(error, ModelError::UnsupportedVersion { found: 1 });
    let text = error.to_string();
    assert!(text.contains("version 1") && text.contains("export or quantize its checkpoint again"), "{text}");
    let newer = ModelError::UnsupportedVersion { found: 3 }.to_string();
    assert!(newer.contains("version 3") && newer.contains("a newer version of the program"), "{newer}");
}

#[test]
fn every_other_byte_is_refused() {
    every_other_byte_of::<Mini>(&golden());
    every_other_byte_of::<MiniColour>(&golden_colour());
}

fn every_other_byte_of<N: Network>(file: &File) {
    let good = file.compose();
    assert_eq!(load_as::<N>(&good), Ok(()));
    for position in 0..good.len() {
        let mut bytes = good.clone();
        for value in (0..=255).filter(|&value| value != good[position]) {
            bytes[position] = value;
            let error = load_as::<N>(&bytes).unwrap_err();
            let len = u32::from_le_bytes(bytes[28..32].try_into().unwrap()) as usize;
            let is_expected = match position {
                0..4 => error == ModelError::BadMagic,
                4..6 => {
                    let found = u16::from_le_bytes([bytes[4], bytes[5]]);
                    error == ModelError::UnsupportedVersion { found }
                }
                6 if value == 1 => error == ModelError::Unsupported(Feature::WeightBits { found: 32 }),
                6 => error == ModelError::UnknownKind { found: value },
                8..28 => {
                    let mut dims = file.dims.map(u16::to_le_bytes);
                    dims[position / 2 - 4][position % 2] = value;
                    error == other_shape::<N>(dims.map(u16::from_le_bytes), file.settings[1])
                }
                32 => error == ModelError::Unsupported(Feature::WeightBits { found: value }),
                // The colours of another number of channels.
                33 if value <= 1 => error == ModelError::ImpossibleShape,
                33 => error == ModelError::Unsupported(Feature::Colours { found: value }),
                // Every fit suits every network, so that only the checksum is wrong.
                34 if value <= 2 => matches!(error, ModelError::BadCrc { .. }),
                34 => error == ModelError::Unsupported(Feature::Fit { found: value }),
                // The fields of the convolutions are 0.
                35 if value <= 2 => error == ModelError::ImpossibleShape,
                35 => error == ModelError::Unsupported(Feature::Convolutions { found: value }),
                52..56 => error == ModelError::Unsupported(Feature::Epsilon),
                28..32 if len > good.len() => {
                    error == ModelError::Truncated { expected: len, actual: good.len() }
                }
                28..32 => error == ModelError::TrailingBytes { expected: len, actual: good.len() },
                _ => matches!(error, ModelError::BadCrc { .. }),
            };
            assert!(is_expected, "{value:#04x} at {position}: {error:?}");
        }
    }
}

/// Returns the error for a file with these dimensions, which must differ from those of `N`.
fn other_shape<N: Network>(dims: [u16; 10], colours: u8) -> ModelError {
    let [height, width, channels, patch_height, patch_width, embed, heads, hidden, depth, classes] = dims;
    if channels != 1 && channels != 3 {
        return ModelError::Unsupported(Feature::Channels { found: channels });
    }
    let divides = |a: u16, b: u16| a != 0 && b.checked_rem(a) == Some(0);
    let patches = |length: u16, patch: u16| u64::from(length / patch.max(1));
    let tokens = patches(height, patch_height) * patches(width, patch_width) + 1;
    let divide = divides(patch_height, height) && divides(patch_width, width) && divides(heads, embed);
    if !divide || dims.contains(&0) || tokens > 65535 || channels != [1, 3][usize::from(colours)] {
        return ModelError::ImpossibleShape;
    }
    let (tokens, head_dim) = (tokens as u16, embed / heads);
    let found = Dims {
        height,
        width,
        channels,
        stem: None,
        patch_height,
        patch_width,
        patch_stride: [patch_height, patch_width],
        patch_padding: 0,
        tokens,
        embed,
        heads,
        head_dim,
        hidden,
        depth,
        classes,
    };
    ModelError::WrongShape { found, expected: N::DIMS }
}

#[test]
fn what_is_not_implemented_is_refused_by_its_name() {
    for (offset, value, feature, words) in [
        (32, 4, Feature::WeightBits { found: 4 }, "weights of 4 bits"),
        (33, 2, Feature::Colours { found: 2 }, "neither grey nor RGB (colours 2)"),
        (34, 3, Feature::Fit { found: 3 }, "in an unknown way (fit 3)"),
        (35, 3, Feature::Convolutions { found: 3 }, "3 convolutions"),
        (52, 0, Feature::Epsilon, "another epsilon than 1e-6"),
        (12, 0, Feature::Channels { found: 0 }, "0 channels instead of 1 or 3"),
        (12, 2, Feature::Channels { found: 2 }, "2 channels instead of 1 or 3"),
        (12, 4, Feature::Channels { found: 4 }, "4 channels instead of 1 or 3"),
    ] {
        let mut bytes = golden().compose();
        bytes[offset] = value;
        seal(&mut bytes);
        let error = load(&bytes).unwrap_err();
        assert_eq!(error, ModelError::Unsupported(feature));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn colours_must_suit_the_channels() {
    for (dims, colours) in [(DIMS, 1), (COLOUR_DIMS, 0)] {
        let file = File { dims, settings: [32, colours, 0, 0], ..golden() };
        let bytes = file.compose();
        assert_eq!(load(&bytes), Err(ModelError::ImpossibleShape));
        assert_eq!(load_as::<MiniColour>(&bytes), Err(ModelError::ImpossibleShape));
    }
    // A file that is correct, but of another network: of one that differs in the colours only, and of the other one
    // here.
    let mut dims = COLOUR_DIMS;
    dims[2] = 1;
    let grey = File { dims, settings: [32, 0, 0, 0], ..golden_colour() }.compose();
    let found = Dims { channels: 1, ..MiniColour::DIMS };
    let error = ModelError::WrongShape { found, expected: MiniColour::DIMS };
    assert_eq!(load_as::<MiniColour>(&grey), Err(error));
    let error = ModelError::WrongShape { found: MiniColour::DIMS, expected: Mini::DIMS };
    assert_eq!(load(&golden_colour().compose()), Err(error));
    let error = ModelError::WrongShape { found: Mini::DIMS, expected: MiniColour::DIMS };
    assert_eq!(load_as::<MiniColour>(&golden().compose()), Err(error));
}

#[test]
fn shapes_with_exchanged_lengths_are_refused() {
    for [a, b] in [[0, 1], [3, 4], [0, 3], [1, 4], [0, 2], [1, 2]] {
        let mut file = golden_colour();
        file.dims.swap(a, b);
        let error = load_as::<MiniColour>(&file.compose()).unwrap_err();
        assert_eq!(error, other_shape::<MiniColour>(file.dims, 1), "{a} and {b}");
    }
    // Twice the length in one direction, and a half in the other: the tokens and the weights are as many.
    for (place, lengths) in [(0, [8, 3]), (0, [2, 12]), (3, [1, 6])] {
        let mut file = golden_colour();
        file.dims[place..place + 2].copy_from_slice(&lengths);
        let error = load_as::<MiniColour>(&file.compose()).unwrap_err();
        assert_eq!(error, other_shape::<MiniColour>(file.dims, 1), "{lengths:?} at {place}");
    }
}

#[test]
fn every_fit_is_read() {
    for (number, fit) in [(0, Fit::Stretch), (1, Fit::Crop), (2, Fit::Pad)] {
        let mut file = golden_colour();
        file.settings[2] = number;
        let bytes = file.compose();
        assert_eq!(Preamble::read(&bytes).unwrap().fit, fit);
        aligned(&bytes, |bytes| {
            assert_eq!(Model::<MiniColour>::from_bytes(bytes).unwrap().metadata().fit, fit);
        });
        let mut out = vec![0; bytes.len()];
        let metadata = colour_metadata("no\nyes", fit);
        assert_eq!(write::<MiniColour>(Kind::F32, &metadata, &file.weights, &mut out), Ok(bytes.len()));
        assert_eq!(out, bytes);
    }
}

#[test]
fn dimensions_that_do_not_fit_together_are_refused() {
    let with = |change: &dyn Fn(&mut [u16; 10])| {
        let mut file = golden();
        change(&mut file.dims);
        load(&file.compose())
    };
    for (place, value) in [(5, 0), (5, 5), (6, 0), (6, 3), (7, 0), (8, 0), (9, 0)] {
        assert_eq!(with(&|dims| dims[place] = value), Err(ModelError::ImpossibleShape), "{place}");
    }
    // Patches that are too large, too many, or of no pixels. 255 x 255 patches are as many as 16 bits can count.
    for (image, patch) in [(4, 3), (4, 8), (4, 0), (0, 2), (512, 2), (65535, 1)] {
        let shape = [image, image, 1, patch, patch];
        assert_eq!(with(&|dims| dims[..5].copy_from_slice(&shape)), Err(ModelError::ImpossibleShape));
    }
    let largest = with(&|dims| dims[..5].copy_from_slice(&[510, 510, 1, 2, 2]));
    assert!(matches!(largest, Err(ModelError::WrongShape { found: Dims { tokens: 65026, .. }, .. })));

    // The same in one direction only. Patches in a single row or column may be 65,534.
    for shape in [
        [4, 6, 1, 2, 4],
        [6, 4, 1, 4, 2],
        [4, 4, 1, 0, 2],
        [4, 4, 1, 2, 0],
        [0, 4, 1, 2, 2],
        [4, 0, 1, 2, 2],
        [4, 4, 1, 8, 2],
        [4, 4, 1, 2, 8],
        [1, 65535, 1, 1, 1],
        [65535, 1, 1, 1, 1],
        [65535, 65535, 1, 1, 1],
        [32768, 2, 1, 1, 1],
    ] {
        let result = with(&|dims| dims[..5].copy_from_slice(&shape));
        assert_eq!(result, Err(ModelError::ImpossibleShape), "{shape:?}");
    }
    for shape in [[1, 65534, 1, 1, 1], [65534, 1, 1, 1, 1], [32767, 2, 1, 1, 1], [65535, 3, 1, 5, 1]] {
        let result = with(&|dims| dims[..5].copy_from_slice(&shape));
        let mut dims = DIMS;
        dims[..5].copy_from_slice(&shape);
        assert_eq!(result, Err(other_shape::<Mini>(dims, 0)), "{shape:?}");
        assert!(matches!(result, Err(ModelError::WrongShape { .. })), "{shape:?}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let (grey, colour) = (golden().compose(), golden_colour().compose());
    type Load = fn(&[u8]) -> Result<(), ModelError>;
    for (good, load) in [(grey, load_as::<Mini> as Load), (colour, load_as::<MiniColour>)] {
        for actual in 0..good.len() {
            let error = if actual < PREAMBLE_LEN {
                ModelError::NoPreamble { actual }
            } else {
                ModelError::Truncated { expected: good.len(), actual }
            };
            assert_eq!(load(&good[..actual]), Err(error));
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let good = golden().compose();
    for more in [1, 2, 4, 16, 1000] {
        let bytes = [good.as_slice(), &vec![0; more]].concat();
        let (expected, actual) = (good.len(), bytes.len());
        assert_eq!(load(&bytes), Err(ModelError::TrailingBytes { expected, actual }));
    }
}

#[test]
fn misaligned_bytes_are_refused_before_they_are_read() {
    for offset in 0..=ALIGNMENT {
        let bytes = [vec![0; offset], golden().compose()].concat();
        let result = aligned(&bytes, |bytes| Model::<Mini>::from_bytes(&bytes[offset..]).map(|_| ()));
        assert_eq!(result.is_ok(), offset % ALIGNMENT == 0);
        assert!(result.is_ok() || result == Err(ModelError::Misaligned));
    }
    let result = aligned(b"nothing", |bytes| Model::<Mini>::from_bytes(&bytes[1..]).map(|_| ()));
    assert_eq!(result, Err(ModelError::Misaligned));
}

#[test]
fn a_damaged_file_names_both_checksums() {
    let mut bytes = golden().compose();
    bytes[100] ^= 4;
    let (content, crc) = bytes.split_last_chunk().unwrap();
    let error = ModelError::BadCrc { stored: u32::from_le_bytes(*crc), computed: crc32(content) };
    assert_eq!(load(&bytes), Err(error));
}

#[test]
fn checks_run_in_the_documented_order() {
    let mut file = File {
        version: 3,
        kind: 9,
        reserved: 1,
        dims: [9, 9, 1, 2, 2, 9, 9, 9, 9, 9],
        settings: [8, 0, 0, 0],
        normalization: [f32::NAN; 6],
        labels: string(""),
        dataset: string("\n"),
        accuracy: [vec![1], f32::NAN.to_le_bytes().to_vec()].concat(),
        more_padding: vec![1],
        weights_len: varint(4),
        weights: vec![0; 4],
        ..golden()
    };
    let damage = |file: &File| {
        let mut bytes = file.compose();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    assert_eq!(load(b"nothing"), Err(ModelError::NoPreamble { actual: 7 }));
    let mut bytes = damage(&file);
    bytes[0] = b'v';
    assert_eq!(load(&bytes), Err(ModelError::BadMagic));
    assert_eq!(load(&damage(&file)), Err(ModelError::UnsupportedVersion { found: 3 }));
    file.version = 2;
    assert_eq!(load(&damage(&file)), Err(ModelError::UnknownKind { found: 9 }));
    file.kind = 1;
    file.settings[1] = 2;
    file.dims[2] = 2;
    assert_eq!(load(&damage(&file)), Err(ModelError::Unsupported(Feature::Colours { found: 2 })));
    file.settings[1] = 0;
    assert_eq!(load(&damage(&file)), Err(ModelError::Unsupported(Feature::Channels { found: 2 })));
    file.dims[2] = 3;
    assert_eq!(load(&damage(&file)), Err(ModelError::ImpossibleShape));
    file.dims[2] = 1;
    assert_eq!(load(&damage(&file)), Err(ModelError::ImpossibleShape));
    file.dims[0] = 8;
    assert_eq!(load(&damage(&file)), Err(ModelError::ImpossibleShape));
    file.dims[1] = 8;
    let wrong_kind = ModelError::WrongKind { found: Kind::Int8, expected: Kind::F32 };
    assert_eq!(load(&damage(&file)), Err(wrong_kind));
    (file.kind, file.settings[0]) = (0, 32);
    assert_eq!(load(&damage(&file)), Err(other_shape::<Mini>(file.dims, 0)));
    file.dims = DIMS;
    let mut bytes = damage(&file);
    let actual = bytes.len();
    bytes[28] += 1;
    assert_eq!(load(&bytes), Err(ModelError::Truncated { expected: actual + 1, actual }));
    assert!(matches!(load(&damage(&file)), Err(ModelError::BadCrc { .. })));
    refused(file.clone(), Field::Reserved);
    file.reserved = 0;
    refused(file.clone(), Field::Normalization);
    file.normalization = golden().normalization;
    refused(file.clone(), Field::Labels { found: 1, classes: 2 });
    file.labels = golden().labels;
    refused(file.clone(), Field::Name);
    file.dataset = golden().dataset;
    refused(file.clone(), Field::Accuracy);
    file.accuracy = vec![0];
    refused(file.clone(), Field::Padding);
    file.more_padding = vec![];
    refused(file, Field::Weights);
}

#[test]
fn versions_kinds_and_shapes_of_others_are_refused() {
    for found in [0, 1, 3, 512, u16::MAX] {
        let bytes = File { version: found, ..golden() }.compose();
        assert_eq!(load(&bytes), Err(ModelError::UnsupportedVersion { found }));
    }
    let int8 = File { kind: 1, settings: [8, 0, 0, 0], ..golden() }.compose();
    let error = ModelError::WrongKind { found: Kind::Int8, expected: Kind::F32 };
    assert_eq!(load(&int8), Err(error));
    aligned(&int8, |bytes| assert!(ModelFile::parse::<Mini>(bytes, Kind::Int8, WEIGHTS * 4).is_ok()));

    let nano = aligned(&golden().compose(), |bytes| Model::<Nano>::from_bytes(bytes).map(|_| ()));
    let error = ModelError::WrongShape { found: Mini::DIMS, expected: Nano::DIMS };
    assert_eq!(nano, Err(error));
}

#[test]
fn reserved_bytes_must_be_zero() {
    refused(File { reserved: 1, ..golden() }, Field::Reserved);
    for index in 0..8 {
        let mut file = golden();
        file.more_reserved[index] = 0x80;
        refused(file, Field::Reserved);
    }
    // The file has no convolutions, so that their fields must be 0.
    for index in 0..16 {
        let mut file = golden();
        file.convolutions[index] = 1;
        refused(file, Field::Reserved);
    }
}

#[test]
fn normalisation_must_be_usable() {
    for std in [0.0, -0.0, -1.0, 0.99e-6, f32::MIN_POSITIVE, 1.01e6, f32::NAN, f32::INFINITY] {
        refused(File::normalized(0.25, std), Field::Normalization);
    }
    for mean in [1.01e6, -1.01e6, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(File::normalized(mean, 0.5), Field::Normalization);
    }
    for (mean, std) in [(0.0, 1e-6), (-1e6, 1e6), (1e6, 1e-6), (-0.0, 1.0)] {
        assert_eq!(load(&File::normalized(mean, std).compose()), Ok(()));
    }
    // The values of channels that the network does not have must be exactly 0 and 1.
    for (index, number) in [(2, -0.0), (2, 0.25), (3, 0.5), (4, 1.0), (5, f32::NAN)] {
        let mut file = golden();
        file.normalization[index] = number;
        refused(file, Field::Normalization);
    }

    // In a colour file, each of the three channels must be usable, and may have any usable values.
    for (index, number) in
        [(0, f32::NAN), (2, 1.01e6), (3, 0.0), (4, f32::INFINITY), (5, -1.0), (1, f32::NAN)]
    {
        let mut file = golden_colour();
        file.normalization[index] = number;
        let error = ModelError::BadField(Field::Normalization);
        assert_eq!(load_as::<MiniColour>(&file.compose()), Err(error), "{number} at {index}");
    }
    for normalization in [[0.0, 1.0, 0.0, 1.0, 0.0, 1.0], [-0.0, 1e-6, 1e6, 1e6, -1e6, 0.5]] {
        let file = File { normalization, ..golden_colour() };
        assert_eq!(load_as::<MiniColour>(&file.compose()), Ok(()));
    }
}

#[test]
fn metadata_is_checked_for_the_channels_of_the_network() {
    let mean = |channel: usize, mean: f32| {
        let mut metadata = colour_metadata("no\nyes", Fit::Crop);
        metadata.normalization[channel].mean = mean;
        metadata
    };
    let bad = Err(Field::Normalization);
    assert_eq!(colour_metadata("no\nyes", Fit::Crop).check(&MiniColour::DIMS), Ok(()));
    assert_eq!(colour_metadata("no\nyes", Fit::Crop).check(&Mini::DIMS), bad);
    assert_eq!(metadata::<Mini>("no\nyes").check(&Mini::DIMS), Ok(()));
    // Channels that are not normalised are usable.
    assert_eq!(metadata::<Mini>("no\nyes").check(&MiniColour::DIMS), Ok(()));
    for channel in 0..3 {
        assert_eq!(mean(channel, f32::NAN).check(&MiniColour::DIMS), bad);
        assert_eq!(mean(channel, 1.0).check(&MiniColour::DIMS), Ok(()));
    }
    // No network has such dimensions, but they are public.
    let four = Dims { channels: 4, ..MiniColour::DIMS };
    assert_eq!(metadata::<Mini>("no\nyes").check(&four), bad);
    assert_eq!(metadata::<Mini>("no").check(&Mini::DIMS), Err(Field::Labels { found: 1, classes: 2 }));
    assert_eq!(metadata::<Mini>("no").check(&Dims { classes: 1, ..Mini::DIMS }), Ok(()));
}

#[test]
fn labels_must_be_one_per_class() {
    for (labels, found) in [("", 1), ("no", 1), ("no\nyes\n", 3), ("no\nyes\nperhaps", 3), ("\n\n", 3)] {
        refused(File { labels: string(labels), ..golden() }, Field::Labels { found, classes: 2 });
    }
    let labels = b"\x06no\nye\xFF".to_vec();
    refused(File { labels, ..golden() }, Field::Encoding);
}

#[test]
fn labels_must_be_readable() {
    let long = "\u{1F600}".repeat(MAX_LABEL + 1);
    for (label, fault) in [
        ("", LabelFault::Empty),
        ("   ", LabelFault::Empty),
        (&long, LabelFault::TooLong),
        ("\r", LabelFault::Control),
        ("a\tb", LabelFault::Control),
        ("a\0", LabelFault::Control),
        ("\x1B[2J", LabelFault::Control),
        ("\x7F", LabelFault::Control),
        ("\u{85}", LabelFault::Control),
        ("a\u{2028}b", LabelFault::Control),
        ("a\u{2029}b", LabelFault::Control),
    ] {
        for (class, labels) in [(0, format!("{label}\nyes")), (1, format!("no\n{label}"))] {
            refused(File { labels: string(&labels), ..golden() }, Field::Label { class, fault });
        }
    }
    let longest = &long[..4 * MAX_LABEL];
    for labels in ["no\nno", " no\nye s ", "\u{A0}\n\u{2027}\u{202A}", &format!("{longest}\n{longest}")] {
        assert_eq!(load(&File { labels: string(labels), ..golden() }.compose()), Ok(()), "{labels}");
    }
}

#[test]
fn names_must_be_readable() {
    let long = "\u{E9}".repeat(MAX_NAME + 1);
    for name in ["a\nb", "\0", "\u{9B}", &long] {
        refused(File { dataset: string(name), ..golden() }, Field::Name);
        refused(File { tool: string(name), ..golden() }, Field::Name);
    }
    for name in ["", " ", &long[2..]] {
        let file = File { dataset: string(name), tool: string(name), ..golden() };
        assert_eq!(load(&file.compose()), Ok(()));
    }
}

#[test]
fn a_digest_may_be_unknown() {
    let unknown = File { digest: vec![0], ..golden() }.compose();
    aligned(&unknown, |bytes| {
        assert_eq!(Model::<Mini>::from_bytes(bytes).unwrap().metadata().provenance.checkpoint, None);
    });
    refused(File { digest: vec![2], ..golden() }, Field::Encoding);
}

#[test]
fn accuracy_must_be_a_percentage() {
    let accuracy = |percent: f32| [vec![1], percent.to_le_bytes().to_vec()].concat();
    for percent in [100.01, 101.0, -0.01, f32::NAN, f32::INFINITY] {
        refused(File { accuracy: accuracy(percent), ..golden() }, Field::Accuracy);
    }
    refused(File { accuracy: vec![2], ..golden() }, Field::Encoding);
    for accuracy in [accuracy(0.0), accuracy(100.0), vec![0]] {
        assert_eq!(load(&File { accuracy, ..golden() }.compose()), Ok(()));
    }
}

#[test]
fn padding_must_be_short_and_zero_and_align_the_weights() {
    // Sixteen more bytes align the weights, too, but are too many, even if no padding is needed.
    for more in [1, 4, 8, 16] {
        refused(File { more_padding: vec![0; more], ..golden() }, Field::Padding);
    }
    let none_needed = File { tool: string("twelve bytes"), ..golden() };
    assert_eq!(load(&none_needed.compose()), Ok(()));
    refused(File { more_padding: vec![0; 16], ..none_needed }, Field::Padding);
    let good = golden().compose();
    let start = good.len() - 4 - WEIGHTS * 4 - 2;
    let padding = start - good[..start].iter().rev().position(|&byte| byte != 0).unwrap()..start;
    assert_eq!(usize::from(good[padding.start - 1]), padding.len(), "the length is before the padding");
    assert!(padding.len() > 1);
    for position in padding {
        let mut bytes = good.clone();
        bytes[position] = 1;
        seal(&mut bytes);
        assert_eq!(load(&bytes), Err(ModelError::BadField(Field::Padding)));
    }
}

#[test]
fn weights_must_be_as_many_as_the_shape_needs() {
    for len in [0, 4, WEIGHTS * 4 - 4, WEIGHTS * 4 - 1, WEIGHTS * 4 + 1, WEIGHTS * 4 + 4] {
        refused(File { weights_len: varint(len as u64), weights: vec![0; len], ..golden() }, Field::Weights);
    }
    for len in [WEIGHTS * 4 - 1, WEIGHTS * 4 + 1] {
        let result =
            aligned(&golden().compose(), |bytes| ModelFile::parse::<Mini>(bytes, Kind::F32, len).err());
        assert_eq!(result, Some(ModelError::BadField(Field::Weights)));
    }
}

#[test]
fn weights_must_be_finite() {
    let with = |index: usize, weight: f32| {
        let mut weights = golden().weights;
        weights[4 * index..][..4].copy_from_slice(&weight.to_le_bytes());
        File { weights, ..golden() }
    };
    for index in [0, 1, WEIGHTS / 2, WEIGHTS - 1] {
        for weight in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7F80_0001)] {
            refused(with(index, weight), Field::Weights);
        }
        for weight in [f32::MAX, f32::MIN, -0.0, f32::from_bits(1)] {
            assert_eq!(load(&with(index, weight).compose()), Ok(()));
        }
    }
}

#[test]
fn hostile_lengths_are_refused() {
    // Lengths beyond the file, beyond 32 bits, and beyond any memory; and an encoding that is not a number.
    let lengths = [2000, 1 << 31, 1 << 32, 1 << 63, u64::MAX].map(varint);
    for length in lengths.into_iter().chain([vec![0xFF; 11]]) {
        let hostile = |text: &str| [&length, text.as_bytes()].concat();
        refused(File { labels: hostile("no\nyes"), ..golden() }, Field::Encoding);
        refused(File { dataset: hostile("synthetic"), ..golden() }, Field::Encoding);
        refused(File { tool: hostile("a test"), ..golden() }, Field::Encoding);
        refused(File { weights_len: length, ..golden() }, Field::Encoding);
    }
    refused(File { seed: vec![0xFF; 10], ..golden() }, Field::Encoding);
    // The checksum is not a part of the weights and follows them immediately.
    for len in [WEIGHTS * 4 - 1, WEIGHTS * 4 + 1, WEIGHTS * 4 + 4, WEIGHTS * 4 + 5] {
        refused(File { weights_len: varint(len as u64), ..golden() }, Field::Encoding);
    }
}

/// FORMAT.md says so. None is written like that.
#[test]
fn a_varint_may_be_longer_than_it_must_be() {
    assert_eq!(load(&File { seed: b"\xAC\x82\x80\x00".to_vec(), ..golden() }.compose()), Ok(()));
    assert_eq!(load(&File { labels: b"\x86\x00no\nyes".to_vec(), ..golden() }.compose()), Ok(()));
}

#[test]
fn what_would_be_refused_is_not_written() {
    let normalized =
        |normalization| Metadata::new(Fit::Stretch, normalization, "a\nb", metadata::<Mini>("").provenance);
    let normalization = |mean, std| normalized(Normalization { mean, std }.grey());
    let accuracy = |percent| {
        let provenance = Provenance { test_accuracy: Some(percent), ..metadata::<Mini>("").provenance };
        Metadata::new(Fit::Stretch, metadata::<Mini>("").normalization, "a\nb", provenance)
    };
    for (bad, field) in [
        (normalization(0.0, 0.0), Field::Normalization),
        (normalization(f32::NAN, 1.0), Field::Normalization),
        (normalized([Normalization { mean: 0.25, std: 0.5 }; 3]), Field::Normalization),
        (metadata::<Mini>("a"), Field::Labels { found: 1, classes: 2 }),
        (metadata::<Mini>("a\nb\n"), Field::Labels { found: 3, classes: 2 }),
        (metadata::<Mini>("a\n\t"), Field::Label { class: 1, fault: LabelFault::Control }),
        (accuracy(100.5), Field::Accuracy),
        (accuracy(f32::NAN), Field::Accuracy),
    ] {
        let result = write::<Mini>(Kind::F32, &bad, &golden().weights, &mut [0; 4096]);
        assert_eq!(result, Err(ModelError::BadField(field)));
    }
}

#[test]
fn too_small_a_buffer_is_an_error() {
    let len = golden().compose().len();
    for room in 0..=len {
        let result =
            write::<Mini>(Kind::F32, &metadata::<Mini>("no\nyes"), &golden().weights, &mut vec![0; room]);
        let expected = if room < len { Err(ModelError::BadField(Field::Encoding)) } else { Ok(len) };
        assert_eq!(result, expected, "room for {room} bytes");
    }
}

/// Writes and reads a model whose parameters are all different, and compares every bit.
fn round_trip<N: Network>(fit: Fit) {
    let labels = (0..N::CLASSES).map(|class| format!("class {class}")).collect::<Vec<_>>().join("\n");
    let count = N::DIMS.parameters();
    let weights: Vec<u8> = (0..count as u32).flat_map(|i| (i | 0x3F80_0000).to_le_bytes()).collect();
    let mut metadata = if N::CHANNELS == 1 { metadata::<N>(&labels) } else { colour_metadata(&labels, fit) };
    metadata.fit = fit;
    let mut out = vec![0; weights.len() + overhead(&metadata)];
    let len = write::<N>(Kind::F32, &metadata, &weights, &mut out).unwrap();
    aligned(&out[..len], |bytes| {
        let file = ModelFile::parse::<N>(bytes, Kind::F32, Model::<N>::WEIGHT_BYTES).unwrap();
        assert_eq!(file.metadata, metadata);
        assert!(file.weights == weights);
        assert!(file.weights.as_ptr().addr().is_multiple_of(ALIGNMENT));
        let views = Weights::<N>::from_bytes(file.weights).unwrap();
        assert_eq!(views.blocks().count(), N::DEPTH);
        assert_eq!(
            views.head.head_bias.as_ref().last(),
            Some(&f32::from_bits((count - 1) as u32 | 0x3F80_0000))
        );
        assert!(Model::<N>::from_bytes(bytes).is_ok());
    });
}

#[test]
fn presets_survive_a_round_trip() {
    round_trip::<Base>(Fit::Stretch);
    round_trip::<Tiny>(Fit::Stretch);
    round_trip::<Nano>(Fit::Stretch);
}

#[test]
fn colour_networks_survive_a_round_trip() {
    vit_nostd::network! {
        Wide { image: [6, 20, 3], patch: [3, 5], embed: 132, heads: 3, hidden: 8, depth: 2, classes: 4 }
        High { image: [20, 6], patch: [5, 3], embed: 12, heads: 3, hidden: 8, depth: 2, classes: 4 }
    }
    for fit in [Fit::Stretch, Fit::Crop, Fit::Pad] {
        round_trip::<Wide>(fit);
        round_trip::<High>(fit);
        round_trip::<Nano>(fit);
    }
}

/// An integer model has colours, too.
#[test]
fn integer_models_survive_a_round_trip() {
    use vit_nostd::int8;
    type N = MiniColourInt8;
    vit_nostd::network! {
        MiniColourInt8 { image: [4, 6, 3], patch: [2, 3], embed: 8, heads: 2, hidden: 4, depth: 1, classes: 2 }
    }
    vit_random_models::with_weights(int8::Model::<N>::WEIGHT_BYTES, |weights| {
        vit_random_models::random_weights::<N>(
            &mut vit_random_models::Random(1),
            vit_random_models::Mood::Calm,
            weights,
        );
        for fit in [Fit::Stretch, Fit::Crop, Fit::Pad] {
            let metadata = colour_metadata("no\nyes", fit);
            let mut out = vec![0; weights.len() + overhead(&metadata)];
            let len = write::<N>(Kind::Int8, &metadata, weights, &mut out).unwrap();
            aligned(&out[..len], |bytes| {
                assert_eq!(int8::Model::<N>::from_bytes(bytes).unwrap().metadata(), &metadata);
                let file = ModelFile::parse::<N>(bytes, Kind::Int8, weights.len()).unwrap();
                assert!(file.weights == &*weights);
            });
            let settings = out[32..36].to_vec();
            assert_eq!(settings, [8, 1, fit as u8, 0]);
        }
    });
}

#[test]
fn weights_are_written_where_they_are_read() {
    let mut bytes = vec![0; WEIGHTS * 4 + 4];
    let start = bytes.as_ptr().align_offset(4);
    let bytes = &mut bytes[start..start + WEIGHTS * 4];
    assert!(WeightsMut::<Mini>::from_bytes(&mut bytes[1..]).is_none());
    let mut weights = WeightsMut::<Mini>::from_bytes(bytes).unwrap();
    weights.embedding.pos_embed[4][3] = 1.0;
    weights.blocks().for_each(|block| block.mlp_weight[5][3] = 2.0);
    weights.head.head_bias[1] = 3.0;
    let weights = Weights::<Mini>::from_bytes(bytes).unwrap();
    assert_eq!(weights.embedding.pos_embed[4][3], 1.0);
    assert!(weights.blocks().map(|block| block.mlp_weight[5][3]).eq([2.0]));
    assert_eq!(weights.head.head_bias[1], 3.0);
    assert!(Weights::<Mini>::from_bytes(&bytes[4..]).is_none());
}

/// One way to damage a file. Offsets beyond its end are at the end; about half of them lie before the weights.
#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Flip(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = || prop_oneof![0..100usize, 0..1000usize];
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (place(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (place(), 1..40usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (place(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, b)| Mutation::Insert(at, b)),
        (place(), 1..40usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: Mutation) {
    let len = bytes.len();
    let range = |at: usize, count: usize| at.min(len)..(at + count).min(len);
    match mutation {
        Mutation::Set(at, byte) => bytes[range(at, 1)].fill(byte),
        Mutation::Flip(at, bit) => bytes[range(at, 1)].iter_mut().for_each(|byte| *byte ^= 1 << bit),
        Mutation::Remove(at, count) => drop(bytes.drain(range(at, count))),
        Mutation::Insert(at, new) => drop(bytes.splice(range(at, 0), new)),
        Mutation::Repeat(at, count) => bytes.extend_from_within(range(at, count)),
    }
}

/// A file is accepted only if its checksum is correct, and then the model runs.
fn runs_or_is_refused<N: Network>(bytes: &[u8]) -> Result<(), TestCaseError> {
    aligned(bytes, |bytes| {
        if let Ok(model) = Model::<N>::from_bytes(bytes) {
            let (content, crc) = bytes.split_last_chunk().unwrap();
            prop_assert_eq!(u32::from_le_bytes(*crc), crc32(content));
            prop_assert_eq!(model.metadata().labels().filter(|label| !label.is_empty()).count(), 2);
            model.infer(&Element::ZERO, &mut Scratch::new());
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000), as_preamble: bool) {
        let mut bytes = bytes;
        if as_preamble && bytes.len() > PREAMBLE_LEN + 4 {
            bytes[..PREAMBLE_LEN].copy_from_slice(&golden().compose()[..PREAMBLE_LEN]);
            seal(&mut bytes);
        }
        prop_assert!(load(&bytes).is_err());
    }

    /// A mutated file never causes a panic.
    #[test]
    fn mutated_files_do_no_harm(
        mutations in prop::collection::vec(mutation(), 1..6),
        sealed: bool,
        colour: bool,
    ) {
        let mut bytes = if colour { golden_colour() } else { golden() }.compose();
        mutations.into_iter().for_each(|mutation| mutate(&mut bytes, mutation));
        if sealed && bytes.len() > PREAMBLE_LEN + 4 {
            seal(&mut bytes);
        }
        if colour {
            runs_or_is_refused::<MiniColour>(&bytes)?;
        } else {
            runs_or_is_refused::<Mini>(&bytes)?;
        }
    }

    /// Metadata is read as it was written, and `overhead` bytes are always enough for it.
    #[test]
    fn any_metadata_survives(
        labels in (r"[\PC&&[^ \u{2028}\u{2029}]]{1,100}", r"[\PC&&[^ \u{2028}\u{2029}]]{1,9}"),
        (dataset, tool) in (r"[\PC&&[^\u{2028}\u{2029}]]{0,255}", r"[\PC&&[^\u{2028}\u{2029}]]{0,20}"),
        seed: u64,
        test_accuracy in prop::option::of(0f32..=100.0),
        (mean, std) in (-1e6f32..=1e6, 1e-6f32..=1e6),
        checkpoint in prop::option::of(any::<[u8; 32]>()),
        room in 0..1000usize,
    ) {
        let labels = format!("{}\n{}", labels.0, labels.1);
        let provenance = Provenance { dataset: &dataset, seed, test_accuracy, tool: &tool, checkpoint };
        let fit = [Fit::Stretch, Fit::Crop, Fit::Pad][(seed % 3) as usize];
        let metadata = Metadata::new(fit, Normalization { mean, std }.grey(), &labels, provenance);
        let weights = golden().weights;
        let mut out = vec![0; weights.len() + overhead(&metadata)];
        let len = write::<Mini>(Kind::F32, &metadata, &weights, &mut out).unwrap();
        aligned(&out[..len], |bytes| {
            let model = Model::<Mini>::from_bytes(bytes).unwrap();
            prop_assert_eq!(model.metadata(), &metadata);
            Ok(())
        })?;
        let too_small = write::<Mini>(Kind::F32, &metadata, &weights, &mut out[..room.min(len - 1)]);
        prop_assert_eq!(too_small, Err(ModelError::BadField(Field::Encoding)));
    }
}

/// Wherever a buffer begins, the bytes are moved to an aligned place, or the buffer is too small.
#[test]
fn bytes_are_aligned_in_a_buffer() {
    let content: Vec<u8> = (0..100).collect();
    for start in 0..ALIGNMENT {
        for room in 0..ALIGNMENT {
            let mut memory = vec![0; start + content.len() + room];
            let buffer = &mut memory[start..];
            buffer[..content.len()].copy_from_slice(&content);
            let distance = buffer.as_ptr().align_offset(ALIGNMENT);
            match align(buffer, content.len()) {
                Some(aligned) => {
                    assert!(aligned == content && aligned.as_ptr().addr().is_multiple_of(ALIGNMENT));
                }
                None => assert!(distance > room, "{start} {room}"),
            }
        }
    }
    assert!(align(&mut [0; 4], 5).is_none() && align(&mut [], usize::MAX).is_none());
}
