//! Tests the commands and their options.

use crate::{entries, file, json, program, refuse, run, succeed, text, train, Digits};
use serde_json::Value;
use std::{fs, io::Write, path::Path};
use vit_nostd::{
    image,
    int8::{Model, Scratch},
    Nano, Network,
};
use vit_train::{
    data::synthetic,
    formats::{checkpoint::Checkpoint, model_bytes::ModelBytes},
    run::samples::{self, Sample},
};

#[test]
fn a_run_leaves_results_that_agree() {
    let digits = Digits::new(200, 60);
    let run = train(&digits, "nano", "7");
    let names = [
        "checkpoint.safetensors",
        "confusion.svg",
        "curves.svg",
        "data.json",
        "last.run",
        "mistakes.png",
        "model.f32.vit",
        "model.int8.vit",
        "predictions.png",
        "report.json",
        "report.md",
        "samples.bin",
    ];
    assert_eq!(entries(run.path()), names);

    let report: Value = serde_json::from_slice(&fs::read(file(&run, "report.json")).unwrap()).unwrap();
    assert_eq!(report["preset"], "nano");
    assert_eq!(report["params"], 79_690);
    assert_eq!(report["seed"], 7);
    assert_eq!(report["epochs"].as_array().unwrap().len(), 2);
    assert_eq!(report["verify"]["images"], 60);
    assert_eq!(report["verify"]["exact_images"], 60);
    assert_eq!(report["verify"]["argmax_disagreements"], 0);
    assert_eq!(report["verify"]["exact_mismatches"], 0);
    assert_eq!(report["verify"]["int8_images"], 60);
    assert_eq!(report["verify"]["int8_mismatches"], 0);
    assert!(report["timing"]["total_train_seconds"].as_f64().unwrap() > 0.0);
    let accuracy = report["test"]["f32"]["acc"].as_f64().unwrap();
    let markdown = fs::read_to_string(file(&run, "report.md")).unwrap();
    assert!(markdown.contains(&format!("accuracy **{accuracy:.2} %**")), "{markdown}");
    // The table of the epochs has eight columns.
    let epochs = markdown.lines().filter(|line| line.split('|').count() == 10);
    assert_eq!(epochs.filter(|line| line.starts_with("| 1") || line.starts_with("| 2")).count(), 2);

    // The checkpoint and the model files have that accuracy, and state it.
    for (name, accuracy) in [
        ("checkpoint.safetensors", accuracy),
        ("model.f32.vit", accuracy),
        ("model.int8.vit", report["test"]["int8"]["acc"].as_f64().unwrap()),
    ] {
        let path = file(&run, name);
        let evaluation = json(&["eval", &path, "--data", digits.path(), "--json"]);
        assert_eq!(evaluation["acc"].as_f64(), Some(accuracy), "{name}");
        assert_eq!(evaluation["images"], 60);
    }
    let path = file(&run, "model.f32.vit");
    let exact = json(&["eval", &path, "--data", digits.path(), "--json"]);
    assert!(exact.get("robustness").is_none());
    let corrupted = json(&["eval", &path, "--data", digits.path(), "--json", "--robustness"]);
    // Each corruption of the images changes the loss.
    let rows = corrupted["robustness"].as_array().unwrap().iter().chain([&exact]);
    let mut losses: Vec<f64> = rows.map(|row| row["loss"].as_f64().unwrap()).collect();
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert_eq!(losses.len(), 1 + 9, "{losses:?}");
    let micromath = json(&["eval", &path, "--data", digits.path(), "--json", "--micromath"]);
    let [loss, other_loss] = [&exact, &micromath].map(|evaluation| evaluation["loss"].as_f64().unwrap());
    assert!(loss != other_loss && (loss - other_loss).abs() < 1e-2, "{loss}, {other_loss}");
    let inspection = json(&["inspect", &file(&run, "model.f32.vit"), "--json"]);
    assert_eq!(inspection["preset"], "nano");
    assert_eq!(inspection["kind"], "f32");
    assert_eq!(inspection["seed"], 7);
    assert!((inspection["test_accuracy"].as_f64().unwrap() - accuracy).abs() < 1e-4);
    assert_eq!(inspection["file_bytes"], fs::metadata(file(&run, "model.f32.vit")).unwrap().len());
    let inspection = json(&["inspect", &file(&run, "model.int8.vit"), "--json"]);
    assert_eq!(inspection["kind"], "int8");
    let int8_accuracy = report["test"]["int8"]["acc"].as_f64().unwrap();
    assert!((inspection["test_accuracy"].as_f64().unwrap() - int8_accuracy).abs() < 1e-4);

    // The samples are of eight classes, and have the logits of the integer model.
    let samples = fs::read(file(&run, "samples.bin")).unwrap();
    let read = samples::read(&Nano::DIMS, &samples).unwrap();
    assert_eq!(read.iter().map(|sample| sample.class).collect::<Vec<_>>(), [0, 1, 2, 3, 5, 6, 7, 8]);
    let bytes = ModelBytes::read(Path::new(&file(&run, "model.int8.vit"))).unwrap();
    let (model, mut scratch) = (Model::<Nano>::from_bytes(&bytes).unwrap(), Box::new(Scratch::new()));
    let test = synthetic::dataset(60, 2);
    for Sample { class, logits, levels } in read {
        assert_eq!(model.infer(image::<Nano>(&levels).unwrap(), &mut scratch).as_ref(), logits);
        let first = test.labels().iter().position(|&label| label == class).unwrap();
        assert_eq!(levels, test.image(first));
    }

    // Quantizing again gives the same bytes, and writes the samples again only if the model is that of the run.
    let bytes = fs::read(file(&run, "model.int8.vit")).unwrap();
    fs::write(file(&run, "samples.bin"), "those of an earlier model").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for out in [file(&run, "another.int8.vit"), file(&elsewhere, "model.int8.vit")] {
        succeed(&["quantize", run.path().to_str().unwrap(), "--data", digits.path(), "--out", &out]);
        assert!(fs::read(&out).unwrap() == bytes);
        assert_eq!(fs::read(file(&run, "samples.bin")).unwrap(), b"those of an earlier model");
        fs::remove_file(&out).unwrap();
    }
    assert!(entries(elsewhere.path()).is_empty());
    let arguments = ["quantize", run.path().to_str().unwrap(), "--data", digits.path(), "--report"];
    let table = succeed(&arguments);
    assert!(fs::read(file(&run, "model.int8.vit")).unwrap() == bytes);
    assert!(fs::read(file(&run, "samples.bin")).unwrap() == samples);

    // The report has a ratio for each of the nine layers in four blocks and for three layers before and after them, and
    // states the lowest ratio.
    let quantization = json(&[&arguments[..], &["--json"]].concat());
    assert_eq!(quantization["test"]["acc"].as_f64(), Some(int8_accuracy));
    let layers = quantization["report"]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 4 * 9 + 3);
    let worst = &quantization["report"]["worst"]["snr_db"].as_f64().unwrap();
    assert!(layers.iter().all(|layer| layer["snr_db"].as_f64().unwrap() >= *worst), "{quantization}");
    assert!(table.contains(&format!("{worst:.1} dB")), "{table}");

    let inspection = json(&["inspect", &file(&run, "checkpoint.safetensors"), "--json"]);
    assert_eq!(inspection["preset"], "nano");
    assert_eq!(inspection["tensors"].as_array().unwrap().len(), 4 + 4 * 12 + 4);

    let folder = run.path().to_str().unwrap();
    let verification = json(&["verify", folder, "--data", digits.path(), "--json", "--exact-images", "3"]);
    assert_eq!(verification["exact_images"], 3);
    assert_eq!(verification["int8_images"], 60);
    assert_eq!(verification["int8_mismatches"], 0);
    fs::remove_file(file(&run, "model.int8.vit")).unwrap();
    refuse(
        &["verify", folder, "--data", digits.path()],
        &["model.int8.vit is missing", "vit-train quantize"],
    );

    // The next run begins with the trained parameters: its first loss is lower than that of a new network.
    let out = tempfile::tempdir().unwrap();
    let checkpoint = file(&run, "checkpoint.safetensors");
    let arguments =
        ["--preset", "nano", "--epochs", "1", "--init", &checkpoint, "--data", digits.path(), "--out"];
    succeed(&[&arguments[..], &[out.path().to_str().unwrap()]].concat());
    let next: Value = serde_json::from_slice(&fs::read(file(&out, "report.json")).unwrap()).unwrap();
    let loss = |report: &Value, epoch: usize| report["epochs"][epoch]["train_loss"].as_f64().unwrap();
    assert!(loss(&next, 0) < loss(&report, 0), "{} {}", loss(&next, 0), loss(&report, 0));
}

