//! Tests that the models in the repository match their reports.

use std::{env, fs, path::Path};

use serde_json::Value;
use vit_nostd::{
    frame::Fit,
    int8::Model,
    model_file::{Kind, Preamble},
    Base, Nano, Tiny,
};
use vit_test_networks::Signs;
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

/// Returns the built-in road signs to test on.
fn road_signs() -> Option<Dataset> {
    Some(data::load(&Source::SyntheticSigns, Format::of::<Signs>(), Fit::Crop).unwrap().test)
}

/// Checks a model and its report, and its accuracy on `images` if they are available. Its network was tested on
/// `tested` images.
fn check<N: Trainable>(
    (preset, file, report): (&str, &[u8], &Value),
    tested: usize,
    images: impl Fn() -> Option<Dataset>,
) {
    let model = Model::<N>::from_bytes(file).unwrap();
    let recorded = report["test"]["int8"]["acc"].as_f64().unwrap();
    let provenance = &model.metadata().provenance;
    assert_eq!(report["preset"], preset);
    assert_eq!(report["dataset"], provenance.dataset, "{preset}");
    assert_eq!(report["seed"], provenance.seed, "{preset}");
    assert_eq!(provenance.test_accuracy, Some(recorded as f32), "{preset}");
    assert_eq!(report["verify"]["int8_mismatches"], 0, "{preset}");
    assert_eq!(report["verify"]["images"], tested, "{preset}");

    if let Some(images) = images() {
        assert_eq!(images.len(), tested, "{preset}");
        let score = Score::new(&int8_logits(&model, &images, tested), images.labels().iter().copied());
        assert_eq!(score.acc, recorded, "{preset}");
    }
}

#[test]
fn models_have_their_recorded_accuracy() {
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
        let kept = (preset, &file[..], &report);
        match preset {
            "base" => check::<Base>(kept, 10_000, mnist),
            "tiny" => check::<Tiny>(kept, 10_000, mnist),
            "nano" => check::<Nano>(kept, 10_000, mnist),
            "signs" => check::<Signs>(kept, 2000, road_signs),
            _ => panic!("{name}: the model of an unknown network"),
        }
        models += 1;
    }
    assert!(models > 0, "there are no models in {MODELS}");
}
