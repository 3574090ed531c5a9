//! Input that cannot be used: the program prints one line with the reason, ends with exit code 2, and changes no file.

use crate::{entries, file, program, refuse, succeed, text, train, Digits};
use std::{collections::BTreeMap, fs, path::Path, process::Command};
use tempfile::TempDir;
use vit_nostd::model_file::PREAMBLE_LEN;
use vit_train::formats::checkpoint::Checkpoint;

/// Returns the names and contents of the files in a folder.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(folder.join(name)).unwrap());
    entries(folder).into_iter().map(read).collect()
}

/// Runs the program like [`refuse`], and checks that `folder` has not changed.
fn refuse_and_keep(folder: &Path, arguments: &[&str], words: &[&str]) {
    let before = content(folder);
    refuse(arguments, words);
    assert!(content(folder) == before, "{arguments:?} changed something");
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[test]
fn weights_that_are_not_numbers() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let checkpoint = file(&run, "checkpoint.safetensors");
    let mut content = Checkpoint::load(Path::new(&checkpoint)).unwrap();
    *content.parameters.values.last_mut().unwrap() = f32::NAN;
    content.save(Path::new(&checkpoint)).unwrap();
    let out = file(&run, "another");
    let words = ["checkpoint.safetensors", "not a finite number"];
    for arguments in [
        &["--preset", "nano", "--init", &checkpoint, "--out", &out][..],
        &["eval", &checkpoint],
        &["quantize", &checkpoint],
        &["verify", path(&run)],
    ] {
        refuse_and_keep(run.path(), &[arguments, &["--data", digits.path()]].concat(), &words);
    }

    // The same in a model file with a correct checksum, which is at the end of the file, after the last weight.
    let model = file(&run, "model.f32.vit");
    let mut bytes = fs::read(&model).unwrap();
    let end = bytes.len() - 4;
    bytes[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.sum().to_le_bytes());
    fs::write(&model, bytes).unwrap();
    refuse(
        &["eval", &model, "--data", digits.path()],
        &["model.f32.vit", "head.bias", "not a finite number"],
    );
}

#[test]
fn damaged_checkpoints() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let checkpoint = file(&run, "checkpoint.safetensors");
    let good = fs::read(&checkpoint).unwrap();
    let header_len = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = good.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    let mut damaged = vec![
        Vec::new(),
        good[..7].to_vec(),
        good[..header_len - 1].to_vec(),
        good[..header_len].to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        with(0, &u64::MAX.to_le_bytes()),
        with(8, b"["),
        with(header_len - 30, &[0xff]),
        b"\x89PNG\r\n\x1a\nnot a checkpoint at all".to_vec(),
    ];
    let f32s = good.windows(5).position(|bytes| bytes == b"\"F32\"").unwrap();
    damaged.push(with(f32s, b"\"F16\""));
    let out = file(&run, "another");
    for (index, bytes) in damaged.into_iter().enumerate() {
        fs::write(&checkpoint, bytes).unwrap();
        println!("damage {index}");
        for arguments in [
            &["inspect", &checkpoint][..],
            &["eval", &checkpoint, "--data", digits.path()],
            &["quantize", path(&run), "--data", digits.path()],
            &["--preset", "nano", "--init", &checkpoint, "--data", digits.path(), "--out", &out],
        ] {
            refuse_and_keep(run.path(), arguments, &["checkpoint.safetensors: not a usable checkpoint"]);
        }
    }
}

#[test]
fn damaged_model_files() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    for (name, kind) in [("model.f32.vit", "f32"), ("model.int8.vit", "int8")] {
        let model = file(&run, name);
        let good = fs::read(&model).unwrap();
        for at in [0, 4, 6, 8, PREAMBLE_LEN - 1, PREAMBLE_LEN + 20, good.len() / 2, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            fs::write(&model, bytes).unwrap();
            for command in ["inspect", "eval"] {
                refuse_and_keep(run.path(), &[command, &model], &[name]);
            }
        }
        println!("{kind}");
    }
}

