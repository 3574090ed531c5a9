//! Commands do not replace files by mistake, and recognise files by their content, not by their name.

use crate::{entries, file, json, program, refuse, succeed, train, Digits};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = entries(folder).into_iter().filter(|name| folder.join(name).is_file());
    files.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[test]
fn inputs_are_not_replaced() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let (checkpoint, model) = (file(&run, "checkpoint.safetensors"), file(&run, "model.f32.vit"));
    let mut same = vec![checkpoint.clone(), format!("{}/./checkpoint.safetensors", path(&run))];
    #[cfg(unix)]
    {
        same.extend(["hard", "soft"].map(|name| file(&run, name)));
        fs::hard_link(&checkpoint, &same[2]).unwrap();
        std::os::unix::fs::symlink(&checkpoint, &same[3]).unwrap();
    }
    let images = file(&digits.folder, "train-images-idx3-ubyte");
    let before = content(run.path());
    let data = ["--data", digits.path()];
    let replaced = "this would replace the file that is read";
    for same in &same {
        refuse(&["export", path(&run), "--onnx", same], &["--onnx", replaced]);
        refuse(&[&["quantize", path(&run), "--out", same], &data[..]].concat(), &["--out", replaced]);
        refuse(&[&["eval", &checkpoint, "--logits", same], &data[..]].concat(), &["--logits", replaced]);
    }
    refuse(&["export", &model, "--vit", &model], &["--vit", replaced]);
    refuse(&[&["eval", path(&run), "--logits", &model], &data[..]].concat(), &["--logits", replaced]);
    for arguments in [["quantize", &checkpoint, "--out", &images], ["eval", &model, "--logits", &images]] {
        refuse(&[&arguments[..], &data].concat(), &["this would replace a file that"]);
    }
    // Two outputs must not have the same name, even if there is no such file yet.
    let (new, twice) = (file(&run, "new"), format!("{}/./new", path(&run)));
    refuse(&["export", &model, "--onnx", &new, "--safetensors", &twice], &["--onnx names the same file"]);
    // Files that cannot be written are reported before any work.
    let missing = file(&run, "no/such.vit");
    refuse(
        &[&["quantize", path(&run), "--out", &missing], &data[..]].concat(),
        &["such.vit: there is no folder", "make it"],
    );
    refuse(&["export", &model, "--vit", path(&run)], &["a folder: give the name of a file"]);
    // The results of a run do not replace the checkpoint that it begins with, and are not written among its images.
    let begin = ["--preset", "nano", "--epochs", "1", "--data"];
    for init in [path(&run), same.last().unwrap()] {
        let arguments = [&begin[..], &[digits.path(), "--init", init, "--out", path(&run)]].concat();
        refuse(&arguments, &["--out", "the results would replace", "--init"]);
    }
    refuse(&[&begin[..], &[digits.path(), "--out", digits.path()]].concat(), &["among the images"]);
    let photos = tempfile::tempdir().unwrap();
    fs::create_dir(photos.path().join("cat")).unwrap();
    refuse(&[&begin[..], &[path(&photos), "--out", &file(&photos, "run")]].concat(), &["among the images"]);
    assert!(content(run.path()) == before);
    assert_eq!(entries(photos.path()), ["cat"]);

    // The result of an earlier command is replaced, even in the folder of the images.
    let old = file(&digits.folder, "old.vit");
    for _ in 0..2 {
        succeed(&[&["quantize", path(&run), "--out", &old], &data[..]].concat());
    }
}

/// With `--onnx /dev/stdout`, the standard output has the model and nothing else.
#[cfg(target_os = "linux")]
#[test]
fn models_can_be_piped() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let (model, onnx) = (file(&run, "model.f32.vit"), file(&run, "model.onnx"));
    succeed(&["export", &model, "--onnx", &onnx]);
    let expected = fs::read(&onnx).unwrap();
    let export = ["export", &model, "--onnx", "/dev/stdout"];
    let output = program().args(export).output().unwrap();
    assert!(output.status.success() && output.stdout == expected);
    assert!(String::from_utf8(output.stderr).unwrap().contains("/dev/stdout: "));
    let redirected = file(&run, "redirected.onnx");
    let status = program().args(export).stdout(fs::File::create(&redirected).unwrap()).status().unwrap();
    assert!(status.success() && fs::read(&redirected).unwrap() == expected);
    let logits = program()
        .args(["eval", &model, "--data", digits.path(), "--logits", "/dev/stdout"])
        .output()
        .unwrap();
    safetensors::SafeTensors::deserialize(&logits.stdout).unwrap();
}

