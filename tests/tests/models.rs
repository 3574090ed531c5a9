//! Tests that the models in the repository match their reports.

use std::{env, fs, path::Path};

use serde_json::Value;
use vit_nostd::{
    frame::Fit,
    int8::Model,
    model_file::{Kind, Preamble},
    Base, Nano, Network, Tiny,
};
use vit_train::{
    data::{self, Dataset, Format, Source},
    formats::model_bytes::ModelBytes,
    inference::int8_logits,
    network::Trainable,
    score::Score,
};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models");

/// Returns MNIST's test images if `MNIST_DIR` names their folder.
fn mnist() -> Option<Dataset> {
    let Some(directory) = env::var_os(data::MNIST_DIR) else {
        println!("MNIST_DIR is not set: no accuracy was measured on MNIST");
        return None;
    };
    let format = Format::grey(28, 10);
    Some(data::load(&Source::Directory(directory.into()), format, Fit::Stretch).unwrap().test)
}

fn check<N: Trainable>(preset: &str, file: &[u8], report: &Value, mnist: Option<&Dataset>) {
    let model = Model::<N>::from_bytes(file).unwrap();
    let recorded = report["test"]["int8"]["acc"].as_f64().unwrap();
    let provenance = &model.metadata().provenance;
    assert_eq!(report["preset"], preset);
    assert_eq!(report["dataset"], provenance.dataset, "{preset}");
    assert_eq!(report["seed"], provenance.seed, "{preset}");
    assert_eq!(provenance.test_accuracy, Some(recorded as f32), "{preset}");
    assert_eq!(report["verify"]["int8_mismatches"], 0, "{preset}");
    assert_eq!(report["verify"]["images"], 10_000, "{preset}");

    if let Some(mnist) = mnist {
        let score = Score::new(&int8_logits(&model, mnist, mnist.len()), mnist.labels().iter().copied());
        assert_eq!(score.acc, recorded, "{preset}");
    }
}

#[test]
fn models_have_their_recorded_accuracy() {
    let mnist = mnist();
    let mut models = 0;
    for entry in fs::read_dir(MODELS).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(preset) = name.strip_suffix(".int8.vit") else { continue };
        let file = ModelBytes::read(&path).unwrap();
        let report = fs::read(Path::new(MODELS).join(format!("{preset}.report.json"))).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let preamble = Preamble::read(&file).unwrap();
        assert_eq!(preamble.kind, Kind::Int8);
        let check = match preamble.dims {
            Base::DIMS => check::<Base>,
            Tiny::DIMS => check::<Tiny>,
            Nano::DIMS => check::<Nano>,
            dims => panic!("{name}: no preset has these dimensions: {dims}"),
        };
        check(preset, &file, &report, mnist.as_ref());
        models += 1;
    }
    assert!(models > 0, "there are no models in {MODELS}");
}