/// Runs the program where no file may become longer than some kilobytes, which looks like a full disk. It must name the
/// file and leave `folder` as it was.
#[cfg(unix)]
fn refuse_on_a_full_disk(folder: &Path, arguments: &[&str], name: &str) {
    let before = content(folder);
    // If the signal were not ignored, it would end the program.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' XFSZ; ulimit -f 20; exec "$0" "$@""#, env!("CARGO_BIN_EXE_vit-train")]);
    let output = command.args(arguments).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert_eq!(error.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{error}");
    assert!(error.contains(&format!("{name}: File too large")) && !error.contains("panicked"), "{error}");
    assert!(!error.contains(".vit-train-"), "the error has the name of a temporary file: {error}");
    assert!(content(folder) == before, "{arguments:?} changed something");
}

#[cfg(unix)]
#[test]
fn full_disks() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let again = ["--preset", "nano", "--data", digits.path(), "--out", path(&run)];
    refuse_on_a_full_disk(run.path(), &again, "new.run");
    let quantize = ["quantize", path(&run), "--data", digits.path()];
    refuse_on_a_full_disk(run.path(), &quantize, "model.int8.vit");
    let fresh = tempfile::tempdir().unwrap();
    let again = ["--preset", "nano", "--data", digits.path(), "--out", path(&fresh)];
    refuse_on_a_full_disk(fresh.path(), &again, "new.run");
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_printed() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let model = file(&run, "model.int8.vit");
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["inspect", &model][..], &["inspect", &model, "--json"]] {
        let output = program().args(arguments).stdout(full()).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.starts_with("error: standard output: No space left") && error.lines().count() == 1,
            "{error}"
        );
    }
    // If the standard error cannot be written to either, there is still the exit code.
    let status = program().args(["inspect", &model]).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn folders_that_cannot_be_written_to() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    // The tests may run as root, who may write to every folder, but nobody can write to a folder below a file.
    let mut places = vec![file(&run, "report.md") + "/below"];
    if cfg!(target_os = "linux") {
        places.push("/proc/vit-train".to_owned());
        places.push("/proc/self".to_owned());
    }
    for place in places {
        let begin = ["--preset", "nano", "--data", digits.path(), "--out", &place];
        refuse_and_keep(run.path(), &begin, &[&format!("error: {place}: ")]);
        let model = format!("{place}/model.vit");
        let quantize = ["quantize", path(&run), "--data", digits.path(), "--out", &model];
        refuse_and_keep(run.path(), &quantize, &[&format!("error: {model}: ")]);
    }
}

/// A device or a pipe is written to and not replaced by a file, and a symbolic link to a file on a larger disk stays a
/// link.
#[cfg(unix)]
#[test]
fn links_and_pipes_stay_what_they_are() {
    use std::{io::Read, os::unix::fs::FileTypeExt, thread};
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let expected = fs::read(file(&run, "model.f32.vit")).unwrap();
    let export = |to: &str| succeed(&["export", path(&run), "--vit", to]);

    let places = tempfile::tempdir().unwrap();
    let (link, target) = (file(&places, "link.vit"), file(&run, "target.vit"));
    fs::write(&target, &expected[..100]).unwrap(); // an older model
    std::os::unix::fs::symlink(&target, &link).unwrap();
    export(&link);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read(&target).unwrap() == expected);

    let pipe = file(&places, "pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut received = vec![0; expected.len()];
    // Opening a pipe for reading only would wait for a writer.
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let reader = thread::spawn(move || reader.read_exact(&mut received).map(|()| received));
    export(&pipe);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    assert!(reader.join().unwrap().unwrap() == expected);
}

