//! Tests that the compiler refuses wrong declarations and wrong model files, and says why.
//!
//! Each case in `tests/must_not_compile` is a program and a text file, whose content must occur in the compiler's first
//! error. Only the program `good` compiles: it must print its text.

use crate::{build, cargo, TARGET, WORKSPACE};
use serde_json::Value;
use std::{collections::HashMap, fs, path::Path, process::Command};
use vit_nostd::float::{weights::WeightsMut, Model};
use vit_nostd::frame::Fit;
use vit_nostd::model_file::{overhead, write, Kind, Metadata, Normalization, Provenance};
use vit_nostd::{ConvNano, Nano, Network, Tiny};

const DIGITS: &str = "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine";

/// Returns a float model that classifies every image as a seven.
fn sevens<N: Network>() -> Vec<u8> {
    // The buffer has room for the weights at an address that is aligned to 4 bytes.
    let mut bytes = vec![0; Model::<N>::WEIGHT_BYTES + 4];
    let start = bytes.as_ptr().align_offset(4);
    let weights = &mut bytes[start..start + Model::<N>::WEIGHT_BYTES];
    WeightsMut::<N>::from_bytes(weights).expect("aligned").head.head_bias.as_mut()[7] = 5.0;
    model::<N>(Kind::F32, weights)
}

fn model<N: Network>(kind: Kind, weights: &[u8]) -> Vec<u8> {
    let provenance =
        Provenance { dataset: "none", seed: 0, test_accuracy: None, tool: "a test", checkpoint: None };
    let normalization = Normalization { mean: 0.1307, std: 0.3081 }.grey();
    let metadata = Metadata::new(Fit::Stretch, normalization, DIGITS, provenance);
    let mut bytes = vec![0; weights.len() + overhead(&metadata)];
    let len = write::<N>(kind, &metadata, weights, &mut bytes).expect("the model is written");
    bytes.truncate(len);
    bytes
}

#[test]
fn the_compiler_says_what_is_wrong() {
    let programs = WORKSPACE.join("must-not-compile/src/bin");
    let nano = sevens::<Nano>();
    let with = |offset: usize, byte: u8| {
        let mut bytes = nano.clone();
        bytes[offset] = byte;
        bytes
    };
    for (name, bytes) in [
        ("nano.f32.vit", nano.as_slice()),
        ("nano.int8.vit", &model::<Nano>(Kind::Int8, &[])),
        ("tiny.f32.vit", &sevens::<Tiny>()),
        ("conv_nano.f32.vit", &sevens::<ConvNano>()),
        ("truncated.f32.vit", &nano[..nano.len() - 1]),
        ("too_long.f32.vit", &[nano.as_slice(), &[0]].concat()),
        ("version_1.f32.vit", &with(4, 1)),
        ("rgb_of_one_channel.f32.vit", &with(33, 1)),
        ("unknown_colours.f32.vit", &with(33, 2)),
        ("unknown_fit.f32.vit", &with(34, 3)),
        ("three_convolutions.f32.vit", &with(35, 3)),
        ("cut_off.f32.vit", &nano[..20]),
        ("text.txt", b"The quick brown fox jumps over the lazy dog."),
    ] {
        fs::write(programs.join(name), bytes).expect("a model file is written");
    }

    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/must_not_compile");
    let cases = fs::read_dir(cases).expect("cases").map(|entry| entry.expect("a case").path());
    let cases: Vec<_> =
        cases.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    for case in &cases {
        fs::copy(case, programs.join(case.file_name().expect("a name"))).expect("a case is copied");
    }
    let name = |case: &Path| case.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
    let names: Vec<String> = cases.iter().map(|case| name(case)).collect();
    let mut cargo = cargo(&build(names.iter().map(String::as_str)));
    let output = cargo.args(["--keep-going", "--message-format=json"]).output().expect("cargo starts");
    let errors = first_errors(&output.stdout);
    let mut wrong = String::new();
    for (case, name) in cases.iter().zip(&names) {
        let text = fs::read_to_string(case.with_extension("txt")).expect("a text for each case");
        let said = match name.as_str() {
            "good" => {
                let output = Command::new(Path::new(TARGET).join("debug").join(name)).output();
                Some(String::from_utf8(output.expect("the program starts").stdout).expect("text"))
            }
            _ => errors.get(name).cloned(),
        };
        let said = said.unwrap_or("it compiles".to_owned());
        if !said.contains(text.trim_end()) {
            wrong += &format!("--- {name}: expected {text}but: {said}\n");
        }
    }
    assert!(cases.len() >= 66, "only {} cases", cases.len());
    assert!(wrong.is_empty() && errors.len() == cases.len() - 1, "{wrong}");
}

/// Returns the first error of each program, given cargo's messages in JSON.
fn first_errors(messages: &[u8]) -> HashMap<String, String> {
    let mut errors = HashMap::new();
    for message in serde_json::Deserializer::from_slice(messages).into_iter::<Value>() {
        let Value::Object(message) = message.expect("messages of cargo") else { continue };
        if let Some(error) = message.get("message").filter(|error| error["level"] == "error") {
            let program = message["target"]["name"].as_str().expect("a program").to_owned();
            errors.entry(program).or_insert_with(|| error["rendered"].as_str().expect("a text").to_owned());
        }
    }
    errors
}