#[test]
fn files_are_what_they_contain() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let (checkpoint, model) = (file(&run, "checkpoint.safetensors"), file(&run, "model.f32.vit"));
    let data = ["--data", digits.path()];
    for name in ["a.ckpt", "b.bin", "c.st", "d", "e.vit"] {
        let renamed = file(&run, name);
        fs::copy(&checkpoint, &renamed).unwrap();
        assert_eq!(json(&["inspect", &renamed, "--json"])["preset"], "nano");
        assert!(succeed(&[&["eval", &renamed], &data[..]].concat()).contains("dfdx"));
        succeed(&["export", &renamed, "--onnx", &file(&run, "x.onnx")]);
    }
    let verified = succeed(&[&["verify", &file(&run, "d")], &data[..]].concat());
    assert!(!verified.contains("FAIL"), "{verified}");
    let renamed = file(&run, "model.safetensors");
    fs::copy(&model, &renamed).unwrap();
    assert!(succeed(&[&["eval", &renamed], &data[..]].concat()).contains("vit-nostd f32"));

    // For a file of another program, the error has the command that converts it.
    let alone = tempfile::tempdir().unwrap();
    for (bytes, package) in [
        (&b"PK\x03\x04"[..], "import torch"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "import torch"),
        (b"\x89HDF\r\n\x1a\n", "import h5py"),
        (b"\x08\x08\x12\x07pytorch", "import onnx"),
    ] {
        let theirs = file(&alone, "theirs.bin");
        fs::write(&theirs, bytes).unwrap();
        for command in ["inspect", "eval", "verify", "quantize"] {
            refuse(&[command, &theirs], &["theirs.bin", "python3 -c", package, "theirs.safetensors"]);
        }
    }
}

/// Files that no option names are not replaced: the images of the run that is read, MNIST, and the files of other runs.
#[test]
fn files_of_runs_and_their_images_are_not_replaced() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let before = [content(run.path()), content(digits.folder.path())];
    let images = file(&digits.folder, "train-images-idx3-ubyte");
    let commands = [("quantize", "--out"), ("eval", "--logits"), ("export", "--onnx"), ("export", "--vit")];
    for (command, option) in commands {
        refuse(&[command, path(&run), option, &images], &[option, "this would replace a file that"]);
        for name in before[0].keys() {
            let made = [("--out", "model.int8.vit"), ("--vit", "model.f32.vit")].contains(&(option, name));
            if !made {
                refuse(&[command, path(&run), option, &file(&run, name)], &[option, "this would replace"]);
            }
        }
    }
    // Links are followed, and the models of another run are not replaced.
    let other = train(&digits, "nano", "2");
    #[cfg(unix)]
    {
        let link = file(&other, "link");
        std::os::unix::fs::symlink(file(&run, "last.run"), &link).unwrap();
        refuse(&["export", path(&other), "--onnx", &link], &["this would replace another file of a run"]);
    }
    let int8 = file(&run, "model.int8.vit");
    refuse(&["quantize", path(&other), "--out", &int8], &["this would replace another file of a run"]);
    let model = file(&run, "model.f32.vit");
    let alone = tempfile::tempdir().unwrap();
    let copy = file(&alone, "nano.vit");
    fs::copy(&model, &copy).unwrap();
    let arguments = ["eval", &copy, "--data", "mnist", "--logits", &images];
    let output = program().args(arguments).env("MNIST_DIR", digits.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("has not written"), "{output:?}");
    assert!([content(run.path()), content(digits.folder.path())] == before);
}

/// Other files of the user are not replaced, whatever they contain and wherever they are.
#[test]
fn files_of_the_user_are_not_replaced() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let alone = tempfile::tempdir().unwrap();
    let model = file(&alone, "nano.vit");
    fs::copy(file(&run, "model.f32.vit"), &model).unwrap();
    let logits = ["eval", &model, "--data", digits.path(), "--logits"];
    for (name, bytes) in
        [("labels.txt", &b"zero\none"[..]), ("base.png", b"\x89PNG\r\n\x1a\n"), ("notes", b"x")]
    {
        let theirs = file(&alone, name);
        fs::write(&theirs, bytes).unwrap();
        for command in [&["export", &model, "--vit"][..], &["export", &model, "--onnx"], &logits] {
            refuse(&[command, &[&theirs]].concat(), &[name, "has not written"]);
        }
        assert_eq!(fs::read(&theirs).unwrap(), bytes);
    }
    // An empty file, as `mktemp` creates it, may be replaced, and so may a file that the same option has written
    // before.
    for option in ["--vit", "--onnx", "--safetensors"] {
        let made = file(&alone, option);
        fs::write(&made, "").unwrap();
        for _ in 0..2 {
            succeed(&["export", &model, option, &made]);
        }
    }
}

