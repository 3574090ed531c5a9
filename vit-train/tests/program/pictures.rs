//! Tests the pictures that the program reads and draws.

use super::{entries, file, json, program, refuse, run, succeed, text, train, Digits};
use image::{imageops, DynamicImage, GrayImage, ImageFormat, Luma, Rgba, RgbaImage};
use serde_json::Value;
use std::{fs, path::Path};
use vit_train::data::synthetic;

/// The folder of the models in the firmware, which were trained on MNIST.
const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models");

/// Returns a generator of pseudo-random numbers from 0 to 1.
fn noise() -> impl FnMut() -> f32 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    }
}

/// Returns a function that tells how much ink there is at a point of a picture in which a digit is `height` pixels
/// high, from 0 to 1.
fn ink(digit: &[u8], height: u32, canvas: (u32, u32), corner: (u32, u32)) -> impl Fn(u32, u32) -> f32 {
    let digit = GrayImage::from_raw(28, 28, digit.to_vec()).unwrap();
    // A pen makes sharp edges. They are restored below, because scaling blurs the digit.
    let large =
        imageops::resize(&digit, height * 28 / 20, height * 28 / 20, imageops::FilterType::CatmullRom);
    assert!(corner.0 + large.width() <= canvas.0 && corner.1 + large.height() <= canvas.1);
    move |x, y| {
        let (Some(x), Some(y)) = (x.checked_sub(corner.0), y.checked_sub(corner.1)) else { return 0.0 };
        let grey = large.get_pixel_checked(x, y).map_or(0.0, |pixel| f32::from(pixel.0[0]));
        ((grey - 96.0) / 64.0).clamp(0.0, 1.0)
    }
}

/// Draws a digit like a drawing program: black on white, without noise, in a corner of the canvas.
fn drawing(digit: &[u8]) -> DynamicImage {
    let ink = ink(digit, 180, (640, 480), (30, 200));
    GrayImage::from_fn(640, 480, |x, y| Luma([(255.0 * (1.0 - ink(x, y))) as u8])).into()
}

/// Draws a digit on a blackboard, in colour, with an alpha channel.
fn blackboard(digit: &[u8]) -> DynamicImage {
    let ink = ink(digit, 60, (120, 120), (20, 10));
    let board = |x, y| [40, 60, 50].map(|dark: u8| dark + (180.0 * ink(x, y)) as u8);
    RgbaImage::from_fn(120, 120, |x, y| {
        let [r, g, b] = board(x, y);
        Rgba([r, g, b, 255])
    })
    .into()
}

/// Draws a photograph of a digit on paper. The light is so uneven that ink on one side is brighter than paper on the
/// other. There are noise, a speck, and the table in a corner.
fn photograph(digit: &[u8]) -> DynamicImage {
    let (width, height) = (1200, 900);
    let ink = ink(digit, 300, (width, height), (420, 250));
    let mut noise = noise();
    GrayImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let light = 1.0 - 0.5 * u - 0.25 * (v - 0.4) * (v - 0.4);
        let speck = (x as i64 - 300).pow(2) + (y as i64 - 700).pow(2) < 40;
        let paper = if u + v > 1.88 || speck { 0.25 } else { 0.9 - 0.5 * ink(x, y) };
        Luma([(255.0 * light * paper + 24.0 * (noise() - 0.5)).clamp(0.0, 255.0) as u8])
    })
    .into()
}

/// Draws a digit that is smaller than those of MNIST.
fn tiny(digit: &[u8]) -> DynamicImage {
    let digit = GrayImage::from_raw(28, 28, digit.to_vec()).unwrap();
    imageops::resize(&digit, 20, 20, imageops::FilterType::Triangle).into()
}

