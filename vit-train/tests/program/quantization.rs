//! Networks that are hard to quantize, and one that cannot be quantized.

use super::{entries, file, json, refuse, run, succeed, text, Digits};
use safetensors::{Dtype, SafeTensors};
use std::{collections::HashMap, fs, path::Path};
use tempfile::TempDir;
use vit_nostd::{
    image,
    int8::{Model, Scratch},
    Nano, Network,
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
    // The results of an earlier run in the same folder, samples included, do not stay.
    succeed(&settings);
    assert!(Path::new(&out).join("samples.bin").exists());
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

/// Writes the published network with another scale of one value of each attention: the first is `factor` times as
/// large, and is multiplied by weights that are smaller by as much. In floats, nothing changes if the factor is a power
/// of two. In integers, all values of a layer have one scale, and the others lose precision.
fn with_a_large_value(folder: &TempDir, factor: f32) -> String {
    let path = file(folder, "nano.safetensors");
    succeed(&["export", PUBLISHED, "--safetensors", &path]);
    let mut checkpoint = Checkpoint::load(Path::new(&path)).unwrap();
    let row = 2 * Nano::EMBED;
    for block in 0..Nano::DEPTH {
        let mut change = |name: &str, work: &dyn Fn(&mut [f32])| {
            work(checkpoint.parameters.get_mut(&format!("blocks.{block}.attn.{name}")).unwrap());
        };
        change("in_proj_bias", &|bias| bias[row] *= factor);
        change("in_proj_weight", &|rows| {
            rows[row * Nano::EMBED..][..Nano::EMBED].iter_mut().for_each(|weight| *weight *= factor);
        });
        change("out_proj.weight", &|rows| {
            rows.iter_mut().step_by(Nano::EMBED).for_each(|weight| *weight /= factor);
        });
    }
    checkpoint.save(Path::new(&path)).unwrap();
    path
}

const WARNING: &str =
    "The integers are far from the float network: the signal-to-noise ratio of the worst layer";

/// Prints the table in RECIPES.md, if `MNIST_DIR` names the folder of MNIST:
/// `cargo test -p vit-train --test program integers_that_lose -- --nocapture`.
#[test]
fn integers_that_lose_too_much_are_warned_of() {
    let (digits, folder) = (Digits::new(300, 100), tempfile::tempdir().unwrap());
    let data = std::env::var("MNIST_DIR").unwrap_or_else(|_| digits.path().to_owned());
    let out = file(&folder, "nano.int8.vit");
    let mut warned = Vec::new();
    for factor in [1, 8, 16, 32, 64, 128, 512] {
        let path = with_a_large_value(&folder, factor as f32);
        let output = run(&["quantize", &path, "--data", &data, "--out", &out, "--report", "--json"]);
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let quantization: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let ratio = quantization["report"]["worst"]["snr_db"].as_f64().unwrap();
        println!("factor {factor}: {ratio:.1} dB, accuracy {} %", quantization["test"]["acc"]);
        assert_eq!(errors.contains(&format!("WARNING: {WARNING}")), ratio < 10.0, "{errors}");
        assert_eq!(quantization["warning"].is_string(), ratio < 10.0, "{quantization}");
        warned.push(ratio < 10.0);
    }
    assert_eq!((warned.first(), warned.last()), (Some(&false), Some(&true)));
}

#[test]
fn a_run_whose_integers_lose_too_much_says_so() {
    let (digits, folder) = (Digits::new(60, 20), tempfile::tempdir().unwrap());
    let (init, out) = (with_a_large_value(&folder, 512.0), file(&folder, "run"));
    let settings =
        ["--preset", "nano", "--epochs", "1", "--lr", "1e-30", "--data", digits.path(), "--out", &out];
    let output = run(&[&settings[..], &["--init", &init]].concat());
    let warned = text(&output.stderr);
    assert!(output.status.success() && warned.contains(&format!("WARNING: {WARNING}")), "{warned}");
    succeed(&["report", "--run", &out, "--data", digits.path()]);
    let report = fs::read(Path::new(&out).join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let recorded = report["test"]["int8_warning"].as_str();
    assert!(recorded.is_some_and(|warning| warning.starts_with(WARNING)), "{report}");
    let markdown = fs::read_to_string(Path::new(&out).join("report.md")).unwrap();
    assert!(markdown.contains(WARNING), "{markdown}");
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