/// A description on the command line that differs from that of a run's checkpoint is not written into the run.
#[test]
fn the_models_of_a_run_are_described_by_its_checkpoint() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let float = file(&run, "model.f32.vit");
    let before = content(run.path());
    for (option, value) in [("--normalization", "0.5,0.5"), ("--labels", "a,b,c,d,e,f,g,h,i,j")] {
        refuse(&["quantize", path(&run), option, value], &["model.int8.vit", option, "leave"]);
        refuse(&["export", path(&run), "--vit", &float, option, value], &["model.f32.vit", option, "leave"]);
    }
    assert!(content(run.path()) == before);
    let elsewhere = tempfile::tempdir().unwrap();
    succeed(&["quantize", path(&run), "--normalization", "0.5,0.5", "--out", &file(&elsewhere, "x.vit")]);
}

/// A link that leads nowhere is refused before the training. Writing to it would fail at the end of the run.
#[cfg(unix)]
#[test]
fn links_of_a_run_are_followed_before_the_training() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    fs::remove_file(file(&run, "data.json")).unwrap();
    std::os::unix::fs::symlink(file(&run, "nowhere"), file(&run, "data.json")).unwrap();
    let before = content(run.path());
    let begin = ["--preset", "nano", "--epochs", "1", "--data", digits.path(), "--out", path(&run)];
    refuse(&begin, &["data.json", "remove the link"]);
    assert!(content(run.path()) == before);
}

/// A file of the user that has the name of a result is not replaced by a run.
#[test]
fn files_that_no_run_has_written_are_not_replaced() {
    let digits = Digits::new(40, 10);
    let begin = ["--preset", "nano", "--epochs", "1", "--data", digits.path(), "--out"];
    for name in ["report.md", "report.json", "checkpoint.safetensors", "curves.svg", "last.run", "new.run"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "mine").unwrap();
        refuse(&[&begin[..], &[path(&folder)]].concat(), &["--out", name, "which no run has left there"]);
        assert_eq!(
            (entries(folder.path()), fs::read(folder.path().join(name)).unwrap()),
            (vec![name.to_owned()], b"mine".to_vec())
        );
    }
    let run = train(&digits, "nano", "1");
    fs::write(run.path().join("notes.md"), "mine").unwrap();
    succeed(&[&begin[..], &[path(&run)]].concat());
    assert!(entries(run.path()).contains(&"notes.md".to_owned()));
}

/// A pipe instead of a file of a run is refused, because a reader would wait for it, and so is a device, which has no
/// end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_instead_of_files_are_refused() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let begin = ["--preset", "nano", "--epochs", "1", "--data", digits.path(), "--out", path(&run)];
    let resume = ["--resume", "--out", path(&run)];
    let command = |command| [command, path(&run)];
    let report = ["report", "--run", path(&run)];
    let cases: [(&str, &[&[&str]]); 7] = [
        ("new.run", &[&begin, &resume]),
        ("last.run", &[&begin, &resume]),
        ("data.json", &[&command("eval")]),
        ("samples.bin", &[&begin, &command("quantize")]),
        ("report.json", &[&report, &begin]),
        ("model.f32.vit", &[&command("eval"), &command("verify"), &command("inspect"), &report]),
        ("checkpoint.safetensors", &[&command("verify"), &command("quantize")]),
    ];
    for (name, commands) in cases {
        let (place, aside) = (run.path().join(name), run.path().join("aside"));
        let kept = fs::rename(&place, &aside).is_ok();
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        for command in commands {
            refuse(command, &[name, "a named pipe"]);
        }
        fs::remove_file(&place).unwrap();
        if kept {
            fs::rename(&aside, &place).unwrap();
        }
    }
    for command in ["inspect", "eval", "verify"] {
        refuse(&[command, "/dev/zero"], &["/dev/zero", "a device"]);
    }
    refuse(&["predict", "--model", "/dev/zero", "-"], &["/dev/zero", "a device"]);
    refuse(&["--preset", "nano", "--init", "/dev/zero"], &["/dev/zero", "a device"]);
}

