//! The model file: its exact bytes, and that no bad file is accepted.
//!
//! The files here are composed by [`File::compose`] from the specification in the docs of `vit_nostd::model_file`,
//! not by the library. The property tests run as long as one likes: `PROPTEST_CASES=1000000 cargo test --release -p
//! vit-nostd --test model_file`.

mod common;

use common::{aligned, metadata};
use proptest::prelude::*;
use vit_nostd::float::weights::{Weights, WeightsMut};
use vit_nostd::float::{Model, Scratch};
use vit_nostd::model_file::{
    overhead, write, Kind, Metadata, ModelFile, Normalization, Preamble, Provenance, ALIGNMENT, PREAMBLE_LEN,
};
use vit_nostd::{Base, Dims, Field, Image, ModelError, Nano, Shape, Tiny, Vit};

/// 216 parameters, for a file of about 1 KB.
type Mini = Vit<4, 2, 5, 4, 2, 2, 6, 1, 2>;
const DIMS: [u16; 9] = [4, 2, 5, 4, 2, 2, 6, 1, 2];
const WEIGHTS: usize = 216;

/// A model file of version 1 in the order of its bytes. Fields in `Vec`s are encoded already.
#[derive(Clone)]
struct File {
    version: u16,
    kind: u8,
    reserved: [u8; 3],
    dims: [u16; 9],
    mean: f32,
    std: f32,
    labels: Vec<u8>,
    dataset: Vec<u8>,
    seed: Vec<u8>,
    accuracy: Vec<u8>,
    tool: Vec<u8>,
    /// What is added to the padding that aligns the weights.
    more_padding: Vec<u8>,
    weights_len: Vec<u8>,
    weights: Vec<u8>,
}

/// What the golden file says; the same as `metadata("no\nyes")`, with the weights -99/128, -98/128, -97/128, ...
fn golden() -> File {
    File {
        version: 1,
        kind: 0,
        reserved: [0; 3],
        dims: DIMS,
        mean: 0.25,
        std: 0.5,
        labels: b"\x06no\nyes".to_vec(),
        dataset: b"\x09synthetic".to_vec(),
        seed: b"\xAC\x02".to_vec(),
        accuracy: b"\x01\x00\x00\xC3\x42".to_vec(),
        tool: b"\x06a test".to_vec(),
        more_padding: vec![],
        weights_len: b"\xE0\x06".to_vec(),
        weights: (0..WEIGHTS).flat_map(|i| ((i as f32 - 99.0) / 128.0).to_le_bytes()).collect(),
    }
}

impl File {
    fn compose(&self) -> Vec<u8> {
        let mut bytes = b"ViT!".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend([self.kind, self.reserved[0]]);
        bytes.extend(self.dims.iter().flat_map(|dim| dim.to_le_bytes()));
        bytes.extend(&self.reserved[1..]);
        bytes.extend([0; 4]);
        bytes.extend(self.mean.to_le_bytes());
        bytes.extend(self.std.to_le_bytes());
        for field in [&self.labels, &self.dataset, &self.seed, &self.accuracy, &self.tool] {
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
}

/// Makes length and checksum right.
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
    aligned(bytes, |bytes| Model::<Mini>::from_bytes(bytes).map(|_| ()))
}

#[track_caller]
fn refused(file: File, field: Field) {
    assert_eq!(load(&file.compose()), Err(ModelError::BadField(field)));
}

#[test]
fn golden_file_is_what_the_specification_says() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of CRC-32");
    let bytes = include_bytes!("golden/version1.f32.vit");
    // Where this fails, the format has changed: raise its version, and add a golden file for that one.
    assert_eq!(golden().compose(), bytes);

    let mut out = vec![0xAA; bytes.len() + 1];
    let len = write::<Mini>(Kind::F32, &metadata("no\nyes"), &golden().weights, &mut out);
    assert_eq!(len, Ok(bytes.len()));
    assert_eq!(out, [bytes.as_slice(), &[0xAA]].concat());
}