#[test]
fn verify_tells_models_apart() {
    let digits = Digits::new(100, 20);
    let (run, other) = (train(&digits, "nano", "1"), train(&digits, "nano", "2"));
    fs::copy(file(&other, "model.f32.vit"), file(&run, "model.f32.vit")).unwrap();
    let output = crate::run(&["verify", run.path().to_str().unwrap(), "--data", digits.path()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("FAIL"));

    // The model file is one of another network, which the checkpoint does not fit.
    let tiny = train(&Digits::new(40, 10), "tiny", "1");
    fs::copy(file(&tiny, "model.f32.vit"), file(&run, "model.f32.vit")).unwrap();
    refuse(
        &["verify", run.path().to_str().unwrap(), "--data", digits.path()],
        &["does not fit tiny", "cls_token"],
    );
    let checkpoint = file(&run, "checkpoint.safetensors");
    refuse(&["--preset", "tiny", "--init", &checkpoint], &["does not fit tiny", "[1, 1, 48]", "[1, 1, 64]"]);

    // The model file is damaged.
    let path = file(&run, "model.f32.vit");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    refuse(&["eval", &path, "--data", digits.path()], &["model.f32.vit", "damaged"]);
    fs::write(&path, &bytes[..5000]).unwrap();
    refuse(&["inspect", &path], &["truncated"]);
    fs::write(&path, "not a model file, but text of more than 32 characters").unwrap();
    refuse(&["eval", &path, "--data", digits.path()], &["not a model file"]);
    // The content of a file decides what it is, not its name: this is a model file.
    fs::write(&checkpoint, &bytes[..100]).unwrap();
    refuse(&["inspect", &checkpoint], &["truncated"]);
}

#[test]
fn bad_data_is_refused_and_nothing_is_written() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("run");
    let refuse = |data: &str, words: &[&str]| {
        let arguments = ["--preset", "nano", "--epochs", "1", "--data", data, "--out", out.to_str().unwrap()];
        refuse(&arguments, words);
        assert!(!out.exists());
    };
    refuse("/no/such/folder", &["/no/such/folder"]);

    let digits = Digits::new(20, 10);
    digits.edit("train-images-idx3-ubyte", |bytes| bytes[3] = 1);
    refuse(digits.path(), &["train-images-idx3-ubyte"]);

    let digits = Digits::new(20, 10);
    digits.edit("train-labels-idx1-ubyte", |bytes| bytes[8 + 5] = 12);
    refuse(digits.path(), &["label", "12", "5"]);

    let digits = Digits::new(20, 10);
    let images = fs::read(digits.folder.path().join("t10k-images-idx3-ubyte")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&images).unwrap();
    let gzip = gzip.finish().unwrap();
    fs::remove_file(digits.folder.path().join("t10k-images-idx3-ubyte")).unwrap();
    digits.write("t10k-images-idx3-ubyte.gz", &gzip[..gzip.len() / 2]);
    refuse(digits.path(), &["t10k-images-idx3-ubyte.gz"]);
}

