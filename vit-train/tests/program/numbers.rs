//! Numbers that are not finite end a command with one line, and leave no file that cannot be read.

use crate::{file, json, program, refuse, run, succeed, text, train, Digits};
use image::GrayImage;
use serde_json::Value;
use std::{fs, path::Path};
use vit_train::formats::checkpoint::Checkpoint;

/// The weights grow 100,000 times with each epoch, so that the numbers overflow after some good epochs.
#[test]
fn a_training_that_diverges_leaves_the_epoch_before() {
    let digits = Digits::new(40, 10);
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap();
    let recipe = ["--recipe", "article", "--preset", "nano", "--epochs", "8", "--batch-size", "64"];
    let arguments = [&recipe[..], &["--weight-decay", "1e8", "--data", digits.path(), "--out", run]].concat();
    refuse(&arguments, &["training diverged in epoch ", "epoch before it. Train again with a lower --lr."]);

    let report = fs::read_to_string(file(&folder, "report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let epochs = report["epochs"].as_array().unwrap();
    assert!(!epochs.is_empty() && epochs.iter().all(|epoch| epoch["val_loss"].is_f64()), "{report}");
    for arguments in [
        &["compare", run][..],
        &["report", "--run", run],
        &["eval", &file(&folder, "checkpoint.safetensors"), "--data", digits.path()],
    ] {
        succeed(arguments);
    }
    // The run diverges again when it is resumed.
    refuse(&[&arguments[..], &["--resume"]].concat(), &["training diverged in epoch "]);
}

/// The weights are finite, but so large that the network computes NaN.
#[test]
fn networks_that_compute_nan() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let checkpoint = file(&run, "checkpoint.safetensors");
    let mut content = Checkpoint::load(Path::new(&checkpoint)).unwrap();
    content.parameters.values.iter_mut().for_each(|value| *value *= 1e25);
    content.save(Path::new(&checkpoint)).unwrap();
    let model = file(&run, "model.f32.vit");
    succeed(&["export", &checkpoint, "--vit", &model]);
    let picture = file(&run, "three.png");
    let shade = |x, y| [if (10..18).contains(&x) && y > 5 { 255 } else { 0 }].into();
    GrayImage::from_fn(28, 28, shade).save(&picture).unwrap();
    let words = ["the network's output is not a number (", "Train again with a lower --lr."];
    for arguments in [
        &["eval", &checkpoint, "--data", digits.path()][..],
        &["eval", &model, "--data", digits.path()],
        &["eval", &model, "--json", "--data", digits.path()],
        &["predict", "--model", &checkpoint, &picture],
        &["predict", "--model", &model, "--json", &picture],
        &["predict", "--model", &model, "--prepare", "stretch", &picture],
    ] {
        refuse(arguments, &words);
    }
    let output = crate::run(&["predict", "--model", &model, "--json", &picture]);
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), Value::Array(Vec::new()));
}

/// The logits are 10,000 times larger, and so are their differences, which are compared in proportion to them.
#[test]
fn large_logits_are_verified() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let checkpoint = file(&run, "checkpoint.safetensors");
    let mut content = Checkpoint::load(Path::new(&checkpoint)).unwrap();
    let head = content.parameters.layout.0.iter().filter(|entry| entry.name.starts_with("head."));
    for range in head.map(|entry| entry.range.clone()).collect::<Vec<_>>() {
        content.parameters.values[range].iter_mut().for_each(|value| *value *= 1e4);
    }
    content.save(Path::new(&checkpoint)).unwrap();
    let verification = json(&["verify", &checkpoint, "--json", "--data", digits.path()]);
    let number = |name: &str| verification[name].as_f64().unwrap();
    assert!(number("dfdx_vs_nostd_f32_max_abs") > 1e-4, "{verification}");
    assert!(number("dfdx_vs_nostd_f32_max_relative") < 1e-4, "{verification}");
}

#[test]
fn a_short_run_reaches_its_learning_rate() {
    let digits = Digits::new(40, 10);
    let out = tempfile::tempdir().unwrap();
    for (preset, epochs, warmup) in [("nano", "1", 0), ("tiny", "2", 1)] {
        let run = file(&out, preset);
        let report = json(&[
            "--preset",
            preset,
            "--epochs",
            epochs,
            "--data",
            digits.path(),
            "--out",
            &run,
            "--json",
            "--quiet",
        ]);
        assert_eq!(report["recipe"]["warmup"], warmup);
        let rates = report["epochs"].as_array().unwrap().iter().map(|epoch| epoch["lr"].as_f64().unwrap());
        let lr = report["recipe"]["lr"].as_f64().unwrap();
        assert!((rates.fold(0.0, f64::max) / lr - 1.0).abs() < 1e-6, "{report}");
    }
}

#[test]
fn numbers_may_be_negative() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let out = file(&run, "other.vit");
    let checkpoint = file(&run, "checkpoint.safetensors");
    succeed(&["export", &checkpoint, "--vit", &out, "--normalization", "-0.5,0.5"]);
    assert_eq!(json(&["inspect", &out, "--json"])["normalization"][0]["mean"], -0.5);
}

/// This includes errors with a path that has a line break and errors about missing files.
#[cfg(unix)]
#[test]
fn errors_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["two\nlines.vit", "two\nlines.safetensors", "\x1b[31mred"] {
        let path = file(&folder, name);
        for arguments in [&["eval", &path][..], &["verify", &path], &["inspect", &path], &["quantize", &path]]
        {
            let output = run(arguments);
            let error = text(&output.stderr);
            assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{arguments:?}: {error}");
            assert!(!error.trim_end().chars().any(char::is_control), "{error:?}");
            assert!(error.contains("No such file"), "{error}");
            assert!(!error.contains("not a usable checkpoint"), "{error}");
        }
    }
    let output = program().args(["eval", &file(&folder, "Größe\u{a0}數.vit")]).output().unwrap();
    assert!(text(&output.stderr).contains("Größe\u{a0}數.vit"));
}