#[test]
fn pictures_of_all_kinds_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    // The network has to classify the pictures as it classifies the digits themselves.
    let digits: Vec<_> = (0..30).map(|index| synthetic::digit(index, u64::from(index) + 100)).collect();
    type Draw = fn(&[u8]) -> DynamicImage;
    let kinds: [(&str, &str, Draw); 5] = [
        ("original", "png", |digit| GrayImage::from_raw(28, 28, digit.to_vec()).unwrap().into()),
        ("drawing", "png", drawing),
        ("blackboard", "png", blackboard),
        ("photograph", "jpg", photograph),
        ("tiny", "png", tiny),
    ];
    for (kind, extension, picture) in kinds {
        let folder = folder.path().join(kind);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("notes.txt"), "not a picture").unwrap();
        for (index, digit) in digits.iter().enumerate() {
            picture(digit).save(folder.join(format!("{index:02}.{extension}"))).unwrap();
        }
    }
    for engine in ["f32", "int8"] {
        let model = format!("{MODELS}/nano.{engine}.vit");
        let classes = |kind: &str, options: &[&str]| -> Vec<Value> {
            let folder = folder.path().join(kind);
            let folder = folder.to_str().unwrap();
            let arguments = ["predict", "--model", &model, folder, "--json", "--engine", engine];
            let predictions = json(&[&arguments, options].concat());
            let predictions = predictions.as_array().unwrap();
            assert_eq!(predictions.len(), digits.len());
            let inverted = ["drawing", "photograph"].contains(&kind);
            let alike = predictions.iter().filter(|prediction| prediction["inverted"] == inverted).count();
            assert_eq!(alike, predictions.len(), "{kind}");
            predictions.iter().map(|prediction| prediction["class"].clone()).collect()
        };
        let expected = classes("original", &["--prepare", "stretch"]);
        let right = (0..).zip(&expected).filter(|(index, class)| **class == index % 10).count();
        assert!(right >= 29, "{right} of 30 digits: too weak a network for this test");
        for (kind, ..) in kinds {
            let found = classes(kind, &[]).into_iter().zip(&expected);
            let alike = found.filter(|(found, expected)| found == *expected).count();
            println!("{engine}: {alike} of 30 alike as {kind}");
            assert!(alike >= 29, "{engine}: {alike} of 30 alike as {kind}");
        }
    }
}

#[test]
fn predict_prints_classes_and_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "three.png");
    drawing(&synthetic::digit(3, 1)).save(&path).unwrap();
    let model = format!("{MODELS}/nano.int8.vit");
    let prediction = json(&["predict", "--model", &model, &path, "--json"]);
    let prediction = &prediction.as_array().unwrap()[0];
    assert_eq!(prediction["file"], path);
    assert_eq!(prediction["engine"], "int8");
    assert_eq!((&prediction["class"], &prediction["label"]), (&3.into(), &"3".into()));
    let top5 = prediction["top5"].as_array().unwrap();
    let probability = |of: &Value| of["probability"].as_f64().unwrap();
    assert_eq!(
        (top5.len(), &top5[0]["label"], probability(&top5[0])),
        (5, &"3".into(), probability(prediction))
    );
    assert!(top5.windows(2).all(|pair| probability(&pair[0]) >= probability(&pair[1])), "{top5:?}");
    assert!((0.0..=1.0).contains(&probability(prediction)));

    // The table has the same result in a line for each picture, in the order of the arguments.
    let table = succeed(&["predict", "--model", &model, &path, &path]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    let percent = format!("{:.2} %", 100.0 * probability(prediction));
    assert!(lines[1].contains("three.png") && lines[1].contains(&percent), "{table}");
    assert_eq!(lines[1], lines[2]);
}

#[test]
fn predict_says_where_it_is_unsure() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (file(&folder, "one.png"), file(&folder, "two.png"));
    drawing(&synthetic::digit(3, 1)).save(&one).unwrap();
    let (left, right) = (synthetic::digit(3, 1), synthetic::digit(5, 1));
    let (left, right) = (ink(&left, 180, (640, 480), (30, 100)), ink(&right, 180, (640, 480), (350, 100)));
    GrayImage::from_fn(640, 480, |x, y| Luma([(255.0 * (1.0 - left(x, y).max(right(x, y)))) as u8]))
        .save(&two)
        .unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    let predictions = json(&["predict", "--model", &model, &one, &two, "--json"]);
    let reason = "there are several things of similar size";
    assert_eq!((&predictions[0]["unsure"], &predictions[1]["unsure"]), (&Value::Null, &reason.into()));
    let table = succeed(&["predict", "--model", &model, &one, &two]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(!lines[1].contains("unsure") && lines[2].ends_with(&format!("; unsure: {reason}")), "{table}");
    // If it is only stretched, a picture may show anything.
    assert!(
        json(&["predict", "--model", &model, "--prepare", "stretch", &two, "--json"])[0]["unsure"].is_null()
    );
}