#[test]
fn every_setting_of_the_recipe_counts() {
    let digits = Digits::new(40, 10);
    let weights = |setting: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--recipe", "article", "--preset", "nano", "--epochs", "2", "--data"];
        arguments.extend([digits.path(), "--out", out.path().to_str().unwrap()]);
        // Batches of 12 give three steps in an epoch. In a single step, AdamW makes the norm of the gradients
        // irrelevant.
        if !setting.contains(&"--batch-size") {
            arguments.extend(["--batch-size", "12"]);
        }
        succeed(&[&arguments[..], setting].concat());
        Checkpoint::load(Path::new(&file(&out, "checkpoint.safetensors"))).unwrap().parameters.values
    };
    let usual = weights(&[]);
    assert!(weights(&["--lr", "1e-3"]) == usual, "the same settings give other weights");
    for setting in [
        &["--lr", "2e-3"][..],
        &["--weight-decay", "0.1"],
        &["--grad-clip", "0.1"],
        &["--dropout", "0"],
        &["--label-smoothing", "0"],
        &["--augment", "none"],
        &["--augment", "photos"],
        &["--mirror", "0.5"],
        &["--crop", "0.3"],
        &["--brightness", "0.3"],
        &["--contrast", "0.3"],
        &["--erasing", "0.5"],
        &["--rotation", "20"],
        &["--translation", "0.2"],
        &["--scale", "0.2"],
        &["--shear", "20"],
        &["--elastic", "0.1"],
        &["--warmup", "1"],
        &["--batch-size", "9"],
        &["--seed", "43"],
    ] {
        assert!(weights(setting) != usual, "{setting:?} has no effect");
    }
}

