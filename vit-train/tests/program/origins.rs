//! Files that do not belong together, and descriptions that no network can have, are refused by every command.

use crate::{file, json, program, refuse, run, succeed, text, train, Digits};
use std::{fs, path::Path};
use tempfile::TempDir;
use vit_nostd::{
    int8,
    model_file::{overhead, write, Kind, Metadata, ModelFile, Provenance},
    Nano,
};
use vit_train::formats::{
    checkpoint::{Checkpoint, Description},
    model_bytes::ModelBytes,
};

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

/// Returns the commands that only read a run.
fn readers<'a>(run: &'a str, data: &'a str, out: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["eval", run, "--data", data],
        vec!["predict", "--model", run, "--engine", "int8", "no.png"],
        vec!["predict", "--model", run, "no.png"],
        vec!["export", run, "--onnx", out],
        vec!["report", "--run", run, "--data", data],
        vec!["device", "--tcp", "127.0.0.1:1", "eval", "--model", run],
    ]
}

/// Checks that every command refuses a run whose files do not belong together. `verify` reports it as a difference.
fn refused_by_all(run: &TempDir, digits: &Digits, words: &[&str]) {
    let out = file(run, "out.onnx");
    for arguments in readers(path(run), digits.path(), &out) {
        refuse(&arguments, &[words, &["made from another checkpoint", "again"]].concat());
    }
    assert!(!Path::new(&out).exists());
    let output = self::run(&["verify", path(run), "--data", digits.path()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let first = said.lines().next().unwrap();
    assert!(first.starts_with("FAIL ") && words.iter().all(|word| first.contains(word)), "{said}");
    let output = self::run(&["verify", path(run), "--data", digits.path(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let verified: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verified["same_checkpoint"], false);
}

#[test]
fn files_of_different_runs_do_not_go_together() {
    let digits = Digits::new(40, 10);
    let (mine, other) = (train(&digits, "nano", "1"), train(&digits, "nano", "2"));
    let copy = |name: &str| fs::copy(file(&other, name), file(&mine, name)).unwrap();
    let digest = |name: &str| json(&["inspect", &file(&mine, name), "--json"])["digest"].clone();
    let [checkpoint, float, int8] = ["checkpoint.safetensors", "model.f32.vit", "model.int8.vit"];
    let ours = digest(checkpoint);
    assert_eq!(ours.as_str().unwrap().len(), 64);
    assert_eq!((&digest(float), &digest(int8)), (&ours, &ours));
    let shown = succeed(&["inspect", &file(&mine, int8)]);
    assert!(shown.contains(&ours.as_str().unwrap()[..12]), "{shown}");
    let verified = json(&["verify", path(&mine), "--data", digits.path(), "--json"]);
    assert_eq!(verified["same_checkpoint"], true);

    // The integer model is from another run; quantizing makes the correct one.
    copy(int8);
    assert_ne!(digest(int8), ours);
    refused_by_all(&mine, &digits, &[int8, checkpoint, "vit-train quantize"]);
    succeed(&["quantize", path(&mine), "--data", digits.path()]);
    succeed(&["verify", path(&mine), "--data", digits.path()]);

    // The float model is from another run.
    let original = fs::read(file(&mine, float)).unwrap();
    copy(float);
    refused_by_all(&mine, &digits, &[float, checkpoint, "vit-train export"]);
    refuse(&["quantize", path(&mine), "--data", digits.path()], &[float, checkpoint, "vit-train export"]);
    fs::write(file(&mine, float), original).unwrap();

    // The checkpoint is from another run, so that both models are stale. The commands that the errors name repair it.
    copy(checkpoint);
    refused_by_all(&mine, &digits, &[float, checkpoint, "vit-train export"]);
    refuse(&["quantize", path(&mine), "--data", digits.path()], &[float, checkpoint, "vit-train export"]);
    succeed(&["export", &file(&mine, checkpoint), "--vit", &file(&mine, float)]);
    refused_by_all(&mine, &digits, &[int8, checkpoint, "vit-train quantize"]);
    succeed(&["quantize", path(&mine), "--data", digits.path()]);
    succeed(&["verify", path(&mine), "--data", digits.path()]);

    // Without a checkpoint, the models are compared with each other.
    fs::remove_file(file(&mine, checkpoint)).unwrap();
    succeed(&["eval", path(&mine), "--data", digits.path()]);
    let third = train(&digits, "nano", "3");
    fs::copy(file(&third, int8), file(&mine, int8)).unwrap();
    refuse(&["eval", path(&mine), "--data", digits.path()], &[int8, float, "another checkpoint"]);
}

/// A model that was converted from version 1 of the format has no digest.
#[test]
fn an_unknown_digest_is_allowed_and_said() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let int8 = file(&run, "model.int8.vit");
    let bytes = ModelBytes::read(Path::new(&int8)).unwrap();
    let model = ModelFile::parse::<Nano>(&bytes, Kind::Int8, int8::Model::<Nano>::WEIGHT_BYTES).unwrap();
    let labels: Vec<_> = model.metadata.labels().collect();
    let labels = labels.join("\n");
    let provenance = Provenance { checkpoint: None, ..model.metadata.provenance };
    let metadata = Metadata::new(model.metadata.fit, model.metadata.normalization, &labels, provenance);
    let mut unknown = vec![0; model.weights.len() + overhead(&metadata)];
    let len = write::<Nano>(Kind::Int8, &metadata, model.weights, &mut unknown).unwrap();
    fs::write(&int8, &unknown[..len]).unwrap();

    let output = program().args(["verify", path(&run), "--data", digits.path()]).output().unwrap();
    let notes = text(&output.stderr);
    assert!(output.status.success(), "{notes}");
    assert_eq!(notes.matches("NOTE: ").count(), 1, "{notes}");
    assert!(notes.contains("model.int8.vit does not say which checkpoint"), "{notes}");
    succeed(&["eval", path(&run), "--data", digits.path()]);
    assert!(succeed(&["inspect", &int8]).contains("unknown"));
    assert!(json(&["inspect", &int8, "--json"])["digest"].is_null());
}

#[test]
fn bad_descriptions_are_refused_everywhere() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let data = digits.path();
    let good = Checkpoint::load(Path::new(&file(&run, "checkpoint.safetensors"))).unwrap();
    let [bad, out, init] = ["bad.safetensors", "out.vit", "init"].map(|name| file(&run, name));
    let check = |words: &str, change: &dyn Fn(&mut Description)| {
        let mut checkpoint = good.clone();
        change(checkpoint.description.as_mut().unwrap());
        checkpoint.save(Path::new(&bad)).unwrap();
        let mut lines = Vec::new();
        for arguments in [
            &["inspect", &bad][..],
            &["eval", &bad, "--data", data],
            &["predict", "--model", &bad, "no.png"],
            &["quantize", &bad, "--out", &out, "--data", data],
            &["verify", &bad, "--data", data],
            &["export", &bad, "--vit", &out],
            &["--preset", "nano", "--init", &bad, "--out", &init, "--data", data],
        ] {
            refuse(arguments, &["bad.safetensors", words]);
            lines.push(text(&self::run(arguments).stderr));
        }
        lines.dedup();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].lines().count(), 1, "{lines:?}");
        assert!(lines[0].len() < 500, "a line of {} bytes", lines[0].len());
        assert!(!Path::new(&out).exists() && !Path::new(&init).exists());
    };
    check("9 labels for 10 classes", &|description| drop(description.labels.pop()));
    check("11 labels for 10 classes", &|description| description.labels.push("more".to_owned()));
    check("0 labels for 10 classes", &|description| description.labels.clear());
    check("the label of class 3 has more than 100 characters", &|description| {
        description.labels[3] = "x".repeat(70_000);
    });
    check("the label of class 0 is empty", &|description| description.labels[0].clear());
    check("two classes have the name 2", &|description| description.labels[7] = "2".to_owned());
    check("the label of class 9 contains a control character or a line break", &|description| {
        description.labels[9] = "a\nb".to_owned();
    });
    for std in [0.0, -1.0, 1e-30, f32::MAX] {
        check("normalisation", &|description| description.normalization[0].std = std);
    }
    check("normalisation", &|description| description.normalization[0].mean = 1e30);
    check("normalisation", &|description| description.normalization.clear());
    check("not a percentage", &|description| description.test_accuracy = Some(100.5));
    check("the name of the data set", &|description| description.dataset = "a\u{1b}[2J".to_owned());

    // The same rules hold for labels on the command line.
    let checkpoint = file(&run, "checkpoint.safetensors");
    let labels = |labels: &str, words: &[&str]| {
        refuse(&["export", &checkpoint, "--vit", &out, "--labels", labels], words);
    };
    labels("a,b", &["--labels", "2 labels for 10 classes"]);
    labels("0,1,2,3,4,,6,7,8,9", &["--labels", "class 5 is empty"]);
    labels("0,1,2,3,4,5\r,6,7,8,9", &["--labels", "class 5 contains a control character"]);
    assert!(!Path::new(&out).exists());
}