#[test]
fn predict_refuses_what_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    let path = file(&folder, "a.png");
    let refuse = |model: &str, image: &str, words: &[&str]| {
        refuse(&["predict", "--model", model, image], words);
    };
    refuse(&model, &path, &["a.png", "No such file"]);
    fs::write(&path, "this is no picture").unwrap();
    refuse(&model, &path, &["a.png", "cannot be read as a picture"]);
    drawing(&synthetic::digit(5, 1)).save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refuse(&model, &path, &["a.png", "cannot be read as a picture"]);
    drawing(&synthetic::digit(5, 1)).save(file(&folder, "b.png")).unwrap();
    GrayImage::from_pixel(300, 200, Luma([255])).save(&path).unwrap();
    refuse(&model, &path, &["a.png", "blank"]);

    let empty = tempfile::tempdir().unwrap();
    refuse(&model, empty.path().to_str().unwrap(), &["no pictures"]);
    fs::write(file(&empty, "notes.txt"), "no picture either").unwrap();
    refuse(&model, empty.path().to_str().unwrap(), &["no pictures"]);
    refuse(empty.path().to_str().unwrap(), &file(&folder, "b.png"), &["model.f32.vit"]);
    refuse("/no/such/model.vit", &file(&folder, "b.png"), &["/no/such/model.vit"]);
    refuse(&file(&folder, "b.png"), &file(&folder, "b.png"), &["not a model file"]);
    super::refuse(
        &["predict", "--model", &model, "--engine", "int8", &file(&folder, "b.png")],
        &["nano.f32.vit", "--engine f32"],
    );
}

/// If some pictures cannot be used, the others are still classified.
#[test]
fn predict_goes_on_after_pictures_that_fail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    for index in 0..40 {
        drawing(&synthetic::digit(index % 10, 1)).save(file(&folder, &format!("{index:02}.png"))).unwrap();
    }
    let good = run(&["predict", "--model", &model, path]);
    assert_eq!((good.status.code(), text(&good.stderr).as_str()), (Some(0), ""));
    let good = text(&good.stdout);
    assert_eq!(good.lines().count(), 41);

    // Files that operating systems create are ignored, even if they have the name of a picture.
    for name in ["._00.png", ".DS_Store", "Thumbs.db", "desktop.ini"] {
        fs::write(file(&folder, name), "left behind").unwrap();
    }
    fs::create_dir(file(&folder, "__MACOSX")).unwrap();
    assert_eq!(succeed(&["predict", "--model", &model, path]), good);

    let jpeg = file(&folder, "17-truncated.jpg");
    drawing(&synthetic::digit(5, 1)).save(&jpeg).unwrap();
    let bytes = fs::read(&jpeg).unwrap();
    fs::write(&jpeg, &bytes[..bytes.len() - 200]).unwrap();
    GrayImage::from_pixel(300, 200, Luma([255])).save(file(&folder, "05-blank.png")).unwrap();
    fs::write(file(&folder, "30.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    let missing = file(&folder, "missing\n.png");
    let some = run(&["predict", "--model", &model, path, &missing]);
    assert_eq!(some.status.code(), Some(1));
    // The width of the first column is that of the longest path.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&text(&some.stdout)), words(&good));
    let error = text(&some.stderr);
    let errors: Vec<&str> = error.lines().collect();
    for (line, [name, reason]) in errors.iter().zip([
        ["05-blank.png: ", "blank"],
        ["17-truncated.jpg: ", "truncated"],
        ["30.heic: ", "a HEIC picture, but only PNG, JPEG, WebP, BMP and GIF are read: convert it"],
        ["missing\\n.png: ", "check the path"],
    ]) {
        assert!(line.starts_with("error: ") && line.contains(name) && line.contains(reason), "{error}");
    }
    assert_eq!(errors.len(), 4, "{error}");

    let some = run(&["predict", "--model", &model, path, &missing, "--json"]);
    assert_eq!(some.status.code(), Some(1));
    let list: Value = serde_json::from_slice(&some.stdout).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!((list.len(), &list[43]["file"]), (44, &missing.clone().into()));
    for (index, entry) in list.iter().enumerate() {
        assert_eq!(entry["error"].is_string(), [5, 18, 32, 43].contains(&index), "{entry}");
        assert_eq!(entry["class"].is_number(), !entry["error"].is_string(), "{entry}");
    }

    // If no picture can be used, there are no results, and the exit code is that of wrong input.
    let none = run(&["predict", "--model", &model, &jpeg, &missing]);
    assert_eq!((none.status.code(), text(&none.stdout).as_str()), (Some(2), ""));
    assert_eq!(text(&none.stderr).lines().count(), 2);
}

/// A pipe in a folder is not opened, because the program would wait for it forever. A pipe that is named is read.
#[cfg(unix)]
#[test]
fn predict_reads_pipes_that_are_named_and_no_others() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    let picture = file(&folder, "three");
    drawing(&synthetic::digit(3, 1)).save_with_format(&picture, ImageFormat::Png).unwrap();
    let expected = &json(&["predict", "--model", &model, "--json", &picture])[0]["top5"];
    for name in ["-", "/dev/stdin"] {
        for raw in [&[][..], &["--prepare", "stretch"]] {
            let arguments = [&["predict", "--model", &model, "--json", name], raw].concat();
            let output = program().args(arguments).stdin(fs::File::open(&picture).unwrap()).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            let list: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(list[0]["file"], name);
            assert_eq!(list[0]["top5"] == *expected, raw.is_empty());
        }
    }
    let pipe = file(&folder, "x.png");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let path = folder.path().to_str().unwrap();
    let output = program().args(["predict", "--model", &model, path]).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "the picture without an extension must be read, and the pipe refused"
    );
    assert!(text(&output.stderr).contains("x.png: a named pipe instead of a picture file"));

    let predict =
        program().args(["predict", "--model", &model, "--json", &pipe]).stdout(Stdio::piped()).spawn();
    fs::write(&pipe, fs::read(&picture).unwrap()).unwrap();
    let output = predict.unwrap().wait_with_output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list[0]["top5"], *expected);
}