#[test]
fn golden_file_means_what_the_specification_says() {
    static GOLDEN: &[u8] = vit_nostd::include_model!("golden/version1.f32.vit", Mini, F32);
    let preamble = Preamble { kind: Kind::F32, dims: Mini::DIMS, file_len: GOLDEN.len() as u32 };
    assert_eq!(Preamble::read(GOLDEN), Ok(preamble));
    let model = Model::<Mini>::from_bytes(GOLDEN).unwrap();
    assert_eq!(model.metadata(), &metadata("no\nyes"));
    assert!(model.metadata().labels().eq(["no", "yes"]));

    // The place of a tensor's first number, counted by hand, and its value: no tensor is missing or elsewhere.
    let file = ModelFile::parse::<Mini>(GOLDEN, Kind::F32, WEIGHTS * 4).unwrap();
    let weights = Weights::<Mini>::from_bytes(file.weights).unwrap();
    let place = |weight: f32| weight * 128.0 + 99.0;
    let (embedding, block, head) = (weights.embedding, weights.blocks().next().unwrap(), weights.head);
    assert_eq!(place(embedding.patch_weight[1][0][3]), 11.0);
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

#[test]
fn every_other_byte_is_refused() {
    let good = golden().compose();
    aligned(&good, |good| assert!(Model::<Mini>::from_bytes(good).is_ok()));
    for position in 0..good.len() {
        let mut bytes = good.clone();
        for value in (0..=255).filter(|&value| value != good[position]) {
            bytes[position] = value;
            let error = load(&bytes).unwrap_err();
            let len = u32::from_le_bytes(bytes[28..32].try_into().unwrap()) as usize;
            let right = match position {
                0..4 => error == ModelError::BadMagic,
                4..6 => {
                    let found = u16::from_le_bytes([bytes[4], bytes[5]]);
                    error == ModelError::UnsupportedVersion { found }
                }
                6 if value == 1 => error == ModelError::WrongKind { found: Kind::Int8, expected: Kind::F32 },
                6 => error == ModelError::UnknownKind { found: value },
                8..26 => {
                    let mut dims = DIMS.map(u16::to_le_bytes);
                    dims[position / 2 - 4][position % 2] = value;
                    error == wrong_shape(dims.map(u16::from_le_bytes))
                }
                28..32 if len > good.len() => {
                    error == ModelError::Truncated { expected: len, actual: good.len() }
                }
                28..32 => error == ModelError::TrailingBytes { expected: len, actual: good.len() },
                _ => matches!(error, ModelError::BadCrc { .. }),
            };
            assert!(right, "{value:#04x} at {position}: {error:?}");
        }
    }
}

fn wrong_shape(
    [image, patch, tokens, embed, heads, head_dim, hidden, depth, classes]: [u16; 9],
) -> ModelError {
    let found = Dims { image, patch, tokens, embed, heads, head_dim, hidden, depth, classes };
    ModelError::WrongShape { found, expected: Mini::DIMS }
}

#[test]
fn every_truncation_is_refused() {
    let good = golden().compose();
    for actual in 0..good.len() {
        let error = if actual < PREAMBLE_LEN {
            ModelError::NoPreamble { actual }
        } else {
            ModelError::Truncated { expected: good.len(), actual }
        };
        assert_eq!(load(&good[..actual]), Err(error));
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
        version: 2,
        kind: 1,
        reserved: [1; 3],
        dims: [9; 9],
        mean: f32::NAN,
        labels: string(""),
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
    assert_eq!(load(&damage(&file)), Err(ModelError::UnsupportedVersion { found: 2 }));
    file.version = 1;
    file.kind = 9;
    assert_eq!(load(&damage(&file)), Err(ModelError::UnknownKind { found: 9 }));
    file.kind = 1;
    let wrong_kind = ModelError::WrongKind { found: Kind::Int8, expected: Kind::F32 };
    assert_eq!(load(&damage(&file)), Err(wrong_kind));
    file.kind = 0;
    assert_eq!(load(&damage(&file)), Err(wrong_shape([9; 9])));
    file.dims = DIMS;
    let mut bytes = damage(&file);
    let actual = bytes.len();
    bytes[28] += 1;
    assert_eq!(load(&bytes), Err(ModelError::Truncated { expected: actual + 1, actual }));
    assert!(matches!(load(&damage(&file)), Err(ModelError::BadCrc { .. })));
    refused(file.clone(), Field::Reserved);
    file.reserved = [0; 3];
    refused(file.clone(), Field::Normalization);
    file.mean = 0.0;
    refused(file.clone(), Field::Labels);
    file.labels = golden().labels;
    refused(file.clone(), Field::Accuracy);
    file.accuracy = vec![0];
    refused(file.clone(), Field::Padding);
    file.more_padding = vec![];
    refused(file, Field::Weights);
}

#[test]
fn versions_kinds_and_shapes_of_others_are_refused() {
    for found in [0, 2, 256, u16::MAX] {
        let bytes = File { version: found, ..golden() }.compose();
        assert_eq!(load(&bytes), Err(ModelError::UnsupportedVersion { found }));
    }
    let int8 = File { kind: 1, ..golden() }.compose();
    let error = ModelError::WrongKind { found: Kind::Int8, expected: Kind::F32 };
    assert_eq!(load(&int8), Err(error));
    aligned(&int8, |bytes| assert!(ModelFile::parse::<Mini>(bytes, Kind::Int8, WEIGHTS * 4).is_ok()));

    let nano = aligned(&golden().compose(), |bytes| Model::<Nano>::from_bytes(bytes).map(|_| ()));
    let error = ModelError::WrongShape { found: Mini::DIMS, expected: Nano::DIMS };
    assert_eq!(nano, Err(error));
}

#[test]
fn reserved_bytes_must_be_zero() {
    for reserved in [[1, 0, 0], [0, 1, 0], [0, 0, 0x80]] {
        refused(File { reserved, ..golden() }, Field::Reserved);
    }
}

#[test]
fn normalisation_must_be_usable() {
    for std in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(File { std, ..golden() }, Field::Normalization);
    }
    for mean in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(File { mean, ..golden() }, Field::Normalization);
    }
}

