//! Tests every command that works without a board with a network that only a crate outside the workspace declares, on
//! colour pictures of several sizes and formats.

use crate::{build, cargo, TARGET};
use image::{DynamicImage, ImageFormat};
use serde_json::Value;
use std::{fs, path::Path, process::Command, sync::LazyLock};
use vit_train::data::signs;

const NAME: &str = "signs";
const CLASSES: usize = 16;

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

/// Writes pictures of road signs, of several sizes and in several formats, into a folder for each class.
fn write_pictures(folder: &Path) {
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP];
    for class in 0..CLASSES {
        let folder = folder.join(signs::name(class));
        fs::create_dir_all(&folder).unwrap();
        for index in 0..8 {
            let picture = DynamicImage::from(signs::picture(class, 1, index));
            let format = formats[(class + index as usize) % formats.len()];
            let path = folder.join(format!("{index}.{}", format.extensions_str()[0]));
            picture.save_with_format(path, format).unwrap();
        }
    }
}

#[test]
fn every_command_works_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_pictures(&folder.join("pictures"));
    let data = ["--data", "pictures"];
    let train = ["--epochs", "1", "--batch-size", "32", "--out", "run", "--quiet"];
    // The option --preset may be left out, because the program has a single network.
    let report = json(folder, &[&train[..], &data].concat());
    assert_eq!(report["preset"], NAME);
    let report = json(folder, &[&["train", "--preset", NAME][..], &train, &data].concat());
    assert_eq!(report["preset"], NAME);
    assert_eq!(report["verify"]["int8_mismatches"], 0);
    let written: Value = serde_json::from_slice(&fs::read(folder.join("run/report.json")).unwrap()).unwrap();
    assert_eq!(written, report);

    signs::picture(3, 5, 0).save(folder.join("sign.png")).unwrap();
    for file in ["checkpoint.safetensors", "model.f32.vit", "model.int8.vit"] {
        let file = format!("run/{file}");
        assert_eq!(json(folder, &["inspect", &file])["preset"], NAME);
        let evaluation = json(folder, &[&["eval", &file][..], &data].concat());
        assert_eq!(evaluation["preset"], NAME);
        let seen = json(folder, &["predict", "--model", &file, "sign.png"]);
        assert_eq!(seen.as_array().unwrap().len(), 1);
    }

    let integers = fs::read(folder.join("run/model.int8.vit")).unwrap();
    let quantization = json(folder, &[&["quantize", "run", "--report"][..], &data].concat());
    assert_eq!(quantization["report"]["layers"].as_array().unwrap().len(), 6 * 9 + 3, "{quantization}");
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