/// A small file contains a large picture, for which there is too little memory.
#[cfg(target_os = "linux")]
#[test]
fn pictures_that_do_not_fit_into_memory() {
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let (bomb, good) = (file(&folder, "bomb.png"), file(&folder, "good.png"));
    GrayImage::new(2, 2).save(&bomb).unwrap();
    let mut bytes = fs::read(&bomb).unwrap();
    for side in [16..20, 20..24] {
        bytes[side].copy_from_slice(&20_000u32.to_be_bytes());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&bomb, bytes).unwrap();
    drawing(&synthetic::digit(3, 1)).save(&good).unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    for raw in [&[][..], &["--prepare", "stretch"]] {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"ulimit -v 1000000; exec "$0" "$@""#,
            env!("CARGO_BIN_EXE_vit-train"),
            "predict",
        ]);
        let output =
            command.args(["--model", &model, &bomb, &good]).args(raw).env("RAYON_NUM_THREADS", "2").output();
        let output = output.unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains("bomb.png: 20000 x 20000 pixels, for which there is too little memory"),
            "{error}"
        );
        assert!(text(&output.stdout).contains("good.png"), "{error}");
    }
}

/// A small picture has a colour profile of a gigabyte.
#[cfg(target_os = "linux")]
#[test]
fn colour_profiles_that_do_not_fit_into_memory() {
    use std::{io::Write, process::Command};
    let folder = tempfile::tempdir().unwrap();
    let picture = file(&folder, "three.png");
    drawing(&synthetic::digit(3, 1)).save(&picture).unwrap();
    let mut profile = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..1024).for_each(|_| profile.write_all(&[0; 1 << 20]).unwrap());
    let content = [b"iCCPp\0\0".as_slice(), &profile.finish().unwrap()].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&content);
    let length = (content.len() as u32 - 4).to_be_bytes();
    let chunk = [&length[..], &content, &crc.sum().to_be_bytes()].concat();
    let mut bytes = fs::read(&picture).unwrap();
    bytes.splice(33..33, chunk); // after the header
    fs::write(&picture, bytes).unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -v 600000; exec "$0" "$@""#, env!("CARGO_BIN_EXE_vit-train")])
        .args(["predict", "--model", &model, &picture])
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_run_leaves_pictures_that_report_draws_again() {
    let digits = Digits::new(200, 60);
    let run = train(&digits, "nano", "7");
    let directory = run.path().to_str().unwrap();
    let report: Value = serde_json::from_slice(&fs::read(file(&run, "report.json")).unwrap()).unwrap();
    assert_eq!(report["recipe"]["batch_size"], 32);
    assert!(report["environment"]["tool"].as_str().unwrap().starts_with("vit-train"));
    let classes = report["test"]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 10);
    for engine in ["f32", "int8"] {
        let sum = |of: &dyn Fn(&Value) -> f64| classes.iter().map(of).sum::<f64>();
        let images = sum(&|class| class["images"].as_f64().unwrap());
        let right = sum(&|class| class["images"].as_f64().unwrap() * class[engine]["acc"].as_f64().unwrap());
        assert_eq!(images, 60.0);
        assert!((right / images - report["test"][engine]["acc"].as_f64().unwrap()).abs() < 1e-9, "{engine}");
    }

    // The folder of a run can be used as a model with either engine. The checkpoint gives the bits of the float engine.
    let picture = file(&digits.folder, "7.png");
    drawing(&synthetic::digit(7, 1)).save(&picture).unwrap();
    let predict = |model: &str, engine: &str| {
        json(&["predict", "--model", model, "--engine", engine, "--json", &picture])[0].clone()
    };
    let checkpoint = file(&run, "checkpoint.safetensors");
    assert_eq!(predict(&checkpoint, "f32"), predict(directory, "f32"));
    assert_eq!(predict(directory, "int8")["engine"], "int8");
    let words = ["checkpoint.safetensors", "vit-train quantize", "model.int8.vit"];
    refuse(&["predict", "--model", &checkpoint, "--engine", "int8", &picture], &words);

    let drawn =
        ["confusion.svg", "curves.svg", "mistakes.png", "predictions.png", "report.json", "report.md"];
    let content = || drawn.map(|name| fs::read(file(&run, name)).unwrap());
    let before = content();
    for name in drawn {
        fs::write(file(&run, name), if name == "report.json" { before[4].as_slice() } else { b"" }).unwrap();
    }
    refuse(&["report", "--run", directory, "--data", "synthetic"], &["trained on", "synthetic"]);
    succeed(&["report", "--run", directory]);
    for (name, (before, after)) in drawn.iter().zip(before.iter().zip(content())) {
        assert!(*before == after, "{name} differs");
    }
    for name in ["predictions.png", "mistakes.png"] {
        let picture = image::open(file(&run, name)).unwrap();
        assert!(picture.width() > 700 && picture.height() > 200, "{name}");
    }

    // For a run without its models, there are still the curves and the recorded test.
    for name in ["model.int8.vit", "confusion.svg", "mistakes.png", "predictions.png"] {
        fs::remove_file(file(&run, name)).unwrap();
    }
    let printed = succeed(&["report", "--run", directory]);
    assert!(printed.contains("no model files any more") && printed.contains("curves.svg"), "{printed}");
    assert!(!entries(run.path()).contains(&"mistakes.png".to_owned()));
    refuse(&["report", "--run", digits.path()], &["report.json"]);
    refuse(&["report", "--run", "/no/such/run"], &["/no/such/run"]);
    assert!(!Path::new("/no/such/run").exists());
}