#[test]
fn bad_settings_are_refused() {
    for (arguments, words) in [
        (["--epochs", "0"], ["--epochs", "at least 1"]),
        (["--lr", "nan"], ["--lr", "above 0"]),
        (["--lr", "-1"], ["--lr", "above 0"]),
        (["--epochs", "-1"], ["--epochs", "at least 1"]),
        (["--seed", "-1"], ["--seed", "invalid value '-1'"]),
        (["--lr", "inf"], ["--lr", "above 0"]),
        (["--dropout", "1"], ["--dropout", "below 1"]),
        (["--batch-size", "0"], ["--batch-size", "at least 1"]),
        (["--preset", "huge"], ["--preset", "huge"]),
        (["--threads", "0"], ["--threads", "from 1 to 1024"]),
        (["--limit", "3"], ["--limit", "at least 10"]),
        (["bench", "--steps=18446744073709551615"], ["--steps", "from 1 to 1000000"]),
        (["verify", "--exact-images=0"], ["--exact-images", "invalid value '0'"]),
        (["--data", ""], ["--data", "name of the folder is empty"]),
    ] {
        let output = run(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    let digits = Digits::new(20, 10);
    let blocked = file(&digits.folder, "train-labels-idx1-ubyte") + "/run";
    let arguments = ["--preset", "nano", "--epochs", "1", "--data", digits.path(), "--out", &blocked];
    refuse(&arguments, &["train-labels-idx1-ubyte/run"]);
    refuse(&["eval", "/no/such/model.vit"], &["/no/such/model.vit"]);
}

#[test]
fn only_the_same_run_is_resumed() {
    let digits = Digits::new(60, 10);
    let run = train(&digits, "nano", "1");
    let folder = run.path().to_str().unwrap().to_owned();
    let settings = ["--preset", "nano", "--epochs", "2", "--batch-size", "32", "--seed", "1"];
    let settings = [&settings[..], &["--resume", "--data", digits.path(), "--out", &folder]].concat();
    assert!(succeed(&settings).contains("is finished"));

    let content = || entries(run.path()).into_iter().map(|name| fs::read(file(&run, &name)).unwrap());
    let before: Vec<_> = content().collect();
    let with = |index: usize, value: &'static str| {
        let mut settings = settings.clone();
        settings[index] = value;
        settings
    };
    refuse(&with(1, "tiny"), &["last.run", "network nano, not tiny", "--preset", "leave out --resume"]);
    refuse(&with(3, "3"), &["last.run", "epochs 2, not 3", "--epochs", "leave out --resume"]);
    refuse(&with(5, "16"), &["batch_size 32, not 16", "--batch-size"]);
    refuse(&with(7, "2"), &["seed 1, not 2", "--seed"]);
    refuse(&[&settings[..], &["--limit", "20"]].concat(), &["training_images 60, not 20", "--limit"]);
    refuse(&[&settings[..], &["--augment", "none"]].concat(), &["--augment"]);
    refuse(&with(10, "synthetic"), &["--data"]);
    digits.edit("t10k-images-idx3-ubyte", |bytes| *bytes.last_mut().unwrap() ^= 1);
    refuse(&settings, &["SHA-256"]);
    digits.edit("t10k-images-idx3-ubyte", |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(content().eq(before));

    let snapshot = file(&run, "last.run");
    let mut bytes = fs::read(&snapshot).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&snapshot, &bytes).unwrap();
    let before: Vec<_> = content().collect();
    refuse(&settings, &["last.run", "damaged"]);
    assert!(content().eq(before));
    fs::remove_file(&snapshot).unwrap();
    refuse(&settings, &[&folder, "no run that could be resumed"]);
    assert!(!run.path().join("last.run").exists());
    let other = file(&run, "other");
    refuse(&with(12, other.clone().leak()), &["other", "no run that could be resumed"]);
    assert!(!Path::new(&other).exists());
}

/// Returns the largest amount of memory that a process has had so far, in MB.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() / 1000
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_over_the_epochs() {
    use std::io::{BufRead, BufReader};
    let out = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["--preset", "nano", "--data", "synthetic", "--limit", "600", "--epochs", "8", "--out"]);
    let mut child = command.arg(out.path()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let epochs = stdout.filter(|line| line.starts_with("epoch"));
    let peaks: Vec<usize> = epochs.map(|_| peak_memory(child.id())).collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(peaks.len(), 8);
    assert!(peaks[7] <= 200 && peaks[7] <= peaks[1] + 5, "{peaks:?} MB");
}

#[test]
fn works_without_mnist_and_says_so() {
    // The working directory is an empty folder without data/mnist. With a proxy that refuses, there is no network.
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .current_dir(&folder)
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("https_proxy", "http://127.0.0.1:9");
    let arguments = ["--preset", "nano", "--epochs", "1", "--limit", "100"];
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("NOTE: Using the built-in, machine-made digits"));
    assert!(text(&output.stdout)
        .contains("about built-in, machine-made images, and says nothing about real ones"));
    let run = folder.path().join("runs/nano");
    assert_eq!(entries(folder.path()), ["runs"]);
    assert!(fs::read_to_string(run.join("report.md"))
        .unwrap()
        .contains("built-in, machine-made images, not on real ones"));
    let report: Value = serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["dataset"], &report["synthetic"]), (&"synthetic".into(), &true.into()));
}

