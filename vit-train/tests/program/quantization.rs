//! Networks that are hard to quantize, and one that cannot be quantized.

use super::{entries, file, json, refuse, run, succeed, text, Digits};
use safetensors::{Dtype, SafeTensors};
use std::{collections::HashMap, fs, path::Path};
use tempfile::TempDir;
use vit_nostd::{
    image,
    int8::{Model, Scratch},
    Nano,
};
use vit_train::{
    data::synthetic,
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes},
    network::parameters::Parameters,
};

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models/nano.f32.vit");

#[test]
fn the_published_network_is_quantized_on_other_images() {
    let folder = tempfile::tempdir().unwrap();
    let (exported, bare) = (file(&folder, "exported.safetensors"), file(&folder, "bare.safetensors"));
    succeed(&["export", PUBLISHED, "--safetensors", &exported]);
    // PyTorch writes no metadata, so that the seed that chooses the images for calibration is not known.
    let bytes = fs::read(&exported).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    fs::write(&bare, safetensors::serialize(tensors, None::<HashMap<_, _>>).unwrap()).unwrap();
    for images in [20, 30, 40, 60] {
        succeed(&["quantize", &bare, "--data", Digits::new(images, 10).path()]);
    }
    assert!(file_exists(&folder, "model.int8.vit"));
}

/// Real numbers would hide a logit that is off by one.
#[test]
fn logits_of_an_integer_model_are_integers() {
    let (digits, folder) = (Digits::new(40, 10), tempfile::tempdir().unwrap());
    let (model, out) = (file(&folder, "nano.int8.vit"), file(&folder, "logits.safetensors"));
    fs::copy(PUBLISHED.replace("f32", "int8"), &model).unwrap();
    // Twice: a file of such logits may be replaced.
    for _ in 0..2 {
        succeed(&["eval", &model, "--data", digits.path(), "--logits", &out]);
    }
    let bytes = fs::read(&out).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let logits = tensors.tensor("logits").unwrap();
    assert_eq!((tensors.len(), logits.dtype(), logits.shape()), (1, Dtype::I32, &[10, 10][..]));

    let (bytes, images) = (ModelBytes::read(Path::new(&model)).unwrap(), synthetic::dataset(10, 2));
    let (model, mut scratch) = (Model::<Nano>::from_bytes(&bytes).unwrap(), Scratch::new());
    let infer = |index| model.infer(image::<Nano>(images.image(index)).unwrap(), &mut scratch);
    let expected: Vec<u8> = (0..10).flat_map(infer).flat_map(i32::to_le_bytes).collect();
    assert_eq!(logits.data(), expected);
}

fn file_exists(folder: &TempDir, name: &str) -> bool {
    Path::new(&file(folder, name)).exists()
}

/// Writes a checkpoint in which one neuron has a bias of -1e9. Floats can express it, integers cannot.
fn unquantizable(folder: &TempDir) -> String {
    let mut parameters = Parameters::init::<Nano>(1);
    parameters.get_mut("blocks.2.mlp.0.bias").unwrap()[7] = -1e9;
    let path = file(folder, "start.safetensors");
    Checkpoint { parameters, description: None }.save(Path::new(&path)).unwrap();
    path
}

const REASON: &str =
    "The network cannot be quantized because blocks.2.mlp.0 has a bias that is too large for its results (-1.000e9)";

#[test]
fn a_run_without_integers_has_all_other_results() {
    let (digits, folder) = (Digits::new(60, 20), tempfile::tempdir().unwrap());
    let (data, init, out) = (digits.path(), unquantizable(&folder), file(&folder, "run"));
    let settings = ["--preset", "nano", "--epochs", "1", "--lr", "1e-30", "--data", data, "--out", &out];
    let output = run(&[&settings[..], &["--init", &init]].concat());
    let (printed, warned) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "the training succeeded: {warned}");
    assert!(warned.contains(&format!("WARNING: {REASON}. Train again with a lower --lr")), "{warned}");
    assert!(printed.contains("; in integers not possible"), "{printed}");
    assert!(printed.contains("ok   f32") && !printed.contains("int8"), "{printed}");
    let names = [
        "checkpoint.safetensors",
        "confusion.svg",
        "curves.svg",
        "data.json",
        "last.run",
        "mistakes.png",
        "model.f32.vit",
        "predictions.png",
        "report.json",
        "report.md",
    ];
    let content = || names.map(|name| fs::read(Path::new(&out).join(name)).unwrap());
    let before = content();
    assert_eq!(entries(Path::new(&out)), names);

    let report: serde_json::Value = serde_json::from_slice(&before[8]).unwrap();
    let (test, verify) = (&report["test"], &report["verify"]);
    assert!(test["f32"]["acc"].is_number() && test["int8"].is_null() && test["disagreements"].is_null());
    assert!(test["int8_error"].as_str().unwrap().starts_with("blocks.2.mlp.0 has a bias"));
    assert_eq!((&verify["images"], &verify["exact_mismatches"]), (&20.into(), &0.into()));
    assert!(verify.get("int8_images").is_none());
    assert!(text(&before[9]).contains(REASON));

    // The run is finished, and all commands can read it.
    assert!(succeed(&[&settings[..], &["--resume"]].concat()).contains("is finished"));
    let verification = run(&["verify", &out, "--data", data]);
    let warned = text(&verification.stderr);
    assert!(verification.status.success() && warned.contains(&format!("NOTE: {REASON}")), "{warned}");
    assert_eq!(text(&verification.stdout).matches("ok").count(), 3);
    let verification = json(&["verify", &out, "--data", data, "--json"]);
    assert!(verification["exact_images"] == 20 && verification.get("int8_images").is_none());
    assert_eq!(json(&["eval", &out, "--data", data, "--json"])["acc"], test["f32"]["acc"]);
    assert!(json(&["compare", &out, "--json"])[0]["test_int8_acc"].is_null());
    let table = succeed(&["compare", &out]);
    assert!(table.lines().any(|line| line.starts_with("test accuracy, integers") && line.ends_with('-')));

    // Commands that need an integer model say why there is none, and change nothing.
    let name = "checkpoint.safetensors: cannot be quantized because blocks.2.mlp.0";
    refuse(&["quantize", &out, "--data", data], &[name, "(-1.000e9)", "--lr"]);
    refuse(&["predict", "--model", &out, "--engine", "int8", &init], &["no model.int8.vit", REASON]);
    assert_eq!(entries(Path::new(&out)), names);
    succeed(&["report", "--run", &out, "--data", data]);
    assert_eq!(entries(Path::new(&out)), names);
    assert!(content() == before, "a command changed the run");
}

#[test]
fn the_reason_is_told_to_scripts_too() {
    let (digits, folder) = (Digits::new(40, 10), tempfile::tempdir().unwrap());
    let (init, out) = (unquantizable(&folder), file(&folder, "run"));
    let settings = ["--preset", "nano", "--epochs", "1", "--lr", "1e-30", "--data", digits.path()];
    let output = run(&[&settings[..], &["--out", &out, "--init", &init, "--quiet", "--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["test"]["int8_error"].as_str().unwrap().starts_with("blocks.2.mlp.0 has a bias"));
    assert!(text(&output.stderr).contains(REASON), "{}", text(&output.stderr));
}