#[test]
fn one_thing_for_another() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let (model, report) = (file(&run, "model.f32.vit"), file(&run, "report.md"));
    let empty = tempfile::tempdir().unwrap();
    let begin = ["--preset", "nano", "--data", digits.path()];

    // A model file instead of a checkpoint, or of a run.
    refuse(&["quantize", &model], &["model.f32.vit", "a model file", "checkpoint.safetensors"]);
    refuse(
        &[&begin[..], &["--init", &model]].concat(),
        &["model.f32.vit", "a model file", "checkpoint.safetensors"],
    );
    // Git LFS keeps a pointer in place of the file.
    let pointer = file(&empty, "pointer.safetensors");
    fs::write(&pointer, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n").unwrap();
    for command in ["inspect", "eval", "verify", "quantize"] {
        refuse(&[command, &pointer], &["pointer.safetensors", "git lfs pull"]);
    }
    fs::remove_file(&pointer).unwrap();
    refuse(&["verify", &model], &["model.f32.vit", "neither a run nor a checkpoint"]);
    // A folder that is not a run.
    for command in ["inspect", "eval", "verify", "quantize"] {
        refuse(&[command, path(&empty)], &[path(&empty), "in it", "the folder of a finished run"]);
    }
    refuse(&["predict", "--model", path(&empty), "a.png"], &[path(&empty), "no model.f32.vit in it"]);
    // A file instead of a folder.
    refuse(&[&begin[..], &["--out", &report]].concat(), &["report.md: not a directory"]);
    // Options that would have no effect, or values that are out of range.
    refuse(
        &["predict", "--model", &model, "--normalization", "0.5,0.5", "a.png"],
        &["model.f32.vit", "leave --normalization out"],
    );
    refuse(&["eval", &model, "--threads", "1000000"], &["--threads", "from 1 to 1024"]);
    refuse(
        &[&begin[..], &["--epochs", "2", "--warmup", "3", "--out", &file(&empty, "run")]].concat(),
        &["warmup is 3", "fewer than the epochs", "--warmup"],
    );

    // A run may be given instead of a checkpoint.
    let out = file(&empty, "run");
    succeed(&[&begin[..], &["--epochs", "1", "--init", path(&run), "--out", &out]].concat());
}

#[test]
fn folders_without_images() {
    let out = tempfile::tempdir().unwrap();
    let refuse = |data: &TempDir, words: &[&str]| {
        let arguments = ["--preset", "nano", "--data", path(data), "--out", path(&out)];
        refuse_and_keep(out.path(), &arguments, words);
    };
    let data = tempfile::tempdir().unwrap();
    refuse(&data, &[path(&data), "no images"]);
    let write = |name: &str, bytes: &[u8]| {
        let path = data.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("cat/1.png", b"");
    write("dog/1.png", b"");
    refuse(&data, &["2 class folders (cat, dog)", "10 classes"]);
    let picture = file(&data, "dog/1.png");
    let begin = ["--preset", "nano", "--data", &picture, "--out", path(&out)];
    refuse_and_keep(out.path(), &begin, &["dog/1.png: a file, and images", "`vit-train predict`"]);
    for class in 0..8 {
        write(&format!("{class}/1.png"), b"\x89PNG\r\n\x1a\n and no more");
        write(&format!("{class}/2.jpg"), b"text");
    }
    write("cat/2.png", b"text");
    write("dog/2.png", b"text");
    refuse(
        &data,
        &["0/1.png: cannot be read as a picture", "(20 of 2", "Leave out such files with --skip-unreadable."],
    );
}

#[cfg(unix)]
#[test]
fn the_reader_of_the_output_has_gone() {
    let digits = Digits::new(40, 10);
    let run = train(&digits, "nano", "1");
    let model = file(&run, "model.int8.vit");
    let eval = ["eval", &model, "--data", digits.path()];
    for (arguments, code) in [(&["--help"][..], 0), (&["inspect", &model], 141), (&eval, 141)] {
        // The reading end is closed before the program runs.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program().args(arguments).stdout(writer).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}