/// Large files of a run may have been moved to another disk. They are read there, and not written.
#[cfg(unix)]
#[test]
fn files_of_a_run_that_are_links_are_not_replaced() {
    let digits = Digits::new(40, 10);
    let (run, other) = (train(&digits, "nano", "1"), train(&digits, "nano", "2"));
    let store = tempfile::tempdir().unwrap();
    for name in ["checkpoint.safetensors", "model.f32.vit", "model.int8.vit"] {
        fs::rename(file(&run, name), file(&store, name)).unwrap();
        std::os::unix::fs::symlink(file(&store, name), file(&run, name)).unwrap();
    }
    let before = content(store.path());
    let (checkpoint, float, int8) =
        (file(&run, "checkpoint.safetensors"), file(&run, "model.f32.vit"), file(&run, "model.int8.vit"));
    for (command, option, name) in [
        ("export", "--safetensors", &checkpoint),
        ("export", "--vit", &float),
        ("quantize", "--out", &int8),
        ("eval", "--logits", &checkpoint),
    ] {
        refuse(&[command, path(&other), option, name], &[option, "this would replace another file of a run"]);
    }
    refuse(&["quantize", path(&run), "--normalization", "0.9,0.05"], &["model.int8.vit", "remove the link"]);
    refuse(&["quantize", path(&run)], &["model.int8.vit", "remove the link"]);
    let samples = file(&other, "samples.bin");
    fs::rename(&samples, file(&store, "samples.bin")).unwrap();
    std::os::unix::fs::symlink(file(&store, "samples.bin"), &samples).unwrap();
    refuse(&["quantize", path(&other)], &["samples.bin", "remove the link"]);
    fs::remove_file(file(&store, "samples.bin")).unwrap();
    refuse(&["export", &checkpoint, "--vit", &float], &["model.f32.vit", "remove the link"]);
    assert!(content(store.path()) == before);
    succeed(&["eval", path(&run), "--data", digits.path()]);

    // A checkpoint is not an earlier result of an option that writes something else.
    let theirs = file(&store, "theirs.safetensors");
    fs::copy(file(&store, "checkpoint.safetensors"), &theirs).unwrap();
    for (command, option) in [("export", "--vit"), ("export", "--onnx"), ("quantize", "--out")] {
        refuse(&[command, path(&other), option, &theirs], &[option, "has not written"]);
    }
}

/// A run does not write through links.
#[cfg(unix)]
#[test]
fn links_of_a_run_do_not_lead_to_files_of_others() {
    use std::os::unix::fs::symlink;
    let digits = Digits::new(40, 10);
    let (run, other) = (train(&digits, "nano", "1"), train(&digits, "nano", "2"));
    let theirs = tempfile::tempdir().unwrap();
    let picture = file(&theirs, "photograph.png");
    fs::write(&picture, "a photograph").unwrap();
    let before = (content(other.path()), content(theirs.path()));
    let begin = ["--preset", "nano", "--epochs", "1", "--data", digits.path(), "--out", path(&run)];
    let report = ["report", "--run", path(&run)];
    for (name, target, commands) in [
        ("predictions.png", &picture, &[&begin[..], &report]),
        ("report.md", &picture, &[&begin, &report]),
        ("last.run", &file(&other, "last.run"), &[&begin, &report]),
        ("checkpoint.safetensors", &file(&other, "checkpoint.safetensors"), &[&begin, &report]),
        ("model.f32.vit", &picture, &[&begin, &report]),
        ("new.run", &picture, &[&begin, &report]),
    ] {
        let (place, aside) = (file(&run, name), file(&run, "aside"));
        let kept = fs::rename(&place, &aside).is_ok();
        symlink(target, &place).unwrap();
        for command in commands {
            refuse(command, &[name, "a link to ", "remove the link"]);
        }
        fs::remove_file(&place).unwrap();
        if kept {
            fs::rename(&aside, &place).unwrap();
        }
    }
    assert!((content(other.path()), content(theirs.path())) == before);
}

/// An option replaces the results of earlier commands with the same option, and nothing else.
#[test]
fn results_of_other_options_are_not_replaced() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let lone = tempfile::tempdir().unwrap();
    for name in ["checkpoint.safetensors", "model.f32.vit", "model.int8.vit"] {
        fs::copy(file(&run, name), file(&lone, name)).unwrap();
    }
    let logits = file(&lone, "logits.safetensors");
    let model = file(&lone, "model.f32.vit");
    let eval = ["eval", &model, "--data", digits.path(), "--logits", &logits];
    succeed(&eval);
    let before = content(lone.path());
    let cases = [
        ("eval", "--logits", "checkpoint.safetensors"),
        ("export", "--safetensors", "logits.safetensors"),
        ("export", "--vit", "model.int8.vit"),
        ("quantize", "--out", "model.f32.vit"),
    ];
    for (command, option, name) in cases {
        refuse(&[command, path(&run), option, &file(&lone, name)], &[option, "has not written"]);
    }
    assert!(content(lone.path()) == before);
    succeed(&eval);

    // Without --out, the model of another checkpoint in the same folder is not replaced.
    let other = train(&digits, "nano", "2");
    let second = file(&lone, "second.safetensors");
    fs::copy(file(&other, "checkpoint.safetensors"), &second).unwrap();
    refuse(
        &["quantize", &second, "--data", digits.path()],
        &["model.int8.vit", "the model of another checkpoint", "--out"],
    );
    assert!(fs::read(file(&lone, "model.int8.vit")).unwrap() == before["model.int8.vit"]);
    succeed(&["quantize", &file(&lone, "checkpoint.safetensors"), "--data", digits.path()]);
}