#[test]
fn labels_must_be_one_per_class() {
    for labels in ["", "no", "no\n", "\nyes", "\n", "no\nyes\n", "no\nyes\nperhaps"] {
        refused(File { labels: string(labels), ..golden() }, Field::Labels);
    }
    let labels = b"\x06no\nye\xFF".to_vec();
    refused(File { labels, ..golden() }, Field::Encoding);
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
    // Sixteen bytes more align the weights as well, and are too many, even where none is needed.
    for more in [1, 4, 8, 16] {
        refused(File { more_padding: vec![0; more], ..golden() }, Field::Padding);
    }
    let none_needed = File { tool: string("twelve bytes"), ..golden() };
    assert_eq!(load(&none_needed.compose()), Ok(()));
    refused(File { more_padding: vec![0; 16], ..none_needed }, Field::Padding);
    let good = golden().compose();
    let start = good.len() - 4 - WEIGHTS * 4 - 2;
    let padding = start - good[..start].iter().rev().position(|&byte| byte != 0).unwrap()..start;
    assert_eq!(usize::from(good[padding.start - 1]), padding.len(), "its length stands before it");
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
    // Longer than the file, than 32 bits, than any memory; and no number at all.
    let lengths = [2000, 1 << 31, 1 << 32, 1 << 63, u64::MAX].map(varint);
    for length in lengths.into_iter().chain([vec![0xFF; 11]]) {
        let hostile = |text: &str| [&length, text.as_bytes()].concat();
        refused(File { labels: hostile("no\nyes"), ..golden() }, Field::Encoding);
        refused(File { dataset: hostile("synthetic"), ..golden() }, Field::Encoding);
        refused(File { tool: hostile("a test"), ..golden() }, Field::Encoding);
        refused(File { weights_len: length, ..golden() }, Field::Encoding);
    }
    refused(File { seed: vec![0xFF; 10], ..golden() }, Field::Encoding);
    // The checksum is not part of the weights, and nothing stands between the two.
    for len in [WEIGHTS * 4 - 1, WEIGHTS * 4 + 1, WEIGHTS * 4 + 4, WEIGHTS * 4 + 5] {
        refused(File { weights_len: varint(len as u64), ..golden() }, Field::Encoding);
    }
}