#[test]
fn runs_are_compared() {
    let digits = Digits::new(60, 20);
    let runs = [train(&digits, "nano", "1"), train(&digits, "nano", "2")];
    let names = runs.each_ref().map(|run| run.path().to_str().unwrap());
    let edit = |run: usize, edit: &dyn Fn(&mut Value)| {
        let path = file(&runs[run], "report.json");
        let mut report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut report);
        fs::write(path, report.to_string()).unwrap();
    };
    edit(0, &|report| report["timing"]["images_per_second"] = 100.0.into());
    edit(1, &|report| {
        report["timing"] = serde_json::json!({
            "total_train_seconds": 90.5, "avg_epoch_seconds": 45.25, "median_step_ms": 7.5, "images_per_second": 250.0,
        });
        report["device"] = "GPU".into();
        report["kept_epoch"] = 1.into();
        report["epochs"][0]["val_acc"] = 81.5.into();
        report["epochs"][1]["val_acc"] = 80.5.into();
        report["test"]["f32"]["acc"] = 82.5.into();
        report["test"]["f32"]["top5"] = 99.5.into();
        report["test"]["int8"]["acc"] = 83.5.into();
    });
    let rows = json(&["compare", names[0], names[1], "--json"]);
    assert_eq!((&rows[0]["speed_up"], &rows[1]["speed_up"]), (&1.0.into(), &2.5.into()));
    assert_eq!((&rows[1]["device"], &rows[1]["seed"]), (&"GPU".into(), &2.into()));
    assert!(rows[0]["test_int8_acc"].is_f64() && rows[0]["test_acc"].is_f64());
    let table = succeed(&["compare", names[0], names[1]]);
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("speed-up").contains("1.00 x") && line("speed-up").contains("2.50 x"), "{table}");
    // There is a column for each run, in the order of the arguments.
    assert!(line("device").ends_with("GPU"), "{table}");
    for (name, end) in [
        ("training", "90.5 s"),
        ("epoch, mean", "45.2 s"), // rounded half to even
        ("step, median", "7.5 ms"),
        ("images per second", "250"),
        ("validation accuracy", "81.50 %"), // that of the epoch whose parameters were kept
        ("test accuracy  ", "82.50 %"),
        ("test top-5", "99.50 %"),
        ("test accuracy, integers", "83.50 %"),
    ] {
        assert!(line(name).ends_with(&format!(" {end}")), "{name}: {table}");
    }
    assert_eq!((&rows[0]["run"], &rows[1]["run"]), (&names[0].into(), &names[1].into()));
    let scores =
        ["val_acc", "test_acc", "test_top5", "test_int8_acc"].map(|key| rows[1][key].as_f64().unwrap());
    assert_eq!(scores, [81.5, 82.5, 99.5, 83.5]);

    // The speeds of different networks are not compared.
    edit(1, &|report| report["preset"] = "base".into());
    assert!(json(&["compare", names[0], names[1], "--json"])[1]["speed_up"].is_null());
    refuse(&["compare", names[0], "/no/such/run"], &["/no/such/run"]);
    edit(1, &|report| report["dataset"] = "\u{1b}[2J".into());
    refuse(&["compare", names[0], names[1]], &["report.json", "control characters"]);
    edit(1, &|report| report["test"]["classes"][0]["label"] = "\u{1b}[2J".into());
    refuse(&["report", "--run", names[1]], &["report.json", "control characters"]);
    edit(1, &|report| report["dataset"] = "x".repeat(70_000).into());
    refuse(&["compare", names[0], names[1]], &["report.json", "more than 1000 characters"]);
    fs::write(file(&runs[1], "report.json"), "{").unwrap();
    refuse(&["compare", names[0], names[1]], &["report.json", "not a report"]);
    assert_eq!(run(&["compare"]).status.code(), Some(2));
}

#[test]
fn transparent_is_paper() {
    // A drawing program draws in black on a transparent ground.
    let folder = tempfile::tempdir().unwrap();
    let digit = synthetic::digit(2, 1);
    let ink = ink(&digit, 100, (200, 200), (30, 30));
    let drawn = RgbaImage::from_fn(200, 200, |x, y| Rgba([0, 0, 0, (255.0 * ink(x, y)) as u8]));
    let paper = GrayImage::from_fn(200, 200, |x, y| Luma([255 - (255.0 * ink(x, y)) as u8]));
    let paths = ["drawn.png", "paper.png"].map(|name| file(&folder, name));
    drawn.save_with_format(&paths[0], ImageFormat::Png).unwrap();
    paper.save_with_format(&paths[1], ImageFormat::Png).unwrap();
    let model = format!("{MODELS}/nano.f32.vit");
    let output =
        program().args(["predict", "--model", &model, "--json", &paths[0], &paths[1]]).output().unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["top5"], rows[1]["top5"], "{}", text(&output.stderr));
}
