//! A run knows its images: commands use them by default, and refuse other images or point them out.

use crate::{entries, file, json, program, refuse, run, succeed, text, Digits};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    thread::sleep,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use vit_train::files::lock_directory;

/// Returns the names and contents of the files in the folder of a run.
fn content(folder: &TempDir) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(folder.path().join(name)).unwrap());
    entries(folder.path()).into_iter().map(read).collect()
}

/// Runs the program like [`refuse`], and checks that the run has not changed.
fn refuse_and_keep(folder: &TempDir, arguments: &[&str], words: &[&str]) {
    let before = content(folder);
    refuse(arguments, words);
    assert!(content(folder) == before, "{arguments:?} changed something");
}

/// Trains on the first 60 of 80 digits. Returns the digits and the folder of the run.
fn run_on_own_digits() -> (Digits, TempDir) {
    let digits = Digits::new(80, 24);
    let out = tempfile::tempdir().unwrap();
    let settings = ["--preset", "nano", "--epochs", "1", "--batch-size", "32", "--limit", "60"];
    succeed(&[&settings[..], &["--data", digits.path(), "--out", out.path().to_str().unwrap()]].concat());
    (digits, out)
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[test]
fn its_own_images_are_the_default() {
    let (digits, run) = run_on_own_digits();
    let before = content(&run);
    let own = |arguments: &[&str]| {
        // MNIST can be found, but must not be used.
        let other = Digits::new(40, 10);
        let output = program().args(arguments).env("MNIST_DIR", other.path()).output().unwrap();
        let error = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        assert!(error.contains("Using the run's own images: ") && error.contains(digits.path()), "{error}");
        text(&output.stdout)
    };
    let json = |arguments: &[&str]| serde_json::from_str::<Value>(&own(arguments)).unwrap();

    // Quantizing with the same images gives the same bytes.
    let quantization = json(&["quantize", path(&run), "--json"]);
    assert_eq!(quantization["data_of_run"], true);
    assert!(content(&run) == before);
    own(&["report", "--run", path(&run)]);
    assert!(content(&run) == before, "the report");
    for name in ["", "model.f32.vit", "model.int8.vit", "checkpoint.safetensors"] {
        let evaluation = json(&["eval", &file(&run, name), "--json"]);
        assert_eq!((&evaluation["images"], &evaluation["data_of_run"]), (&24.into(), &true.into()));
    }
    for name in ["", "checkpoint.safetensors"] {
        let verification = json(&["verify", &file(&run, name), "--json", "--exact-images", "1"]);
        assert_eq!((&verification["images"], &verification["data_of_run"]), (&24.into(), &true.into()));
    }

    let quiet = self::run(&["eval", path(&run), "--quiet"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{}", text(&quiet.stderr));
    // Files that are published do not say where the images were.
    for name in ["report.json", "report.md", "model.f32.vit", "model.int8.vit", "checkpoint.safetensors"] {
        let bytes = fs::read(file(&run, name)).unwrap();
        let place = digits.path().as_bytes();
        assert!(!bytes.windows(place.len()).any(|bytes| bytes == place), "{name}");
    }
}

#[test]
fn other_images_are_refused_or_marked() {
    let (digits, run) = run_on_own_digits();
    let other = Digits::new(80, 20);
    let theirs = ["--data", other.path()];
    refuse_and_keep(
        &run,
        &[&["quantize", path(&run)][..], &theirs].concat(),
        &["checkpoint.safetensors", "it was trained on ", "leave --data out", "--out"],
    );
    refuse_and_keep(
        &run,
        &["quantize", path(&run), theirs[0], theirs[1], "--out", &file(&run, "more.int8.vit")],
        &["leave --data out"],
    );
    let report = ["report", "--run", path(&run), theirs[0], theirs[1]];
    refuse_and_keep(&run, &report, &["it was trained on ", "leave --data out"]);

    let output = self::run(&["eval", path(&run), theirs[0], theirs[1]]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("(not the data of the run):"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("the images used are others"), "{}", text(&output.stderr));
    let evaluation = json(&["eval", path(&run), theirs[0], theirs[1], "--json"]);
    assert_eq!((&evaluation["images"], &evaluation["data_of_run"]), (&20.into(), &false.into()));
    let output = self::run(&["verify", path(&run), theirs[0], theirs[1], "--exact-images", "1"]);
    assert!(output.status.success() && text(&output.stderr).contains("the images used are others"));

    // They are also refused if the checkpoint is reached by a link, and if the run does not know its images.
    let elsewhere = tempfile::tempdir().unwrap();
    let link = file(&elsewhere, "link.safetensors");
    std::os::unix::fs::symlink(file(&run, "checkpoint.safetensors"), &link).unwrap();
    let model = file(&run, "model.int8.vit");
    refuse_and_keep(
        &run,
        &["quantize", &link, theirs[0], theirs[1], "--out", &model],
        &["link.safetensors", "leave --data out"],
    );
    let known = fs::read(file(&run, "data.json")).unwrap();
    fs::remove_file(file(&run, "data.json")).unwrap();
    refuse_and_keep(&run, &["quantize", path(&run), theirs[0], theirs[1]], &["leave --data out"]);
    let named_alike = elsewhere.path().join(Path::new(digits.path()).file_name().unwrap());
    fs::rename(other.folder.path(), &named_alike).unwrap();
    refuse_and_keep(
        &run,
        &["quantize", path(&run), "--data", named_alike.to_str().unwrap()],
        &["this run has no record of its images", "--out"],
    );
    fs::rename(&named_alike, other.folder.path()).unwrap();
    fs::write(file(&run, "data.json"), known).unwrap();

    // The same holds for another name of the checkpoint in the run, and for images in a folder of the same name.
    let same_name = elsewhere.path().join(Path::new(digits.path()).file_name().unwrap());
    fs::rename(other.folder.path(), &same_name).unwrap();
    let best = file(&run, "best.safetensors");
    fs::hard_link(file(&run, "checkpoint.safetensors"), &best).unwrap();
    refuse_and_keep(
        &run,
        &["quantize", &best, "--data", same_name.to_str().unwrap()],
        &["the images used are not those of this run", "--out"],
    );
    fs::rename(&same_name, other.folder.path()).unwrap();

    // A model that is calibrated with other images may be written elsewhere. It states no accuracy, because that would
    // not be the one of the run.
    let out = file(&elsewhere, "x.int8.vit");
    let before = content(&run);
    let quantization = json(&["quantize", path(&run), theirs[0], theirs[1], "--out", &out, "--json"]);
    assert_eq!(quantization["data_of_run"], false);
    assert!(content(&run) == before);
    assert!(succeed(&["inspect", &out]).contains("accuracy    not measured"));
}

#[test]
fn images_that_moved_are_found_by_their_content() {
    let (digits, run) = run_on_own_digits();
    let before = content(&run);
    let moved = TempDir::new().unwrap();
    let place = moved.path().join("moved");
    fs::rename(digits.folder.path(), &place).unwrap();
    let place = place.to_str().unwrap();
    for command in [
        &["quantize", path(&run)][..],
        &["eval", path(&run)],
        &["verify", path(&run)],
        &["report", "--run", path(&run)],
        &["--resume", "--out", path(&run)],
    ] {
        refuse_and_keep(&run, command, &["are no longer in ", digits.path(), "--data"]);
        succeed(&[command, &["--data", place]].concat());
        assert!(content(&run) == before, "{command:?}");
    }
    // Training images after those that the run used may differ.
    let edit = |name: &str, at: usize| {
        let path = Path::new(place).join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = if at < bytes.len() { at } else { bytes.len() - 1 };
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    edit("train-labels-idx1-ubyte", 8 + 70);
    succeed(&["eval", path(&run), "--data", place]);
    assert_eq!(json(&["eval", path(&run), "--data", place, "--json"])["data_of_run"], true);
    edit("t10k-images-idx3-ubyte", usize::MAX);
    assert_eq!(json(&["eval", path(&run), "--data", place, "--json"])["data_of_run"], false);
    fs::rename(place, digits.folder.path()).unwrap();
    refuse_and_keep(&run, &["eval", path(&run)], &[digits.path(), "no longer those", "--data"]);
}

#[test]
fn images_are_not_recognised_by_their_name() {
    let named_mnist = |digits: &Digits| -> PathBuf {
        let folder = digits.folder.path().join("mnist");
        fs::create_dir(&folder).unwrap();
        for name in entries(digits.folder.path()).into_iter().filter(|name| name.ends_with("ubyte")) {
            fs::rename(digits.folder.path().join(&name), folder.join(name)).unwrap();
        }
        folder
    };
    let (digits, other) = (Digits::new(60, 20), Digits::new(60, 40));
    let [own, theirs] = [&digits, &other].map(named_mnist);
    let run = tempfile::tempdir().unwrap();
    let settings = ["--preset", "nano", "--epochs", "1", "--out", path(&run), "--data"];
    succeed(&[&settings[..], &[own.to_str().unwrap()]].concat());
    let report = ["report", "--run", path(&run)];
    let named = [&report[..], &["--data", theirs.to_str().unwrap()]].concat();
    refuse_and_keep(&run, &named, &["it was trained on ./mnist", theirs.to_str().unwrap()]);

    // In a run of an earlier version, the images are recognised by the recorded result.
    fs::remove_file(file(&run, "data.json")).unwrap();
    refuse_and_keep(&run, &named, &["the report says", theirs.to_str().unwrap()]);
    let before = content(&run);
    let output = program().args(report).env("MNIST_DIR", &theirs).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(content(&run) == before);
    succeed(&[&report[..], &["--data", own.to_str().unwrap()]].concat());
    assert!(content(&run) == before);
}

/// A checkpoint states the name of its training images, but not their place. Other images are not used without being
/// asked for.
#[test]
fn a_checkpoint_alone_is_not_calibrated_with_any_images() {
    let (digits, run) = run_on_own_digits();
    let alone = tempfile::tempdir().unwrap();
    let checkpoint = file(&alone, "checkpoint.safetensors");
    fs::copy(file(&run, "checkpoint.safetensors"), &checkpoint).unwrap();
    fs::write(file(&alone, "data.json"), "the data of somebody else").unwrap();
    let quantize = ["quantize", &checkpoint];
    let before = content(&alone);
    // It was trained neither on MNIST nor on the digits that replace it.
    let mut command = program();
    command.args(quantize).current_dir(&alone).env("HTTPS_PROXY", "http://127.0.0.1:9");
    let output = command.output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("it was trained on ") && error.contains("with --data"), "{error}");
    assert!(content(&alone) == before);
    // Images that are named are used.
    let output = self::run(&[&quantize[..], &["--data", "synthetic"]].concat());
    assert!(output.status.success() && text(&output.stderr).contains("NOTE: "), "{}", text(&output.stderr));
    succeed(&[&quantize[..], &["--data", digits.path()]].concat());
}

#[cfg(unix)]
#[test]
fn nothing_is_written_into_a_run_that_is_trained() {
    let (_digits, run) = run_on_own_digits();
    let more = [file(&run, "more.vit"), file(&run, "more.safetensors")];
    let training = lock_directory(run.path()).unwrap();
    for arguments in [
        &["quantize", path(&run)][..],
        &["export", path(&run), "--vit", &more[0]],
        &["eval", path(&run), "--logits", &more[1]],
        &["report", "--run", path(&run)],
        &["--resume", "--out", path(&run)],
    ] {
        refuse_and_keep(&run, arguments, &[path(&run), "another run is writing to it"]);
    }
    // The run can be read, and results can be written elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    succeed(&["quantize", path(&run), "--out", &file(&elsewhere, "x.vit")]);
    drop(training);
    succeed(&["quantize", path(&run)]);
}

#[test]
fn a_run_is_resumed_without_its_settings() {
    let (digits, run) = run_on_own_digits();
    let resume = ["--resume", "--out", path(&run)];
    assert!(succeed(&resume).contains("is finished"));
    // One line names everything that differs.
    let others = ["--epochs", "3", "--lr", "0.5", "--seed", "7", "--preset", "tiny", "--limit", "50"];
    refuse_and_keep(
        &run,
        &[&resume[..], &others, &["--data", digits.path()]].concat(),
        &[
            "network nano, not tiny; epochs 1, not 3; lr 0.00178, not 0.5; seed 42, not 7; training_images 60, not 50. \
             Leave out the options that differ (--epochs, --limit, --lr, --preset, --recipe, --seed)",
        ],
    );
    refuse_and_keep(&run, &[&resume[..], &["--init", path(&run)]].concat(), &["--init"]);
    refuse_and_keep(
        &run,
        &[&resume[..], &["--recipe", "article"]].concat(),
        &["batch_size 32, not 128", "--batch-size", "--recipe"],
    );
    // Options that change no result may be given.
    let free = ["--threads", "1", "--save-every", "1", "--quiet", "--epochs", "1", "--limit", "60"];
    succeed(&[&resume[..], &free].concat());
}

/// A folder that is called `mnist` is not taken for MNIST, because its content is another.
#[test]
fn the_name_of_a_folder_is_not_its_content() {
    let digits = Digits::new(40, 10);
    let folder = tempfile::tempdir().unwrap();
    let mnist = file(&folder, "mnist");
    fs::create_dir(&mnist).unwrap();
    for name in entries(digits.folder.path()) {
        fs::copy(digits.folder.path().join(&name), Path::new(&mnist).join(&name)).unwrap();
    }
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-example/models/nano.f32.vit");
    let checkpoint = file(&folder, "nano.safetensors");
    succeed(&["export", published, "--safetensors", &checkpoint]);
    let output = run(&["eval", &checkpoint, "--data", &mnist]);
    let error = text(&output.stderr);
    assert!(output.status.success() && error.contains("the images used are others"), "{error}");
    let out = file(&folder, "out.vit");
    succeed(&["quantize", &checkpoint, "--data", &mnist, "--out", &out]);
    assert!(succeed(&["inspect", &out]).contains("accuracy    not measured"));
}

/// A file from elsewhere in the folder of a run does not belong to the run.
#[test]
fn a_file_from_elsewhere_does_not_belong_to_the_run() {
    let (_digits, run) = run_on_own_digits();
    let (other, theirs) = run_on_own_digits();
    let [model, checkpoint] = ["N.vit", "N.safetensors"].map(|name| file(&run, name));
    fs::copy(file(&theirs, "model.f32.vit"), &model).unwrap();
    fs::copy(file(&theirs, "checkpoint.safetensors"), &checkpoint).unwrap();
    let more = tempfile::tempdir().unwrap();
    let settings = ["--preset", "nano", "--epochs", "1", "--seed", "7", "--data", other.path()];
    succeed(&[&settings[..], &["--out", path(&more)]].concat());
    let data = ["--data", other.path(), "--json"];
    for path in [&model, &checkpoint] {
        assert!(json(&[&["eval", path][..], &data].concat())["data_of_run"].is_null(), "{path}");
    }
    let float = file(&run, "model.f32.vit");
    let words = ["this would replace another file of a run"];
    refuse_and_keep(&run, &["quantize", &checkpoint, "--data", other.path()], &words);
    for from in [&model, &checkpoint] {
        refuse_and_keep(&run, &["export", from, "--vit", &float], &words);
    }

    // Neither does a file with the name of one of the run that was made from another checkpoint.
    let int8 = file(&run, "model.int8.vit");
    assert_eq!(json(&["eval", &int8, "--json"])["data_of_run"], true);
    fs::copy(file(&more, "model.int8.vit"), &int8).unwrap();
    assert!(json(&[&["eval", &int8][..], &data].concat())["data_of_run"].is_null());
}

/// A folder is not a run because another program has left a `report.json` there.
#[test]
fn a_project_is_not_a_run() {
    let (digits, run) = run_on_own_digits();
    let project = tempfile::tempdir().unwrap();
    let model = file(&project, "model.f32.vit");
    fs::copy(file(&run, "model.f32.vit"), &model).unwrap();
    fs::write(file(&project, "report.json"), r#"{"tests": 3}"#).unwrap();
    fs::write(file(&project, "data.json"), "[1, 2]").unwrap();
    succeed(&["eval", &model, "--data", digits.path()]);
}

/// A new run that replaces an unfinished one prints a note, even with `--quiet`.
#[test]
fn replacing_an_unfinished_run_is_noted() {
    let digits = Digits::new(60, 20);
    let run = tempfile::tempdir().unwrap();
    // Returns what the program prints until it writes the file `name` of `run`. Then it is killed.
    let killed = |run: &TempDir, arguments: &[&str], name: &str| {
        let always = ["--quiet", "--save-every", "0", "--out", path(run)];
        let mut command = program();
        let mut child = command.args(arguments).args(always).stderr(Stdio::piped()).spawn().unwrap();
        let error = child.stderr.take().unwrap();
        let is_new = |before: Option<SystemTime>| {
            let now = fs::metadata(file(run, name)).and_then(|file| file.modified()).ok();
            now.is_some() && now != before
        };
        let before = fs::metadata(file(run, name)).and_then(|file| file.modified()).ok();
        // After the first epoch, the program writes last.run and then removes new.run.
        let is_done = || is_new(before) && (name == "new.run" || !Path::new(&file(run, "new.run")).exists());
        while !is_done() && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        io::read_to_string(error).unwrap()
    };
    let long = ["--preset", "nano", "--epochs", "300", "--data"];
    assert_eq!(killed(&run, &[&long[..], &[digits.path()]].concat(), "last.run"), "");
    let new = [&long[..], &["synthetic"]].concat();
    for arguments in [&new[..], &["--resume"]] {
        let said = killed(&run, arguments, "new.run");
        assert!(
            said.starts_with("NOTE: There is an unfinished run in ") && said.lines().count() == 1,
            "{said}"
        );
        for word in [path(&run), " of 300 epochs)", "new.run", "vit-train --resume --out"] {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }

    // A run that was interrupted in its first epoch is replaced at once.
    let run = tempfile::tempdir().unwrap();
    assert_eq!(killed(&run, &[&long[..], &[digits.path()]].concat(), "new.run"), "");
    let said = killed(&run, &new, "new.run");
    assert!(said.starts_with("NOTE: This run replaces the one in ") && said.lines().count() == 1, "{said}");
    assert!(said.contains("vit-train --resume --out"), "{said}");
}

/// If the normalisation is changed, the measured accuracy does not apply any more.
#[test]
fn the_accuracy_is_that_of_the_normalisation() {
    let (_digits, run) = run_on_own_digits();
    let folder = tempfile::tempdir().unwrap();
    let shown = |normalization: &[&str]| {
        let out = file(&folder, "out.vit");
        succeed(&[&["export", path(&run), "--vit", &out], normalization].concat());
        succeed(&["inspect", &out])
    };
    let unchanged = shown(&[]);
    assert!(!unchanged.contains("not measured"), "{unchanged}");
    let changed = shown(&["--normalization", "0.5,0.5"]);
    assert!(changed.contains("accuracy    not measured"), "{changed}");
}

#[test]
fn files_of_two_runs_are_not_mixed() {
    let digits = Digits::new(40, 10);
    let [run, other] = ["1", "2"].map(|seed| crate::train(&digits, "nano", seed));
    fs::copy(file(&other, "report.json"), file(&run, "report.json")).unwrap();
    refuse_and_keep(&run, &["report", "--run", path(&run)], &["seed 2", "files of two runs"]);
    // The seed may be the same.
    let more = tempfile::tempdir().unwrap();
    let settings =
        ["--preset", "nano", "--epochs", "1", "--seed", "1", "--lr", "1e-9", "--data", digits.path()];
    succeed(&[&settings[..], &["--out", path(&more)]].concat());
    fs::copy(file(&more, "report.json"), file(&run, "report.json")).unwrap();
    refuse_and_keep(&run, &["report", "--run", path(&run)], &["the report says"]);
}

/// An accuracy on images whose classes have other names is not stated.
#[test]
fn classes_of_other_names_are_told() {
    let digits = Digits::new(40, 10);
    let names = |first: &str| format!("{first}\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    digits.write("labels.txt", names("nought").as_bytes());
    let run = crate::train(&digits, "nano", "1");
    let lone = tempfile::tempdir().unwrap();
    let (checkpoint, out) = (file(&lone, "c.safetensors"), file(&lone, "c.int8.vit"));
    fs::copy(file(&run, "checkpoint.safetensors"), &checkpoint).unwrap();
    let command = ["quantize", &checkpoint, "--data", digits.path(), "--out", &out];
    assert!(!succeed(&command).contains("NOTE"));
    assert!(!succeed(&["inspect", &out]).contains("not measured"));
    digits.write("labels.txt", names("zero").as_bytes());
    let output = self::run(&command);
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("NOTE: ") && said.contains("its classes are nought, 1,"), "{said}");
    assert!(succeed(&["inspect", &out]).contains("accuracy    not measured"));
}