#[test]
fn what_would_be_refused_is_not_written() {
    let normalization =
        |mean, std| Metadata::new(Normalization { mean, std }, "a\nb", metadata("").provenance);
    let accuracy = |percent| {
        let provenance = Provenance { test_accuracy: Some(percent), ..metadata("").provenance };
        Metadata::new(metadata("").normalization, "a\nb", provenance)
    };
    for (bad, field) in [
        (normalization(0.0, 0.0), Field::Normalization),
        (normalization(f32::NAN, 1.0), Field::Normalization),
        (metadata("a"), Field::Labels),
        (metadata("a\nb\n"), Field::Labels),
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
        let result = write::<Mini>(Kind::F32, &metadata("no\nyes"), &golden().weights, &mut vec![0; room]);
        let expected = if room < len { Err(ModelError::BadField(Field::Encoding)) } else { Ok(len) };
        assert_eq!(result, expected, "room for {room} bytes");
    }
}

/// Writes and reads a model whose parameters are all different, and compares every bit.
fn round_trip<S: Shape>() {
    let labels = (0..S::CLASSES).map(|class| format!("class {class}")).collect::<Vec<_>>().join("\n");
    let count = S::DIMS.parameters();
    let weights: Vec<u8> = (0..count as u32).flat_map(|i| (i | 0x3F80_0000).to_le_bytes()).collect();
    let mut out = vec![0; weights.len() + overhead(&metadata(&labels))];
    let len = write::<S>(Kind::F32, &metadata(&labels), &weights, &mut out).unwrap();
    aligned(&out[..len], |bytes| {
        let file = ModelFile::parse::<S>(bytes, Kind::F32, Model::<S>::WEIGHT_BYTES).unwrap();
        assert_eq!(file.metadata, metadata(&labels));
        assert!(file.weights == weights);
        assert!(file.weights.as_ptr().addr().is_multiple_of(ALIGNMENT));
        let views = Weights::<S>::from_bytes(file.weights).unwrap();
        assert_eq!(views.blocks().count(), S::DEPTH);
        assert_eq!(
            views.head.head_bias.as_ref().last(),
            Some(&f32::from_bits((count - 1) as u32 | 0x3F80_0000))
        );
        assert!(Model::<S>::from_bytes(bytes).is_ok());
    });
}

#[test]
fn presets_survive_a_round_trip() {
    round_trip::<Base>();
    round_trip::<Tiny>();
    round_trip::<Nano>();
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

/// One way to spoil a file. Places are fractions of its length; half of them lie before the weights.
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

    /// A mutated file never panics, and is accepted only with a right checksum; then it runs.
    #[test]
    fn mutated_files_do_no_harm(mutations in prop::collection::vec(mutation(), 1..6), sealed: bool) {
        let mut bytes = golden().compose();
        mutations.into_iter().for_each(|mutation| mutate(&mut bytes, mutation));
        if sealed && bytes.len() > PREAMBLE_LEN + 4 {
            seal(&mut bytes);
        }
        aligned(&bytes, |bytes| {
            if let Ok(model) = Model::<Mini>::from_bytes(bytes) {
                let (content, crc) = bytes.split_last_chunk().unwrap();
                prop_assert_eq!(u32::from_le_bytes(*crc), crc32(content));
                prop_assert_eq!(model.metadata().labels().filter(|label| !label.is_empty()).count(), 2);
                model.infer(&Image::<Mini>::default(), &mut Scratch::new());
            }
            Ok(())
        })?;
    }

    /// What is written is read, and `overhead` is room enough.
    #[test]
    fn any_metadata_survives(
        labels in ("[^\n]{1,300}", "[^\n]{1,9}"),
        (dataset, tool) in ("\\PC{0,200}", "\\PC{0,20}"),
        seed: u64,
        test_accuracy in prop::option::of(0f32..=100.0),
        (mean, std) in (-1e30f32..1e30, 1e-30f32..1e30),
        room in 0..1000usize,
    ) {
        let labels = format!("{}\n{}", labels.0, labels.1);
        let provenance = Provenance { dataset: &dataset, seed, test_accuracy, tool: &tool };
        let metadata = Metadata::new(Normalization { mean, std }, &labels, provenance);
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
