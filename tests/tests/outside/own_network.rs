//! Tests every command that works without a board with a network that only a crate outside the workspace declares.

use crate::{build, cargo, TARGET};
use image::GrayImage;
use serde_json::Value;
use std::{fs, path::Path, process::Command, sync::LazyLock};
use vit_train::data::synthetic;

const NAME: &str = "two-blocks";

static PROGRAM: LazyLock<()> = LazyLock::new(|| {
    let status = cargo(&build(["own-network"])).status().unwrap();
    assert!(status.success(), "the program is not built");
});

/// Runs the program in `folder`, checks that it succeeds, and returns its output.
fn run(folder: &Path, arguments: &[&str]) -> String {
    LazyLock::force(&PROGRAM);
    let mut program = Command::new(Path::new(TARGET).join("debug/own-network"));
    let output = program.args(arguments).current_dir(folder).env_remove("MNIST_DIR").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(folder, &[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn every_command_works_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = ["--data", "synthetic"];
    let train = ["--epochs", "1", "--batch-size", "32", "--limit", "200", "--out", "run", "--quiet"];
    // The option --preset may be left out, because the program has a single network.
    let report = json(folder, &[&train[..], &data].concat());
    assert_eq!(report["preset"], NAME);
    let report = json(folder, &[&["train", "--preset", NAME][..], &train, &data].concat());
    assert_eq!(report["preset"], NAME);
    assert_eq!(report["verify"]["int8_mismatches"], 0);
    let written: Value = serde_json::from_slice(&fs::read(folder.join("run/report.json")).unwrap()).unwrap();
    assert_eq!(written, report);

    let digit = synthetic::dataset(1, 5).image(0).to_vec();
    GrayImage::from_raw(28, 28, digit).unwrap().save(folder.join("digit.png")).unwrap();
    for file in ["checkpoint.safetensors", "model.f32.vit", "model.int8.vit"] {
        let file = format!("run/{file}");
        assert_eq!(json(folder, &["inspect", &file])["preset"], NAME);
        let evaluation = json(folder, &[&["eval", &file][..], &data].concat());
        assert_eq!(evaluation["preset"], NAME);
        let seen = json(folder, &["predict", "--model", &file, "digit.png"]);
        assert_eq!(seen.as_array().unwrap().len(), 1);
    }

    let integers = fs::read(folder.join("run/model.int8.vit")).unwrap();
    let quantization = json(folder, &[&["quantize", "run", "--report"][..], &data].concat());
    assert_eq!(quantization["report"]["layers"].as_array().unwrap().len(), 2 * 9 + 3, "{quantization}");
    assert!(fs::read(folder.join("run/model.int8.vit")).unwrap() == integers);
    let verification = json(folder, &[&["verify", "run", "--exact-images", "2"][..], &data].concat());
    assert_eq!((&verification["exact_mismatches"], &verification["int8_mismatches"]), (&0.into(), &0.into()));

    let exports = ["--onnx", "x.onnx", "--vit", "x.vit", "--safetensors", "x.safetensors"];
    run(folder, &[&["export", "run"][..], &exports].concat());
    let onnx = fs::read(folder.join("x.onnx")).unwrap();
    let names_it = onnx.windows(NAME.len()).any(|bytes| bytes == NAME.as_bytes());
    assert!(names_it, "the ONNX file does not name the network");
    for exported in ["x.vit", "x.safetensors"] {
        assert_eq!(json(folder, &["inspect", exported])["preset"], NAME);
    }

    fs::remove_file(folder.join("run/report.md")).unwrap();
    run(folder, &["report", "--run", "run"]);
    let markdown = fs::read_to_string(folder.join("run/report.md")).unwrap();
    assert!(markdown.contains(&format!("`{NAME}`")), "{markdown}");
    assert_eq!(json(folder, &["compare", "run"])[0]["preset"], NAME);
    let bench = json(folder, &["bench", "--no-builtin", "--steps", "1"]);
    for times in ["step_ms", "infer_ms"] {
        assert!(bench[times].as_object().unwrap().keys().eq([NAME]), "{bench}");
    }
    // The program does not offer the presets of `vit-train`.
    let help = run(folder, &["--help"]);
    assert!(help.contains(NAME) && !help.contains("nano:"), "{help}");
}
