//! Names of classes arrive in the model on the chip, from folders of pictures or from a list next to IDX files.

use crate::{entries, file, json, program, refuse, run, succeed, text, Digits};
use image::GrayImage;
use std::{fs, path::Path};
use vit_nostd::{int8, Nano};
use vit_train::{data::synthetic, formats::model_bytes::ModelBytes};

const NAMES: [&str; 10] =
    ["nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "class 10 (ten)"];

/// Writes digits as pictures that are larger than the input of the network.
fn write_pictures(folder: &Path, count: usize, seed: u64) {
    let digits = synthetic::dataset(count, seed);
    for index in 0..count {
        let class = folder.join(NAMES[usize::from(digits.label(index))]);
        fs::create_dir_all(&class).unwrap();
        let small = GrayImage::from_raw(28, 28, digits.image(index).to_vec()).unwrap();
        let large = image::imageops::resize(&small, 56, 84, image::imageops::FilterType::Nearest);
        large.save(class.join(format!("{index}.{}", ["png", "jpg"][index % 2]))).unwrap();
    }
}

/// Trains one epoch on `data` and checks that the names of the classes are shown everywhere.
fn names_arrive(data: &str, names: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let arguments = ["--preset", "nano", "--epochs", "1", "--batch-size", "32", "--out"];
    succeed(&[&arguments[..], &[out.path().to_str().unwrap(), "--data", data]].concat());
    for name in ["model.f32.vit", "model.int8.vit", "checkpoint.safetensors"] {
        let path = file(&out, name);
        let shown = succeed(&["inspect", &path]);
        assert!(shown.contains(&format!("classes     {}\n", names.join(", "))), "{shown}");
        let content = json(&["inspect", &path, "--json"]);
        let content = if name.ends_with("vit") { &content } else { &content["description"] };
        assert_eq!(content["labels"], serde_json::json!(names));
        assert_ne!(
            content["normalization"][0]["mean"],
            serde_json::json!(0.1307_f32),
            "the normalisation is that of MNIST"
        );

        let evaluation = json(&["eval", &path, "--data", data, "--json"]);
        let classes = evaluation["classes"].as_array().unwrap();
        assert!(classes.iter().map(|class| class["name"].as_str().unwrap()).eq(names.iter().copied()));
        let share = |class: &serde_json::Value| {
            class["acc"].as_f64().unwrap_or_default() * class["images"].as_f64().unwrap()
        };
        let right: f64 = classes.iter().map(share).sum();
        let all = evaluation["acc"].as_f64().unwrap() * evaluation["images"].as_f64().unwrap();
        assert!((right - all).abs() < 1e-6, "{evaluation}");
    }
    let output = run(&["eval", out.path().to_str().unwrap(), "--data", data]);
    assert_eq!(text(&output.stderr).lines().filter(|line| line.starts_with("NOTE")).count(), 0);
    let shown = text(&output.stdout);
    assert!(names.iter().all(|name| shown.contains(&format!("  {name} "))), "{shown}");

    // The firmware reads this model file.
    let bytes = ModelBytes::read(Path::new(&file(&out, "model.int8.vit"))).unwrap();
    let model = int8::Model::<Nano>::from_bytes(&bytes).unwrap();
    assert!(model.metadata().labels().eq(names.iter().copied()));

    // A note points out that other images have other classes.
    let output = run(&["eval", out.path().to_str().unwrap(), "--data", "synthetic"]);
    assert!(output.status.success() && text(&output.stderr).contains("NOTE: the model's classes are "));
}

#[test]
fn of_pictures_in_folders() {
    let folder = tempfile::tempdir().unwrap();
    write_pictures(&folder.path().join("train"), 120, 1);
    write_pictures(&folder.path().join("test"), 40, 2);
    let mut sorted = NAMES;
    sorted.sort();
    names_arrive(folder.path().to_str().unwrap(), &sorted);
}

#[test]
fn of_a_list_beside_idx_files() {
    let digits = Digits::new(120, 40);
    digits.write("labels.txt", NAMES.join("\n").as_bytes());
    names_arrive(digits.path(), &NAMES);
}

#[test]
fn files_that_are_left_out_are_counted_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    write_pictures(&folder.path().join("train"), 60, 1);
    write_pictures(&folder.path().join("test"), 20, 2);
    for (name, bytes) in
        [("train/one/broken.png", &b"\x89PNG\r\n\x1a\n"[..]), ("test/two/notes.txt", b"no picture")]
    {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let out = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().to_str().unwrap(), out.path().to_str().unwrap());
    let begin = ["--preset", "nano", "--epochs", "1", "--batch-size", "32", "--out", run, "--data", data];
    refuse(&begin, &["notes.txt: ", "(2 of 82 files cannot be used)", "--skip-unreadable"]);

    let note = "NOTE: Files that cannot be read as pictures and are left out: 2 (test/two/notes.txt, \
                train/one/broken.png).";
    let told = |arguments: &[&str]| {
        let output = self::run(arguments);
        let error = text(&output.stderr);
        assert!(output.status.success() && error.lines().any(|line| line == note), "{arguments:?}: {error}");
    };
    told(&[&begin[..], &["--skip-unreadable"]].concat());
    let list = serde_json::json!(["test/two/notes.txt", "train/one/broken.png"]);
    for name in ["report.json", "data.json"] {
        let content: serde_json::Value =
            serde_json::from_slice(&fs::read(file(&out, name)).unwrap()).unwrap();
        assert_eq!(content["skipped"], list, "{name}");
    }
    let report = fs::read_to_string(file(&out, "report.md")).unwrap();
    assert!(report.contains("Files that cannot be read as pictures and were left out: 2 "), "{report}");

    // Commands that work with the run leave out the same files, also if one of them is a picture now.
    let digit = synthetic::dataset(1, 3);
    let picture = GrayImage::from_raw(28, 28, digit.image(0).to_vec()).unwrap();
    picture.save(folder.path().join("train/one/broken.png")).unwrap();
    told(&["eval", run]);
    told(&["--resume", "--out", run]);
    told(&["--resume", "--out", run, "--data", data]);
    fs::write(folder.path().join("train/one/more.png"), b"").unwrap();
    refuse(&["eval", run], &["more.png: an empty file", "(1 of "]);
}

#[test]
fn pictures_are_decoded_once() {
    let folder = tempfile::tempdir().unwrap();
    write_pictures(&folder.path().join("train"), 20, 1);
    write_pictures(&folder.path().join("test"), 20, 2);
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models/nano.f32.vit");
    let cache = tempfile::tempdir().unwrap();
    let read = |cache: &Path| {
        let mut command = program();
        command
            .args(["eval", model, "--data", folder.path().to_str().unwrap()])
            .env("VIT_TRAIN_CACHE", cache);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stderr).contains("Reading 40 pictures"), text(&output.stdout))
    };
    let (decoded, result) = read(cache.path());
    assert!(decoded);
    assert_eq!(read(cache.path()), (false, result.clone()));
    assert_eq!(read(Path::new("")), (true, result));
    assert_eq!(entries(cache.path()).len(), 1);
}

#[test]
fn folders_that_are_not_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write_pictures(&folder.path().join("Training"), 20, 1);
    write_pictures(&folder.path().join("TEST"), 20, 2);
    fs::create_dir(folder.path().join("more")).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models/nano.f32.vit");
    let output = run(&["eval", model, "--data", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let error = text(&output.stderr);
    assert!(
        error.lines().any(|line| line.starts_with("NOTE: ") && line.contains("more is not read.")),
        "{error}"
    );
}
