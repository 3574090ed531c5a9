//! What the compiler must refuse, and say of it. Each case is a program in `tests/must_not_compile`; its first line
//! names the cargo command that is run on it and a text that this command prints. Everything but `cargo run` must
//! fail.

mod outside;

use outside::crate_outside;
use std::process::Command;
use std::{env, fs};
use vit_nostd::float::{weights::WeightsMut, Model};
use vit_nostd::model_file::{overhead, write, Kind, Metadata, Normalization, Provenance};
use vit_nostd::{Nano, Shape, Tiny};

const DIGITS: &str = "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine";

/// A float model that takes every image for a seven.
fn sevens<S: Shape>() -> Vec<u8> {
    // Room for a copy that is aligned to the numbers.
    let mut bytes = vec![0; Model::<S>::WEIGHT_BYTES + 4];
    let start = bytes.as_ptr().align_offset(4);
    let weights = &mut bytes[start..start + Model::<S>::WEIGHT_BYTES];
    WeightsMut::<S>::from_bytes(weights).expect("aligned").head.head_bias.as_mut()[7] = 5.0;
    model::<S>(Kind::F32, weights)
}

fn model<S: Shape>(kind: Kind, weights: &[u8]) -> Vec<u8> {
    let provenance =
        Provenance { dataset: "none", seed: 0, test_accuracy: None, tool: "a test", checkpoint: None };
    let metadata = Metadata::new(Normalization { mean: 0.1307, std: 0.3081 }, DIGITS, provenance);
    let mut bytes = vec![0; weights.len() + overhead(&metadata)];
    let len = write::<S>(kind, &metadata, weights, &mut bytes).expect("the model is written");
    bytes.truncate(len);
    bytes
}

#[test]
fn the_compiler_says_what_is_wrong() {
    let folder = crate_outside("must-not-compile", "");
    let programs = folder.join("src/bin");
    let nano = sevens::<Nano>();
    let mut of_version_1 = nano.clone();
    of_version_1[4] = 1;
    for (name, bytes) in [
        ("nano.f32.vit", nano.as_slice()),
        ("nano.int8.vit", &model::<Nano>(Kind::Int8, &[])),
        ("tiny.f32.vit", &sevens::<Tiny>()),
        ("truncated.f32.vit", &nano[..nano.len() - 1]),
        ("too_long.f32.vit", &[nano.as_slice(), &[0]].concat()),
        ("version_1.f32.vit", &of_version_1),
        ("cut_off.f32.vit", &nano[..20]),
        ("text.txt", b"The quick brown fox jumps over the lazy dog."),
    ] {
        fs::write(programs.join(name), bytes).expect("a model file is written");
    }

    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/must_not_compile");
    let cases: Vec<_> =
        fs::read_dir(cases).expect("cases").map(|entry| entry.expect("a case").path()).collect();
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        fs::copy(case, programs.join(case.file_name().expect("a name"))).expect("a case is copied");
    }
    for case in &cases {
        let source = fs::read_to_string(case).expect("a case is read");
        let first_line = source.lines().next().and_then(|line| line.strip_prefix("// `cargo "));
        let (command, text) = first_line.and_then(|line| line.split_once("` says: ")).expect("a first line");
        let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([command, "--bin", case.file_stem().and_then(|name| name.to_str()).expect("a name")])
            .args(["--quiet", "--target-dir", "target"])
            .current_dir(&folder)
            .output()
            .expect("cargo starts");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() != (command == "run") || !said.contains(text) {
            wrong += &format!("--- {} ({}), but it says:\n{said}\n", case.display(), output.status);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
