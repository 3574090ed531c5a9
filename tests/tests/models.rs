//! Tests that the models in the repository match their reports and their samples, and that the program which runs them on
//! the chip is the one that `vit-train new` writes.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use vit_nostd::{
    frame::Fit,
    int8::Model,
    model_file::{Kind, Preamble},
    Base, ConvNano, ConvTiny, Nano, Tiny,
};
use vit_test_networks::Signs;
use vit_train::{
    data::{self, synthetic, Dataset, Format, Source},
    formats::model_bytes::ModelBytes,
    inference::int8_logits,
    network::Trainable,
    run::samples,
    score::Score,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
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

/// The built-in digits of the samples. The images of MNIST are not in the repository. There are few, because the flash of
/// the smallest board, 128 KB, has no room for eight of them next to `nano`.
fn digits() -> Dataset {
    synthetic::dataset(4, 7)
}

/// The name of the environment variable with which the samples in the repository are written again.
const WRITE_SAMPLES: &str = "WRITE_SAMPLES";

/// Checks that the samples next to a model are the images of `of` and what the model computes for them on this computer.
fn check_samples<N: Trainable>((preset, file, _): (&str, &[u8], &Value), of: &Dataset) {
    let path = Path::new(MODELS).join(format!("{preset}.samples.bin"));
    let expected = samples::file(&Model::<N>::from_bytes(file).unwrap(), of);
    if env::var_os(WRITE_SAMPLES).is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let is_same = fs::read(&path).is_ok_and(|samples| samples == expected);
    assert!(is_same, "{}: {WRITE_SAMPLES}=1 writes this file again", path.display());
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
            "conv-tiny" => check::<ConvTiny>(kept, 10_000, mnist),
            "conv-nano" => check::<ConvNano>(kept, 10_000, mnist),
            "signs" => check::<Signs>(kept, 2000, road_signs),
            _ => panic!("{name}: the model of an unknown network"),
        }
        match preset {
            "base" => check_samples::<Base>(kept, &digits()),
            "tiny" => check_samples::<Tiny>(kept, &digits()),
            "nano" => check_samples::<Nano>(kept, &digits()),
            "conv-tiny" => check_samples::<ConvTiny>(kept, &digits()),
            "conv-nano" => check_samples::<ConvNano>(kept, &digits()),
            _ => check_samples::<Signs>(kept, &road_signs().unwrap()),
        }
        models += 1;
    }
    assert!(models > 0, "there are no models in {MODELS}");
}

/// The programs of the example differ from those of a project only in the name of the crate and of the network.
#[test]
fn the_example_is_what_new_writes() {
    for (template, file) in [("firmware.rs", "main.rs"), ("serve.rs", "bin/serve.rs")] {
        let template = format!("{ROOT}/vit-train/src/project/template/{template}");
        let filled = fs::read_to_string(template).unwrap();
        let filled = filled.replace("@name_@_firmware", "firmware_example").replace("@Network@", "Flashed");
        let example = fs::read_to_string(format!("{ROOT}/firmware-example/src/{file}")).unwrap();
        let expected = formatted(&filled);
        assert!(example == expected, "{file} is not what the template makes of it:\n{expected}");
    }
}

/// Formats a source as the sources of this repository are.
fn formatted(source: &str) -> String {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path", ROOT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    rustfmt.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = rustfmt.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