#[test]
fn help_has_examples() {
    let help = succeed(&["--help"]);
    for word in ["Commands:", "Recipe:", "--preset", "--epochs", "Data:", "--data", "Results:", "Exit codes:"]
    {
        assert!(help.contains(word), "no {word} in {help}");
    }
    let commands = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let commands: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for command in
        ["train", "eval", "predict", "quantize", "verify", "export", "inspect", "report", "compare", "bench"]
    {
        assert!(commands.contains(&command), "{commands:?}");
    }
    for command in commands.into_iter().filter(|&command| command != "help") {
        let help = succeed(&[command, "--help"]);
        let examples = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{command}: {help}")).1;
        assert!(examples.contains("vit-train "), "{examples}");
        // Wrong usage gives exit code 2 and names the option that shows the help.
        let output = run(&[command, "--no-such-option"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--help"), "{}", text(&output.stderr));
    }
}

#[test]
fn quiet_and_json_print_results_only() {
    let digits = Digits::new(60, 20);
    let out = tempfile::tempdir().unwrap();
    let arguments = ["--preset", "nano", "--epochs", "1", "--data", digits.path(), "--out"];
    let arguments = [&arguments[..], &[out.path().to_str().unwrap()]].concat();
    let with = |more: &[&str]| {
        let output = run(&[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    // There are neither colours nor bars without a terminal.
    let (loud, errors) = with(&[]);
    assert!(
        loud.starts_with("Training nano") && loud.contains("epoch  1/1") && loud.contains("testing ..."),
        "{loud}"
    );
    assert!(!loud.contains(['\x1b', '\r']) && errors.is_empty(), "{loud}{errors}");

    let (quiet, errors) = with(&["--quiet"]);
    assert!(
        quiet.starts_with("Test accuracy") && loud.ends_with(&quiet) && errors.is_empty(),
        "{quiet}{errors}"
    );
    let (json, errors) = with(&["--quiet", "--json"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert!(report["test"]["int8"]["acc"].is_number() && errors.is_empty(), "{errors}");
    assert_eq!(
        report,
        serde_json::from_slice::<Value>(&fs::read(file(&out, "report.json")).unwrap()).unwrap()
    );
    let (json, errors) = with(&["--json"]);
    assert!(errors.starts_with("Training nano") && errors.contains("epoch  1/1"), "{errors}");
    assert!(serde_json::from_str::<Value>(&json).is_ok());
    let (again, errors) = with(&["--json", "--resume"]);
    assert!(errors.contains("is finished") && again == json, "{errors}");
}

#[test]
fn colours_can_be_switched_off() {
    let help = |variables: &[&str]| {
        let mut command = program();
        command.arg("--help").env_remove("NO_COLOR").envs(variables.iter().map(|&name| (name, "1")));
        text(&command.output().unwrap().stdout)
    };
    assert!(!help(&[]).contains('\x1b'));
    assert!(help(&["CLICOLOR_FORCE"]).contains('\x1b'), "the test would not notice");
    assert!(!help(&["CLICOLOR_FORCE", "NO_COLOR"]).contains('\x1b'));
}

/// `--cuda` without a GPU is an error in one line that says what is missing. The program does not use the CPU instead.
#[test]
fn cuda_without_a_gpu_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let run = out.path().join("run");
    let train = ["--cuda", "--data", "synthetic", "--out", run.to_str().unwrap()];
    for arguments in
        [&train[..], &["train", "--cuda"], &["bench", "--cuda"], &["eval", "x.safetensors", "--cuda"]]
    {
        // The variable hides a GPU if there is one.
        let output = program().args(arguments).env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let found = [
            "NVIDIA's driver (libcuda) not found",
            "finds no GPU",
            "(libcublas) not found",
            "(libnvrtc) not found",
        ];
        assert!(error.starts_with("error: ") && found.iter().any(|words| error.contains(words)), "{error}");
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    }
    assert!(!run.exists(), "it began a run");
    // These options need --cuda.
    for arguments in [["--cuda-device", "0"], ["--precision", "f32"]] {
        let output = program().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--cuda"), "{}", text(&output.stderr));
    }
}

/// A run on a GPU reaches the accuracy of a run on the CPU, and its files can be used without a GPU. Skipped if there
/// is no GPU.
#[test]
fn cuda_learns_what_the_cpu_learns() {
    let train = |arguments: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let settings = ["--preset", "nano", "--data", "synthetic", "--epochs", "3", "--batch-size", "64"];
        let mut program = program();
        program.args(settings).args(["--lr", "2e-3", "--dropout", "0.1"]).args(arguments);
        (program.arg("--out").arg(out.path()).output().unwrap(), out)
    };
    let (output, gpu) = train(&["--cuda"]);
    if output.status.code() == Some(2) {
        println!("SKIPPED, there is no GPU to test on: {}", text(&output.stderr).trim());
        return;
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (output, cpu) = train(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let [on_gpu, on_cpu] = [&gpu, &cpu].map(|run| {
        let report = fs::read(file(run, "report.json")).unwrap();
        serde_json::from_slice::<Value>(&report).unwrap()
    });
    let accuracy = |report: &Value| report["test"]["f32"]["acc"].as_f64().unwrap();
    let (found, expected) = (accuracy(&on_gpu), accuracy(&on_cpu));
    assert!(
        (found - expected).abs() <= 2.0 && expected > 80.0,
        "{found} % on the GPU, {expected} % on the CPU"
    );
    assert_ne!(on_gpu["device"], "CPU");
    assert_eq!(on_gpu["verify"]["int8_mismatches"], 0);
    // The GPU and dfdx compute the same loss with the checkpoint of the run.
    let arguments = ["--data", "synthetic", "--json"];
    let eval = |name: &str, cuda: &[&str]| json(&[&["eval", name][..], &arguments, cuda].concat());
    let run = gpu.path().to_str().unwrap();
    let (gpu, cpu) =
        (eval(run, &["--cuda", "--precision", "f32"]), eval(&file(&gpu, "checkpoint.safetensors"), &[]));
    assert!((gpu["loss"].as_f64().unwrap() - cpu["loss"].as_f64().unwrap()).abs() < 1e-4, "{gpu} {cpu}");
}
