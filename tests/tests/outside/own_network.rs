//! Tests the commands of a program outside the workspace, for a network of its own, on colour pictures of several sizes
//! and formats, and that the emulated chip makes the same of a camera's frames.

use crate::{build, cargo, TARGET};
use image::{
    imageops::{resize, FilterType},
    DynamicImage, ImageFormat,
};
use serde_json::Value;
use std::{array, fs, iter, path::Path, process::Command, sync::LazyLock};
use vit_emulator::Chip;
use vit_nostd::{
    frame::Fit,
    image,
    int8::{Model, Scratch},
    top_k, Network, Prediction,
};
use vit_test_networks::Signs;
use vit_train::{
    data::{self, signs, Format, Source},
    formats::model_bytes::ModelBytes,
};

const NAME: &str = "signs";
const CLASSES: usize = Signs::CLASSES;
/// The trained network in the firmware `camera`.
const TRAINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models/signs.int8.vit");

static PROGRAM: LazyLock<()> = LazyLock::new(|| {
    let status = cargo(&build(["own-network"])).status().unwrap();
    assert!(status.success(), "the program is not built");
});

/// Runs the program in `folder`, checks that it succeeds, and returns its output.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> String {
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

/// The same pixels, as picture files on the host and as lines of a camera on the chip, give the same images and the same
/// probabilities.
#[test]
fn pictures_and_frames_of_a_camera_are_classified_alike() {
    let (folder, chip) = (tempfile::tempdir().unwrap(), Chip::M4F);
    let folder = folder.path();
    let (mut files, mut frames) = (Vec::new(), Vec::new());
    for (class, index) in (0..CLASSES).flat_map(|class| [(class, 0), (class, 1)]) {
        let mut picture = resize(&signs::picture(class, 9, index), 160, 120, FilterType::Triangle);
        // What the firmware `frames` expects: the indices of RGB 565 (high byte first) and of `crop`, and the sizes.
        frames.extend([3u16, 1, 160, 120, 32, 32, 3].iter().flat_map(|number| number.to_le_bytes()));
        for pixel in picture.pixels_mut() {
            let [red, green, blue] = pixel.0.map(u16::from);
            let packed = red >> 3 << 11 | green >> 2 << 5 | blue >> 3;
            frames.extend(packed.to_be_bytes());
            let [red, green, blue] = [packed >> 11, packed >> 5 & 63, packed & 31];
            pixel.0 = [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2]
                .map(|level| level as u8);
        }
        let file = format!("pictures/{}/{index}.png", signs::name(class));
        fs::create_dir_all(folder.join(&file).parent().unwrap()).unwrap();
        picture.save(folder.join(&file)).unwrap();
        files.push((class as u16, file));
    }
    fs::write(folder.join("frames.bin"), frames).unwrap();
    let run = chip.run(&chip.build("frames").unwrap(), folder).unwrap();
    assert_eq!(run.exit_code, 0, "{:#?}", run.log);
    let on_chip = fs::read(folder.join("images.bin")).unwrap();

    // The classes of a folder are in the order of their names, and its pictures in an order of their own.
    let source = Source::Directory(folder.join("pictures"));
    let on_host = data::load(&source, Format::of::<Signs>(), Fit::Crop).unwrap();
    let mut loaded: Vec<_> = [&on_host.train, &on_host.test]
        .into_iter()
        .flat_map(|part| iter::zip(part.labels(), part.images().chunks_exact(32 * 32 * 3)))
        .map(|(&label, image)| (&*on_host.class_names[usize::from(label)], image))
        .collect();
    let mut resized: Vec<_> = iter::zip(&files, on_chip.chunks_exact(32 * 32 * 3))
        .map(|(&(class, _), image)| (signs::name(class.into()), image))
        .collect();
    loaded.sort();
    resized.sort();
    assert!(loaded == resized, "the loader and the chip make other images of the same pixels");

    let names: Vec<&str> = files.iter().map(|(_, file)| file.as_str()).collect();
    let predictions = json(folder, &[&["predict", "--model", TRAINED][..], &names].concat());
    let file = ModelBytes::read(Path::new(TRAINED)).unwrap();
    let model = Model::<Signs>::from_bytes(&file).unwrap();
    let labels: Vec<&str> = model.metadata().labels().collect();
    let logits = chip.logits(&file, &on_chip).unwrap();
    let mut scratch = Box::new(Scratch::new());
    for (pixels, logits) in iter::zip(on_chip.chunks_exact(32 * 32 * 3), logits.chunks_exact(CLASSES)) {
        let on_host = model.infer(image::<Signs>(pixels).unwrap(), &mut scratch);
        assert!(on_host.iter().map(|&logit| logit as u32).eq(logits.iter().copied()));
    }
    let predictions = predictions.as_array().unwrap();
    assert_eq!((predictions.len(), logits.len()), (files.len(), files.len() * CLASSES));
    for (prediction, logits) in iter::zip(predictions, logits.chunks_exact(CLASSES)) {
        let logits: [i32; CLASSES] = array::from_fn(|class| logits[class] as i32);
        let best: [Prediction; 5] = top_k(model.dequantize(&logits).as_ref());
        let seen = prediction["top5"].as_array().unwrap();
        assert_eq!(seen.len(), best.len());
        for (Prediction { class, probability }, seen) in iter::zip(best, seen) {
            assert_eq!(
                (&seen["class"], &seen["label"]),
                (&class.into(), &labels[class].into()),
                "{prediction}"
            );
            assert_eq!(seen["probability"].as_f64().unwrap() as f32, probability, "{prediction}");
        }
    }
}
